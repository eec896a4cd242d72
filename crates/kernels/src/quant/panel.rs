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
    /// The sums of the first and the second 16 bytes.
    pub(crate) sums: [i32; 2],
}

/// Quantises steps of a row; the last one, if not full, is filled up with zeros.
///
/// `sink(step, quantized)` is called for each step in order.
pub(crate) fn quantize_row(isa: Isa, row: &[f32], sink: &mut dyn FnMut(usize, &QuantizedStep)) {
    match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a pool is only made for an instruction set that the CPU has, and `isa` is that of the pool.
        Isa::Avx2 | Isa::Avx512 => unsafe { quantize_row_avx2(row, sink) },
        _ => quantize_steps(row, sink),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn quantize_row_avx2(row: &[f32], sink: &mut dyn FnMut(usize, &QuantizedStep)) {
    quantize_steps(row, sink);
}

#[inline(always)]
fn quantize_steps(row: &[f32], sink: &mut dyn FnMut(usize, &QuantizedStep)) {
    let (steps, rest) = row.as_chunks::<STEP>();
    for (step, x) in steps.iter().enumerate() {
        sink(step, &quantize_step(x));
    }
    if !rest.is_empty() {
        let mut x = [0.0; STEP];
        x[..rest.len()].copy_from_slice(rest);
        sink(steps.len(), &quantize_step(&x));
    }
}

#[inline(always)]
fn quantize_step(x: &[f32; STEP]) -> QuantizedStep {
    // As integers, positive floats keep their order, and infinity and NaN come last.
    let largest_bits = x
        .iter()
        .fold(0, |largest: u32, x| largest.max(x.to_bits() & !SIGN_BIT));
    let largest = f32::from_bits(largest_bits);
    if largest_bits >= INFINITY_BITS {
        return QuantizedStep {
            bytes: [0; STEP],
            scale: f32::NAN,
            sums: [0; 2],
        };
    }
    if largest < LEAST {
        return QuantizedStep {
            bytes: [0; STEP],
            scale: 0.0,
            sums: [0; 2],
        };
    }
    let factor = 127.0 / largest;
    let rounded = x.map(|x| (x * factor + ROUND).to_bits().cast_signed() - ROUND.to_bits().cast_signed());
    let sum = |half: &[i32]| half.iter().sum::<i32>();
    QuantizedStep {
        bytes: rounded.map(|q| q as i8),
        scale: largest / 127.0,
        sums: [sum(&rounded[..STEP / 2]), sum(&rounded[STEP / 2..])],
    }
}

/// Where a column of a panel is written: the slices of a panel of `columns` columns.
pub(crate) struct PanelMut<'a> {
    pub(crate) columns: usize,
    pub(crate) words: &'a mut [i32],
    pub(crate) scales: &'a mut [f32],
    /// For each correction that a product of the step needs.
    pub(crate) corrections: Vec<(Correction, &'a mut [u32])>,
}

impl PanelMut<'_> {
    /// Quantises the activations of one column.
    pub(crate) fn fill_column(&mut self, isa: Isa, column: usize, row: &[f32]) {
        const WORDS: usize = STEP / 4;
        let columns = self.columns;
        quantize_row(isa, row, &mut |step, quantized| {
            let at = step * columns + column;
            let words = &mut self.words[at * WORDS..][..WORDS];
            for (word, bytes) in words.iter_mut().zip(quantized.bytes.as_chunks::<4>().0) {
                *word = i32::from_le_bytes(bytes.map(i8::cast_unsigned));
            }
            self.scales[at] = quantized.scale;
            for (correction, values) in &mut self.corrections {
                let groups = STEP / correction.group;
                for group in 0..groups {
                    let sum = if groups == 1 {
                        quantized.sums[0] + quantized.sums[1]
                    } else {
                        quantized.sums[group]
                    };
                    values[(step * groups + group) * columns + column] =
                        correction.value(sum, quantized.scale);
                }
            }
        });
    }
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

    fn value(self, sum: i32, scale: f32) -> u32 {
        match self.kind {
            CorrectionKind::None => 0,
            CorrectionKind::Offset(offset) => (-offset * sum).cast_unsigned(),
            CorrectionKind::Minimum => (sum as f32 * scale).to_bits(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            let mut expected = Vec::new();
            quantize_row(Isa::Scalar, row, &mut |_, step| expected.push(*step));
            assert_eq!(expected.len(), row.len().div_ceil(STEP));
            for isa in Isa::available() {
                quantize_row(isa, row, &mut |i, step| {
                    assert_eq!(
                        (step.bytes, step.sums),
                        (expected[i].bytes, expected[i].sums),
                        "{isa:?}"
                    );
                    assert!(
                        step.scale == expected[i].scale || step.scale.is_nan() && expected[i].scale.is_nan()
                    );
                });
            }
        }
    }

    #[test]
    fn the_largest_activation_becomes_127_and_sums_are_those_of_the_bytes() {
        let row: Vec<f32> = (0..32).map(|i| -(i as f32)).collect();
        quantize_row(Isa::Scalar, &row, &mut |_, step| {
            assert_eq!(step.bytes[31], -127);
            assert_eq!(step.scale, 31.0 / 127.0);
            assert_eq!(step.sums[0], step.bytes[..16].iter().map(|&q| i32::from(q)).sum());
            assert_eq!(step.sums[1], step.bytes[16..].iter().map(|&q| i32::from(q)).sum());
        });
    }
}
