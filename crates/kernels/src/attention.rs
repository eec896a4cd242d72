//! Causal attention over the pages of [`KvCache`], for decoding and prefill alike.
//!
//! For each row and query head `h`, with `g = h / (n_heads / n_kv_heads)` its key/value head:
//!
//! `out[h] = sum_t p_t V[g][t]`, `p = softmax_t(scale * q[h] . K[g][t])`, over the positions `t` that the row sees.
//!
//! The softmax is taken online. The context is cut into splits of 1,024 positions, counted from the first; in each,
//! pages go in ascending order, each with one maximum and with sums of its own; then splits are added up in ascending
//! order. A page or split of which a row sees nothing changes no bit of that row, so a row's result does not depend on
//! the rows that share its tile, on how a prompt was cut into batches, or on threads. Blocks of rows of one sequence,
//! with all query heads of one key/value head, share what is read of keys and values. A unit of work is a block, or, where
//! there are few, one split of a block.
//!
//! `Bf16` multiplies pairs of bf16, queries and weights rounded like keys and values: two fused products in `f32`, which
//! `vdpbf16ps` does at once. With `Int8`, keys and values are widened to `f32` as they are multiplied; a score is
//! multiplied with its key's scale once, and a weight with its value's, so the inner loops are those of `F32`.
//!
//! What was tried is in `docs/decisions/038-attention-in-bf16-pairs.md`.

mod block;
mod slots;
mod tile;

use std::marker::PhantomData;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use block::{Block, Partial};
use slots::{Bf16, F32, Int8, SlotFormat};

use crate::kv_cache::{KvCache, KvType, PAGE_TOKENS, PageId};
use crate::pool::{Pool, SharedSlice};
use crate::simd::{self, Lanes};

/// One sequence's share of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Span<'a> {
    /// Its first row among the activations.
    pub first_row: usize,
    /// Its rows.
    pub n_rows: usize,
    /// Position of the first of them.
    pub position: usize,
    /// Its pages in order: page `i` holds positions `64 i .. 64 i + 63`.
    pub pages: &'a [PageId],
}

/// What to attend to, in which layer.
#[derive(Clone, Copy, Debug)]
pub struct Attention<'a> {
    /// Layer of the cache.
    pub layer: usize,
    /// Query heads; a multiple of the cache's key/value heads.
    pub n_heads: usize,
    /// Multiplies the scores.
    pub scale: f32,
    /// A row sees the last so many positions, its own included; `None`: all.
    pub window: Option<usize>,
    /// `Some(c)` bends scores `s` to `c tanh(s / c)`.
    pub soft_cap: Option<f32>,
    /// A score for each query head that takes part in the softmax and has no value.
    pub sinks: Option<&'a [f32]>,
    /// Sequences, in ascending order of rows.
    pub spans: &'a [Span<'a>],
}

/// Buffers of the workers, kept from call to call.
#[derive(Default)]
pub struct AttentionScratch {
    workers: Vec<Mutex<Worker>>,
    /// Of units that are splits of one block.
    splits: Vec<Mutex<Partial>>,
}

#[derive(Default)]
struct Worker {
    block: Block,
    total: Partial,
}

/// Rows of queries (tokens times heads of a group) that share one pass over the pages: their state stays in the
/// second-level cache, and a long prompt still splits into enough blocks for all workers.
const BLOCK_ROWS: usize = 48;
/// Below this many multiplications, nobody is woken.
const GRAIN_PRODUCTS: usize = 1 << 16;
/// Pages of a split. Part of what results are: another number gives other bits.
const SPLIT_PAGES: usize = 16;
/// Blocks for each worker from which on splits are not work for several.
const MANY_BLOCKS: usize = 8;

impl Span<'_> {
    /// Row, page and place in the page of each token.
    pub(crate) fn cells(&self) -> impl Iterator<Item = (usize, PageId, usize)> {
        (0..self.n_rows).map(|row| {
            let position = self.position + row;
            (
                self.first_row + row,
                self.pages[position / PAGE_TOKENS],
                position % PAGE_TOKENS,
            )
        })
    }

    /// The row behind its last one, after all checks: the kernels write unchecked where this allows it, so no sum
    /// here may wrap.
    pub(crate) fn check(&self, n_rows: usize, n_pages: usize) -> usize {
        let end = self.first_row.checked_add(self.n_rows);
        let Some(end) = end.filter(|&end| end <= n_rows) else {
            panic!("{self:?} leaves the {n_rows} rows");
        };
        let end_position = self.position.checked_add(self.n_rows);
        assert!(
            end_position.is_some_and(|end| end.div_ceil(PAGE_TOKENS) <= self.pages.len()),
            "{self:?} leaves its pages"
        );
        assert!(
            self.pages.iter().all(|&page| (page as usize) < n_pages),
            "{self:?} leaves {n_pages} pages"
        );
        end
    }
}

