//! A response as it comes: numbered events about items that begin, grow and end, one at a time.

use schemars::JsonSchema;
use serde::Serialize;
use tokenmill_inference::{FinishReason, Started, TokenLogprob, Usage};

use super::items::{ContentPart, OutputItem, Status};
use super::response::{Asked, ResponseBody};
use crate::error::ApiError;
use crate::parameters::responses::tools::Offered;
use crate::stream::{CallHead, FoldedCall, FoldedPart, FoldedText, Frames, SseBuffer};
use crate::tokens::ContentLogprob;

/// One event with its number.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ResponseEvent")]
pub(super) struct Numbered<'a> {
    #[serde(flatten)]
    event: ResponseEvent<'a>,
    sequence_number: u64,
}

/// Which content of which item an event is about.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
struct Place<'a> {
    item_id: &'a str,
    output_index: usize,
    content_index: usize,
}

/// One event.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "type")]
#[schemars(inline)]
enum ResponseEvent<'a> {
    #[serde(rename = "response.created")]
    Created { response: &'a ResponseBody },
    #[serde(rename = "response.in_progress")]
    InProgress { response: &'a ResponseBody },
    #[serde(rename = "response.output_item.added")]
    ItemAdded { output_index: usize, item: OutputItem },
    #[serde(rename = "response.content_part.added")]
    PartAdded {
        #[serde(flatten)]
        place: Place<'a>,
        part: ContentPart,
    },
    #[serde(rename = "response.output_text.delta")]
    TextDelta {
        #[serde(flatten)]
        place: Place<'a>,
        delta: &'a str,
        logprobs: &'a [ContentLogprob],
    },
    #[serde(rename = "response.output_text.done")]
    TextDone {
        #[serde(flatten)]
        place: Place<'a>,
        text: &'a str,
        logprobs: &'a [ContentLogprob],
    },
    #[serde(rename = "response.reasoning_text.delta")]
    ReasoningDelta {
        #[serde(flatten)]
        place: Place<'a>,
        delta: &'a str,
    },
    #[serde(rename = "response.reasoning_text.done")]
    ReasoningDone {
        #[serde(flatten)]
        place: Place<'a>,
        text: &'a str,
    },
    #[serde(rename = "response.content_part.done")]
    PartDone {
        #[serde(flatten)]
        place: Place<'a>,
        part: &'a ContentPart,
    },
    #[serde(rename = "response.function_call_arguments.delta")]
    ArgumentsDelta {
        item_id: &'a str,
        output_index: usize,
        delta: &'a str,
    },
    #[serde(rename = "response.function_call_arguments.done")]
    ArgumentsDone {
        item_id: &'a str,
        output_index: usize,
        name: &'a str,
        arguments: &'a str,
    },
    #[serde(rename = "response.output_item.done")]
    ItemDone {
        output_index: usize,
        item: &'a OutputItem,
    },
    #[serde(rename = "response.completed")]
    Completed { response: &'a ResponseBody },
    #[serde(rename = "response.incomplete")]
    Incomplete { response: &'a ResponseBody },
    #[serde(rename = "response.failed")]
    Failed { response: &'a ResponseBody },
}

impl ResponseEvent<'_> {
    fn name(&self) -> &'static str {
        match self {
            ResponseEvent::Created { .. } => "response.created",
            ResponseEvent::InProgress { .. } => "response.in_progress",
            ResponseEvent::ItemAdded { .. } => "response.output_item.added",
            ResponseEvent::PartAdded { .. } => "response.content_part.added",
            ResponseEvent::TextDelta { .. } => "response.output_text.delta",
            ResponseEvent::TextDone { .. } => "response.output_text.done",
            ResponseEvent::ReasoningDelta { .. } => "response.reasoning_text.delta",
            ResponseEvent::ReasoningDone { .. } => "response.reasoning_text.done",
            ResponseEvent::PartDone { .. } => "response.content_part.done",
            ResponseEvent::ArgumentsDelta { .. } => "response.function_call_arguments.delta",
            ResponseEvent::ArgumentsDone { .. } => "response.function_call_arguments.done",
            ResponseEvent::ItemDone { .. } => "response.output_item.done",
            ResponseEvent::Completed { .. } => "response.completed",
            ResponseEvent::Incomplete { .. } => "response.incomplete",
            ResponseEvent::Failed { .. } => "response.failed",
        }
    }
}

/// Numbers events.
#[derive(Default)]
struct Numbers(u64);

impl Numbers {
    fn write(&mut self, event: ResponseEvent<'_>, out: &mut SseBuffer) {
        let name = event.name();
        let sequence_number = self.0;
        self.0 += 1;
        out.event(
            name,
            &Numbered {
                event,
                sequence_number,
            },
        );
    }
}

/// Writes the events of one response.
pub(super) struct EventFrames {
    asked: Asked,
    offered: Offered,
    numbers: Numbers,
    done: Vec<OutputItem>,
    /// The item that is being written.
    open: Option<OutputItem>,
    /// Of tokens whose text comes next.
    logprobs: Vec<ContentLogprob>,
    reason: FinishReason,
}

impl EventFrames {
    pub(super) fn new(asked: Asked, offered: Offered) -> EventFrames {
        EventFrames {
            asked,
            offered,
            numbers: Numbers::default(),
            done: Vec::new(),
            open: None,
            logprobs: Vec::new(),
            reason: FinishReason::Stop,
        }
    }

    fn begin(&mut self, part: FoldedPart, out: &mut SseBuffer) {
        self.close(Status::Completed, out);
        let output_index = self.done.len();
        let item = OutputItem::of(part, &self.offered);
        let bare = item.bare();
        self.numbers.write(
            ResponseEvent::ItemAdded {
                output_index,
                item: bare,
            },
            out,
        );
        if let Some(part) = item.part() {
            let place = place(&item, output_index);
            let part = part.empty();
            self.numbers.write(ResponseEvent::PartAdded { place, part }, out);
        }
        self.open = Some(item);
    }

    fn grow(&mut self, more: &str, out: &mut SseBuffer) {
        let output_index = self.done.len();
        let logprobs = std::mem::take(&mut self.logprobs);
        let Some(item) = &mut self.open else { return };
        let place = place(item, output_index);
        let event = match &*item {
            OutputItem::Message { .. } => ResponseEvent::TextDelta {
                place,
                delta: more,
                logprobs: &logprobs,
            },
            OutputItem::Reasoning { .. } => ResponseEvent::ReasoningDelta { place, delta: more },
            OutputItem::FunctionCall { id, .. } => ResponseEvent::ArgumentsDelta {
                item_id: id,
                output_index,
                delta: more,
            },
        };
        self.numbers.write(event, out);
        item.grow(more, logprobs);
    }

    fn close(&mut self, status: Status, out: &mut SseBuffer) {
        let Some(item) = self.open.take() else { return };
        let output_index = self.done.len();
        let item = item.with_status(status);
        let place = place(&item, output_index);
        let done = match &item {
            OutputItem::FunctionCall {
                id, name, arguments, ..
            } => Some(ResponseEvent::ArgumentsDone {
                item_id: id,
                output_index,
                name,
                arguments,
            }),
            _ => item.part().map(|part| part_done(place, part)),
        };
        if let Some(event) = done {
            self.numbers.write(event, out);
        }
        if let Some(part) = item.part() {
            self.numbers.write(ResponseEvent::PartDone { place, part }, out);
        }
        let event = ResponseEvent::ItemDone {
            output_index,
            item: &item,
        };
        self.numbers.write(event, out);
        self.done.push(item);
    }
}

fn place(item: &OutputItem, output_index: usize) -> Place<'_> {
    Place {
        item_id: item.id(),
        output_index,
        content_index: 0,
    }
}

fn part_done<'a>(place: Place<'a>, part: &'a ContentPart) -> ResponseEvent<'a> {
    match part {
        ContentPart::OutputText { text, logprobs, .. } => ResponseEvent::TextDone {
            place,
            text,
            logprobs,
        },
        ContentPart::ReasoningText { text } => ResponseEvent::ReasoningDone { place, text },
    }
}

impl Frames for EventFrames {
    fn started(&mut self, _started: Started, out: &mut SseBuffer) {
        let response = &ResponseBody::begun(self.asked.clone());
        self.numbers.write(ResponseEvent::Created { response }, out);
        self.numbers.write(ResponseEvent::InProgress { response }, out);
    }

    fn logprobs(&mut self, _choice: u32, tokens: Vec<TokenLogprob>) {
        self.logprobs.extend(tokens.iter().map(ContentLogprob::of));
    }

    fn reasoning(&mut self, _choice: u32, text: &str, out: &mut SseBuffer) {
        if !matches!(self.open, Some(OutputItem::Reasoning { .. })) {
            self.begin(FoldedPart::Reasoning(String::new()), out);
        }
        self.grow(text, out);
    }

    fn tool_call(&mut self, _choice: u32, call: CallHead<'_>, out: &mut SseBuffer) {
        let call = FoldedCall {
            id: call.id.to_owned(),
            name: call.name.to_owned(),
            arguments: String::new(),
        };
        self.begin(FoldedPart::Call(call), out);
    }

    fn tool_arguments(&mut self, _choice: u32, _index: usize, text: &str, out: &mut SseBuffer) {
        self.grow(text, out);
    }

    fn text(&mut self, _choice: u32, text: &str, out: &mut SseBuffer) {
        if !matches!(self.open, Some(OutputItem::Message { .. })) {
            self.begin(FoldedPart::Text(FoldedText::default()), out);
        }
        self.grow(text, out);
    }

    fn choice_finished(&mut self, _choice: u32, reason: FinishReason, out: &mut SseBuffer) {
        let status = match reason {
            FinishReason::Length => Status::Incomplete,
            _ => Status::Completed,
        };
        self.close(status, out);
        self.reason = reason;
    }

    fn finished(&mut self, usage: Usage, out: &mut SseBuffer) {
        let output = std::mem::take(&mut self.done);
        let response = &ResponseBody::finished(self.asked.clone(), output, self.reason, usage);
        let event = match response.status() {
            Status::Incomplete => ResponseEvent::Incomplete { response },
            _ => ResponseEvent::Completed { response },
        };
        self.numbers.write(event, out);
    }

    fn failed(&mut self, error: &ApiError, out: &mut SseBuffer) {
        let mut output = std::mem::take(&mut self.done);
        let open = self.open.take();
        output.extend(open.map(|item| item.with_status(Status::Incomplete)));
        let response = &ResponseBody::failed(self.asked.clone(), output, error);
        self.numbers.write(ResponseEvent::Failed { response }, out);
    }
}
