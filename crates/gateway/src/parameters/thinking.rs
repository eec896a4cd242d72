//! Thinking before the answer.

use serde_json::{Map, Value};
use tokenmill_inference::{AnswerForm, Effort};

use super::tools::object;
use super::{Group, Origin, Parameter, Rule};
use crate::error::ApiError;
use crate::json::{Fields, Json, clip};

/// The rows.
pub(crate) const ROWS: Group = &[
    Parameter {
        name: "reasoning_effort",
        origin: Origin::OpenAi,
        rule: Rule::Applied,
        schema: r#"{"enum":["none","minimal","low","medium","high","xhigh"]}"#,
        about: "how much a reasoning model thinks; on others only `none` is taken",
        default: "the model's own",
        taken: r#"["none"]"#,
        refused: r#"["much", 1]"#,
    },
    Parameter {
        name: "max_reasoning_tokens",
        origin: Origin::Own,
        rule: Rule::Applied,
        schema: r#"{"type":"integer","minimum":0,"maximum":4294967295}"#,
        about: "at most so many tokens of thinking, which is then closed; 0 turns it off; without effect on a model that does not think",
        default: "no bound",
        taken: "[0, 100]",
        refused: r#"[-1, 1.5, "x"]"#,
    },
    Parameter {
        name: "thinking_token_budget",
        origin: Origin::Vllm,
        rule: Rule::Applied,
        schema: r#"{"type":"integer","minimum":0,"maximum":4294967295}"#,
        about: "vLLM's name of `max_reasoning_tokens`; both may be given when they agree",
        default: "",
        taken: "[0, 100]",
        refused: r#"[-1, 1.5, "x"]"#,
    },
    Parameter {
        name: "chat_template_kwargs",
        origin: Origin::Vllm,
        rule: Rule::Applied,
        schema: r#"{"type":"object","maxProperties":64}"#,
        about: "variables of the model's template, `enable_thinking` among them; one that it does not read is refused",
        default: "none",
        taken: "[{}]",
        refused: r#"[[], 1]"#,
    },
];

/// Reads the group; gives the template's variables.
pub(crate) fn read(fields: &mut Fields, form: &mut AnswerForm) -> Result<Map<String, Value>, ApiError> {
    form.effort = fields.optional("reasoning_effort", effort)?;
    form.max_thinking_tokens = bound(fields)?;
    let variables = fields.optional("chat_template_kwargs", object)?;
    Ok(variables.unwrap_or_default())
}

fn bound(fields: &mut Fields) -> Result<Option<u32>, ApiError> {
    let names = ["max_reasoning_tokens", "thinking_token_budget"];
    let [own, other] =
        names.map(|name| fields.optional(name, |value, path| value.integer(path, 0, u32::MAX)));
    match (own?, other?) {
        (Some(own), Some(other)) if own != other => {
            let message = format!(
                "'thinking_token_budget' is {other} and 'max_reasoning_tokens' is {own}; give one, or the same in both"
            );
            Err(ApiError::parameter(
                "invalid_value",
                "thinking_token_budget",
                message,
            ))
        }
        (own, other) => Ok(own.or(other)),
    }
}

/// A level by its name.
pub(crate) fn effort(value: Json, path: &str) -> Result<Effort, ApiError> {
    let word = value.string(path, "a string")?;
    let named = Effort::NAMES.iter().find(|(name, _)| *name == word);
    named.map(|(_, effort)| *effort).ok_or_else(|| {
        let known: Vec<&str> = Effort::NAMES.iter().map(|(name, _)| *name).collect();
        let message = format!(
            "'{path}' must be one of {}, and is '{}'",
            known.join(", "),
            clip(&word)
        );
        ApiError::parameter("invalid_value", path, message)
    })
}
