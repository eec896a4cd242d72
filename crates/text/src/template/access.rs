//! Getting at parts of values: attributes, items, slices, `in`.

use std::sync::Arc;

use super::call;
use super::fault::{Budget, Fault};
use super::render::Renderer;
use super::value::{Loop, Value, other};

/// `of.name`: a method or attribute first, then an item, as Jinja does.
pub(super) fn attr(renderer: &Renderer<'_>, of: &Value, name: &str) -> Result<Value, Fault> {
    if let Some(found) = own_attr(renderer, of, name)? {
        return Ok(found);
    }
    match of {
        Value::Undefined(what) => Err(other(format!("{what} is undefined"))),
        Value::Dict(dict) => {
            renderer.budget.hold(name.len())?;
            match dict.get(&Value::inside(name), renderer.budget)? {
                Some(found) => Ok(found),
                None => Value::missing(name, renderer.budget),
            }
        }
        _ => Value::missing(name, renderer.budget),
    }
}

/// What Python would find with `getattr`.
fn own_attr(renderer: &Renderer<'_>, of: &Value, name: &str) -> Result<Option<Value>, Fault> {
    Ok(match of {
        Value::Namespace(number) => {
            renderer.budget.hold(name.len())?;
            let key = Value::inside(name);
            for (candidate, value) in renderer.namespace(*number) {
                if candidate.equals(&key, renderer.budget)? {
                    return Ok(Some(value.clone()));
                }
            }
            None
        }
        Value::Loop(state) => loop_attr(state, name, renderer.budget)?,
        _ if call::is_method(of, name) => Some(Value::Method(Arc::new((of.clone(), name.to_owned())))),
        _ if call::is_mutating_method(of, name) => {
            return Err(other(format!(
                "{} has no method {name} here: values cannot be changed",
                of.kind()
            )));
        }
        _ => None,
    })
}

fn loop_attr(state: &Arc<Loop>, name: &str, budget: &Budget) -> Result<Option<Value>, Fault> {
    let (index, len) = (state.index, state.items.len());
    let int = |value: usize| Some(Value::Int(value as i128));
    let item = |index: Option<usize>, missing: &str| match index.and_then(|index| state.items.get(index)) {
        Some(found) => Ok(Some(found.clone())),
        None => Value::missing(missing, budget).map(Some),
    };
    Ok(match name {
        "index" => int(index + 1),
        "index0" => int(index),
        "revindex" => int(len - index),
        "revindex0" => int(len - index - 1),
        "first" => Some(Value::Bool(index == 0)),
        "last" => Some(Value::Bool(index + 1 == len)),
        "length" => int(len),
        // Only recursive loops go deeper, and those are refused.
        "depth" => int(1),
        "depth0" => int(0),
        "previtem" => item(index.checked_sub(1), "loop.previtem")?,
        "nextitem" => item(Some(index + 1), "loop.nextitem")?,
        "cycle" => Some(Value::Method(Arc::new((
            Value::Loop(state.clone()),
            name.to_owned(),
        )))),
        _ => None,
    })
}

/// `of[index]`: an item first, then an attribute, as Jinja does.
pub(super) fn index(renderer: &Renderer<'_>, of: &Value, index: &Value) -> Result<Value, Fault> {
    let budget = renderer.budget;
    let found = match (of, index.as_int()) {
        (Value::Undefined(what), _) => return Err(other(format!("{what} is undefined"))),
        (Value::Dict(dict), _) => dict.get(index, budget)?,
        (Value::List(list), Some(at)) => position(at, list.items.len()).map(|at| list.items[at].clone()),
        (Value::Str(text), Some(at)) => {
            let str = text.as_str();
            budget.work(str.len() / 16)?;
            let n_chars = str.chars().count();
            position(at, n_chars)
                .and_then(|at| str.char_indices().nth(at))
                .map(|(at, char)| Value::Str(Arc::new(text.slice(at..at + char.len_utf8()))))
        }
        _ => None,
    };
    if let Some(found) = found {
        return Ok(found);
    }
    if let Some(name) = index.as_text()
        && let Some(found) = own_attr(renderer, of, name.as_str())?
    {
        return Ok(found);
    }
    Value::missing(index.as_text().map_or("an item", |name| name.as_str()), budget)
}

