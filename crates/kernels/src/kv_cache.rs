//! Keys and values of past tokens, in pages of 64 tokens.
//!
//! A page has one *slot* per layer and key/value head. A slot is what attention streams through: first all keys,
//! then all values, each in the order in which they are multiplied. With `d` the head's dimension, rounded up to 16:
//!
//! | | keys: 4 groups of 16 tokens | values |
//! |---|---|---|
//! | `F32` | `[4][d][16 tokens]` | `[64 tokens][d]` |
//! | `Bf16` | `[4][d / 2][16 tokens][2 dims]` | `[64 / 2][d / 16][16 dims][2 tokens]` |
//! | `Int8` | `[4][d][16 tokens]`, then 64 `f32` | `[64 tokens][d]`, then 64 `f32` |
//!
//! `Int8` keeps, of each token's key and value, whole numbers from -127 to 127 and, behind them all, what a unit is
//! worth: `largest / 127`, with the largest magnitude of the head's numbers.
//!
//! so a register of scores holds 16 tokens, and one of outputs 16 dimensions, without sums across lanes. Slots of one
//! layer and head lie side by side, so the stream runs on where a sequence has consecutive pages.

use memmap2::MmapMut;

use crate::attention::Span;
use crate::pool::Pool;
use crate::simd::{self, LANES, Lanes};

/// Tokens per page.
pub const PAGE_TOKENS: usize = 64;
/// Number of a page in its cache.
pub type PageId = u32;

/// Groups of tokens whose scores share a register.
pub(crate) const PAGE_GROUPS: usize = PAGE_TOKENS / LANES;

/// Numbers below this are zero in pages of bf16, so that no product or sum of attention is too small for instructions that
/// take the smallest numbers for zero: products are multiples of 2^-114.
pub(crate) const LEAST_BF16: f32 = f32::from_bits((127 - 50) << 23);

/// How a number is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KvType {
    /// 4 bytes, exact.
    F32,
    /// 2 bytes, rounded to 8 bits of precision.
    Bf16,
    /// 1 byte, and one scale for the key and one for the value of each token and head.
    Int8,
}

/// What a cache keeps per token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KvShape {
    /// Layers with attention.
    pub n_layers: usize,
    /// Key/value heads of each.
    pub n_kv_heads: usize,
    /// Numbers per head; even.
    pub head_dim: usize,
    /// How they are kept.
    pub kv_type: KvType,
}

impl KvShape {
    /// Bytes of a page: keys and values of 64 tokens in all layers.
    pub fn page_bytes(&self) -> usize {
        self.n_layers * self.n_kv_heads * self.slot_bytes()
    }

    /// Dimensions as stored: padded with zeros to whole registers.
    pub(crate) fn stored_dim(&self) -> usize {
        self.head_dim.next_multiple_of(LANES)
    }

    fn slot_bytes(&self) -> usize {
        2 * (self.number_bytes() + self.scale_bytes())
    }

    /// Of all keys of a slot, or of all values.
    fn number_bytes(&self) -> usize {
        let bytes_per_number = match self.kv_type {
            KvType::F32 => 4,
            KvType::Bf16 => 2,
            KvType::Int8 => 1,
        };
        PAGE_TOKENS * self.stored_dim() * bytes_per_number
    }

    /// Of the scales behind keys or values.
    fn scale_bytes(&self) -> usize {
        match self.kv_type {
            KvType::F32 | KvType::Bf16 => 0,
            KvType::Int8 => PAGE_TOKENS * size_of::<f32>(),
        }
    }
}

/// Why a cache could not be made.
#[derive(Debug, thiserror::Error)]
pub enum KvCacheError {
    /// More bytes or page numbers than there can be.
    #[error("{n_pages} pages of {page_bytes} bytes are more than can be addressed; configure fewer pages")]
    TooLarge {
        /// Pages asked for.
        n_pages: usize,
        /// Size of one.
        page_bytes: usize,
    },
    /// The system refused the memory.
    #[error("the system refused {bytes} bytes for the key/value cache: {source}; configure fewer pages")]
    Memory {
        /// Bytes asked for.
        bytes: usize,
        /// The system's reason.
        source: std::io::Error,
    },
}

