//! Text with places to fill in: `%` and `str.format`. What templates use of them; anything else is refused.

use std::sync::Arc;

use crate::template::call::CallArgs;
use crate::template::fault::{Budget, Fault};
use crate::template::print;
use crate::template::render::Renderer;
use crate::template::text::Text;
use crate::template::value::{Value, other};

/// Python's `format % args` for `%s`, `%r`, `%d`, `%i`, `%f`, `%.Nf` and `%%`.
pub(in crate::template) fn printf(format: &Text, args: &[Value], budget: &Budget) -> Result<Value, Fault> {
    let mut out = Text::default();
    let mut args = args.iter();
    let str = format.as_str();
    let mut at = 0;
    while let Some(sign) = str[at..].find('%').map(|found| found + at) {
        budget.work(1)?;
        budget.hold(sign - at)?;
        out.push_slice(format, at..sign);
        let spec = &str[sign + 1..];
        let precision_len = spec.strip_prefix('.').map_or(0, |rest| {
            1 + rest
                .find(|char: char| !char.is_ascii_digit())
                .unwrap_or(rest.len())
        });
        let precision = spec[..precision_len]
            .trim_start_matches('.')
            .parse::<usize>()
            .ok();
        let kind = spec[precision_len..].chars().next().unwrap_or(' ');
        at = sign + 1 + precision_len + kind.len_utf8().min(spec.len() - precision_len);
        if kind == '%' {
            out.push_inside("%");
            continue;
        }
        let value = args
            .next()
            .ok_or_else(|| other("not enough values for a format"))?;
        match (kind, value) {
            ('s', Value::Str(text)) if precision.is_none() => {
                budget.hold(text.cost())?;
                out.push(text);
            }
            ('s' | 'r', value) if precision.is_none() => print::repr(value, &mut out, budget)?,
            ('d' | 'i', value) if precision.is_none() => {
                let int = value
                    .as_int()
                    .or_else(|| value.as_float().map(|float| float as i128));
                let int = int.ok_or_else(|| other(format!("%{kind} of {}", value.kind())))?;
                out.push_inside(&int.to_string());
            }
            ('f', value) => {
                let float = value
                    .as_float()
                    .ok_or_else(|| other(format!("%f of {}", value.kind())))?;
                out.push_inside(&format!("{float:.*}", precision.unwrap_or(6).min(60)));
            }
            _ => return Err(other(format!("the format %{kind} is not supported"))),
        }
    }
    if args.next().is_some() {
        return Err(other("too many values for a format"));
    }
    budget.hold(format.cost())?;
    out.push_slice(format, at..format.len());
    Ok(Value::Str(Arc::new(out)))
}

/// Python's `str.format` for `{}`, `{0}`, `{name}`, `{{` and `}}`.
pub(in crate::template) fn format_braces(
    renderer: &Renderer<'_>,
    format: &Text,
    args: &CallArgs,
) -> Result<Value, Fault> {
    let mut out = Text::default();
    let str = format.as_str();
    let (mut at, mut next) = (0, 0);
    while let Some(brace) = str[at..].find(['{', '}']).map(|found| found + at) {
        renderer.budget.work(1)?;
        renderer.budget.hold(brace - at + 1)?;
        out.push_slice(format, at..brace);
        let rest = &str[brace..];
        if rest.starts_with("{{") || rest.starts_with("}}") {
            out.push_slice(format, brace..brace + 1);
            at = brace + 2;
            continue;
        }
        let (Some(len), true) = (rest.find('}'), rest.starts_with('{')) else {
            return Err(other("a format has a single brace"));
        };
        let field = &rest[1..len];
        let value = if field.is_empty() {
            next += 1;
            args.positional.get(next - 1)
        } else if let Ok(index) = field.parse::<usize>() {
            args.positional.get(index)
        } else {
            renderer.budget.work(1 + args.named.len())?;
            args.named
                .iter()
                .find(|(name, _)| name == field)
                .map(|(_, value)| value)
        };
        let value = value.ok_or_else(|| other(format!("the format field {{{field}}} has no value")))?;
        let text = print::to_text(renderer, value)?;
        renderer.budget.hold(text.cost())?;
        out.push(&text);
        at = brace + len + 1;
    }
    renderer.budget.hold(format.cost())?;
    out.push_slice(format, at..format.len());
    Ok(Value::Str(Arc::new(out)))
}
