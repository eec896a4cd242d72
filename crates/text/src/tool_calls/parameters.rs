//! Arguments between marks of their own: `<parameter=city>Paris</parameter>`.

use serde_json::Value;

use super::calls::Calls;
use super::json::Fed;

/// How each argument is written.
#[derive(Debug)]
pub(crate) struct Parameters {
    /// Before an argument's name.
    pub(crate) open: &'static str,
    /// After it; some say here whether the value is a plain text or JSON.
    pub(crate) name_ends: &'static [(&'static str, ValueKind)],
    /// Before the value, whitespace allowed before it.
    pub(crate) value_open: &'static str,
    /// After the value.
    pub(crate) close: &'static str,
    /// Whether a line feed after the opening and one before the closing mark are layout.
    pub(crate) on_own_lines: bool,
    /// After the last argument.
    pub(crate) end: &'static str,
}

/// What the text of a value means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ValueKind {
    /// Text as it stands.
    Text,
    /// JSON.
    Json,
    /// What the function's schema says.
    BySchema,
}

impl Parameters {
    pub(super) fn marks(&self) -> Vec<&'static str> {
        let mut marks = vec![self.open, self.value_open, self.close, self.end];
        marks.extend(self.name_ends.iter().map(|(end, _)| *end));
        marks
    }
}

/// Reads the arguments of one call and writes them as a JSON object.
#[derive(Debug)]
pub(super) struct ParameterReader {
    form: &'static Parameters,
    at: At,
    n_read: usize,
}

#[derive(Debug)]
enum At {
    /// Between arguments; what has been read of a mark.
    Between(String),
    Name(String),
    /// Before the value; what has been read of the mark.
    ValueOpen(String, ValueKind),
    Value(ValueText),
}

#[derive(Debug)]
struct ValueText {
    /// Whether the value is written on as text while it arrives.
    is_text: bool,
    /// The value so far, where it is JSON; nothing where it is text.
    json: String,
    /// The end of what arrived, which may be the closing mark's beginning.
    tail: String,
    is_first: bool,
}

impl ParameterReader {
    pub(super) fn new(form: &'static Parameters) -> ParameterReader {
        ParameterReader {
            form,
            at: At::Between(String::new()),
            n_read: 0,
        }
    }

    pub(super) fn feed(&mut self, c: char, calls: &mut Calls) -> Fed {
        match &mut self.at {
            At::Between(mark) => {
                if mark.is_empty() && c.is_ascii_whitespace() {
                    return Fed::More;
                }
                mark.push(c);
                if mark == self.form.end {
                    calls.arguments(if self.n_read == 0 { "{}" } else { "}" });
                    return Fed::Done;
                }
                if mark == self.form.open {
                    return self.go(At::Name(String::new()));
                }
                let may_become =
                    self.form.end.starts_with(mark.as_str()) || self.form.open.starts_with(mark.as_str());
                if may_become { Fed::More } else { Fed::Broken }
            }
            At::Name(name) => {
                name.push(c);
                if c == '\n' {
                    return Fed::Broken;
                }
                let mut ends = self.form.name_ends.iter();
                let ended = ends.find_map(|(end, kind)| Some((name.strip_suffix(end)?, kind)));
                let Some((name, kind)) = ended.map(|(name, kind)| (name.to_owned(), *kind)) else {
                    return Fed::More;
                };
                self.begin_argument(&name, kind, calls)
            }
            At::ValueOpen(mark, kind) => {
                if mark.is_empty() && c.is_ascii_whitespace() {
                    return Fed::More;
                }
                mark.push(c);
                if mark == self.form.value_open {
                    let value = ValueText::new(*kind == ValueKind::Text);
                    return self.begin_value(value, calls);
                }
                let may_become = self.form.value_open.starts_with(mark.as_str());
                if may_become { Fed::More } else { Fed::Broken }
            }
            At::Value(value) => {
                if value.feed(c, self.form, calls) {
                    self.n_read += 1;
                    return self.go(At::Between(String::new()));
                }
                Fed::More
            }
        }
    }

    fn go(&mut self, at: At) -> Fed {
        self.at = at;
        Fed::More
    }

