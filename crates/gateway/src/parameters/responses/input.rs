//! `input` and `instructions`.

use tokenmill_inference::{LIMITS, Message, Role, ToolCall};

use super::parts::{reasoning_text, text};
use super::tools::joined;
use crate::error::ApiError;
use crate::json::{Fields, Json, clip};
use crate::parameters::turns::Turns;
use crate::parameters::{Group, Origin, Parameter, Rule, short_text};

/// The rows.
pub(crate) const ROWS: Group = &[
    Parameter {
        name: "input",
        origin: Origin::OpenAi,
        rule: Rule::Applied,
        schema: r#"{"anyOf":[{"type":"string"},{"type":"array","minItems":1,"maxItems":10000,"items":{"type":"object","properties":{"type":{"enum":["message","function_call","function_call_output","reasoning",null]}}}}]}"#,
        about: "a text of the user's, or 1 to 10,000 items `message`, `function_call`, `function_call_output`, `reasoning`",
        default: "required",
        taken: r#"["hello", [{"role":"user","content":"hello"}], [{"type":"message","role":"user","content":[{"type":"input_text","text":"hello"}]}]]"#,
        refused: r#"[[], 7, ["hello"], [{"role":"robot","content":"x"}], [{"type":"item_reference","id":"x"}]]"#,
    },
    Parameter {
        name: "instructions",
        origin: Origin::OpenAi,
        rule: Rule::Applied,
        schema: r#"{"type":"string"}"#,
        about: "said before `input`, as the system",
        default: "none",
        taken: r#"["Be brief.", ""]"#,
        refused: r#"[7, []]"#,
    },
];

/// Items that exist and are not taken.
const TYPES_NOT_SUPPORTED: &[&str] = &[
    "additional_tools",
    "apply_patch_call",
    "apply_patch_call_output",
    "code_interpreter_call",
    "compaction",
    "compaction_trigger",
    "computer_call",
    "computer_call_output",
    "custom_tool_call",
    "custom_tool_call_output",
    "file_search_call",
    "image_generation_call",
    "item_reference",
    "local_shell_call",
    "local_shell_call_output",
    "mcp_approval_request",
    "mcp_approval_response",
    "mcp_call",
    "mcp_list_tools",
    "program",
    "program_output",
    "shell_call",
    "shell_call_output",
    "tool_search_call",
    "web_search_call",
];

/// What clients send back of an item, always `null` here. Sorted.
const NOT_SUPPORTED: &[&str] = &[
    "async",
    "caller",
    "created_by",
    "encrypted_content",
    "name",
    "namespace",
    "parsed_arguments",
];

/// Reads the group.
pub(crate) fn read(fields: &mut Fields) -> Result<Turns, ApiError> {
    let mut turns = Turns::default();
    let instructions = fields.optional("instructions", |value, path| value.string(path, "a string"))?;
    if let Some(instructions) = instructions.filter(|text| !text.is_empty()) {
        turns.push(None, Message::new(Role::System, instructions));
    }
    let items = match fields.require("input")? {
        Json::String(text) => {
            turns.push(Some(0), Message::new(Role::User, text));
            return Ok(turns);
        }
        Json::Array(items) => items,
        other => return Err(other.wrong_type("input", "a string or an array of items")),
    };
    if !(1..=LIMITS.n_messages).contains(&items.len()) {
        let message = format!(
            "'input' must hold 1 to {} items, and holds {}",
            LIMITS.n_messages,
            items.len()
        );
        return Err(ApiError::parameter("invalid_value", "input", message));
    }
    for (idx, item) in items.into_iter().enumerate() {
        read_item(&mut turns, idx, item)?;
    }
    Ok(turns)
}

