//! Tokens that may not come next: end tokens before the least length, and the last token of a banned run whose others
//! have just come.

use std::collections::BTreeSet;

/// Far below every logit of a sane model, and far enough from the end of the range that bias and penalties, which are
/// applied later, cannot push it over.
const OUT_OF_THE_QUESTION: f32 = -1e30;

/// What a sequence must not say.
#[derive(Clone, Debug)]
pub(crate) struct Bans {
    /// No end token comes among the first so many.
    min_tokens: usize,
    /// Runs of tokens that must not occur in the output.
    runs: Vec<Vec<u32>>,
}

impl Bans {
    pub(crate) fn new(min_tokens: usize, runs: Vec<Vec<u32>>) -> Bans {
        Bans { min_tokens, runs }
    }

    /// Takes the banned tokens out of a row of `logits`, `[n_vocab]`, for the token after `output`.
    pub(crate) fn apply(&self, logits: &mut [f32], output: &[u32], end_tokens: &BTreeSet<u32>) {
        let mut ban = |id: u32| logits[id as usize] = OUT_OF_THE_QUESTION;
        if output.len() < self.min_tokens {
            end_tokens.iter().copied().for_each(&mut ban);
        }
        for run in &self.runs {
            if let Some((&last, before)) = run.split_last()
                && output.ends_with(before)
            {
                ban(last);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn banned(bans: &Bans, output: &[u32]) -> Vec<usize> {
        let mut logits = [0.0; 6];
        bans.apply(&mut logits, output, &BTreeSet::from([4, 5]));
        (0..6).filter(|&id| logits[id] < 0.0).collect()
    }

    #[test]
    fn a_run_is_banned_at_its_last_token_and_an_end_token_before_its_time() {
        let bans = Bans::new(2, vec![vec![1], vec![2, 3], vec![2, 2, 0]]);
        assert_eq!(banned(&bans, &[]), [1, 4, 5]);
        assert_eq!(banned(&bans, &[2]), [1, 3, 4, 5]);
        assert_eq!(banned(&bans, &[2, 2]), [0, 1, 3]);
        assert_eq!(banned(&bans, &[2, 2, 3]), [1]);
    }
}
