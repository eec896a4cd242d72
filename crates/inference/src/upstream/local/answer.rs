//! Token ids to events: text, stop strings, and how each choice ended.

use std::sync::Arc;

use futures::channel::mpsc as events;
use futures::future::try_join_all;
use futures::{FutureExt, SinkExt, Stream, StreamExt};
use tokenmill_engine::{Output, Reason};
use tokenmill_text::{StopMatcher, Tokenizer};

use super::text_side::TextSide;
use super::token_channel::Tokens;
use crate::event::{Event, FinishReason, InferenceError, Started, Usage};
use crate::payer::PaidBy;

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
pub(super) async fn answer(
    text: Arc<TextSide>,
    started: Started,
    choices: Vec<Choice>,
    n_prompt: usize,
    mut out: Out,
) {
    // A send fails only when the stream is gone, and then nothing polls this any more.
    let _ = out.send(Ok(Event::Started(started))).await;
    let running = choices
        .into_iter()
        .map(|choice| choice.run(&text.tokenizer, out.clone()));
    let last = match try_join_all(running).await {
        Ok(ends) => Ok(Event::Finished(Usage {
            n_prompt: n_prompt as u64,
            // The later choices share what the first has computed; that saves work and is no hit of the request's.
            n_cached: ends.first().and_then(|end| end.n_cached),
            n_completion: ends.iter().map(|end| end.n_completion).sum(),
        })),
        Err(error) => Err(error),
    };
    let _ = out.send(last).await;
}

/// One answer on its way up.
pub(super) struct Choice {
    pub(super) idx: u32,
    pub(super) tokens: Tokens,
    pub(super) stop: StopMatcher,
    pub(super) paid_by: PaidBy,
}

struct ChoiceEnd {
    n_completion: u64,
    n_cached: Option<u64>,
}

impl Choice {
    async fn run(mut self, tokenizer: &Tokenizer, mut out: Out) -> Result<ChoiceEnd, InferenceError> {
        let mut decoder = tokenizer.decoder();
        let mut n_taken = 0;
        let finish = loop {
            let output = self.tokens.next().await;
            let output =
                output.ok_or_else(|| InferenceError::Fault("the engine let go of a sequence".into()))?;
            match output {
                Output::Token { id } => {
                    n_taken += 1;
                    self.paid_by.generated(1);
                    if self.pass(&decoder.push(id), &mut out).await {
                        return Ok(self.stopped(n_taken, &mut out).await);
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
        // The rest of a character that never came may complete a stop string, too.
        if self.pass(&decoder.flush(), &mut out).await {
            self.finished(FinishReason::Stop, &mut out).await;
        } else {
            let rest = self.stop.flush();
            self.send_text(rest, &mut out).await;
            self.finished(reason, &mut out).await;
        }
        Ok(ChoiceEnd {
            n_completion: finish.n_generated as u64,
            n_cached: Some(finish.n_cached as u64),
        })
    }

    /// Lets through what is certainly no stop string; true once one has come.
    async fn pass(&mut self, piece: &str, out: &mut Out) -> bool {
        let passed = self.stop.push(piece);
        self.send_text(passed.text, out).await;
        passed.stop.is_some()
    }

    /// Ends at a stop string. What the engine generated beyond it meanwhile is not the caller's.
    async fn stopped(mut self, n_taken: u64, out: &mut Out) -> ChoiceEnd {
        self.tokens.close();
        self.finished(FinishReason::Stop, out).await;
        let n_cached = self.tokens.finish().await.map(|finish| finish.n_cached as u64);
        ChoiceEnd {
            n_completion: n_taken,
            n_cached,
        }
    }

    async fn send_text(&self, text: String, out: &mut Out) {
        if !text.is_empty() {
            let _ = out
                .send(Ok(Event::Text {
                    choice: self.idx,
                    text,
                }))
                .await;
        }
    }

    async fn finished(&self, reason: FinishReason, out: &mut Out) {
        let _ = out
            .send(Ok(Event::ChoiceFinished {
                choice: self.idx,
                reason,
            }))
            .await;
    }
}
