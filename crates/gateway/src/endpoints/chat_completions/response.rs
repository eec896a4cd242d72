//! OpenAI's `chat.completion` and `chat.completion.chunk`, field by field.

use schemars::JsonSchema;
use serde::Serialize;
use tokenmill_inference::{FinishReason, TokenLogprob, Usage};

use crate::stream::{ByKind, CallHead, FoldedCall, FoldedChoice, FoldedText};
use crate::tokens::{CompletionUsage, ContentLogprob};

/// What stands in every object of one answer.
#[derive(Debug, Clone)]
pub(super) struct AnswerHead {
    pub(super) id: String,
    pub(super) created: u64,
    pub(super) model: String,
    pub(super) system_fingerprint: Option<String>,
}

/// The unstreamed answer.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ChatCompletion")]
pub(super) struct Completion {
    id: String,
    #[schemars(extend("const" = "chat.completion"))]
    object: &'static str,
    created: u64,
    model: String,
    choices: Vec<CompletionChoice>,
    usage: CompletionUsage,
    system_fingerprint: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct CompletionChoice {
    index: usize,
    message: AssistantMessage,
    logprobs: Option<Logprobs>,
    #[schemars(extend("enum" = ["stop", "length", "tool_calls"]))]
    finish_reason: &'static str,
}

#[derive(Debug, Serialize, JsonSchema)]
struct AssistantMessage {
    role: &'static str,
    /// `null` where the model called functions and said nothing.
    content: Option<String>,
    refusal: (),
    reasoning: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<WholeCall>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct WholeCall {
    id: String,
    #[serde(rename = "type")]
    kind: &'static str,
    function: WholeFunction,
}

#[derive(Debug, Serialize, JsonSchema)]
struct WholeFunction {
    name: String,
    arguments: String,
}

impl AssistantMessage {
    fn new(parts: ByKind) -> AssistantMessage {
        let ByKind {
            text: FoldedText { text, .. },
            reasoning,
            calls,
        } = parts;
        let call = |call: FoldedCall| WholeCall {
            id: call.id,
            kind: "function",
            function: WholeFunction {
                name: call.name,
                arguments: call.arguments,
            },
        };
        AssistantMessage {
            role: "assistant",
            content: Some(text).filter(|text| calls.is_empty() || !text.is_empty()),
            refusal: (),
            reasoning: Some(reasoning).filter(|text| !text.is_empty()),
            tool_calls: calls.into_iter().map(call).collect(),
        }
    }
}

impl CompletionChoice {
    fn new(index: usize, choice: FoldedChoice) -> CompletionChoice {
        let parts = ByKind::of(choice.parts);
        CompletionChoice {
            index,
            logprobs: Logprobs::of(&parts.text.logprobs),
            message: AssistantMessage::new(parts),
            finish_reason: finish_reason(choice.reason),
        }
    }
}

impl Completion {
    pub(super) fn new(head: AnswerHead, choices: Vec<FoldedChoice>, usage: Usage) -> Completion {
        let choice = |(index, choice): (usize, FoldedChoice)| CompletionChoice::new(index, choice);
        Completion {
            id: head.id,
            object: "chat.completion",
            created: head.created,
            model: head.model,
            choices: choices.into_iter().enumerate().map(choice).collect(),
            usage: usage.into(),
            system_fingerprint: head.system_fingerprint,
        }
    }
}

/// One event of a streamed answer.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ChatCompletionChunk")]
pub(super) struct Chunk<'a> {
    id: &'a str,
    #[schemars(extend("const" = "chat.completion.chunk"))]
    object: &'static str,
    created: u64,
    model: &'a str,
    system_fingerprint: Option<&'a str>,
    choices: Vec<ChunkChoice<'a>>,
    /// Absent unless the usage chunk was asked for; then `null` in all but that one.
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Option<CompletionUsage>>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct ChunkChoice<'a> {
    index: u32,
    delta: Delta<'a>,
    logprobs: Option<Logprobs>,
    #[schemars(extend("enum" = ["stop", "length", "tool_calls", null]))]
    finish_reason: Option<&'static str>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
enum Delta<'a> {
    Role {
        role: &'static str,
        content: &'static str,
        refusal: (),
        reasoning: (),
    },
    Text {
        content: &'a str,
    },
    Reasoning {
        reasoning: &'a str,
    },
    Calls {
        tool_calls: [CallDelta<'a>; 1],
    },
    Empty {},
}

/// More of one call; what names it is in its first only.
#[derive(Debug, Serialize, JsonSchema)]
struct CallDelta<'a> {
    index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    function: FunctionDelta<'a>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct FunctionDelta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    arguments: &'a str,
}

/// What one chunk says.
#[derive(Debug, Clone, Copy)]
pub(super) enum ChunkPart<'a> {
    /// A choice begins.
    Role { choice: u32 },
    /// A choice goes on.
    Text {
        choice: u32,
        text: &'a str,
        /// Of the tokens that begin in it.
        logprobs: &'a [TokenLogprob],
    },
    /// A choice thinks.
    Reasoning { choice: u32, text: &'a str },
    /// A choice calls a function.
    Call { choice: u32, call: CallHead<'a> },
    /// A call's arguments go on.
    Arguments {
        choice: u32,
        index: usize,
        text: &'a str,
    },
    /// A choice is complete.
    Finish { choice: u32, reason: FinishReason },
    /// The last one.
    Usage(Usage),
}

impl<'a> Chunk<'a> {
    pub(super) fn new(head: &'a AnswerHead, part: ChunkPart<'a>, with_usage: bool) -> Chunk<'a> {
        let logprobs = match part {
            ChunkPart::Text { logprobs, .. } => Logprobs::of(logprobs),
            _ => None,
        };
        let choice = |index, delta, reason: Option<FinishReason>| {
            vec![ChunkChoice {
                index,
                delta,
                logprobs,
                finish_reason: reason.map(finish_reason),
            }]
        };
        let (choices, usage) = match part {
            ChunkPart::Role { choice: index } => {
                let role = Delta::Role {
                    role: "assistant",
                    content: "",
                    refusal: (),
                    reasoning: (),
                };
                (choice(index, role, None), None)
            }
            ChunkPart::Text {
                choice: index, text, ..
            } => (choice(index, Delta::Text { content: text }, None), None),
            ChunkPart::Reasoning { choice: index, text } => {
                (choice(index, Delta::Reasoning { reasoning: text }, None), None)
            }
            ChunkPart::Call { choice: index, call } => (choice(index, Delta::begun(call), None), None),
            ChunkPart::Arguments {
                choice: idx,
                index,
                text,
            } => (choice(idx, Delta::arguments(index, text), None), None),
            ChunkPart::Finish {
                choice: index,
                reason,
            } => (choice(index, Delta::Empty {}, Some(reason)), None),
            ChunkPart::Usage(usage) => (Vec::new(), Some(usage.into())),
        };
        Chunk {
            id: &head.id,
            object: "chat.completion.chunk",
            created: head.created,
            model: &head.model,
            system_fingerprint: head.system_fingerprint.as_deref(),
            choices,
            usage: with_usage.then_some(usage),
        }
    }
}

/// How likely each token of the content was.
#[derive(Debug, Serialize, JsonSchema)]
struct Logprobs {
    content: Vec<ContentLogprob>,
    refusal: (),
}

impl Logprobs {
    fn of(tokens: &[TokenLogprob]) -> Option<Logprobs> {
        (!tokens.is_empty()).then(|| Logprobs {
            content: tokens.iter().map(ContentLogprob::of).collect(),
            refusal: (),
        })
    }
}

fn finish_reason(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop | FinishReason::StopString(_) => "stop",
        FinishReason::ToolCalls => "tool_calls",
        FinishReason::Length => "length",
    }
}

impl<'a> Delta<'a> {
    fn begun(call: CallHead<'a>) -> Delta<'a> {
        Delta::Calls {
            tool_calls: [CallDelta {
                index: call.index,
                id: Some(call.id),
                kind: Some("function"),
                function: FunctionDelta {
                    name: Some(call.name),
                    arguments: "",
                },
            }],
        }
    }

    fn arguments(index: usize, arguments: &'a str) -> Delta<'a> {
        Delta::Calls {
            tool_calls: [CallDelta {
                index,
                id: None,
                kind: None,
                function: FunctionDelta {
                    name: None,
                    arguments,
                },
            }],
        }
    }
}
