//! Rounding to `Q4_K`: for each group of 32 numbers a scale and a minimum that leave little error, all of them multiples of two
//! numbers that the block of 256 shares.
//!
//! First each group alone: from 12 widths of a step, the codes, and from the codes the scale and the minimum of least
//! squares, of which the best is kept. Then the block: its `d` and `dmin` are the largest scale and minimum over 63, or what least
//! squares says once the multiples are known; for each group the multiples nearest to what it wants and those beside them are
//! tried with the codes that fit them. Errors are of numbers as they will be decoded, `d` and `dmin` rounded to halves.
//!
//! On nearly normal numbers the root mean square error is 1.0 % above that of trying all 4096 pairs of multiples with 25 pairs of `d` and
//! `dmin`, and 18 % below that of `Q4_0`.
//!
//! Plain sums of squares in one order: no instruction set changes a bit.

use half::f16;

use super::k_scales;

const GROUP: usize = 32;
const GROUPS: usize = 8;
const MAX_CODE: f32 = 15.0;
const MAX_MULTIPLE: f32 = 63.0;
/// Added to a small number it leaves the nearest whole number in the mantissa.
const ROUND: f32 = 12_582_912.0;

type Group = [f32; GROUP];

/// The nearest whole number of a small one, halves to even.
#[inline]
fn nearest(x: f32) -> f32 {
    (x + ROUND) - ROUND
}

/// `w = scale q - minimum`
#[derive(Clone, Copy, Default)]
struct Line {
    scale: f32,
    minimum: f32,
}

impl Line {
    /// The best codes, 0 to 15.
    #[inline]
    fn codes(self, x: &Group) -> Group {
        let inverse = if self.scale > 0.0 { 1.0 / self.scale } else { 0.0 };
        x.map(|x| nearest(((x + self.minimum) * inverse).clamp(0.0, MAX_CODE)))
    }

    /// The sum of squared errors with these codes.
    #[inline]
    fn error(self, x: &Group, codes: &Group) -> f32 {
        let mut sums = [0.0; 8];
        for (x, codes) in x.as_chunks::<8>().0.iter().zip(codes.as_chunks::<8>().0) {
            for lane in 0..8 {
                let error = self.scale * codes[lane] - self.minimum - x[lane];
                sums[lane] += error * error;
            }
        }
        sums.iter().sum()
    }

    /// The line of least squares through these codes, with no minimum below zero.
    fn through(x: &Group, codes: &Group) -> Line {
        let sum = |of: fn(f32, f32) -> f32| x.iter().zip(codes).map(|(&x, &q)| of(x, q)).sum::<f32>();
        let (sum_x, sum_q) = (sum(|x, _| x), sum(|_, q| q));
        let (sum_xq, sum_qq) = (sum(|x, q| x * q), sum(|_, q| q * q));
        let n = GROUP as f32;
        let determinant = n * sum_qq - sum_q * sum_q;
        if determinant > 0.0 {
            let line = Line {
                scale: (n * sum_xq - sum_q * sum_x) / determinant,
                minimum: (sum_q * sum_xq - sum_qq * sum_x) / determinant,
            };
            if line.scale > 0.0 && line.minimum >= 0.0 {
                return line;
            }
        }
        let scale = if sum_qq > 0.0 {
            (sum_xq / sum_qq).max(0.0)
        } else {
            0.0
        };
        Line { scale, minimum: 0.0 }
    }

    /// What a group wants for itself.
    fn best(x: &Group) -> Line {
        let least = x.iter().copied().fold(0.0_f32, f32::min);
        let greatest = x.iter().copied().fold(f32::MIN, f32::max);
        let mut best = Line {
            scale: 0.0,
            minimum: -least,
        };
        let mut best_error = best.error(x, &[0.0; GROUP]);
        for attempt in 0..12 {
            let steps = 12.5 + 0.35 * attempt as f32;
            let first = Line {
                scale: (greatest - least) / steps,
                minimum: -least,
            };
            let line = Line::through(x, &first.codes(x));
            let error = line.error(x, &line.codes(x));
            if error < best_error {
                (best, best_error) = (line, error);
            }
        }
        best
    }
}

/// A block as it will be stored.
#[derive(Clone)]
struct Rounded {
    d: f16,
    d_min: f16,
    /// For each group the multiples of both.
    multiples: [(f32, f32); GROUPS],
    codes: [Group; GROUPS],
    error: f32,
}

