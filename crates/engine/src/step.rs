//! The loop's body: let go of who left, plan, forward, sample, deliver.

mod integrity;
mod places;

use crate::cost::{StepCosts, Work};
use crate::draft_model::DraftModel;
use crate::fairness::Served;
use crate::mask::{Next, TokenMask};
use crate::prefix::PrefixCache;
use crate::sample::{Row, SampleError, Sampler};
use crate::scheduler::{Limits, Plan, Situation, plan};
use crate::sequence::{Choice, Owner, Sequence, SequenceId, pages_for};
use crate::stats::Stats;
use crate::{Options, Reason, Sink, StartError, Submission, TokenLogprobs};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;
use tokenmill_kernels::kv_cache::{KvCache, PAGE_TOKENS};
use tokenmill_kernels::pool::Pool;
use tokenmill_model::{Batch, Model, Scratch, SequenceRows};

pub(crate) use places::finish_unstarted;

/// The engine without its thread: every call to [`Stepper::step`] runs at most one forward pass.
pub struct Stepper {
    model: Arc<dyn Model>,
    pool: Arc<Pool>,
    cache: KvCache,
    scratch: Scratch,
    /// `[n_logits, n_vocab]` of the last pass.
    logits: Vec<f32>,
    sampler: Sampler,
    observer: Option<LogitsObserver>,
    /// `[n_vocab]`: a row as the model gave it, for a sequence that asks how likely its tokens are.
    untouched: Vec<f32>,
    limits: Limits,
    stopwatch: Stopwatch,
    costs: StepCosts,
    speculates: bool,
    draft_model: Option<DraftModel>,
    served: Served,
    prefix: PrefixCache,
    /// By age, oldest first.
    running: Vec<Sequence>,
    /// By age, oldest first. They hold no pages.
    waiting: VecDeque<Sequence>,
    /// Owners of finished sequences who have not taken everything yet.
    leaving: Vec<Owner>,
    next_id: SequenceId,
    stats: Stats,
}

/// Time since some moment that stays the same. The engine has no clock of its own; what it is told here decides how a
/// prompt is cut into steps and never which tokens come. One that always says zero is fine: nothing is learned then.
pub type Stopwatch = Box<dyn FnMut() -> Duration + Send>;

/// Sees each row of logits that a token is chosen from: the number of its sequence, which counts submissions from 0, how
/// many tokens that had, and the row as the model gave it.
pub type LogitsObserver = Box<dyn FnMut(u64, usize, &[f32]) + Send>;

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// A forward pass ran; there may be more to do.
    Stepped,
    /// Nothing can be computed until a submission comes or a full sink has room.
    Idle,
}

impl Stepper {
    /// Reserves the pages. Steps are timed by `stopwatch`.
    ///
    /// # Errors
    /// Options that cannot work or memory that the system refuses.
    pub fn new(
        model: Arc<dyn Model>,
        pool: Arc<Pool>,
        options: &Options,
        stopwatch: Stopwatch,
    ) -> Result<Stepper, StartError> {
        let shape = model.shape();
        let kv = options.kv_type.applied(&shape.kv);
        let n_pages = options.n_pages(&kv, shape.n_context)?;
        let cache = KvCache::new(kv, n_pages)?;
        let sampler = Sampler::new(pool.isa());
        Ok(Stepper {
            model,
            pool,
            cache,
            scratch: Scratch::default(),
            logits: Vec::new(),
            sampler,
            observer: None,
            untouched: Vec::new(),
            limits: Limits {
                max_running: options.max_running,
                step_tokens: options.step_tokens,
                inter_token_s: options.inter_token_ms as f64 / 1e3,
            },
            stopwatch,
            costs: StepCosts::default(),
            speculates: options.speculation,
            draft_model: None,
            served: Served::default(),
            prefix: PrefixCache::new(n_pages, options.prefix_cache),
            running: Vec::new(),
            waiting: VecDeque::new(),
            leaving: Vec::new(),
            next_id: 0,
            stats: Stats::default(),
        })
    }

    /// Has another model guess for this one, where that pays; with `options` as this one was made with. Without
    /// `speculation` there are no guesses, and the other model is not used.
    ///
    /// # Errors
    /// Memory for its keys and values that the system refuses: as many pages as this model has.
    pub fn with_draft_model(
        mut self,
        model: Arc<dyn Model>,
        options: &Options,
    ) -> Result<Stepper, StartError> {
        if self.speculates {
            let (n_pages, n_vocab) = (self.prefix.n_pages(), self.model.shape().n_vocab);
            let pool = Arc::clone(&self.pool);
            self.draft_model = Some(DraftModel::new(model, pool, options, n_pages, n_vocab)?);
        }
        Ok(self)
    }

