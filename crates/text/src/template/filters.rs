//! Filters: what may stand behind `|`.

mod format;
mod sequences;

pub(super) use format::{format_braces, printf};
pub(super) use sequences::sort_by;

use std::sync::Arc;

use super::call::CallArgs;
use super::fault::Fault;
use super::render::Renderer;
use super::text::Text;
use super::value::{Value, other};
use super::{methods, print};

pub(super) fn apply(
    renderer: &mut Renderer<'_>,
    name: &str,
    value: Value,
    args: CallArgs,
) -> Result<Value, Fault> {
    renderer.budget.work(4)?;
    match name {
        "capitalize" | "center" | "e" | "escape" | "indent" | "lower" | "replace" | "string" | "title"
        | "trim" | "upper" | "wordcount" => text_filter(renderer, name, &value, args),
        "abs" | "float" | "int" | "round" => number_filter(renderer, name, &value, args),
        "default" | "d" => {
            let [default, boolean] = args.bind(name, ["default_value", "boolean"])?;
            let boolean = boolean.is_some_and(|boolean| boolean.truthy());
            let missing = matches!(value, Value::Undefined(_)) || (boolean && !value.truthy());
            Ok(if missing {
                default.unwrap_or_else(|| Value::inside(""))
            } else {
                value
            })
        }
        "safe" => Ok(Value::Str(print::to_text(renderer, &value)?)),
        "tojson" => tojson(renderer, &value, args),
        "attr" => {
            let [attr] = args.bind(name, ["name"])?;
            let attr = attr.ok_or_else(|| other("attr needs a name"))?;
            let found = super::access::attr(renderer, &value, text_of(renderer, &attr)?.as_str())?;
            Ok(if matches!(value, Value::Dict(_)) {
                Value::missing("attr", renderer.budget)?
            } else {
                found
            })
        }
        "format" => {
            let format = text_of(renderer, &value)?;
            printf(&format, &args.positional, renderer.budget)
        }
        _ => sequences::apply(renderer, name, &value, args),
    }
}

pub(super) fn text_of(renderer: &Renderer<'_>, value: &Value) -> Result<Arc<Text>, Fault> {
    print::to_text(renderer, value)
}

fn made(text: Text) -> Result<Value, Fault> {
    Ok(Value::Str(Arc::new(text)))
}

fn text_filter(
    renderer: &mut Renderer<'_>,
    name: &str,
    value: &Value,
    args: CallArgs,
) -> Result<Value, Fault> {
    let text = text_of(renderer, value)?;
    renderer.budget.hold(text.cost() * 2)?;
    renderer.budget.work(text.len() / 8)?;
    match name {
        "trim" => {
            let [chars] = args.bind(name, ["chars"])?;
            let chars = match chars {
                None | Some(Value::None) => None,
                Some(chars) => Some(text_of(renderer, &chars)?),
            };
            renderer
                .budget
                .work(chars.as_ref().map_or(0, |chars| chars.len() * text.len() / 64))?;
            made(methods::strip(
                &text,
                true,
                true,
                chars.as_deref().map(Text::as_str),
            ))
        }
        "replace" => {
            let [old, new, count] = args.bind(name, ["old", "new", "count"])?;
            let (Some(old), Some(new)) = (old, new) else {
                return Err(other("replace needs two arguments"));
            };
            let (old, new) = (text_of(renderer, &old)?, text_of(renderer, &new)?);
            let count = count.and_then(|count| count.as_int()).unwrap_or(-1);
            made(methods::replace(&text, &old, &new, count, renderer.budget)?)
        }
        "indent" => indent(renderer, &text, args),
        "center" => {
            let [width] = args.bind(name, ["width"])?;
            let width = width.unwrap_or(Value::Int(80));
            let args = CallArgs {
                positional: vec![width],
                named: Vec::new(),
            };
            methods::call(renderer, &Value::Str(text), "center", args)
        }
        _ => {
            let [] = args.bind(name, [])?;
            changed_text(renderer, name, text)
        }
    }
}

/// Filters of text without arguments.
fn changed_text(renderer: &Renderer<'_>, name: &str, text: Arc<Text>) -> Result<Value, Fault> {
    match name {
        "lower" => made(methods::lower(&text)),
        "upper" => made(methods::upper(&text)),
        "capitalize" => made(methods::capitalize(&text)),
        "title" => made(methods::title(&text, |before| {
            !before.is_whitespace() && !"-({[<".contains(before)
        })),
        "wordcount" => {
            let words = text
                .as_str()
                .split(|char: char| !char.is_alphanumeric() && char != '_');
            Ok(Value::Int(words.filter(|word| !word.is_empty()).count() as i128))
        }
        "e" | "escape" => {
            renderer.budget.hold(text.len() * 3)?;
            made(escape_html(&text))
        }
        _ => Ok(Value::Str(text)),
    }
}

fn escape_html(text: &Text) -> Text {
    text.map_chars(|char, out| match char {
        '&' => out.push_str("&amp;"),
        '<' => out.push_str("&lt;"),
        '>' => out.push_str("&gt;"),
        '"' => out.push_str("&#34;"),
        '\'' => out.push_str("&#39;"),
        _ => out.push(char),
    })
}

