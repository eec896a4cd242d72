//! Anthropic's `message`, field by field.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};
use tokenmill_inference::{FinishReason, Usage};

use crate::random_id;
use crate::stream::{Folded, FoldedPart};

/// Thinking is signed by Anthropic so that nobody alters it; here whoever sends it back may, and nobody looks. Clients
/// want the field filled.
pub(super) const SIGNATURE: &str = "unsigned";

/// What is known before the answer.
pub(super) struct Head {
    pub(super) id: String,
    pub(super) model: String,
    pub(super) shows_thinking: bool,
}

impl Head {
    pub(super) fn new(model: String, shows_thinking: bool) -> Head {
        Head {
            id: random_id("msg_"),
            model,
            shows_thinking,
        }
    }
}

/// A whole message, or the beginning of a streamed one.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Message")]
pub(super) struct WholeMessage {
    id: String,
    #[serde(rename = "type")]
    #[schemars(extend("const" = "message"))]
    kind: &'static str,
    role: &'static str,
    model: String,
    content: Vec<ContentBlock>,
    /// `null` in the beginning of a streamed one.
    stop_reason: Option<&'static str>,
    stop_sequence: Option<String>,
    usage: MessageUsage,
}

/// A part of a message.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum ContentBlock {
    /// What the model thought.
    Thinking {
        thinking: String,
        signature: &'static str,
    },
    /// What it says.
    Text { text: String },
    /// A function that it calls.
    ToolUse {
        id: String,
        name: String,
        input: Map<String, Value>,
    },
}

impl WholeMessage {
    pub(super) fn new(head: Head, ending: &Ending, folded: Folded) -> WholeMessage {
        let choice = folded.choices.into_iter().next();
        let (parts, reason) = choice.map_or((Vec::new(), FinishReason::Stop), |choice| {
            (choice.parts, choice.reason)
        });
        let (stop_reason, stop_sequence) = ending.of(reason, folded.usage);
        let shows_thinking = head.shows_thinking;
        WholeMessage {
            content: parts
                .into_iter()
                .map(|part| ContentBlock::of(part, shows_thinking))
                .collect(),
            stop_reason: Some(stop_reason),
            stop_sequence,
            usage: folded.usage.into(),
            ..WholeMessage::begun(head, 0)
        }
    }

    /// Before anything has come.
    pub(super) fn begun(head: Head, n_prompt: u64) -> WholeMessage {
        WholeMessage {
            id: head.id,
            kind: "message",
            role: "assistant",
            model: head.model,
            content: Vec::new(),
            stop_reason: None,
            stop_sequence: None,
            usage: MessageUsage {
                input_tokens: n_prompt,
                cache_creation_input_tokens: 0,
                cache_read_input_tokens: None,
                output_tokens: 0,
                output_tokens_details: None,
            },
        }
    }
}

impl ContentBlock {
    fn of(part: FoldedPart, shows_thinking: bool) -> ContentBlock {
        match part {
            FoldedPart::Reasoning(text) => ContentBlock::Thinking {
                thinking: if shows_thinking { text } else { String::new() },
                signature: SIGNATURE,
            },
            FoldedPart::Text(part) => ContentBlock::Text { text: part.text },
            FoldedPart::Call(call) => ContentBlock::ToolUse {
                id: call.id,
                name: call.name,
                // A call that the limit has cut is no object; `stop_reason` tells.
                input: serde_json::from_str(&call.arguments).unwrap_or_default(),
            },
        }
    }
}

/// What the request says about the end.
pub(super) struct Ending {
    pub(super) max_tokens: Option<u32>,
    pub(super) stops: Vec<String>,
}

impl Ending {
    /// `stop_reason` and `stop_sequence`.
    pub(super) fn of(&self, reason: FinishReason, usage: Usage) -> (&'static str, Option<String>) {
        match reason {
            FinishReason::Stop => ("end_turn", None),
            FinishReason::StopString(idx) => ("stop_sequence", self.stops.get(idx).cloned()),
            FinishReason::ToolCalls => ("tool_use", None),
            FinishReason::Length if Some(usage.n_completion) < self.max_tokens.map(u64::from) => {
                ("model_context_window_exceeded", None)
            }
            FinishReason::Length => ("max_tokens", None),
        }
    }
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct MessageUsage {
    /// Without those from the cache.
    input_tokens: u64,
    /// Nothing is charged for keeping prompts.
    cache_creation_input_tokens: u64,
    /// Absent when unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_read_input_tokens: Option<u64>,
    output_tokens: u64,
    /// Absent for models that do not think.
    #[serde(skip_serializing_if = "Option::is_none")]
    output_tokens_details: Option<OutputTokensDetails>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "MessageOutputTokensDetails")]
struct OutputTokensDetails {
    thinking_tokens: u64,
}

impl From<Usage> for MessageUsage {
    fn from(usage: Usage) -> MessageUsage {
        MessageUsage {
            input_tokens: usage.n_prompt.saturating_sub(usage.n_cached.unwrap_or(0)),
            cache_creation_input_tokens: 0,
            cache_read_input_tokens: usage.n_cached,
            output_tokens: usage.n_completion,
            output_tokens_details: usage
                .n_reasoning
                .map(|thinking_tokens| OutputTokensDetails { thinking_tokens }),
        }
    }
}

/// How many tokens a prompt has.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct TokenCount {
    pub(super) input_tokens: usize,
}
