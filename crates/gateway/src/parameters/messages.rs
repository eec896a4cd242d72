//! The conversation.

use tokenmill_inference::{LIMITS, Message, Role, ToolCall};

use super::{Group, Origin, Parameter, Rule, short_text};
use crate::error::ApiError;
use crate::json::{Fields, Json, clip};

/// The rows.
pub(crate) const ROWS: Group = &[Parameter {
    name: "messages",
    origin: Origin::OpenAi,
    rule: Rule::Applied,
    schema: MESSAGES_SCHEMA,
    about: "1 to 10,000, each with `role` (`system`, `developer`, `user`, `assistant`, `tool`) and `content` (text, or text parts); an assistant's may have `tool_calls` and `reasoning`, a tool's has `tool_call_id`",
    default: "required",
    taken: r#"[[{"role":"user","content":"hello"}]]"#,
    refused: r#"[[], {}, ["hello"], [{"role":"user"}], [{"role":"robot","content":"x"}]]"#,
}];

const MESSAGES_SCHEMA: &str = r#"{"type":"array","minItems":1,"maxItems":10000,"items":{"type":"object","required":["role"],"properties":{"role":{"enum":["system","developer","user","assistant","tool"]},"name":{"type":["string","null"]},"tool_call_id":{"type":["string","null"]},"reasoning":{"type":["string","null"]},"reasoning_content":{"type":["string","null"]},"provider_specific_fields":{"type":["object","null"]},"tool_calls":{"type":["array","null"],"items":{"type":"object","required":["id","type","function"],"properties":{"id":{"type":"string"},"type":{"const":"function"},"function":{"type":"object","required":["name","arguments"],"properties":{"name":{"type":"string"},"arguments":{"type":"string"}}},"index":{"type":"integer"}}}},"content":{"anyOf":[{"type":"string"},{"type":"array","minItems":1,"items":{"type":"object","required":["type","text"],"properties":{"type":{"const":"text"},"text":{"type":"string"}},"additionalProperties":false}}]}},"additionalProperties":false}}"#;

/// What other servers know in a message. Sorted.
const MESSAGE_NOT_SUPPORTED: &[&str] = &["annotations", "audio", "function_call", "prefix", "refusal"];

/// The same for a text part. Sorted.
const PART_NOT_SUPPORTED: &[&str] = &["cache_control"];

/// Part types that exist elsewhere.
const PART_TYPES_NOT_SUPPORTED: &[&str] = &[
    "audio_url",
    "document",
    "file",
    "image",
    "image_url",
    "input_audio",
    "input_file",
    "input_image",
    "refusal",
    "thinking",
    "video",
    "video_url",
];

/// Reads `messages`.
pub(crate) fn read(value: Json) -> Result<Vec<Message>, ApiError> {
    let items = value.array("messages")?;
    if items.len() > LIMITS.n_messages {
        let message = format!(
            "'messages' holds {} messages; at most {} fit",
            items.len(),
            LIMITS.n_messages
        );
        return Err(ApiError::parameter("invalid_value", "messages", message));
    }
    items
        .into_iter()
        .enumerate()
        .map(|(idx, item)| message(&format!("messages[{idx}]"), item))
        .collect()
}

fn message(path: &str, value: Json) -> Result<Message, ApiError> {
    let mut fields = value.fields(path)?;
    let role = role(&fields.path_of("role"), fields.require("role")?)?;
    let content_path = fields.path_of("content");
    let content = fields.optional("content", |value, path| text(path, value))?;
    let mut message = Message::new(role, content.clone().unwrap_or_default());
    message.name = fields
        .optional("name", short_text)?
        .filter(|name| !name.is_empty());
    read_turn(role, &mut fields, &mut message)?;
    fields.finish(MESSAGE_NOT_SUPPORTED)?;
    if content.is_none() && message.tool_calls.is_empty() {
        let fault = format!("'{content_path}' is missing, and is required");
        return Err(ApiError::parameter(
            "missing_required_parameter",
            content_path,
            fault,
        ));
    }
    Ok(message)
}

