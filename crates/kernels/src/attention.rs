//! Causal attention over the pages of [`KvCache`], for decoding and prefill alike.
//!
//! For each row and query head `h`, with `g = h / (n_heads / n_kv_heads)` its key/value head:
//!
//! `out[h] = sum_t p_t V[g][t]`, `p = softmax_t(scale * q[h] . K[g][t])`, over the positions `t` that the row sees.
//!
//! The softmax is taken online: pages in ascending order, in each page one maximum, one rescaling and the sums in a
//! fixed order. A page of which a row sees nothing changes no bit of that row, so a row's result does not depend on
//! the rows that share its tile, on how a prompt was cut into batches, or on threads. The unit of work is a block of
//! rows of one sequence with all query heads of one key/value head: keys and values are read once for all of them.
//!
//! With `Int8`, keys and values are widened to `f32` as they are multiplied; a score is multiplied with its key's scale
//! once, and a weight with its value's, so the inner loops are those of the other types and only bytes are fewer.

mod slots;

use std::sync::{Mutex, PoisonError};

use slots::{Bf16, F32, Int8, SlotFormat, numbers_and_scales};

use crate::kv_cache::{KvCache, KvType, PAGE_GROUPS, PAGE_TOKENS, PageId};
use crate::pool::{Pool, SharedSlice};
use crate::simd::{self, LANES, Lanes, lanes_at, lanes_at_mut};

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
    /// Sequences, in ascending order of rows.
    pub spans: &'a [Span<'a>],
}

/// Buffers of the workers, kept from call to call.
#[derive(Default)]
pub struct AttentionScratch {
    blocks: Vec<Mutex<Block>>,
}

/// Rows of queries (tokens times heads of a group) that share one pass over the pages: their state stays in the
/// second-level cache, and a long prompt still splits into enough blocks for all workers.
const BLOCK_ROWS: usize = 48;
/// Below this many multiplications, nobody is woken.
const GRAIN_PRODUCTS: usize = 1 << 16;

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
    let head_dim = cache.shape().head_dim;
    let Some(row_len) = attention.n_heads.checked_mul(head_dim) else {
        panic!("{} heads of {head_dim} numbers", attention.n_heads);
    };
    let n_kv_heads = cache.shape().n_kv_heads;
    assert!(
        attention.n_heads.is_multiple_of(n_kv_heads),
        "query heads in groups of one size"
    );
    assert!(
        q.len() == out.len() && q.len().is_multiple_of(row_len),
        "whole rows of queries"
    );
    let mut end = 0;
    for span in attention.spans {
        assert!(span.first_row >= end, "spans overlap at row {end}");
        end = span.check(q.len() / row_len, cache.n_pages());
    }
    scratch.blocks.resize_with(pool.threads(), Mutex::default);
    let group = attention.n_heads / n_kv_heads;
    let out = SharedSlice::new(out);
    let n_units = attention.n_blocks(group) * n_kv_heads;
    let grain = if attention.n_products(row_len) < GRAIN_PRODUCTS {
        n_units
    } else {
        1
    };
    pool.for_each_range(n_units, grain, &|worker, units| {
        let mut block = scratch.blocks[worker]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for unit in units {
            let (span, rows) = attention.block(group, unit / n_kv_heads);
            let head = unit % n_kv_heads;
            block.begin(span, rows.clone(), group, head_dim);
            let numbers = |row: usize| {
                let start = (span.first_row + row) * row_len + head * group * head_dim;
                start..start + group * head_dim
            };
            for row in rows.clone() {
                block.add_queries(&q[numbers(row)], attention.scale);
            }
            simd::run(
                pool.isa(),
                Pass {
                    block: &mut block,
                    attention,
                    cache,
                    head,
                    pages: span.pages,
                },
            );
            for (index, row) in rows.enumerate() {
                // SAFETY: spans do not overlap, so this row and head belong to this unit alone.
                let out = unsafe { out.range_mut(numbers(row)) };
                block.finish(index, out);
            }
        }
    });
}