/// The pages. Who uses which page is the engine's business.
pub struct KvCache {
    shape: KvShape,
    n_pages: usize,
    /// `[n_layers][n_kv_heads][n_pages][slot_bytes]`
    memory: MmapMut,
}

impl KvCache {
    /// Reserves `n_pages` pages of zeros; the system gives the memory as they are first written to.
    ///
    /// # Errors
    /// If that is more memory than can be addressed or than the system grants.
    pub fn new(shape: KvShape, n_pages: usize) -> Result<KvCache, KvCacheError> {
        let too_large = || KvCacheError::TooLarge {
            n_pages,
            page_bytes: shape.page_bytes(),
        };
        if PageId::try_from(n_pages).is_err() {
            return Err(too_large());
        }
        let bytes = n_pages.checked_mul(shape.page_bytes()).ok_or_else(too_large)?;
        if isize::try_from(bytes).is_err() {
            return Err(too_large());
        }
        let memory =
            MmapMut::map_anon(bytes.max(1)).map_err(|source| KvCacheError::Memory { bytes, source })?;
        // Attention reads long streams, which small pages slow down; where the advice is refused it is only slower.
        #[cfg(target_os = "linux")]
        let _ = memory.advise(memmap2::Advice::HugePage);
        Ok(KvCache {
            shape,
            n_pages,
            memory,
        })
    }

    /// How many pages there are; ids are below.
    pub fn n_pages(&self) -> usize {
        self.n_pages
    }

    /// What is kept per token.
    pub fn shape(&self) -> &KvShape {
        &self.shape
    }

    /// Copies the first `n_tokens` tokens of page `from` to page `to`, in all layers. The rest of `to` is unspecified.
    ///
    /// # Panics
    /// If a page or token is out of range.
    pub fn copy_tokens(&mut self, from: PageId, to: PageId, n_tokens: usize) {
        assert!(
            n_tokens <= PAGE_TOKENS,
            "a page holds {PAGE_TOKENS} tokens, not {n_tokens}"
        );
        let slot_bytes = self.shape.slot_bytes();
        // Whole groups of keys, whole pairs of values and all scales: more than asked for, and contiguous.
        let half = slot_bytes / 2;
        let numbers = self.shape.number_bytes();
        let keys = numbers / PAGE_GROUPS * n_tokens.div_ceil(LANES);
        let values = numbers / (PAGE_TOKENS / 2) * n_tokens.div_ceil(2);
        for layer in 0..self.shape.n_layers {
            for head in 0..self.shape.n_kv_heads {
                let from = self.slot_index(layer, head, from) * slot_bytes;
                let to = self.slot_index(layer, head, to) * slot_bytes;
                self.memory.copy_within(from..from + keys, to);
                self.memory
                    .copy_within(from + half..from + half + values, to + half);
                for scales in [numbers, half + numbers] {
                    let end = scales + self.shape.scale_bytes();
                    self.memory.copy_within(from + scales..from + end, to + scales);
                }
            }
        }
    }

    /// Keys and values of one head in one page.
    pub(crate) fn slot(&self, layer: usize, head: usize, page: PageId) -> &[u8] {
        let slot_bytes = self.shape.slot_bytes();
        let start = self.slot_index(layer, head, page) * slot_bytes;
        &self.memory[start..start + slot_bytes]
    }

    fn slot_index(&self, layer: usize, head: usize, page: PageId) -> usize {
        let page = page as usize;
        let &KvShape {
            n_layers, n_kv_heads, ..
        } = &self.shape;
        assert!(
            layer < n_layers && head < n_kv_heads && page < self.n_pages,
            "no layer {layer}, head {head}, page {page} in a cache of {n_layers}, {n_kv_heads}, {}",
            self.n_pages
        );
        (layer * n_kv_heads + head) * self.n_pages + page
    }
}

