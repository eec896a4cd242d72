//! How many answers, and where they end.

use tokenmill_inference::{Draft, LIMITS};

use super::{Group, Origin, Parameter, Rule};
use crate::error::ApiError;
use crate::json::{Fields, Json};

/// The rows, without the names of the limit, which each endpoint has its own for.
pub(crate) const ROWS: Group = &[
    Parameter {
        name: "stop",
        origin: Origin::OpenAi,
        rule: Rule::Applied,
        schema: r#"{"anyOf":[{"type":"string","minLength":1},{"type":"array","maxItems":16,"items":{"type":"string","minLength":1}}]}"#,
        about: "a text, or up to 16: the answer ends before it",
        default: "none",
        taken: r#"["END", ["a", "b"], []]"#,
        refused: r#"[3, "", ["a", ""], ["a", 3]]"#,
    },
    Parameter {
        name: "n",
        origin: Origin::OpenAi,
        rule: Rule::Applied,
        schema: r#"{"type":"integer","minimum":1,"maximum":16}"#,
        about: "1 to 16 answers to one prompt, which is read once",
        default: "1",
        taken: "[1, 2]",
        refused: "[0, 17, 1.5]",
    },
    Parameter {
        name: "ignore_eos",
        origin: Origin::Vllm,
        rule: Rule::Applied,
        schema: r#"{"type":"boolean"}"#,
        about: "`true` goes on past the model's own end",
        default: "`false`",
        taken: "[true, false]",
        refused: "[1]",
    },
    Parameter {
        name: "min_tokens",
        origin: Origin::Vllm,
        rule: Rule::Applied,
        schema: r#"{"type":"integer","minimum":0,"maximum":4294967295}"#,
        about: "neither the model's end nor a stop comes among the first so many tokens",
        default: "0",
        taken: "[0, 1]",
        refused: "[-1, 1.5]",
    },
    Parameter {
        name: "stop_token_ids",
        origin: Origin::Vllm,
        rule: Rule::Applied,
        schema: r#"{"type":"array","maxItems":128,"items":{"type":"integer","minimum":0,"maximum":4294967295}}"#,
        about: "up to 128 tokens that end the answer, besides the model's own",
        default: "none",
        taken: "[[3, 4], []]",
        refused: r#"[3, [-1], ["3"]]"#,
    },
    Parameter {
        name: "bad_words",
        origin: Origin::Vllm,
        rule: Rule::Applied,
        schema: r#"{"type":"array","maxItems":128,"items":{"type":"string","minLength":1,"maxLength":1024,"pattern":"\\S"}}"#,
        about: "up to 128 words whose spelling in tokens, with or without a space before it, never comes",
        default: "none",
        taken: r#"[["bad"], []]"#,
        refused: r#"["bad", [""], [" "], [1]]"#,
    },
    Parameter {
        name: "include_stop_str_in_output",
        origin: Origin::Vllm,
        rule: Rule::Applied,
        schema: r#"{"type":"boolean"}"#,
        about: "`true` leaves the stop text at the end of the answer",
        default: "`false`",
        taken: "[true, false]",
        refused: "[0]",
    },
];

/// Both names of the limit.
pub(crate) const MAX_TOKENS: Group = &[
    Parameter {
        name: "max_completion_tokens",
        origin: Origin::OpenAi,
        rule: Rule::Applied,
        schema: r#"{"type":"integer","minimum":1,"maximum":4294967295}"#,
        about: "at most so many tokens for each answer",
        default: "what is left of the context",
        taken: "[1, 3]",
        refused: r#"[0, -5, 1.5, "3", 5000000000]"#,
    },
    Parameter {
        name: "max_tokens",
        origin: Origin::OpenAi,
        rule: Rule::Applied,
        schema: r#"{"type":"integer","minimum":1,"maximum":4294967295}"#,
        about: "the old name of `max_completion_tokens`; both may be given when they agree",
        default: "",
        taken: "[1, 3]",
        refused: r#"[0, -5, 1.5, "3", 5000000000]"#,
    },
];

/// Reads the group into the draft.
pub(crate) fn read(fields: &mut Fields, draft: &mut Draft) -> Result<(), ApiError> {
    draft.stop = fields.optional("stop", stop)?.unwrap_or_default();
    if let Some(n) = fields.optional("n", |value, path| value.integer(path, 1, LIMITS.n_choices))? {
        draft.n = n;
    }
    draft.ignore_eos = flag(fields, "ignore_eos", false)?;
    let least = |value: Json, path: &str| value.integer(path, 0, u32::MAX);
    draft.min_tokens = fields.optional("min_tokens", least)?.unwrap_or(0);
    draft.stop_token_ids = fields.optional("stop_token_ids", token_ids)?.unwrap_or_default();
    draft.bad_words = fields.optional("bad_words", texts)?.unwrap_or_default();
    draft.include_stop = flag(fields, "include_stop_str_in_output", false)?;
    Ok(())
}

/// `max_tokens` is the old name of `max_completion_tokens`; both may be given when they agree.
pub(crate) fn max_tokens(fields: &mut Fields) -> Result<Option<u32>, ApiError> {
    match (
        limit(fields, "max_completion_tokens")?,
        limit(fields, "max_tokens")?,
    ) {
        (Some(new), Some(old)) if new != old => {
            let message = format!(
                "'max_tokens' is {old} and 'max_completion_tokens' is {new}; give one, or the same in both"
            );
            Err(ApiError::parameter("invalid_value", "max_tokens", message))
        }
        (new, old) => Ok(new.or(old)),
    }
}

/// A limit of tokens by one name.
pub(crate) fn limit(fields: &mut Fields, name: &str) -> Result<Option<u32>, ApiError> {
    fields.optional(name, |value, path| value.integer(path, 1, u32::MAX))
}

/// A boolean.
pub(crate) fn flag(fields: &mut Fields, name: &str, default: bool) -> Result<bool, ApiError> {
    let given = fields.optional(name, |value, path| value.bool(path))?;
    Ok(given.unwrap_or(default))
}

fn stop(value: Json, path: &str) -> Result<Vec<String>, ApiError> {
    match value {
        Json::String(stop) => Ok(vec![stop]),
        Json::Array(_) => texts(value, path),
        other => Err(other.wrong_type(path, "a string or an array of strings")),
    }
}

/// An array of strings.
pub(crate) fn texts(value: Json, path: &str) -> Result<Vec<String>, ApiError> {
    let item = |(idx, item): (usize, Json)| item.string(&format!("{path}[{idx}]"), "a string");
    value.array(path)?.into_iter().enumerate().map(item).collect()
}

/// An array of token ids; whether the model has them is for the model to say.
pub(crate) fn token_ids(value: Json, path: &str) -> Result<Vec<u32>, ApiError> {
    let item = |(idx, item): (usize, Json)| item.integer(&format!("{path}[{idx}]"), 0, u32::MAX);
    value.array(path)?.into_iter().enumerate().map(item).collect()
}
