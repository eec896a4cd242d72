//! Functions that the model may call.

use tokenmill_inference::{AnswerForm, Tool, ToolChoice};

use super::without_effect::{cache_control, only};
use crate::error::ApiError;
use crate::json::{Fields, Json, clip};
use crate::parameters::ending::flag;
use crate::parameters::tools::object;
use crate::parameters::{Group, Origin, Parameter, Rule};

/// The rows.
pub(crate) const ROWS: Group = &[
    Parameter {
        name: "tools",
        origin: Origin::Anthropic,
        rule: Rule::Applied,
        schema: r#"{"type":"array","maxItems":256,"items":{"type":"object","required":["name","input_schema"],"properties":{"type":{"enum":["custom",null]},"name":{"type":"string","pattern":"^[A-Za-z0-9_.-]{1,64}$"},"description":{"type":["string","null"]},"input_schema":{"type":"object"},"strict":{"type":["boolean","null"]},"cache_control":{"type":["object","null"]},"eager_input_streaming":{"type":["boolean","null"]}}}}"#,
        about: "up to 256 functions, each with `name`, `description`, `input_schema` and `strict`; tools that Anthropic's servers run are refused",
        default: "none",
        taken: r#"[[], [{"name":"f","input_schema":{"type":"object","properties":{}}}]]"#,
        refused: r#"[{}, [1], [{"name":"f"}], [{"type":"web_search_20250305","name":"web_search"}], [{"name":"a b","input_schema":{}}]]"#,
    },
    Parameter {
        name: "tool_choice",
        origin: Origin::Anthropic,
        rule: Rule::Applied,
        schema: r#"{"type":"object","required":["type"],"properties":{"type":{"enum":["auto","any","tool","none"]},"name":{"type":"string"},"disable_parallel_tool_use":{"type":["boolean","null"]}},"additionalProperties":false}"#,
        about: "`auto`, `any`, `tool` with a `name`, or `none`; what is required is enforced, and so is `disable_parallel_tool_use`",
        default: "`auto` with tools, else `none`",
        taken: r#"[{"type":"none"}, {"type":"auto","disable_parallel_tool_use":true}]"#,
        refused: r#"["auto", {"type":"any"}, {"type":"always"}, {"type":"tool","name":"nobody"}]"#,
    },
];

/// What others know in a function. Sorted.
const NOT_SUPPORTED: &[&str] = &["input_examples"];

/// Reads the group.
pub(crate) fn read(fields: &mut Fields, form: &mut AnswerForm) -> Result<(), ApiError> {
    form.tools = fields.optional("tools", tools)?.unwrap_or_default();
    if let Some((choice, one_only)) = fields.optional("tool_choice", choice)? {
        form.tool_choice = choice;
        form.one_call_only = one_only;
    }
    Ok(())
}

fn tools(value: Json, path: &str) -> Result<Vec<Tool>, ApiError> {
    let items = value.array(path)?.into_iter().enumerate();
    items
        .map(|(idx, item)| tool(item, &format!("{path}[{idx}]")))
        .collect()
}

fn tool(value: Json, path: &str) -> Result<Tool, ApiError> {
    let mut fields = value.fields(path)?;
    let type_path = fields.path_of("type");
    let kind = fields.optional("type", |value, path| value.string(path, "a string"))?;
    if let Some(kind) = kind.filter(|kind| kind != "custom") {
        let message = format!(
            "'{type_path}' must be 'custom', and is '{}': this server runs no tools of its own",
            clip(&kind)
        );
        return Err(ApiError::parameter("unsupported_value", type_path, message));
    }
    let (name_path, schema_path) = (fields.path_of("name"), fields.path_of("input_schema"));
    let tool = Tool {
        name: fields.require("name")?.string(&name_path, "a string")?,
        description: fields.optional("description", |value, path| value.string(path, "a string"))?,
        parameters: Some(object(fields.require("input_schema")?, &schema_path)?),
        is_strict: flag(&mut fields, "strict", false)?,
    };
    fields.optional("cache_control", cache_control)?;
    // Arguments are streamed as they come anyway.
    flag(&mut fields, "eager_input_streaming", false)?;
    fields.optional("defer_loading", |value, path| only(&value, path, &["false"]))?;
    fields.optional("allowed_callers", |value, path| {
        only(&value, path, &[r#"["direct"]"#])
    })?;
    fields.finish(NOT_SUPPORTED)?;
    Ok(tool)
}

fn choice(value: Json, path: &str) -> Result<(ToolChoice, bool), ApiError> {
    let mut fields = value.fields(path)?;
    let type_path = fields.path_of("type");
    let kind = fields.require("type")?.string(&type_path, "a string")?;
    let name_path = fields.path_of("name");
    let choice = match kind.as_str() {
        "auto" => ToolChoice::Auto,
        "any" => ToolChoice::Required,
        "none" => ToolChoice::None,
        "tool" => ToolChoice::Named(fields.require("name")?.string(&name_path, "a string")?),
        other => {
            let message = format!(
                "'{type_path}' must be 'auto', 'any', 'tool' or 'none', and is '{}'",
                clip(other)
            );
            return Err(ApiError::parameter("invalid_value", type_path, message));
        }
    };
    let one_only = flag(&mut fields, "disable_parallel_tool_use", false)?;
    fields.finish(&[])?;
    Ok((choice, one_only))
}
