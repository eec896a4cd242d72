//! Drafts: what probably comes next in a sequence, guessed from what came before in it. A forward pass over some guessed
//! tokens costs little more than one over one token; each that the sampler would have chosen anyway is a pass saved.
//!
//! The guess is what followed the last tokens where they stood before: in the prompt (quoting, editing, extracting) or in
//! the answer (code, lists, tables). Positions are found through chains of places where the same three tokens
//! stand; of some latest places, the one that agrees for longest is followed.

use std::collections::HashMap;

/// Most tokens of a draft.
pub(crate) const MAX_DRAFT: usize = 8;
/// Tokens that must agree before anything is guessed.
const GRAM: usize = 3;
/// Earlier places that are compared.
const MAX_PLACES: usize = 16;
/// Tokens before a place that are compared.
const MAX_AGREEING: usize = 32;

/// Acceptance before anything is known, and where it drifts back to while nothing is drafted, so that it is tried again.
const FIRST_ACCEPTANCE: f64 = 0.5;
const LEARNING: f64 = 0.1;
const FORGETTING: f64 = 0.01;

/// One sequence's index of its own tokens, and how good its drafts were.
#[derive(Clone, Debug, Default)]
pub(crate) struct Drafter {
    /// The latest place behind each three tokens, that place being the index of the token after them.
    latest: HashMap<[u32; GRAM], usize>,
    /// For each place, the one before it behind the same three tokens; 0 where there is none.
    earlier: Vec<usize>,
    acceptance: Acceptance,
}

/// How probably a drafted token is accepted if all before it were: learned from drafts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Acceptance(f64);

impl Default for Acceptance {
    fn default() -> Acceptance {
        Acceptance(FIRST_ACCEPTANCE)
    }
}

impl Acceptance {
    pub(crate) fn get(self) -> f64 {
        self.0
    }

    /// Learns that of `n_drafted` tokens the first `n_accepted` were right.
    pub(crate) fn learn(&mut self, n_drafted: usize, n_accepted: usize) {
        if n_drafted == 0 {
            self.0 += FORGETTING * (FIRST_ACCEPTANCE - self.0);
        }
        for _ in 0..n_accepted {
            self.0 += LEARNING * (1.0 - self.0);
        }
        if n_accepted < n_drafted {
            self.0 -= LEARNING * self.0;
        }
    }
}

impl Drafter {
    pub(crate) fn acceptance(&self) -> f64 {
        self.acceptance.get()
    }

    /// What may follow `tokens`, at most `n_most`. The tokens must go on from those of the last call.
    pub(crate) fn draft(&mut self, tokens: &[u32], n_most: usize) -> Vec<u32> {
        let Some(place) = self.best_place(tokens) else {
            return Vec::new();
        };
        let mut draft = Vec::new();
        while draft.len() < n_most.min(MAX_DRAFT) {
            let at = place + draft.len();
            // A place near the end runs into the draft itself: what repeats goes on repeating.
            draft.push(
                tokens
                    .get(at)
                    .copied()
                    .unwrap_or_else(|| draft[at - tokens.len()]),
            );
        }
        draft
    }

    /// Learns that of `n_drafted` tokens the first `n_accepted` were right.
    pub(crate) fn learn(&mut self, n_drafted: usize, n_accepted: usize) {
        self.acceptance.learn(n_drafted, n_accepted);
    }

    /// The place behind the earlier tokens that agree with the last ones for longest, the latest of equals.
    fn best_place(&mut self, tokens: &[u32]) -> Option<usize> {
        self.index(tokens);
        let mut next = tokens
            .last_chunk::<GRAM>()
            .and_then(|gram| self.latest.get(gram))
            .copied()
            .unwrap_or(0);
        let mut best = None;
        for _ in 0..MAX_PLACES {
            if next == 0 {
                break;
            }
            let n_agreeing = tokens[..next]
                .iter()
                .rev()
                .zip(tokens.iter().rev())
                .take(MAX_AGREEING)
                .take_while(|(a, b)| a == b)
                .count();
            if best.is_none_or(|(most, _)| n_agreeing > most) {
                best = Some((n_agreeing, next));
            }
            next = self.earlier[next];
        }
        best.map(|(_, place)| place)
    }

    /// Takes in all places that have a token after them.
    fn index(&mut self, tokens: &[u32]) {
        while self.earlier.len() < tokens.len() {
            let place = self.earlier.len();
            let earlier = tokens[..place]
                .last_chunk::<GRAM>()
                .and_then(|gram| self.latest.insert(*gram, place));
            self.earlier.push(earlier.unwrap_or(0));
        }
    }
}

/// Tokens that a draft of `n_drafted` is expected to save.
pub(crate) fn expected_gain(acceptance: f64, n_drafted: usize) -> f64 {
    let (mut gain, mut all_right) = (0.0, 1.0);
    for _ in 0..n_drafted {
        all_right *= acceptance;
        gain += all_right;
    }
    gain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_agreement_is_followed_and_the_latest_of_equals() {
        for (tokens, expected) in [
            (vec![1, 2, 3], vec![]),
            (vec![1, 2, 3, 1, 2], vec![]),
            (vec![1, 2, 3, 7, 8, 9, 1, 2, 3], vec![7, 8, 9, 1]),
            // Twice before, and the later place is taken.
            (vec![1, 2, 3, 7, 1, 2, 3, 8, 1, 2, 3], vec![8, 1, 2, 3]),
            // Four agree at the earlier place.
            (vec![5, 1, 2, 3, 7, 6, 1, 2, 3, 8, 5, 1, 2, 3], vec![7, 6, 1, 2]),
            // What repeats goes on repeating.
            (vec![4, 4, 4, 4], vec![4, 4, 4, 4]),
            (vec![1, 2, 1, 2, 1, 2], vec![1, 2, 1, 2]),
        ] {
            assert_eq!(Drafter::default().draft(&tokens, 4), expected, "{tokens:?}");
        }
    }

    #[test]
    fn token_by_token_gives_what_all_at_once_gives() {
        let tokens: Vec<u32> = (0..400_u32).map(|i| (i * i / 7) % 11).collect();
        let mut grown = Drafter::default();
        for end in 1..tokens.len() {
            let at_once = Drafter::default().draft(&tokens[..end], 8);
            assert_eq!(grown.draft(&tokens[..end], 8), at_once, "{end}");
        }
    }

    #[test]
    fn acceptance_is_learned_and_forgotten() {
        let mut drafter = Drafter::default();
        (0..50).for_each(|_| drafter.learn(4, 0));
        assert!(drafter.acceptance() < 0.05);
        (0..500).for_each(|_| drafter.learn(0, 0));
        assert!(drafter.acceptance() > 0.4);
        (0..50).for_each(|_| drafter.learn(4, 4));
        assert!(drafter.acceptance() > 0.95 && drafter.acceptance() <= 1.0);
    }
}