impl Attention<'_> {
    fn n_blocks(&self, group: usize) -> usize {
        self.spans
            .iter()
            .map(|span| span.n_rows.div_ceil(block_tokens(group)))
            .sum()
    }

    /// The span of a block and its rows, counted from the span's first.
    fn block(&self, group: usize, mut block: usize) -> (&Span<'_>, std::ops::Range<usize>) {
        for span in self.spans {
            let n_blocks = span.n_rows.div_ceil(block_tokens(group));
            if block < n_blocks {
                let start = block * block_tokens(group);
                return (span, start..span.n_rows.min(start + block_tokens(group)));
            }
            block -= n_blocks;
        }
        unreachable!("blocks are counted over the same spans");
    }

    /// About how many multiplications there are.
    fn n_products(&self, row_len: usize) -> usize {
        self.spans
            .iter()
            .map(|span| span.n_rows * (span.position + span.n_rows) * row_len)
            .sum()
    }

    /// The first position that a row at `position` sees.
    #[inline(always)]
    fn first_seen(&self, position: usize) -> usize {
        self.window
            .map_or(0, |window| (position + 1).saturating_sub(window))
    }
}

fn block_tokens(group: usize) -> usize {
    (BLOCK_ROWS / group).max(1)
}

/// Query rows in work, token after token, the heads of a group side by side, with what is known of their results.
#[derive(Default)]
struct Block {
    /// Heads per token.
    group: usize,
    /// Position of the first token.
    position: usize,
    head_dim: usize,
    n_rows: usize,
    /// `[n_rows, head_dim]`, scaled.
    queries: Vec<f32>,
    /// `[n_rows, 64]`: scores of the page in work, then their exponentials.
    scores: Vec<f32>,
    /// `[n_rows, stored_dim]`: values weighted by exponentials, so far.
    sums: Vec<f32>,
    /// `[n_rows]`: the greatest score so far.
    greatest: Vec<f32>,
    /// `[n_rows, 16]`: exponentials added up so far, lane by lane.
    weights: Vec<f32>,
}

impl Block {
    fn begin(&mut self, span: &Span<'_>, rows: std::ops::Range<usize>, group: usize, head_dim: usize) {
        let n_rows = rows.len() * group;
        *self = Block {
            group,
            position: span.position + rows.start,
            head_dim,
            n_rows,
            queries: refilled(&mut self.queries, 0, 0.0),
            scores: refilled(&mut self.scores, n_rows * PAGE_TOKENS, 0.0),
            sums: refilled(&mut self.sums, n_rows * head_dim.next_multiple_of(LANES), 0.0),
            // Finite, so that a page of which nothing is seen leaves it: -inf minus it is -inf, not NaN.
            greatest: refilled(&mut self.greatest, n_rows, f32::MIN),
            weights: refilled(&mut self.weights, n_rows * LANES, 0.0),
        };
    }

    fn add_queries(&mut self, q: &[f32], scale: f32) {
        self.queries.extend(q.iter().map(|q| q * scale));
    }

    /// Writes the result of token `index`: `out` is `[group, head_dim]`.
    fn finish(&self, index: usize, out: &mut [f32]) {
        let stored_dim = self.head_dim.next_multiple_of(LANES);
        for (head, out) in out.chunks_exact_mut(self.head_dim).enumerate() {
            let row = index * self.group + head;
            let mut lanes = *lanes_at(&self.weights, row * LANES);
            for half in [8, 4, 2, 1] {
                for lane in 0..half {
                    lanes[lane] += lanes[lane + half];
                }
            }
            for (out, sum) in out.iter_mut().zip(&self.sums[row * stored_dim..]) {
                *out = sum / lanes[0];
            }
        }
    }

    #[inline(always)]
    fn position_of(&self, row: usize) -> usize {
        self.position + row / self.group
    }
}

