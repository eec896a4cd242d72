//! What the next step does: [`plan`], a pure function from the engine's situation. No IO, no clock.
//!
//! Generating sequences and prompts share each pass. While somebody generates, passes are short, a part of the target for
//! the time between tokens, as far as prompts cost little more in short passes, and by what earlier passes took: so much
//! of the prompts is read as fits. While nobody does, only the budget of rows bounds it.
//!
//! Where several tenants come and go, the next may come at any moment, and waits for the pass that is under way. So passes
//! are always short then, and those who generate take turns, all but each tenant's oldest. While a prompt is read whose
//! tenant has had less than others, these others' prompts wait, and of their generating sequences all but the oldest; the
//! pass may then take the whole target.
//!
//! A sequence takes pages only from those of lower priority and from younger ones, so the oldest of the highest priority
//! always gets on. Generating sequences get their one row first; prompts share what is left of the budget, those of the
//! least served tenant first. A tenant that has no place gets one of whoever has most. Sequences whose owner has no
//! room keep their place as long as nobody else needs it.

use crate::cost::{StepCosts, Work};
use crate::draft::expected_gain;
use crate::fairness::{HEAD_START, Tenant};
use crate::sequence::{SequenceId, pages_for};
use std::cmp::Reverse;
use std::collections::HashSet;
use tokenmill_kernels::kv_cache::PAGE_TOKENS;

/// Rows of prompts in a step beside generating sequences while no step has been timed.
const FIRST_CHUNK: usize = 16;
/// Rows that the oldest prompt gets however late the step is already.
const LEAST_CHUNK: usize = 4;
/// Beside generating sequences that miss the target alone, prompts may take as much time again.
const LATE_FACTOR: f64 = 2.0;

/// A short pass takes this part of the target for the time between tokens.
const SHORT: f64 = 1.0 / 4.0;
/// Rows in several passes may cost so much more than in one, for the passes to be short.
const SPLIT_COST: f64 = 1.25;
/// Rows that a tenant must have had less than another for that one's sequences to give way: tenants that ask all the time
/// differ by less.
const LEAD: u64 = HEAD_START / 4;

/// Tokens a second must grow by this factor for guesses to be verified.
pub(crate) const LEAST_GAIN: f64 = 1.03;

/// The engine's bounds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) max_running: usize,
    /// Rows per step; more than `max_running`.
    pub(crate) step_tokens: usize,
    /// Seconds that a step should take at most while a sequence generates.
    pub(crate) inter_token_s: f64,
}

