//! JSON schemas: which keywords are enforced, and where in a schema one stands that is not.

use serde_json::{Map, Value};

use super::lark::{MAX_REPETITIONS, repetitions};
use super::{GrammarError, formats};

/// Longest schema (bytes of its JSON).
pub const MAX_SCHEMA_BYTES: usize = 256 << 10;
/// Schemas within a schema.
const MAX_SUBSCHEMAS: usize = 20_000;
/// How deep they may nest.
const MAX_DEPTH: usize = 64;

/// Keywords that the grammar enforces. Sorted.
const ENFORCED: &[&str] = &[
    "$ref",
    "additionalItems",
    "additionalProperties",
    "allOf",
    "anyOf",
    "const",
    "enum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "items",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "oneOf",
    "pattern",
    "patternProperties",
    "prefixItems",
    "properties",
    "required",
    "type",
];

/// Keywords that say nothing about what is valid. Sorted. Those of them that the grammar library does not know are
/// taken out before it sees the schema.
const ANNOTATIONS: &[&str] = &[
    "$anchor",
    "$comment",
    "$defs",
    "$id",
    "$schema",
    "contentEncoding",
    "contentMediaType",
    "contentSchema",
    "default",
    "definitions",
    "deprecated",
    "description",
    "discriminator",
    "example",
    "examples",
    "externalDocs",
    "id",
    "readOnly",
    "title",
    "writeOnly",
    "xml",
];

/// Annotations that go before the library sees them.
const TAKEN_OUT: &[&str] = &[
    "contentSchema",
    "deprecated",
    "discriminator",
    "example",
    "externalDocs",
    "xml",
];

/// What becomes of a keyword that cannot be enforced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unenforced {
    /// The schema is refused.
    Refused,
    /// It is left to the model, which has read it.
    LeftToTheModel,
}

/// The schema as the grammar takes it.
///
/// # Errors
/// A keyword that cannot be enforced, and what is no schema at all.
pub(super) fn enforceable(schema: &Value, unenforced: Unenforced) -> Result<Value, GrammarError> {
    let len = schema.to_string().len();
    if len > MAX_SCHEMA_BYTES {
        return Err(GrammarError::TooLong {
            len,
            limit: MAX_SCHEMA_BYTES,
        });
    }
    let mut walk = Walk {
        root: schema,
        unenforced,
        n_left: MAX_SUBSCHEMAS,
        n_repetitions: 0,
    };
    let mut result = schema.clone();
    walk.schema(&mut result, "#", 0)?;
    Ok(result)
}

struct Walk<'s> {
    root: &'s Value,
    unenforced: Unenforced,
    n_left: usize,
    /// Of the expressions so far.
    n_repetitions: u64,
}

pub(super) fn malformed(fault: impl Into<String>, path: &str) -> GrammarError {
    GrammarError::Malformed {
        fault: fault.into(),
        path: path.to_owned(),
    }
}

/// A key as a part of a JSON pointer.
pub(super) fn pointer_part(key: &str) -> String {
    let short = &key[..key.floor_char_boundary(64)];
    short.replace('~', "~0").replace('/', "~1")
}

