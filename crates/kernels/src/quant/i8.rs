//! `I8`: 32 weights of 8 bits with a whole zero point, `w = d (q - z)`: what files of GPTQ and compressed-tensors hold
//! where `Q8_0` does not hold it exactly.
//!
//! It comes from such files alone. As bytes, a block is `d: f32, z: f16, q: [u8; 32]`; halves hold all zero points up to 2048.
//!
//! In a tile, a block is 16 `d`, 16 `z` and 32 columns of the bytes of 16 rows. The kernel is the one of floating point
//! numbers, and computes `q - z` and its product with `d` as they are written here: `q - z` has 9 bits, more than products of bytes
//! can take, and a minimum beside them would be rounded. It is slower than `Q8_0` and rarely met: nearly all files have scales that
//! a half holds, and the zero point 128.

use half::f16;

use super::tile::{ROWS, STEP, Vector, float, part};
use super::{Coded, Format};

pub(super) static FORMAT: Format = Format::scaled_float::<I8>("I8", CODED);

const CODED: Coded = Coded {
    max_code: 255,
    is_float: false,
    holds: |scale, zero| scale.is_finite() && zero <= 2048,
    compose,
};

struct I8;

/// Where the parts of a block of a tile begin; the scales come first.
const ZEROS: usize = 64;
const COLUMNS: usize = 96;

impl float::Layout for I8 {
    const BYTES: usize = 1;
    const BLOCK: usize = COLUMNS + ROWS * STEP;

    #[inline(always)]
    fn column<V: Vector>(v: V, block: &[u8], column: usize) -> V::Floats {
        let q = v.load_u8(part(block, COLUMNS + ROWS * column));
        let q = v.mul_add(v.load_f16(part(block, ZEROS)), v.splat(-1.0), q);
        v.mul(q, v.load_f32(part(block, 0)))
    }
}

impl super::ScaledFloatFormat for I8 {
    const HEAD: &'static [usize] = &[4, 2];

    fn decode(head: &[u8], code: u8) -> f32 {
        let zero = f16::from_le_bytes(*part(head, 4)).to_f32();
        (f32::from(code) - zero) * f32::from_le_bytes(*part(head, 0))
    }
}

fn compose(scale: f32, zero: u16, codes: &[u8], block: &mut [u8]) {
    block[..4].copy_from_slice(&scale.to_le_bytes());
    block[4..6].copy_from_slice(&f16::from_f32(f32::from(zero)).to_le_bytes());
    block[6..].copy_from_slice(codes);
}