    /// The most tokens, prompt and output together, that one sequence can have.
    pub fn max_sequence_tokens(&self) -> usize {
        self.model
            .shape()
            .n_context
            .min(self.prefix.n_pages() * PAGE_TOKENS)
    }

    /// Sequences that run, wait, or have finished without their sinks having taken everything.
    pub fn n_sequences(&self) -> usize {
        self.running.len() + self.waiting.len() + self.leaving.len()
    }

    /// Shows all logits from now on to `observer`, and no longer to an earlier one.
    pub fn observe_logits(&mut self, observer: LogitsObserver) {
        self.observer = Some(observer);
    }

    /// Queues a sequence.
    ///
    /// # Errors
    /// A submission that cannot be run; the sink hears nothing. Bounds of the queue are [`crate::Engine`]'s business.
    pub fn submit(&mut self, submission: Submission, sink: Box<dyn Sink>) -> Result<(), crate::SubmitError> {
        submission.check(self.model.shape().n_vocab, self.max_sequence_tokens())?;
        self.enqueue(submission, None, sink);
        Ok(())
    }

    /// Queues a sequence whose tokens a mask decides on.
    ///
    /// # Errors
    /// As [`Stepper::submit`].
    pub fn submit_masked(
        &mut self,
        submission: Submission,
        mask: Box<dyn TokenMask>,
        sink: Box<dyn Sink>,
    ) -> Result<(), crate::SubmitError> {
        submission.check(self.model.shape().n_vocab, self.max_sequence_tokens())?;
        self.enqueue(submission, Some(mask), sink);
        Ok(())
    }

    /// Queues a submission that was checked.
    pub(crate) fn enqueue(
        &mut self,
        submission: Submission,
        mask: Option<Box<dyn TokenMask>>,
        sink: Box<dyn Sink>,
    ) {
        self.served.join(submission.tenant);
        let mut sequence = Sequence::new(self.next_id, submission, sink);
        sequence.mask = mask;
        self.waiting.push_back(sequence);
        self.next_id += 1;
    }

    /// Lets go of sequences whose receivers are gone, offers again what full sinks did not take, then runs one
    /// forward pass if there is anything to compute.
    pub fn step(&mut self) -> Progress {
        self.let_go();
        self.flush();
        loop {
            self.share_known_pages();
            let standings = self.standings();
            let next = self.next_waiting();
            let situation = Situation {
                limits: self.limits,
                costs: &self.costs,
                is_shared: self.served.is_shared(),
                running: &standings,
                next: next.map(|idx| self.candidate(&self.waiting[idx])),
                n_available: self.prefix.n_available(),
            };
            match plan(&situation) {
                Plan::Admit => self.admit(next),
                Plan::Preempt(idx) => self.preempt(idx),
                Plan::Forward(rows) => {
                    self.forward_timed(&rows);
                    return Progress::Stepped;
                }
                Plan::Wait => return Progress::Idle,
            }
        }
    }

    /// Numbers of this moment.
    pub fn stats(&self) -> Stats {
        let (pages_free, pages_cached) = (self.prefix.n_free(), self.prefix.n_idle());
        let pages_total = self.prefix.n_pages();
        Stats {
            running: self.running.len(),
            waiting: self.waiting.len(),
            leaving: self.leaving.len(),
            pages_total,
            pages_used: pages_total - pages_free - pages_cached,
            pages_cached,
            pages_free,
            ..self.stats.clone()
        }
    }

    /// Ends all sequences as cancelled.
    pub fn cancel_all(&mut self) {
        while let Some(sequence) = self.running.pop() {
            self.finish(sequence, Reason::Cancelled);
        }
        while let Some(sequence) = self.waiting.pop_front() {
            self.finish(sequence, Reason::Cancelled);
        }
        self.leaving.drain(..).for_each(Owner::finish_now);
    }

    /// Tells all owners that the engine failed; keeps no books, which may be wrong.
    pub(crate) fn fail_all(&mut self) {
        let waiting = self.waiting.drain(..);
        for sequence in self.running.drain(..).chain(waiting) {
            sequence.finish(Reason::Fault).finish_now();
        }
        self.leaving.drain(..).for_each(Owner::finish_now);
    }

    /// A forward pass and all that comes of it, from whose duration the next plans learn.
    fn forward_timed(&mut self, rows: &[usize]) {
        let work = self
            .running
            .iter()
            .zip(rows)
            .fold(Work::default(), |work, (sequence, &n_rows)| {
                let n_logits = (n_rows + 1).saturating_sub(sequence.n_missing());
                work.with_rows(sequence.n_computed, n_rows, n_logits)
            });
        let start = (self.stopwatch)();
        self.forward(rows);
        let duration = (self.stopwatch)().saturating_sub(start);
        self.costs.observe(work, duration.as_secs_f64());
    }

