//! Functions that the model may call.

use serde_json::{Value, json};
use tokenmill_inference::{AnswerForm, Tool, ToolChoice};

use crate::error::ApiError;
use crate::json::{Fields, Json, clip};
use crate::parameters::tools::{choice_word, function_name, is_of_type, read_function};
use crate::parameters::{Group, Origin, Parameter, Rule, without_effect};

/// The rows.
pub(crate) const ROWS: Group = &[
    Parameter {
        name: "tools",
        origin: Origin::OpenAi,
        rule: Rule::Applied,
        schema: r#"{"type":"array","maxItems":256,"items":{"type":"object","required":["type","name"],"properties":{"type":{"enum":["function","namespace"]},"name":{"type":"string","pattern":"^[A-Za-z0-9_.-]{1,64}$"},"description":{"type":["string","null"]},"parameters":{"type":["object","null"]},"strict":{"type":["boolean","null"]}}}}"#,
        about: "up to 256 functions, each with `name`, `description`, `parameters` (a JSON schema) and `strict`, which is `false` unless it is said; or a `namespace` of such `tools`; OpenAI's own tools are refused",
        default: "none",
        taken: r#"[[], [{"type":"function","name":"f","parameters":{"type":"object","properties":{}},"strict":false}], [{"type":"namespace","name":"n","description":"d","tools":[{"type":"function","name":"f"}]}]]"#,
        refused: r#"[{}, [1], [{"type":"web_search"}], [{"type":"custom","name":"f"}], [{"type":"function","name":"a b"}]]"#,
    },
    Parameter {
        name: "tool_choice",
        origin: Origin::OpenAi,
        rule: Rule::Applied,
        schema: r#"{"anyOf":[{"enum":["none","auto","required"]},{"type":"object","required":["type"],"properties":{"type":{"enum":["function","allowed_tools"]},"name":{"type":"string"},"mode":{"enum":["auto","required"]},"tools":{"type":"array"}}}]}"#,
        about: "`none`, `auto`, `required`, a named function, or `allowed_tools`; what is required is enforced",
        default: "`auto` with tools, else `none`",
        taken: r#"["none", "auto"]"#,
        refused: r#"["always", 1, "required", {"type":"web_search"}, {"type":"function","name":"nobody"}]"#,
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
const NOT_SUPPORTED: &[&str] = &["allowed_callers", "output_schema"];

/// What stands between the names of a namespace and of a function in it, for models know no namespaces.
const BETWEEN: &str = "__";

/// The functions as the body has them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Offered {
    /// The path of each.
    pub(crate) paths: Vec<String>,
    /// Those in namespaces.
    namespaced: Vec<Namespaced>,
}

#[derive(Debug, Clone)]
struct Namespaced {
    joined: String,
    namespace: String,
    name: String,
}

impl Offered {
    /// Namespace and name of a function that the model calls.
    pub(crate) fn split(&self, called: &str) -> (Option<String>, String) {
        let found = self.namespaced.iter().find(|one| one.joined == called);
        match found {
            Some(one) => (Some(one.namespace.clone()), one.name.clone()),
            None => (None, called.to_owned()),
        }
    }

    /// Whether there are namespaces.
    pub(crate) fn has_namespaces(&self) -> bool {
        !self.namespaced.is_empty()
    }
}

/// The name of a function in a namespace, for the model.
pub(super) fn joined(namespace: &str, name: &str) -> String {
    format!("{namespace}{BETWEEN}{name}")
}

/// Reads the group.
pub(crate) fn read(fields: &mut Fields, form: &mut AnswerForm) -> Result<Offered, ApiError> {
    let mut offered = Offered::default();
    if let Some(tools) = fields.take("tools") {
        for (idx, item) in tools.array("tools")?.into_iter().enumerate() {
            read_tool(item, format!("tools[{idx}]"), form, &mut offered)?;
        }
    }
    if let Some((choice, allowed)) = fields.optional("tool_choice", choice)? {
        form.tool_choice = choice;
        form.allowed_tools = allowed;
    }
    let parallel = fields.optional("parallel_tool_calls", |value, path| value.bool(path))?;
    form.one_call_only = parallel == Some(false);
    Ok(offered)
}

fn read_tool(
    value: Json,
    path: String,
    form: &mut AnswerForm,
    offered: &mut Offered,
) -> Result<(), ApiError> {
    let is_namespace = matches!(&value, Json::Object(fields)
        if fields.get("type") == Some(&Json::String("namespace".to_owned())));
    if is_namespace {
        return read_namespace(value, &path, form, offered);
    }
    form.tools.push(tool(value, &path)?);
    offered.paths.push(path);
    Ok(())
}

fn read_namespace(
    value: Json,
    path: &str,
    form: &mut AnswerForm,
    offered: &mut Offered,
) -> Result<(), ApiError> {
    let mut fields = value.fields(path)?;
    is_of_type(&mut fields, "namespace")?;
    let namespace = function_name(&mut fields)?;
    let about = fields.optional("description", |value, path| value.string(path, "a string"))?;
    let tools_path = fields.path_of("tools");
    let tools = fields.require("tools")?.array(&tools_path)?;
    fields.finish(&[])?;
    for (idx, item) in tools.into_iter().enumerate() {
        let path = format!("{tools_path}[{idx}]");
        let mut tool = tool(item, &path)?;
        let joined = joined(&namespace, &tool.name);
        offered.namespaced.push(Namespaced {
            joined: joined.clone(),
            namespace: namespace.clone(),
            name: std::mem::replace(&mut tool.name, joined),
        });
        let words = [about.clone(), tool.description.take()];
        tool.description = words
            .into_iter()
            .flatten()
            .reduce(|about, own| format!("{about} {own}"));
        form.tools.push(tool);
        offered.paths.push(path);
    }
    Ok(())
}

fn tool(value: Json, path: &str) -> Result<Tool, ApiError> {
    let mut fields = value.fields(path)?;
    is_of_type(&mut fields, "function")?;
    let tool = read_function(&mut fields)?;
    fields.optional("defer_loading", |value, path| {
        without_effect::one_of(&value, path, &["false"])
    })?;
    fields.finish(NOT_SUPPORTED)?;
    Ok(tool)
}

type Choice = (ToolChoice, Option<Vec<String>>);

fn choice(value: Json, path: &str) -> Result<Choice, ApiError> {
    if let Json::String(word) = value {
        return Ok((choice_word(&word, path)?, None));
    }
    let mut fields = value.fields(path)?;
    let type_path = fields.path_of("type");
    let kind = fields.require("type")?.string(&type_path, "a string")?;
    let choice = match kind.as_str() {
        "function" => (ToolChoice::Named(function_name(&mut fields)?), None),
        "allowed_tools" => {
            let mode_path = fields.path_of("mode");
            let mode = fields.require("mode")?.string(&mode_path, "a string")?;
            let mode = match choice_word(&mode, &mode_path)? {
                ToolChoice::None => {
                    let message = format!("'{mode_path}' must be 'auto' or 'required'");
                    return Err(ApiError::parameter("invalid_value", mode_path, message));
                }
                other => other,
            };
            let names = fields.optional("tools", allowed)?.unwrap_or_default();
            (mode, Some(names))
        }
        other => {
            let message = format!(
                "'{type_path}' must be 'function' or 'allowed_tools', and is '{}'",
                clip(other)
            );
            return Err(ApiError::parameter("unsupported_value", type_path, message));
        }
    };
    fields.finish(&[])?;
    Ok(choice)
}

fn allowed(value: Json, path: &str) -> Result<Vec<String>, ApiError> {
    let items = value.array(path)?.into_iter().enumerate();
    let name = |(idx, item): (usize, Json)| {
        let mut fields = item.fields(&format!("{path}[{idx}]"))?;
        is_of_type(&mut fields, "function")?;
        let name = function_name(&mut fields)?;
        fields.finish(&[])?;
        Ok(name)
    };
    items.map(name).collect()
}

/// The functions as the answer tells them back.
pub(crate) fn echo(form: &AnswerForm) -> Value {
    let tool = |tool: &Tool| {
        json!({
            "type": "function", "name": tool.name, "description": tool.description,
            "parameters": tool.parameters, "strict": tool.is_strict,
        })
    };
    form.tools.iter().map(tool).collect()
}

/// The choice as the answer tells it back.
pub(crate) fn echo_choice(form: &AnswerForm) -> Value {
    let mode = match &form.tool_choice {
        ToolChoice::None => "none",
        ToolChoice::Auto => "auto",
        ToolChoice::Required => "required",
        ToolChoice::Named(name) => return json!({"type": "function", "name": name}),
    };
    let Some(names) = &form.allowed_tools else {
        return mode.into();
    };
    let tools = names.iter().map(|name| json!({"type": "function", "name": name}));
    json!({"type": "allowed_tools", "mode": mode, "tools": tools.collect::<Value>()})
}
