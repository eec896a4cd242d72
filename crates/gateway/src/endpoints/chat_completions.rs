//! `POST /v1/chat/completions`: read, admit, one call, answer.

mod request;
mod response;

use axum::response::Response;
use tokenmill_inference::{FinishReason, Started, TokenLogprob, Usage};

use crate::error::ApiError;
use crate::generate::{Call, now_s};
use crate::openapi::{Reply, schema};
use crate::parameters::streaming::AnswerForm;
use crate::random_id;
use crate::stream::{CallHead, Frames, SseBuffer};
use request::ChatRequest;
use response::{AnswerHead, Chunk, ChunkPart, Completion};

pub(super) use request::PARAMETERS;

/// What comes back.
pub(super) const REPLIES: &[Reply] = &[
    Reply::json(schema::<Completion>),
    Reply::events(schema::<Chunk<'static>>, "; after the last comes `[DONE]`"),
];

/// Answers one request.
pub(super) async fn create(call: Call) -> Result<Response, ApiError> {
    let (body, asked) = call.read(ChatRequest::parse).await?;
    let answer = body.answer;
    let running = asked.start(body.draft, body.cache_salt.as_deref()).await?;
    let mut head = AnswerHead::new(running.model.clone());
    let n_choices = running.n_choices;
    match answer {
        AnswerForm::Whole => {
            running
                .whole(|folded| {
                    head.system_fingerprint = folded.started.system_fingerprint;
                    Completion::new(head, folded.choices, folded.usage)
                })
                .await
        }
        AnswerForm::Stream { include_usage } => Ok(running.streamed(ChunkFrames {
            head,
            n_choices,
            include_usage,
            logprobs: vec![Vec::new(); n_choices as usize],
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
    /// Of each choice, those of tokens whose text comes next.
    logprobs: Vec<Vec<TokenLogprob>>,
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

    fn logprobs(&mut self, choice: u32, tokens: Vec<TokenLogprob>) {
        if let Some(held) = self.logprobs.get_mut(choice as usize) {
            held.extend(tokens);
        }
    }

    fn reasoning(&mut self, choice: u32, text: &str, out: &mut SseBuffer) {
        self.write(ChunkPart::Reasoning { choice, text }, out);
    }

    fn tool_call(&mut self, choice: u32, call: CallHead<'_>, out: &mut SseBuffer) {
        self.write(ChunkPart::Call { choice, call }, out);
    }

    fn tool_arguments(&mut self, choice: u32, index: usize, text: &str, out: &mut SseBuffer) {
        self.write(ChunkPart::Arguments { choice, index, text }, out);
    }

    fn text(&mut self, choice: u32, text: &str, out: &mut SseBuffer) {
        let logprobs = self.logprobs.get_mut(choice as usize).map(std::mem::take);
        let logprobs = &logprobs.unwrap_or_default();
        let part = ChunkPart::Text {
            choice,
            text,
            logprobs,
        };
        self.write(part, out);
    }

    fn choice_finished(&mut self, choice: u32, reason: FinishReason, out: &mut SseBuffer) {
        self.write(ChunkPart::Finish { choice, reason }, out);
    }

    fn finished(&mut self, usage: Usage, out: &mut SseBuffer) {
        if self.include_usage {
            self.write(ChunkPart::Usage(usage), out);
        }
        out.done();
    }
}

/// Everything that is refused before anybody is asked.
pub(super) fn check(body: &[u8]) -> Result<(), ApiError> {
    ChatRequest::parse(body)?.draft.check()?;
    Ok(())
}
