//! Values as Python has them, as far as templates need them. None can be changed, so none can contain itself.

use std::sync::Arc;

use super::fault::{Budget, Fault};
use super::methods::PART_BYTES;
use super::text::Text;

/// Containers nest at most this deep.
const MAX_NESTING: u16 = 100;
/// What was looked for in vain is remembered up to this many characters, for messages.
const MAX_MISSING_CHARS: usize = 100;

/// A value. Copies are cheap.
#[derive(Debug, Clone)]
pub(super) enum Value {
    /// Missing; holds what was looked for, shortened. Made by [`Value::missing`] alone.
    Undefined(Arc<str>),
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Str(Arc<Text>),
    List(Arc<List>),
    Dict(Arc<Dict>),
    /// By its number: only the interpreter changes it.
    Namespace(usize),
    /// By its number in the template.
    Macro(usize),
    /// A method of a value, looked up and not called.
    Method(Arc<(Value, String)>),
    /// A function that every template has.
    Function(&'static str),
    /// The variable `loop`.
    Loop(Arc<Loop>),
}

/// Where a loop stands.
#[derive(Debug)]
pub(super) struct Loop {
    pub(super) items: Arc<Vec<Value>>,
    pub(super) index: usize,
    pub(super) nesting: u16,
}

/// A list or a tuple.
#[derive(Debug, Clone)]
pub(super) struct List {
    pub(super) items: Vec<Value>,
    pub(super) tuple: bool,
    nesting: u16,
}

/// Keys and values in the order they were given; few, so that a search from the front is fine.
#[derive(Debug, Clone)]
pub(super) struct Dict {
    pub(super) entries: Vec<(Value, Value)>,
    nesting: u16,
}

pub(super) fn other(message: impl Into<String>) -> Fault {
    Fault::Failed(message.into())
}

impl Value {
    pub(super) fn inside(text: impl Into<String>) -> Value {
        Value::Str(Arc::new(Text::inside(text)))
    }

    /// Nothing where `what` was looked for. A template chooses `what`, so it is shortened and paid for.
    pub(super) fn missing(what: &str, budget: &Budget) -> Result<Value, Fault> {
        let end = what
            .char_indices()
            .nth(MAX_MISSING_CHARS)
            .map_or(what.len(), |(at, _)| at);
        budget.hold(end + 16)?;
        Ok(Value::Undefined(what[..end].into()))
    }

    fn nesting(&self) -> u16 {
        match self {
            Value::List(list) => list.nesting,
            Value::Dict(dict) => dict.nesting,
            Value::Method(method) => method.0.nesting() + 1,
            Value::Loop(state) => state.nesting,
            _ => 0,
        }
    }

    pub(super) fn list(items: Vec<Value>, budget: &Budget) -> Result<Value, Fault> {
        Value::sequence(items, false, budget)
    }

    pub(super) fn tuple(items: Vec<Value>, budget: &Budget) -> Result<Value, Fault> {
        Value::sequence(items, true, budget)
    }

    fn sequence(items: Vec<Value>, tuple: bool, budget: &Budget) -> Result<Value, Fault> {
        budget.hold(items.len() * size_of::<Value>() + 64)?;
        let nesting = nest(items.iter())?;
        Ok(Value::List(Arc::new(List {
            items,
            tuple,
            nesting,
        })))
    }

    pub(super) fn dict(entries: Vec<(Value, Value)>, budget: &Budget) -> Result<Value, Fault> {
        budget.hold(entries.len() * 2 * size_of::<Value>() + 64)?;
        let nesting = nest(entries.iter().flat_map(|(key, value)| [key, value]))?;
        Ok(Value::Dict(Arc::new(Dict { entries, nesting })))
    }

