//! Events to server-sent events, or folded into one answer.
//!
//! Both ways read the same [`EventStream`] through the same [`Answer`], so that joined deltas equal the whole answer.
//! How a chunk is written is the endpoint's business: it implements [`Frames`].

use std::time::Duration;

use axum::body::{Body, Bytes};
use futures::StreamExt;
use serde::Serialize;
use tokenmill_inference::{Event, EventStream, FinishReason, InferenceError, Started, TokenLogprob, Usage};

use crate::error::ApiError;

/// Bytes that several ready events may be gathered into before they go out together.
const GATHER_BYTES: usize = 16 << 10;

/// Bytes that one piece of a stream has room for without growing: two chunks of the usual length.
const ROOM_BYTES: usize = 1 << 10;

/// An endpoint's way to write an answer as it comes.
pub(crate) trait Frames: Send + 'static {
    /// Somebody has taken the request on.
    fn started(&mut self, started: Started, out: &mut SseBuffer);
    /// How likely the tokens are that the next text begins with.
    fn logprobs(&mut self, choice: u32, tokens: Vec<TokenLogprob>);
    /// More thinking.
    fn reasoning(&mut self, choice: u32, text: &str, out: &mut SseBuffer);
    /// A function is called.
    fn tool_call(&mut self, choice: u32, call: CallHead<'_>, out: &mut SseBuffer);
    /// More of the arguments of a call.
    fn tool_arguments(&mut self, choice: u32, index: usize, text: &str, out: &mut SseBuffer);
    /// More text.
    fn text(&mut self, choice: u32, text: &str, out: &mut SseBuffer);
    /// A choice is complete.
    fn choice_finished(&mut self, choice: u32, reason: FinishReason, out: &mut SseBuffer);
    /// All is complete.
    fn finished(&mut self, usage: Usage, out: &mut SseBuffer);
    /// Nothing has come for a while, and proxies must not take the stream for dead.
    fn idle(&mut self, out: &mut SseBuffer) {
        out.comment();
    }
    /// There will be no more; the last that is written.
    fn failed(&mut self, error: &ApiError, out: &mut SseBuffer) {
        out.data(&error.body());
    }
}

/// What is known of a call when it begins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CallHead<'a> {
    pub(crate) index: usize,
    pub(crate) id: &'a str,
    pub(crate) name: &'a str,
}

/// Server-sent events on their way out.
#[derive(Debug, Default)]
pub(crate) struct SseBuffer(Vec<u8>);

impl SseBuffer {
    /// With room for a few chunks.
    fn with_room() -> SseBuffer {
        SseBuffer(Vec::with_capacity(ROOM_BYTES))
    }

    /// One `data:` event. JSON has no raw line ends, so one line always holds it.
    pub(crate) fn data(&mut self, value: &impl Serialize) {
        self.line(self.0.len(), value);
    }

    /// The same with the event's name.
    pub(crate) fn event(&mut self, name: &str, value: &impl Serialize) {
        let start = self.0.len();
        for part in ["event: ", name, "\n"] {
            self.raw(part);
        }
        self.line(start, value);
    }

    /// Nothing, for whoever waits.
    fn comment(&mut self) {
        self.raw(": keep-alive\n\n");
    }

    fn line(&mut self, start: usize, value: &impl Serialize) {
        self.0.extend_from_slice(b"data: ");
        if serde_json::to_writer(&mut self.0, value).is_err() {
            // Only a map with keys other than strings fails, and no wire type has one.
            self.0.truncate(start);
            return;
        }
        self.0.extend_from_slice(b"\n\n");
    }

    /// The end, as OpenAI's older endpoints tell it.
    pub(crate) fn done(&mut self) {
        self.raw("data: [DONE]\n\n");
    }

    fn raw(&mut self, line: &str) {
        self.0.extend_from_slice(line.as_bytes());
    }
}

/// An answer that somebody has begun, ahead of its first byte.
pub(crate) struct Answer {
    events: EventStream,
    /// Read while waiting for the head, not written yet.
    ahead: Vec<Event>,
}

impl Answer {
    /// Waits for the first sign that the answer will come, so that a fault before it still has a status of its own;
    /// but no longer than `patience`, so that the head goes out before a proxy gives up.
    pub(crate) async fn begin(mut events: EventStream, patience: Duration) -> Result<Answer, ApiError> {
        let deadline = tokio::time::Instant::now() + patience;
        let mut ahead = Vec::new();
        while let Ok(event) = tokio::time::timeout_at(deadline, events.next()).await {
            match event {
                Some(Ok(event @ Event::Started(_))) => ahead.push(event),
                Some(Ok(event)) => {
                    ahead.push(event);
                    break;
                }
                Some(Err(error)) => return Err(ApiError::from_inference(error, None)),
                None => return Err(cut_short()),
            }
        }
        Ok(Answer { events, ahead })
    }

