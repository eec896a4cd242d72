//! JSON from outside, read strictly: no duplicate keys, a bounded depth, and every field accounted for.
//!
//! serde's derive would be shorter, but it keeps the last of two equal keys, cannot tell a parameter that is not
//! supported yet from a misspelt one, and names types of ours in its messages. Here a body becomes a tree, and each
//! endpoint takes its fields out of the tree by name; what is left over is refused.

use std::cell::Cell;
use std::fmt;

use indexmap::IndexMap;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};

use crate::error::ApiError;
use crate::parameters::{self, Group, Rule};

/// How deep arrays and objects may nest.
pub(crate) const MAX_DEPTH: usize = 64;
/// How many values a body may hold, those inside others included: a small object takes a hundred times its bytes.
const MAX_VALUES: usize = 100_000;

/// The beginning of a name from outside, for messages.
pub(crate) fn clip(name: &str) -> &str {
    &name[..name.floor_char_boundary(64)]
}

/// A JSON value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Number(Number),
    String(String),
    Array(Vec<Json>),
    Object(IndexMap<String, Json>),
}

impl Json {
    /// Reads a whole body.
    pub(crate) fn parse(body: &[u8]) -> Result<Json, ApiError> {
        let text = std::str::from_utf8(body).map_err(|error| {
            let message = format!("The body is not valid UTF-8 (at byte {})", error.valid_up_to());
            ApiError::malformed("invalid_utf8", message)
        })?;
        if text.trim_ascii().is_empty() {
            return Err(ApiError::malformed(
                "invalid_json",
                "The body is empty; send a JSON object",
            ));
        }
        let mut reader = serde_json::Deserializer::from_str(text);
        let values_left = Cell::new(MAX_VALUES);
        let value = Tree {
            depth_left: MAX_DEPTH,
            values_left: &values_left,
        }
        .deserialize(&mut reader);
        // What follows the value is looked at only when the value itself is good.
        value
            .and_then(|value| reader.end().map(|()| value))
            .map_err(|error| {
                ApiError::malformed("invalid_json", format!("The body is not valid JSON: {error}"))
            })
    }

    /// The same as serde's value, in the order in which it came.
    pub(crate) fn into_value(self) -> Value {
        match self {
            Json::Null => Value::Null,
            Json::Bool(value) => Value::Bool(value),
            Json::Number(number) => Value::Number(number),
            Json::String(text) => Value::String(text),
            Json::Array(items) => items.into_iter().map(Json::into_value).collect(),
            Json::Object(entries) => entries
                .into_iter()
                .map(|(key, value)| (key, value.into_value()))
                .collect(),
        }
    }

    /// With its article, for messages: "a string".
    pub(crate) fn describe(&self) -> &'static str {
        match self {
            Json::Null => "null",
            Json::Bool(_) => "a boolean",
            Json::Number(number) if number.is_f64() => "a decimal number",
            Json::Number(_) => "an integer",
            Json::String(_) => "a string",
            Json::Array(_) => "an array",
            Json::Object(_) => "an object",
        }
    }

    /// The text, or an error that names the parameter.
    pub(crate) fn string(self, path: &str, expected: &str) -> Result<String, ApiError> {
        match self {
            Json::String(text) => Ok(text),
            other => Err(other.wrong_type(path, expected)),
        }
    }

    pub(crate) fn bool(&self, path: &str) -> Result<bool, ApiError> {
        match self {
            Json::Bool(value) => Ok(*value),
            other => Err(other.wrong_type(path, "a boolean")),
        }
    }

    /// Any number; its range is checked where it is used.
    pub(crate) fn number(&self, path: &str) -> Result<f32, ApiError> {
        match self {
            Json::Number(number) => Ok(number.as_f64().unwrap_or(f64::NAN) as f32),
            other => Err(other.wrong_type(path, "a number")),
        }
    }

    /// An integer from `low` to `high`.
    pub(crate) fn integer(&self, path: &str, low: u32, high: u32) -> Result<u32, ApiError> {
        let Json::Number(number) = self else {
            return Err(self.wrong_type(path, "an integer"));
        };
        if number.is_f64() {
            return Err(self.wrong_type(path, "an integer"));
        }
        let fits = number.as_u64().and_then(|value| u32::try_from(value).ok());
        fits.filter(|value| (low..=high).contains(value)).ok_or_else(|| {
            let message = format!("'{path}' must be from {low} to {high}, and is {number}");
            ApiError::parameter("invalid_value", path, message)
        })
    }

    pub(crate) fn array(self, path: &str) -> Result<Vec<Json>, ApiError> {
        match self {
            Json::Array(items) => Ok(items),
            other => Err(other.wrong_type(path, "an array")),
        }
    }

    /// Reads a whole body whose fields have rows in a table.
    pub(crate) fn body(body: &[u8], rows: &'static [Group]) -> Result<Fields, ApiError> {
        Json::parse(body)?.into_body(rows)
    }

    /// The fields of a body that has been parsed.
    pub(crate) fn into_body(self, rows: &'static [Group]) -> Result<Fields, ApiError> {
        let mut fields = self.fields("")?;
        fields.rows = Some(rows);
        Ok(fields)
    }

    /// The fields of an object, to be taken one by one.
    pub(crate) fn fields(self, path: &str) -> Result<Fields, ApiError> {
        match self {
            Json::Object(fields) => Ok(Fields {
                path: path.to_owned(),
                fields,
                rows: None,
            }),
            other if path.is_empty() => {
                let message = format!("The body must be a JSON object, and is {}", other.describe());
                Err(ApiError::malformed("invalid_json", message))
            }
            other => Err(other.wrong_type(path, "an object")),
        }
    }

    pub(crate) fn wrong_type(&self, path: &str, expected: &str) -> ApiError {
        let message = format!("'{path}' must be {expected}, and is {}", self.describe());
        ApiError::parameter("invalid_type", path, message)
    }
}

