//! Rotary position embedding: pairs of numbers in each head are turned by an angle that grows with the position.

use crate::pool::Pool;

/// Which two numbers of a head's first `n_rot` form pair `i`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pairing {
    /// `i` and `i + n_rot / 2`: GPT-NeoX, Hugging Face, most GGUF architectures.
    Halves,
    /// `2 i` and `2 i + 1`: GGUF files of the Llama family, whose Q and K rows are permuted for it.
    Adjacent,
}

/// The frequencies of a model.
#[derive(Clone, PartialEq, Debug)]
pub struct RopeTable {
    inv_freq: Vec<f32>,
    attention_factor: f32,
    pairing: Pairing,
}

/// Cosines and sines for the rows of one batch, shared by all heads and layers.
#[derive(Default)]
pub struct Rotations {
    /// `[n_rows, n_rot / 2]` of (cosine, sine).
    turns: Vec<(f32, f32)>,
    n_pairs: usize,
    adjacent: bool,
}

impl RopeTable {
    /// `inv_freq[i]` is the angle by which pair `i` turns per position, in radians; rotated heads have `2 *
    /// inv_freq.len()` turning numbers. `attention_factor` multiplies the turned numbers (1 but for YaRN).
    pub fn new(inv_freq: Vec<f32>, attention_factor: f32, pairing: Pairing) -> RopeTable {
        RopeTable {
            inv_freq,
            attention_factor,
            pairing,
        }
    }

    /// Sets `rotations` to the angles of rows at `positions`.
    ///
    /// The angle is an `f32` product, as in the models' training code; its cosine and sine are taken in `f64`, so
    /// that the rounded results hardly depend on the system's library.
    pub fn rotations(&self, positions: impl Iterator<Item = u32>, rotations: &mut Rotations) {
        rotations.n_pairs = self.inv_freq.len();
        rotations.adjacent = self.pairing == Pairing::Adjacent;
        rotations.turns.clear();
        for position in positions {
            rotations.turns.extend(self.inv_freq.iter().map(|&inv_freq| {
                let (sin, cos) = f64::from(position as f32 * inv_freq).sin_cos();
                (
                    cos as f32 * self.attention_factor,
                    sin as f32 * self.attention_factor,
                )
            }));
        }
    }
}

/// Turns `x`, `[n_rows, n_heads, head_dim]`, in place: pair `(a, b)` becomes `(a cos - b sin, b cos + a sin)`.
/// Numbers of a head behind the turning ones stay.
///
/// # Panics
/// If `x` does not have the rows of `rotations`, or `head_dim` is less than the turning numbers.
pub fn rope(pool: &Pool, rotations: &Rotations, x: &mut [f32], n_heads: usize, head_dim: usize) {
    let n_pairs = rotations.n_pairs;
    assert!(
        2 * n_pairs <= head_dim,
        "heads of {head_dim} numbers cannot turn {n_pairs} pairs"
    );
    assert_eq!(
        x.len() * n_pairs,
        rotations.turns.len() * n_heads * head_dim,
        "one rotation per row"
    );
    if n_pairs == 0 {
        return;
    }
    let row_len = n_heads * head_dim;
    pool.for_each_chunk(x, row_len, GRAIN_NUMBERS.div_ceil(row_len), |first_row, rows| {
        for (index, row) in rows.chunks_exact_mut(row_len).enumerate() {
            let turns = &rotations.turns[(first_row + index) * n_pairs..][..n_pairs];
            for head in row.chunks_exact_mut(head_dim) {
                if rotations.adjacent {
                    turn_adjacent(&mut head[..2 * n_pairs], turns);
                } else {
                    turn_halves(&mut head[..2 * n_pairs], turns);
                }
            }
        }
    });
}

/// A worker is woken for at least this many numbers.
const GRAIN_NUMBERS: usize = 16384;

fn turn_halves(x: &mut [f32], turns: &[(f32, f32)]) {
    let (first, second) = x.split_at_mut(turns.len());
    for ((a, b), &(cos, sin)) in first.iter_mut().zip(second).zip(turns) {
        (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
    }
}

fn turn_adjacent(x: &mut [f32], turns: &[(f32, f32)]) {
    let (pairs, _) = x.as_chunks_mut::<2>();
    for ([a, b], &(cos, sin)) in pairs.iter_mut().zip(turns) {
        (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::Isa;
    use std::num::NonZeroUsize;

    fn pool() -> Pool {
        Pool::new(NonZeroUsize::MIN, Isa::Scalar)
    }

    #[test]
    fn both_pairings_turn_their_pairs_and_leave_the_rest() {
        let inv_freq = vec![1.0, 0.5];
        for (pairing, [a0, b0, a1, b1]) in
            [(Pairing::Halves, [0, 2, 1, 3]), (Pairing::Adjacent, [0, 1, 2, 3])]
        {
            let table = RopeTable::new(inv_freq.clone(), 2.0, pairing);
            let mut rotations = Rotations::default();
            table.rotations([3].into_iter(), &mut rotations);
            // Two heads of 6 numbers, 4 of which turn.
            let mut x: Vec<f32> = (0..12).map(|i| i as f32).collect();
            rope(&pool(), &rotations, &mut x, 2, 6);
            for head in 0..2 {
                let before = |i: usize| (6 * head + i) as f32;
                for (a, b, angle) in [(a0, b0, 3.0_f32), (a1, b1, 1.5)] {
                    let (sin, cos) = angle.sin_cos();
                    assert!((x[6 * head + a] - 2.0 * (before(a) * cos - before(b) * sin)).abs() < 1e-5);
                    assert!((x[6 * head + b] - 2.0 * (before(b) * cos + before(a) * sin)).abs() < 1e-5);
                }
                assert_eq!(x[6 * head + 4..6 * head + 6], [before(4), before(5)]);
            }
        }
    }

    #[test]
    fn position_zero_changes_nothing() {
        let mut rotations = Rotations::default();
        RopeTable::new(vec![1.0; 4], 1.0, Pairing::Halves).rotations([0, 0].into_iter(), &mut rotations);
        let mut x: Vec<f32> = (0..16).map(|i| i as f32).collect();
        let before = x.clone();
        rope(&pool(), &rotations, &mut x, 1, 8);
        assert_eq!(x, before);
    }
}
