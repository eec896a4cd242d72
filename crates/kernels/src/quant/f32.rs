//! `F32`: plain numbers.
//!
//! In a tile, each column is the 16 numbers of its rows.

use super::tile::{Vector, float, part};
use super::{FloatFormat, Format};

pub(super) static FORMAT: Format = Format::float::<F32>("F32", 0);

struct F32;

impl float::Layout for F32 {
    const BYTES: usize = 4;

    #[inline(always)]
    fn column<V: Vector>(v: V, block: &[u8], column: usize) -> V::Floats {
        v.load_f32(part(block, 64 * column))
    }
}

impl FloatFormat for F32 {
    const RUN: usize = 1;

    fn decode(bytes: &[u8]) -> f32 {
        f32::from_le_bytes(*part(bytes, 0))
    }
}
