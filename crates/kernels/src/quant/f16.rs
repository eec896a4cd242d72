//! `F16`: half precision, 5 bits of exponent and 10 of mantissa.
//!
//! In a tile, each column is the 16 numbers of its rows.

use super::tile::{Vector, float, part};
use super::{FloatFormat, Format};

pub(super) static FORMAT: Format = Format::float::<F16>("F16", 1);

struct F16;

impl float::Layout for F16 {
    const BYTES: usize = 2;

    #[inline(always)]
    fn column<V: Vector>(v: V, block: &[u8], column: usize) -> V::Floats {
        v.load_f16(part(block, 32 * column))
    }
}

impl FloatFormat for F16 {
    const RUN: usize = 1;

    fn decode(bytes: &[u8]) -> f32 {
        half::f16::from_le_bytes(*part(bytes, 0)).to_f32()
    }
}
