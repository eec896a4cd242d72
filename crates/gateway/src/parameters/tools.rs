//! Functions that the model may call.

use serde_json::{Map, Value};
use tokenmill_inference::{AnswerForm, Tool, ToolChoice};

use super::{Group, Origin, Parameter, Rule};
use crate::error::ApiError;
use crate::json::{Fields, Json, clip};

/// The rows.
pub(crate) const ROWS: Group = &[
    Parameter {
        name: "tools",
        origin: Origin::OpenAi,
        rule: Rule::Applied,
        schema: r#"{"type":"array","maxItems":256,"items":{"type":"object","required":["type","function"],"properties":{"type":{"const":"function"},"function":{"type":"object","required":["name"],"properties":{"name":{"type":"string","pattern":"^[A-Za-z0-9_.-]{1,64}$"},"description":{"type":["string","null"]},"parameters":{"type":["object","null"]},"strict":{"type":["boolean","null"]}},"additionalProperties":false}},"additionalProperties":false}}"#,
        about: "up to 256 functions, each with `name`, `description`, `parameters` (a JSON schema) and `strict`",
        default: "none",
        taken: r#"[[], [{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{}}}}]]"#,
        refused: r#"[{}, [1], [{"type":"function"}], [{"type":"custom","custom":{"name":"f"}}], [{"type":"function","function":{"name":"a b"}}]]"#,
    },
    Parameter {
        name: "tool_choice",
        origin: Origin::OpenAi,
        rule: Rule::Applied,
        schema: r#"{"anyOf":[{"enum":["none","auto","required"]},{"type":"object","required":["type"],"properties":{"type":{"enum":["function","allowed_tools"]},"function":{"type":"object"},"allowed_tools":{"type":"object"}}}]}"#,
        about: "`none`, `auto`, `required`, a named function, or `allowed_tools`; what is required is enforced",
        default: "`auto` with tools, else `none`",
        taken: r#"["none", "auto"]"#,
        refused: r#"["always", 1, "required", {"type":"function"}, {"type":"function","function":{"name":"nobody"}}]"#,
    },
    Parameter {
        name: "parallel_tool_calls",
        origin: Origin::OpenAi,
        rule: Rule::Applied,
        schema: r#"{"type":"boolean"}"#,
        about: "`false` allows at most one call in an answer",
        default: "`true`",
        taken: "[true, false]",
        refused: r#"["no"]"#,
    },
];

/// What others know in a function. Sorted.
const FUNCTION_NOT_SUPPORTED: &[&str] = &["defer_loading"];

/// Reads the group.
pub(crate) fn read(fields: &mut Fields, form: &mut AnswerForm) -> Result<(), ApiError> {
    form.tools = fields.optional("tools", tools)?.unwrap_or_default();
    if let Some((choice, allowed)) = fields.optional("tool_choice", tool_choice)? {
        form.tool_choice = choice;
        form.allowed_tools = allowed;
    }
    let parallel = fields.optional("parallel_tool_calls", |value, path| value.bool(path))?;
    form.one_call_only = parallel == Some(false);
    Ok(())
}

fn tools(value: Json, path: &str) -> Result<Vec<Tool>, ApiError> {
    let items = value.array(path)?;
    items
        .into_iter()
        .enumerate()
        .map(|(idx, item)| tool(&format!("{path}[{idx}]"), item))
        .collect()
}

fn tool(path: &str, value: Json) -> Result<Tool, ApiError> {
    let mut fields = value.fields(path)?;
    is_of_type(&mut fields, "function")?;
    let function_path = fields.path_of("function");
    let mut function = fields.require("function")?.fields(&function_path)?;
    fields.finish(&[])?;
    let tool = read_function(&mut function)?;
    function.finish(FUNCTION_NOT_SUPPORTED)?;
    Ok(tool)
}

/// `name`, `description`, `parameters` and `strict` of a function, wherever they stand.
pub(crate) fn read_function(function: &mut Fields) -> Result<Tool, ApiError> {
    let name_path = function.path_of("name");
    Ok(Tool {
        name: function.require("name")?.string(&name_path, "a string")?,
        description: function.optional("description", |value, path| value.string(path, "a string"))?,
        parameters: function.optional("parameters", object)?,
        is_strict: function
            .optional("strict", |value, path| value.bool(path))?
            .unwrap_or(false),
    })
}