impl Rounded {
    /// With these `d` and `d_min`.
    fn with(x: &[Group; GROUPS], wanted: &[Line; GROUPS], d: f32, d_min: f32) -> Rounded {
        let (d, d_min) = (f16::from_f32(d), f16::from_f32(d_min));
        let mut rounded = Rounded {
            d,
            d_min,
            multiples: [(0.0, 0.0); GROUPS],
            codes: [[0.0; GROUP]; GROUPS],
            error: 0.0,
        };
        for group in 0..GROUPS {
            rounded.error += rounded.fit(group, &x[group], wanted[group]);
        }
        rounded
    }

    fn line(&self, (scale, minimum): (f32, f32)) -> Line {
        Line {
            scale: self.d.to_f32() * scale,
            minimum: self.d_min.to_f32() * minimum,
        }
    }

    /// Chooses a group's multiples, at most one from the nearest, and returns its error.
    fn fit(&mut self, group: usize, x: &Group, wanted: Line) -> f32 {
        let middle = |wanted: f32, unit: f16| {
            let unit = unit.to_f32();
            if unit > 0.0 {
                nearest((wanted / unit).clamp(0.0, MAX_MULTIPLE))
            } else {
                0.0
            }
        };
        let (scale, minimum) = (middle(wanted.scale, self.d), middle(wanted.minimum, self.d_min));
        let mut least = f32::INFINITY;
        for a in [0.0, -1.0, 1.0] {
            for b in [0.0, -1.0, 1.0] {
                let multiples = (scale + a, minimum + b);
                if !(0.0..=MAX_MULTIPLE).contains(&multiples.0)
                    || !(0.0..=MAX_MULTIPLE).contains(&multiples.1)
                {
                    continue;
                }
                let line = self.line(multiples);
                let codes = line.codes(x);
                let error = line.error(x, &codes);
                if error < least {
                    least = error;
                    (self.multiples[group], self.codes[group]) = (multiples, codes);
                }
            }
        }
        least
    }

    /// `d` and `d_min` of least squares, given all multiples and codes.
    fn refitted(&self, x: &[Group; GROUPS]) -> Option<(f32, f32)> {
        let (mut aa, mut ab, mut bb, mut ax, mut bx) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for ((x, codes), &(scale, minimum)) in x.iter().zip(&self.codes).zip(&self.multiples) {
            for (&x, &code) in x.iter().zip(codes) {
                let (a, b) = (scale * code, -minimum);
                aa += a * a;
                ab += a * b;
                bb += b * b;
                ax += a * x;
                bx += b * x;
            }
        }
        let determinant: f32 = aa * bb - ab * ab;
        // Without minima there is one unknown.
        let (d, d_min) = if bb > 0.0 {
            (
                (ax * bb - bx * ab) / determinant,
                (bx * aa - ax * ab) / determinant,
            )
        } else {
            (ax / aa, 0.0)
        };
        (d > 0.0 && d_min >= 0.0 && d.is_finite() && d_min.is_finite()).then_some((d, d_min))
    }
}

/// Rounds 256 numbers. Where one is not finite, or too large for a half, the block means nothing.
pub(super) fn encode(numbers: &[f32], block: &mut [u8]) {
    let mut x = [[0.0; GROUP]; GROUPS];
    x.as_flattened_mut().copy_from_slice(numbers);
    let wanted = x.map(|x| Line::best(&x));
    let largest = |of: fn(&Line) -> f32| wanted.iter().map(of).fold(0.0_f32, f32::max);
    let (scale, minimum) = (largest(|line| line.scale), largest(|line| line.minimum));
    let mut best = Rounded::with(&x, &wanted, scale / MAX_MULTIPLE, minimum / MAX_MULTIPLE);
    for _ in 0..2 {
        let Some((d, d_min)) = best.refitted(&x) else {
            break;
        };
        let again = Rounded::with(&x, &wanted, d, d_min);
        if again.error >= best.error {
            break;
        }
        best = again;
    }
    let multiples = |of: fn(&(f32, f32)) -> f32| best.multiples.each_ref().map(|pair| of(pair) as u8);
    block[..2].copy_from_slice(&best.d.to_le_bytes());
    block[2..4].copy_from_slice(&best.d_min.to_le_bytes());
    block[4..16].copy_from_slice(&k_scales::pack(
        multiples(|pair| pair.0),
        multiples(|pair| pair.1),
    ));
    for (bytes, pair) in block[16..]
        .chunks_exact_mut(GROUP)
        .zip(best.codes.as_chunks::<2>().0)
    {
        for (to, (&low, &high)) in bytes.iter_mut().zip(pair[0].iter().zip(&pair[1])) {
            *to = low as u8 | (high as u8) << 4;
        }
    }
}

