//! How the bytes of a slot of the cache are read and multiplied: one type for each way to keep keys and values.

use bytemuck::Pod;

use crate::kv_cache::PAGE_TOKENS;
use crate::simd::{LANES, Lanes};

/// Two numbers that are multiplied together: of a query, or the weights of two tokens.
const PAIRS: usize = LANES / 2;

/// How a slot's bytes are read; the layouts are in [`kv_cache`](crate::kv_cache).
pub(super) trait SlotFormat {
    /// Two dimensions of 16 keys.
    type KeyLine: Pod;
    /// 16 dimensions of one value or two.
    type ValueLine: Pod;
    /// What two numbers of 16 keys, or two values, are multiplied with.
    type Factors: Pod;
    /// Two numbers of 16 keys, or of 16 dimensions, ready to be multiplied.
    type Line<V: Lanes>: Copy;
    /// Whether 64 scales stand behind the keys, and behind the values.
    const SCALED: bool = false;
    fn keys<V: Lanes>(line: &Self::KeyLine) -> Self::Line<V>;
    /// Chunk `chunk` of tokens `2 pair` and `2 pair + 1`; of the first alone, if the second is `hidden`.
    fn values<V: Lanes>(
        lines: &[Self::ValueLine],
        n_chunks: usize,
        pair: usize,
        chunk: usize,
        hidden: bool,
    ) -> Self::Line<V>;
    /// To `sum` both products, one after the other.
    fn add<V: Lanes>(line: Self::Line<V>, factors: Self::Factors, sum: V) -> V;
    /// Keeps 16 factors as this type multiplies them.
    fn store<V: Lanes>(numbers: V, to: &mut [Self::Factors; PAIRS]);
}

pub(super) struct F32;

impl SlotFormat for F32 {
    type KeyLine = [[f32; LANES]; 2];
    type ValueLine = [f32; LANES];
    type Factors = [f32; 2];
    type Line<V: Lanes> = (V, V);

    #[inline(always)]
    fn keys<V: Lanes>(line: &Self::KeyLine) -> (V, V) {
        (V::load(&line[0]), V::load(&line[1]))
    }

    #[inline(always)]
    fn values<V: Lanes>(
        lines: &[Self::ValueLine],
        n_chunks: usize,
        pair: usize,
        chunk: usize,
        hidden: bool,
    ) -> (V, V) {
        let first = 2 * pair * n_chunks + chunk;
        let second = if hidden {
            V::splat(0.0)
        } else {
            V::load(&lines[first + n_chunks])
        };
        (V::load(&lines[first]), second)
    }

    #[inline(always)]
    fn add<V: Lanes>((first, second): (V, V), factors: [f32; 2], sum: V) -> V {
        let sum = first.mul_add(V::splat(factors[0]), sum);
        second.mul_add(V::splat(factors[1]), sum)
    }

    #[inline(always)]
    fn store<V: Lanes>(numbers: V, to: &mut [[f32; 2]; PAIRS]) {
        numbers.store(bytemuck::cast_mut(to));
    }
}

pub(super) struct Bf16;

impl SlotFormat for Bf16 {
    type KeyLine = [u32; LANES];
    type ValueLine = [u32; LANES];
    type Factors = u32;
    type Line<V: Lanes> = V::Pairs;

    #[inline(always)]
    fn keys<V: Lanes>(line: &Self::KeyLine) -> V::Pairs {
        V::load_pairs(line)
    }

    #[inline(always)]
    fn values<V: Lanes>(
        lines: &[Self::ValueLine],
        n_chunks: usize,
        pair: usize,
        chunk: usize,
        hidden: bool,
    ) -> V::Pairs {
        let line = &lines[pair * n_chunks + chunk];
        if hidden {
            V::load_low_halves(line)
        } else {
            V::load_pairs(line)
        }
    }

    #[inline(always)]
    fn add<V: Lanes>(line: V::Pairs, factors: u32, sum: V) -> V {
        sum.add_pairs(line, factors)
    }

    #[inline(always)]
    fn store<V: Lanes>(numbers: V, to: &mut [u32; PAIRS]) {
        numbers.store_bf16(bytemuck::cast_mut(to));
    }
}

pub(super) struct Int8;

impl SlotFormat for Int8 {
    type KeyLine = [[i8; LANES]; 2];
    type ValueLine = [i8; LANES];
    type Factors = [f32; 2];
    type Line<V: Lanes> = (V, V);
    const SCALED: bool = true;

    #[inline(always)]
    fn keys<V: Lanes>(line: &Self::KeyLine) -> (V, V) {
        (V::load_bytes(&line[0]), V::load_bytes(&line[1]))
    }

    #[inline(always)]
    fn values<V: Lanes>(
        lines: &[Self::ValueLine],
        n_chunks: usize,
        pair: usize,
        chunk: usize,
        hidden: bool,
    ) -> (V, V) {
        let first = 2 * pair * n_chunks + chunk;
        let second = if hidden {
            V::splat(0.0)
        } else {
            V::load_bytes(&lines[first + n_chunks])
        };
        (V::load_bytes(&lines[first]), second)
    }

    #[inline(always)]
    fn add<V: Lanes>(line: (V, V), factors: [f32; 2], sum: V) -> V {
        F32::add(line, factors, sum)
    }

    #[inline(always)]
    fn store<V: Lanes>(numbers: V, to: &mut [[f32; 2]; PAIRS]) {
        F32::store(numbers, to);
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