impl Walk<'_> {
    fn schema(&mut self, schema: &mut Value, path: &str, depth: usize) -> Result<(), GrammarError> {
        if depth > MAX_DEPTH {
            return Err(malformed(format!("nests deeper than {MAX_DEPTH} levels"), path));
        }
        let Some(n_left) = self.n_left.checked_sub(1) else {
            return Err(malformed(format!("has more than {MAX_SUBSCHEMAS} schemas"), path));
        };
        self.n_left = n_left;
        match schema {
            Value::Bool(_) => Ok(()),
            Value::Object(keywords) => self.keywords(keywords, path, depth),
            _ => Err(malformed(
                "is no schema: a schema is an object or a boolean",
                path,
            )),
        }
    }

    fn keywords(
        &mut self,
        keywords: &mut Map<String, Value>,
        path: &str,
        depth: usize,
    ) -> Result<(), GrammarError> {
        let names: Vec<String> = keywords.keys().cloned().collect();
        for name in &names {
            if let Some(plain) = plain_count(name, &keywords[name]) {
                keywords[name] = plain;
            }
            let hint = self.fault(name, &keywords[name]);
            if let Some(hint) = hint {
                if self.unenforced == Unenforced::Refused {
                    return Err(GrammarError::Keyword {
                        keyword: name.chars().take(64).collect(),
                        path: path.to_owned(),
                        hint,
                    });
                }
                keywords.shift_remove(name);
            } else if TAKEN_OUT.contains(&name.as_str()) || name.starts_with("x-") {
                keywords.shift_remove(name);
            }
        }
        for (name, value) in keywords.iter_mut() {
            self.within(name, value, &format!("{path}/{}", pointer_part(name)), depth + 1)?;
        }
        formats::write_as_patterns(keywords);
        if let Some(Value::String(target)) = keywords.get_mut("$ref") {
            // The library takes each part of a pointer as it stands.
            *target = parts(target).map_or_else(String::new, |parts| format!("#{parts}"));
        }
        Ok(())
    }

    /// Why a keyword cannot be enforced, as a hint; `None` where it can.
    fn fault(&self, name: &str, value: &Value) -> Option<String> {
        match name {
            "x-guidance" => Some(": it is an option of a library".to_owned()),
            _ if name.starts_with("x-") || ANNOTATIONS.binary_search(&name).is_ok() => None,
            "format" => {
                let is_known = value.as_str().is_some_and(formats::is_known);
                (!is_known).then(|| format!(" with {value}; the formats that are: {}", formats::names()))
            }
            "$ref" => self.target_fault(value),
            _ if ENFORCED.binary_search(&name).is_ok() => None,
            _ => Some(String::new()),
        }
    }

    fn target_fault(&self, target: &Value) -> Option<String> {
        let pointer = target.as_str().and_then(|target| target.strip_prefix('#'));
        let is_known = pointer.is_some_and(|pointer| {
            pointer.is_empty() || pointer.starts_with('/') && self.root.pointer(&decoded(pointer)).is_some()
        });
        if !is_known {
            let hint = format!(" with {target}: it must point into this schema, as in '#/$defs/NAME'");
            return Some(hint);
        }
        let is_plain = pointer.is_some_and(|pointer| parts(pointer).is_some());
        (!is_plain).then(|| format!(" with {target}: a name in it has a '/'"))
    }

    /// Counts an expression's repetitions.
    fn count(&mut self, regex: &str, path: &str) -> Result<(), GrammarError> {
        self.n_repetitions = self.n_repetitions.saturating_add(repetitions(regex));
        if self.n_repetitions > MAX_REPETITIONS {
            return Err(malformed(
                format!("asks for more than {MAX_REPETITIONS} repetitions, with those before it,"),
                path,
            ));
        }
        Ok(())
    }

    /// The schemas in a keyword's value.
    fn within(
        &mut self,
        name: &str,
        value: &mut Value,
        path: &str,
        depth: usize,
    ) -> Result<(), GrammarError> {
        match (name, &*value) {
            ("pattern", Value::String(regex)) => self.count(regex, path)?,
            ("patternProperties", Value::Object(schemas)) => {
                for regex in schemas.keys() {
                    self.count(regex, path)?;
                }
            }
            _ => {}
        }
        match (name, value) {
            ("properties" | "patternProperties" | "$defs" | "definitions", Value::Object(schemas)) => {
                for (key, schema) in schemas.iter_mut() {
                    self.schema(schema, &format!("{path}/{}", pointer_part(key)), depth)?;
                }
                Ok(())
            }
            ("properties" | "patternProperties" | "$defs" | "definitions", _) => {
                Err(malformed("is no object", path))
            }
            ("allOf" | "anyOf" | "oneOf" | "prefixItems" | "items", Value::Array(schemas)) => {
                for (idx, schema) in schemas.iter_mut().enumerate() {
                    self.schema(schema, &format!("{path}/{idx}"), depth)?;
                }
                Ok(())
            }
            ("allOf" | "anyOf" | "oneOf" | "prefixItems", _) => Err(malformed("is no array", path)),
            ("items" | "additionalItems" | "additionalProperties", schema) => {
                self.schema(schema, path, depth)
            }
            _ => Ok(()),
        }
    }
}

