//! What only plain completions have: a prompt that is no conversation, and the older way to tell of it.

use tokenmill_inference::{LIMITS, Prompt};

use super::ending::{flag, token_ids};
use super::{Group, Origin, Parameter, Rule};
use crate::error::ApiError;
use crate::json::{Fields, Json};

/// Tokens of an answer where nothing is said.
const DEFAULT_MAX_TOKENS: u32 = 16;

/// The rows.
pub(crate) const ROWS: Group = &[
    Parameter {
        name: "prompt",
        origin: Origin::OpenAi,
        rule: Rule::Applied,
        schema: r#"{"anyOf":[{"type":"string","minLength":1},{"type":"array","minItems":1,"items":{"type":"integer","minimum":0,"maximum":4294967295}},{"type":"array","minItems":1,"maxItems":1,"items":{"anyOf":[{"type":"string","minLength":1},{"type":"array","minItems":1,"items":{"type":"integer","minimum":0,"maximum":4294967295}}]}}]}"#,
        about: "a text, in which names of special tokens are those tokens; token ids; or a list of one of them",
        default: "required",
        taken: r#"["Once", ["Once"], [3, 4], [[3, 4]]]"#,
        refused: r#"["", [], [""], 7, ["a", "b"], [[3], [4]], [3, "a"], [-1]]"#,
    },
    Parameter {
        name: "max_tokens",
        origin: Origin::OpenAi,
        rule: Rule::Applied,
        schema: r#"{"type":"integer","minimum":1,"maximum":4294967295}"#,
        about: "at most so many tokens for each answer",
        default: "16",
        taken: "[1, 3]",
        refused: r#"[0, -5, 1.5, "3"]"#,
    },
    Parameter {
        name: "echo",
        origin: Origin::OpenAi,
        rule: Rule::Applied,
        schema: r#"{"type":"boolean"}"#,
        about: "`true` puts the prompt before each answer; not with `logprobs`, for those of a prompt are not computed",
        default: "`false`",
        taken: "[true, false]",
        refused: r#"["yes"]"#,
    },
    Parameter {
        name: "logprobs",
        origin: Origin::OpenAi,
        rule: Rule::Applied,
        schema: r#"{"type":"integer","minimum":0,"maximum":20}"#,
        about: "how likely each token was, before any sampling parameter, beside so many of the likeliest, up to 20",
        default: "none",
        taken: "[0, 2]",
        refused: "[-1, 21, true]",
    },
    Parameter {
        name: "best_of",
        origin: Origin::OpenAi,
        rule: Rule::WithoutEffect,
        schema: r#"{"type":"integer","minimum":1,"maximum":16}"#,
        about: "only what `n` is: no answers are made that are not given",
        default: "",
        taken: "[1]",
        refused: "[0, 2]",
    },
    Parameter::refused(
        "suffix",
        Origin::OpenAi,
        r#"["x"]"#,
        "write the model's own marks into `prompt`",
    ),
];

/// What the group says.
pub(crate) struct Completion {
    pub(crate) prompt: Prompt,
    pub(crate) max_tokens: u32,
    pub(crate) echo: bool,
    pub(crate) top_logprobs: Option<u32>,
}

/// Reads the group, but for `best_of`.
pub(crate) fn read(fields: &mut Fields) -> Result<Completion, ApiError> {
    let prompt = prompt(fields.require("prompt")?, "prompt")?;
    let max_tokens = super::ending::limit(fields, "max_tokens")?;
    let echo = flag(fields, "echo", false)?;
    let top_logprobs = fields.optional("logprobs", |value, path| {
        value.integer(path, 0, LIMITS.n_top_logprobs)
    })?;
    if echo && top_logprobs.is_some() {
        let message = "'echo' and 'logprobs' exclude each other: how likely a prompt is, is not computed";
        return Err(ApiError::parameter("unsupported_value", "echo", message));
    }
    Ok(Completion {
        prompt,
        max_tokens: max_tokens.unwrap_or(DEFAULT_MAX_TOKENS),
        echo,
        top_logprobs,
    })
}

/// Checks `best_of` against the number of answers.
pub(crate) fn best_of(fields: &mut Fields, n: u32) -> Result<(), ApiError> {
    let best_of = fields.optional("best_of", |value, path| value.integer(path, 1, LIMITS.n_choices))?;
    match best_of {
        Some(best_of) if best_of != n => {
            let message = format!("'best_of' may only be what 'n' is, {n}, and is {best_of}");
            Err(ApiError::parameter("unsupported_value", "best_of", message))
        }
        _ => Ok(()),
    }
}

fn prompt(value: Json, path: &str) -> Result<Prompt, ApiError> {
    match value {
        Json::String(text) if text.is_empty() => {
            let message = format!("'{path}' must not be empty");
            Err(ApiError::parameter("invalid_value", path, message))
        }
        Json::String(text) => Ok(Prompt::Text(text)),
        Json::Array(items) => list(items, path),
        other => Err(other.wrong_type(path, "a string, or an array of token ids")),
    }
}

/// Token ids, or one prompt in a list.
fn list(mut items: Vec<Json>, path: &str) -> Result<Prompt, ApiError> {
    let is_prompt = |item: &Json| matches!(item, Json::String(_) | Json::Array(_));
    if !items.first().is_some_and(is_prompt) {
        if items.is_empty() {
            let message = format!("'{path}' must not be empty");
            return Err(ApiError::parameter("invalid_value", path, message));
        }
        return Ok(Prompt::Tokens(token_ids(Json::Array(items), path)?));
    }
    match (items.pop(), items.len()) {
        (Some(Json::Array(ids)), 0) => list_of_ids(ids, &format!("{path}[0]")),
        (Some(one), 0) => prompt(one, &format!("{path}[0]")),
        (_, n_more) => {
            let message = format!("'{path}' holds {} prompts; send one in a request", n_more + 1);
            Err(ApiError::parameter("unsupported_value", path, message))
        }
    }
}

fn list_of_ids(ids: Vec<Json>, path: &str) -> Result<Prompt, ApiError> {
    if ids.is_empty() {
        let message = format!("'{path}' must not be empty");
        return Err(ApiError::parameter("invalid_value", path, message));
    }
    Ok(Prompt::Tokens(token_ids(Json::Array(ids), path)?))
}
