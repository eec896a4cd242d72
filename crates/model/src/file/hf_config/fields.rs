//! The fields of a JSON object, read with a type and with errors that name them.

use serde_json::{Map, Value};

use crate::error::LoadError;

/// The fields of a JSON object, typed on reading; `null` counts as absent.
pub(crate) struct Fields<'a> {
    pub(crate) fields: &'a Map<String, Value>,
    pub(crate) file: &'a str,
    /// Put before names in messages.
    pub(crate) prefix: &'static str,
}

impl<'a> Fields<'a> {
    pub(crate) fn get(&self, name: &str) -> Option<&'a Value> {
        self.fields.get(name).filter(|value| !value.is_null())
    }

    pub(crate) fn fault(&self, name: &str, fault: String) -> LoadError {
        LoadError::Field {
            file: self.file.to_owned(),
            key: format!("{}{name}", self.prefix),
            fault,
        }
    }

    pub(crate) fn typed<T>(
        &self,
        name: &str,
        expected: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, LoadError> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        match read(value) {
            Some(typed) => Ok(Some(typed)),
            None => Err(self.fault(name, format!("must be {expected}"))),
        }
    }

    pub(crate) fn text(&self, name: &str) -> Result<Option<&'a str>, LoadError> {
        self.typed(name, "a text", Value::as_str)
    }

    pub(crate) fn flag(&self, name: &str) -> Result<Option<bool>, LoadError> {
        self.typed(name, "true or false", Value::as_bool)
    }

    pub(crate) fn number(&self, name: &str) -> Result<Option<f32>, LoadError> {
        self.typed(name, "a number", |value| {
            value
                .as_f64()
                .map(|number| number as f32)
                .filter(|number| number.is_finite())
        })
    }

    pub(crate) fn size(&self, name: &str) -> Result<Option<usize>, LoadError> {
        self.typed(name, "a whole number of at least 0", |value| {
            usize::try_from(value.as_u64()?).ok()
        })
    }

    pub(crate) fn object(&self, name: &str) -> Result<Option<&'a Map<String, Value>>, LoadError> {
        self.typed(name, "an object", Value::as_object)
    }

    pub(crate) fn list(&self, name: &str, len: usize) -> Result<Option<&'a Vec<Value>>, LoadError> {
        let expected = format!("a list with an entry for each of {len} layers");
        self.typed(name, &expected, |value| {
            value.as_array().filter(|list| list.len() == len)
        })
    }

    pub(crate) fn required(&self, name: &str) -> Result<usize, LoadError> {
        self.size(name)?
            .ok_or_else(|| self.fault(name, "is missing".to_owned()))
    }

    pub(crate) fn required_number(&self, name: &str) -> Result<f32, LoadError> {
        self.number(name)?
            .ok_or_else(|| self.fault(name, "is missing".to_owned()))
    }
}
