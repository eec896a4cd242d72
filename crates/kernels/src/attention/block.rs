//! A block of query rows on its way over the pages: what is known of their softmax so far.

use std::ops::Range;

use bytemuck::Zeroable;

use super::slots::{SlotFormat, numbers_and_scales};
use super::tile::{self, MOST_ROWS, Tile};
use super::{Attention, SPLIT_PAGES};
use crate::kv_cache::{KvCache, PAGE_GROUPS, PAGE_TOKENS, PageId};
use crate::simd::{LANES, Lanes, lanes_at, lanes_at_mut};

/// What is not seen scores this.
const HIDDEN: f32 = f32::NEG_INFINITY;
/// Below `e` to this a weight counts as zero: `f32` could not hold it beside the greatest, and `bf16` products stay so
/// large that instructions which take the smallest numbers for zero meet none.
const LEAST_EXPONENT: f32 = -34.0;
/// Queries below count as zero, for the same reason.
const LEAST_QUERY: f32 = crate::kv_cache::LEAST_BF16;

/// A softmax that is not over yet, of several rows.
#[derive(Default)]
pub(super) struct Partial {
    /// `[n_rows]`: the greatest score so far.
    greatest: Vec<f32>,
    /// `[n_rows, 16]`: exponentials added up so far, lane by lane.
    weights: Vec<f32>,
    /// `[n_rows, stored_dim]`: values weighted by exponentials, so far.
    sums: Vec<f32>,
}

impl Partial {
    pub(super) fn begin(&mut self, n_rows: usize, head_dim: usize) {
        // Finite, so that a page of which nothing is seen leaves it: -inf minus it is -inf, not NaN.
        refill(&mut self.greatest, n_rows, f32::MIN);
        refill(&mut self.weights, n_rows * LANES, 0.0);
        refill(&mut self.sums, n_rows * head_dim.next_multiple_of(LANES), 0.0);
    }

    /// Adds a sink to each row: a score that takes part in the softmax and has no value. Row `i` is of head `i % group`.
    pub(super) fn add_sinks(&mut self, sinks: &[f32]) {
        for (row, greatest) in self.greatest.iter_mut().enumerate() {
            *greatest = sinks[row % sinks.len()];
            self.weights[row * LANES] = 1.0;
        }
    }

    /// Adds what was found in later pages.
    #[inline(always)]
    pub(super) fn merge<V: Lanes>(&mut self, other: &Partial) {
        let stored_dim = self.sums.len() / self.greatest.len();
        for row in 0..self.greatest.len() {
            let greatest = self.greatest[row].max(other.greatest[row]);
            let own = V::splat(self.greatest[row] - greatest).exp();
            let others = V::splat(other.greatest[row] - greatest).exp();
            self.greatest[row] = greatest;
            let lanes = row * LANES..(row + 1) * LANES;
            add_scaled(
                (&mut self.weights[lanes.clone()], own),
                (&other.weights[lanes], others),
            );
            let numbers = row * stored_dim..(row + 1) * stored_dim;
            add_scaled(
                (&mut self.sums[numbers.clone()], own),
                (&other.sums[numbers], others),
            );
        }
    }

