//! `BF16`: the upper half of an `f32`.
//!
//! In a tile, two columns are the 16 pairs of their rows: a shift or a mask makes each an `f32`.

use super::tile::{Vector, float, part};
use super::{FloatFormat, Format};

pub(super) static FORMAT: Format = Format::float::<Bf16>("BF16", 30);

struct Bf16;

impl float::Layout for Bf16 {
    const BYTES: usize = 2;

    #[inline(always)]
    fn column<V: Vector>(v: V, block: &[u8], column: usize) -> V::Floats {
        let pairs = part(block, 64 * (column / 2));
        if column.is_multiple_of(2) {
            v.low_bf16(pairs)
        } else {
            v.high_bf16(pairs)
        }
    }
}

impl FloatFormat for Bf16 {
    const RUN: usize = 2;

    fn decode(bytes: &[u8]) -> f32 {
        half::bf16::from_le_bytes(*part(bytes, 0)).to_f32()
    }
}
