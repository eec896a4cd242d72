//! `system` and `messages`.

use tokenmill_inference::{Conversation, LIMITS, Message, PromptEnding, Role};

use super::blocks::{Block, content, text};
use crate::error::ApiError;
use crate::json::{Fields, Json, clip};
use crate::parameters::turns::Turns;
use crate::parameters::{Group, Origin, Parameter, Rule};

/// The rows.
pub(crate) const ROWS: Group = &[
    Parameter {
        name: "messages",
        origin: Origin::Anthropic,
        rule: Rule::Applied,
        schema: r#"{"type":"array","minItems":1,"maxItems":10000,"items":{"type":"object","required":["role","content"],"properties":{"role":{"enum":["user","assistant","system"]},"content":{"anyOf":[{"type":"string"},{"type":"array","minItems":1,"items":{"type":"object","required":["type"],"properties":{"type":{"enum":["text","tool_use","tool_result","thinking"]}}}}]}},"additionalProperties":false}}"#,
        about: "1 to 10,000, each with `role` and `content`: text, or blocks `text`, `tool_use`, `tool_result`, `thinking`; a last one of the assistant's is gone on with",
        default: "required",
        taken: r#"[[{"role":"user","content":[{"type":"text","text":"hello","cache_control":{"type":"ephemeral"}}]}]]"#,
        refused: r#"[[], {}, ["hello"], [{"role":"user"}], [{"role":"robot","content":"x"}], [{"role":"user","content":[{"type":"image"}]}]]"#,
    },
    Parameter {
        name: "system",
        origin: Origin::Anthropic,
        rule: Rule::Applied,
        schema: r#"{"anyOf":[{"type":"string"},{"type":"array","items":{"type":"object","required":["type","text"],"properties":{"type":{"const":"text"},"text":{"type":"string"}}}}]}"#,
        about: "instructions, as text or text blocks",
        default: "none",
        taken: r#"["Be brief.", [{"type":"text","text":"Be brief.","cache_control":{"type":"ephemeral","ttl":"1h"}}], []]"#,
        refused: r#"[7, [{"type":"image"}]]"#,
    },
];

/// Reads the group.
pub(crate) fn read(fields: &mut Fields) -> Result<Turns, ApiError> {
    let mut turns = Turns::default();
    let system = fields.optional("system", text)?.unwrap_or_default();
    if !system.is_empty() {
        turns.push(None, Message::new(Role::System, system));
    }
    let items = fields.require("messages")?.array("messages")?;
    let n_items = items.len();
    if !(1..=LIMITS.n_messages).contains(&n_items) {
        let message = format!(
            "'messages' must hold 1 to {}, and holds {n_items}",
            LIMITS.n_messages
        );
        return Err(ApiError::parameter("invalid_value", "messages", message));
    }
    for (idx, item) in items.into_iter().enumerate() {
        read_message(&mut turns, idx, item)?;
    }
    check_end(&turns)?;
    Ok(turns)
}

/// The conversation, and the origin of each message.
pub(crate) fn of_turns(turns: Turns) -> (Conversation, Vec<Option<usize>>) {
    let last = turns.messages.last();
    let is_begun = last.is_some_and(|last| last.role == Role::Assistant);
    let mut conversation = Conversation::new(turns.messages);
    if is_begun {
        conversation.ending = PromptEnding::Continue;
    }
    (conversation, turns.origins)
}

fn read_message(turns: &mut Turns, idx: usize, value: Json) -> Result<(), ApiError> {
    let mut fields = value.fields(&format!("messages[{idx}]"))?;
    let role_path = fields.path_of("role");
    let role = fields.require("role")?.string(&role_path, "a string")?;
    let content_path = fields.path_of("content");
    let value = fields.require("content")?;
    fields.finish(&[])?;
    match role.as_str() {
        "user" => {
            for block in content(value, &content_path, &["text", "tool_result"])? {
                match block {
                    Block::ToolResult(result) => turns.push_result(idx, result.tool_use_id, result.content),
                    Block::Text(text) => turns.push(Some(idx), Message::new(Role::User, text)),
                    Block::Thinking(_) | Block::ToolUse(_) => {}
                }
            }
        }
        "assistant" => {
            for block in content(value, &content_path, &["text", "tool_use", "thinking"])? {
                turns.push(Some(idx), of_assistant(block));
            }
        }
        "system" => turns.push(Some(idx), Message::new(Role::System, text(value, &content_path)?)),
        other => {
            let message = format!(
                "'{role_path}' must be 'user', 'assistant' or 'system', and is '{}'",
                clip(other)
            );
            return Err(ApiError::parameter("invalid_value", role_path, message));
        }
    }
    Ok(())
}

fn check_end(turns: &Turns) -> Result<(), ApiError> {
    match (turns.messages.last(), turns.origins.last()) {
        (Some(last), Some(Some(idx))) if !last.tool_calls.is_empty() => {
            let path = format!("messages[{idx}].content");
            let message =
                format!("'{path}' ends with a 'tool_use' block; send its 'tool_result' from the user");
            Err(ApiError::parameter("invalid_value", path, message))
        }
        _ => Ok(()),
    }
}

fn of_assistant(block: Block) -> Message {
    let mut message = Message::new(Role::Assistant, "");
    match block {
        Block::Text(text) => message.content = text,
        Block::Thinking(text) => message.reasoning = Some(text).filter(|text| !text.is_empty()),
        Block::ToolUse(call) => message.tool_calls.push(call),
        Block::ToolResult(_) => {}
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Json;

    fn turns(messages: &str) -> Result<Turns, ApiError> {
        let body = format!(r#"{{"messages":{messages}}}"#);
        read(&mut Json::parse(body.as_bytes())?.fields("")?)
    }

    #[test]
    fn blocks_become_turns_and_keep_their_places() {
        let read = turns(
            r#"[
                {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
                {"role": "user", "content": "c"},
                {"role": "assistant", "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "text", "text": "d"},
                    {"type": "tool_use", "id": "i", "name": "f", "input": {"x": 1}}]},
                {"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": "i", "content": [{"type": "text", "text": "no"}],
                     "is_error": true},
                    {"type": "text", "text": "e"}]},
                {"role": "assistant", "content": "f"}]"#,
        );
        let (conversation, origins) = of_turns(read.expect("good"));
        let said: Vec<(Role, &str)> = conversation
            .messages
            .iter()
            .map(|message| (message.role, message.content.as_str()))
            .collect();
        let expected = [
            (Role::User, "a\nb\nc"),
            (Role::Assistant, "d"),
            (Role::Tool, "Error: no"),
            (Role::User, "e"),
            (Role::Assistant, "f"),
        ];
        assert_eq!(said, expected);
        assert_eq!(origins, [0, 2, 3, 3, 4].map(Some));
        let called = &conversation.messages[1];
        assert_eq!(called.reasoning.as_deref(), Some("hm"));
        assert_eq!(called.tool_calls[0].arguments, r#"{"x":1}"#);
        assert_eq!(conversation.messages[2].name.as_deref(), Some("f"));
        assert_eq!(conversation.ending, PromptEnding::Continue);
    }

    #[test]
    fn a_call_waits_for_its_result() {
        let error = turns(
            r#"[{"role": "assistant", "content": [{"type": "tool_use", "id": "i", "name": "f", "input": {}}]}]"#,
        )
        .expect_err("nothing to answer");
        assert_eq!(error.param.as_deref(), Some("messages[0].content"));
    }
}