/// Writes the keys and values of new tokens, `k` and `v` `[n_rows, n_kv_heads, head_dim]`, to their pages.
///
/// # Panics
/// If spans reach beyond the rows, their pages, or the cache.
pub fn write_kv(pool: &Pool, cache: &mut KvCache, layer: usize, spans: &[Span<'_>], k: &[f32], v: &[f32]) {
    let KvShape {
        n_layers,
        n_kv_heads,
        head_dim,
        kv_type,
    } = cache.shape;
    let row_len = n_kv_heads * head_dim;
    assert!(layer < n_layers, "no layer {layer} in a cache of {n_layers}");
    assert!(
        k.len() == v.len() && k.len().is_multiple_of(row_len),
        "whole rows of keys and values"
    );
    for span in spans {
        span.check(k.len() / row_len, cache.n_pages);
    }
    let slot_bytes = cache.shape.slot_bytes();
    let head_bytes = cache.n_pages * slot_bytes;
    let layer_bytes = n_kv_heads * head_bytes;
    let slots = &mut cache.memory[layer * layer_bytes..(layer + 1) * layer_bytes];
    // All slots of a head go to one worker, so even spans that share a page cannot race. A few rows are not worth
    // waking anybody.
    let grain = GRAIN_NUMBERS.div_ceil(k.len() / n_kv_heads + 1);
    pool.for_each_chunk(slots, head_bytes.max(1), grain, |first_head, slots| {
        for (index, slots) in slots.chunks_exact_mut(head_bytes).enumerate() {
            let column = (first_head + index) * head_dim;
            for (row, page, token) in spans.iter().flat_map(Span::cells) {
                let slot = &mut slots[page as usize * slot_bytes..][..slot_bytes];
                let numbers = row * row_len + column..row * row_len + column + head_dim;
                let write = Write {
                    slot,
                    token,
                    k: &k[numbers.clone()],
                    v: &v[numbers],
                    kv_type,
                };
                simd::run(pool.isa(), write);
            }
        }
    });
}

/// Sets one token of a slot.
struct Write<'a> {
    slot: &'a mut [u8],
    token: usize,
    k: &'a [f32],
    v: &'a [f32],
    kv_type: KvType,
}

impl simd::Task for Write<'_> {
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let Write {
            slot,
            token,
            k,
            v,
            kv_type,
        } = self;
        match kv_type {
            KvType::F32 => write_f32(bytemuck::cast_slice_mut(slot), token, k, v),
            KvType::Bf16 => write_bf16::<V>(bytemuck::cast_slice_mut(slot), token, k, v),
            KvType::Int8 => write_int8(slot, token, k, v),
        }
    }
}

/// A worker is woken for at least this many numbers.
const GRAIN_NUMBERS: usize = 8192;

#[inline(always)]
fn write_f32(slot: &mut [f32], token: usize, k: &[f32], v: &[f32]) {
    let stored_dim = k.len().next_multiple_of(LANES);
    let (keys, values) = slot.split_at_mut(PAGE_TOKENS * stored_dim);
    let group = &mut keys[token / LANES * stored_dim * LANES..][..stored_dim * LANES];
    for (cell, &number) in group.iter_mut().skip(token % LANES).step_by(LANES).zip(k) {
        *cell = number;
    }
    values[token * stored_dim..][..v.len()].copy_from_slice(v);
}

