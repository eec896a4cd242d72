//! Activations as the kernels read them: quantised to bytes, 32 at a time, for integer formats.
//!
//! A step of 32 activations becomes `x = scale * q` with `q` in -127..=127:
//!
//! - `scale = max |x| / 127`, `q = round(x * (127 / max |x|))`, halves to even;
//! - where the largest is below 1e-30, all `q` and the scale are zero;
//! - where one is infinite or not a number, all `q` are zero and the scale is NaN: whatever is computed with such a
//!   token is NaN, and no other token changes.

use super::tile::{Correction, CorrectionKind, STEP};
use crate::isa::Isa;

/// Below this the reciprocal would leave the range of `f32`.
const LEAST: f32 = 1e-30;
/// `1.5 * 2^23`: added to a small number it leaves the nearest integer in the low bits of the mantissa.
const ROUND: f32 = 12_582_912.0;
const INFINITY_BITS: u32 = 0x7f80_0000;
const SIGN_BIT: u32 = 0x8000_0000;

/// A step of quantised activations.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct QuantizedStep {
    pub(crate) bytes: [i8; STEP],
    pub(crate) scale: f32,
    /// Of the first and the second 16 bytes: the sum of the first two of each 4, and of the last two.
    pub(crate) sums: [[i32; 2]; 2],
}

/// What becomes of the steps of a row.
trait Sink {
    /// Called for each step in order. Must be `#[inline(always)]`, to be compiled with the instructions of the caller.
    fn take(&mut self, step: usize, quantized: &QuantizedStep);
}

/// Quantises steps of a row; the last one, if not full, is filled up with zeros.
///
/// Compiled as one with its sink, once per instruction set: with a call for each step and the sink compiled for any
/// CPU, a step took some 110 ns on Zen 5.
fn quantize_row(isa: Isa, row: &[f32], sink: &mut impl Sink) {
    match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a pool is only made for an instruction set that the CPU has, and `isa` is that of the pool.
        Isa::Avx2 | Isa::AvxVnni => unsafe { quantize_row_avx2(row, sink) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Isa::Avx512 => unsafe { quantize_row_avx512(row, sink) },
        _ => quantize_steps::<Portable>(row, sink),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn quantize_row_avx2(row: &[f32], sink: &mut impl Sink) {
    quantize_steps::<Portable>(row, sink);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl,avx512dq")]
fn quantize_row_avx512(row: &[f32], sink: &mut impl Sink) {
    quantize_steps::<Avx512>(row, sink);
}

/// Steps whose scales are worked out together: the divisions are vectors then.
const TOGETHER: usize = 16;

/// How a step is rounded.
trait Rounding {
    /// The bits of the largest absolute number: as integers, positive floats keep their order, and infinity and NaN come last.
    fn largest_bits(x: &[f32; STEP]) -> u32;
    /// Each number times `factor` as an integer, and [`QuantizedStep::sums`], given that no product is larger than 127.
    fn round(x: &[f32; STEP], factor: f32) -> ([i8; STEP], [[i32; 2]; 2]);
}

struct Portable;

impl Rounding for Portable {
    #[inline(always)]
    fn largest_bits(x: &[f32; STEP]) -> u32 {
        x.iter()
            .fold(0, |largest: u32, x| largest.max(x.to_bits() & !SIGN_BIT))
    }

    #[inline(always)]
    fn round(x: &[f32; STEP], factor: f32) -> ([i8; STEP], [[i32; 2]; 2]) {
        // Loops, not `map`, which is a call to code for any CPU.
        let (mut rounded, mut bytes) = ([0; STEP], [0; STEP]);
        for (rounded, x) in rounded.iter_mut().zip(x) {
            *rounded = (x * factor + ROUND).to_bits().cast_signed() - ROUND.to_bits().cast_signed();
        }
        for (byte, rounded) in bytes.iter_mut().zip(&rounded) {
            *byte = *rounded as i8;
        }
        // By lanes first, which the compiler makes vectors of.
        let sums = |half: &[i32]| {
            let mut sums = [0; 4];
            for word in half.as_chunks::<4>().0 {
                for (sum, q) in sums.iter_mut().zip(word) {
                    *sum += q;
                }
            }
            [sums[0] + sums[1], sums[2] + sums[3]]
        };
        (bytes, [sums(&rounded[..STEP / 2]), sums(&rounded[STEP / 2..])])
    }
}

/// Only used in code for AVX-512, which the CPU then has: the promise that its `unsafe` blocks rest on.
///
/// Written out, because what the compiler makes of [`Portable`] takes 100 cycles a step, most of them shuffles.
#[cfg(target_arch = "x86_64")]
struct Avx512;

#[cfg(target_arch = "x86_64")]
impl Rounding for Avx512 {
    #[inline(always)]
    fn largest_bits(x: &[f32; STEP]) -> u32 {
        use std::arch::x86_64::*;
        // SAFETY: AVX-512 is there, see the type; there are 32 numbers.
        unsafe {
            let absolute = _mm512_set1_epi32((!SIGN_BIT).cast_signed());
            let first = _mm512_and_si512(_mm512_loadu_si512(x.as_ptr().cast()), absolute);
            let second = _mm512_and_si512(_mm512_loadu_si512(x[16..].as_ptr().cast()), absolute);
            _mm512_reduce_max_epi32(_mm512_max_epi32(first, second)).cast_unsigned()
        }
    }

    #[inline(always)]
    fn round(x: &[f32; STEP], factor: f32) -> ([i8; STEP], [[i32; 2]; 2]) {
        use std::arch::x86_64::*;
        const FIRST: i32 = 1;
        const SECOND: i32 = 1 << 16;
        let (mut bytes, mut sums) = ([0; STEP], [[0; 2]; 2]);
        // SAFETY: AVX-512 is there, see the type; the arrays have 32 numbers, 32 bytes and twice two sums. The conversion
        // rounds halves to even, as nothing in this program changes.
        unsafe {
            let factor = _mm512_set1_ps(factor);
            let half = |x: &[f32]| {
                let x = _mm512_mul_ps(_mm512_loadu_ps(x.as_ptr()), factor);
                _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(x))
            };
            let all = _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(half(&x[..16])), half(&x[16..]));
            _mm256_storeu_si256(bytes.as_mut_ptr().cast(), all);
            // Of each word the first two and the last two bytes side by side, then each kind added up within its half.
            let pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), all);
            let first_two = _mm256_madd_epi16(pairs, _mm256_set1_epi32(FIRST));
            let last_two = _mm256_madd_epi16(pairs, _mm256_set1_epi32(SECOND));
            let by_kind = _mm256_hadd_epi32(first_two, last_two);
            let by_kind = _mm256_hadd_epi32(by_kind, by_kind);
            _mm_storel_epi64(sums[0].as_mut_ptr().cast(), _mm256_castsi256_si128(by_kind));
            _mm_storel_epi64(
                sums[1].as_mut_ptr().cast(),
                _mm256_extracti128_si256::<1>(by_kind),
            );
        }
        (bytes, sums)
    }
}