    /// Runs the model over so many rows of each running sequence and hands out what comes.
    fn forward(&mut self, rows: &[usize]) {
        let batch = self.batch(rows);
        let running = self.running.iter_mut().zip(rows);
        let masks = running
            .filter(|(sequence, n_rows)| sequence.is_next_chosen_after(**n_rows))
            .filter_map(|(sequence, _)| sequence.mask.as_mut())
            .collect();
        let outcome = prepared_meanwhile(masks, || {
            catch_unwind(AssertUnwindSafe(|| {
                self.model.forward(
                    &self.pool,
                    &batch,
                    &mut self.cache,
                    &mut self.scratch,
                    &mut self.logits,
                );
            }))
        });
        self.stats.steps += 1;
        let n_expected = batch.n_logits() * self.model.shape().n_vocab;
        if outcome.is_err() || self.logits.len() != n_expected {
            // A pass writes only to rows of its batch, whose sequences end here: the pages of all others are good.
            self.scratch = Scratch::default();
            self.end_faulty(rows);
            return;
        }
        self.advance(rows);
    }

    /// Lays the rows out and gets the pages for them, which the plan made sure of.
    fn batch(&mut self, rows: &[usize]) -> Batch {
        let mut batch = Batch::default();
        for (sequence, &n_rows) in self
            .running
            .iter_mut()
            .zip(rows)
            .filter(|&(_, &n_rows)| n_rows > 0)
        {
            let end = sequence.n_computed + n_rows;
            while sequence.pages.len() < pages_for(end) {
                let page = self
                    .prefix
                    .allocate(None)
                    .expect("a plan spends no more pages than there are");
                sequence.pages.push(page);
            }
            let n_drafted = end.saturating_sub(sequence.tokens.len());
            batch
                .tokens
                .extend_from_slice(&sequence.tokens[sequence.n_computed..end - n_drafted]);
            batch.tokens.extend_from_slice(&sequence.draft[..n_drafted]);
            batch.sequences.push(SequenceRows {
                n_rows,
                position: sequence.n_computed,
                pages: sequence.pages.clone(),
                n_logits: (end + 1).saturating_sub(sequence.tokens.len()),
                adapter: sequence.adapter.clone(),
            });
        }
        batch
    }

    /// Books the computed rows, makes full pages known, samples and delivers.
    fn advance(&mut self, rows: &[usize]) {
        let n_vocab = self.model.shape().n_vocab;
        let mut logits = std::mem::take(&mut self.logits);
        let mut logits_rows = logits.chunks_exact_mut(n_vocab);
        let mut ended = Vec::new();
        for (idx, &n_rows) in rows.iter().enumerate().filter(|&(_, &n_rows)| n_rows > 0) {
            let n_missing = self.running[idx].n_missing();
            let n_drafted = n_rows.saturating_sub(n_missing);
            self.book(idx, n_rows - n_drafted);
            let outcome = if n_rows >= n_missing {
                let own_rows = logits_rows.by_ref().take(1 + n_drafted).collect();
                self.verify(idx, own_rows)
            } else {
                self.make_known(idx);
                None
            };
            ended.extend(outcome.map(|reason| (idx, reason)));
        }
        self.logits = logits;
        for (idx, reason) in ended.into_iter().rev() {
            let sequence = self.running.remove(idx);
            self.finish(sequence, reason);
        }
    }

    /// Counts rows that are in the cache now.
    fn book(&mut self, idx: usize, n_rows: usize) {
        let sequence = &mut self.running[idx];
        let n_read = n_rows.min(sequence.n_prompt.saturating_sub(sequence.n_computed));
        self.stats.tokens_prefilled += n_read as u64;
        sequence.n_computed += n_rows;
        self.served.add(&sequence.tenant, n_rows);
        sequence.last_turn = self.served.n_rows_of_all();
    }

    /// Chooses from the first row of a sequence's logits, and from each next one as long as the choice was the token
    /// that the row after it was computed with: exactly what one pass for each token would have chosen. Some reason
    /// when the sequence is over.
    fn verify(&mut self, idx: usize, logits: Vec<&mut [f32]>) -> Option<Reason> {
        let draft = std::mem::take(&mut self.running[idx].draft);
        let n_drafted = logits.len() - 1;
        let (mut n_accepted, mut outcome) = (0, None);
        for (row_idx, row) in logits.into_iter().enumerate() {
            let Ok(chosen) = self.choose(idx, row) else {
                // Pages that gave no numbers are not made known to anyone.
                return Some(Reason::Fault);
            };
            self.make_known(idx);
            outcome = self.take(idx, chosen);
            let sequence = &mut self.running[idx];
            let is_right = row_idx < n_drafted && sequence.tokens.last() == draft.get(row_idx);
            if outcome.is_some() || !is_right {
                break;
            }
            sequence.n_computed += 1;
            n_accepted += 1;
        }
        self.stats.tokens_drafted += n_drafted as u64;
        self.stats.tokens_accepted += n_accepted as u64;
        if self.running[idx].is_guessed_by_model() {
            self.stats.tokens_drafted_by_model += n_drafted as u64;
        }
        self.running[idx].learn(n_drafted, n_accepted);
        self.trim_pages(idx);
        outcome
    }

