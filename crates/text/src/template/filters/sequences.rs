//! Filters over lists and dicts.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::template::call::CallArgs;
use crate::template::fault::{Budget, Fault};
use crate::template::render::Renderer;
use crate::template::text::Text;
use crate::template::value::{Value, other};
use crate::template::{access, checks, methods};

pub(super) fn apply(
    renderer: &mut Renderer<'_>,
    name: &str,
    value: &Value,
    args: CallArgs,
) -> Result<Value, Fault> {
    match name {
        "map" => map(renderer, value, args),
        "select" | "reject" => {
            let wanted = name == "select";
            let items = value.items(renderer.budget)?;
            keep(renderer, items, None, args, wanted)
        }
        "selectattr" | "rejectattr" => {
            let wanted = name == "selectattr";
            let items = value.items(renderer.budget)?;
            let mut args = args;
            if args.positional.is_empty() {
                return Err(other(format!("{name} needs an attribute")));
            }
            let attribute = args.positional.remove(0);
            keep(renderer, items, Some(&attribute), args, wanted)
        }
        "join" => {
            let [between, attribute] = args.bind(name, ["d", "attribute"])?;
            let items = attributes(renderer, value, attribute.as_ref())?;
            let between = match between {
                Some(between) => super::text_of(renderer, &between)?,
                None => Arc::default(),
            };
            Ok(Value::Str(Arc::new(methods::join(renderer, &items, &between)?)))
        }
        "sum" => {
            let [attribute, start] = args.bind(name, ["attribute", "start"])?;
            let mut sum = start.unwrap_or(Value::Int(0));
            for item in attributes(renderer, value, attribute.as_ref())? {
                let op = crate::template::syntax::BinaryOp::Add;
                sum = crate::template::arithmetic::binary(op, &sum, &item, renderer.budget)?;
            }
            Ok(sum)
        }
        "sort" | "dictsort" | "unique" | "min" | "max" => ordered(renderer, name, value, args),
        "batch" => batch(renderer, value, args),
        _ => plain(renderer, name, value, args),
    }
}

/// Filters without arguments.
fn plain(renderer: &mut Renderer<'_>, name: &str, value: &Value, args: CallArgs) -> Result<Value, Fault> {
    let budget = renderer.budget;
    let known = ["length", "count", "list", "first", "last", "reverse", "items"];
    if !known.contains(&name) {
        return Err(other(format!("the filter '{name}' is not supported")));
    }
    let [] = args.bind(name, [])?;
    match (name, value) {
        ("length" | "count", Value::Str(text)) => {
            budget.work(text.len() / 32)?;
            Ok(Value::Int(text.as_str().chars().count() as i128))
        }
        ("length" | "count", _) => Ok(Value::Int(value.items(budget)?.len() as i128)),
        ("items", Value::Undefined(_)) => Value::list(Vec::new(), budget),
        ("items", Value::Dict(_)) => methods::call(renderer, value, "items", CallArgs::default()),
        ("items", _) => Err(other(format!("items of {}", value.kind()))),
        ("list", _) => Value::list(value.items(budget)?, budget),
        // An index reads the string; its characters as values would cost hundreds of bytes each.
        ("first", Value::Str(_)) => access::index(renderer, value, &Value::Int(0)),
        ("last", Value::Str(_)) => access::index(renderer, value, &Value::Int(-1)),
        ("first", _) => match value.items(budget)?.into_iter().next() {
            Some(first) => Ok(first),
            None => Value::missing("the first item", budget),
        },
        ("last", _) => match value.items(budget)?.pop() {
            Some(last) => Ok(last),
            None => Value::missing("the last item", budget),
        },
        ("reverse", Value::Str(_)) => {
            let mut items = value.items(budget)?;
            items.reverse();
            Ok(Value::Str(Arc::new(methods::join(
                renderer,
                &items,
                &Text::default(),
            )?)))
        }
        _ => {
            let mut items = value.items(budget)?;
            items.reverse();
            Value::list(items, budget)
        }
    }
}