/// What only turns of the assistant have, and only results of functions.
fn read_turn(role: Role, fields: &mut Fields, message: &mut Message) -> Result<(), ApiError> {
    if role == Role::Assistant {
        message.tool_calls = fields.optional("tool_calls", tool_calls)?.unwrap_or_default();
        let word = |value: Json, path: &str| value.string(path, "a string");
        // The newer name, and the one that some servers gave it first.
        let (new, old) = (
            fields.optional("reasoning", word)?,
            fields.optional("reasoning_content", word)?,
        );
        message.reasoning = new.or(old).filter(|text| !text.is_empty());
        // LiteLLM's own notes about an answer, which it sends back with it; they change nothing.
        fields.optional("provider_specific_fields", |value, path| {
            value.fields(path).map(drop)
        })?;
    }
    if role == Role::Tool {
        let path = fields.path_of("tool_call_id");
        message.tool_call_id = Some(short_text(fields.require("tool_call_id")?, &path)?);
    }
    Ok(())
}

fn tool_calls(value: Json, path: &str) -> Result<Vec<ToolCall>, ApiError> {
    let items = value.array(path)?;
    let call = |(idx, item): (usize, Json)| tool_call(&format!("{path}[{idx}]"), item);
    items.into_iter().enumerate().map(call).collect()
}

fn tool_call(path: &str, value: Json) -> Result<ToolCall, ApiError> {
    let mut fields = value.fields(path)?;
    let id_path = fields.path_of("id");
    let id = short_text(fields.require("id")?, &id_path)?;
    let kind = fields.optional("type", |value, path| value.string(path, "a string"))?;
    if kind.is_some_and(|kind| kind != "function") {
        let path = fields.path_of("type");
        let message = format!("'{path}' must be 'function'");
        return Err(ApiError::parameter("unsupported_value", path, message));
    }
    // Streamed calls have it, and some send them back as they came.
    fields.optional("index", |value, path| value.integer(path, 0, u32::MAX))?;
    let function_path = fields.path_of("function");
    let mut function = fields.require("function")?.fields(&function_path)?;
    fields.finish(&[])?;
    let (name_path, arguments_path) = (function.path_of("name"), function.path_of("arguments"));
    let name = short_text(function.require("name")?, &name_path)?;
    let arguments = function
        .require("arguments")?
        .string(&arguments_path, "JSON as a string")?;
    function.finish(&[])?;
    Ok(ToolCall { id, name, arguments })
}

fn role(path: &str, value: Json) -> Result<Role, ApiError> {
    let role = value.string(path, "a string")?;
    match role.as_str() {
        "system" => Ok(Role::System),
        "developer" => Ok(Role::Developer),
        "user" => Ok(Role::User),
        "assistant" => Ok(Role::Assistant),
        "tool" => Ok(Role::Tool),
        "function" => {
            let message = format!("'{path}': the role '{role}' is not supported by this server; use 'tool'");
            Err(ApiError::parameter("unsupported_value", path, message))
        }
        other => {
            let known = "'system', 'developer', 'user', 'assistant' or 'tool'";
            let message = format!("'{path}' must be {known}, and is '{}'", clip(other));
            Err(ApiError::parameter("invalid_value", path, message))
        }
    }
}

/// A string, or text parts joined by line feeds.
fn text(path: &str, value: Json) -> Result<String, ApiError> {
    match value {
        Json::String(text) => Ok(text),
        Json::Array(parts) if parts.is_empty() => {
            let message = format!("'{path}' must hold at least one part");
            Err(ApiError::parameter("invalid_value", path, message))
        }
        Json::Array(parts) => {
            let part = |(idx, value)| text_part(&format!("{path}[{idx}]"), value);
            let texts: Result<Vec<String>, ApiError> = parts.into_iter().enumerate().map(part).collect();
            Ok(texts?.join("\n"))
        }
        other => Err(other.wrong_type(path, "a string or an array of text parts")),
    }
}

fn text_part(path: &str, value: Json) -> Result<String, ApiError> {
    let mut fields = value.fields(path)?;
    let type_path = fields.path_of("type");
    let kind = fields.require("type")?.string(&type_path, "a string")?;
    if PART_TYPES_NOT_SUPPORTED.contains(&kind.as_str()) {
        let message =
            format!("'{type_path}': parts of type '{kind}' are not supported by this server; send 'text'");
        return Err(ApiError::parameter("unsupported_value", type_path, message));
    }
    if kind != "text" {
        let message = format!("'{type_path}' must be 'text', and is '{}'", clip(&kind));
        return Err(ApiError::parameter("invalid_value", type_path, message));
    }
    let text = fields
        .require("text")?
        .string(&fields.path_of("text"), "a string")?;
    fields.finish(PART_NOT_SUPPORTED)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_of_names_are_sorted() {
        for list in [MESSAGE_NOT_SUPPORTED, PART_NOT_SUPPORTED] {
            assert!(list.is_sorted(), "{list:?}");
        }
    }
}
