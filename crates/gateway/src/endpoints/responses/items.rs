//! What an answer is made of: thoughts, messages and calls.

use schemars::JsonSchema;
use serde::Serialize;
use tokenmill_inference::FinishReason;

use crate::parameters::responses::tools::Offered;
use crate::random_id;
use crate::stream::{FoldedCall, FoldedChoice, FoldedPart, FoldedText};
use crate::tokens::ContentLogprob;

/// How far an item or a response is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    /// More may come.
    InProgress,
    /// All of it is there.
    Completed,
    /// The limit has cut it.
    Incomplete,
    /// There will be no more of it.
    Failed,
}

/// One item.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum OutputItem {
    /// What the model thought.
    Reasoning {
        id: String,
        /// Always empty: the thoughts themselves are there.
        summary: [String; 0],
        content: Vec<ContentPart>,
        status: Status,
    },
    /// What it says.
    Message {
        id: String,
        role: &'static str,
        status: Status,
        content: Vec<ContentPart>,
    },
    /// A function that it calls.
    FunctionCall {
        id: String,
        call_id: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        namespace: Option<String>,
        name: String,
        arguments: String,
        status: Status,
    },
}

/// A part of an item's content.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum ContentPart {
    /// Of a message.
    OutputText {
        text: String,
        /// Always empty.
        annotations: [String; 0],
        logprobs: Vec<ContentLogprob>,
    },
    /// Of thinking.
    ReasoningText { text: String },
}

impl OutputItem {
    /// The items of a whole answer, and how it ended.
    pub(super) fn all(choices: Vec<FoldedChoice>, offered: &Offered) -> (Vec<OutputItem>, FinishReason) {
        let Some(choice) = choices.into_iter().next() else {
            return (Vec::new(), FinishReason::Stop);
        };
        let mut items: Vec<OutputItem> = choice
            .parts
            .into_iter()
            .map(|part| OutputItem::of(part, offered).with_status(Status::Completed))
            .collect();
        if choice.reason == FinishReason::Length
            && let Some(last) = items.pop()
        {
            items.push(last.with_status(Status::Incomplete));
        }
        (items, choice.reason)
    }

    /// A part with a new name.
    pub(super) fn of(part: FoldedPart, offered: &Offered) -> OutputItem {
        match part {
            FoldedPart::Reasoning(text) => OutputItem::Reasoning {
                id: random_id("rs_"),
                summary: [],
                content: vec![ContentPart::ReasoningText { text }],
                status: Status::InProgress,
            },
            FoldedPart::Text(text) => OutputItem::Message {
                id: random_id("msg_"),
                role: "assistant",
                status: Status::InProgress,
                content: vec![ContentPart::of(text)],
            },
            FoldedPart::Call(FoldedCall { id, name, arguments }) => {
                let (namespace, name) = offered.split(&name);
                OutputItem::FunctionCall {
                    id: random_id("fc_"),
                    call_id: id,
                    namespace,
                    name,
                    arguments,
                    status: Status::InProgress,
                }
            }
        }
    }

    /// As it is announced, before its content.
    pub(super) fn bare(&self) -> OutputItem {
        let mut bare = self.clone();
        match &mut bare {
            OutputItem::Reasoning { content, .. } | OutputItem::Message { content, .. } => content.clear(),
            OutputItem::FunctionCall { arguments, .. } => arguments.clear(),
        }
        bare
    }

    pub(super) fn with_status(mut self, new: Status) -> OutputItem {
        match &mut self {
            OutputItem::Reasoning { status, .. }
            | OutputItem::Message { status, .. }
            | OutputItem::FunctionCall { status, .. } => *status = new,
        }
        self
    }

    pub(super) fn id(&self) -> &str {
        match self {
            OutputItem::Reasoning { id, .. }
            | OutputItem::Message { id, .. }
            | OutputItem::FunctionCall { id, .. } => id,
        }
    }

    /// The one part of thoughts and messages.
    pub(super) fn part(&self) -> Option<&ContentPart> {
        match self {
            OutputItem::Reasoning { content, .. } | OutputItem::Message { content, .. } => content.first(),
            OutputItem::FunctionCall { .. } => None,
        }
    }

    /// Goes on with text or arguments.
    pub(super) fn grow(&mut self, more: &str, mut more_logprobs: Vec<ContentLogprob>) {
        match self {
            OutputItem::FunctionCall { arguments, .. } => arguments.push_str(more),
            OutputItem::Reasoning { content, .. } | OutputItem::Message { content, .. } => {
                match content.first_mut() {
                    Some(ContentPart::OutputText { text, logprobs, .. }) => {
                        text.push_str(more);
                        logprobs.append(&mut more_logprobs);
                    }
                    Some(ContentPart::ReasoningText { text }) => text.push_str(more),
                    None => {}
                }
            }
        }
    }
}

impl ContentPart {
    fn of(text: FoldedText) -> ContentPart {
        ContentPart::OutputText {
            text: text.text,
            annotations: [],
            logprobs: text.logprobs.iter().map(ContentLogprob::of).collect(),
        }
    }

    /// As it is announced.
    pub(super) fn empty(&self) -> ContentPart {
        match self {
            ContentPart::OutputText { .. } => ContentPart::of(FoldedText::default()),
            ContentPart::ReasoningText { .. } => ContentPart::ReasoningText { text: String::new() },
        }
    }
}