#[inline(always)]
fn quantize_steps<R: Rounding>(row: &[f32], sink: &mut impl Sink) {
    let (steps, rest) = row.as_chunks::<STEP>();
    for (group, steps) in steps.chunks(TOGETHER).enumerate() {
        quantize_together::<R>(steps, group * TOGETHER, sink);
    }
    if !rest.is_empty() {
        let mut x = [0.0; STEP];
        x[..rest.len()].copy_from_slice(rest);
        quantize_together::<R>(&[x], steps.len(), sink);
    }
}

/// Up to [`TOGETHER`] steps, the first of which is number `first` of its row.
#[inline(always)]
fn quantize_together<R: Rounding>(steps: &[[f32; STEP]], first: usize, sink: &mut impl Sink) {
    let mut largest = [0; TOGETHER];
    for (largest, x) in largest.iter_mut().zip(steps) {
        *largest = R::largest_bits(x);
    }
    // What numbers are multiplied with, 0 if they are not to be, and what a unit is worth.
    let (mut factors, mut scales) = ([0.0; TOGETHER], [0.0; TOGETHER]);
    for i in 0..TOGETHER {
        let value = f32::from_bits(largest[i]);
        let is_finite = largest[i] < INFINITY_BITS;
        let is_tiny = value < LEAST;
        factors[i] = if is_finite && !is_tiny { 127.0 / value } else { 0.0 };
        let scale = if is_tiny { 0.0 } else { value / 127.0 };
        scales[i] = if is_finite { scale } else { f32::NAN };
    }
    for (i, x) in steps.iter().enumerate() {
        let (bytes, sums) = if factors[i] == 0.0 {
            ([0; STEP], [[0; 2]; 2])
        } else {
            R::round(x, factors[i])
        };
        let quantized = QuantizedStep {
            bytes,
            scale: scales[i],
            sums,
        };
        sink.take(first + i, &quantized);
    }
}

/// Where a column of a panel is written: the slices of a panel of `columns` columns.
pub(crate) struct PanelMut<'a> {
    pub(crate) columns: usize,
    /// Empty if no product wants the bytes by fours.
    pub(crate) words: &'a mut [i32],
    /// Empty if no product wants the bytes as pairs of 16 bits.
    pub(crate) pairs: &'a mut [i32],
    pub(crate) scales: &'a mut [f32],
    /// For each correction that a product of the step needs.
    pub(crate) corrections: Vec<(Correction, &'a mut [u32])>,
}

impl PanelMut<'_> {
    /// Quantises the activations of one column.
    pub(crate) fn fill_column(&mut self, isa: Isa, column: usize, row: &[f32]) {
        quantize_row(isa, row, &mut Column { panel: self, column });
    }
}

/// A column of a panel, to be filled.
struct Column<'a, 'b> {
    panel: &'a mut PanelMut<'b>,
    column: usize,
}

