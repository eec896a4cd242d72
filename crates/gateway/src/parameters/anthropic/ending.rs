//! How tokens are chosen, where the answer ends, and whether it comes as it is made.

use tokenmill_inference::LIMITS;

use crate::error::ApiError;
use crate::json::Fields;
use crate::parameters::ending::texts;
use crate::parameters::{Group, Origin, Parameter, Rule};

/// The rows.
pub(crate) const ROWS: Group = &[
    Parameter {
        name: "max_tokens",
        origin: Origin::Anthropic,
        rule: Rule::Applied,
        schema: r#"{"type":"integer","minimum":1,"maximum":4294967295}"#,
        about: "at most so many tokens; where the context leaves fewer, the answer ends there with `model_context_window_exceeded`",
        default: "required",
        taken: "[1, 32000]",
        refused: r#"[0, -5, 1.5, "3"]"#,
    },
    Parameter {
        name: "stop_sequences",
        origin: Origin::Anthropic,
        rule: Rule::Applied,
        schema: r#"{"type":"array","maxItems":16,"items":{"type":"string","minLength":1}}"#,
        about: "up to 16 texts: the answer ends before one, and names it",
        default: "none",
        taken: r#"[["END"], []]"#,
        refused: r#"["END", [""], [3]]"#,
    },
    Parameter {
        name: "temperature",
        origin: Origin::Anthropic,
        rule: Rule::Applied,
        schema: r#"{"type":"number","minimum":0,"maximum":2}"#,
        about: "0 always takes the likeliest token; up to 2, as elsewhere here, where Anthropic's ends at 1",
        default: "the model's own, else 1",
        taken: "[0, 1, 2]",
        refused: r#"[-0.1, 2.1, "hot"]"#,
    },
    Parameter {
        name: "top_p",
        origin: Origin::Anthropic,
        rule: Rule::Applied,
        schema: r#"{"type":"number","exclusiveMinimum":0,"maximum":1}"#,
        about: "over 0, up to 1: keeps the likeliest tokens that together have this probability",
        default: "the model's own, else 1",
        taken: "[0.5, 1]",
        refused: "[0, 1.5, true]",
    },
    Parameter {
        name: "top_k",
        origin: Origin::Anthropic,
        rule: Rule::Applied,
        schema: r#"{"type":"integer","minimum":-1,"maximum":4294967295}"#,
        about: "keeps this many of the likeliest tokens; 0 and -1 keep all",
        default: "the model's own, else 0",
        taken: "[0, 40]",
        refused: "[-2, 1.5]",
    },
    Parameter {
        name: "stream",
        origin: Origin::Anthropic,
        rule: Rule::Applied,
        schema: r#"{"type":"boolean"}"#,
        about: "`true` for server-sent events",
        default: "`false`",
        taken: "[true, false]",
        refused: r#"["true", 1]"#,
    },
];

/// Reads `stop_sequences`.
pub(crate) fn stop_sequences(fields: &mut Fields) -> Result<Vec<String>, ApiError> {
    let stops = fields.optional("stop_sequences", texts)?.unwrap_or_default();
    if stops.len() > LIMITS.n_stop {
        let message = format!(
            "'stop_sequences' has {} texts; at most {} fit",
            stops.len(),
            LIMITS.n_stop
        );
        return Err(ApiError::parameter("invalid_value", "stop_sequences", message));
    }
    Ok(stops)
}
