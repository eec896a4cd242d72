//! Token ids to events: text, stop strings, and how each choice ended.

use std::collections::VecDeque;
use std::sync::Arc;

use futures::channel::mpsc as events;
use futures::future::try_join_all;
use futures::{FutureExt, SinkExt, Stream, StreamExt};
use tokenmill_engine::{Output, Reason, TokenLogprobs};
use tokenmill_text::tool_calls::Piece;
use tokenmill_text::{StopMatcher, StreamDecoder, Tokenizer};

use super::call_ids::CallIds;
use super::reading::{AnswerReader, Reading};
use super::text_side::TextSide;
use super::token_channel::Tokens;
use crate::event::{Event, FinishReason, InferenceError, Started, TokenLogprob, TokenText, Usage};
use crate::request::{Prompt, PromptEnding, Request};

pub(super) type Out = events::Sender<Result<Event, InferenceError>>;

/// A stream of what `run` sends. `run` only goes on while the stream is polled, and is dropped with it.
pub(super) fn generate<F>(run: impl FnOnce(Out) -> F) -> impl Stream<Item = Result<Event, InferenceError>>
where
    F: Future<Output = ()>,
{
    let (out, sent) = events::channel(0);
    let running = run(out).into_stream().filter_map(|()| std::future::ready(None));
    futures::stream::select(running, sent)
}

/// All choices, from the first event to the last.
pub(super) async fn answer(text: Arc<TextSide>, started: Started, choices: Vec<Choice>, mut out: Out) {
    let n_prompt = started.n_prompt.unwrap_or_default();
    // A send fails only when the stream is gone, and then nothing polls this any more.
    let _ = out.send(Ok(Event::Started(started))).await;
    let running = choices
        .into_iter()
        .map(|choice| choice.run(&text.tokenizer, out.clone()));
    let last = match try_join_all(running).await {
        Ok(ends) => Ok(Event::Finished(Usage {
            n_prompt,
            // The later choices share what the first has computed; that saves work and is no hit of the request's.
            n_cached: ends.first().and_then(|end| end.n_cached),
            n_completion: ends.iter().map(|end| end.n_completion).sum(),
            n_reasoning: ends.iter().map(|end| end.n_reasoning).sum(),
        })),
        Err(error) => Err(error),
    };
    let _ = out.send(last).await;
}

/// One answer on its way up.
pub(super) struct Choice {
    idx: u32,
    tokens: Tokens,
    stop: StopMatcher,
    request: Request,
    shown: Shown,
    reader: AnswerReader,
    /// Special tokens whose text the reader must see.
    marks: Vec<u32>,
    /// Whether the answer is text and nothing else.
    is_plain: bool,
    ids: CallIds,
}

struct ChoiceEnd {
    n_completion: u64,
    n_reasoning: Option<u64>,
    n_cached: Option<u64>,
}

impl Choice {
    pub(super) fn new(idx: u32, tokens: Tokens, stop: StopMatcher, request: &Request) -> Choice {
        Choice {
            idx,
            tokens,
            stop,
            request: request.clone(),
            shown: Shown::default(),
            reader: Reading::default().reader(),
            marks: Vec::new(),
            is_plain: true,
            ids: CallIds::new(None, 0, 0),
        }
    }

    /// The same, whose tokens are read as the plan says.
    pub(super) fn reading(mut self, reading: &Reading, ids: CallIds) -> Choice {
        self.reader = reading.reader();
        self.marks.clone_from(&reading.shown);
        self.is_plain = reading.is_plain();
        self.ids = ids;
        self
    }

    async fn run(mut self, tokenizer: &Tokenizer, mut out: Out) -> Result<ChoiceEnd, InferenceError> {
        let marks = std::mem::take(&mut self.marks);
        let mut decoder = self.decoder(tokenizer).showing(&marks);
        let mut n_taken = 0;
        let finish = loop {
            let output = self.tokens.next().await;
            let output =
                output.ok_or_else(|| InferenceError::Fault("the engine let go of a sequence".into()))?;
            match output {
                Output::Token { id, logprobs } => {
                    n_taken += 1;
                    self.request.paid_by.generated(1);
                    let logprobs = logprobs.map(|logprobs| token_logprob(tokenizer, id, &logprobs));
                    self.shown.hold(logprobs);
                    let may_stop = n_taken > u64::from(self.request.min_tokens);
                    let pieces = self.reader.push(&decoder.push(id));
                    if !self.is_plain && !pieces.iter().any(|piece| matches!(piece, Piece::Text(_))) {
                        // Only tokens of the text are told of.
                        self.shown.held.pop_back();
                    }
                    if let Some(stop) = self.pass_all(pieces, may_stop, &mut out).await {
                        return Ok(self.stopped(stop, n_taken, &mut out).await);
                    }
                }
                Output::Finish(finish) => break finish,
            }
        };
        let reason = match finish.reason {
            Reason::EndToken(_) | Reason::Complete => FinishReason::Stop,
            Reason::Length => FinishReason::Length,
            Reason::Cancelled => return Err(InferenceError::ShuttingDown),
            Reason::Fault => return Err(InferenceError::Fault("the model's forward pass failed".into())),
        };
        let last = match finish.reason {
            Reason::EndToken(id) if self.shows_end(id) => decoder.push(id),
            _ => String::new(),
        };
        // The rest of a character that never came may complete a stop string, too.
        let mut pieces = self.reader.rest(&(decoder.flush() + &last));
        pieces.extend(self.reader.finish());
        let reason = match reason {
            FinishReason::Stop if self.reader.has_called => FinishReason::ToolCalls,
            other => other,
        };
        if let Some(stop) = self.pass_all(pieces, true, &mut out).await {
            self.end_at(stop, &mut out).await;
        } else {
            let rest = self.stop.flush();
            self.send_text(rest, &mut out).await;
            self.finished(reason, &mut out).await;
        }
        Ok(ChoiceEnd {
            n_completion: finish.n_generated as u64,
            n_reasoning: self.n_reasoning(),
            n_cached: Some(finish.n_cached as u64),
        })
    }