/// Attends with `q`, `[n_rows, n_heads, head_dim]`, and writes `out` of the same shape. The keys and values of the
/// rows themselves must already be written, see [`write_kv`](crate::kv_cache::write_kv).
///
/// # Panics
/// If shapes do not fit each other, or spans overlap or leave rows or pages.
pub fn attention(
    pool: &Pool,
    scratch: &mut AttentionScratch,
    cache: &KvCache,
    attention: &Attention<'_>,
    q: &[f32],
    out: &mut [f32],
) {
    attention.check(cache, q.len(), out.len());
    match cache.shape().kv_type {
        KvType::F32 => Call::<F32>::new(pool, cache, attention, q, out).run(scratch),
        KvType::Bf16 => Call::<Bf16>::new(pool, cache, attention, q, out).run(scratch),
        KvType::Int8 => Call::<Int8>::new(pool, cache, attention, q, out).run(scratch),
    }
}

impl Attention<'_> {
    fn check(&self, cache: &KvCache, q_len: usize, out_len: usize) {
        let head_dim = cache.shape().head_dim;
        let Some(row_len) = self.n_heads.checked_mul(head_dim) else {
            panic!("{} heads of {head_dim} numbers", self.n_heads);
        };
        assert!(
            self.n_heads.is_multiple_of(cache.shape().n_kv_heads),
            "query heads in groups of one size"
        );
        assert!(
            q_len == out_len && q_len.is_multiple_of(row_len),
            "whole rows of queries"
        );
        assert!(
            self.sinks.is_none_or(|sinks| sinks.len() == self.n_heads),
            "a sink for each query head"
        );
        let mut end = 0;
        for span in self.spans {
            assert!(span.first_row >= end, "spans overlap at row {end}");
            end = span.check(q_len / row_len, cache.n_pages());
        }
    }

    /// The first position that a row at `position` sees.
    #[inline(always)]
    fn first_seen(&self, position: usize) -> usize {
        self.window
            .map_or(0, |window| (position + 1).saturating_sub(window))
    }
}

/// Rows of a sequence with the query heads of a key/value head.
struct Rows<'a> {
    span: &'a Span<'a>,
    /// Counted from the span's first.
    rows: Range<usize>,
    head: usize,
    /// The pages of which they see anything.
    pages: Range<usize>,
}

/// A block, or one split of it: the block's number, the pages, and where to keep what a split has found.
struct Unit {
    block: usize,
    pages: Range<usize>,
    split: Option<usize>,
}

struct Call<'a, S> {
    pool: &'a Pool,
    cache: &'a KvCache,
    attention: &'a Attention<'a>,
    q: &'a [f32],
    out: SharedSlice<'a, f32>,
    /// Query heads for each key/value head.
    group: usize,
    blocks: Vec<Rows<'a>>,
    format: PhantomData<fn() -> S>,
}

