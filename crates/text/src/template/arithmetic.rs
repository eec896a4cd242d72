//! `+ - * / // % **` as Python computes them. Whole numbers have 128 bits here; beyond them is an error.

use std::sync::Arc;

use super::fault::{Budget, Fault};
use super::syntax::BinaryOp;
use super::text::Text;
use super::value::{Value, other};

pub(super) fn negate(value: &Value) -> Result<Value, Fault> {
    match (value, value.as_int()) {
        (_, Some(int)) => int.checked_neg().map(Value::Int).ok_or_else(too_large),
        (Value::Float(float), _) => Ok(Value::Float(-float)),
        _ => Err(other(format!("- of {}", value.kind()))),
    }
}

fn too_large() -> Fault {
    other("a number is too large")
}

pub(super) fn binary(op: BinaryOp, left: &Value, right: &Value, budget: &Budget) -> Result<Value, Fault> {
    match (op, left, right) {
        (BinaryOp::Add, Value::Str(left), Value::Str(right)) => {
            budget.hold(left.cost() + right.cost())?;
            let mut text = left.as_ref().clone();
            text.push(right);
            return Ok(Value::Str(Arc::new(text)));
        }
        (BinaryOp::Add, Value::List(left), Value::List(right)) if left.tuple == right.tuple => {
            budget.hold((left.items.len() + right.items.len()) * size_of::<Value>())?;
            let items = left.items.iter().chain(&right.items).cloned().collect();
            return if left.tuple {
                Value::tuple(items, budget)
            } else {
                Value::list(items, budget)
            };
        }
        (BinaryOp::Mul, Value::Str(_) | Value::List(_), _) if right.as_int().is_some() => {
            return repeat(left, right, budget);
        }
        (BinaryOp::Mul, _, Value::Str(_) | Value::List(_)) if left.as_int().is_some() => {
            return repeat(right, left, budget);
        }
        (BinaryOp::Mod, Value::Str(format), _) => {
            let args = match right {
                Value::List(list) if list.tuple => list.items.clone(),
                _ => vec![right.clone()],
            };
            return super::filters::printf(format, &args, budget);
        }
        _ => {}
    }
    if let (Some(left), Some(right)) = (left.as_int(), right.as_int()) {
        return ints(op, left, right);
    }
    if let (Some(left), Some(right)) = (left.as_float(), right.as_float()) {
        return floats(op, left, right);
    }
    if let Value::Undefined(what) = if matches!(left, Value::Undefined(_)) {
        left
    } else {
        right
    } {
        return Err(other(format!("{what} is undefined")));
    }
    let sign = match op {
        BinaryOp::Add => "+",
        BinaryOp::Sub => "-",
        BinaryOp::Mul => "*",
        BinaryOp::Div => "/",
        BinaryOp::FloorDiv => "//",
        BinaryOp::Mod => "%",
        BinaryOp::Pow => "**",
    };
    Err(other(format!("{} {sign} {}", left.kind(), right.kind())))
}

fn repeat(what: &Value, times: &Value, budget: &Budget) -> Result<Value, Fault> {
    let times = usize::try_from(times.as_int().unwrap_or(0).max(0)).map_err(|_| Fault::OverLimit)?;
    match what {
        Value::Str(text) => {
            budget.hold(text.cost().saturating_mul(times))?;
            budget.work(if text.len() > 0 { times } else { 0 })?;
            let mut out = Text::default();
            for _ in 0..if text.len() > 0 { times } else { 0 } {
                out.push(text);
            }
            Ok(Value::Str(Arc::new(out)))
        }
        Value::List(list) => {
            let n_items = list.items.len().saturating_mul(times);
            budget.hold(n_items.saturating_mul(size_of::<Value>()))?;
            let items = list.items.iter().cycle().take(n_items).cloned().collect();
            if list.tuple {
                Value::tuple(items, budget)
            } else {
                Value::list(items, budget)
            }
        }
        _ => Err(other("* of what cannot be repeated")),
    }
}

fn ints(op: BinaryOp, left: i128, right: i128) -> Result<Value, Fault> {
    let zero = || other("division by zero");
    let checked = |value: Option<i128>| value.map(Value::Int).ok_or_else(too_large);
    match op {
        BinaryOp::Add => checked(left.checked_add(right)),
        BinaryOp::Sub => checked(left.checked_sub(right)),
        BinaryOp::Mul => checked(left.checked_mul(right)),
        BinaryOp::Div if right == 0 => Err(zero()),
        BinaryOp::Div => Ok(Value::Float(left as f64 / right as f64)),
        BinaryOp::FloorDiv | BinaryOp::Mod if right == 0 => Err(zero()),
        BinaryOp::FloorDiv => {
            let quotient = left.checked_div(right).ok_or_else(too_large)?;
            let inexact = left
                .checked_rem(right)
                .is_some_and(|rest| rest != 0 && (rest < 0) != (right < 0));
            Ok(Value::Int(quotient - i128::from(inexact)))
        }
        BinaryOp::Mod => {
            let rest = left.checked_rem(right).unwrap_or(0);
            Ok(Value::Int(if rest != 0 && (rest < 0) != (right < 0) {
                rest + right
            } else {
                rest
            }))
        }
        BinaryOp::Pow if right < 0 => floats(op, left as f64, right as f64),
        BinaryOp::Pow => checked(
            u32::try_from(right)
                .ok()
                .and_then(|right| left.checked_pow(right)),
        ),
    }
}

fn floats(op: BinaryOp, left: f64, right: f64) -> Result<Value, Fault> {
    let divides = matches!(op, BinaryOp::Div | BinaryOp::FloorDiv | BinaryOp::Mod);
    if divides && right == 0.0 {
        return Err(other("division by zero"));
    }
    let rest = || {
        let rest = left % right;
        if rest != 0.0 && (rest < 0.0) != (right < 0.0) {
            rest + right
        } else {
            rest
        }
    };
    Ok(Value::Float(match op {
        BinaryOp::Add => left + right,
        BinaryOp::Sub => left - right,
        BinaryOp::Mul => left * right,
        BinaryOp::Div => left / right,
        BinaryOp::FloorDiv => (left / right).floor(),
        BinaryOp::Mod => rest(),
        BinaryOp::Pow => left.powf(right),
    }))
}