/// The buffer emptied and filled anew, without giving its memory back.
fn refilled(buffer: &mut Vec<f32>, len: usize, value: f32) -> Vec<f32> {
    let mut buffer = std::mem::take(buffer);
    buffer.clear();
    buffer.resize(len, value);
    buffer
}

/// One block over all its pages.
struct Pass<'a> {
    block: &'a mut Block,
    attention: &'a Attention<'a>,
    cache: &'a KvCache,
    head: usize,
    pages: &'a [PageId],
}

impl simd::Task for Pass<'_> {
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let Pass {
            block,
            attention,
            cache,
            head,
            pages,
        } = self;
        let first_page = attention.first_seen(block.position) / PAGE_TOKENS;
        let last_page = block.position_of(block.n_rows - 1) / PAGE_TOKENS;
        for (page, &id) in pages.iter().enumerate().take(last_page + 1).skip(first_page) {
            let slot = cache.slot(attention.layer, head, id);
            match cache.shape().kv_type {
                KvType::F32 => block.attend::<V, F32>(attention, page * PAGE_TOKENS, slot),
                KvType::Bf16 => block.attend::<V, Bf16>(attention, page * PAGE_TOKENS, slot),
                KvType::Int8 => block.attend::<V, Int8>(attention, page * PAGE_TOKENS, slot),
            }
        }
    }
}

/// The rows of the next tile, `n_left` being left: as many as the registers hold, of the few numbers that
/// [`by_rows`] is compiled for.
#[inline(always)]
fn tile_rows<V: Lanes>(n_left: usize) -> usize {
    [12, 6, 4, 3, 2]
        .into_iter()
        .find(|&n_rows| n_rows <= n_left.min(V::ROWS))
        .unwrap_or(1)
}

/// Calls `$kernel::<V, S, ROWS, WIDE>` with the number of rows as a constant, and as many vectors side by side as the
/// registers have room for: with one row, a single vector would wait for each of its additions.
macro_rules! by_rows {
    ($n_rows:expr, $kernel:ident, $args:tt) => {
        match $n_rows {
            12 if V::ROWS >= 12 => $kernel::<V, S, 12, 1> $args,
            6 if V::ROWS >= 12 => $kernel::<V, S, 6, 2> $args,
            4 if V::ROWS >= 12 => $kernel::<V, S, 4, 2> $args,
            4 if V::ROWS >= 4 => $kernel::<V, S, 4, 1> $args,
            3 if V::ROWS >= 12 => $kernel::<V, S, 3, 4> $args,
            3 if V::ROWS >= 3 => $kernel::<V, S, 3, 1> $args,
            2 if V::ROWS >= 12 => $kernel::<V, S, 2, 4> $args,
            2 if V::ROWS >= 2 => $kernel::<V, S, 2, 2> $args,
            1 if V::ROWS >= 4 => $kernel::<V, S, 1, 4> $args,
            _ => $kernel::<V, S, 1, 1> $args,
        }
    };
}

/// A tile of rows in one page.
struct Tile {
    first_row: usize,
    /// Tokens of the page that its last row sees, from the page's first.
    n_tokens: usize,
}

impl Block {
    /// Adds a page, which starts at position `start`, to all rows.
    #[inline(always)]
    fn attend<V: Lanes, S: SlotFormat>(&mut self, attention: &Attention<'_>, start: usize, slot: &[u8]) {
        let (keys, values) = slot.split_at(slot.len() / 2);
        let (keys, key_scales) = numbers_and_scales::<S, S::KeyLine>(keys);
        let (values, value_scales) = numbers_and_scales::<S, S::ValueLine>(values);
        let mut end_row = 0;
        while end_row < self.n_rows {
            let first_row = end_row;
            end_row += tile_rows::<V>(self.n_rows - first_row);
            let last_position = self.position_of(end_row - 1);
            let first_seen = attention.first_seen(self.position_of(first_row));
            if last_position < start || first_seen >= start + PAGE_TOKENS {
                continue;
            }
            let tile = Tile {
                first_row,
                n_tokens: PAGE_TOKENS.min(last_position + 1 - start),
            };
            by_rows!(end_row - first_row, score, (self, &tile, keys, key_scales));
            for row in first_row..end_row {
                let position = self.position_of(row);
                let first_seen = attention
                    .first_seen(position)
                    .saturating_sub(start)
                    .min(PAGE_TOKENS);
                let n_seen = (position + 1).saturating_sub(start).min(PAGE_TOKENS);
                self.weigh::<V, S>(row, first_seen..n_seen.max(first_seen), value_scales);
            }
            by_rows!(end_row - first_row, add_values, (self, &tile, values));
        }
    }

