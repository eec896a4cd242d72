//! RMS norm: `out[i] = x[i] / sqrt(mean(x^2) + eps) * weight[i]`, row by row.

use crate::pool::Pool;
use crate::simd::{self, LANES, Lanes, lanes_at, lanes_at_mut};

/// A worker is woken for at least this many numbers.
const GRAIN_NUMBERS: usize = 16384;

/// Normalises `x`, rows of `weight.len()` numbers, into `out` of the same length.
///
/// # Panics
/// If `x` has no whole rows, or `out` another length.
pub fn rms_norm(pool: &Pool, x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    assert_eq!(x.len(), out.len(), "as many numbers out as in");
    let row_len = weight.len();
    pool.for_each_chunk(out, row_len, GRAIN_NUMBERS.div_ceil(row_len), |first_row, out| {
        out.copy_from_slice(&x[first_row * row_len..][..out.len()]);
        simd::run(pool.isa(), Norm { x: out, weight, eps });
    });
}

/// Normalises `x`, rows of `weight.len()` numbers, in place; with rows that are heads it is the query/key norm.
///
/// # Panics
/// If `x` has no whole rows.
pub fn rms_norm_in_place(pool: &Pool, x: &mut [f32], weight: &[f32], eps: f32) {
    let row_len = weight.len();
    pool.for_each_chunk(x, row_len, GRAIN_NUMBERS.div_ceil(row_len), |_, x| {
        simd::run(pool.isa(), Norm { x, weight, eps });
    });
}

struct Norm<'a> {
    x: &'a mut [f32],
    weight: &'a [f32],
    eps: f32,
}

impl simd::Task for Norm<'_> {
    #[inline(always)]
    fn run<V: Lanes>(self) {
        for row in self.x.chunks_exact_mut(self.weight.len()) {
            let mean_square = sum_of_squares::<V>(row) / self.weight.len() as f32;
            scale_row::<V>(row, self.weight, 1.0 / (mean_square + self.eps).sqrt());
        }
    }
}

/// Number `i` adds to lane `i % 16`; then the lanes are added up.
#[inline(always)]
fn sum_of_squares<V: Lanes>(row: &[f32]) -> f32 {
    let (whole, rest) = row.as_chunks::<LANES>();
    let mut sum = V::splat(0.0);
    for numbers in whole {
        let x = V::load(numbers);
        sum = x.mul_add(x, sum);
    }
    let mut last = [0.0; LANES];
    last[..rest.len()].copy_from_slice(rest);
    let x = V::load(&last);
    x.mul_add(x, sum).sum()
}

#[inline(always)]
fn scale_row<V: Lanes>(row: &mut [f32], weight: &[f32], factor: f32) {
    let whole = row.len() / LANES * LANES;
    for at in (0..whole).step_by(LANES) {
        let x = V::load(lanes_at(row, at))
            .mul(V::splat(factor))
            .mul(V::load(lanes_at(weight, at)));
        x.store(lanes_at_mut(row, at));
    }
    for (x, weight) in row[whole..].iter_mut().zip(&weight[whole..]) {
        *x = *x * factor * weight;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::Isa;
    use crate::reference;
    use crate::simd::tests::noise;
    use std::num::NonZeroUsize;

    #[test]
    fn every_instruction_set_and_row_count_gives_the_same_bits_near_the_twin() {
        for row_len in [1, 7, 16, 33, 128, 1000] {
            let (x, weight) = (noise(1, 5 * row_len), noise(2, row_len));
            let expected = reference::rms_norm(&x, &weight, 1e-5);
            let mut first_bits = None;
            for isa in Isa::available() {
                let pool = Pool::new(NonZeroUsize::new(2).unwrap(), isa);
                let mut out = vec![0.0; x.len()];
                rms_norm(&pool, &x, &weight, 1e-5, &mut out);
                for (got, expected) in out.iter().zip(&expected) {
                    assert!(
                        (f64::from(*got) - expected).abs() < 1e-5,
                        "{isa:?}, rows of {row_len}"
                    );
                }
                let mut alone = x[..row_len].to_vec();
                rms_norm_in_place(&pool, &mut alone, &weight, 1e-5);
                assert_eq!(alone, out[..row_len]);
                assert_eq!(first_bits.get_or_insert(out.clone()), &out, "{isa:?}");
            }
        }
    }
}