impl<'a, S: SlotFormat> Call<'a, S> {
    fn new(
        pool: &'a Pool,
        cache: &'a KvCache,
        attention: &'a Attention<'a>,
        q: &'a [f32],
        out: &'a mut [f32],
    ) -> Call<'a, S> {
        let n_kv_heads = cache.shape().n_kv_heads;
        let group = attention.n_heads / n_kv_heads;
        let together = (BLOCK_ROWS / group).max(1);
        let mut blocks = Vec::new();
        for span in attention.spans {
            for start in (0..span.n_rows).step_by(together) {
                let rows = start..span.n_rows.min(start + together);
                let pages = Block::pages(attention, span.position + start, rows.len());
                blocks.extend((0..n_kv_heads).map(|head| Rows {
                    span,
                    rows: rows.clone(),
                    head,
                    pages: pages.clone(),
                }));
            }
        }
        Call {
            pool,
            cache,
            attention,
            q,
            out: SharedSlice::new(out),
            group,
            blocks,
            format: PhantomData,
        }
    }

    fn run(&self, scratch: &mut AttentionScratch) {
        scratch.workers.resize_with(self.pool.threads(), Mutex::default);
        let (units, n_splits) = self.units();
        if scratch.splits.len() < n_splits {
            scratch.splits.resize_with(n_splits, Mutex::default);
        }
        let scratch = &*scratch;
        let grain = if self.n_products() < GRAIN_PRODUCTS {
            units.len()
        } else {
            1
        };
        self.pool.for_each_range(units.len(), grain, &|worker, range| {
            let mut worker = lock(&scratch.workers[worker]);
            for unit in &units[range] {
                let rows = &self.blocks[unit.block];
                let Worker { block, total } = &mut *worker;
                if let Some(split) = unit.split {
                    self.pass(block, rows, unit.pages.clone(), &mut lock(&scratch.splits[split]));
                } else {
                    self.pass(block, rows, unit.pages.clone(), total);
                    self.finish(rows, total);
                }
            }
        });
        self.join(scratch, &units);
    }

    /// Blocks where there are many of them; else splits, and how many of them there are.
    fn units(&self) -> (Vec<Unit>, usize) {
        let split_up = self.pool.threads() > 1 && self.blocks.len() < MANY_BLOCKS * self.pool.threads();
        let (mut units, mut n_splits) = (Vec::new(), 0);
        for (block, rows) in self.blocks.iter().enumerate() {
            let Range { mut start, end } = rows.pages;
            while start < end {
                let next = if split_up {
                    end.min((start / SPLIT_PAGES + 1) * SPLIT_PAGES)
                } else {
                    end
                };
                let whole = rows.pages == (start..next);
                units.push(Unit {
                    block,
                    pages: start..next,
                    split: (!whole).then_some(n_splits),
                });
                n_splits += usize::from(!whole);
                start = next;
            }
        }
        (units, n_splits)
    }

    /// About how many multiplications there are.
    fn n_products(&self) -> usize {
        let products = |rows: &Rows<'_>| {
            let n_seen = (rows.pages.len() * PAGE_TOKENS).min(rows.span.position + rows.rows.end);
            rows.rows.len() * n_seen
        };
        self.group * self.cache.shape().head_dim * self.blocks.iter().map(products).sum::<usize>()
    }

    /// Sets `total` to what these rows find in these pages.
    fn pass(&self, block: &mut Block, rows: &Rows<'_>, pages: Range<usize>, total: &mut Partial) {
        let head_dim = self.cache.shape().head_dim;
        let n_rows = rows.rows.len() * self.group;
        block.begin(rows.span.position + rows.rows.start, n_rows, self.group, head_dim);
        total.begin(n_rows, head_dim);
        let is_first = pages.start == rows.pages.start;
        if let Some(sinks) = self.attention.sinks.filter(|_| is_first) {
            total.add_sinks(&sinks[rows.head * self.group..][..self.group]);
        }
        let pass = Pass {
            call: self,
            block,
            rows,
            pages,
            total,
        };
        simd::run_pairs(self.pool.isa(), pass);
    }

    /// Adds up the splits of each block, in order.
    fn join(&self, scratch: &AttentionScratch, units: &[Unit]) {
        let mut rest = units
            .iter()
            .filter_map(|unit| unit.split.map(|split| (unit.block, split)));
        let mut next = rest.next();
        while let Some((block, split)) = next {
            let mut total = lock(&scratch.splits[split]);
            next = rest.next();
            while let Some((_, other)) = next.filter(|(other, _)| *other == block) {
                let other = &lock(&scratch.splits[other]);
                simd::run(self.pool.isa(), Merge(&mut total, other));
                next = rest.next();
            }
            self.finish(&self.blocks[block], &total);
        }
    }

    fn finish(&self, rows: &Rows<'_>, total: &Partial) {
        for (index, row) in rows.rows.clone().enumerate() {
            // SAFETY: spans do not overlap, so this row and head belong to this block alone, and one worker finishes it.
            let out = unsafe { self.out.range_mut(self.numbers(rows, row)) };
            total.finish(index * self.group, self.cache.shape().head_dim, out);
        }
    }

    /// Where the heads of a row lie in queries and results.
    fn numbers(&self, rows: &Rows<'_>, row: usize) -> Range<usize> {
        let head_dim = self.cache.shape().head_dim;
        let first_head = (rows.span.first_row + row) * self.attention.n_heads + rows.head * self.group;
        first_head * head_dim..(first_head + self.group) * head_dim
    }
}

/// A worker that panicked left nothing that the next call would read.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One unit over its pages.
struct Pass<'a, S> {
    call: &'a Call<'a, S>,
    block: &'a mut Block,
    rows: &'a Rows<'a>,
    pages: Range<usize>,
    total: &'a mut Partial,
}

impl<S: SlotFormat> simd::Task for Pass<'_, S> {
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let Pass {
            call,
            block,
            rows,
            pages,
            total,
        } = self;
        for row in rows.rows.clone() {
            block.add_queries::<V, S>(&call.q[call.numbers(rows, row)], call.attention.scale);
        }
        let stream = (call.cache, rows.head, rows.span.pages);
        block.pass::<V, S>(call.attention, stream, pages, total);
    }
}

struct Merge<'a>(&'a mut Partial, &'a Partial);

impl simd::Task for Merge<'_> {
    #[inline(always)]
    fn run<V: Lanes>(self) {
        self.0.merge::<V>(self.1);
    }
}

#[cfg(test)]
mod tests;