    /// Reads it to its end.
    pub(crate) async fn fold(self, n_choices: usize) -> Result<Folded, ApiError> {
        let mut folding = Folding::new(n_choices);
        for event in self.ahead {
            folding.add(event)?;
        }
        let mut events = self.events;
        while folding.usage.is_none() {
            match events.next().await {
                Some(Ok(event)) => folding.add(event)?,
                Some(Err(error)) => return Err(ApiError::from_inference(error, None)),
                None => return Err(cut_short()),
            }
        }
        folding.whole()
    }

    /// Writes it as it comes, with a comment whenever nothing came for `keep_alive`. Dropping the body drops the
    /// events, which cancels the request.
    pub(crate) fn sse(self, frames: impl Frames, keep_alive: Duration) -> Body {
        let ahead = self.ahead.into_iter();
        let writer = SseWriter {
            events: Some(self.events),
            frames,
            keep_alive,
        };
        let parts = futures::stream::unfold((writer, Some(ahead)), |(mut writer, ahead)| async move {
            let chunk = match ahead {
                Some(ahead) => writer.first(ahead).await,
                None => writer.next().await,
            };
            Some((Ok::<Bytes, std::convert::Infallible>(chunk?), (writer, None)))
        });
        Body::from_stream(parts)
    }
}

/// An upstream must end with `Finished`; one that just stops has a bug.
fn cut_short() -> ApiError {
    ApiError::server_error("the upstream's events ended before the answer was complete")
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Folded {
    pub(crate) started: Started,
    pub(crate) choices: Vec<FoldedChoice>,
    pub(crate) usage: Usage,
}

/// A whole choice.
#[derive(Debug)]
pub(crate) struct FoldedChoice {
    /// In the order in which they came; no two texts or thoughts in a row.
    pub(crate) parts: Vec<FoldedPart>,
    pub(crate) reason: FinishReason,
}

/// A whole part of an answer.
#[derive(Debug, Clone)]
pub(crate) enum FoldedPart {
    Reasoning(String),
    Text(FoldedText),
    Call(FoldedCall),
}

/// A whole text.
#[derive(Debug, Clone, Default)]
pub(crate) struct FoldedText {
    pub(crate) text: String,
    /// Empty where nobody asked.
    pub(crate) logprobs: Vec<TokenLogprob>,
}

/// The parts of a choice by their kinds.
#[derive(Debug, Default)]
pub(crate) struct ByKind {
    pub(crate) text: FoldedText,
    /// Empty where the model did not think.
    pub(crate) reasoning: String,
    pub(crate) calls: Vec<FoldedCall>,
}

impl ByKind {
    pub(crate) fn of(parts: Vec<FoldedPart>) -> ByKind {
        let mut sorted = ByKind::default();
        for part in parts {
            match part {
                FoldedPart::Reasoning(text) => sorted.reasoning.push_str(&text),
                FoldedPart::Text(part) => {
                    sorted.text.text.push_str(&part.text);
                    sorted.text.logprobs.extend(part.logprobs);
                }
                FoldedPart::Call(call) => sorted.calls.push(call),
            }
        }
        sorted
    }
}

/// A whole call.
#[derive(Debug, Clone)]
pub(crate) struct FoldedCall {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) arguments: String,
}

/// A choice of which more may come.
#[derive(Debug, Clone, Default)]
struct OpenChoice {
    parts: Vec<FoldedPart>,
    /// Of tokens whose text comes next.
    logprobs: Vec<TokenLogprob>,
    reason: Option<FinishReason>,
}

impl OpenChoice {
    fn text(&mut self, more: &str) {
        if !matches!(self.parts.last(), Some(FoldedPart::Text(_))) {
            self.parts.push(FoldedPart::Text(FoldedText::default()));
        }
        if let Some(FoldedPart::Text(part)) = self.parts.last_mut() {
            part.text.push_str(more);
            part.logprobs.append(&mut self.logprobs);
        }
    }

    fn reasoning(&mut self, more: &str) {
        match self.parts.last_mut() {
            Some(FoldedPart::Reasoning(text)) => text.push_str(more),
            _ => self.parts.push(FoldedPart::Reasoning(more.to_owned())),
        }
    }