/// All that a plan depends on.
#[derive(Clone, Debug)]
pub(crate) struct Situation<'a> {
    pub(crate) limits: Limits,
    /// What steps have taken so far.
    pub(crate) costs: &'a StepCosts,
    /// More than one tenant is there or was lately.
    pub(crate) is_shared: bool,
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
    pub(crate) tenant: Tenant,
    pub(crate) priority: i8,
    /// Rows that its tenant has had.
    pub(crate) n_served: u64,
    /// Grows from step to step; of the last one that had rows for it.
    pub(crate) last_turn: u64,
    pub(crate) n_computed: usize,
    /// Rows until its next token; 1 as a rule while generating.
    pub(crate) n_missing: usize,
    pub(crate) is_generating: bool,
    /// Tokens that were guessed to come next, and how probably each is right if those before it are.
    pub(crate) n_draft: usize,
    pub(crate) acceptance: f64,
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
    pub(crate) id: SequenceId,
    pub(crate) tenant: Tenant,
    pub(crate) priority: i8,
    /// Rows that its tenant has had.
    pub(crate) n_served: u64,
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
        if let Some(victim) = situation.who_yields(candidate) {
            return Plan::Preempt(victim);
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

    /// Who gives their place to the candidate where there is none: the youngest of the lowest priority, if that is
    /// lower; else, to a tenant that runs nothing, the youngest of the tenant that runs most, if that keeps another and
    /// has been served more. Who yields comes after the candidate in the queue too, or the two would change places for
    /// ever. `None` where the candidate would not fit even after all of these.
    fn who_yields(&self, candidate: Candidate) -> Option<usize> {
        let mut staying: Vec<usize> = (0..self.running.len()).collect();
        let mut first = None;
        while !self.has_place(candidate, |standing| {
            staying.iter().any(|&idx| self.running[idx].id == standing.id)
        }) {
            let victim = self.next_to_yield(candidate, &staying)?;
            staying.retain(|&idx| idx != victim);
            first = first.or(Some(victim));
        }
        first
    }

    /// Who yields next to the candidate, of those who still stay.
    fn next_to_yield(&self, candidate: Candidate, staying: &[usize]) -> Option<usize> {
        let lowest = *staying.iter().max_by_key(|&&idx| self.running[idx].rank())?;
        if self.running[lowest].priority < candidate.priority {
            return Some(lowest);
        }
        let n_places = |tenant: &Tenant| {
            let others = staying.iter().map(|&idx| &self.running[idx]);
            others.filter(|other| other.tenant == *tenant).count()
        };
        if n_places(&candidate.tenant) > 0 {
            return None;
        }
        let equals = staying
            .iter()
            .copied()
            .filter(|&idx| self.running[idx].priority == candidate.priority);
        equals
            .max_by_key(|&idx| (n_places(&self.running[idx].tenant), self.running[idx].id))
            .filter(|&idx| {
                let standing = &self.running[idx];
                n_places(&standing.tenant) > 1
                    && (candidate.n_served, candidate.id) < (standing.n_served, standing.id)
            })
    }

    /// Rows for each running sequence, or the index of one that must give its pages to an older one first.
    fn share_rows(&self) -> Result<Vec<usize>, usize> {
        let mut shares = Shares {
            rows: vec![0; self.running.len()],
            work: Work::default(),
            n_available: self.n_available,
        };
        let (mut generating, mut prompts): (Vec<usize>, Vec<usize>) = (0..self.running.len())
            .filter(|&idx| self.running[idx].readiness == Readiness::Ready)
            .partition(|&idx| self.running[idx].is_generating);
        prompts.sort_by_key(|&idx| {
            let standing = &self.running[idx];
            (Reverse(standing.priority), standing.n_served, standing.id)
        });
        let n_generating = generating.len();
        if self.is_shared {
            self.take_turns(&mut generating, &prompts);
        }
        for &idx in &generating {
            self.give(&mut shares, idx, self.running[idx].n_missing)?;
        }
        if prompts.is_empty() && generating.len() == n_generating {
            self.give_drafts(&mut shares, &generating);
        }
        let seconds = self.seconds(shares.work, &prompts);
        let first = prompts.first().copied();
        for idx in prompts {
            let is_first_served = first.is_some_and(|first| shares.rows[first] > 0);
            if is_first_served && self.gives_way(idx, first) {
                continue;
            }
            let n_rows = self.chunk(&shares, seconds, idx);
            self.give(&mut shares, idx, n_rows)?;
        }
        Ok(shares.rows)
    }

    /// Leaves of those who generate as many as a short pass has time for: each tenant's oldest, then those who have
    /// waited longest.
    fn take_turns(&self, generating: &mut Vec<usize>, prompts: &[usize]) {
        let mut tenants = HashSet::new();
        let (oldest, mut others): (Vec<usize>, Vec<usize>) = generating
            .iter()
            .partition(|&&idx| tenants.insert(self.running[idx].tenant));
        others.retain(|&idx| !self.gives_way(idx, prompts.first().copied()));
        others.sort_by_key(|&idx| {
            let standing = &self.running[idx];
            (Reverse(standing.priority), standing.last_turn, standing.id)
        });
        let seconds = self.short_s() * if prompts.is_empty() { 1.0 } else { 0.5 };
        let seconds = seconds.max(self.split_s(oldest.len() + others.len(), 1));
        let mut work = Work::default();
        *generating = oldest;
        for &idx in generating.iter() {
            work = self.work_of_turn(work, idx);
        }
        for idx in others {
            work = self.work_of_turn(work, idx);
            if self
                .costs
                .estimate(work)
                .is_some_and(|estimate| estimate > seconds)
            {
                break;
            }
            generating.push(idx);
        }
        // Pages go to the oldest first.
        generating.sort_unstable();
    }

    fn work_of_turn(&self, work: Work, idx: usize) -> Work {
        let standing = &self.running[idx];
        work.with_rows(standing.n_computed, standing.n_missing, 1)
    }

    /// Whether one sequence's tenant has had so much more than that of the first prompt that it lets that pass.
    fn gives_way(&self, idx: usize, first_prompt: Option<usize>) -> bool {
        let standing = &self.running[idx];
        first_prompt.is_some_and(|first| {
            let first = &self.running[first];
            standing.priority <= first.priority && standing.n_served >= first.n_served + LEAD
        })
    }

    fn short_s(&self) -> f64 {
        self.limits.inter_token_s * SHORT
    }

    /// How long a pass must be for so many rows in passes of that length to cost little more than in one; with so many
    /// rows of logits for each.
    fn split_s(&self, n_rows: usize, n_logits: usize) -> f64 {
        let seconds = |n_rows: usize| {
            let work = Work {
                n_rows,
                n_logits: n_rows * n_logits,
                n_positions: 0,
            };
            self.costs.estimate(work).unwrap_or(0.0)
        };
        let most = SPLIT_COST * seconds(n_rows) / n_rows as f64;
        let enough = (1..n_rows).find(|&n| seconds(n) / n as f64 <= most);
        seconds(enough.unwrap_or(n_rows))
    }

    /// How long a step may take that does this work for generating sequences; `None` if it does not matter.
    fn seconds(&self, generating: Work, prompts: &[usize]) -> Option<f64> {
        let alone = self.costs.estimate(generating).unwrap_or(0.0);
        let least = LATE_FACTOR * alone;
        let target = self.limits.inter_token_s;
        let first = prompts.first().copied();
        let is_favoured = (0..self.running.len()).any(|idx| self.gives_way(idx, first));
        if is_favoured {
            return (generating.n_rows > 0).then_some(target.max(least));
        }
        let split_s = || self.split_s(self.limits.step_tokens, 0).min(target);
        let is_short = self.is_shared || generating.n_rows > 0;
        is_short.then(|| self.short_s().max(split_s()).max(least))
    }

    /// Rows of a prompt that fit beside what has its share already.
    fn chunk(&self, shares: &Shares, seconds: Option<f64>, idx: usize) -> usize {
        let standing = &self.running[idx];
        let n_left = self.limits.step_tokens.saturating_sub(shares.work.n_rows);
        let n_most = standing.n_missing.min(n_left);
        let Some(seconds) = seconds else { return n_most };
        let n_prompt_rows: usize = self
            .running
            .iter()
            .zip(&shares.rows)
            .filter(|(standing, _)| !standing.is_generating)
            .map(|(_, n_rows)| n_rows)
            .sum();
        let is_in_time = |n_rows: usize| match self.costs.estimate(shares.work_with(standing, n_rows)) {
            Some(estimate) => estimate <= seconds,
            None => n_prompt_rows + n_rows <= FIRST_CHUNK,
        };
        let n_least = LEAST_CHUNK.saturating_sub(n_prompt_rows).min(n_most);
        largest(n_most, is_in_time).max(n_least)
    }

    /// Rows for guessed tokens, as many as make the expected tokens a second most. None beside prompts, which use
    /// the arithmetic that guesses would waste, and none that would take pages from anyone.
    fn give_drafts(&self, shares: &mut Shares, generating: &[usize]) {
        let mut n_expected = generating.iter().filter(|&&idx| shares.rows[idx] > 0).count() as f64;
        for &idx in generating {
            let standing = &self.running[idx];
            let end = standing.n_computed + shares.rows[idx];
            if shares.rows[idx] < standing.n_missing {
                continue;
            }
            let n_pages = pages_for(end).max(standing.n_pages);
            let n_most = ((n_pages + shares.n_available) * PAGE_TOKENS - end)
                .min(self.limits.step_tokens.saturating_sub(shares.work.n_rows))
                .min(standing.n_draft);
            let gain = |n_rows: usize| expected_gain(standing.acceptance, n_rows);
            let rate = |n_rows: usize| {
                let seconds = self.costs.estimate(shares.work.with_rows(end, n_rows, n_rows));
                seconds.map_or(0.0, |seconds| (n_expected + gain(n_rows)) / seconds)
            };
            let best = (1..=n_most).max_by(|&a, &b| rate(a).total_cmp(&rate(b)));
            if let Some(n_rows) = best.filter(|&n_rows| rate(n_rows) > rate(0) * LEAST_GAIN) {
                n_expected += gain(n_rows);
                shares.n_available -= pages_for(end + n_rows) - n_pages;
                shares.work = shares.work.with_rows(end, n_rows, n_rows);
                shares.rows[idx] += n_rows;
            }
        }
    }

    /// Gives a sequence at most so many rows and the pages for them.
    fn give(&self, shares: &mut Shares, idx: usize, n_rows: usize) -> Result<(), usize> {
        let standing = &self.running[idx];
        let mut n_rows = n_rows.min(self.limits.step_tokens.saturating_sub(shares.work.n_rows));
        let n_reachable = (standing.n_pages + shares.n_available) * PAGE_TOKENS;
        if standing.n_computed + n_rows > n_reachable {
            if let Some(victim) = self.victim(idx) {
                return Err(victim);
            }
            n_rows = n_reachable - standing.n_computed;
        }
        shares.n_available -= pages_for(standing.n_computed + n_rows).saturating_sub(standing.n_pages);
        shares.work = shares.work_with(standing, n_rows);
        shares.rows[idx] = n_rows;
        Ok(())
    }

    /// Who gives way to the sequence at `idx`: the youngest that only waits for its owner, else the last of all by
    /// priority and age if it comes after this one.
    fn victim(&self, idx: usize) -> Option<usize> {
        let has_pages = |other: &Standing| other.n_pages > 0;
        let paused = |other: &Standing| other.readiness == Readiness::Paused && has_pages(other);
        let rank = self.running[idx].rank();
        let later = |&other: &usize| self.running[other].rank() > rank && has_pages(&self.running[other]);
        let last = || {
            (0..self.running.len())
                .filter(later)
                .max_by_key(|&other| self.running[other].rank())
        };
        self.running.iter().rposition(paused).or_else(last)
    }
}