/// An object whose fields are taken out by name; [`Fields::finish`] refuses the rest.
#[derive(Debug)]
pub(crate) struct Fields {
    path: String,
    fields: IndexMap<String, Json>,
    /// The table of a body; objects inside it have none.
    rows: Option<&'static [Group]>,
}

impl Fields {
    /// The full name of a field: `messages[2].role`.
    pub(crate) fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    /// Whether the body's table takes this field.
    pub(crate) fn has_row(&self, name: &str) -> bool {
        let row = self.rows.and_then(|rows| parameters::row(rows, name));
        row.is_some_and(|row| row.rule != Rule::Refused)
    }

    /// A field that may be absent; `null` is absent.
    pub(crate) fn take(&mut self, name: &str) -> Option<Json> {
        debug_assert!(
            self.rows.is_none() || self.has_row(name),
            "'{name}' is read, and has no row that says so"
        );
        self.fields
            .shift_remove(name)
            .filter(|value| *value != Json::Null)
    }

    /// A field that must be there.
    pub(crate) fn require(&mut self, name: &str) -> Result<Json, ApiError> {
        self.take(name).ok_or_else(|| {
            let path = self.path_of(name);
            let message = format!("'{path}' is missing, and is required");
            ApiError::parameter("missing_required_parameter", path, message)
        })
    }

    /// An optional field through `read`, which is given the field's full name for its messages.
    pub(crate) fn optional<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(Json, &str) -> Result<T, ApiError>,
    ) -> Result<Option<T>, ApiError> {
        let path = self.path_of(name);
        self.take(name).map(|value| read(value, &path)).transpose()
    }

    /// An optional field that not every door has; without a row it is left for [`Fields::finish_body`] to refuse.
    pub(crate) fn offered<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(Json, &str) -> Result<T, ApiError>,
    ) -> Result<Option<T>, ApiError> {
        if self.has_row(name) {
            self.optional(name, read)
        } else {
            Ok(None)
        }
    }

    /// Refuses what has not been taken of a body: what has a row as not supported, all else as unknown.
    pub(crate) fn finish_body(self) -> Result<(), ApiError> {
        let rows = self.rows.unwrap_or_default();
        self.refuse_rest(|name| parameters::row(rows, name).map(|row| row.about))
    }

    /// Refuses what has not been taken: those in `not_supported` (sorted) as such unless `null`, all others as
    /// unknown.
    pub(crate) fn finish(self, not_supported: &[&str]) -> Result<(), ApiError> {
        self.refuse_rest(|name| not_supported.binary_search(&name).is_ok().then_some(""))
    }

    /// `why_not` says of names that are known and not supported why, or nothing.
    fn refuse_rest(&self, why_not: impl Fn(&str) -> Option<&'static str>) -> Result<(), ApiError> {
        for (name, value) in &self.fields {
            let path = self.path_of(clip(name));
            let Some(why) = why_not(name) else {
                let message = format!("Unknown parameter: '{path}'. Remove it, or check its spelling");
                return Err(ApiError::parameter("unknown_parameter", path, message));
            };
            if *value != Json::Null {
                let why = if why.is_empty() {
                    String::new()
                } else {
                    format!(": {}", why.replace('`', "'"))
                };
                let message = format!("'{path}' is not supported by this server{why}. Remove it");
                return Err(ApiError::parameter("unsupported_parameter", path, message));
            }
        }
        Ok(())
    }
}

