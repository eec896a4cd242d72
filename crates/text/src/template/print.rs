//! Values as text: as Python's `str` and `repr` write them, and as JSON.

use regex_automata::meta::Regex;
use std::fmt::Write;
use std::sync::{Arc, LazyLock};

use super::fault::{Budget, Fault};
use super::render::Renderer;
use super::text::Text;
use super::value::{Value, other};

/// Python's `str(value)`.
pub(super) fn to_text(renderer: &Renderer<'_>, value: &Value) -> Result<Arc<Text>, Fault> {
    match value {
        Value::Str(text) => Ok(text.clone()),
        Value::Undefined(_) => Ok(Arc::default()),
        _ => {
            let mut out = Text::default();
            repr(value, &mut out, renderer.budget)?;
            Ok(Arc::new(out))
        }
    }
}

fn push(out: &mut Text, text: &str, budget: &Budget) -> Result<(), Fault> {
    budget.work(1)?;
    budget.hold(text.len())?;
    out.push_inside(text);
    Ok(())
}

/// Python's `repr(value)`.
pub(super) fn repr(value: &Value, out: &mut Text, budget: &Budget) -> Result<(), Fault> {
    match value {
        Value::Undefined(_) => push(out, "Undefined", budget),
        Value::None => push(out, "None", budget),
        Value::Bool(true) => push(out, "True", budget),
        Value::Bool(false) => push(out, "False", budget),
        Value::Int(int) => push(out, &int.to_string(), budget),
        Value::Float(float) => push(out, &float_repr(*float), budget),
        Value::Str(text) => {
            budget.hold(text.len() * 2)?;
            budget.work(text.len() / 4)?;
            repr_str(text, out);
            Ok(())
        }
        Value::List(list) => {
            push(out, if list.tuple { "(" } else { "[" }, budget)?;
            for (idx, item) in list.items.iter().enumerate() {
                if idx > 0 {
                    push(out, ", ", budget)?;
                }
                repr(item, out, budget)?;
            }
            let end = match (list.tuple, list.items.len()) {
                (true, 1) => ",)",
                (true, _) => ")",
                _ => "]",
            };
            push(out, end, budget)
        }
        Value::Dict(dict) => {
            push(out, "{", budget)?;
            for (idx, (key, value)) in dict.entries.iter().enumerate() {
                if idx > 0 {
                    push(out, ", ", budget)?;
                }
                repr(key, out, budget)?;
                push(out, ": ", budget)?;
                repr(value, out, budget)?;
            }
            push(out, "}", budget)
        }
        // Python would print an address here.
        _ => Err(other(format!("{} cannot be written as text", value.kind()))),
    }
}

/// Characters beyond ASCII that Python's `repr` escapes.
static UNPRINTABLE: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"[\p{C}\p{Z}]").ok());

fn repr_str(text: &Text, out: &mut Text) {
    let quote = if text.as_str().contains('\'') && !text.as_str().contains('"') {
        '"'
    } else {
        '\''
    };
    out.push_inside(if quote == '"' { "\"" } else { "'" });
    let escaped = text.map_chars(|char, out| {
        let code = char as u32;
        // Writing to a String cannot fail.
        let _ = match char {
            '\n' => write!(out, "\\n"),
            '\r' => write!(out, "\\r"),
            '\t' => write!(out, "\\t"),
            '\\' => write!(out, "\\\\"),
            _ if char == quote => write!(out, "\\{char}"),
            ' '..='~' => write!(out, "{char}"),
            _ if code < 0xA0 => write!(out, "\\x{code:02x}"),
            _ if !is_unprintable(char) => write!(out, "{char}"),
            _ if code <= 0xFF => write!(out, "\\x{code:02x}"),
            _ if code <= 0xFFFF => write!(out, "\\u{code:04x}"),
            _ => write!(out, "\\U{code:08x}"),
        };
    });
    out.push(&escaped);
    out.push_inside(if quote == '"' { "\"" } else { "'" });
}

fn is_unprintable(char: char) -> bool {
    let mut buffer = [0; 4];
    let text: &str = char.encode_utf8(&mut buffer);
    UNPRINTABLE.as_ref().is_some_and(|regex| regex.is_match(text))
}

/// Python's `repr` of a float.
pub(super) fn float_repr(float: f64) -> String {
    if float.is_nan() {
        return "nan".into();
    }
    if float.is_infinite() {
        return if float > 0.0 { "inf".into() } else { "-inf".into() };
    }
    // Both write the shortest digits that read back the same, and change to exponents at the same sizes.
    let text = format!("{float:?}");
    let Some((digits, exponent)) = text.split_once('e') else {
        return text;
    };
    let digits = digits.strip_suffix(".0").unwrap_or(digits);
    match exponent.strip_prefix('-') {
        Some(exponent) => format!("{digits}e-{exponent:0>2}"),
        None => format!("{digits}e+{exponent:0>2}"),
    }
}