impl Standing {
    /// Less goes before more.
    fn rank(&self) -> (Reverse<i8>, SequenceId) {
        (Reverse(self.priority), self.id)
    }
}

/// What has been given out of a step so far.
struct Shares {
    rows: Vec<usize>,
    work: Work,
    n_available: usize,
}

impl Shares {
    fn work_with(&self, standing: &Standing, n_rows: usize) -> Work {
        let n_logits = usize::from(n_rows > 0 && n_rows == standing.n_missing);
        self.work.with_rows(standing.n_computed, n_rows, n_logits)
    }
}

/// The largest number up to `n_most` for which `fits`, which holds up to some number and not behind it.
fn largest(n_most: usize, fits: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, n_most);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if fits(middle) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    const READY: Readiness = Readiness::Ready;

    /// 1 ms a row.
    fn costs() -> StepCosts {
        let mut costs = StepCosts::default();
        for n_rows in [1, 1000] {
            let work = Work {
                n_rows,
                ..Work::default()
            };
            costs.observe(work, n_rows as f64 / 1e3);
        }
        costs
    }

    /// Sequences by how much they have computed, how much is missing, and whether they are ready.
    fn running(sequences: &[(usize, usize, Readiness)]) -> Vec<Standing> {
        let standing =
            |(id, &(n_computed, n_missing, readiness)): (usize, &(usize, usize, Readiness))| Standing {
                id: id as SequenceId,
                tenant: [0; 32],
                priority: 0,
                n_served: 0,
                last_turn: 0,
                n_computed,
                n_missing,
                is_generating: n_missing == 1,
                n_draft: 0,
                acceptance: 0.5,
                n_pages: pages_for(n_computed),
                readiness,
            };
        sequences.iter().enumerate().map(standing).collect()
    }

    fn situation<'a>(running: &'a [Standing], costs: &'a StepCosts, n_available: usize) -> Situation<'a> {
        Situation {
            limits: Limits {
                max_running: 4,
                step_tokens: 100,
                inter_token_s: 0.05 / SHORT,
            },
            costs,
            is_shared: false,
            running,
            next: None,
            n_available,
        }
    }

    /// What is planned with timed steps and plenty of pages.
    fn planned(sequences: &[(usize, usize, Readiness)]) -> Plan {
        plan(&situation(&running(sequences), &costs(), 1000))
    }

    #[test]
    fn alone_prompts_get_the_whole_budget_oldest_first() {
        assert_eq!(planned(&[(0, 500, READY)]), Plan::Forward(vec![100]));
        assert_eq!(
            planned(&[(0, 70, READY), (0, 500, READY), (64, 9, READY)]),
            Plan::Forward(vec![70, 30, 0])
        );
    }

    #[test]
    fn beside_those_who_generate_prompts_get_what_a_short_pass_leaves() {
        let rows = |sequences: &[(usize, usize, Readiness)]| match planned(sequences) {
            Plan::Forward(rows) => rows,
            other => panic!("{other:?}"),
        };
        // A short pass of 50 ms at 1 ms a row; reading positions costs a little more than nothing.
        let one = rows(&[(10, 1, READY), (0, 500, READY)]);
        assert!(one[0] == 1 && (40..=49).contains(&one[1]), "{one:?}");
        let three = rows(&[(10, 1, READY), (0, 500, READY), (20, 1, READY), (0, 30, READY)]);
        assert!((38..=48).contains(&three[1]) && three[3] == 0, "{three:?}");
        let deep = rows(&[(10, 1, READY), (6000, 500, READY)]);
        assert!(deep[1] >= LEAST_CHUNK && deep[1] < one[1], "{deep:?}");
    }

    #[test]
    fn those_who_generate_too_slowly_wait_as_long_again_for_prompts() {
        let mut slow = StepCosts::default();
        for n_rows in [1, 1000] {
            let work = Work {
                n_rows,
                ..Work::default()
            };
            slow.observe(work, 0.2 + n_rows as f64 / 100.0);
        }
        let running = running(&[(0, 1, READY), (0, 500, READY)]);
        let Plan::Forward(rows) = plan(&situation(&running, &slow, 1000)) else {
            panic!("there is something to compute");
        };
        // 210 ms alone and a guess for the logits, 10 ms for each row of the prompt.
        assert!((15..=30).contains(&rows[1]), "{rows:?}");
    }

    #[test]
    fn before_anything_is_known_a_small_piece_is_tried() {
        let running = running(&[(10, 1, READY), (0, 500, READY), (0, 500, READY)]);
        let unknown = StepCosts::default();
        let planned = plan(&situation(&running, &unknown, 1000));
        assert_eq!(planned, Plan::Forward(vec![1, FIRST_CHUNK, 0]));
    }

    #[test]
    fn the_oldest_prompt_gets_on_however_late_the_step_is() {
        let mut costs = StepCosts::default();
        costs.observe(Work::default().with_rows(0, 1, 0), 1e-9);
        costs.observe(Work::default().with_rows(0, 4, 0), 1e9);
        let running = running(&[(10, 1, READY), (0, 2, READY), (0, 500, READY), (0, 9, READY)]);
        let planned = plan(&situation(&running, &costs, 1000));
        assert_eq!(planned, Plan::Forward(vec![1, 2, 2, 0]));
    }

    #[test]
    fn guesses_are_verified_where_that_is_expected_to_pay() {
        // Up to 8 rows cost what one costs, or each as much as the first.
        let mut cheap = StepCosts::default();
        let rows = |n_rows| Work {
            n_rows,
            ..Work::default()
        };
        for turn in 0..150 {
            let n_rows = [1, 8, 100][turn % 3];
            cheap.observe(rows(n_rows), n_rows.max(10) as f64);
        }
        let dear = costs();
        for (costs, acceptance, n_draft, n_available, expected) in [
            (&cheap, 0.9, 5, 9, 6),
            (&cheap, 0.9, 0, 9, 1),
            (&cheap, 0.0, 5, 9, 1),
            (&dear, 0.7, 5, 9, 1),
            // The page ends after two more.
            (&cheap, 0.9, 5, 0, 3),
        ] {
            let mut running = running(&[(61, 1, READY)]);
            (running[0].acceptance, running[0].n_draft) = (acceptance, n_draft);
            let mut situation = situation(&running, costs, n_available);
            situation.limits.inter_token_s = 1e9;
            assert_eq!(
                plan(&situation),
                Plan::Forward(vec![expected]),
                "{acceptance} {n_draft} {n_available}"
            );
        }
        let unknown = StepCosts::default();
        let mut beside = running(&[(61, 1, READY), (0, 9, READY)]);
        beside[0].n_draft = 5;
        assert_eq!(plan(&situation(&beside, &unknown, 9)), Plan::Forward(vec![1, 9]));
        assert_eq!(
            plan(&situation(&beside[..1], &unknown, 9)),
            Plan::Forward(vec![1])
        );
    }

    #[test]
    fn paused_and_following_sequences_get_nothing() {
        let paused = (10, 1, Readiness::Paused);
        let following = (0, 80, Readiness::Following);
        assert_eq!(
            planned(&[paused, (0, 80, READY), following]),
            Plan::Forward(vec![0, 80, 0])
        );
        assert_eq!(planned(&[paused]), Plan::Wait);
        assert_eq!(planned(&[]), Plan::Wait);
    }

    #[test]
    fn without_pages_the_youngest_gives_way_and_never_the_oldest() {
        let costs = costs();
        for (sequences, n_available, expected) in [
            // The paused one first, then the youngest; alone, what fits is computed.
            (
                vec![(64, 1, READY), (64, 1, Readiness::Paused), (64, 1, READY)],
                0,
                Plan::Preempt(1),
            ),
            (
                vec![(64, 1, READY), (64, 1, READY), (30, 1, READY)],
                0,
                Plan::Preempt(2),
            ),
            (vec![(64, 1, READY), (0, 90, READY)], 1, Plan::Forward(vec![1, 0])),
            (vec![(30, 90, READY)], 0, Plan::Forward(vec![34])),
        ] {
            let running = running(&sequences);
            assert_eq!(
                plan(&situation(&running, &costs, n_available)),
                expected,
                "{sequences:?}"
            );
        }
    }

    fn candidate(n_pages: usize, tenant: u8, priority: i8) -> Candidate {
        Candidate {
            n_pages,
            id: 99,
            tenant: [tenant; 32],
            priority,
            n_served: 3,
        }
    }

    #[test]
    fn a_tenant_without_a_place_gets_one_of_whoever_has_most() {
        let costs = costs();
        // Tenants and priorities of four who run, in all places; the candidate's; who yields.
        for (tenants, priorities, candidate, expected) in [
            ([1, 1, 2, 1], [0; 4], candidate(1, 3, 0), Some(3)),
            ([1, 1, 2, 2], [0; 4], candidate(1, 3, 0), Some(3)),
            ([1, 1, 1, 2], [0; 4], candidate(1, 3, 0), Some(2)),
            ([1, 1, 1, 2], [0; 4], candidate(1, 2, 0), None),
            ([6, 6, 6, 2], [0; 4], candidate(1, 3, 0), None),
            ([1, 2, 3, 4], [0; 4], candidate(1, 5, 0), None),
            ([1, 1, 1, 1], [1; 4], candidate(1, 2, 0), None),
            ([1, 1, 1, 1], [0, -1, -1, 0], candidate(1, 1, 0), Some(2)),
            ([1, 1, 1, 1], [0; 4], candidate(1, 1, 1), Some(3)),
            // There would be a place, and still no pages.
            ([1, 1, 1, 1], [0; 4], candidate(99, 2, 0), None),
        ] {
            let mut running = running(&[(10, 1, READY); 4]);
            for (idx, standing) in running.iter_mut().enumerate() {
                (standing.tenant, standing.priority) = ([tenants[idx]; 32], priorities[idx]);
                // Tenant 6 has had less than the candidate's.
                standing.n_served = if tenants[idx] == 6 { 2 } else { 4 };
            }
            let situation = Situation {
                next: Some(candidate),
                ..situation(&running, &costs, 9)
            };
            let yields = match plan(&situation) {
                Plan::Preempt(idx) => Some(idx),
                _ => None,
            };
            assert_eq!(yields, expected, "{tenants:?} {priorities:?} {candidate:?}");
        }
    }

    #[test]
    fn prompts_of_the_least_served_tenant_go_first() {
        let costs = costs();
        let mut running = running(&[(0, 90, READY), (0, 90, READY), (0, 90, READY)]);
        (running[0].n_served, running[1].n_served, running[2].n_served) = (50, 7, 50);
        assert_eq!(
            plan(&situation(&running, &costs, 99)),
            Plan::Forward(vec![10, 90, 0])
        );
        running[2].priority = 1;
        assert_eq!(
            plan(&situation(&running, &costs, 99)),
            Plan::Forward(vec![0, 10, 90])
        );
    }

    #[test]
    fn several_yield_where_one_has_too_few_pages_and_none_where_all_have() {
        let costs = costs();
        for (n_pages, fits) in [(5, true), (9, false)] {
            let mut running = running(&[(120, 1, READY); 4]);
            running.iter_mut().for_each(|standing| standing.n_served = 4);
            let mut asked = situation(&running, &costs, 3);
            asked.next = Some(candidate(n_pages, 2, 0));
            asked.limits.max_running = 9;
            // A page each for those that stay to grow into; two come back from each that goes.
            let planned = plan(&asked);
            assert_eq!(planned == Plan::Preempt(3), fits, "{n_pages}: {planned:?}");
        }
    }

    /// Of tenant 1, which has had much, and one prompt of tenant 2.
    fn shared(n_generating: usize, n_prompts: usize, lead: u64) -> Vec<Standing> {
        let mut sequences = vec![(10, 1, READY); n_generating];
        sequences.extend(vec![(0, 90, READY); n_prompts + 1]);
        let mut running = running(&sequences);
        for standing in &mut running {
            (standing.tenant, standing.n_served) = ([1; 32], lead);
        }
        if let Some(last) = running.last_mut() {
            (last.tenant, last.n_served) = ([2; 32], 0);
        }
        running
    }

    fn rows(situation: &Situation<'_>) -> Vec<usize> {
        match plan(situation) {
            Plan::Forward(rows) => rows,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn those_who_have_had_more_give_way_to_a_prompt_but_for_their_oldest_stream() {
        let costs = costs();
        let standings = shared(3, 1, LEAD);
        let mut asked = situation(&standings, &costs, 99);
        asked.is_shared = true;
        asked.limits.inter_token_s = 0.05;
        let favoured = rows(&asked);
        assert!(favoured[..4] == [1, 0, 0, 0] && favoured[4] > 40, "{favoured:?}");
        let standings = shared(3, 1, LEAD - 1);
        asked.running = &standings;
        let alike = rows(&asked);
        assert!(alike[..3].contains(&1) && alike[4] < 20, "{alike:?}");
        // Nobody else is computed while the prompt has the whole pass.
        let standings = shared(0, 2, LEAD);
        asked.running = &standings;
        assert_eq!(rows(&asked), [0, 0, 90]);
    }

    #[test]
    fn short_passes_are_had_by_turns_where_that_costs_little() {
        let costs = costs();
        let mut standings = running(&[(10, 1, READY); 60]);
        for (idx, standing) in standings.iter_mut().enumerate() {
            standing.last_turn = 60 - idx as u64;
        }
        let mut asked = situation(&standings, &costs, 99);
        assert_eq!(rows(&asked), [1; 60], "one tenant has the engine to itself");
        asked.is_shared = true;
        asked.limits.inter_token_s = 0.05;
        let taken = rows(&asked);
        // A quarter of 50 ms, at 1 ms a row and a little for each row of logits.
        let n_rows = taken.iter().sum::<usize>();
        assert!((8..=17).contains(&n_rows), "{taken:?}");
        assert!(
            taken[0] == 1 && taken[60 - n_rows + 1..] == vec![1; n_rows - 1],
            "{taken:?}"
        );
        // Where few rows cost as much as many, more go together.
        let mut flat = StepCosts::default();
        for turn in 0..200 {
            let n_rows = [1, 12, 60][turn % 3];
            let (n_logits, n_positions) = (n_rows, 0);
            flat.observe(
                Work {
                    n_rows,
                    n_logits,
                    n_positions,
                },
                0.5 + n_rows as f64 / 1e3,
            );
        }
        asked.costs = &flat;
        let n_rows = rows(&asked).iter().sum::<usize>();
        assert!(n_rows >= 30, "{n_rows}");
    }

    #[test]
    fn one_is_admitted_where_pages_and_a_place_are_left() {
        let costs = costs();
        let four = vec![(10, 1, READY); 4];
        for (sequences, n_pages, n_available, admits) in [
            (vec![], 50, 10, true),
            (vec![(10, 1, READY)], 3, 4, true),
            (vec![(10, 1, READY)], 3, 3, false),
            (four, 1, 100, false),
        ] {
            let running = running(&sequences);
            let situation = Situation {
                next: Some(candidate(n_pages, 0, 0)),
                ..situation(&running, &costs, n_available)
            };
            assert_eq!(
                plan(&situation) == Plan::Admit,
                admits,
                "{sequences:?} {n_pages} {n_available}"
            );
        }
    }
}
