//! Blocks of content.

use tokenmill_inference::ToolCall;

use super::without_effect::cache_control;
use crate::error::ApiError;
use crate::json::{Fields, Json, clip};
use crate::parameters::short_text;
use crate::parameters::tools::object;

/// One block, as far as a message here can have it.
pub(super) enum Block {
    Text(String),
    Thinking(String),
    ToolUse(ToolCall),
    ToolResult(ToolResult),
}

/// What a function gave.
pub(super) struct ToolResult {
    pub(super) tool_use_id: String,
    pub(super) content: String,
}

/// Block types that exist and are not taken.
const TYPES_NOT_SUPPORTED: &[&str] = &[
    "bash_code_execution_tool_result",
    "code_execution_tool_result",
    "compaction",
    "container_upload",
    "document",
    "image",
    "mcp_tool_result",
    "mcp_tool_use",
    "redacted_thinking",
    "search_result",
    "server_tool_use",
    "text_editor_code_execution_tool_result",
    "tool_reference",
    "tool_search_tool_result",
    "web_fetch_tool_result",
    "web_search_tool_result",
];

/// What clients send back of a text, always `null` here. Sorted.
const TEXT_NOT_SUPPORTED: &[&str] = &["citations", "parsed_output"];
/// The same of a call and of a result. Sorted.
const TOOL_NOT_SUPPORTED: &[&str] = &["caller", "toolset_name"];

/// How a result that is an error is told to the model, for templates have no place for it.
const ERROR_MARK: &str = "Error: ";

/// Reads a text, or blocks of which each must be one of `allowed`.
pub(super) fn content(value: Json, path: &str, allowed: &[&str]) -> Result<Vec<Block>, ApiError> {
    match value {
        Json::String(text) => Ok(vec![Block::Text(text)]),
        Json::Array(items) if items.is_empty() => {
            let message = format!("'{path}' must hold at least one block");
            Err(ApiError::parameter("invalid_value", path, message))
        }
        Json::Array(items) => items
            .into_iter()
            .enumerate()
            .map(|(idx, item)| block(item, &format!("{path}[{idx}]"), allowed))
            .collect(),
        other => Err(other.wrong_type(path, "a string or an array of blocks")),
    }
}

/// Reads a text, or text blocks, which are joined by line feeds.
pub(super) fn text(value: Json, path: &str) -> Result<String, ApiError> {
    if value == Json::Array(Vec::new()) {
        return Ok(String::new());
    }
    let texts = content(value, path, &["text"])?
        .into_iter()
        .map(|block| match block {
            Block::Text(text) => text,
            _ => String::new(),
        });
    Ok(texts.collect::<Vec<_>>().join("\n"))
}

fn block(value: Json, path: &str, allowed: &[&str]) -> Result<Block, ApiError> {
    let mut fields = value.fields(path)?;
    let type_path = fields.path_of("type");
    let kind = fields.require("type")?.string(&type_path, "a string")?;
    if !allowed.contains(&kind.as_str()) {
        let known = allowed.join("', '");
        let (code, message) = if TYPES_NOT_SUPPORTED.contains(&kind.as_str()) {
            let message = format!("'{type_path}': blocks of type '{kind}' are not supported by this server");
            ("unsupported_value", message)
        } else {
            let message = format!("'{type_path}' must be one of '{known}', and is '{}'", clip(&kind));
            ("invalid_value", message)
        };
        return Err(ApiError::parameter(code, type_path, message));
    }
    let block = match kind.as_str() {
        "tool_use" => Block::ToolUse(tool_use(&mut fields)?),
        "tool_result" => Block::ToolResult(tool_result(&mut fields)?),
        "thinking" => Block::Thinking(thinking(&mut fields)?),
        _ => Block::Text(word(&mut fields, "text")?),
    };
    fields.optional("cache_control", cache_control)?;
    fields.finish(match block {
        Block::Text(_) => TEXT_NOT_SUPPORTED,
        Block::Thinking(_) => &[],
        Block::ToolUse(_) | Block::ToolResult(_) => TOOL_NOT_SUPPORTED,
    })?;
    Ok(block)
}

fn word(fields: &mut Fields, name: &str) -> Result<String, ApiError> {
    let path = fields.path_of(name);
    fields.require(name)?.string(&path, "a string")
}

/// The signature is nobody's here, and not looked at.
fn thinking(fields: &mut Fields) -> Result<String, ApiError> {
    fields.optional("signature", |value, path| value.string(path, "a string"))?;
    word(fields, "thinking")
}

fn tool_use(fields: &mut Fields) -> Result<ToolCall, ApiError> {
    let paths = ["id", "name", "input"].map(|name| fields.path_of(name));
    let id = short_text(fields.require("id")?, &paths[0])?;
    let name = short_text(fields.require("name")?, &paths[1])?;
    let input = object(fields.require("input")?, &paths[2])?;
    let arguments = serde_json::Value::Object(input).to_string();
    Ok(ToolCall { id, name, arguments })
}

fn tool_result(fields: &mut Fields) -> Result<ToolResult, ApiError> {
    let path = fields.path_of("tool_use_id");
    let tool_use_id = short_text(fields.require("tool_use_id")?, &path)?;
    let mut content = fields.optional("content", text)?.unwrap_or_default();
    let is_error = fields.optional("is_error", |value, path| value.bool(path))?;
    if is_error == Some(true) {
        content.insert_str(0, ERROR_MARK);
    }
    Ok(ToolResult { tool_use_id, content })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_of_names_are_sorted() {
        for list in [TYPES_NOT_SUPPORTED, TEXT_NOT_SUPPORTED, TOOL_NOT_SUPPORTED] {
            assert!(list.is_sorted(), "{list:?}");
        }
    }
}