/// How JSON is laid out: `json.dumps` with its arguments.
pub(super) struct JsonStyle {
    /// What one level is indented by; `None` is all on one line.
    pub(super) indent: Option<String>,
    pub(super) item_separator: String,
    pub(super) key_separator: String,
    pub(super) ensure_ascii: bool,
    pub(super) sort_keys: bool,
}

/// Python's `json.dumps(value)`.
pub(super) fn json(value: &Value, style: &JsonStyle, budget: &Budget) -> Result<Text, Fault> {
    let mut out = Text::default();
    Json { style, budget }.write(value, 0, &mut out)?;
    Ok(out)
}

struct Json<'j> {
    style: &'j JsonStyle,
    budget: &'j Budget,
}

impl Json<'_> {
    fn push(&self, out: &mut Text, text: &str) -> Result<(), Fault> {
        push(out, text, self.budget)
    }

    fn write(&self, value: &Value, level: usize, out: &mut Text) -> Result<(), Fault> {
        match value {
            Value::None => self.push(out, "null"),
            Value::Bool(true) => self.push(out, "true"),
            Value::Bool(false) => self.push(out, "false"),
            Value::Int(int) => self.push(out, &int.to_string()),
            Value::Float(float) => self.push(out, &json_float(*float)),
            Value::Str(text) => self.string(text, out),
            Value::List(list) if list.items.is_empty() => self.push(out, "[]"),
            Value::List(list) => {
                self.push(out, "[")?;
                for (idx, item) in list.items.iter().enumerate() {
                    self.separate(idx, level + 1, out)?;
                    self.write(item, level + 1, out)?;
                }
                self.end("]", level, out)
            }
            Value::Dict(dict) if dict.entries.is_empty() => self.push(out, "{}"),
            Value::Dict(dict) => {
                let mut entries: Vec<&(Value, Value)> = dict.entries.iter().collect();
                if self.style.sort_keys {
                    super::filters::sort_by(&mut entries, |left, right| left.0.order(&right.0, self.budget))?;
                }
                self.push(out, "{")?;
                for (idx, (key, value)) in entries.into_iter().enumerate() {
                    self.separate(idx, level + 1, out)?;
                    self.key(key, out)?;
                    self.push(out, &self.style.key_separator)?;
                    self.write(value, level + 1, out)?;
                }
                self.end("}", level, out)
            }
            Value::Undefined(what) => Err(other(format!(
                "{what} is undefined and cannot be written as JSON"
            ))),
            _ => Err(other(format!("{} cannot be written as JSON", value.kind()))),
        }
    }

    fn key(&self, key: &Value, out: &mut Text) -> Result<(), Fault> {
        let text = match key {
            Value::Str(text) => return self.string(text, out),
            Value::None => "null".to_owned(),
            Value::Bool(value) => value.to_string(),
            Value::Int(int) => int.to_string(),
            Value::Float(float) => json_float(*float),
            _ => return Err(other(format!("{} cannot be a key in JSON", key.kind()))),
        };
        self.string(&Text::inside(text), out)
    }

    fn separate(&self, idx: usize, level: usize, out: &mut Text) -> Result<(), Fault> {
        if idx > 0 {
            self.push(out, &self.style.item_separator)?;
        }
        self.new_line(level, out)
    }

    fn end(&self, bracket: &str, level: usize, out: &mut Text) -> Result<(), Fault> {
        self.new_line(level, out)?;
        self.push(out, bracket)
    }

    fn new_line(&self, level: usize, out: &mut Text) -> Result<(), Fault> {
        let Some(indent) = &self.style.indent else {
            return Ok(());
        };
        self.push(out, "\n")?;
        for _ in 0..level {
            self.push(out, indent)?;
        }
        Ok(())
    }

    fn string(&self, text: &Text, out: &mut Text) -> Result<(), Fault> {
        self.budget.hold(text.len() * 2)?;
        self.budget.work(text.len() / 4)?;
        out.push_inside("\"");
        let escaped = text.map_chars(|char, out| {
            // Writing to a String cannot fail.
            let _ = match char {
                '"' => write!(out, "\\\""),
                '\\' => write!(out, "\\\\"),
                '\n' => write!(out, "\\n"),
                '\r' => write!(out, "\\r"),
                '\t' => write!(out, "\\t"),
                '\u{8}' => write!(out, "\\b"),
                '\u{c}' => write!(out, "\\f"),
                '\0'..='\u{1f}' => write!(out, "\\u{:04x}", char as u32),
                _ if self.style.ensure_ascii && !(' '..='~').contains(&char) => {
                    let mut units = [0; 2];
                    char.encode_utf16(&mut units)
                        .iter()
                        .try_for_each(|unit| write!(out, "\\u{unit:04x}"))
                }
                _ => write!(out, "{char}"),
            };
        });
        out.push(&escaped);
        out.push_inside("\"");
        Ok(())
    }
}

fn json_float(float: f64) -> String {
    match float_repr(float).as_str() {
        "nan" => "NaN".into(),
        "inf" => "Infinity".into(),
        "-inf" => "-Infinity".into(),
        text => text.into(),
    }
}