    /// What Python calls its type, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Value::Undefined(_) => "undefined",
            Value::None => "None",
            Value::Bool(_) => "a bool",
            Value::Int(_) => "an int",
            Value::Float(_) => "a float",
            Value::Str(_) => "a str",
            Value::List(list) if list.tuple => "a tuple",
            Value::List(_) => "a list",
            Value::Dict(_) => "a dict",
            Value::Namespace(_) => "a namespace",
            Value::Loop(_) => "a loop",
            Value::Macro(_) | Value::Method(_) | Value::Function(_) => "a function",
        }
    }

    pub(super) fn truthy(&self) -> bool {
        match self {
            Value::Undefined(_) | Value::None => false,
            Value::Bool(value) => *value,
            Value::Int(value) => *value != 0,
            Value::Float(value) => *value != 0.0,
            Value::Str(text) => text.len() > 0,
            Value::List(list) => !list.items.is_empty(),
            Value::Dict(dict) => !dict.entries.is_empty(),
            Value::Namespace(_)
            | Value::Macro(_)
            | Value::Method(_)
            | Value::Function(_)
            | Value::Loop(_) => true,
        }
    }

    /// As a whole number, if it is one (a bool is).
    pub(super) fn as_int(&self) -> Option<i128> {
        match self {
            Value::Int(value) => Some(*value),
            Value::Bool(value) => Some(i128::from(*value)),
            _ => None,
        }
    }

    pub(super) fn as_float(&self) -> Option<f64> {
        match self {
            Value::Float(value) => Some(*value),
            _ => self.as_int().map(|value| value as f64),
        }
    }

    pub(super) fn as_text(&self) -> Option<&Arc<Text>> {
        if let Value::Str(text) = self {
            Some(text)
        } else {
            None
        }
    }

    /// Python's `==`, which never fails.
    pub(super) fn equals(&self, right: &Value, budget: &Budget) -> Result<bool, Fault> {
        budget.work(1)?;
        Ok(match (self, right) {
            (Value::Undefined(_), Value::Undefined(_)) | (Value::None, Value::None) => true,
            (Value::Str(left), Value::Str(right)) => {
                budget.work(left.len().min(right.len()) / 32)?;
                left.as_str() == right.as_str()
            }
            (Value::List(left), Value::List(right)) => {
                if left.tuple != right.tuple || left.items.len() != right.items.len() {
                    return Ok(false);
                }
                for (left, right) in left.items.iter().zip(&right.items) {
                    if !left.equals(right, budget)? {
                        return Ok(false);
                    }
                }
                true
            }
            (Value::Dict(left), Value::Dict(right)) => {
                if left.entries.len() != right.entries.len() {
                    return Ok(false);
                }
                for (key, value) in &left.entries {
                    match right.get(key, budget)? {
                        Some(other) if value.equals(&other, budget)? => {}
                        _ => return Ok(false),
                    }
                }
                true
            }
            (Value::Namespace(left), Value::Namespace(right)) => left == right,
            (Value::Macro(left), Value::Macro(right)) => left == right,
            (Value::Function(left), Value::Function(right)) => left == right,
            (left, right) => match (left.as_int(), right.as_int()) {
                (Some(left), Some(right)) => left == right,
                _ => {
                    matches!((left.as_float(), right.as_float()), (Some(left), Some(right)) if left == right)
                }
            },
        })
    }

    /// Python's order: numbers among themselves, strings, lists item by item; anything else has none.
    pub(super) fn order(&self, right: &Value, budget: &Budget) -> Result<std::cmp::Ordering, Fault> {
        budget.work(1)?;
        match (self, right) {
            (Value::Str(left), Value::Str(right)) => {
                budget.work(left.len().min(right.len()) / 32)?;
                // Byte order of UTF-8 is the order of code points.
                Ok(left.as_str().cmp(right.as_str()))
            }
            (Value::List(left), Value::List(right)) if left.tuple == right.tuple => {
                for (left, right) in left.items.iter().zip(&right.items) {
                    if !left.equals(right, budget)? {
                        return left.order(right, budget);
                    }
                }
                Ok(left.items.len().cmp(&right.items.len()))
            }
            (left, right) => match (left.as_int(), right.as_int(), left.as_float(), right.as_float()) {
                (Some(left), Some(right), ..) => Ok(left.cmp(&right)),
                (.., Some(left), Some(right)) => {
                    Ok(left.partial_cmp(&right).unwrap_or(std::cmp::Ordering::Equal))
                }
                _ => Err(other(format!(
                    "{} and {} have no order",
                    left.kind(),
                    right.kind()
                ))),
            },
        }
    }

    /// The items that a loop over it sees.
    pub(super) fn items(&self, budget: &Budget) -> Result<Vec<Value>, Fault> {
        let hold = |n_items: usize| budget.hold(n_items * size_of::<Value>());
        Ok(match self {
            Value::Undefined(_) => Vec::new(),
            Value::List(list) => {
                hold(list.items.len())?;
                list.items.clone()
            }
            Value::Dict(dict) => {
                hold(dict.entries.len())?;
                dict.entries.iter().map(|(key, _)| key.clone()).collect()
            }
            Value::Str(text) => {
                let str = text.as_str();
                budget.work(str.len() / 16)?;
                budget.hold(str.chars().count() * PART_BYTES)?;
                str.char_indices()
                    .map(|(at, char)| Value::Str(Arc::new(text.slice(at..at + char.len_utf8()))))
                    .collect()
            }
            other_value => return Err(other(format!("{} cannot be looped over", other_value.kind()))),
        })
    }
}

/// How deep a container of these is, if it may be.
pub(super) fn nest<'v>(parts: impl Iterator<Item = &'v Value>) -> Result<u16, Fault> {
    let nesting = parts.map(Value::nesting).max().unwrap_or(0) + 1;
    if nesting > MAX_NESTING {
        return Err(other(format!(
            "lists and dicts are nested more than {MAX_NESTING} deep"
        )));
    }
    Ok(nesting)
}

impl Dict {
    pub(super) fn get(&self, key: &Value, budget: &Budget) -> Result<Option<Value>, Fault> {
        for (candidate, value) in &self.entries {
            if candidate.equals(key, budget)? {
                return Ok(Some(value.clone()));
            }
        }
        Ok(None)
    }
}

/// Sets a key, keeping its place if it is there.
pub(super) fn set_entry(
    entries: &mut Vec<(Value, Value)>,
    key: Value,
    value: Value,
    budget: &Budget,
) -> Result<(), Fault> {
    for (candidate, slot) in entries.iter_mut() {
        if candidate.equals(&key, budget)? {
            *slot = value;
            return Ok(());
        }
    }
    entries.push((key, value));
    Ok(())
}
