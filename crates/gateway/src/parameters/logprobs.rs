//! How likely the tokens were.

use tokenmill_inference::LIMITS;

use super::ending::flag;
use super::{Group, Origin, Parameter, Rule};
use crate::error::ApiError;
use crate::json::Fields;

/// The rows.
pub(crate) const ROWS: Group = &[
    Parameter {
        name: "logprobs",
        origin: Origin::OpenAi,
        rule: Rule::Applied,
        schema: r#"{"type":"boolean"}"#,
        about: "`true` tells how likely each token was, before any sampling parameter",
        default: "`false`",
        taken: "[true, false]",
        refused: "[1]",
    },
    Parameter {
        name: "top_logprobs",
        origin: Origin::OpenAi,
        rule: Rule::Applied,
        schema: r#"{"type":"integer","minimum":0,"maximum":20}"#,
        about: "only with `logprobs`: so many of the likeliest tokens at each place, up to 20",
        default: "0",
        taken: "[0]",
        refused: "[-1, 3, 21, 1.5]",
    },
];

/// Reads the group: the alternatives for each token, `None` where nothing is asked.
pub(crate) fn read(fields: &mut Fields) -> Result<Option<u32>, ApiError> {
    let logprobs = flag(fields, "logprobs", false)?;
    let n_top = fields.optional("top_logprobs", |value, path| {
        value.integer(path, 0, LIMITS.n_top_logprobs)
    })?;
    match (logprobs, n_top) {
        (false, Some(1..)) => {
            let message = "'top_logprobs' is only allowed when 'logprobs' is true";
            Err(ApiError::parameter("invalid_value", "top_logprobs", message))
        }
        (false, _) => Ok(None),
        (true, n_top) => Ok(Some(n_top.unwrap_or(0))),
    }
}
