//! `POST /v1/chat/completions`: read, admit, one call, answer.

mod request;
mod response;

use axum::response::Response;
use tokenmill_inference::{FinishReason, Started, Usage};

use crate::error::ApiError;
use crate::generate::{Call, now_s};
use crate::parameters::streaming::AnswerForm;
use crate::random_id;
use crate::stream::{Frames, SseBuffer};
use request::ChatRequest;
use response::{AnswerHead, Chunk, ChunkPart, Completion, WholeChoice};

pub(super) use request::PARAMETERS;

/// Answers one request.
pub(super) async fn create(call: Call) -> Result<Response, ApiError> {
    let (ChatRequest { draft, answer }, asked) = call.read(ChatRequest::parse).await?;
    let running = asked.start(draft, None).await?;
    let mut head = AnswerHead::new(running.model.clone());
    let n_choices = running.n_choices;
    match answer {
        AnswerForm::Whole => {
            running
                .whole(|folded| {
                    head.system_fingerprint = folded.started.system_fingerprint;
                    let choices = folded.choices.into_iter();
                    let choices = choices
                        .map(|(text, reason)| WholeChoice { text, reason })
                        .collect();
                    Completion::new(head, choices, folded.usage)
                })
                .await
        }
        AnswerForm::Stream { include_usage } => Ok(running.streamed(ChunkFrames {
            head,
            n_choices,
            include_usage,
        })),
    }
}

impl AnswerHead {
    fn new(model: String) -> AnswerHead {
        AnswerHead {
            id: random_id("chatcmpl-"),
            created: now_s(),
            model,
            system_fingerprint: None,
        }
    }
}

/// Writes `chat.completion.chunk` objects.
struct ChunkFrames {
    head: AnswerHead,
    n_choices: u32,
    include_usage: bool,
}

impl ChunkFrames {
    fn write(&self, part: ChunkPart<'_>, out: &mut SseBuffer) {
        out.data(&Chunk::new(&self.head, part, self.include_usage));
    }
}

impl Frames for ChunkFrames {
    fn started(&mut self, started: Started, out: &mut SseBuffer) {
        self.head.system_fingerprint = started.system_fingerprint;
        for choice in 0..self.n_choices {
            self.write(ChunkPart::Role { choice }, out);
        }
    }

    fn text(&mut self, choice: u32, text: &str, out: &mut SseBuffer) {
        self.write(ChunkPart::Text { choice, text }, out);
    }

    fn choice_finished(&mut self, choice: u32, reason: FinishReason, out: &mut SseBuffer) {
        self.write(ChunkPart::Finish { choice, reason }, out);
    }

    fn finished(&mut self, usage: Usage, out: &mut SseBuffer) {
        if self.include_usage {
            self.write(ChunkPart::Usage(usage), out);
        }
    }
}

/// Everything that is refused before anybody is asked.
pub(super) fn check(body: &[u8]) -> Result<(), ApiError> {
    ChatRequest::parse(body)?.draft.check()?;
    Ok(())
}