    fn begin_argument(&mut self, name: &str, kind: ValueKind, calls: &mut Calls) -> Fed {
        let kind = match kind {
            ValueKind::BySchema if takes_text(calls.schema(name)) => ValueKind::Text,
            ValueKind::BySchema => ValueKind::Json,
            other => other,
        };
        let before = if self.n_read == 0 { "{" } else { ", " };
        calls.arguments(&format!("{before}{}: ", Value::from(name)));
        if self.form.value_open.is_empty() {
            return self.begin_value(ValueText::new(kind == ValueKind::Text), calls);
        }
        self.go(At::ValueOpen(String::new(), kind))
    }

    fn begin_value(&mut self, value: ValueText, calls: &mut Calls) -> Fed {
        if value.is_text {
            calls.arguments("\"");
        }
        self.go(At::Value(value))
    }
}

/// Whether a value is text as it stands: where the schema allows a string and nothing else that text could be, or says
/// nothing at all.
pub(crate) fn takes_text(schema: Option<&Value>) -> bool {
    let Some(schema) = schema else { return true };
    let is_string = |name: &Value| name == "string";
    match schema.get("type") {
        Some(Value::Array(names)) => names.iter().any(is_string),
        Some(name) => is_string(name),
        None => {
            let options = ["anyOf", "oneOf"]
                .iter()
                .find_map(|key| schema.get(key)?.as_array());
            if let Some(options) = options {
                return options.iter().any(|option| takes_text(Some(option)));
            }
            let values = schema.get("enum").and_then(Value::as_array);
            match (values, schema.get("const")) {
                (Some(values), _) => values.iter().all(Value::is_string),
                (None, Some(value)) => value.is_string(),
                (None, None) => schema.get("properties").is_none() && schema.get("items").is_none(),
            }
        }
    }
}

impl ValueText {
    fn new(is_text: bool) -> ValueText {
        ValueText {
            is_text,
            json: String::new(),
            tail: String::new(),
            is_first: true,
        }
    }

    /// Takes a character; true when the value has ended.
    fn feed(&mut self, c: char, form: &Parameters, calls: &mut Calls) -> bool {
        let is_layout = std::mem::take(&mut self.is_first) && form.on_own_lines && c == '\n';
        if is_layout {
            return false;
        }
        self.tail.push(c);
        if let Some(value) = self.tail.strip_suffix(form.close) {
            let value = match value.strip_suffix('\n') {
                Some(before) if form.on_own_lines => before,
                _ => value,
            };
            let value = value.to_owned();
            self.pass(&value, calls);
            self.end(calls);
            return true;
        }
        let n_free = self.n_free(form);
        let free: String = self.tail.drain(..n_free).collect();
        self.pass(&free, calls);
        false
    }

    /// Bytes of the tail that are certainly not the end of the value.
    fn n_free(&self, form: &Parameters) -> usize {
        let is_end = |tail: &str| {
            let mark = match tail.strip_prefix('\n') {
                Some(mark) if form.on_own_lines => mark,
                _ => tail,
            };
            form.close.starts_with(mark)
        };
        let starts = self.tail.char_indices().map(|(start, _)| start);
        starts
            .into_iter()
            .find(|&start| is_end(&self.tail[start..]))
            .unwrap_or(self.tail.len())
    }

    fn pass(&mut self, text: &str, calls: &mut Calls) {
        if !self.is_text {
            self.json.push_str(text);
        } else if !text.is_empty() {
            let quoted = Value::from(text).to_string();
            calls.arguments(&quoted[1..quoted.len() - 1]);
        }
    }

    fn end(&mut self, calls: &mut Calls) {
        if self.is_text {
            calls.arguments("\"");
            return;
        }
        let text = self.json.trim();
        let json = match text {
            "True" => "true".to_owned(),
            "False" => "false".to_owned(),
            "None" => "null".to_owned(),
            _ if serde_json::from_str::<Value>(text).is_ok() => text.to_owned(),
            // Not what the schema asks for, yet what the model said.
            _ => Value::from(self.json.as_str()).to_string(),
        };
        calls.arguments(&json);
    }
}
