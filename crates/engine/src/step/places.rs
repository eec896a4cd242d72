//! Who has a place in the forward pass: admitting, sharing pages, preempting, letting go.

use super::Stepper;
use crate::scheduler::{Candidate, Readiness, Standing};
use crate::sequence::{Owner, Sequence, pages_for};
use crate::{Finish, Output, Reason, Sink, Submission};
use std::cmp::Reverse;
use std::collections::HashSet;
use tokenmill_kernels::kv_cache::PAGE_TOKENS;

impl Stepper {
    /// Ends the sequences whose receivers are gone.
    pub(super) fn let_go(&mut self) {
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
    pub(super) fn flush(&mut self) {
        let waiting = self.waiting.iter_mut();
        for sequence in self.running.iter_mut().chain(waiting) {
            sequence.owner.flush();
        }
        self.leaving.iter_mut().for_each(Owner::flush);
        self.leaving
            .retain(|owner| !owner.is_done() && !owner.is_closed());
    }

    /// Gives sequences that stand at the start of a page that another has computed meanwhile that page.
    pub(super) fn share_known_pages(&mut self) {
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

    pub(super) fn standings(&mut self) -> Vec<Standing> {
        if self.speculates {
            self.running.iter_mut().for_each(Sequence::guess);
        }
        if let Some(model) = &mut self.draft_model {
            model.guess(&mut self.running, &self.costs, &mut self.stopwatch);
        }
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
                tenant: sequence.tenant,
                priority: sequence.priority,
                n_served: self.served.n_rows(&sequence.tenant),
                last_turn: sequence.last_turn,
                n_computed: sequence.n_computed,
                n_missing: sequence.n_missing(),
                is_generating: sequence.is_generating(),
                n_draft: sequence.draft.len(),
                acceptance: sequence.acceptance(),
                n_pages: sequence.pages.len(),
                readiness,
            });
        }
        standings
    }

    /// Who goes first of those in the queue that could go on: by priority, then of the least served tenant, then by
    /// age.
    pub(super) fn next_waiting(&self) -> Option<usize> {
        let waiting = self.waiting.iter().enumerate();
        waiting
            .filter(|(_, sequence)| sequence.owner.has_room())
            .min_by_key(|(_, sequence)| {
                let n_served = self.served.n_rows(&sequence.tenant);
                (Reverse(sequence.priority), n_served, sequence.id)
            })
            .map(|(idx, _)| idx)
    }

    pub(super) fn candidate(&self, sequence: &Sequence) -> Candidate {
        let found = self
            .prefix
            .find(&sequence.cache_scope, sequence.reusable_tokens());
        let n_held = found.nodes.len() - self.prefix.count_idle(&found.nodes);
        Candidate {
            n_pages: pages_for(sequence.tokens.len()) - n_held,
            id: sequence.id,
            tenant: sequence.tenant,
            priority: sequence.priority,
            n_served: self.served.n_rows(&sequence.tenant),
        }
    }

    /// Moves a sequence from the queue to the running ones, with all pages that are known to begin as it does.
    pub(super) fn admit(&mut self, next: Option<usize>) {
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
    pub(super) fn preempt(&mut self, idx: usize) {
        let mut sequence = self.running.remove(idx);
        self.release_pages(&mut sequence);
        sequence.was_preempted = true;
        self.stats.preemptions += 1;
        let place = self.waiting.partition_point(|other| other.id < sequence.id);
        self.waiting.insert(place, sequence);
    }

    /// Ends all sequences that took part in a pass that failed.
    pub(super) fn end_faulty(&mut self, rows: &[usize]) {
        for idx in (0..rows.len()).rev().filter(|&idx| rows[idx] > 0) {
            let sequence = self.running.remove(idx);
            self.finish(sequence, Reason::Fault);
        }
    }

    /// Frees a sequence's pages and says goodbye to its owner.
    pub(super) fn finish(&mut self, mut sequence: Sequence, reason: Reason) {
        self.stats.finished += 1;
        self.served.leave(&sequence.tenant);
        match reason {
            Reason::EndToken(_) | Reason::Length | Reason::Complete => {}
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
    pub(super) fn release_pages(&mut self, sequence: &mut Sequence) {
        let mut own = sequence.pages.split_off(sequence.n_shared_pages);
        let begun = &sequence.tokens[sequence.n_shared_pages * PAGE_TOKENS..sequence.n_computed];
        if !begun.is_empty() && begun.len() < PAGE_TOKENS {
            self.prefix
                .give(&sequence.cache_scope, sequence.tip, begun, own.remove(0));
        }
        self.prefix.release(&own, sequence.tip);
        sequence.forget_pages();
        if let Some(model) = &mut self.draft_model {
            model.forget(sequence.id);
        }
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