    /// Gives back pages that only tokens reach that were guessed wrongly.
    fn trim_pages(&mut self, idx: usize) {
        let sequence = &mut self.running[idx];
        let surplus = sequence.pages.split_off(pages_for(sequence.n_computed));
        self.prefix.release(&surplus, None);
    }

    /// The next token of a sequence from its row of logits, which is spent by that.
    fn choose(&mut self, idx: usize, row: &mut [f32]) -> Result<Chosen, SampleError> {
        let sequence = &mut self.running[idx];
        if let Some(observer) = &mut self.observer {
            observer(sequence.id, sequence.tokens.len(), row);
        }
        if sequence.n_top_logprobs.is_some() {
            self.untouched.clear();
            self.untouched.extend_from_slice(row);
        }
        // Before the mask, which has the last word: where only a banned token is allowed, that one comes.
        sequence.bans.apply(row, sequence.output(), &sequence.end_tokens);
        let n_generated = sequence.n_generated() as u64;
        let allowed = match sequence.mask.as_mut().map_or(Next::Any, |mask| mask.next()) {
            Next::Any => None,
            Next::Among(allowed) => Some(allowed),
            Next::Nothing => return Ok(Chosen::Nothing),
            Next::Failed => return Ok(Chosen::Failed),
        };
        let token = self.sampler.choose(&mut Row {
            logits: row,
            sampling: &sequence.sampling,
            history: &sequence.history,
            allowed,
            n_generated,
        })?;
        let logprobs = sequence
            .n_top_logprobs
            .map(|n_top| Box::new(TokenLogprobs::of(&self.untouched, token, n_top)));
        Ok(Chosen::Token(Choice { token, logprobs }))
    }

    /// Gives a sequence its next token, and those that a mask leaves no choice about. Some reason when it is over.
    fn take(&mut self, idx: usize, chosen: Chosen) -> Option<Reason> {
        let sequence = &mut self.running[idx];
        let choice = match chosen {
            Chosen::Token(choice) => choice,
            Chosen::Nothing => return Some(Reason::Complete),
            Chosen::Failed => return Some(Reason::Fault),
        };
        let token = choice.token;
        let mut choices = vec![choice];
        if let Some(mask) = &mut sequence.mask
            && !sequence.end_tokens.contains(&token)
        {
            mask.accept(token);
            // How likely a token was is only known from a step of its own.
            if sequence.n_top_logprobs.is_none() {
                choices.extend(mask.forced().into_iter().map(Choice::forced));
            }
        }
        for choice in choices {
            self.stats.tokens_decoded += 1;
            let reason = sequence.push(choice);
            if reason.is_some() {
                return reason;
            }
        }
        None
    }

    /// Tells the prefix cache of a sequence's pages that are full and that it does not have yet.
    fn make_known(&mut self, idx: usize) {
        let sequence = &mut self.running[idx];
        while let Some(page_tokens) = sequence.unshared_full_page() {
            let page = sequence.pages[sequence.n_shared_pages];
            match self
                .prefix
                .insert(&sequence.cache_scope, sequence.tip, page_tokens, page)
            {
                Some(node) => sequence.replace_by_shared(node, self.prefix.page(node)),
                None => break,
            }
        }
    }
}

/// What comes next in a sequence.
enum Chosen {
    Token(Choice),
    /// Its mask allows nothing more.
    Nothing,
    /// Its mask has failed.
    Failed,
}

/// Runs the forward pass, and meanwhile has masks work out what they will be asked after it.
fn prepared_meanwhile<T>(masks: Vec<&mut Box<dyn TokenMask>>, forward: impl FnOnce() -> T) -> T {
    if masks.is_empty() {
        return forward();
    }
    std::thread::scope(|scope| {
        let prepare = move || {
            for mask in masks {
                // A mask that panics here does so again when it is asked, or it has recovered.
                let _ = catch_unwind(AssertUnwindSafe(|| mask.prepare()));
            }
        };
        // Without a thread they do the work when they are asked.
        let _ = std::thread::Builder::new()
            .name("masks".to_owned())
            .spawn_scoped(scope, prepare);
        forward()
    })
}