/// A Python index, negative from the end, as a position.
fn position(index: i128, len: usize) -> Option<usize> {
    let at = if index < 0 { index + len as i128 } else { index };
    usize::try_from(at).ok().filter(|&at| at < len)
}

/// `of[start:stop:step]`
pub(super) fn slice(of: &Value, bounds: &[Option<Value>; 3], budget: &Budget) -> Result<Value, Fault> {
    let mut numbers = [None; 3];
    for (number, bound) in numbers.iter_mut().zip(bounds) {
        *number = match bound {
            None | Some(Value::None) => None,
            Some(value) => Some(
                value
                    .as_int()
                    .ok_or_else(|| other(format!("a slice from {}", value.kind())))?,
            ),
        };
    }
    match of {
        Value::List(list) => {
            let picked = picks(numbers, list.items.len())?;
            budget.hold(picked.len() * size_of::<Value>())?;
            let items = picked.into_iter().map(|at| list.items[at].clone()).collect();
            if list.tuple {
                Value::tuple(items, budget)
            } else {
                Value::list(items, budget)
            }
        }
        Value::Str(text) => {
            budget.hold(text.len() * 8 + text.cost())?;
            let starts: Vec<usize> = text.as_str().char_indices().map(|(at, _)| at).collect();
            let picked = picks(numbers, starts.len())?;
            let end_of = |at: usize| starts.get(at + 1).copied().unwrap_or(text.len());
            let mut out = super::text::Text::default();
            if numbers[2].is_none_or(|step| step == 1) {
                if let (Some(&first), Some(&last)) = (picked.first(), picked.last()) {
                    out.push_slice(text, starts[first]..end_of(last));
                }
            } else {
                for at in picked {
                    out.push_slice(text, starts[at]..end_of(at));
                }
            }
            Ok(Value::Str(Arc::new(out)))
        }
        Value::Undefined(what) => Err(other(format!("{what} is undefined"))),
        _ => Err(other(format!("a slice of {}", of.kind()))),
    }
}

/// The positions that a Python slice takes from `len` items.
fn picks([start, stop, step]: [Option<i128>; 3], len: usize) -> Result<Vec<usize>, Fault> {
    let len = len as i128;
    let step = step.unwrap_or(1);
    if step == 0 {
        return Err(other("a slice with step 0"));
    }
    let (low, high) = if step > 0 { (0, len) } else { (-1, len - 1) };
    let bound = |value: Option<i128>, default: i128| match value {
        None => default,
        Some(value) if value < 0 => value.saturating_add(len).clamp(low, high),
        Some(value) => value.clamp(low, high),
    };
    let (mut at, end) = if step > 0 {
        (bound(start, 0), bound(stop, len))
    } else {
        (bound(start, len - 1), bound(stop, -1))
    };
    let mut picked = Vec::new();
    while (step > 0 && at < end) || (step < 0 && at > end) {
        picked.push(at as usize);
        at = at.saturating_add(step);
    }
    Ok(picked)
}

/// `item in of`
pub(super) fn contains(of: &Value, item: &Value, budget: &Budget) -> Result<bool, Fault> {
    match of {
        Value::Str(text) => {
            let Some(part) = item.as_text() else {
                return Err(other(format!("{} in a str", item.kind())));
            };
            budget.work(text.len() / 16 + part.len() / 8)?;
            Ok(text.as_str().contains(part.as_str()))
        }
        Value::Dict(dict) => dict.get(item, budget).map(|found| found.is_some()),
        Value::List(list) => {
            for candidate in &list.items {
                if candidate.equals(item, budget)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        Value::Undefined(_) => Ok(false),
        _ => Err(other(format!("'in' of {}", of.kind()))),
    }
}