fn read_item(turns: &mut Turns, idx: usize, value: Json) -> Result<(), ApiError> {
    let mut fields = value.fields(&format!("input[{idx}]"))?;
    let type_path = fields.path_of("type");
    let kind = fields.optional("type", |value, path| value.string(path, "a string"))?;
    match kind.as_deref().unwrap_or("message") {
        "message" => turns.push(Some(idx), message(&mut fields)?),
        "function_call" => {
            let mut message = Message::new(Role::Assistant, "");
            message.tool_calls.push(call(&mut fields)?);
            turns.push(Some(idx), message);
        }
        "function_call_output" => {
            let id = named(&mut fields, "call_id")?;
            let path = fields.path_of("output");
            let output = text(fields.require("output")?, &path)?;
            turns.push_result(idx, id, output);
        }
        "reasoning" => {
            let mut message = Message::new(Role::Assistant, "");
            message.reasoning = reasoning(&mut fields)?;
            turns.push(Some(idx), message);
        }
        other if TYPES_NOT_SUPPORTED.contains(&other) => {
            let message = format!("'{type_path}': items of type '{other}' are not supported by this server");
            return Err(ApiError::parameter("unsupported_value", type_path, message));
        }
        other => {
            let known = "'message', 'function_call', 'function_call_output' or 'reasoning'";
            let message = format!("'{type_path}' must be {known}, and is '{}'", clip(other));
            return Err(ApiError::parameter("invalid_value", type_path, message));
        }
    }
    // Items that came from here have them; nothing is kept that they could name.
    for name in ["id", "status", "phase"] {
        fields.optional(name, short_text)?;
    }
    fields.finish(NOT_SUPPORTED)
}

fn named(fields: &mut Fields, name: &str) -> Result<String, ApiError> {
    let path = fields.path_of(name);
    short_text(fields.require(name)?, &path)
}

fn message(fields: &mut Fields) -> Result<Message, ApiError> {
    let role_path = fields.path_of("role");
    let role = fields.require("role")?.string(&role_path, "a string")?;
    let role = match role.as_str() {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "system" => Role::System,
        "developer" => Role::Developer,
        other => {
            let known = "'user', 'assistant', 'system' or 'developer'";
            let message = format!("'{role_path}' must be {known}, and is '{}'", clip(other));
            return Err(ApiError::parameter("invalid_value", role_path, message));
        }
    };
    let path = fields.path_of("content");
    Ok(Message::new(role, text(fields.require("content")?, &path)?))
}

fn call(fields: &mut Fields) -> Result<ToolCall, ApiError> {
    let path = fields.path_of("arguments");
    let namespace = fields.optional("namespace", short_text)?;
    let name = named(fields, "name")?;
    Ok(ToolCall {
        id: named(fields, "call_id")?,
        name: namespace.map_or_else(|| name.clone(), |namespace| joined(&namespace, &name)),
        arguments: fields.require("arguments")?.string(&path, "JSON as a string")?,
    })
}

/// Thoughts in plain, as they came from here; a summary where there is nothing else.
fn reasoning(fields: &mut Fields) -> Result<Option<String>, ApiError> {
    let summary = fields.optional("summary", reasoning_text)?.unwrap_or_default();
    let content = fields.optional("content", reasoning_text)?.unwrap_or_default();
    let thought = if content.is_empty() { summary } else { content };
    Ok(Some(thought).filter(|text| !text.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_of_names_are_sorted() {
        for list in [TYPES_NOT_SUPPORTED, NOT_SUPPORTED] {
            assert!(list.is_sorted(), "{list:?}");
        }
    }

    #[test]
    fn items_become_turns_and_keep_their_places() {
        let body = br#"{"instructions": "i", "input": [
            {"type": "message", "role": "developer", "content": "d"},
            {"role": "user", "content": [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}]},
            {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}],
             "encrypted_content": null},
            {"type": "message", "role": "assistant", "id": "msg_1", "status": "completed",
             "content": [{"type": "output_text", "text": "c", "annotations": [], "logprobs": []}]},
            {"type": "function_call", "call_id": "i", "name": "f", "arguments": "{}", "id": "fc_1"},
            {"type": "function_call_output", "call_id": "i", "output": "o"}]}"#;
        let turns = read(&mut Json::parse(body).expect("JSON").fields("").expect("an object")).expect("good");
        let said: Vec<(Role, &str)> = turns
            .messages
            .iter()
            .map(|message| (message.role, message.content.as_str()))
            .collect();
        let expected = [
            (Role::System, "i\nd"),
            (Role::User, "a\nb"),
            (Role::Assistant, "c"),
            (Role::Tool, "o"),
        ];
        assert_eq!(said, expected);
        assert_eq!(turns.origins, [None, Some(1), Some(2), Some(5)]);
        assert_eq!(turns.messages[2].reasoning.as_deref(), Some("hm"));
        assert_eq!(turns.messages[2].tool_calls[0].name, "f");
        assert_eq!(turns.messages[3].name.as_deref(), Some("f"));
    }
}
