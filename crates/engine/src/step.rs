//! The loop's body: let go of who left, plan, forward, sample, deliver.

use crate::prefix::PrefixCache;
use crate::sample::Sampler;
use crate::scheduler::{Candidate, Limits, Plan, Readiness, Situation, Standing, plan};
use crate::sequence::{Owner, Sequence, SequenceId, pages_for};
use crate::{Finish, Options, Output, Reason, Sink, StartError, Submission};
use std::collections::{HashSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use tokenmill_kernels::kv_cache::{KvCache, PAGE_TOKENS};
use tokenmill_kernels::pool::Pool;
use tokenmill_model::{Batch, Model, Scratch, SequenceRows};

/// The engine without its thread: every call to [`Stepper::step`] runs at most one forward pass.
pub struct Stepper {
    model: Arc<dyn Model>,
    pool: Arc<Pool>,
    cache: KvCache,
    scratch: Scratch,
    /// `[n_logits, n_vocab]` of the last pass.
    logits: Vec<f32>,
    sampler: Sampler,
    limits: Limits,
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

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// A forward pass ran; there may be more to do.
    Stepped,
    /// Nothing can be computed until a submission comes or a full sink has room.
    Idle,
}

/// Numbers about an engine. Those in the first group are of the moment, the others count from its start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Sequences that have a place in the forward pass.
    pub running: usize,
    /// Sequences that wait for one.
    pub waiting: usize,
    /// Finished sequences whose sinks have not taken everything yet.
    pub leaving: usize,
    /// Pages there are: used, cached and free ones.
    pub pages_total: usize,
    /// Pages held by running sequences.
    pub pages_used: usize,
    /// Pages kept for prompts that begin alike, and given up when needed.
    pub pages_cached: usize,
    /// Pages that hold nothing.
    pub pages_free: usize,

    /// Forward passes.
    pub steps: u64,
    /// Rows computed to read prompts, repeated ones after a preemption included.
    pub tokens_prefilled: u64,
    /// Tokens generated.
    pub tokens_decoded: u64,
    /// Tokens whose keys and values were found in the prefix cache.
    pub prefix_hit_tokens: u64,
    /// Sequences that lost their pages to others and were queued again.
    pub preemptions: u64,
    /// Sequences that ended, by whatever reason.
    pub finished: u64,
    /// Of these, ended because the receiver was gone or the engine shut down.
    pub cancelled: u64,
    /// Of these, ended by a fault of the model.
    pub faults: u64,
}

