//! What a step costs: learned from steps that were timed, so that a plan can tell how long the next one will take.
//!
//! A step's seconds are modelled as a part that depends on the number of rows (kept at some numbers of rows, straight
//! lines between), a part per row of logits and a part per position that attention looks at. An observation that
//! differs from the estimate moves each part by its share in it. No tokens depend on these numbers, only how a prompt
//! is cut into steps and how much is drafted.
//!
//! Rejected: a straight line over rows (few rows cost as much as one, since both read all weights once) and measuring
//! a table before serving (a minute for a large model, and wrong as soon as another process wants the cores).

/// Numbers of rows at which the cost is kept.
const KNOTS: [usize; 20] = [
    1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 1024, 4096,
];

/// How much of a difference is learned from one observation.
const RATE: f64 = 0.25;
/// An observation counts at most this many times the estimate: another process may have had the core for a while.
const MAX_SURPRISE: f64 = 2.0;
/// What a row of logits is taken to cost before anything is known, in rows.
const FIRST_LOGIT_SHARE: f64 = 0.4;
/// What a position is taken to cost before anything is known, in rows.
const FIRST_POSITION_SHARE: f64 = 1.0 / 4096.0;

/// What a forward pass has to do, as far as its cost goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Work {
    pub(crate) n_rows: usize,
    /// Of these, rows that give logits and are sampled.
    pub(crate) n_logits: usize,
    /// Positions that attention looks at, over all rows.
    pub(crate) n_positions: usize,
}

impl Work {
    /// The same with `n_rows` more rows of a sequence, the first at `position`.
    pub(crate) fn with_rows(self, position: usize, n_rows: usize, n_logits: usize) -> Work {
        Work {
            n_rows: self.n_rows + n_rows,
            n_logits: self.n_logits + n_logits,
            n_positions: self.n_positions + n_rows * position + n_rows * (n_rows + 1) / 2,
        }
    }
}

/// The learned costs, in seconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct StepCosts {
    /// Of so many rows as the knot of the same index says, without logits and attention.
    by_rows: [Option<f64>; KNOTS.len()],
    per_logit: f64,
    per_position: f64,
}

impl StepCosts {
    /// How long the work will take; `None` while no step has been timed.
    pub(crate) fn estimate(&self, work: Work) -> Option<f64> {
        Some(self.of_rows(work.n_rows)? + self.beside_rows(work))
    }

    /// Learns from a step that took `seconds`. What is no duration of a step teaches nothing.
    pub(crate) fn observe(&mut self, work: Work, seconds: f64) {
        if !(seconds > 0.0 && seconds.is_finite()) || work.n_rows == 0 {
            return;
        }
        if self.by_rows.iter().all(Option::is_none) {
            let shares = work.n_rows as f64
                + FIRST_LOGIT_SHARE * work.n_logits as f64
                + FIRST_POSITION_SHARE * work.n_positions as f64;
            self.per_logit = seconds * FIRST_LOGIT_SHARE / shares;
            self.per_position = seconds * FIRST_POSITION_SHARE / shares;
        }
        let knot = nearest_knot(work.n_rows);
        let scale = KNOTS[knot] as f64 / work.n_rows as f64;
        if self.by_rows[knot].is_none() {
            let of_rows = (seconds - self.beside_rows(work)).max(seconds / 4.0);
            self.by_rows[knot] = Some(of_rows * scale);
            return;
        }
        let (of_rows, beside) = (
            self.of_rows(work.n_rows).unwrap_or(seconds),
            self.beside_rows(work),
        );
        let estimate = of_rows + beside;
        let surprise = (seconds / estimate).clamp(1.0 / MAX_SURPRISE, MAX_SURPRISE) - 1.0;
        let moved = |part: f64| 1.0 + RATE * surprise * part / estimate;
        self.per_logit *= moved(self.per_logit * work.n_logits as f64);
        self.per_position *= moved(self.per_position * work.n_positions as f64);
        if let Some(seconds) = &mut self.by_rows[knot] {
            *seconds *= moved(of_rows);
        }
    }

