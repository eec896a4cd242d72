//! A draft model: a smaller model of the same tokens that guesses where a sequence has nothing to quote from itself.
//!
//! It has keys and values of its own, for the tokens of running sequences as far as it has followed them; what a sequence
//! loses, or the draft guessed wrongly, it computes again. All sequences that it guesses for share its passes. Guesses decide
//! nothing: the model's own rows do, as for those of [`crate::draft`].
//!
//! It guesses as many tokens as make the expected tokens a second most, by what passes of both models took and how often it
//! was right in that sequence, and none where that gains nothing. A prompt that it has not read yet counts against what the rest
//! of the answer may gain. Beside prompts that are being read nothing is guessed at all.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokenmill_kernels::kv_cache::{KvCache, PAGE_TOKENS, PageId};
use tokenmill_kernels::pool::Pool;
use tokenmill_model::{Batch, Model, Scratch, SequenceRows};

use crate::cost::{StepCosts, Work};
use crate::draft::{MAX_DRAFT, expected_gain};
use crate::pages::Pages;
use crate::scheduler::LEAST_GAIN;
use crate::sequence::{Sequence, SequenceId, pages_for};
use crate::step::Stopwatch;
use crate::{Options, StartError};

/// Rows of a sequence that are followed at once.
const CHUNK: usize = 64;
/// Tokens of an answer that reading a prompt may be worth: answers are rarely as long as they may be.
const FORESEEN: usize = 128;

pub(crate) struct DraftModel {
    model: Arc<dyn Model>,
    pool: Arc<Pool>,
    cache: KvCache,
    pages: Pages,
    scratch: Scratch,
    logits: Vec<f32>,
    costs: StepCosts,
    followed: HashMap<SequenceId, Followed>,
    n_vocab: usize,
}

/// What it knows of a sequence.
#[derive(Default)]
struct Followed {
    pages: Vec<PageId>,
    /// The tokens whose keys and values are in the pages.
    computed: Vec<u32>,
    /// What it guessed when the sequence had so many tokens.
    guess: (usize, Vec<u32>),
}

/// A sequence that is guessed for.
struct Wish<'a> {
    id: SequenceId,
    tokens: &'a [u32],
    n_guesses: usize,
}

impl DraftModel {
    /// `n_pages` are those of the model that it guesses for, which has tokens below `n_vocab`.
    pub(crate) fn new(
        model: Arc<dyn Model>,
        pool: Arc<Pool>,
        options: &Options,
        n_pages: usize,
        n_vocab: usize,
    ) -> Result<DraftModel, StartError> {
        let kv = options.kv_type.applied(&model.shape().kv);
        Ok(DraftModel {
            cache: KvCache::new(kv, n_pages)?,
            pages: Pages::new(n_pages),
            pool,
            scratch: Scratch::default(),
            logits: Vec::new(),
            costs: StepCosts::default(),
            followed: HashMap::new(),
            n_vocab: n_vocab.min(model.shape().n_vocab),
            model,
        })
    }

    /// Guesses for the sequences that have no guess yet, where it pays. `costs` are those of the model itself.
    pub(crate) fn guess(&mut self, running: &mut [Sequence], costs: &StepCosts, stopwatch: &mut Stopwatch) {
        if running.iter().any(|sequence| !sequence.is_generating()) {
            return;
        }
        let work = running.iter().fold(Work::default(), |work, sequence| {
            work.with_rows(sequence.n_computed, sequence.n_missing(), 1)
        });
        let mut wishes = Vec::new();
        for sequence in running.iter().filter(|sequence| sequence.wants_guesses()) {
            let known = self
                .followed
                .get(&sequence.id)
                .map_or(0, |followed| followed.guess.0);
            if known != sequence.tokens.len() {
                let n_guesses = self.n_guesses(sequence, work, running.len(), costs);
                wishes.extend((n_guesses > 0).then_some(Wish {
                    id: sequence.id,
                    tokens: &sequence.tokens,
                    n_guesses,
                }));
            }
        }
        self.fulfil(&wishes, stopwatch);
        for sequence in running.iter_mut().filter(|sequence| sequence.wants_guesses()) {
            if let Some(followed) = self.followed.get(&sequence.id)
                && followed.guess.0 == sequence.tokens.len()
            {
                sequence.take_guess(followed.guess.1.clone());
            }
        }
    }