/// A JSON object as it came.
pub(crate) fn object(value: Json, path: &str) -> Result<Map<String, Value>, ApiError> {
    match value {
        Json::Object(_) => match value.into_value() {
            Value::Object(entries) => Ok(entries),
            _ => Ok(Map::new()),
        },
        other => Err(other.wrong_type(path, "an object")),
    }
}

/// Takes `type`, which must be this one.
pub(crate) fn is_of_type(fields: &mut Fields, expected: &str) -> Result<(), ApiError> {
    let path = fields.path_of("type");
    let kind = fields.require("type")?.string(&path, "a string")?;
    if kind == expected {
        return Ok(());
    }
    let message = format!("'{path}' must be '{expected}', and is '{}'", clip(&kind));
    Err(ApiError::parameter("unsupported_value", path, message))
}

type Choice = (ToolChoice, Option<Vec<String>>);

fn tool_choice(value: Json, path: &str) -> Result<Choice, ApiError> {
    match value {
        Json::String(word) => Ok((choice_word(&word, path)?, None)),
        Json::Object(_) => choice_object(value, path),
        other => Err(other.wrong_type(path, "a string or an object")),
    }
}

/// A choice that is one word.
pub(crate) fn choice_word(word: &str, path: &str) -> Result<ToolChoice, ApiError> {
    match word {
        "none" => Ok(ToolChoice::None),
        "auto" => Ok(ToolChoice::Auto),
        "required" => Ok(ToolChoice::Required),
        other => {
            let message = format!(
                "'{path}' must be 'none', 'auto', 'required' or an object, and is '{}'",
                clip(other)
            );
            Err(ApiError::parameter("invalid_value", path, message))
        }
    }
}

fn choice_object(value: Json, path: &str) -> Result<Choice, ApiError> {
    let mut fields = value.fields(path)?;
    let type_path = fields.path_of("type");
    let kind = fields.require("type")?.string(&type_path, "a string")?;
    let choice = match kind.as_str() {
        "function" => {
            let inner_path = fields.path_of("function");
            let mut inner = fields.require("function")?.fields(&inner_path)?;
            let name = function_name(&mut inner)?;
            inner.finish(&[])?;
            (ToolChoice::Named(name), None)
        }
        "allowed_tools" => {
            let inner_path = fields.path_of("allowed_tools");
            let mut inner = fields.require("allowed_tools")?.fields(&inner_path)?;
            let mode_path = inner.path_of("mode");
            let mode = inner.require("mode")?.string(&mode_path, "a string")?;
            let choice = match choice_word(&mode, &mode_path)? {
                ToolChoice::None => {
                    let message = format!("'{mode_path}' must be 'auto' or 'required'");
                    return Err(ApiError::parameter("invalid_value", mode_path, message));
                }
                other => other,
            };
            let names = inner.optional("tools", allowed_names)?.unwrap_or_default();
            inner.finish(&[])?;
            (choice, Some(names))
        }
        other => {
            let message = format!(
                "'{type_path}' must be 'function' or 'allowed_tools', and is '{}'",
                clip(other)
            );
            return Err(ApiError::parameter("invalid_value", type_path, message));
        }
    };
    fields.finish(&[])?;
    Ok(choice)
}

fn allowed_names(value: Json, path: &str) -> Result<Vec<String>, ApiError> {
    let items = value.array(path)?;
    let name = |(idx, item): (usize, Json)| {
        let mut fields = item.fields(&format!("{path}[{idx}]"))?;
        is_of_type(&mut fields, "function")?;
        let inner_path = fields.path_of("function");
        let mut inner = fields.require("function")?.fields(&inner_path)?;
        let name = function_name(&mut inner)?;
        inner.finish(&[])?;
        fields.finish(&[])?;
        Ok(name)
    };
    items.into_iter().enumerate().map(name).collect()
}

/// Takes `name`.
pub(crate) fn function_name(fields: &mut Fields) -> Result<String, ApiError> {
    let path = fields.path_of("name");
    fields.require("name")?.string(&path, "a string")
}
