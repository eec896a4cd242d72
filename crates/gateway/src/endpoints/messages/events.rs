//! A message as it comes: blocks that begin, grow and end, one at a time.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Map;
use tokenmill_inference::{FinishReason, Started, TokenLogprob, Usage};

use super::response::{ContentBlock, Ending, Head, MessageUsage, SIGNATURE, WholeMessage};
use crate::error::ApiError;
use crate::stream::{CallHead, Frames, SseBuffer};

/// One event.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum MessageEvent<'a> {
    MessageStart {
        message: WholeMessage,
    },
    Ping {},
    ContentBlockStart {
        index: usize,
        content_block: ContentBlock,
    },
    ContentBlockDelta {
        index: usize,
        delta: BlockDelta<'a>,
    },
    ContentBlockStop {
        index: usize,
    },
    MessageDelta {
        delta: StopDelta,
        usage: MessageUsage,
    },
    MessageStop {},
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "type")]
pub(super) enum BlockDelta<'a> {
    #[serde(rename = "text_delta")]
    Text { text: &'a str },
    #[serde(rename = "thinking_delta")]
    Thinking { thinking: &'a str },
    #[serde(rename = "signature_delta")]
    Signature { signature: &'a str },
    #[serde(rename = "input_json_delta")]
    InputJson { partial_json: &'a str },
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct StopDelta {
    stop_reason: &'static str,
    stop_sequence: Option<String>,
}

impl MessageEvent<'_> {
    fn name(&self) -> &'static str {
        match self {
            MessageEvent::MessageStart { .. } => "message_start",
            MessageEvent::Ping {} => "ping",
            MessageEvent::ContentBlockStart { .. } => "content_block_start",
            MessageEvent::ContentBlockDelta { .. } => "content_block_delta",
            MessageEvent::ContentBlockStop { .. } => "content_block_stop",
            MessageEvent::MessageDelta { .. } => "message_delta",
            MessageEvent::MessageStop {} => "message_stop",
        }
    }

    fn write(&self, out: &mut SseBuffer) {
        out.event(self.name(), self);
    }
}

/// What kind the block is that is being written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Thinking,
    Text,
    ToolUse,
}

/// Writes the events of one message.
pub(super) struct EventFrames {
    /// `None` once it is written.
    head: Option<Head>,
    shows_thinking: bool,
    ending: Ending,
    request_id: String,
    open: Option<Kind>,
    /// The index of the open block, or of the next.
    n_closed: usize,
    reason: FinishReason,
}

impl EventFrames {
    pub(super) fn new(head: Head, ending: Ending, request_id: String) -> EventFrames {
        EventFrames {
            shows_thinking: head.shows_thinking,
            head: Some(head),
            ending,
            request_id,
            open: None,
            n_closed: 0,
            reason: FinishReason::Stop,
        }
    }

    /// Goes on with a block of text or thinking, or begins one.
    fn open(&mut self, kind: Kind, out: &mut SseBuffer) {
        if self.open == Some(kind) {
            return;
        }
        let empty = match kind {
            Kind::Thinking => ContentBlock::Thinking {
                thinking: String::new(),
                signature: "",
            },
            _ => ContentBlock::Text { text: String::new() },
        };
        self.begin(kind, empty, out);
    }

    fn begin(&mut self, kind: Kind, content_block: ContentBlock, out: &mut SseBuffer) {
        self.close(out);
        self.open = Some(kind);
        let event = MessageEvent::ContentBlockStart {
            index: self.n_closed,
            content_block,
        };
        event.write(out);
    }

    fn delta(&self, delta: BlockDelta<'_>, out: &mut SseBuffer) {
        let index = self.n_closed;
        MessageEvent::ContentBlockDelta { index, delta }.write(out);
    }

    fn close(&mut self, out: &mut SseBuffer) {
        let Some(kind) = self.open.take() else { return };
        if kind == Kind::Thinking {
            let signature = SIGNATURE;
            self.delta(BlockDelta::Signature { signature }, out);
        }
        MessageEvent::ContentBlockStop { index: self.n_closed }.write(out);
        self.n_closed += 1;
    }
}

impl Frames for EventFrames {
    fn started(&mut self, started: Started, out: &mut SseBuffer) {
        let Some(head) = self.head.take() else { return };
        let message = WholeMessage::begun(head, started.n_prompt.unwrap_or_default());
        MessageEvent::MessageStart { message }.write(out);
        MessageEvent::Ping {}.write(out);
    }

    fn logprobs(&mut self, _choice: u32, _tokens: Vec<TokenLogprob>) {}

    fn reasoning(&mut self, _choice: u32, text: &str, out: &mut SseBuffer) {
        self.open(Kind::Thinking, out);
        if self.shows_thinking {
            self.delta(BlockDelta::Thinking { thinking: text }, out);
        }
    }

    fn tool_call(&mut self, _choice: u32, call: CallHead<'_>, out: &mut SseBuffer) {
        let block = ContentBlock::ToolUse {
            id: call.id.to_owned(),
            name: call.name.to_owned(),
            input: Map::new(),
        };
        self.begin(Kind::ToolUse, block, out);
    }

    fn tool_arguments(&mut self, _choice: u32, _index: usize, text: &str, out: &mut SseBuffer) {
        self.delta(BlockDelta::InputJson { partial_json: text }, out);
    }

    fn text(&mut self, _choice: u32, text: &str, out: &mut SseBuffer) {
        self.open(Kind::Text, out);
        self.delta(BlockDelta::Text { text }, out);
    }

    fn choice_finished(&mut self, _choice: u32, reason: FinishReason, out: &mut SseBuffer) {
        self.close(out);
        self.reason = reason;
    }

    fn finished(&mut self, usage: Usage, out: &mut SseBuffer) {
        let (stop_reason, stop_sequence) = self.ending.of(self.reason, usage);
        let delta = StopDelta {
            stop_reason,
            stop_sequence,
        };
        let usage = usage.into();
        MessageEvent::MessageDelta { delta, usage }.write(out);
        MessageEvent::MessageStop {}.write(out);
    }

    fn failed(&mut self, error: &ApiError, out: &mut SseBuffer) {
        out.event("error", &error.anthropic_body(&self.request_id));
    }

    fn idle(&mut self, out: &mut SseBuffer) {
        MessageEvent::Ping {}.write(out);
    }
}