    /// Turns a row's scores into exponentials, of which only `seen` count, and rescales what was summed before if
    /// there is a new greatest score. What values are multiplied with has their `scales` in it.
    #[inline(always)]
    fn weigh<V: Lanes, S: SlotFormat>(&mut self, row: usize, seen: std::ops::Range<usize>, scales: &[f32]) {
        let scores = &mut self.scores[row * PAGE_TOKENS..][..PAGE_TOKENS];
        scores[..seen.start].fill(f32::NEG_INFINITY);
        scores[seen.end..].fill(f32::NEG_INFINITY);
        let mut score = [V::splat(0.0); PAGE_GROUPS];
        for (group, score) in score.iter_mut().enumerate() {
            *score = V::load(lanes_at(scores, group * LANES));
        }
        let greatest = score[0].max(score[1]).max(score[2].max(score[3])).greatest();
        let weights = lanes_at_mut(&mut self.weights, row * LANES);
        let mut weight = V::load(weights);
        let before = self.greatest[row];
        if greatest > before {
            self.greatest[row] = greatest;
            let factor = V::splat(before).sub(V::splat(greatest)).exp();
            weight = weight.mul(factor);
            let stored_dim = self.head_dim.next_multiple_of(LANES);
            for sum in self.sums[row * stored_dim..][..stored_dim]
                .as_chunks_mut::<LANES>()
                .0
            {
                V::load(sum).mul(factor).store(sum);
            }
        }
        let greatest = V::splat(self.greatest[row]);
        for (group, score) in score.iter_mut().enumerate() {
            *score = score.sub(greatest).exp();
            let mut factor = *score;
            if S::SCALED {
                factor = factor.mul(V::load(lanes_at(scales, group * LANES)));
            }
            factor.store(lanes_at_mut(scores, group * LANES));
        }
        weight
            .add(score[0].add(score[1]).add(score[2].add(score[3])))
            .store(weights);
    }
}

/// Scores of `ROWS` rows against the keys of a page, `WIDE` groups of 16 tokens at a time. Each score adds up its
/// dimensions in ascending order.
#[expect(
    clippy::needless_range_loop,
    reason = "loops over constants, to be unrolled into registers"
)]
#[inline(always)]
fn score<V: Lanes, S: SlotFormat, const ROWS: usize, const WIDE: usize>(
    block: &mut Block,
    tile: &Tile,
    keys: &[S::KeyLine],
    scales: &[f32],
) {
    let n_pairs = block.head_dim / 2;
    let group_lines = keys.len() / PAGE_GROUPS;
    let mut queries: [&[[f32; 2]]; ROWS] = [&[]; ROWS];
    for row in 0..ROWS {
        let first = (tile.first_row + row) * block.head_dim;
        queries[row] = &block.queries[first..first + block.head_dim].as_chunks().0[..n_pairs];
    }
    for first_group in (0..tile.n_tokens.div_ceil(LANES)).step_by(WIDE) {
        let mut lines: [&[S::KeyLine]; WIDE] = [&[]; WIDE];
        for wide in 0..WIDE {
            lines[wide] = &keys[(first_group + wide) * group_lines..][..n_pairs];
        }
        let mut sums = [[V::splat(0.0); WIDE]; ROWS];
        for pair in 0..n_pairs {
            for wide in 0..WIDE {
                let (even, odd) = S::keys::<V>(&lines[wide][pair]);
                for row in 0..ROWS {
                    sums[row][wide] = even.mul_add(V::splat(queries[row][pair][0]), sums[row][wide]);
                }
                for row in 0..ROWS {
                    sums[row][wide] = odd.mul_add(V::splat(queries[row][pair][1]), sums[row][wide]);
                }
            }
        }
        for row in 0..ROWS {
            for wide in 0..WIDE {
                let group = first_group + wide;
                let mut score = sums[row][wide];
                if S::SCALED {
                    score = score.mul(V::load(lanes_at(scales, group * LANES)));
                }
                let at = (tile.first_row + row) * PAGE_TOKENS + group * LANES;
                score.store(lanes_at_mut(&mut block.scores, at));
            }
        }
    }
}

