//! Calls: the functions that every template has, macros and methods.

use super::clock;
use super::fault::Fault;
use super::methods;
use super::render::Renderer;
use super::value::{Value, other, set_entry};

/// Evaluated arguments.
#[derive(Debug, Default)]
pub(super) struct CallArgs {
    pub(super) positional: Vec<Value>,
    pub(super) named: Vec<(String, Value)>,
}

impl CallArgs {
    /// The arguments by parameter, refusing any that `what` does not take.
    pub(super) fn bind<const N: usize>(
        self,
        what: &str,
        params: [&str; N],
    ) -> Result<[Option<Value>; N], Fault> {
        let mut bound = [const { None }; N];
        if self.positional.len() > N {
            return Err(other(format!("{what} takes at most {N} arguments")));
        }
        for (slot, value) in bound.iter_mut().zip(self.positional) {
            *slot = Some(value);
        }
        for (name, value) in self.named {
            match params.iter().position(|param| *param == name) {
                Some(at) if bound[at].is_none() => bound[at] = Some(value),
                _ => return Err(other(format!("{what} does not take the argument {name}"))),
            }
        }
        Ok(bound)
    }
}

const FUNCTIONS: [&str; 5] = ["dict", "namespace", "raise_exception", "range", "strftime_now"];

/// The function of this name that every template has.
pub(super) fn function(name: &str) -> Option<&'static str> {
    FUNCTIONS.into_iter().find(|function| *function == name)
}

/// Whether looking up `name` on a value finds a method that we have.
pub(super) fn is_method(of: &Value, name: &str) -> bool {
    match of {
        Value::Str(_) => methods::STR.contains(&name),
        Value::Dict(_) => methods::DICT.contains(&name),
        Value::List(_) => methods::LIST.contains(&name),
        _ => false,
    }
}

/// Whether it would find one that changes the value, which templates may not do.
pub(super) fn is_mutating_method(of: &Value, name: &str) -> bool {
    match of {
        Value::Dict(_) => ["clear", "pop", "popitem", "setdefault", "update"].contains(&name),
        Value::List(list) if !list.tuple => [
            "append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort",
        ]
        .contains(&name),
        _ => false,
    }
}

pub(super) fn call(renderer: &mut Renderer<'_>, function: &Value, args: CallArgs) -> Result<Value, Fault> {
    renderer.budget.work(4)?;
    match function {
        Value::Function(name) => call_function(renderer, name, args),
        Value::Macro(number) => renderer.call_macro(*number, args),
        Value::Method(method) => methods::call(renderer, &method.0, &method.1, args),
        Value::Undefined(what) => Err(other(format!("{what} is undefined and cannot be called"))),
        _ => Err(other(format!("{} cannot be called", function.kind()))),
    }
}

fn call_function(renderer: &mut Renderer<'_>, name: &str, args: CallArgs) -> Result<Value, Fault> {
    match name {
        "range" => range(renderer, args),
        "raise_exception" => {
            let [message] = args.bind(name, ["message"])?;
            let text = message
                .map(|message| super::print::to_text(renderer, &message))
                .transpose()?;
            Err(Fault::Raised(
                text.map_or_else(String::new, |text| text.as_str().to_owned()),
            ))
        }
        "strftime_now" => {
            let [format] = args.bind(name, ["format"])?;
            let Some(format) = format.as_ref().and_then(Value::as_text) else {
                return Err(other("strftime_now needs a format"));
            };
            renderer.budget.hold(format.len() * 16)?;
            let text = clock::strftime(renderer.now, format.as_str());
            Ok(Value::inside(text.map_err(other)?))
        }
        _ => {
            let mut entries = Vec::new();
            for value in args.positional {
                let Value::Dict(dict) = &value else {
                    return Err(other(format!("{name} of {}", value.kind())));
                };
                renderer.budget.hold(dict.entries.len() * 64)?;
                entries.extend(dict.entries.iter().cloned());
            }
            for (key, value) in args.named {
                renderer.budget.hold(key.len() + 64)?;
                set_entry(&mut entries, Value::inside(key), value, renderer.budget)?;
            }
            if name == "dict" {
                Value::dict(entries, renderer.budget)
            } else {
                renderer.new_namespace(entries)
            }
        }
    }
}

fn range(renderer: &mut Renderer<'_>, args: CallArgs) -> Result<Value, Fault> {
    let mut numbers = Vec::new();
    for value in args
        .bind("range", ["start", "stop", "step"])?
        .into_iter()
        .flatten()
    {
        numbers.push(
            value
                .as_int()
                .ok_or_else(|| other(format!("range of {}", value.kind())))?,
        );
    }
    let (start, stop, step) = match numbers[..] {
        [stop] => (0, stop, 1),
        [start, stop] => (start, stop, 1),
        [start, stop, step] => (start, stop, step),
        _ => return Err(other("range needs an argument")),
    };
    if step == 0 {
        return Err(other("range with step 0"));
    }
    let span = if step > 0 {
        stop.saturating_sub(start)
    } else {
        start.saturating_sub(stop)
    };
    let step_size = step.unsigned_abs();
    let len = (span.max(0) as u128).div_ceil(step_size);
    let len = usize::try_from(len).map_err(|_| Fault::OverLimit)?;
    // Jinja's sandbox allows ranges up to this long.
    if len > 100_000 {
        return Err(other(format!(
            "a range of {len} numbers; at most 100000 are allowed"
        )));
    }
    renderer.budget.hold(len * size_of::<Value>())?;
    let items = (0..len as i128)
        .map(|idx| Value::Int(start + idx * step))
        .collect();
    Value::list(items, renderer.budget)
}