    /// Lets go of a sequence that runs no longer.
    pub(crate) fn forget(&mut self, id: SequenceId) {
        for page in self
            .followed
            .remove(&id)
            .into_iter()
            .flat_map(|followed| followed.pages)
        {
            self.pages.release(page);
        }
    }

    /// Recounts pages; `is_running` tells the sequences that may have some.
    pub(crate) fn check(&self, is_running: impl Fn(SequenceId) -> bool) -> Result<(), String> {
        let mut n_held = vec![0; self.pages.n_pages()];
        for (id, followed) in &self.followed {
            if !is_running(*id) {
                return Err(format!(
                    "the draft model follows sequence {id}, which does not run"
                ));
            }
            if followed.pages.len() < pages_for(followed.computed.len()) {
                return Err(format!("the draft model has too few pages for sequence {id}"));
            }
            followed.pages.iter().for_each(|&page| n_held[page as usize] += 1);
        }
        self.pages.check(&n_held)
    }

    /// How many guesses make the expected tokens a second most; none where one more row of each model is not worth it.
    fn n_guesses(&self, sequence: &Sequence, work: Work, n_running: usize, costs: &StepCosts) -> usize {
        let n_tokens = sequence.tokens.len();
        let n_most = MAX_DRAFT
            .min(sequence.n_left() - 1)
            .min(self.model.shape().n_context.saturating_sub(n_tokens + 1));
        let is_known = |&token: &u32| (token as usize) < self.model.shape().n_vocab;
        let Some(plain) = costs
            .estimate(work)
            .filter(|_| sequence.tokens.iter().all(is_known))
        else {
            return 0;
        };
        let n_followed = self.n_followed(sequence);
        let drafting = |n_rows: usize| {
            let work = Work::default().with_rows(n_tokens - n_rows, n_rows, 1);
            // Nothing is known of a model that never ran: it is tried.
            self.costs.estimate(work).unwrap_or(0.0)
        };
        let seconds = |n: usize| {
            let verified = costs
                .estimate(work.with_rows(n_tokens, n, n))
                .unwrap_or(f64::INFINITY);
            verified + n as f64 * drafting(1)
        };
        let tokens = |n: usize| n_running as f64 + expected_gain(sequence.guessing.get(), n);
        let rate = |n: usize| tokens(n) / seconds(n);
        let Some(best) = (1..=n_most).max_by(|&a, &b| rate(a).total_cmp(&rate(b))) else {
            return 0;
        };
        let plain_rate = n_running as f64 / plain;
        if rate(best) <= plain_rate * LEAST_GAIN {
            return 0;
        }
        let n_behind = n_tokens - n_followed;
        if n_behind <= MAX_DRAFT + 1 {
            return best;
        }
        let n_foreseen = sequence.n_left().min(FORESEEN) as f64;
        let gain = n_foreseen * (1.0 / plain_rate - 1.0 / rate(best));
        if gain > drafting(n_behind) { best } else { 0 }
    }

    /// Tokens of the sequence whose keys and values are there.
    fn n_followed(&self, sequence: &Sequence) -> usize {
        self.followed
            .get(&sequence.id)
            .map_or(0, |followed| n_common(&followed.computed, &sequence.tokens))
    }

