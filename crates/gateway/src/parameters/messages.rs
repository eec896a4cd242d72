//! The conversation.

use tokenmill_inference::{LIMITS, Message, Role};

use super::{Group, Origin, Parameter, Rule};
use crate::error::ApiError;
use crate::json::{Json, clip};

/// The rows.
pub(crate) const ROWS: Group = &[Parameter {
    name: "messages",
    origin: Origin::OpenAi,
    rule: Rule::Applied,
    schema: MESSAGES_SCHEMA,
    about: "1 to 10,000, each with `role` (`system`, `developer`, `user`, `assistant`) and `content` (text, or text parts)",
    default: "required",
    taken: r#"[[{"role":"user","content":"hello"}]]"#,
    refused: r#"[[], {}, ["hello"], [{"role":"user"}], [{"role":"robot","content":"x"}]]"#,
}];

const MESSAGES_SCHEMA: &str = r#"{"type":"array","minItems":1,"maxItems":10000,"items":{"type":"object","required":["role","content"],"properties":{"role":{"enum":["system","developer","user","assistant"]},"content":{"anyOf":[{"type":"string"},{"type":"array","minItems":1,"items":{"type":"object","required":["type","text"],"properties":{"type":{"const":"text"},"text":{"type":"string"}},"additionalProperties":false}}]}},"additionalProperties":false}}"#;

/// What other servers know in a message. Sorted.
const MESSAGE_NOT_SUPPORTED: &[&str] = &[
    "annotations",
    "audio",
    "function_call",
    "name",
    "prefix",
    "reasoning",
    "reasoning_content",
    "refusal",
    "tool_call_id",
    "tool_calls",
];

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
    // Before the content: an assistant message with `tool_calls` often has none, and the calls are the reason.
    let content = fields.take("content");
    fields.finish(MESSAGE_NOT_SUPPORTED)?;
    match content {
        Some(content) => Ok(Message {
            role,
            content: text(&content_path, content)?,
        }),
        None => {
            let message = format!("'{content_path}' is missing, and is required");
            Err(ApiError::parameter(
                "missing_required_parameter",
                content_path,
                message,
            ))
        }
    }
}

/// Messages of the role `tool` come with tools, which are refused as a whole: a template that does not know the role
/// would drop them in silence.
fn role(path: &str, value: Json) -> Result<Role, ApiError> {
    let role = value.string(path, "a string")?;
    match role.as_str() {
        "system" => Ok(Role::System),
        "developer" => Ok(Role::Developer),
        "user" => Ok(Role::User),
        "assistant" => Ok(Role::Assistant),
        "tool" | "function" => {
            let message = format!("'{path}': the role '{role}' is not supported by this server");
            Err(ApiError::parameter("unsupported_value", path, message))
        }
        other => {
            let known = "'system', 'developer', 'user' or 'assistant'";
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