impl Stepper {
    /// Reserves the pages.
    ///
    /// # Errors
    /// Options that cannot work or memory that the system refuses.
    pub fn new(model: Arc<dyn Model>, pool: Arc<Pool>, options: &Options) -> Result<Stepper, StartError> {
        let shape = model.shape();
        let n_pages = options.n_pages(&shape.kv, shape.n_context)?;
        let cache = KvCache::new(shape.kv, n_pages)?;
        Ok(Stepper {
            model,
            pool,
            cache,
            scratch: Scratch::default(),
            logits: Vec::new(),
            sampler: Sampler::default(),
            limits: Limits {
                max_running: options.max_running,
                step_tokens: options.step_tokens,
            },
            prefix: PrefixCache::new(n_pages, options.prefix_cache),
            running: Vec::new(),
            waiting: VecDeque::new(),
            leaving: Vec::new(),
            next_id: 0,
            stats: Stats::default(),
        })
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

    /// Queues a sequence.
    ///
    /// # Errors
    /// A submission that cannot be run; the sink hears nothing. Bounds of the queue are [`crate::Engine`]'s business.
    pub fn submit(&mut self, submission: Submission, sink: Box<dyn Sink>) -> Result<(), crate::SubmitError> {
        submission.check(self.model.shape().n_vocab, self.max_sequence_tokens())?;
        self.enqueue(submission, sink);
        Ok(())
    }

    /// Queues a submission that was checked.
    pub(crate) fn enqueue(&mut self, submission: Submission, sink: Box<dyn Sink>) {
        self.waiting
            .push_back(Sequence::new(self.next_id, submission, sink));
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
                running: &standings,
                next: next.map(|idx| self.candidate(&self.waiting[idx])),
                n_available: self.prefix.n_available(),
            };
            match plan(&situation) {
                Plan::Admit => self.admit(next),
                Plan::Preempt(idx) => self.preempt(idx),
                Plan::Forward(rows) => {
                    self.forward(&rows);
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

    /// Recounts who holds which page and compares with all books; checks places, order and lengths.
    ///
    /// # Errors
    /// The first thing that does not add up.
    pub fn check_integrity(&self) -> Result<(), String> {
        let mut n_held = vec![0; self.prefix.n_pages()];
        for sequence in &self.running {
            for &page in &sequence.pages {
                n_held[page as usize] += 1;
            }
            sequence.check()?;
        }
        if let Some(sequence) = self
            .waiting
            .iter()
            .find(|sequence| sequence.n_computed + sequence.pages.len() > 0)
        {
            return Err(format!("sequence {} waits, yet holds pages", sequence.id));
        }
        if self.running.len() > self.limits.max_running {
            return Err(format!(
                "{} sequences run, more than {}",
                self.running.len(),
                self.limits.max_running
            ));
        }
        let by_age = self.running.is_sorted_by_key(|sequence| sequence.id)
            && self.waiting.iter().is_sorted_by_key(|sequence| sequence.id);
        if !by_age {
            return Err("running or waiting sequences are not in the order of their age".to_owned());
        }
        self.prefix.check(&n_held)
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

    /// Ends the sequences whose receivers are gone.
    fn let_go(&mut self) {
        let mut idx = 0;
        while idx < self.running.len() {
            if self.running[idx].owner.is_closed() {
                let sequence = self.running.remove(idx);
                self.finish(sequence, Reason::Cancelled);
            } else {
                idx += 1;
            }
        }
        while let Some(idx) = self
            .waiting
            .iter()
            .position(|sequence| sequence.owner.is_closed())
        {
            if let Some(sequence) = self.waiting.remove(idx) {
                self.finish(sequence, Reason::Cancelled);
            }
        }
    }

    /// Offers again what sinks had no room for.
    fn flush(&mut self) {
        let waiting = self.waiting.iter_mut();
        for sequence in self.running.iter_mut().chain(waiting) {
            sequence.owner.flush();
        }
        self.leaving.iter_mut().for_each(Owner::flush);
        self.leaving
            .retain(|owner| !owner.is_done() && !owner.is_closed());
    }

    /// Gives sequences that stand at the start of a page that another has computed meanwhile that page.
    fn share_known_pages(&mut self) {
        for sequence in &mut self.running {
            while let Some(page_tokens) = sequence.next_shareable_page()
                && let Some(node) = self
                    .prefix
                    .find_next(&sequence.cache_scope, sequence.tip, page_tokens)
            {
                let page = self.prefix.hold(node);
                sequence.share(node, page);
                sequence.note_hit(PAGE_TOKENS);
                self.stats.prefix_hit_tokens += PAGE_TOKENS as u64;
            }
        }
    }

    fn standings(&self) -> Vec<Standing> {
        let mut being_computed = HashSet::new();
        let mut standings = Vec::with_capacity(self.running.len());
        for sequence in &self.running {
            let readiness = if !sequence.owner.has_room() {
                Readiness::Paused
            } else if self.prefix.is_enabled()
                && sequence.n_missing() > 1
                && let Some(page_tokens) = sequence.current_page()
                && !being_computed.insert((sequence.cache_scope, sequence.tip, page_tokens))
                && sequence.next_shareable_page().is_some()
            {
                Readiness::Following
            } else {
                Readiness::Ready
            };
            standings.push(Standing {
                id: sequence.id,
                n_computed: sequence.n_computed,
                n_missing: sequence.n_missing(),
                n_pages: sequence.pages.len(),
                readiness,
            });
        }
        standings
    }

    /// The first in the queue that could go on.
    fn next_waiting(&self) -> Option<usize> {
        self.waiting.iter().position(|sequence| sequence.owner.has_room())
    }

    fn candidate(&self, sequence: &Sequence) -> Candidate {
        let found = self
            .prefix
            .find(&sequence.cache_scope, sequence.reusable_tokens());
        let n_held = found.nodes.len() - self.prefix.count_idle(&found.nodes);
        Candidate {
            n_pages: pages_for(sequence.tokens.len()) - n_held,
        }
    }

    /// Moves a sequence from the queue to the running ones, with all pages that are known to begin as it does.
    fn admit(&mut self, next: Option<usize>) {
        let Some(mut sequence) = next.and_then(|idx| self.waiting.remove(idx)) else {
            return;
        };
        let found = self
            .prefix
            .find(&sequence.cache_scope, sequence.reusable_tokens());
        let mut n_hit = found.nodes.len() * PAGE_TOKENS;
        for node in found.nodes {
            let page = self.prefix.hold(node);
            sequence.share(node, page);
        }
        if let Some((node, n_tokens)) = found.partial
            && let Some(page) = self.prefix.allocate(Some(node))
        {
            self.cache.copy_tokens(self.prefix.page(node), page, n_tokens);
            sequence.pages.push(page);
            sequence.n_computed += n_tokens;
            n_hit += n_tokens;
        }
        sequence.note_hit(n_hit);
        self.stats.prefix_hit_tokens += n_hit as u64;
        let place = self.running.partition_point(|other| other.id < sequence.id);
        self.running.insert(place, sequence);
    }

    /// Takes a running sequence's pages and queues it again by its age. Its tokens stay, so it goes on as if nothing
    /// had been.
    fn preempt(&mut self, idx: usize) {
        let mut sequence = self.running.remove(idx);
        self.release_pages(&mut sequence);
        sequence.was_preempted = true;
        self.stats.preemptions += 1;
        let place = self.waiting.partition_point(|other| other.id < sequence.id);
        self.waiting.insert(place, sequence);
    }

    /// Runs the model over so many rows of each running sequence and hands out what comes.
    fn forward(&mut self, rows: &[usize]) {
        let batch = self.batch(rows);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            self.model.forward(
                &self.pool,
                &batch,
                &mut self.cache,
                &mut self.scratch,
                &mut self.logits,
            );
        }));
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
            batch
                .tokens
                .extend_from_slice(&sequence.tokens[sequence.n_computed..end]);
            batch.sequences.push(SequenceRows {
                n_rows,
                position: sequence.n_computed,
                pages: sequence.pages.clone(),
                n_logits: usize::from(end == sequence.tokens.len()),
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
            let sequence = &mut self.running[idx];
            sequence.n_computed += n_rows;
            let n_read = n_rows.min(sequence.n_prompt.saturating_sub(sequence.n_computed - n_rows));
            self.stats.tokens_prefilled += n_read as u64;
            let mut choice = None;
            if sequence.n_missing() == 0
                && let Some(row) = logits_rows.next()
            {
                let draw = sequence.n_generated() as u64;
                choice = Some(
                    self.sampler
                        .sample(row, &sequence.sampling, &sequence.history, draw),
                );
            }
            if let Some(Err(_)) = choice {
                ended.push((idx, Reason::Fault));
                continue;
            }
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
            if let Some(Ok(token)) = choice {
                self.stats.tokens_decoded += 1;
                ended.extend(sequence.push(token).map(|reason| (idx, reason)));
            }
        }
        self.logits = logits;
        for (idx, reason) in ended.into_iter().rev() {
            let sequence = self.running.remove(idx);
            self.finish(sequence, reason);
        }
    }

    /// Ends all sequences that took part in a pass that failed.
    fn end_faulty(&mut self, rows: &[usize]) {
        for idx in (0..rows.len()).rev().filter(|&idx| rows[idx] > 0) {
            let sequence = self.running.remove(idx);
            self.finish(sequence, Reason::Fault);
        }
    }

    /// Frees a sequence's pages and says goodbye to its owner.
    fn finish(&mut self, mut sequence: Sequence, reason: Reason) {
        self.stats.finished += 1;
        match reason {
            Reason::EndToken(_) | Reason::Length => {}
            Reason::Cancelled => self.stats.cancelled += 1,
            Reason::Fault => {
                self.stats.faults += 1;
                // What it computed last is not to be trusted; its shared pages were good when they became shared.
                sequence.n_computed = sequence.n_shared_pages * PAGE_TOKENS;
            }
        }
        self.release_pages(&mut sequence);
        let owner = sequence.finish(reason);
        if !owner.is_done() {
            self.leaving.push(owner);
        }
    }

    /// Gives the pages back; what the sequence computed stays known as long as nobody needs the room.
    fn release_pages(&mut self, sequence: &mut Sequence) {
        let mut own = sequence.pages.split_off(sequence.n_shared_pages);
        let begun = &sequence.tokens[sequence.n_shared_pages * PAGE_TOKENS..sequence.n_computed];
        if !begun.is_empty() && begun.len() < PAGE_TOKENS {
            self.prefix
                .give(&sequence.cache_scope, sequence.tip, begun, own.remove(0));
        }
        self.prefix.release(&own, sequence.tip);
        sequence.forget_pages();
    }
}

/// Says goodbye to an owner whose submission the engine never began.
pub(crate) fn finish_unstarted(submission: &Submission, sink: &mut dyn Sink, failed: bool) {
    let reason = if failed { Reason::Fault } else { Reason::Cancelled };
    let finish = Finish {
        reason,
        n_prompt: submission.prompt.len(),
        n_cached: 0,
        n_generated: 0,
    };
    // An owner that has no room now is not waited for: the engine has ended.
    let _ = sink.deliver(Output::Finish(finish));
}