    /// Runs the passes. A model that fails in one guesses nothing any more for these sequences until they go on.
    fn fulfil(&mut self, wishes: &[Wish<'_>], stopwatch: &mut Stopwatch) {
        let mut wishes: Vec<&Wish<'_>> = wishes.iter().filter(|wish| self.prepare(wish)).collect();
        while !wishes.is_empty() {
            let batch = self.batch(&wishes);
            let work = batch.sequences.iter().fold(Work::default(), |work, rows| {
                work.with_rows(rows.position, rows.n_rows, rows.n_logits)
            });
            let start = stopwatch();
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                self.model.forward(
                    &self.pool,
                    &batch,
                    &mut self.cache,
                    &mut self.scratch,
                    &mut self.logits,
                );
            }));
            self.costs
                .observe(work, stopwatch().saturating_sub(start).as_secs_f64());
            let n_vocab = self.model.shape().n_vocab;
            if outcome.is_err() || self.logits.len() != batch.n_logits() * n_vocab {
                self.scratch = Scratch::default();
                wishes.iter().for_each(|wish| self.forget(wish.id));
                return;
            }
            let mut logits = self.logits.chunks_exact(n_vocab);
            let mut computed = batch.tokens.as_slice();
            let mut going_on = Vec::new();
            for (wish, rows) in wishes.into_iter().zip(&batch.sequences) {
                let Some(followed) = self.followed.get_mut(&wish.id) else {
                    continue;
                };
                let (own, rest) = computed.split_at(rows.n_rows);
                followed.computed.extend_from_slice(own);
                computed = rest;
                if rows.n_logits == 0 {
                    // More of its tokens are to be followed, in the next step.
                    followed.guess.0 = wish.tokens.len();
                    continue;
                }
                let best = logits.next().and_then(|logits| greatest(&logits[..self.n_vocab]));
                followed.guess.0 = wish.tokens.len();
                followed.guess.1.extend(best);
                if best.is_some() && followed.guess.1.len() < wish.n_guesses {
                    going_on.push(wish);
                }
            }
            wishes = going_on;
        }
    }

    /// Makes room for a wish and forgets what was guessed wrongly; false where there is no room.
    fn prepare(&mut self, wish: &Wish<'_>) -> bool {
        let followed = self.followed.entry(wish.id).or_default();
        let n_common = n_common(&followed.computed, wish.tokens);
        followed.computed.truncate(n_common);
        followed.guess = (wish.tokens.len(), Vec::new());
        let n_pages = pages_for(wish.tokens.len() + wish.n_guesses);
        while followed.pages.len() < n_pages {
            let Some(page) = self.pages.allocate() else {
                self.forget(wish.id);
                return false;
            };
            followed.pages.push(page);
        }
        true
    }

    /// The next rows of each: tokens that it has not followed, at most [`CHUNK`], or the last guess.
    fn batch(&self, wishes: &[&Wish<'_>]) -> Batch {
        let mut batch = Batch::default();
        for wish in wishes {
            let followed = &self.followed[&wish.id];
            let position = followed.computed.len();
            let known = wish.tokens.iter().chain(&followed.guess.1).skip(position);
            let n_missing = wish.tokens.len() + followed.guess.1.len() - position;
            let n_rows = n_missing.min(CHUNK);
            batch.tokens.extend(known.take(n_rows));
            batch.sequences.push(SequenceRows {
                n_rows,
                position,
                pages: followed.pages[..(position + n_rows).div_ceil(PAGE_TOKENS)].to_vec(),
                n_logits: usize::from(n_rows == n_missing),
                adapter: None,
            });
        }
        batch
    }
}

fn n_common(computed: &[u32], tokens: &[u32]) -> usize {
    let n_common = computed.iter().zip(tokens).take_while(|(a, b)| a == b).count();
    // The last token's row gives the first guess, so it is computed again.
    n_common.min(tokens.len() - 1)
}

/// The token with the greatest logit, the first of equals; none if one is not a number.
fn greatest(logits: &[f32]) -> Option<u32> {
    let mut best: Option<(u32, f32)> = None;
    for (token, &logit) in (0..).zip(logits) {
        if logit.is_nan() {
            return None;
        }
        if best.is_none_or(|(_, most)| logit > most) {
            best = Some((token, logit));
        }
    }
    best.map(|(token, _)| token)
}