impl Sink for Column<'_, '_> {
    #[inline(always)]
    fn take(&mut self, step: usize, quantized: &QuantizedStep) {
        const WORDS: usize = STEP / 4;
        let (column, columns) = (self.column, self.panel.columns);
        let panel = &mut *self.panel;
        let at = step * columns + column;
        if !panel.words.is_empty() {
            let cells = &mut panel.words[step * WORDS * columns + column..][..(WORDS - 1) * columns + 1];
            let words = quantized.bytes.as_chunks::<4>().0;
            for (cell, word) in cells.iter_mut().step_by(columns).zip(words) {
                *cell = i32::from_le_bytes(word.map(i8::cast_unsigned));
            }
        }
        if !panel.pairs.is_empty() {
            let cells =
                &mut panel.pairs[2 * step * WORDS * columns + column..][..(2 * WORDS - 1) * columns + 1];
            for (i, pair) in quantized.bytes.as_chunks::<2>().0.iter().enumerate() {
                cells[i * columns] = two_halves(pair.map(i32::from)).cast_signed();
            }
        }
        panel.scales[at] = quantized.scale;
        for (correction, values) in &mut panel.corrections {
            let [first, second] = quantized.sums;
            if correction.group == STEP {
                let sums = [first[0] + second[0], first[1] + second[1]];
                values[at] = correction.value(sums, quantized.scale);
            } else {
                let at = 2 * step * columns + column;
                values[at] = correction.value(first, quantized.scale);
                values[at + columns] = correction.value(second, quantized.scale);
            }
        }
    }
}

/// Two numbers of 16 bits in a word, the first one lowest.
#[inline(always)]
fn two_halves([low, high]: [i32; 2]) -> u32 {
    low.cast_unsigned() & 0xffff | high.cast_unsigned() << 16
}

impl Correction {
    /// Values per step of 32 columns.
    pub(crate) fn per_step(self) -> usize {
        if self.kind == CorrectionKind::None {
            0
        } else {
            STEP / self.group
        }
    }

    #[inline(always)]
    fn value(self, sums: [i32; 2], scale: f32) -> u32 {
        match self.kind {
            CorrectionKind::None => 0,
            CorrectionKind::Offset(offset) => (-offset * (sums[0] + sums[1])).cast_unsigned(),
            CorrectionKind::OffsetOfPairs(offset) => two_halves(sums.map(|sum| -offset * sum)),
            CorrectionKind::Minimum => ((sums[0] + sums[1]) as f32 * scale).to_bits(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Sink for Vec<QuantizedStep> {
        fn take(&mut self, step: usize, quantized: &QuantizedStep) {
            assert_eq!(step, self.len());
            self.push(*quantized);
        }
    }

    fn quantized(isa: Isa, row: &[f32]) -> Vec<QuantizedStep> {
        let mut steps = Vec::new();
        quantize_row(isa, row, &mut steps);
        steps
    }

    #[test]
    fn all_instruction_sets_quantise_alike_whatever_the_numbers() {
        let rows: Vec<Vec<f32>> = vec![
            (0..70).map(|i| (i as f32 - 31.5) * 0.3).collect(),
            (0..32)
                .map(|i| if i == 7 { f32::MAX } else { i as f32 })
                .collect(),
            (0..32)
                .map(|i| if i == 7 { f32::NAN } else { i as f32 })
                .collect(),
            (0..32)
                .map(|i| if i == 7 { f32::NEG_INFINITY } else { i as f32 })
                .collect(),
            (0..32).map(|i| i as f32 * f32::MIN_POSITIVE).collect(),
            vec![-0.0; 5],
        ];
        for row in &rows {
            let expected = quantized(Isa::Scalar, row);
            assert_eq!(expected.len(), row.len().div_ceil(STEP));
            for isa in Isa::available() {
                for (step, expected) in quantized(isa, row).iter().zip(&expected) {
                    assert_eq!(
                        (step.bytes, step.sums),
                        (expected.bytes, expected.sums),
                        "{isa:?}"
                    );
                    assert!(step.scale == expected.scale || step.scale.is_nan() && expected.scale.is_nan());
                }
            }
        }
    }

    #[test]
    fn the_largest_activation_becomes_127_and_sums_are_those_of_the_bytes() {
        let row: Vec<f32> = (0..32).map(|i| -(i as f32)).collect();
        let step = quantized(Isa::Scalar, &row)[0];
        assert_eq!(step.bytes[31], -127);
        assert_eq!(step.scale, 31.0 / 127.0);
        for (half, sums) in step.sums.iter().enumerate() {
            let sum = |pair: usize| {
                let of_pair = |i: &usize| i % 4 / 2 == pair && i / 16 == half;
                let bytes = (0..32).filter(of_pair).map(|i| i32::from(step.bytes[i]));
                bytes.sum::<i32>()
            };
            assert_eq!(*sums, [sum(0), sum(1)]);
        }
    }
}
