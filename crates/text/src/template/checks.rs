//! Tests: what may stand behind `is`.

use super::access;
use super::call::CallArgs;
use super::fault::{Budget, Fault};
use super::render::Renderer;
use super::syntax::CompareOp;
use super::value::{Value, other};

pub(super) fn apply(
    renderer: &Renderer<'_>,
    name: &str,
    value: &Value,
    args: &CallArgs,
) -> Result<bool, Fault> {
    let comparison = match name {
        "eq" | "equalto" | "==" => Some(CompareOp::Eq),
        "ne" | "!=" => Some(CompareOp::Ne),
        "lt" | "lessthan" | "<" => Some(CompareOp::Lt),
        "le" | "<=" => Some(CompareOp::Le),
        "gt" | "greaterthan" | ">" => Some(CompareOp::Gt),
        "ge" | ">=" => Some(CompareOp::Ge),
        "in" => Some(CompareOp::In),
        _ => None,
    };
    if let Some(op) = comparison {
        return renderer.compare(op, value, argument(name, args)?);
    }
    match name {
        "divisibleby" => match (value.as_int(), argument(name, args)?.as_int()) {
            (Some(value), Some(by)) if by != 0 => Ok(value.checked_rem(by).unwrap_or(0) == 0),
            _ => Err(other("divisibleby needs two whole numbers, the second not 0")),
        },
        "sameas" => match (value, argument(name, args)?) {
            (Value::None, Value::None) => Ok(true),
            (Value::Bool(left), Value::Bool(right)) => Ok(left == right),
            (Value::None | Value::Bool(_), _) | (_, Value::None | Value::Bool(_)) => Ok(false),
            (left, right) => left.equals(right, renderer.budget),
        },
        "even" | "odd" => {
            let int = value
                .as_int()
                .ok_or_else(|| other(format!("'is {name}' of {}", value.kind())))?;
            Ok((int.rem_euclid(2) == 0) == (name == "even"))
        }
        _ if !args.positional.is_empty() || !args.named.is_empty() => {
            Err(other(format!("the test '{name}' takes no argument")))
        }
        _ => kind(name, value, renderer.budget),
    }
}

fn argument<'a>(name: &str, args: &'a CallArgs) -> Result<&'a Value, Fault> {
    match (&args.positional[..], &args.named[..]) {
        ([argument], []) => Ok(argument),
        _ => Err(other(format!("the test '{name}' takes one argument"))),
    }
}

fn kind(name: &str, value: &Value, budget: &Budget) -> Result<bool, Fault> {
    let text = value.as_text().map(|text| text.as_str());
    if matches!(name, "lower" | "upper") {
        budget.work(text.map_or(0, |text| text.len() / 8))?;
    }
    Ok(match name {
        "defined" => !matches!(value, Value::Undefined(_)),
        "undefined" => matches!(value, Value::Undefined(_)),
        "none" => matches!(value, Value::None),
        "boolean" => matches!(value, Value::Bool(_)),
        "true" => matches!(value, Value::Bool(true)),
        "false" => matches!(value, Value::Bool(false)),
        "integer" => matches!(value, Value::Int(_)),
        "float" => matches!(value, Value::Float(_)),
        "number" => value.as_float().is_some(),
        "string" => text.is_some(),
        "mapping" => matches!(value, Value::Dict(_)),
        // Undefined has a length and can be looped over, and so counts as both.
        "sequence" | "iterable" => {
            matches!(
                value,
                Value::Str(_) | Value::List(_) | Value::Dict(_) | Value::Undefined(_)
            )
        }
        "callable" => matches!(value, Value::Function(_) | Value::Macro(_) | Value::Method(_)),
        "lower" => text.is_some_and(|text| {
            text.chars().any(char::is_lowercase) && !text.chars().any(char::is_uppercase)
        }),
        "upper" => text.is_some_and(|text| {
            text.chars().any(char::is_uppercase) && !text.chars().any(char::is_lowercase)
        }),
        "escaped" => false,
        _ => return Err(other(format!("the test '{name}' is not known"))),
    })
}

/// A test by the name that a filter such as `select` is given; without one, whether the value is true.
pub(super) fn named(
    renderer: &Renderer<'_>,
    name: Option<&str>,
    value: &Value,
    args: &CallArgs,
) -> Result<bool, Fault> {
    match name {
        None => Ok(value.truthy()),
        Some(name) => apply(renderer, name, value, args),
    }
}

/// `value.path`, where dots and numbers in the path go into lists and dicts.
pub(super) fn path(renderer: &Renderer<'_>, value: &Value, path: &Value) -> Result<Value, Fault> {
    let Some(text) = path.as_text() else {
        return access::index(renderer, value, path);
    };
    renderer.budget.hold(text.len())?;
    let mut found = value.clone();
    for part in text.as_str().split('.') {
        let key = match part.parse::<i128>() {
            Ok(number) => Value::Int(number),
            Err(_) => Value::inside(part),
        };
        found = access::index(renderer, &found, &key)?;
    }
    Ok(found)
}