    /// Writes the results of rows from `first` on: `out` is `[rows, head_dim]`.
    pub(super) fn finish(&self, first: usize, head_dim: usize, out: &mut [f32]) {
        let stored_dim = head_dim.next_multiple_of(LANES);
        for (row, out) in (first..).zip(out.chunks_exact_mut(head_dim)) {
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
}

/// `to = to * own + from * others`
#[inline(always)]
fn add_scaled<V: Lanes>((to, own): (&mut [f32], V), (from, others): (&[f32], V)) {
    for (to, from) in to.as_chunks_mut().0.iter_mut().zip(from.as_chunks().0) {
        V::load(from).mul_add(others, V::load(to).mul(own)).store(to);
    }
}

/// Query rows in work, token after token, the heads of a group side by side.
#[derive(Default)]
pub(super) struct Block {
    /// Heads per token.
    group: usize,
    /// Position of the first token.
    position: usize,
    head_dim: usize,
    n_rows: usize,
    /// `[n_rows, stored_dim / 2]` factors, scaled.
    queries: Vec<u32>,
    /// Of the split in work.
    part: Partial,
    /// Of the tile in work, see [`Tile`].
    scores: Vec<f32>,
    weights: Vec<u32>,
}

impl Block {
    pub(super) fn begin(&mut self, position: usize, n_rows: usize, group: usize, head_dim: usize) {
        self.group = group;
        self.position = position;
        self.head_dim = head_dim;
        self.n_rows = n_rows;
        self.queries.clear();
        self.scores.resize(MOST_ROWS * PAGE_TOKENS, 0.0);
        self.weights.resize(MOST_ROWS * PAGE_TOKENS, 0);
    }

    /// Adds the queries of a token, `[group, head_dim]`.
    #[inline(always)]
    pub(super) fn add_queries<V: Lanes, S: SlotFormat>(&mut self, q: &[f32], scale: f32) {
        for head in q.chunks_exact(self.head_dim) {
            for numbers in head.chunks(LANES) {
                let mut lanes = [0.0; LANES];
                lanes[..numbers.len()].copy_from_slice(numbers);
                let scaled = V::load(&lanes).mul(V::splat(scale));
                let size = scaled.max(V::splat(0.0).sub(scaled));
                let mut factors = [S::Factors::zeroed(); LANES / 2];
                S::store(scaled.zero_where_below(size, V::splat(LEAST_QUERY)), &mut factors);
                self.queries.extend_from_slice(bytemuck::cast_slice(&factors));
            }
        }
    }

    /// Goes over these pages, split by split, and adds what it finds to `total`.
    #[inline(always)]
    pub(super) fn pass<V: Lanes, S: SlotFormat>(
        &mut self,
        attention: &Attention<'_>,
        (cache, head, ids): (&KvCache, usize, &[PageId]),
        pages: Range<usize>,
        total: &mut Partial,
    ) {
        let mut page = pages.start;
        while page < pages.end {
            self.part.begin(self.n_rows, self.head_dim);
            let end = pages.end.min((page / SPLIT_PAGES + 1) * SPLIT_PAGES);
            for (page, &id) in ids.iter().enumerate().take(end).skip(page) {
                self.attend::<V, S>(
                    attention,
                    page * PAGE_TOKENS,
                    cache.slot(attention.layer, head, id),
                );
            }
            page = end;
            total.merge::<V>(&self.part);
        }
    }

    /// The pages of which any row sees anything.
    pub(super) fn pages(attention: &Attention<'_>, position: usize, n_tokens: usize) -> Range<usize> {
        let last = position + n_tokens - 1;
        attention.first_seen(position) / PAGE_TOKENS..last / PAGE_TOKENS + 1
    }

    #[inline(always)]
    fn position_of(&self, row: usize) -> usize {
        self.position + row / self.group
    }

    /// Adds a page, which starts at position `start`, to all rows.
    #[inline(always)]
    fn attend<V: Lanes, S: SlotFormat>(&mut self, attention: &Attention<'_>, start: usize, slot: &[u8]) {
        let (keys, values) = slot.split_at(slot.len() / 2);
        let (keys, key_scales) = numbers_and_scales::<S, S::KeyLine>(keys);
        let (values, value_scales) = numbers_and_scales::<S, S::ValueLine>(values);
        let stored_dim = self.head_dim.next_multiple_of(LANES);
        let mut factors = [1.0; MOST_ROWS];
        let mut end_row = 0;
        while end_row < self.n_rows {
            let rows = end_row..end_row + tile::rows::<V>(self.n_rows - end_row);
            end_row = rows.end;
            let last_position = self.position_of(end_row - 1);
            let first_seen = attention.first_seen(self.position_of(rows.start));
            if last_position < start || first_seen >= start + PAGE_TOKENS {
                continue;
            }
            let queries: &[S::Factors] = bytemuck::cast_slice(&self.queries);
            let n_pairs = stored_dim / 2;
            let mut tile = Tile::<S> {
                n_rows: rows.len(),
                n_tokens: PAGE_TOKENS.min(last_position + 1 - start),
                queries: &queries[rows.start * n_pairs..rows.end * n_pairs],
                scores: &mut self.scores,
                weights: bytemuck::cast_slice_mut(&mut self.weights),
                factors: &mut factors,
                sums: &mut self.part.sums[rows.start * stored_dim..rows.end * stored_dim],
            };
            tile.score::<V>(keys, key_scales);
            for (index, row) in rows.enumerate() {
                let position = self.position + row / self.group;
                let first_seen = attention
                    .first_seen(position)
                    .saturating_sub(start)
                    .min(PAGE_TOKENS);
                let n_seen = (position + 1).saturating_sub(start).min(PAGE_TOKENS);
                let seen = first_seen..n_seen.max(first_seen);
                let weights = lanes_at_mut(&mut self.part.weights, row * LANES);
                let greatest = &mut self.part.greatest[row];
                weigh::<V, S>(
                    &mut tile,
                    index,
                    (seen, attention.soft_cap),
                    value_scales,
                    (greatest, weights),
                );
            }
            tile.add_values::<V>(values);
        }
    }
}

/// Turns a row's scores, of which only `seen` count, into weights, and says what was summed before is to be multiplied
/// with: less than 1 if there is a new greatest score. What values are multiplied with has their `scales` in it.
#[inline(always)]
fn weigh<V: Lanes, S: SlotFormat>(
    tile: &mut Tile<'_, S>,
    row: usize,
    (seen, soft_cap): (Range<usize>, Option<f32>),
    scales: &[f32],
    (greatest, weights): (&mut f32, &mut [f32; LANES]),
) {
    let scores = &mut tile.scores[row * PAGE_TOKENS..][..PAGE_TOKENS];
    if seen.len() < PAGE_TOKENS {
        scores[..seen.start].fill(HIDDEN);
        scores[seen.end..].fill(HIDDEN);
    }
    let mut score = [V::splat(0.0); PAGE_GROUPS];
    for (group, score) in score.iter_mut().enumerate() {
        *score = V::load(lanes_at(scores, group * LANES));
        if let Some(cap) = soft_cap {
            *score = capped(*score, cap);
        }
    }
    let highest = score[0].max(score[1]).max(score[2].max(score[3])).greatest();
    let before = *greatest;
    let mut factor = 1.0;
    if highest > before {
        *greatest = highest;
        let mut lanes = [0.0; LANES];
        V::splat(before - highest).exp().store(&mut lanes);
        factor = lanes[0];
    }
    tile.factors[row] = factor;
    let highest = V::splat(*greatest);
    let factors: &mut [[S::Factors; LANES / 2]] = tile.weights[row * PAGE_TOKENS / 2..][..PAGE_TOKENS / 2]
        .as_chunks_mut()
        .0;
    for (group, score) in score.iter_mut().enumerate() {
        let exponent = score.sub(highest);
        *score = exponent
            .exp()
            .zero_where_below(exponent, V::splat(LEAST_EXPONENT));
        let mut factor = *score;
        if S::SCALED {
            // The scale of a token that is not there may be no number.
            factor = factor
                .mul(V::load(lanes_at(scales, group * LANES)))
                .zero_where_below(*score, V::splat(f32::MIN_POSITIVE));
        }
        S::store(factor, &mut factors[group]);
    }
    let sum = score[0].add(score[1]).add(score[2].add(score[3]));
    V::load(weights).mul_add(V::splat(factor), sum).store(weights);
}

/// `cap * tanh(score / cap)`, but what is hidden stays so.
#[inline(always)]
fn capped<V: Lanes>(score: V, cap: f32) -> V {
    let one = V::splat(1.0);
    // tanh x = 1 - 2 / (1 + e^2x), which is exact enough where scores matter and never leaves -1..1.
    let double = score.mul(V::splat(2.0 / cap)).exp();
    let tanh = one.sub(V::splat(2.0).div(one.add(double)));
    let hidden = score.max(V::splat(f32::MIN)).sub(score);
    tanh.mul(V::splat(cap)).sub(hidden)
}

fn refill(buffer: &mut Vec<f32>, len: usize, value: f32) {
    buffer.clear();
    buffer.resize(len, value);
}
