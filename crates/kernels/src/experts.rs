//! Mixtures of experts: which experts each token chooses, products whose rows go through matrices of their own choosing,
//! and the sum of what the chosen ones answer.
//!
//! Rows are sorted by expert, so that each expert's weights are read once for all tokens that chose it. A token's result
//! depends on the token alone: its experts are added up in the order of its choice, not of the batch.

use crate::matmul::{MatmulScratch, Matrix, Product, matmul};
use crate::pool::Pool;
use crate::simd::{self, LANES, Lanes, lanes_at, lanes_at_mut};

/// Numbers that are worth a worker's while to copy or to add up.
const GRAIN_NUMBERS: usize = 16384;

/// The experts that each token of a batch chooses, and the order in which their rows are computed. Kept from step to
/// step, so that routing allocates nothing once it has grown.
#[derive(Debug, Default)]
pub struct Routing {
    n_experts: usize,
    n_chosen: usize,
    /// `[n_tokens, n_chosen]`, the most probable expert first: its number, and what its answer counts.
    chosen: Vec<Choice>,
    /// `[n_tokens * n_chosen]`: the token of each routed row. Rows are sorted by expert, then by token.
    tokens: Vec<usize>,
    /// `[n_experts + 1]`: where each expert's rows begin.
    starts: Vec<usize>,
    /// `[n_experts]`, while a token chooses.
    probabilities: Vec<f32>,
}

#[derive(Clone, Copy, Debug)]
struct Choice {
    expert: usize,
    weight: f32,
    /// Its row among the routed ones.
    row: usize,
}

impl Routing {
    /// Chooses for each token the `n_chosen` most probable experts, of equals the first, and what each counts: its
    /// probability `softmax(scores)`, or with `normalise` its share in the probability of all that were chosen.
    ///
    /// `scores` is `[n_tokens, n_experts]`. A token with a score that is infinite or not a number chooses the first
    /// experts with weights that are not a number, and changes no other token.
    ///
    /// # Panics
    /// If `n_chosen` is zero or above `n_experts`, or the scores have no whole rows.
    pub fn choose(
        &mut self,
        pool: &Pool,
        scores: &[f32],
        n_experts: usize,
        n_chosen: usize,
        normalise: bool,
    ) {
        assert!(
            (1..=n_experts).contains(&n_chosen),
            "{n_chosen} of {n_experts} experts"
        );
        assert!(scores.len().is_multiple_of(n_experts), "a score for each expert");
        (self.n_experts, self.n_chosen) = (n_experts, n_chosen);
        self.chosen.clear();
        for scores in scores.chunks_exact(n_experts) {
            self.probabilities.clear();
            self.probabilities.extend_from_slice(scores);
            simd::run(pool.isa(), Softmax(&mut self.probabilities));
            let first = self.chosen.len();
            choose_greatest(&self.probabilities, n_chosen, &mut self.chosen);
            if normalise {
                let chosen = &mut self.chosen[first..];
                let sum: f32 = chosen.iter().map(|choice| choice.weight).sum();
                chosen.iter_mut().for_each(|choice| choice.weight /= sum);
            }
        }
        self.sort_rows();
    }

    /// Gives each choice its row: a counting sort by expert.
    fn sort_rows(&mut self) {
        self.starts.clear();
        self.starts.resize(self.n_experts + 1, 0);
        for choice in &self.chosen {
            self.starts[choice.expert + 1] += 1;
        }
        for expert in 0..self.n_experts {
            self.starts[expert + 1] += self.starts[expert];
        }
        self.tokens.resize(self.chosen.len(), 0);
        let mut next = self.starts.clone();
        for (index, choice) in self.chosen.iter_mut().enumerate() {
            choice.row = next[choice.expert];
            next[choice.expert] += 1;
            self.tokens[choice.row] = index / self.n_chosen;
        }
    }

    fn rows_of(&self, expert: usize) -> std::ops::Range<usize> {
        self.starts[expert]..self.starts[expert + 1]
    }

    /// Rows that the experts compute: as many as there are tokens, times the experts that each chooses.
    pub fn n_rows(&self) -> usize {
        self.tokens.len()
    }
}

/// `e^(x - max) / sum` in place. All are NaN if one is infinite or not a number.
struct Softmax<'a>(&'a mut [f32]);

impl simd::Task for Softmax<'_> {
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let Softmax(x) = self;
        if !x.iter().all(|x| x.is_finite()) {
            return x.fill(f32::NAN);
        }
        let max = x.iter().copied().fold(f32::MIN, f32::max);
        for x in x.iter_mut() {
            *x -= max;
        }
        let whole = x.len() / LANES * LANES;
        for at in (0..whole).step_by(LANES) {
            V::load(lanes_at(x, at)).exp().store(lanes_at_mut(x, at));
        }
        // The rest in a vector of its own: where a number stands does not change its result.
        let (mut last, rest) = ([0.0; LANES], x.len() - whole);
        last[..rest].copy_from_slice(&x[whole..]);
        V::load(&last).exp().store(&mut last);
        x[whole..].copy_from_slice(&last[..rest]);
        let sum: f32 = x.iter().sum();
        for x in x.iter_mut() {
            *x /= sum;
        }
    }
}

/// Adds the greatest of these, in descending order, of equals the first. There are few to choose, so each new one is
/// pushed up past those that it exceeds.
fn choose_greatest(probabilities: &[f32], n: usize, to: &mut Vec<Choice>) {
    let first = to.len();
    for (expert, &weight) in probabilities.iter().enumerate() {
        let place = to[first..]
            .iter()
            .position(|other| weight > other.weight)
            .map_or(to.len(), |place| first + place);
        if place == first + n {
            continue;
        }
        to.truncate(first + n - 1);
        to.insert(
            place,
            Choice {
                expert,
                weight,
                row: 0,
            },
        );
    }
}

