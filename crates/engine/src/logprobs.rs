//! Log probabilities of tokens, for the sequences that ask.
//!
//! They are those of the model's own distribution: the softmax of the logits as the forward pass gave them, before
//! temperature, bias, penalties, bans and filters. Totals are added up in 64 bits in the order of the ids, so they
//! depend on nothing but the row.

/// The most alternatives that a sequence may ask for at each token.
pub const MAX_TOP_LOGPROBS: usize = 32;

/// How likely a chosen token was, and which were the likeliest.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenLogprobs {
    /// Of the chosen token; at most 0.
    pub chosen: f32,
    /// Id and log probability of the likeliest tokens, the likeliest first, of equal ones the lowest id first. The
    /// chosen one is among them only if it is so likely.
    pub top: Vec<(u32, f32)>,
}

impl TokenLogprobs {
    /// From a row of finite `logits`, `[n_vocab]`, with at most `n_top` alternatives.
    pub(crate) fn of(logits: &[f32], chosen: u32, n_top: usize) -> TokenLogprobs {
        let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let above = |logit: f32| f64::from(logit) - f64::from(highest);
        let total: f64 = logits.iter().map(|&logit| above(logit).exp()).sum();
        let log_total = total.ln();
        let logprob = |id: u32| (above(logits[id as usize]) - log_total) as f32;
        TokenLogprobs {
            chosen: logprob(chosen),
            top: likeliest(logits, n_top)
                .into_iter()
                .map(|id| (id, logprob(id)))
                .collect(),
        }
    }
}

/// The ids of the `n` highest logits, in order. Few are asked for, so a sorted list that is rarely touched is enough.
fn likeliest(logits: &[f32], n: usize) -> Vec<u32> {
    let mut best: Vec<u32> = Vec::with_capacity(n + 1);
    for (id, &logit) in (0u32..).zip(logits) {
        let is_better = |other: u32| logit > logits[other as usize];
        if best.len() < n || best.last().is_some_and(|&last| is_better(last)) {
            let place = best.partition_point(|&other| !is_better(other));
            best.insert(place, id);
            best.truncate(n);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_add_up_to_one_and_keep_the_order_of_the_logits() {
        let logits: Vec<f32> = (0..1000)
            .map(|id| ((id * 7919) % 113) as f32 * 0.25 - 9.0)
            .collect();
        let all = TokenLogprobs::of(&logits, 5, 1000);
        let total: f64 = all.top.iter().map(|&(_, logprob)| f64::from(logprob).exp()).sum();
        assert!((total - 1.0).abs() < 1e-5, "{total}");
        // The slow obvious twin: all ids, sorted.
        let mut expected: Vec<u32> = (0..1000).collect();
        expected.sort_by(|&a, &b| logits[b as usize].total_cmp(&logits[a as usize]).then(a.cmp(&b)));
        let ids: Vec<u32> = all.top.iter().map(|&(id, _)| id).collect();
        assert_eq!(ids, expected);
        let chosen = all.top.iter().find(|&&(id, _)| id == 5).expect("all are there");
        assert_eq!(chosen.1, all.chosen);
        for n_top in [0, 1, 20] {
            assert_eq!(TokenLogprobs::of(&logits, 5, n_top).top, all.top[..n_top]);
        }
    }

    #[test]
    fn two_equal_tokens_have_a_half_each_and_huge_logits_do_not_overflow() {
        let both = TokenLogprobs::of(&[3e38, 3e38, -3e38], 1, 3);
        assert_eq!(both.chosen, -std::f32::consts::LN_2);
        assert_eq!(both.top[0], (0, -std::f32::consts::LN_2));
        assert_eq!(both.top[2].1, f32::NEG_INFINITY, "as good as impossible");
    }
}
