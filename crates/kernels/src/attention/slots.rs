//! How the bytes of a slot of the cache are read: one type for each way to keep keys and values.

use bytemuck::Pod;

use crate::kv_cache::PAGE_TOKENS;
use crate::simd::{LANES, Lanes};

/// How a slot's bytes are read; the layouts are in [`kv_cache`](crate::kv_cache).
pub(super) trait SlotFormat {
    /// Two dimensions of 16 keys.
    type KeyLine: Pod;
    /// 16 dimensions of one value or two.
    type ValueLine: Pod;
    /// Whether 64 scales stand behind the keys, and behind the values.
    const SCALED: bool = false;
    fn keys<V: Lanes>(line: &Self::KeyLine) -> (V, V);
    /// Chunk `chunk` of tokens `2 pair` and `2 pair + 1`.
    fn values<V: Lanes>(lines: &[Self::ValueLine], n_chunks: usize, pair: usize, chunk: usize) -> (V, V);
}

pub(super) struct F32;

impl SlotFormat for F32 {
    type KeyLine = [[f32; LANES]; 2];
    type ValueLine = [f32; LANES];

    #[inline(always)]
    fn keys<V: Lanes>(line: &Self::KeyLine) -> (V, V) {
        (V::load(&line[0]), V::load(&line[1]))
    }

    #[inline(always)]
    fn values<V: Lanes>(lines: &[Self::ValueLine], n_chunks: usize, pair: usize, chunk: usize) -> (V, V) {
        let first = 2 * pair * n_chunks + chunk;
        (V::load(&lines[first]), V::load(&lines[first + n_chunks]))
    }
}

pub(super) struct Bf16;

impl SlotFormat for Bf16 {
    type KeyLine = [u32; LANES];
    type ValueLine = [u32; LANES];

    #[inline(always)]
    fn keys<V: Lanes>(line: &Self::KeyLine) -> (V, V) {
        V::load_bf16_pairs(line)
    }

    #[inline(always)]
    fn values<V: Lanes>(lines: &[Self::ValueLine], n_chunks: usize, pair: usize, chunk: usize) -> (V, V) {
        V::load_bf16_pairs(&lines[pair * n_chunks + chunk])
    }
}

pub(super) struct Int8;

impl SlotFormat for Int8 {
    type KeyLine = [[i8; LANES]; 2];
    type ValueLine = [i8; LANES];
    const SCALED: bool = true;

    #[inline(always)]
    fn keys<V: Lanes>(line: &Self::KeyLine) -> (V, V) {
        (V::load_bytes(&line[0]), V::load_bytes(&line[1]))
    }

    #[inline(always)]
    fn values<V: Lanes>(lines: &[Self::ValueLine], n_chunks: usize, pair: usize, chunk: usize) -> (V, V) {
        let first = 2 * pair * n_chunks + chunk;
        (
            V::load_bytes(&lines[first]),
            V::load_bytes(&lines[first + n_chunks]),
        )
    }
}

/// Numbers and scales of the keys or the values of a slot. Without scales there are none.
#[inline(always)]
pub(super) fn numbers_and_scales<S: SlotFormat, L: Pod>(half: &[u8]) -> (&[L], &[f32]) {
    let n_scale_bytes = if S::SCALED {
        PAGE_TOKENS * size_of::<f32>()
    } else {
        0
    };
    let (numbers, scales) = half.split_at(half.len() - n_scale_bytes);
    (bytemuck::cast_slice(numbers), bytemuck::cast_slice(scales))
}