fn map(renderer: &mut Renderer<'_>, value: &Value, mut args: CallArgs) -> Result<Value, Fault> {
    let items = value.items(renderer.budget)?;
    let mut mapped = Vec::with_capacity(items.len());
    if args.positional.is_empty() {
        let [attribute, default] = args.bind("map", ["attribute", "default"])?;
        let attribute = attribute.ok_or_else(|| other("map needs a filter or an attribute"))?;
        for item in items {
            let found = checks::path(renderer, &item, &attribute)?;
            mapped.push(match (&found, &default) {
                (Value::Undefined(_), Some(default)) => default.clone(),
                _ => found,
            });
        }
        return Value::list(mapped, renderer.budget);
    }
    let filter = super::text_of(renderer, &args.positional.remove(0))?;
    for item in items {
        let args = CallArgs {
            positional: args.positional.clone(),
            named: args.named.clone(),
        };
        renderer
            .budget
            .hold((args.positional.len() + args.named.len()) * 64)?;
        mapped.push(super::apply(renderer, filter.as_str(), item, args)?);
    }
    Value::list(mapped, renderer.budget)
}

fn keep(
    renderer: &mut Renderer<'_>,
    items: Vec<Value>,
    attribute: Option<&Value>,
    mut args: CallArgs,
    wanted: bool,
) -> Result<Value, Fault> {
    let test = if args.positional.is_empty() {
        None
    } else {
        Some(super::text_of(renderer, &args.positional.remove(0))?)
    };
    let mut kept = Vec::new();
    for item in items {
        let subject = match attribute {
            Some(attribute) => checks::path(renderer, &item, attribute)?,
            None => item.clone(),
        };
        if checks::named(renderer, test.as_deref().map(Text::as_str), &subject, &args)? == wanted {
            kept.push(item);
        }
    }
    Value::list(kept, renderer.budget)
}

fn attributes(
    renderer: &Renderer<'_>,
    value: &Value,
    attribute: Option<&Value>,
) -> Result<Vec<Value>, Fault> {
    let items = value.items(renderer.budget)?;
    match attribute {
        None | Some(Value::None) => Ok(items),
        Some(attribute) => items
            .iter()
            .map(|item| checks::path(renderer, item, attribute))
            .collect(),
    }
}

/// What an item is sorted or compared by.
fn sort_key(
    renderer: &Renderer<'_>,
    item: &Value,
    attribute: Option<&Value>,
    case_sensitive: bool,
) -> Result<Value, Fault> {
    let key = match attribute {
        None | Some(Value::None) => item.clone(),
        Some(attribute) => checks::path(renderer, item, attribute)?,
    };
    match &key {
        Value::Str(text) if !case_sensitive => {
            renderer.budget.hold(text.len())?;
            Ok(Value::Str(Arc::new(methods::lower(text))))
        }
        _ => Ok(key),
    }
}

fn ordered(renderer: &mut Renderer<'_>, name: &str, value: &Value, args: CallArgs) -> Result<Value, Fault> {
    let budget = renderer.budget;
    let is = |flag: &Option<Value>| flag.as_ref().is_some_and(Value::truthy);
    let (case, attribute, reverse) = match name {
        "sort" => {
            let [reverse, case, attribute] = args.bind(name, ["reverse", "case_sensitive", "attribute"])?;
            (is(&case), attribute, is(&reverse))
        }
        "dictsort" => {
            let [case, by, reverse] = args.bind(name, ["case_sensitive", "by", "reverse"])?;
            let by_value = match by.as_ref().and_then(Value::as_text).map(|by| by.as_str()) {
                None | Some("key") => 0,
                Some("value") => 1,
                Some(_) => return Err(other("dictsort sorts by 'key' or 'value'")),
            };
            (is(&case), Some(Value::Int(by_value)), is(&reverse))
        }
        _ => {
            let [case, attribute] = args.bind(name, ["case_sensitive", "attribute"])?;
            (is(&case), attribute, false)
        }
    };
    let items = match (name, value) {
        ("dictsort", Value::Dict(_)) => {
            methods::call(renderer, value, "items", CallArgs::default())?.items(budget)?
        }
        ("dictsort", _) => return Err(other(format!("dictsort of {}", value.kind()))),
        _ => value.items(budget)?,
    };
    let mut keyed = Vec::with_capacity(items.len());
    for item in items {
        keyed.push((sort_key(renderer, &item, attribute.as_ref(), case)?, item));
    }
    let items = match name {
        "unique" => distinct(keyed, budget)?,
        "min" => return extreme(keyed, Ordering::Less, budget),
        "max" => return extreme(keyed, Ordering::Greater, budget),
        _ => {
            // Python keeps equal items in their order also when it reverses.
            sort_by(&mut keyed, |left, right| {
                let order = left.0.order(&right.0, budget)?;
                Ok(if reverse { order.reverse() } else { order })
            })?;
            keyed.into_iter().map(|(_, item)| item).collect()
        }
    };
    Value::list(items, budget)
}

