//! What the answer must be, how the model thinks before it, and how much of it there is.

use serde_json::{Value, json};
use tokenmill_inference::{AnswerForm, LIMITS};

use crate::error::ApiError;
use crate::json::{Fields, Json, clip};
use crate::parameters::text_form::flat_format;
use crate::parameters::thinking::effort;
use crate::parameters::without_effect::one_of;
use crate::parameters::{Group, Origin, Parameter, Rule};

/// The rows.
pub(crate) const ROWS: Group = &[
    Parameter {
        name: "text",
        origin: Origin::OpenAi,
        rule: Rule::Applied,
        schema: r#"{"type":"object","properties":{"format":{"type":["object","null"],"required":["type"],"properties":{"type":{"enum":["text","json_object","json_schema"]},"name":{"type":"string","pattern":"^[A-Za-z0-9_-]{1,64}$"},"description":{"type":["string","null"]},"schema":{"type":["object","boolean"]},"strict":{"type":["boolean","null"]}},"additionalProperties":false},"verbosity":{"enum":["medium",null]}},"additionalProperties":false}"#,
        about: "`format`: `text`, `json_object`, or `json_schema`, each keyword of which is enforced or refused; `verbosity` may only be `medium`, which asks for nothing",
        default: "any text",
        taken: r#"[{}, {"format":{"type":"text"}}, {"format":{"type":"json_schema","name":"a","schema":{"type":"boolean"}},"verbosity":"medium"}]"#,
        refused: r#"["json", {"format":{"type":"xml"}}, {"format":{"type":"json_schema"}}, {"verbosity":"low"}]"#,
    },
    Parameter {
        name: "reasoning",
        origin: Origin::OpenAi,
        rule: Rule::Applied,
        schema: r#"{"type":"object","properties":{"effort":{"enum":["none","minimal","low","medium","high","xhigh",null]},"summary":{"enum":["auto",null]}},"additionalProperties":false}"#,
        about: "`effort`: how much a reasoning model thinks, on others only `none`; `summary` may be `auto`: the thoughts come in plain, and there is none",
        default: "the model's own",
        taken: r#"[{}, {"effort":"none","summary":"auto"}]"#,
        refused: r#"["low", {"effort":"much"}, {"summary":"detailed"}, {"mode":"pro"}]"#,
    },
    Parameter {
        name: "max_output_tokens",
        origin: Origin::OpenAi,
        rule: Rule::Applied,
        schema: r#"{"type":"integer","minimum":1,"maximum":4294967295}"#,
        about: "at most so many tokens, thoughts among them",
        default: "what is left of the context",
        taken: "[1, 16]",
        refused: r#"[0, -5, 1.5, "3"]"#,
    },
    Parameter {
        name: "temperature",
        origin: Origin::OpenAi,
        rule: Rule::Applied,
        schema: r#"{"type":"number","minimum":0,"maximum":2}"#,
        about: "0 always takes the likeliest token",
        default: "the model's own, else 1",
        taken: "[0, 0.5, 2]",
        refused: r#"[-0.1, 2.1, "hot"]"#,
    },
    Parameter {
        name: "top_p",
        origin: Origin::OpenAi,
        rule: Rule::Applied,
        schema: r#"{"type":"number","exclusiveMinimum":0,"maximum":1}"#,
        about: "over 0, up to 1: keeps the likeliest tokens that together have this probability",
        default: "the model's own, else 1",
        taken: "[0.5, 1]",
        refused: "[0, 1.5, true]",
    },
    Parameter {
        name: "include",
        origin: Origin::OpenAi,
        rule: Rule::Applied,
        schema: r#"{"type":"array","items":{"enum":["message.output_text.logprobs","reasoning.encrypted_content"]}}"#,
        about: "`message.output_text.logprobs`: how likely each token was; `reasoning.encrypted_content` is taken, and changes nothing: thoughts come in plain, and may be sent back so",
        default: "none",
        taken: r#"[[], ["message.output_text.logprobs"], ["reasoning.encrypted_content"]]"#,
        refused: r#"["x", ["file_search_call.results"], [1]]"#,
    },
    Parameter {
        name: "top_logprobs",
        origin: Origin::OpenAi,
        rule: Rule::Applied,
        schema: r#"{"type":"integer","minimum":0,"maximum":20}"#,
        about: "so many of the likeliest tokens at each place, up to 20",
        default: "0",
        taken: "[0, 3]",
        refused: "[-1, 21, 1.5]",
    },
];

/// What others know in `reasoning`. Sorted.
const REASONING_NOT_SUPPORTED: &[&str] = &["context", "generate_summary", "mode"];

/// Reads `text`; gives the format as the answer tells it back.
pub(crate) fn text(fields: &mut Fields, form: &mut AnswerForm) -> Result<Value, ApiError> {
    let format = fields.optional("text", |value, path| read_text(value, path, form))?;
    Ok(format.flatten().unwrap_or_else(|| json!({"type": "text"})))
}

fn read_text(value: Json, path: &str, form: &mut AnswerForm) -> Result<Option<Value>, ApiError> {
    let mut fields = value.fields(path)?;
    let format_path = fields.path_of("format");
    let mut told = None;
    if let Some(format) = fields.take("format") {
        told = Some(format.clone().into_value());
        if let Some(text) = flat_format(format, &format_path)? {
            (form.text, form.text_param) = (text, "text.format.schema");
        }
    }
    fields.optional("verbosity", |value, path| one_of(&value, path, &[r#""medium""#]))?;
    fields.finish(&[])?;
    Ok(told)
}

/// Reads `reasoning`.
pub(crate) fn reasoning(fields: &mut Fields, form: &mut AnswerForm) -> Result<(), ApiError> {
    let read = |value: Json, path: &str| {
        let mut fields = value.fields(path)?;
        form.effort = fields.optional("effort", effort)?;
        fields.optional("summary", |value, path| one_of(&value, path, &[r#""auto""#]))?;
        fields.finish(REASONING_NOT_SUPPORTED)
    };
    fields.optional("reasoning", read)?;
    Ok(())
}

/// Reads `include` and `top_logprobs`: the alternatives for each token, `None` where nothing is asked.
pub(crate) fn logprobs(fields: &mut Fields) -> Result<Option<u32>, ApiError> {
    let asked = fields.optional("include", include)?.unwrap_or(false);
    let n_top = fields.optional("top_logprobs", |value, path| {
        value.integer(path, 0, LIMITS.n_top_logprobs)
    })?;
    Ok(match n_top {
        Some(n_top) if n_top > 0 => Some(n_top),
        _ => asked.then_some(0),
    })
}

fn include(value: Json, path: &str) -> Result<bool, ApiError> {
    let mut has_logprobs = false;
    for (idx, item) in value.array(path)?.into_iter().enumerate() {
        let path = format!("{path}[{idx}]");
        let word = item.string(&path, "a string")?;
        match word.as_str() {
            "message.output_text.logprobs" => has_logprobs = true,
            "reasoning.encrypted_content" => {}
            other => {
                let known = "'message.output_text.logprobs' or 'reasoning.encrypted_content'";
                let message = format!("'{path}' must be {known} here, and is '{}'", clip(other));
                return Err(ApiError::parameter("unsupported_value", path, message));
            }
        }
    }
    Ok(has_logprobs)
}