fn indent(renderer: &mut Renderer<'_>, text: &Arc<Text>, args: CallArgs) -> Result<Value, Fault> {
    let [width, first, blank] = args.bind("indent", ["width", "first", "blank"])?;
    let is = |flag: Option<Value>| flag.is_some_and(|flag| flag.truthy());
    let (first, blank) = (is(first), is(blank));
    let indention = match width {
        Some(Value::Str(text)) => text,
        width => {
            let width = width
                .map_or(Some(4), |width| width.as_int())
                .ok_or_else(|| other("indent needs a width"))?;
            let width = usize::try_from(width.max(0)).map_err(|_| Fault::OverLimit)?;
            renderer.budget.hold(width)?;
            Arc::new(Text::inside(" ".repeat(width)))
        }
    };
    let mut ended = text.as_ref().clone();
    ended.push_inside("\n");
    let lines = methods::call(
        renderer,
        &Value::Str(Arc::new(ended)),
        "splitlines",
        CallArgs::default(),
    )?;
    let mut out = Text::default();
    for (idx, line) in lines.items(renderer.budget)?.iter().enumerate() {
        let line = text_of(renderer, line)?;
        renderer.budget.hold(indention.cost() + line.cost() + 1)?;
        if idx > 0 {
            out.push_inside("\n");
        }
        if if idx == 0 { first } else { blank || line.len() > 0 } {
            out.push(&indention);
        }
        out.push(&line);
    }
    made(out)
}

fn number_filter(renderer: &Renderer<'_>, name: &str, value: &Value, args: CallArgs) -> Result<Value, Fault> {
    if let Value::Str(text) = value {
        // Reading a number looks at the whole string, and copies it.
        renderer.budget.hold(text.len())?;
        renderer.budget.work(text.len() / 8)?;
    }
    match name {
        "abs" => match (value.as_int(), value) {
            (Some(int), _) => int
                .checked_abs()
                .map(Value::Int)
                .ok_or_else(|| other("a number is too large")),
            (_, Value::Float(float)) => Ok(Value::Float(float.abs())),
            _ => Err(other(format!("abs of {}", value.kind()))),
        },
        "round" => {
            let [precision, method] = args.bind(name, ["precision", "method"])?;
            let precision = precision
                .and_then(|precision| precision.as_int())
                .unwrap_or(0)
                .clamp(-300, 300);
            let method = method.map(|method| text_of(renderer, &method)).transpose()?;
            let float = value
                .as_float()
                .ok_or_else(|| other(format!("round of {}", value.kind())))?;
            round(
                float,
                precision as i32,
                method.as_deref().map_or("common", Text::as_str),
            )
        }
        "int" => {
            let [default, base] = args.bind(name, ["default", "base"])?;
            let base = base.and_then(|base| base.as_int()).unwrap_or(10);
            let parsed = match value {
                Value::Str(text) => parse_int(text.as_str(), base),
                _ => value.as_int().or_else(|| value.as_float().and_then(whole)),
            };
            Ok(parsed.map(Value::Int).or(default).unwrap_or(Value::Int(0)))
        }
        _ => {
            let [default] = args.bind(name, ["default"])?;
            let parsed = match value {
                Value::Str(text) => text.as_str().trim().parse().ok(),
                _ => value.as_float(),
            };
            Ok(parsed.map(Value::Float).or(default).unwrap_or(Value::Float(0.0)))
        }
    }
}

fn whole(float: f64) -> Option<i128> {
    (float.abs() < 1e38).then_some(float as i128)
}

fn parse_int(text: &str, base: i128) -> Option<i128> {
    let text = text.trim().replace('_', "");
    let radix = u32::try_from(base).ok().filter(|base| (2..=36).contains(base))?;
    let digits = match radix {
        16 => text.trim_start_matches("0x"),
        8 => text.trim_start_matches("0o"),
        2 => text.trim_start_matches("0b"),
        _ => text.as_str(),
    };
    i128::from_str_radix(digits, radix)
        .ok()
        .or_else(|| text.parse().ok().and_then(whole))
}

fn round(float: f64, precision: i32, method: &str) -> Result<Value, Fault> {
    let scale = 10f64.powi(precision);
    Ok(Value::Float(match method {
        "ceil" => (float * scale).ceil() / scale,
        "floor" => (float * scale).floor() / scale,
        // The decimal digits decide, as in Python, and not the product with the scale.
        "common" if precision > 0 => format!("{float:.*}", precision.min(60) as usize)
            .parse()
            .unwrap_or(float),
        "common" => (float * scale).round_ties_even() / scale,
        other_method => return Err(other(format!("round by the method {other_method}"))),
    }))
}

fn tojson(renderer: &Renderer<'_>, value: &Value, args: CallArgs) -> Result<Value, Fault> {
    let params = ["ensure_ascii", "indent", "separators", "sort_keys"];
    let [ensure_ascii, indent, separators, sort_keys] = args.bind("tojson", params)?;
    let is = |flag: Option<Value>| flag.is_some_and(|flag| flag.truthy());
    let indent = match indent {
        None | Some(Value::None) => None,
        Some(Value::Str(text)) => Some(text.as_str().to_owned()),
        Some(width) => {
            let width = width
                .as_int()
                .ok_or_else(|| other("tojson needs a number or str as indent"))?;
            let width = usize::try_from(width.max(0)).map_err(|_| Fault::OverLimit)?;
            renderer.budget.hold(width)?;
            Some(" ".repeat(width))
        }
    };
    let (mut item_separator, mut key_separator) = (
        if indent.is_some() { "," } else { ", " }.to_owned(),
        ": ".to_owned(),
    );
    if let Some(separators) = separators.filter(|separators| !matches!(separators, Value::None)) {
        let pair = separators.items(renderer.budget)?;
        let [item, key] = &pair[..] else {
            return Err(other("tojson needs two separators"));
        };
        item_separator = text_of(renderer, item)?.as_str().to_owned();
        key_separator = text_of(renderer, key)?.as_str().to_owned();
    }
    let style = print::JsonStyle {
        indent,
        item_separator,
        key_separator,
        ensure_ascii: is(ensure_ascii),
        sort_keys: is(sort_keys),
    };
    made(print::json(value, &style, renderer.budget)?)
}