/// The first item of each key.
fn distinct(keyed: Vec<(Value, Value)>, budget: &Budget) -> Result<Vec<Value>, Fault> {
    let mut kept: Vec<(Value, Value)> = Vec::new();
    'items: for (key, item) in keyed {
        for (seen, _) in &kept {
            if seen.equals(&key, budget)? {
                continue 'items;
            }
        }
        kept.push((key, item));
    }
    Ok(kept.into_iter().map(|(_, item)| item).collect())
}

/// The first item whose key stands on the `wanted` side of all others.
fn extreme(keyed: Vec<(Value, Value)>, wanted: Ordering, budget: &Budget) -> Result<Value, Fault> {
    let mut best: Option<(Value, Value)> = None;
    for (key, item) in keyed {
        let better = match &best {
            Some((best, _)) => key.order(best, budget)? == wanted,
            None => true,
        };
        if better {
            best = Some((key, item));
        }
    }
    match best {
        Some((_, item)) => Ok(item),
        None => Value::missing("the item of an empty list", budget),
    }
}

/// A stable merge sort whose comparison may fail, and need not be an order at all.
pub(in crate::template) fn sort_by<T: Clone>(
    items: &mut Vec<T>,
    mut compare: impl FnMut(&T, &T) -> Result<Ordering, Fault>,
) -> Result<(), Fault> {
    let mut width = 1;
    while width < items.len() {
        let mut merged = Vec::with_capacity(items.len());
        for run in items.chunks(2 * width) {
            let (mut left, mut right) = run.split_at(width.min(run.len()));
            while let ([l, left_rest @ ..], [r, right_rest @ ..]) = (left, right) {
                if compare(l, r)? == Ordering::Greater {
                    merged.push(r.clone());
                    right = right_rest;
                } else {
                    merged.push(l.clone());
                    left = left_rest;
                }
            }
            merged.extend_from_slice(left);
            merged.extend_from_slice(right);
        }
        *items = merged;
        width *= 2;
    }
    Ok(())
}

fn batch(renderer: &Renderer<'_>, value: &Value, args: CallArgs) -> Result<Value, Fault> {
    let [size, fill] = args.bind("batch", ["linecount", "fill_with"])?;
    let size = size
        .and_then(|size| size.as_int())
        .and_then(|size| usize::try_from(size).ok());
    let size = size
        .filter(|&size| size > 0)
        .ok_or_else(|| other("batch needs a size above 0"))?;
    let items = value.items(renderer.budget)?;
    let mut batches = Vec::new();
    for chunk in items.chunks(size) {
        let mut chunk = chunk.to_vec();
        if let Some(fill) = fill.as_ref().filter(|fill| !matches!(fill, Value::None)) {
            renderer
                .budget
                .hold((size - chunk.len()).saturating_mul(size_of::<Value>()))?;
            chunk.resize(size, fill.clone());
        }
        batches.push(Value::list(chunk, renderer.budget)?);
    }
    Value::list(batches, renderer.budget)
}
