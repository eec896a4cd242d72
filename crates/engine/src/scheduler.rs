//! What the next step does: [`plan`], a pure function from the engine's situation. No IO, no clock.
//!
//! First come, first served: waiting sequences are admitted in the order of submission, and a sequence takes pages
//! only from younger ones, so the oldest always gets on and nobody starves. Generating sequences get their one row
//! first, prompts share what is left of the budget, oldest first. Sequences whose owner has no room keep their place
//! as long as nobody else needs it.

use crate::sequence::{SequenceId, pages_for};
use tokenmill_kernels::kv_cache::PAGE_TOKENS;

/// The engine's bounds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) max_running: usize,
    /// Rows per step; more than `max_running`.
    pub(crate) step_tokens: usize,
}

/// All that a plan depends on.
#[derive(Clone, Debug)]
pub(crate) struct Situation<'a> {
    pub(crate) limits: Limits,
    /// By age, oldest first.
    pub(crate) running: &'a [Standing],
    /// The first in the queue whose owner has room.
    pub(crate) next: Option<Candidate>,
    /// Pages that are free or would be freed on demand.
    pub(crate) n_available: usize,
}

/// A running sequence, as far as planning goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    pub(crate) id: SequenceId,
    pub(crate) n_computed: usize,
    /// Rows until its next token; 1 while generating.
    pub(crate) n_missing: usize,
    pub(crate) n_pages: usize,
    pub(crate) readiness: Readiness,
}

/// Whether a running sequence can use rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    Ready,
    /// An older sequence is about to compute the very page that this one needs next; then it will share that.
    Following,
    /// Its owner has no room.
    Paused,
}

/// The sequence that would be admitted next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    /// Pages that its tokens so far need and that no running sequence holds already.
    pub(crate) n_pages: usize,
}

/// The next thing to do. After anything but `Forward` and `Wait` the situation is another, and is planned anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Let the candidate run.
    Admit,
    /// Take the pages of this running sequence (an index) and queue it again.
    Preempt(usize),
    /// Compute so many rows of each running sequence; at least one in all.
    Forward(Vec<usize>),
    /// Nothing can be computed until somebody outside acts.
    Wait,
}

/// Decides the next thing to do.
pub(crate) fn plan(situation: &Situation<'_>) -> Plan {
    if let Some(candidate) = situation.next {
        if situation.has_place(candidate, |_| true) {
            return Plan::Admit;
        }
        let is_active = |standing: &Standing| standing.readiness != Readiness::Paused;
        if let Some(paused) = situation
            .running
            .iter()
            .rposition(|standing| !is_active(standing))
            && situation.has_place(candidate, is_active)
        {
            return Plan::Preempt(paused);
        }
    }
    match situation.share_rows() {
        Err(victim) => Plan::Preempt(victim),
        Ok(rows) if rows.iter().all(|&n_rows| n_rows == 0) => Plan::Wait,
        Ok(rows) => Plan::Forward(rows),
    }
}

impl Situation<'_> {
    /// Whether the candidate fits beside those running sequences that would `stay`.
    fn has_place(&self, candidate: Candidate, stay: impl Fn(&Standing) -> bool) -> bool {
        let mut n_staying = 0;
        let mut n_available = self.n_available;
        let mut n_needed = candidate.n_pages;
        for standing in self.running {
            if stay(standing) {
                n_staying += 1;
                // What it still needs for the tokens that it has, and one page to grow into.
                n_needed += pages_for(standing.n_computed + standing.n_missing) - standing.n_pages + 1;
            } else {
                n_available += standing.n_pages;
            }
        }
        // Alone it fits: submissions that never could were refused.
        n_staying == 0 || (n_staying < self.limits.max_running && n_needed <= n_available)
    }

    /// Rows for each running sequence, or the index of one that must give its pages to an older one first.
    fn share_rows(&self) -> Result<Vec<usize>, usize> {
        let mut rows = vec![0; self.running.len()];
        let mut budget = self.limits.step_tokens;
        let mut n_available = self.n_available;
        let (generating, prompts): (Vec<usize>, Vec<usize>) = (0..self.running.len())
            .filter(|&idx| self.running[idx].readiness == Readiness::Ready)
            .partition(|&idx| self.running[idx].n_missing == 1);
        for idx in generating.into_iter().chain(prompts) {
            let standing = &self.running[idx];
            let mut n_rows = standing.n_missing.min(budget);
            let n_reachable = (standing.n_pages + n_available) * PAGE_TOKENS;
            if standing.n_computed + n_rows > n_reachable {
                if let Some(victim) = self.victim(idx) {
                    return Err(victim);
                }
                n_rows = n_reachable - standing.n_computed;
            }
            n_available -= pages_for(standing.n_computed + n_rows).saturating_sub(standing.n_pages);
            budget -= n_rows;
            rows[idx] = n_rows;
        }
        Ok(rows)
    }

    /// Who gives way to the sequence at `idx`: the youngest that only waits for its owner, else the youngest of all
    /// if it is younger than this one.
    fn victim(&self, idx: usize) -> Option<usize> {
        let has_pages = |other: &Standing| other.n_pages > 0;
        let paused = |other: &Standing| other.readiness == Readiness::Paused && has_pages(other);
        let younger = |other: &Standing| other.id > self.running[idx].id && has_pages(other);
        self.running
            .iter()
            .rposition(paused)
            .or_else(|| self.running.iter().rposition(younger))
    }
}
