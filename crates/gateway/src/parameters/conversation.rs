//! How a conversation becomes a prompt.

use tokenmill_inference::{Conversation, Message, PromptEnding};

use super::ending::flag;
use super::{Group, Origin, Parameter, Rule};
use crate::error::ApiError;
use crate::json::Fields;

/// The rows.
pub(crate) const ROWS: Group = &[
    Parameter {
        name: "add_generation_prompt",
        origin: Origin::Vllm,
        rule: Rule::Applied,
        schema: r#"{"type":"boolean"}"#,
        about: "`false` does not open the assistant's turn, which the model may then do itself",
        default: "`true`, unless the last message is continued",
        taken: "[true, false]",
        refused: "[1]",
    },
    Parameter {
        name: "continue_final_message",
        origin: Origin::Vllm,
        rule: Rule::Applied,
        schema: r#"{"type":"boolean"}"#,
        about: "`true` goes on with the last message, which is not repeated in the answer",
        default: "`false`",
        taken: "[true, false]",
        refused: r#"["true"]"#,
    },
];

/// Reads the group.
pub(crate) fn read(fields: &mut Fields, messages: Vec<Message>) -> Result<Conversation, ApiError> {
    let opens = fields.optional("add_generation_prompt", |value, path| value.bool(path))?;
    let continues = flag(fields, "continue_final_message", false)?;
    let ending = match (opens, continues) {
        (Some(true), true) => {
            let message =
                "'continue_final_message' and 'add_generation_prompt' exclude each other; set one of them";
            return Err(ApiError::parameter(
                "invalid_value",
                "continue_final_message",
                message,
            ));
        }
        (_, true) => PromptEnding::Continue,
        (Some(false), false) => PromptEnding::Bare,
        (_, false) => PromptEnding::Reply,
    };
    let mut conversation = Conversation::new(messages);
    conversation.ending = ending;
    Ok(conversation)
}
