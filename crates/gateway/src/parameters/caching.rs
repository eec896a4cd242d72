//! Which requests may share cached prompts.

use super::{Group, Origin, Parameter, Rule, name};
use crate::error::ApiError;
use crate::json::Fields;

/// The rows.
pub(crate) const ROWS: Group = &[Parameter {
    name: "cache_salt",
    origin: Origin::Vllm,
    rule: Rule::Applied,
    schema: r#"{"type":"string","minLength":1,"maxLength":512}"#,
    about: "only requests of the same project and the same salt share cached prompts",
    default: "the project's",
    taken: r#"["tenant-7"]"#,
    refused: r#"["", 7]"#,
}];

/// Reads the group.
pub(crate) fn read(fields: &mut Fields) -> Result<Option<String>, ApiError> {
    fields.optional("cache_salt", name)
}