/// A whole number that is written with a point, without it, where a keyword counts.
fn plain_count(name: &str, value: &Value) -> Option<Value> {
    let counts = [
        "maxItems",
        "maxLength",
        "maxProperties",
        "minItems",
        "minLength",
        "minProperties",
    ];
    let count = value
        .as_f64()
        .filter(|_| value.is_f64() && counts.contains(&name))?;
    (count.fract() == 0.0 && (0.0..9e15).contains(&count)).then(|| Value::from(count as u64))
}

/// The names in a pointer with slashes between them, each as it is in the schema; none where one has a slash itself.
fn parts(reference: &str) -> Option<String> {
    let pointer = decoded(reference.strip_prefix('#').unwrap_or(reference));
    let is_plain = !pointer.contains("~1");
    is_plain.then(|| pointer.replace("~0", "~"))
}

/// A pointer in a `$ref` is part of a URI, where some characters are written as `%20`.
fn decoded(pointer: &str) -> String {
    let bytes = pointer.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut idx = 0;
    while idx < bytes.len() {
        let code = bytes
            .get(idx + 1..idx + 3)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = code.and_then(|code| u8::from_str_radix(code, 16).ok());
        match byte {
            Some(byte) if bytes[idx] == b'%' => {
                decoded.push(byte);
                idx += 3;
            }
            _ => {
                decoded.push(bytes[idx]);
                idx += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_lists_are_sorted() {
        assert!(ENFORCED.is_sorted() && ANNOTATIONS.is_sorted());
    }

    #[test]
    fn what_cannot_be_enforced_is_named_with_its_path() {
        for (schema, keyword, path) in [
            (json!({"not": {}}), "not", "#"),
            (
                json!({"properties": {"a/b": {"if": {}}}}),
                "if",
                "#/properties/a~1b",
            ),
            (
                json!({"anyOf": [{}, {"uniqueItems": true}]}),
                "uniqueItems",
                "#/anyOf/1",
            ),
            (json!({"items": {"format": "color"}}), "format", "#/items"),
            (json!({"$ref": "http://example.com/x"}), "$ref", "#"),
            (json!({"$ref": "#/$defs/none"}), "$ref", "#"),
            (json!({"$defs": {"a": {"contains": {}}}}), "contains", "#/$defs/a"),
            (json!({"requierd": []}), "requierd", "#"),
            (json!({"x-guidance": {}}), "x-guidance", "#"),
        ] {
            let error = enforceable(&schema, Unenforced::Refused).expect_err("refused");
            let GrammarError::Keyword {
                keyword: found,
                path: at,
                ..
            } = error
            else {
                panic!("{error}");
            };
            assert_eq!((found.as_str(), at.as_str()), (keyword, path));
        }
    }

    #[test]
    fn left_to_the_model_means_gone_and_the_rest_stays() {
        let schema = json!({"type": "object", "propertyNames": {}, "properties": {"a": {"type": "string", "format": "color", "x-order": 1}}});
        let relaxed = enforceable(&schema, Unenforced::LeftToTheModel).expect("relaxed");
        assert_eq!(
            relaxed,
            json!({"type": "object", "properties": {"a": {"type": "string"}}})
        );
    }

    #[test]
    fn references_into_the_schema_are_fine() {
        let schema = json!({"$defs": {"a b": {}}, "anyOf": [{"$ref": "#/$defs/a%20b"}, {"$ref": "#"}]});
        enforceable(&schema, Unenforced::Refused).expect("fine");
    }
}