/// Builds a [`Json`] while counting depth, values and keys.
#[derive(Clone, Copy)]
struct Tree<'v> {
    depth_left: usize,
    values_left: &'v Cell<usize>,
}

impl<'v> Tree<'v> {
    fn deeper<E: serde::de::Error>(self) -> Result<Tree<'v>, E> {
        match self.depth_left.checked_sub(1) {
            Some(depth_left) => Ok(Tree { depth_left, ..self }),
            None => Err(E::custom(format_args!("nested deeper than {MAX_DEPTH} levels"))),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        let Some(values_left) = self.values_left.get().checked_sub(1) else {
            return Err(D::Error::custom(format_args!("more than {MAX_VALUES} values")));
        };
        self.values_left.set(values_left);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Json, E> {
        Number::from_f64(value)
            .map(Json::Number)
            .ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Json, E> {
        Ok(Json::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let inner = self.deeper()?;
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(inner)? {
            items.push(item);
        }
        Ok(Json::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let inner = self.deeper()?;
        let mut fields = IndexMap::new();
        while let Some(key) = access.next_key::<String>()? {
            if fields.contains_key(&key) {
                return Err(A::Error::custom(format_args!(
                    "the key '{}' comes twice",
                    clip(&key)
                )));
            }
            fields.insert(key, access.next_value_seed(inner)?);
        }
        Ok(Json::Object(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(body: &[u8]) -> String {
        Json::parse(body).expect_err("must be refused").message
    }

    #[test]
    fn what_is_not_strict_json_is_refused_with_its_place() {
        for (body, fault) in [
            (&b""[..], "empty"),
            (b" \n", "empty"),
            (b"{\"a\":1,\"a\":2}", "the key 'a' comes twice at line 1 column"),
            (b"{\"a\":{\"b\":1,\"b\":1}}", "the key 'b' comes twice"),
            (b"{} x", "trailing characters at line 1 column 4"),
            (b"{}{}", "trailing characters"),
            (b"{\"a\":1e999}", "number out of range"),
            (b"{\"a\":NaN}", "line 1"),
            (b"{\"a\":\"\\ud800\"}", "line 1"),
            (b"{\"a\":\"\xff\"}", "not valid UTF-8 (at byte 6)"),
            (b"{\"a\":\"\n\"}", "control character"),
            (b"{'a':1}", "line 1 column 2"),
            (b"{\"a\":1,}", "trailing comma"),
            (b"[1", "EOF"),
        ] {
            let message = refused(body);
            assert!(message.contains(fault), "{message:?} should contain {fault:?}");
        }
    }

    #[test]
    fn depth_is_bounded_at_its_number() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        Json::parse(nested(MAX_DEPTH).as_bytes()).expect("the limit itself is fine");
        assert!(refused(nested(MAX_DEPTH + 1).as_bytes()).contains("deeper than 64"));
        assert!(refused("[".repeat(1_000_000).as_bytes()).contains("deeper than 64"));
    }

    #[test]
    fn values_are_counted_up_to_their_number() {
        let list = |n_items: usize| format!("[{}0]", "0,".repeat(n_items - 1));
        Json::parse(list(MAX_VALUES - 1).as_bytes()).expect("the limit itself is fine");
        assert!(refused(list(MAX_VALUES).as_bytes()).contains("more than 100000 values"));
    }

    #[test]
    fn integers_keep_all_their_bits() {
        let parsed = Json::parse(b"[18446744073709551615,-9223372036854775808]").expect("valid");
        let expected = vec![Json::Number(u64::MAX.into()), Json::Number(i64::MIN.into())];
        assert_eq!(parsed, Json::Array(expected));
    }
}
