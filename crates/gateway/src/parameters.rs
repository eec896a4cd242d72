//! What request bodies may hold: for every parameter a row in a table, and beside the rows what reads them.
//!
//! An endpoint's table is a list of groups, one group a file. The tables are walked by the documentation, by the OpenAPI
//! document and by tests that send each row's examples; a parameter that is read without having a row panics in tests.
//! A name without a row is unknown, and refused.

pub(crate) mod anthropic;
pub(crate) mod caching;
pub(crate) mod completion;
pub(crate) mod conversation;
pub(crate) mod ending;
pub(crate) mod logprobs;
pub(crate) mod messages;
pub(crate) mod responses;
pub(crate) mod sampling;
pub(crate) mod streaming;
pub(crate) mod text_form;
pub(crate) mod thinking;
pub(crate) mod tools;
pub(crate) mod turns;
pub(crate) mod unsupported;
pub(crate) mod without_effect;

use crate::error::ApiError;
use crate::json::Json;

/// One parameter of a request's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameter {
    /// As it stands in the body.
    pub name: &'static str,
    /// Whose parameter it is.
    pub origin: Origin,
    /// What becomes of it.
    pub rule: Rule,
    /// The JSON schema of the values that are taken, as text; of any value where it is refused.
    pub schema: &'static str,
    /// What it does, in a line.
    pub about: &'static str,
    /// What holds without it.
    pub default: &'static str,
    /// A JSON array of values that are taken.
    pub taken: &'static str,
    /// A JSON array of values that are refused with this parameter's name.
    pub refused: &'static str,
}

/// Where a parameter comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// OpenAI's API.
    OpenAi,
    /// vLLM's additions, which other engines share.
    Vllm,
    /// Anthropic's API.
    Anthropic,
    /// This server's own.
    Own,
}

/// What becomes of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// It changes the answer, or how it comes.
    Applied,
    /// It is checked, and changes nothing: either it never would, or only the value is taken that asks for what is done
    /// anyway.
    WithoutEffect,
    /// Any value but `null` is refused.
    Refused,
}

/// Rows that belong together.
pub type Group = &'static [Parameter];

impl Parameter {
    /// A row of a parameter that other servers know and this one does not.
    pub(crate) const fn refused(
        name: &'static str,
        origin: Origin,
        refused: &'static str,
        about: &'static str,
    ) -> Parameter {
        Parameter {
            name,
            origin,
            rule: Rule::Refused,
            schema: "{}",
            about,
            default: "",
            taken: "[]",
            refused,
        }
    }
}

/// The row of a name.
pub(crate) fn row(groups: &[Group], name: &str) -> Option<&'static Parameter> {
    groups
        .iter()
        .flat_map(|group| group.iter())
        .find(|row| row.name == name)
}

/// Bytes of names: of `model`, `user` and the like.
pub(crate) const MAX_NAME_BYTES: usize = 512;

/// The model that every request names.
pub(crate) const MODEL: Group = &[Parameter {
    name: "model",
    origin: Origin::OpenAi,
    rule: Rule::Applied,
    schema: r#"{"type":"string","minLength":1,"maxLength":512}"#,
    about: "an id from `/v1/models`, or the address of a LoRA adapter",
    default: "required",
    taken: r#"["MODEL"]"#,
    refused: r#"["", 7, "nobody/nothing"]"#,
}];

/// A name that must not be empty.
pub(crate) fn name(value: Json, path: &str) -> Result<String, ApiError> {
    let name = short_text(value, path)?;
    if name.is_empty() {
        let message = format!("'{path}' must have 1 to {MAX_NAME_BYTES} bytes, and has none");
        return Err(ApiError::parameter("invalid_value", path, message));
    }
    Ok(name)
}

/// A text of the length of a name.
pub(crate) fn short_text(value: Json, path: &str) -> Result<String, ApiError> {
    let name = value.string(path, "a string")?;
    if name.len() > MAX_NAME_BYTES {
        let message = format!(
            "'{path}' must have at most {MAX_NAME_BYTES} bytes, and has {}",
            name.len()
        );
        return Err(ApiError::parameter("invalid_value", path, message));
    }
    Ok(name)
}