/// What the rows of a product are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rows {
    /// The tokens: each goes to every expert that it chose.
    Tokens,
    /// The rows of an earlier product, sorted by expert.
    Routed,
}

/// One product of the routed rows: row `r` of an expert becomes `out[r] = x[r] experts[e]^T`.
#[derive(Debug)]
pub struct RoutedProduct<'a> {
    /// A matrix for each expert, all of the same shape and format.
    pub experts: &'a [Matrix],
    /// The result, `[n_rows, outputs of a matrix]`.
    pub out: &'a mut [f32],
}

/// Memory that routed products reuse from call to call.
#[derive(Debug, Default)]
pub struct RoutedScratch {
    matmul: MatmulScratch,
    /// The tokens' activations in the order of the routed rows.
    gathered: Vec<f32>,
}

/// Multiplies each row of `x` with the matrices of its expert. A result is, bit for bit, that of [`matmul`] with the
/// row and the matrix alone.
///
/// # Panics
/// The shapes do not fit together.
pub fn routed_matmul(
    pool: &Pool,
    scratch: &mut RoutedScratch,
    routing: &Routing,
    (x, rows): (&[f32], Rows),
    products: &mut [RoutedProduct<'_>],
) {
    let n_rows = routing.n_rows();
    let Some(n_cols) = products
        .first()
        .and_then(|product| Some(product.experts.first()?.n_cols()))
    else {
        return;
    };
    for RoutedProduct { experts, out } in products.iter() {
        assert_eq!(experts.len(), routing.n_experts, "a matrix for each expert");
        assert_eq!(
            Some(out.len()),
            n_rows.checked_mul(experts[0].n_rows()),
            "results"
        );
    }
    let RoutedScratch {
        matmul: scratch,
        gathered,
    } = scratch;
    if rows == Rows::Tokens && n_rows == routing.n_chosen {
        return multiply_one_token(pool, scratch, routing, x, products);
    }
    let x = match rows {
        Rows::Routed => x,
        Rows::Tokens => {
            gathered.resize(n_rows * n_cols, 0.0);
            let grain = GRAIN_NUMBERS.div_ceil(n_cols.max(1));
            pool.for_each_chunk(gathered, n_cols.max(1), grain, |first, copies| {
                let tokens = &routing.tokens[first..];
                for (copy, &token) in copies.chunks_exact_mut(n_cols).zip(tokens) {
                    copy.copy_from_slice(&x[token * n_cols..][..n_cols]);
                }
            });
            gathered
        }
    };
    assert_eq!(x.len(), n_rows * n_cols, "activations [{n_rows}, {n_cols}]");
    for expert in 0..routing.n_experts {
        let own = routing.rows_of(expert);
        if own.is_empty() {
            continue;
        }
        let mut products: Vec<Product<'_>> = products
            .iter_mut()
            .map(|product| {
                let weights = &product.experts[expert];
                let outputs = weights.n_rows();
                Product {
                    weights,
                    out: &mut product.out[own.start * outputs..own.end * outputs],
                }
            })
            .collect();
        let x = &x[own.start * n_cols..own.end * n_cols];
        matmul(pool, scratch, x, own.len(), &mut products);
    }
}

/// All experts of a single token share its activations: one parallel step.
fn multiply_one_token(
    pool: &Pool,
    scratch: &mut MatmulScratch,
    routing: &Routing,
    x: &[f32],
    products: &mut [RoutedProduct<'_>],
) {
    let mut all: Vec<Product<'_>> = Vec::new();
    for RoutedProduct { experts, out } in products {
        let n_outputs = experts[0].n_rows();
        let chosen = (0..routing.n_experts).filter(|&expert| !routing.rows_of(expert).is_empty());
        let outs = out.chunks_exact_mut(n_outputs.max(1));
        all.extend(chosen.zip(outs).map(|(expert, out)| Product {
            weights: &experts[expert],
            out,
        }));
    }
    matmul(pool, scratch, x, 1, &mut all);
}

/// Adds up what each token's experts answered: `out[t] = sum weight * answers[row]`, in the order of the token's choice.
///
/// `answers` is `[n_rows, row_len]`, `out` becomes `[n_tokens, row_len]`.
///
/// # Panics
/// The lengths do not fit together.
pub fn combine(pool: &Pool, routing: &Routing, answers: &[f32], out: &mut [f32]) {
    let n_chosen = routing.n_chosen;
    if out.is_empty() {
        return;
    }
    let n_tokens = routing.chosen.len() / n_chosen;
    assert!(out.len().is_multiple_of(n_tokens), "whole rows");
    let row_len = out.len() / n_tokens;
    assert_eq!(
        answers.len(),
        routing.n_rows() * row_len,
        "an answer for each choice"
    );
    let grain = GRAIN_NUMBERS.div_ceil(row_len * n_chosen);
    pool.for_each_chunk(out, row_len, grain, |first, rows| {
        let chosen = routing.chosen[first * n_chosen..].chunks_exact(n_chosen);
        for (out, chosen) in rows.chunks_exact_mut(row_len).zip(chosen) {
            out.fill(0.0);
            for &Choice { weight, row, .. } in chosen {
                let answer = &answers[row * row_len..][..row_len];
                for (out, answer) in out.iter_mut().zip(answer) {
                    *out += weight * answer;
                }
            }
        }
    });
}

#[cfg(test)]
mod tests;