/// As [`write_f32`], rounding to nearest, ties to even. A word holds two dimensions of a key, or one of two values.
#[inline(always)]
fn write_bf16<V: Lanes>(slot: &mut [u32], token: usize, k: &[f32], v: &[f32]) {
    let stored_dim = k.len().next_multiple_of(LANES);
    let (keys, values) = slot.split_at_mut(PAGE_TOKENS / 2 * stored_dim);
    let group = &mut keys[token / LANES * stored_dim / 2 * LANES..][..stored_dim / 2 * LANES];
    for (lines, numbers) in group.chunks_exact_mut(LANES / 2 * LANES).zip(k.chunks(LANES)) {
        let pairs: [u32; LANES / 2] = bytemuck::cast(nearest_bf16::<V>(numbers));
        for (line, pair) in lines.chunks_exact_mut(LANES).zip(pairs) {
            line[token % LANES] = pair;
        }
    }
    let pair = &mut values[token / 2 * stored_dim..][..stored_dim];
    let (kept, shift) = if token.is_multiple_of(2) {
        (0xffff_0000, 0)
    } else {
        (0xffff, 16)
    };
    for (words, numbers) in pair.chunks_exact_mut(LANES).zip(v.chunks(LANES)) {
        for (word, number) in words.iter_mut().zip(nearest_bf16::<V>(numbers)) {
            *word = *word & kept | u32::from(number) << shift;
        }
    }
}

/// Up to 16 numbers, and zeros behind them.
#[inline(always)]
fn nearest_bf16<V: Lanes>(numbers: &[f32]) -> [u16; LANES] {
    let mut lanes = [0.0; LANES];
    lanes[..numbers.len()].copy_from_slice(numbers);
    let x = V::load(&lanes);
    let size = x.max(V::splat(0.0).sub(x));
    let mut nearest = [0; LANES];
    x.zero_where_below(size, V::splat(LEAST_BF16))
        .store_bf16(&mut nearest);
    nearest
}

/// As [`write_f32`], each head's numbers in units of their own.
#[inline(always)]
fn write_int8(slot: &mut [u8], token: usize, k: &[f32], v: &[f32]) {
    let stored_dim = k.len().next_multiple_of(LANES);
    let (keys, values) = slot.split_at_mut(slot.len() / 2);
    let (keys, key_scales) = keys.split_at_mut(PAGE_TOKENS * stored_dim);
    let (values, value_scales) = values.split_at_mut(PAGE_TOKENS * stored_dim);
    let unit = Unit::of(k);
    bytemuck::cast_slice_mut::<u8, f32>(key_scales)[token] = unit.worth;
    let group = &mut keys[token / LANES * stored_dim * LANES..][..stored_dim * LANES];
    for (cell, &number) in group.iter_mut().skip(token % LANES).step_by(LANES).zip(k) {
        *cell = unit.count(number).cast_unsigned();
    }
    let unit = Unit::of(v);
    bytemuck::cast_slice_mut::<u8, f32>(value_scales)[token] = unit.worth;
    for (cell, &number) in values[token * stored_dim..].iter_mut().zip(v) {
        *cell = unit.count(number).cast_unsigned();
    }
}

/// What the whole numbers of a head count.
#[derive(Clone, Copy)]
pub(crate) struct Unit {
    /// NaN if a number is not finite, so that the fault is not lost.
    pub(crate) worth: f32,
    per_unit: f32,
}

impl Unit {
    #[inline(always)]
    pub(crate) fn of(numbers: &[f32]) -> Unit {
        let mut largest = 0.0_f32;
        let mut zero = 0.0_f32;
        for number in numbers {
            largest = largest.max(number.abs());
            zero += number * 0.0;
        }
        if zero != 0.0 {
            return Unit {
                worth: f32::NAN,
                per_unit: 0.0,
            };
        }
        // Less has no reciprocal that is a number.
        if largest < 1e-30 {
            return Unit {
                worth: 0.0,
                per_unit: 0.0,
            };
        }
        Unit {
            worth: largest / 127.0,
            per_unit: 127.0 / largest,
        }
    }

    /// `number` in whole units.
    #[inline(always)]
    pub(crate) fn count(self, number: f32) -> i8 {
        (number * self.per_unit).round_ties_even() as i8
    }
}