    fn beside_rows(&self, work: Work) -> f64 {
        self.per_logit * work.n_logits as f64 + self.per_position * work.n_positions as f64
    }

    /// The part that depends on the number of rows: never less for more rows, whatever single observations say.
    fn of_rows(&self, n_rows: usize) -> Option<f64> {
        let mut below: Option<(f64, f64)> = None;
        for (&knot, seconds) in KNOTS.iter().zip(self.by_rows) {
            let Some(seconds) = seconds else { continue };
            let (knot, n_rows) = (knot as f64, n_rows as f64);
            let seconds = seconds.max(below.map_or(0.0, |(_, seconds)| seconds));
            if knot >= n_rows {
                let (from, least) = below.unwrap_or((0.0, 0.0));
                return Some(least + (seconds - least) * (n_rows - from) / (knot - from));
            }
            below = Some((knot, seconds));
        }
        below.map(|(knot, seconds)| seconds * n_rows as f64 / knot)
    }
}

fn nearest_knot(n_rows: usize) -> usize {
    let above = KNOTS.partition_point(|&knot| knot < n_rows).min(KNOTS.len() - 1);
    match above.checked_sub(1) {
        Some(below) if n_rows - KNOTS[below] < KNOTS[above].abs_diff(n_rows) => below,
        _ => above,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine that reads the weights in 20 ms and computes 150 rows a second.
    fn seconds(work: Work) -> f64 {
        let compute = work.n_rows as f64 / 150.0 + work.n_logits as f64 * 2e-3;
        compute.max(0.02) + work.n_positions as f64 * 2e-6
    }

    fn work(n_rows: usize, position: usize, n_logits: usize) -> Work {
        Work::default().with_rows(position, n_rows, n_logits)
    }

    #[test]
    fn nothing_is_estimated_from_nothing() {
        let mut costs = StepCosts::default();
        assert_eq!(costs.estimate(work(1, 0, 1)), None);
        for seconds in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            costs.observe(work(1, 0, 1), seconds);
        }
        assert_eq!(costs.estimate(work(1, 0, 1)), None);
    }

    #[test]
    fn after_some_steps_the_estimate_is_near() {
        let mut costs = StepCosts::default();
        for turn in 0..200 {
            for n_rows in [1, 2, 5, 9, 20, 40, 128] {
                let work = work(n_rows, turn * 20, usize::from(n_rows < 10) * n_rows);
                costs.observe(work, seconds(work));
            }
        }
        for (n_rows, position, n_logits) in [
            (1, 100, 1),
            (2, 3000, 2),
            (9, 1000, 9),
            (30, 2000, 0),
            (100, 500, 0),
        ] {
            let work = work(n_rows, position, n_logits);
            let (expected, estimate) = (seconds(work), costs.estimate(work).expect("known"));
            assert!(
                estimate > 0.7 * expected && estimate < 1.4 * expected,
                "{work:?}: {estimate} instead of {expected}"
            );
        }
    }

    #[test]
    fn more_rows_never_cost_less_and_one_slow_step_changes_little() {
        let mut costs = StepCosts::default();
        for n_rows in [1, 4, 16, 64, 128] {
            costs.observe(work(n_rows, 0, 0), n_rows as f64);
        }
        let before = costs.estimate(work(16, 0, 0)).expect("known");
        costs.observe(work(16, 0, 0), 1e6);
        let after = costs.estimate(work(16, 0, 0)).expect("known");
        assert!(after > before && after < 1.5 * before, "{before} {after}");
        for _ in 0..50 {
            costs.observe(work(16, 0, 0), 1e-6);
        }
        let estimates: Vec<f64> = (1..300)
            .map(|n_rows| costs.estimate(work(n_rows, 0, 0)).expect("known"))
            .collect();
        assert!(estimates.is_sorted(), "{estimates:?}");
    }

    #[test]
    fn the_nearest_knot_is_nearest() {
        for n_rows in 1..5000 {
            let distance = |knot: usize| knot.abs_diff(n_rows);
            let least = KNOTS.iter().map(|&knot| distance(knot)).min();
            assert_eq!(Some(distance(KNOTS[nearest_knot(n_rows)])), least, "{n_rows}");
        }
    }
}