/// Adds the values of a page, weighted, to `ROWS` rows, `WIDE` chunks of 16 dimensions at a time.
#[inline(always)]
fn add_values<V: Lanes, S: SlotFormat, const ROWS: usize, const WIDE: usize>(
    block: &mut Block,
    tile: &Tile,
    values: &[S::ValueLine],
) {
    let n_chunks = block.head_dim.div_ceil(LANES);
    let whole = n_chunks / WIDE * WIDE;
    for chunk in (0..whole).step_by(WIDE) {
        add_chunks::<V, S, ROWS, WIDE>(block, tile, values, chunk);
    }
    for chunk in whole..n_chunks {
        add_chunks::<V, S, ROWS, 1>(block, tile, values, chunk);
    }
}

/// Each sum takes the tokens in ascending order. No token behind the tile's last one is touched: what lies there is
/// another sequence's, and if it were infinite, even a weight of zero would not keep it out.
#[expect(
    clippy::needless_range_loop,
    reason = "loops over constants, to be unrolled into registers"
)]
#[inline(always)]
fn add_chunks<V: Lanes, S: SlotFormat, const ROWS: usize, const WIDE: usize>(
    block: &mut Block,
    tile: &Tile,
    values: &[S::ValueLine],
    first_chunk: usize,
) {
    let n_chunks = block.head_dim.div_ceil(LANES);
    let at = |row: usize, wide: usize| ((tile.first_row + row) * n_chunks + first_chunk + wide) * LANES;
    let mut sums = [[V::splat(0.0); WIDE]; ROWS];
    for row in 0..ROWS {
        for wide in 0..WIDE {
            sums[row][wide] = V::load(lanes_at(&block.sums, at(row, wide)));
        }
    }
    let n_pairs = tile.n_tokens / 2;
    let mut weights: [&[[f32; 2]]; ROWS] = [&[]; ROWS];
    for row in 0..ROWS {
        let first = (tile.first_row + row) * PAGE_TOKENS;
        weights[row] = &block.scores[first..first + PAGE_TOKENS].as_chunks().0[..tile.n_tokens.div_ceil(2)];
    }
    for pair in 0..n_pairs {
        for wide in 0..WIDE {
            let (even, odd) = S::values::<V>(values, n_chunks, pair, first_chunk + wide);
            for row in 0..ROWS {
                sums[row][wide] = even.mul_add(V::splat(weights[row][pair][0]), sums[row][wide]);
            }
            for row in 0..ROWS {
                sums[row][wide] = odd.mul_add(V::splat(weights[row][pair][1]), sums[row][wide]);
            }
        }
    }
    if tile.n_tokens % 2 == 1 {
        let pair = n_pairs;
        for wide in 0..WIDE {
            let (even, _) = S::values::<V>(values, n_chunks, pair, first_chunk + wide);
            for row in 0..ROWS {
                sums[row][wide] = even.mul_add(V::splat(weights[row][pair][0]), sums[row][wide]);
            }
        }
    }
    for row in 0..ROWS {
        for wide in 0..WIDE {
            sums[row][wide].store(lanes_at_mut(&mut block.sums, at(row, wide)));
        }
    }
}

#[cfg(test)]
mod tests;