#[cfg(test)]
#[expect(clippy::print_stdout, reason = "measured errors are worth seeing")]
mod tests {
    use super::*;
    use crate::quant::{FORMATS, Format};
    use crate::simd::tests::noise;

    /// Numbers that are nearly normal: sums of 4 even ones.
    fn normal(seed: u32, len: usize) -> Vec<f32> {
        noise(seed.into(), 4 * len)
            .chunks(4)
            .map(|four| four.iter().sum())
            .collect()
    }

    fn named(name: &str) -> &'static Format {
        FORMATS
            .iter()
            .find(|format| format.name == name)
            .expect("a format")
    }

    /// The sum of squared errors after rounding to a format.
    fn error(format: &Format, numbers: &[f32]) -> f64 {
        let mut blocks = vec![0; numbers.len() / format.block_len * format.block_bytes];
        let mut decoded = vec![0.0; numbers.len()];
        format.encode(numbers, &mut blocks);
        format.decode(&blocks, &mut decoded);
        let errors = numbers
            .iter()
            .zip(&decoded)
            .map(|(x, y)| f64::from(x - y).powi(2));
        errors.sum()
    }

    /// The slow twin: for each group all multiples of 25 pairs of `d` and `d_min` around those of the largest group.
    fn exhaustive(numbers: &[f32]) -> f64 {
        let mut x = [[0.0; GROUP]; GROUPS];
        x.as_flattened_mut().copy_from_slice(numbers);
        let wanted = x.map(|x| Line::best(&x));
        let largest = |of: fn(&Line) -> f32| wanted.iter().map(of).fold(0.0_f32, f32::max) / MAX_MULTIPLE;
        let (d, d_min) = (largest(|line| line.scale), largest(|line| line.minimum));
        let mut least = f64::INFINITY;
        for pair in 0..25 {
            let near = |unit: f32, at: i32| f16::from_f32(unit * (1.0 + 0.02 * (at - 2) as f32)).to_f32();
            let (d, d_min) = (near(d, pair % 5), near(d_min, pair / 5));
            let of_group = |x: &Group| {
                let multiples = (0..64 * 64).map(|pair| Line {
                    scale: d * (pair % 64) as f32,
                    minimum: d_min * (pair / 64) as f32,
                });
                let errors = multiples.map(|line| line.error(x, &line.codes(x)));
                f64::from(errors.fold(f32::INFINITY, f32::min))
            };
            least = least.min(x.iter().map(of_group).sum());
        }
        least
    }

    #[test]
    fn the_error_is_near_that_of_trying_all_multiples_and_below_that_of_q4_0() {
        let (mut found, mut twin, mut q4_0) = (0.0, 0.0, 0.0);
        for seed in 0..4 {
            let numbers = normal(seed, 256);
            found += error(named("Q4_K"), &numbers);
            twin += exhaustive(&numbers);
            q4_0 += error(named("Q4_0"), &numbers);
        }
        let (against_twin, against_q4_0) = ((found / twin).sqrt(), (found / q4_0).sqrt());
        println!("error against the twin's {against_twin:.4}, against Q4_0's {against_q4_0:.4}");
        assert!(against_twin < 1.02, "{against_twin}");
        assert!(against_q4_0 < 0.92, "{against_q4_0}");
    }

    #[test]
    fn numbers_that_a_block_holds_come_back() {
        let format = named("Q4_K");
        let held: Vec<f32> = (0..256).map(|i| ((i * 7 % 16) as f32 - 4.0) * 0.25).collect();
        for numbers in [vec![0.0; 256], vec![-5.0; 256], held] {
            let scale = numbers.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
            let mean = error(format, &numbers) / 256.0;
            assert!(
                mean.sqrt() <= 2e-3 * f64::from(scale),
                "{mean} of {:?}",
                &numbers[..4]
            );
        }
    }

    #[test]
    fn numbers_of_any_kind_are_rounded_without_a_fault() {
        for value in [
            f32::NAN,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::MAX,
            f32::MIN_POSITIVE,
            1e-30,
        ] {
            for at in [0, 77, 255] {
                let mut numbers = normal(9, 256);
                numbers[at] = value;
                let mut block = [0; 144];
                encode(&numbers, &mut block);
                encode(&[value; 256], &mut block);
            }
        }
    }
}
