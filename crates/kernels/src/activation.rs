//! What is done number by number: SwiGLU, sums of the residual stream, biases.

use crate::pool::Pool;
use crate::simd::{self, LANES, Lanes, lanes_at, lanes_at_mut};

/// A worker is woken for at least this many numbers.
const GRAIN_NUMBERS: usize = 16384;

/// `gate[i] = silu(gate[i]) * up[i]`, with `silu(x) = x / (1 + e^-x)`.
///
/// # Panics
/// If the lengths differ.
pub fn swiglu(pool: &Pool, gate: &mut [f32], up: &[f32]) {
    assert_eq!(gate.len(), up.len(), "a gate for each number");
    pool.for_each_chunk(gate, 1, GRAIN_NUMBERS, |first, gate| {
        let up = &up[first..][..gate.len()];
        simd::run(pool.isa(), SwiGlu { gate, up });
    });
}

/// `x[i] += y[i]`
///
/// # Panics
/// If the lengths differ.
pub fn add(pool: &Pool, x: &mut [f32], y: &[f32]) {
    assert_eq!(x.len(), y.len(), "two summands of one length");
    pool.for_each_chunk(x, 1, 2 * GRAIN_NUMBERS, |first, x| {
        for (x, y) in x.iter_mut().zip(&y[first..]) {
            *x += y;
        }
    });
}

/// Adds `bias` to every row of `x`.
///
/// # Panics
/// If `x` has no whole rows.
pub fn add_bias(pool: &Pool, x: &mut [f32], bias: &[f32]) {
    let row_len = bias.len();
    pool.for_each_chunk(x, row_len, (2 * GRAIN_NUMBERS).div_ceil(row_len), |_, rows| {
        for row in rows.chunks_exact_mut(row_len) {
            for (x, bias) in row.iter_mut().zip(bias) {
                *x += bias;
            }
        }
    });
}

struct SwiGlu<'a> {
    gate: &'a mut [f32],
    up: &'a [f32],
}

impl simd::Task for SwiGlu<'_> {
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let SwiGlu { gate, up } = self;
        let whole = gate.len() / LANES * LANES;
        for at in (0..whole).step_by(LANES) {
            let x = silu_times(V::load(lanes_at(gate, at)), V::load(lanes_at(up, at)));
            x.store(lanes_at_mut(gate, at));
        }
        // The rest in a vector of its own: where a number stands does not change its result.
        let (mut last_gate, mut last_up) = ([0.0; LANES], [0.0; LANES]);
        let rest = gate.len() - whole;
        last_gate[..rest].copy_from_slice(&gate[whole..]);
        last_up[..rest].copy_from_slice(&up[whole..]);
        silu_times(V::load(&last_gate), V::load(&last_up)).store(&mut last_gate);
        gate[whole..].copy_from_slice(&last_gate[..rest]);
    }
}

#[inline(always)]
fn silu_times<V: Lanes>(gate: V, up: V) -> V {
    let one = V::splat(1.0);
    let exp = V::splat(0.0).sub(gate).exp();
    gate.div(one.add(exp)).mul(up)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::Isa;
    use crate::reference;
    use crate::simd::tests::noise;
    use std::num::NonZeroUsize;

    #[test]
    fn swiglu_has_the_same_bits_everywhere_and_is_near_the_twin() {
        for len in [1, 15, 16, 1000, 3 * GRAIN_NUMBERS + 5] {
            let gate: Vec<f32> = noise(3, len).iter().map(|x| x * 30.0).collect();
            let up = noise(4, len);
            let expected = reference::swiglu(&gate, &up);
            let mut first_bits = None;
            for isa in Isa::available() {
                for threads in [1, 2] {
                    let pool = Pool::new(NonZeroUsize::new(threads).unwrap(), isa);
                    let mut out = gate.clone();
                    swiglu(&pool, &mut out, &up);
                    for (got, expected) in out.iter().zip(&expected) {
                        assert!(
                            (f64::from(*got) - expected).abs() <= 1e-6 * expected.abs() + 1e-30,
                            "{isa:?}"
                        );
                    }
                    assert_eq!(
                        first_bits.get_or_insert(out.clone()),
                        &out,
                        "{isa:?}, {threads} threads"
                    );
                }
            }
        }
    }

    #[test]
    fn swiglu_of_great_numbers_is_finite() {
        let pool = Pool::new(NonZeroUsize::MIN, Isa::detect());
        let mut gate = vec![-1e30, 1e30, -100.0, 100.0, f32::MIN, f32::MAX];
        swiglu(&pool, &mut gate, &[1.0; 6]);
        assert!(gate.iter().all(|x| x.is_finite()), "{gate:?}");
        assert!(
            gate[2].abs() < 1e-30 && gate[3] == 100.0 && gate[1] == 1e30,
            "{gate:?}"
        );
    }

    #[test]
    fn sums_and_biases_are_added() {
        let pool = Pool::new(NonZeroUsize::new(2).unwrap(), Isa::detect());
        let mut x: Vec<f32> = (0..6).map(|i| i as f32).collect();
        add(&pool, &mut x, &[1.0; 6]);
        add_bias(&pool, &mut x, &[10.0, 20.0, 30.0]);
        assert_eq!(x, [11.0, 22.0, 33.0, 14.0, 25.0, 36.0]);
    }
}
