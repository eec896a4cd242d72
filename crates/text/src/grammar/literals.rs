//! Arguments in a language of their own as rules: Python's literals, and Gemma's.

use serde_json::Value;

use super::lark::{Lark, escaped, quoted};
use crate::tool_calls::Dialect;

const INTEGER: &str = "/-?(0|[1-9][0-9]{0,18})/";
const NUMBER: &str = r"/-?(0|[1-9][0-9]{0,18})(\.[0-9]{1,18})?([eE][+\-]?[0-9]{1,3})?/";

/// Writes rules for values of a schema. What the language cannot say of a schema, the rules leave out; see
/// [`unenforced`].
pub(super) struct Literals<'l> {
    lark: &'l mut Lark,
    dialect: Dialect,
    /// Gemma's quotation mark as the grammar spells it.
    quote: String,
    any: Option<String>,
    text: Option<String>,
}

impl Literals<'_> {
    pub(super) fn new(lark: &mut Lark, dialect: Dialect, quote: String) -> Literals<'_> {
        Literals {
            lark,
            dialect,
            quote,
            any: None,
            text: None,
        }
    }

    /// The arguments of a call, up to the closing bracket.
    pub(super) fn arguments(&mut self, parameters: &Value) -> String {
        let (key_end, close, separator) = match self.dialect {
            Dialect::Python => ("=", "\")\"", "\", \""),
            Dialect::Gemma => (":", "\"}\"", "\",\""),
        };
        let entries = self.entries(parameters, |key| quoted(&format!("{key}{key_end}")));
        let list = self.list(&entries, separator);
        self.lark.rule(&format!("{list} {close}"))
    }

    fn entries(&mut self, schema: &Value, key: impl Fn(&str) -> String) -> Vec<(String, bool)> {
        let required = schema.get("required").and_then(Value::as_array);
        let properties = schema.get("properties").and_then(Value::as_object);
        let mut entries = Vec::new();
        for (name, schema) in properties.into_iter().flatten() {
            let is_required = required.is_some_and(|names| names.iter().any(|other| other == name));
            let value = self.value(schema, 0);
            let entry = self.lark.rule(&format!("{} {value}", key(name)));
            entries.push((entry, is_required));
        }
        entries
    }

    /// These entries in this order, those that are not required or left out, with separators between.
    fn list(&mut self, entries: &[(String, bool)], separator: &str) -> String {
        let mut first = "\"\"".to_owned();
        let mut rest = "\"\"".to_owned();
        for (entry, is_required) in entries.iter().rev() {
            let (with, without) = (format!("{entry} {rest}"), first.clone());
            let later = match is_required {
                true => format!("{separator} {with}"),
                false => format!("{separator} {with} | {rest}"),
            };
            first = match is_required {
                true => self.lark.rule(&with),
                false => self.lark.rule(&format!("{with} | {without}")),
            };
            rest = self.lark.rule(&later);
        }
        first
    }

    fn value(&mut self, schema: &Value, depth: usize) -> String {
        let options = ["anyOf", "oneOf"]
            .iter()
            .find_map(|key| schema.get(key)?.as_array());
        let values = schema.get("enum").and_then(Value::as_array).cloned();
        let values = values.or_else(|| Some(vec![schema.get("const")?.clone()]));
        if let Some(values) = values {
            let literals: Vec<String> = values.iter().map(|value| self.literal(value)).collect();
            return self.lark.rule(&literals.join(" | "));
        }
        if let Some(options) = options.filter(|_| depth < 16) {
            let rules: Vec<String> = options
                .iter()
                .map(|option| self.value(option, depth + 1))
                .collect();
            return self.lark.rule(&rules.join(" | "));
        }
        match schema.get("type") {
            Some(Value::Array(names)) => {
                let rules: Vec<String> = names.iter().map(|name| self.typed(name, schema, depth)).collect();
                self.lark.rule(&rules.join(" | "))
            }
            Some(name) => self.typed(name, schema, depth),
            None => self.any(),
        }
    }

    fn typed(&mut self, name: &Value, schema: &Value, depth: usize) -> String {
        let words = self.words();
        match name.as_str() {
            Some("string") => self.text(),
            Some("integer") => INTEGER.to_owned(),
            Some("number") => NUMBER.to_owned(),
            Some("boolean") => format!("(\"{}\" | \"{}\")", words.0, words.1),
            Some("null") => format!("\"{}\"", words.2),
            Some("array") if depth < 16 => {
                let item = match schema.get("items") {
                    Some(items) => self.value(items, depth + 1),
                    None => self.any(),
                };
                let separator = if self.dialect == Dialect::Python {
                    ", "
                } else {
                    ","
                };
                self.lark
                    .rule(&format!("\"[\" ({item} (\"{separator}\" {item})*)? \"]\""))
            }
            Some("object") if depth < 16 && schema.get("properties").is_some() => {
                let dialect = self.dialect;
                let quote = self.quote.clone();
                let key = move |name: &str| match dialect {
                    Dialect::Python => quoted(&format!("{}: ", python_text(name))),
                    Dialect::Gemma => {
                        let _ = &quote;
                        quoted(&format!("{name}:"))
                    }
                };
                let entries = self.entries(schema, key);
                let separator = if dialect == Dialect::Python {
                    "\", \""
                } else {
                    "\",\""
                };
                let list = self.list(&entries, separator);
                self.lark.rule(&format!("\"{{\" {list} \"}}\""))
            }
            _ => self.any(),
        }
    }

    fn words(&self) -> (&'static str, &'static str, &'static str) {
        match self.dialect {
            Dialect::Python => ("True", "False", "None"),
            Dialect::Gemma => ("true", "false", "null"),
        }
    }

    fn text(&mut self) -> String {
        if self.text.is_none() {
            let rule = match self.dialect {
                Dialect::Python => self
                    .lark
                    .terminal(r#"/'([^'\\\x00-\x1F]|\\['"\\nrt])*'/ | /"([^"\\\x00-\x1F]|\\['"\\nrt])*"/"#),
                Dialect::Gemma if self.quote.starts_with('<') => {
                    let quote = &self.quote;
                    let body = format!("{quote} /(?s:.+)/? {quote}");
                    self.lark.rule(&body)
                }
                Dialect::Gemma => {
                    let rest = self.lark.lazy_rule("(?s:.*)<\\|\"\\|>");
                    let body = format!("{} {rest}", self.quote);
                    self.lark.rule(&body)
                }
            };
            self.text = Some(rule);
        }
        self.text.clone().unwrap_or_default()
    }

    /// Any value.
    fn any(&mut self) -> String {
        if let Some(any) = &self.any {
            return any.clone();
        }
        let text = self.text();
        let words = self.words();
        // Names of rules go by their number: this one's is known before its body.
        let name = "anyliteral".to_owned();
        self.any = Some(name.clone());
        let key = match self.dialect {
            Dialect::Python => text.clone(),
            Dialect::Gemma => "/[A-Za-z_][A-Za-z0-9_]{0,63}/".to_owned(),
        };
        let body = format!(
            "{text} | {NUMBER} | \"{}\" | \"{}\" | \"{}\" | \"[\" ({name} (\",\" \" \"? {name})*)? \"]\" \
             | \"{{\" ({key} \":\" \" \"? {name} (\",\" \" \"? {key} \":\" \" \"? {name})*)? \"}}\"",
            words.0, words.1, words.2
        );
        self.lark.named_rule(&name, &body);
        name
    }

    fn literal(&mut self, value: &Value) -> String {
        let words = self.words();
        match (value, self.dialect) {
            (Value::Null, _) => quoted(words.2),
            (Value::Bool(true), _) => quoted(words.0),
            (Value::Bool(false), _) => quoted(words.1),
            (Value::String(text), Dialect::Python) => quoted(&python_text(text)),
            (Value::String(text), Dialect::Gemma) => {
                format!("({0} {1} {0})", self.quote, quoted(text))
            }
            (other, _) => quoted(&other.to_string()),
        }
    }
}

fn python_text(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('\'', "\\'");
    format!(
        "'{}'",
        escaped
            .replace('\n', "\\n")
            .replace('\r', "\\r")
            .replace('\t', "\\t")
    )
}

/// Text up to a closing mark and the mark itself, as little as there can be.
pub(super) fn up_to(lark: &mut Lark, before: &str, close: &str) -> String {
    lark.lazy_rule(&format!("{}(?s:.*){}", escaped(before), escaped(close)))
}