    /// Only the beginning of an answer has a space that the tokenizer put there.
    fn decoder<'t>(&self, tokenizer: &'t Tokenizer) -> StreamDecoder<'t> {
        match &self.request.prompt {
            Prompt::Conversation(conversation) if conversation.ending != PromptEnding::Continue => {
                tokenizer.decoder()
            }
            _ => tokenizer.continuing_decoder(),
        }
    }

    /// Whether the text of the token that ended the answer is asked for.
    fn shows_end(&self, id: u32) -> bool {
        self.request.include_stop && self.request.stop_token_ids.contains(&id)
    }

    fn n_reasoning(&self) -> Option<u64> {
        self.reader.thinks().then_some(self.reader.n_thinking)
    }

    /// Hands pieces on; the index of the stop string that has come in the text.
    async fn pass_all(&mut self, pieces: Vec<Piece>, may_stop: bool, out: &mut Out) -> Option<usize> {
        let choice = self.idx;
        for piece in pieces {
            let event = match piece {
                Piece::Text(text) if may_stop => {
                    let stop = self.pass(&text, out).await;
                    if stop.is_some() {
                        return stop;
                    }
                    continue;
                }
                Piece::Text(text) => {
                    self.shown.n_read += text.len();
                    self.send_text(text, out).await;
                    continue;
                }
                Piece::Reasoning(text) => Event::Reasoning { choice, text },
                Piece::Call { index, name } => {
                    // What could still have become a stop string stands before the call.
                    let rest = self.stop.flush();
                    self.send_text(rest, out).await;
                    let id = self.ids.id(index, &name);
                    Event::ToolCall {
                        choice,
                        index,
                        id,
                        name,
                    }
                }
                Piece::Arguments { index, text } => Event::ToolArguments { choice, index, text },
            };
            let _ = out.send(Ok(event)).await;
        }
        None
    }

    /// Lets through what is certainly no stop string; its index once one has come.
    async fn pass(&mut self, piece: &str, out: &mut Out) -> Option<usize> {
        self.shown.n_read += piece.len();
        let passed = self.stop.push(piece);
        self.send_text(passed.text, out).await;
        passed.stop
    }

    /// Ends at a stop string. What the engine generated beyond it meanwhile is not the caller's.
    async fn stopped(mut self, stop: usize, n_taken: u64, out: &mut Out) -> ChoiceEnd {
        self.tokens.close();
        self.end_at(stop, out).await;
        let n_cached = self.tokens.finish().await.map(|finish| finish.n_cached as u64);
        ChoiceEnd {
            n_completion: n_taken,
            n_reasoning: self.n_reasoning(),
            n_cached,
        }
    }

    async fn end_at(&mut self, stop: usize, out: &mut Out) {
        if self.request.include_stop {
            let text = self.request.stop.get(stop).cloned().unwrap_or_default();
            self.send_text(text, out).await;
        }
        self.finished(FinishReason::StopString(stop), out).await;
    }

    async fn send_text(&mut self, text: String, out: &mut Out) {
        if text.is_empty() {
            return;
        }
        let choice = self.idx;
        let tokens = self.shown.release(text.len());
        if !tokens.is_empty() {
            let _ = out.send(Ok(Event::Logprobs { choice, tokens })).await;
        }
        let _ = out.send(Ok(Event::Text { choice, text })).await;
    }

    async fn finished(&self, reason: FinishReason, out: &mut Out) {
        let choice = self.idx;
        let _ = out.send(Ok(Event::ChoiceFinished { choice, reason })).await;
    }
}

/// Log probabilities of tokens whose text is not out yet.
#[derive(Default)]
struct Shown {
    /// With how much text there was before each.
    held: VecDeque<(usize, TokenLogprob)>,
    /// Bytes of text that the tokens so far gave.
    n_read: usize,
    /// Bytes of text that went out.
    n_sent: usize,
}

impl Shown {
    fn hold(&mut self, logprob: Option<TokenLogprob>) {
        self.held.extend(logprob.map(|logprob| (self.n_read, logprob)));
    }

    /// So much more text goes out: the tokens that begin before its end.
    fn release(&mut self, n_bytes: usize) -> Vec<TokenLogprob> {
        self.n_sent += n_bytes;
        let n_out = self.held.partition_point(|&(start, _)| start < self.n_sent);
        self.held.drain(..n_out).map(|(_, logprob)| logprob).collect()
    }
}

fn token_logprob(tokenizer: &Tokenizer, id: u32, logprobs: &TokenLogprobs) -> TokenLogprob {
    let text = |id: u32| TokenText {
        id,
        bytes: tokenizer.token_bytes(id).unwrap_or_default().to_vec(),
    };
    TokenLogprob {
        token: text(id),
        logprob: logprobs.chosen,
        top: logprobs
            .top
            .iter()
            .map(|&(id, logprob)| (text(id), logprob))
            .collect(),
    }
}