    fn arguments(&mut self, more: &str) -> Result<(), ApiError> {
        match self.parts.last_mut() {
            Some(FoldedPart::Call(call)) => call.arguments.push_str(more),
            _ => {
                return Err(ApiError::server_error(
                    "the upstream gave arguments without a call",
                ));
            }
        }
        Ok(())
    }
}

struct Folding {
    started: Option<Started>,
    choices: Vec<OpenChoice>,
    usage: Option<Usage>,
}

impl Folding {
    fn new(n_choices: usize) -> Folding {
        Folding {
            started: None,
            choices: vec![OpenChoice::default(); n_choices],
            usage: None,
        }
    }

    fn choice(&mut self, choice: u32) -> Result<&mut OpenChoice, ApiError> {
        let fault = || {
            ApiError::server_error(format!(
                "the upstream gave text for a choice {choice} not asked for"
            ))
        };
        self.choices.get_mut(choice as usize).ok_or_else(fault)
    }

    fn add(&mut self, event: Event) -> Result<(), ApiError> {
        match event {
            Event::Started(started) => self.started = Some(started),
            Event::Text { choice, text } => self.choice(choice)?.text(&text),
            Event::Reasoning { choice, text } => self.choice(choice)?.reasoning(&text),
            Event::ToolCall { choice, id, name, .. } => {
                let arguments = String::new();
                let call = FoldedCall { id, name, arguments };
                self.choice(choice)?.parts.push(FoldedPart::Call(call));
            }
            Event::ToolArguments { choice, text, .. } => self.choice(choice)?.arguments(&text)?,
            Event::Logprobs { choice, tokens } => self.choice(choice)?.logprobs.extend(tokens),
            Event::ChoiceFinished { choice, reason } => self.choice(choice)?.reason = Some(reason),
            Event::Finished(usage) => self.usage = Some(usage),
        }
        Ok(())
    }

    fn whole(self) -> Result<Folded, ApiError> {
        let choices = self.choices.into_iter().map(|choice| {
            Some(FoldedChoice {
                parts: choice.parts,
                reason: choice.reason?,
            })
        });
        match (self.started, choices.collect::<Option<Vec<_>>>(), self.usage) {
            (Some(started), Some(choices), Some(usage)) => Ok(Folded {
                started,
                choices,
                usage,
            }),
            _ => Err(cut_short()),
        }
    }
}

struct SseWriter<F> {
    /// `None` when the answer is over; the next call ends the body.
    events: Option<EventStream>,
    frames: F,
    keep_alive: Duration,
}

impl<F: Frames> SseWriter<F> {
    /// What was read ahead; and where that is nothing, what comes next.
    async fn first(&mut self, ahead: std::vec::IntoIter<Event>) -> Option<Bytes> {
        let mut out = SseBuffer::with_room();
        for event in ahead {
            self.write(Some(Ok(event)), &mut out);
        }
        if out.0.is_empty() {
            return self.next().await;
        }
        self.gather(&mut out);
        Some(out.0.into())
    }

