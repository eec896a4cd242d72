//! What is taken and changes nothing: names that only the caller has a use for, and wishes for what is done anyway.

use super::{Group, Origin, Parameter, Rule, short_text};
use crate::error::ApiError;
use crate::json::Fields;

/// The rows.
pub(crate) const ROWS: Group = &[Parameter {
    name: "user",
    origin: Origin::OpenAi,
    rule: Rule::WithoutEffect,
    schema: r#"{"type":"string","maxLength":512}"#,
    about: "a name for your own end user; it is not kept",
    default: "",
    taken: r#"["", "someone"]"#,
    refused: "[7]",
}];

/// Checks the group.
pub(crate) fn check(fields: &mut Fields) -> Result<(), ApiError> {
    fields.optional("user", short_text)?;
    Ok(())
}
