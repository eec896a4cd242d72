//! `F8`: 32 floating point numbers of 8 bits, 4 of exponent and 3 of mantissa (`e4m3fn`), and a scale, `w = d q`: what folders
//! with weights of fp8 hold, whether a scale is for a tensor, a row or a square of 128.
//!
//! It comes from such folders alone. As bytes, a block is `d: f32, q: [u8; 32]`.
//!
//! In a tile, a block is 16 `d` and 32 columns of the bytes of 16 rows. Moved up by 7 bits, such a number is a half that is
//! 256 times smaller, subnormals included; so the product is formed as `(q / 256) (256 d)`, which is rounded as `q d` is
//! while 256 d is finite. The two codes that are no numbers would be ±480; whoever composes blocks refuses them.
//!
//! The kernel is the one of floating point numbers: sums of bytes do not hold a range of 2^18.

use half::f16;

use super::tile::{ROWS, STEP, Vector, float, part};
use super::{Coded, Format};

pub(super) static FORMAT: Format = Format::scaled_float::<F8>("F8", CODED);

const CODED: Coded = Coded {
    max_code: 255,
    is_float: true,
    holds: |scale, zero| (scale * 256.0).is_finite() && zero == 0,
    compose,
};

struct F8;

/// Where the columns of a block of a tile begin; the scales come first.
const COLUMNS: usize = 64;

impl float::Layout for F8 {
    const BYTES: usize = 1;
    const BLOCK: usize = COLUMNS + ROWS * STEP;

    #[inline(always)]
    fn column<V: Vector>(v: V, block: &[u8], column: usize) -> V::Floats {
        let d = v.mul(v.load_f32(part(block, 0)), v.splat(256.0));
        v.mul(v.load_f8(part(block, COLUMNS + ROWS * column)), d)
    }
}

impl super::ScaledFloatFormat for F8 {
    const HEAD: &'static [usize] = &[4];

    fn decode(head: &[u8], code: u8) -> f32 {
        small_half(code).to_f32() * (f32::from_le_bytes(*part(head, 0)) * 256.0)
    }
}

/// The number that a code stands for, over 256.
pub(super) fn small_half(code: u8) -> f16 {
    let bits = u16::from(code);
    f16::from_bits((bits & 0x80) << 8 | (bits & 0x7f) << 7)
}

fn compose(scale: f32, _zero: u16, codes: &[u8], block: &mut [u8]) {
    block[..4].copy_from_slice(&scale.to_le_bytes());
    block[4..].copy_from_slice(codes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_its_number() {
        for code in 0..=u8::MAX {
            let (exponent, mantissa) = (i32::from(code >> 3 & 15), f64::from(code & 7));
            let expected = match exponent {
                0 => mantissa / 8.0 * 2_f64.powi(-6),
                _ => (1.0 + mantissa / 8.0) * 2_f64.powi(exponent - 7),
            };
            let expected = if code < 128 { expected } else { -expected };
            assert_eq!(f64::from(small_half(code).to_f32()) * 256.0, expected, "{code}");
        }
    }
}
