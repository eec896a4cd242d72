//! Thinking before the answer, and what the answer must be.

use tokenmill_inference::{AnswerForm, Effort, TextForm};

use crate::error::ApiError;
use crate::json::{Fields, Json, clip};
use crate::parameters::tools::object;
use crate::parameters::{Group, Origin, Parameter, Rule};

/// The rows.
pub(crate) const ROWS: Group = &[
    Parameter {
        name: "thinking",
        origin: Origin::Anthropic,
        rule: Rule::Applied,
        schema: r#"{"type":"object","required":["type"],"properties":{"type":{"enum":["enabled","disabled","adaptive"]},"budget_tokens":{"type":"integer","minimum":1,"maximum":4294967295},"display":{"enum":["summarized","omitted",null]}},"additionalProperties":false}"#,
        about: "`enabled` with at most `budget_tokens`, `disabled`, or `adaptive`, which is the model's own; `display: omitted` leaves the thoughts out; a model that does not think just answers",
        default: "the model's own",
        taken: r#"[{"type":"enabled","budget_tokens":1024}, {"type":"disabled"}, {"type":"adaptive","display":"omitted"}]"#,
        refused: r#"["on", {"type":"enabled"}, {"type":"enabled","budget_tokens":0}, {"type":"between_tools"}]"#,
    },
    Parameter {
        name: "output_config",
        origin: Origin::Anthropic,
        rule: Rule::Applied,
        schema: r#"{"type":"object","properties":{"effort":{"enum":["low","medium","high","xhigh","max",null]},"format":{"type":["object","null"],"required":["type","schema"],"properties":{"type":{"const":"json_schema"},"schema":{"type":"object"}},"additionalProperties":false}},"additionalProperties":false}"#,
        about: "`effort`, how much a model thinks if it does; `format`, a JSON schema, each keyword of which is enforced or refused",
        default: "the model's own effort, any text",
        taken: r#"[{}, {"effort":"low"}, {"format":{"type":"json_schema","schema":{"type":"object"}}}]"#,
        refused: r#"[{"effort":"some"}, {"format":{"type":"xml"}}, {"format":{"type":"json_schema"}}, {"task_budget":{}}]"#,
    },
    Parameter {
        name: "output_format",
        origin: Origin::Anthropic,
        rule: Rule::Applied,
        schema: r#"{"type":"object","required":["type","schema"],"properties":{"type":{"const":"json_schema"},"schema":{"type":"object"}},"additionalProperties":false}"#,
        about: "the older name of `output_config.format`; not both",
        default: "any text",
        taken: r#"[{"type":"json_schema","schema":{"type":"object"}}]"#,
        refused: r#"["json", {"type":"xml"}]"#,
    },
];

/// Reads the group; whether the thoughts are shown.
pub(crate) fn read(fields: &mut Fields, form: &mut AnswerForm) -> Result<bool, ApiError> {
    form.is_thinking_optional = true;
    let shows = fields.optional("thinking", |value, path| thinking(value, path, form))?;
    fields.optional("output_config", |value, path| config(value, path, form))?;
    if let Some(schema) = fields.optional("output_format", format)? {
        if form.text != TextForm::Free {
            let message = "'output_format' is the older name of 'output_config.format'; give one";
            return Err(ApiError::parameter("invalid_value", "output_format", message));
        }
        (form.text, form.text_param) = (schema, "output_format.schema");
    }
    Ok(shows.unwrap_or(true))
}

fn thinking(value: Json, path: &str, form: &mut AnswerForm) -> Result<bool, ApiError> {
    let mut fields = value.fields(path)?;
    let type_path = fields.path_of("type");
    let kind = fields.require("type")?.string(&type_path, "a string")?;
    match kind.as_str() {
        "enabled" => {
            let budget_path = fields.path_of("budget_tokens");
            let budget = fields
                .require("budget_tokens")?
                .integer(&budget_path, 1, u32::MAX)?;
            form.thinks = Some(true);
            form.max_thinking_tokens = Some(budget);
        }
        "disabled" => form.thinks = Some(false),
        "adaptive" => {}
        other => {
            let message = format!(
                "'{type_path}' must be 'enabled', 'disabled' or 'adaptive', and is '{}'",
                clip(other)
            );
            return Err(ApiError::parameter("unsupported_value", type_path, message));
        }
    }
    let display = fields.optional("display", display)?;
    fields.finish(&[])?;
    Ok(display.unwrap_or(true))
}

fn display(value: Json, path: &str) -> Result<bool, ApiError> {
    match value.string(path, "a string")?.as_str() {
        "summarized" => Ok(true),
        "omitted" => Ok(false),
        other => {
            let message = format!(
                "'{path}' must be 'summarized' or 'omitted', and is '{}'",
                clip(other)
            );
            Err(ApiError::parameter("invalid_value", path, message))
        }
    }
}

fn config(value: Json, path: &str, form: &mut AnswerForm) -> Result<(), ApiError> {
    let mut fields = value.fields(path)?;
    form.effort = fields.optional("effort", effort)?;
    if let Some(schema) = fields.optional("format", format)? {
        (form.text, form.text_param) = (schema, "output_config.format.schema");
    }
    fields.finish(&["task_budget"])
}

fn effort(value: Json, path: &str) -> Result<Effort, ApiError> {
    let word = value.string(path, "a string")?;
    match word.as_str() {
        "low" => Ok(Effort::Low),
        "medium" => Ok(Effort::Medium),
        "high" => Ok(Effort::High),
        "xhigh" | "max" => Ok(Effort::XHigh),
        other => {
            let known = "'low', 'medium', 'high', 'xhigh' or 'max'";
            let message = format!("'{path}' must be {known}, and is '{}'", clip(other));
            Err(ApiError::parameter("invalid_value", path, message))
        }
    }
}

fn format(value: Json, path: &str) -> Result<TextForm, ApiError> {
    let mut fields = value.fields(path)?;
    let (type_path, schema_path) = (fields.path_of("type"), fields.path_of("schema"));
    let kind = fields.require("type")?.string(&type_path, "a string")?;
    if kind != "json_schema" {
        let message = format!("'{type_path}' must be 'json_schema', and is '{}'", clip(&kind));
        return Err(ApiError::parameter("invalid_value", type_path, message));
    }
    let schema = object(fields.require("schema")?, &schema_path)?;
    fields.finish(&[])?;
    Ok(TextForm::JsonSchema(schema.into()))
}
