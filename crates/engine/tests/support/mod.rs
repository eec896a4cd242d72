//! What the engine's tests share: a receiver that can be slow or leave, and what a model gives without an engine.
#![allow(dead_code, reason = "each test file uses its part")]

use std::num::NonZeroUsize;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;
use tokenmill_engine::sample::{History, Sampler};
use tokenmill_engine::{
    Delivery, Finish, Options, Output, Reason, Sampling, Sink, Stopwatch, Submission, TokenLogprobs,
};
use tokenmill_kernels::isa::Isa;
use tokenmill_kernels::kv_cache::{KvCache, PAGE_TOKENS};
use tokenmill_kernels::pool::Pool;
use tokenmill_model::{Batch, Model, Scratch, SequenceRows};

/// The scalar kernels: these tests are about what is computed where, and such tiny shapes gain nothing from others.
pub(crate) fn pool(threads: usize) -> Arc<Pool> {
    Arc::new(Pool::new(
        NonZeroUsize::new(threads).expect("some threads"),
        Isa::Scalar,
    ))
}

/// Options with room for so many pages.
pub(crate) fn options(model: &dyn Model, n_pages: usize) -> Options {
    Options {
        max_running: 8,
        max_waiting: 64,
        step_tokens: 96,
        inter_token_ms: 150,
        kv_bytes: n_pages * model.shape().kv.page_bytes(),
        prefix_cache: true,
        speculation: true,
        ..Options::default()
    }
}

/// A stopwatch that says nothing.
pub(crate) fn untimed() -> Stopwatch {
    Box::new(|| Duration::ZERO)
}

pub(crate) fn submission(prompt: Vec<u32>, max_tokens: usize) -> Submission {
    Submission {
        prompt,
        sampling: Sampling::greedy(),
        max_tokens,
        end_tokens: Vec::new(),
        min_tokens: 0,
        banned: Vec::new(),
        n_top_logprobs: None,
        adapter: None,
        cache_scope: [0; 32],
        tenant: [0; 32],
        priority: 0,
    }
}

/// The outputs of a submission by the model in a loop without engine: no batching, no pages shared, no chunks.
pub(crate) fn alone(model: &dyn Model, pool: &Pool, submission: &Submission) -> (Vec<u32>, Reason) {
    let n_pages = (submission.prompt.len() + submission.max_tokens).div_ceil(PAGE_TOKENS);
    let mut cache = KvCache::new(model.shape().kv, n_pages).expect("a small cache");
    let (mut scratch, mut n_computed) = (Scratch::default(), 0);
    generate(submission, |tokens| {
        let rows = SequenceRows {
            n_rows: tokens.len() - n_computed,
            position: n_computed,
            pages: (0..n_pages as u32).collect(),
            n_logits: 1,
            adapter: submission.adapter.clone(),
        };
        let batch = Batch {
            tokens: tokens[n_computed..].to_vec(),
            sequences: vec![rows],
        };
        let mut logits = Vec::new();
        model.forward(pool, &batch, &mut cache, &mut scratch, &mut logits);
        n_computed = tokens.len();
        logits
    })
}

/// The outputs of a submission when `logits_after` gives the logits after some tokens.
pub(crate) fn generate(
    submission: &Submission,
    mut logits_after: impl FnMut(&[u32]) -> Vec<f32>,
) -> (Vec<u32>, Reason) {
    let mut tokens = submission.prompt.clone();
    let mut history = History::new(&submission.sampling, &tokens);
    let mut sampler = Sampler::default();
    let mut reason = Reason::Length;
    for n_generated in 0..submission.max_tokens {
        let choice = sampler.sample(
            &mut logits_after(&tokens),
            &submission.sampling,
            &history,
            n_generated as u64,
        );
        match choice {
            Err(_) => {
                reason = Reason::Fault;
                break;
            }
            Ok(id) if submission.end_tokens.contains(&id) => {
                reason = Reason::EndToken(id);
                break;
            }
            Ok(id) => {
                tokens.push(id);
                history.push(id);
            }
        }
    }
    (tokens.split_off(submission.prompt.len()), reason)
}

/// The receiving end of a sequence.
#[derive(Clone)]
pub(crate) struct Receiver {
    shared: Arc<(Mutex<Received>, Condvar)>,
}

#[derive(Default)]
pub(crate) struct Received {
    pub(crate) tokens: Vec<u32>,
    /// Those that came, one a token.
    pub(crate) logprobs: Vec<TokenLogprobs>,
    pub(crate) finish: Option<Finish>,
    /// Outputs that it takes before it is full.
    pub(crate) room: usize,
    pub(crate) closed: bool,
}

struct Sender(Receiver);

impl Receiver {
    pub(crate) fn new(room: usize) -> Receiver {
        let received = Received {
            room,
            ..Received::default()
        };
        Receiver {
            shared: Arc::new((Mutex::new(received), Condvar::new())),
        }
    }

    /// With room for everything.
    pub(crate) fn unbounded() -> Receiver {
        Receiver::new(usize::MAX)
    }

    pub(crate) fn sink(&self) -> Box<dyn Sink> {
        Box::new(Sender(self.clone()))
    }

    pub(crate) fn received(&self) -> MutexGuard<'_, Received> {
        self.shared.0.lock().expect("no receiver panics")
    }

    pub(crate) fn close(&self) {
        self.received().closed = true;
    }

    /// Blocks until `is_enough`.
    pub(crate) fn wait_until(&self, is_enough: impl Fn(&Received) -> bool) -> MutexGuard<'_, Received> {
        self.shared
            .1
            .wait_while(self.received(), |received| !is_enough(received))
            .expect("no receiver panics")
    }

    /// Blocks until the end; all tokens and how it ended.
    pub(crate) fn wait(&self) -> (Vec<u32>, Finish) {
        let received = self.wait_until(|received| received.finish.is_some());
        (received.tokens.clone(), received.finish.expect("waited for"))
    }
}

impl Sink for Sender {
    fn deliver(&mut self, output: Output) -> Delivery {
        let mut received = self.0.received();
        assert_eq!(received.finish, None, "{output:?} comes after the end");
        if received.room == 0 && !received.closed {
            return Delivery::Full;
        }
        match output {
            Output::Finish(finish) => received.finish = Some(finish),
            Output::Token { .. } if received.closed => {}
            Output::Token { id, logprobs } => {
                received.tokens.push(id);
                received.logprobs.extend(logprobs.map(|logprobs| *logprobs));
            }
        }
        received.room = received.room.saturating_sub(1);
        self.0.shared.1.notify_all();
        if received.closed {
            Delivery::Closed
        } else {
            Delivery::Accepted
        }
    }

    fn is_closed(&self) -> bool {
        self.0.received().closed
    }

    fn has_room(&self) -> bool {
        self.0.received().room > 0
    }
}

/// Reproducible choices for schedules.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(1);
        (tokenmill_engine::sample::random(self.0, 0) % n as u64) as usize
    }

    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}