    /// The next bytes, or `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        let mut out = SseBuffer::with_room();
        let events = self.events.as_mut()?;
        match tokio::time::timeout(self.keep_alive, events.next()).await {
            Ok(event) => self.write(event, &mut out),
            Err(_) => self.frames.idle(&mut out),
        }
        self.gather(&mut out);
        Some(out.0.into())
    }

    /// A reader that fell behind gets what has gathered in one piece.
    fn gather(&mut self, out: &mut SseBuffer) {
        while out.0.len() < GATHER_BYTES {
            let Some(events) = self.events.as_mut() else { break };
            let Some(event) = futures::FutureExt::now_or_never(events.next()) else {
                break;
            };
            self.write(event, out);
        }
    }

    fn write(&mut self, event: Option<Result<Event, InferenceError>>, out: &mut SseBuffer) {
        match event {
            Some(Ok(Event::Started(started))) => self.frames.started(started, out),
            Some(Ok(Event::Text { choice, text })) => self.frames.text(choice, &text, out),
            Some(Ok(Event::Reasoning { choice, text })) => self.frames.reasoning(choice, &text, out),
            Some(Ok(Event::ToolCall {
                choice,
                index,
                id,
                name,
            })) => {
                let head = CallHead {
                    index,
                    id: &id,
                    name: &name,
                };
                self.frames.tool_call(choice, head, out);
            }
            Some(Ok(Event::ToolArguments { choice, index, text })) => {
                self.frames.tool_arguments(choice, index, &text, out);
            }
            Some(Ok(Event::Logprobs { choice, tokens })) => self.frames.logprobs(choice, tokens),
            Some(Ok(Event::ChoiceFinished { choice, reason })) => {
                self.frames.choice_finished(choice, reason, out);
            }
            Some(Ok(Event::Finished(usage))) => {
                self.frames.finished(usage, out);
                self.events = None;
            }
            Some(Err(error)) => self.fail(&ApiError::from_inference(error, None), out),
            None => self.fail(&cut_short(), out),
        }
    }

    /// The status is long gone: one error event, and the end without the sign of success.
    fn fail(&mut self, error: &ApiError, out: &mut SseBuffer) {
        self.frames.failed(error, out);
        self.events = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::channel::mpsc;

    /// Writes texts as plain strings.
    struct Plain;

    impl Frames for Plain {
        fn started(&mut self, _started: Started, out: &mut SseBuffer) {
            out.data(&"started");
        }

        fn logprobs(&mut self, _choice: u32, _tokens: Vec<TokenLogprob>) {}

        fn reasoning(&mut self, _choice: u32, _text: &str, _out: &mut SseBuffer) {}

        fn tool_call(&mut self, _choice: u32, _call: CallHead<'_>, _out: &mut SseBuffer) {}

        fn tool_arguments(&mut self, _choice: u32, _index: usize, _text: &str, _out: &mut SseBuffer) {}

        fn text(&mut self, _choice: u32, text: &str, out: &mut SseBuffer) {
            out.data(&text);
        }

        fn choice_finished(&mut self, _choice: u32, _reason: FinishReason, _out: &mut SseBuffer) {}

        fn finished(&mut self, _usage: Usage, out: &mut SseBuffer) {
            out.data(&"finished");
        }
    }

    const KEEP_ALIVE: Duration = Duration::from_secs(15);

    fn text(text: &str) -> Result<Event, InferenceError> {
        Ok(Event::Text {
            choice: 0,
            text: text.into(),
        })
    }

    fn started() -> Result<Event, InferenceError> {
        Ok(Event::Started(Started {
            system_fingerprint: None,
            n_prompt: None,
        }))
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_stream_gets_a_comment_every_fifteen_seconds() {
        let begun = tokio::time::Instant::now();
        let (events, stream) = mpsc::unbounded();
        events.unbounded_send(started()).expect("open");
        let answer = Answer::begin(EventStream::new(stream), KEEP_ALIVE)
            .await
            .expect("begun");
        assert_eq!(
            begun.elapsed(),
            KEEP_ALIVE,
            "the head waits for text, but not for ever"
        );
        let mut body = answer.sse(Plain, KEEP_ALIVE).into_data_stream();
        let mut next = async || body.next().await.map(|bytes| bytes.expect("cannot fail"));
        assert_eq!(next().await.as_deref(), Some(&b"data: \"started\"\n\n"[..]));
        for n_comments in 1..=3 {
            assert_eq!(next().await.as_deref(), Some(&b": keep-alive\n\n"[..]));
            assert_eq!(begun.elapsed(), KEEP_ALIVE * (n_comments + 1));
        }
        events.unbounded_send(text("a")).expect("open");
        events.unbounded_send(text("b")).expect("open");
        assert_eq!(
            next().await.as_deref(),
            Some(&b"data: \"a\"\n\ndata: \"b\"\n\n"[..])
        );
        drop(events);
        let last = next().await.expect("an error event");
        assert!(last.starts_with(b"data: {\"error\":"), "{last:?}");
        assert_eq!(next().await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn text_that_comes_at_once_does_not_wait() {
        let begun = tokio::time::Instant::now();
        let events = futures::stream::iter([started(), text("a")]).chain(futures::stream::pending());
        let answer = Answer::begin(EventStream::new(events), KEEP_ALIVE)
            .await
            .expect("begun");
        assert_eq!((answer.ahead.len(), begun.elapsed()), (2, Duration::ZERO));
    }

    #[tokio::test]
    async fn text_for_a_choice_not_asked_for_is_a_fault() {
        let stray = Ok(Event::Text {
            choice: 1,
            text: "x".into(),
        });
        let events = futures::stream::iter([started(), stray]);
        let answer = Answer::begin(EventStream::new(events), KEEP_ALIVE)
            .await
            .expect("begun");
        assert_eq!(answer.fold(1).await.expect_err("refused").code, "server_error");
    }
}
