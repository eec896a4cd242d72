//! The products of a tile: a few query rows with the keys, then the values, of one page.

use super::slots::SlotFormat;
use crate::kv_cache::{PAGE_GROUPS, PAGE_TOKENS};
use crate::simd::{LANES, Lanes, lanes_at, lanes_at_mut, prefetch};

/// With at most so many rows, keys and values come from memory as fast as they can be read, and are asked for so many bytes
/// ahead: the processor itself follows no stream from one group of keys, or one row of values, to the next. One thread reads
/// 34 GB/s so, and 22 without (Zen 5, bf16, 4,096 tokens).
const STREAMED_ROWS: usize = 4;
const AHEAD_BYTES: usize = 8 << 10;
/// Most rows of a tile.
pub(super) const MOST_ROWS: usize = 6;

/// The rows of the next tile, `n_left` being left: as many as the registers hold, of the few numbers that
/// [`by_rows`] is compiled for.
///
/// Six rows at a time ask for fewer loads per product than twelve, whose scores would fill the registers with a single
/// group of keys.
#[inline(always)]
pub(super) fn rows<V: Lanes>(n_left: usize) -> usize {
    let most = if V::ROWS >= 12 { MOST_ROWS } else { V::ROWS.min(2) };
    [6, 4, 3, 2]
        .into_iter()
        .find(|&n_rows| n_rows <= n_left.min(most))
        .unwrap_or(1)
}

/// Calls `$kernel::<V, S, ROWS, WIDE>` with the number of rows as a constant, and as many vectors side by side as the
/// registers have room for: with few rows, a single vector would wait for each of its additions.
macro_rules! by_rows {
    ($n_rows:expr, $kernel:ident, $wide:tt, $args:tt) => {
        match $n_rows {
            6 if V::ROWS >= 12 => by_rows!(@ $kernel, 6, $wide, 0, $args),
            4 if V::ROWS >= 12 => by_rows!(@ $kernel, 4, $wide, 1, $args),
            3 if V::ROWS >= 12 => by_rows!(@ $kernel, 3, $wide, 2, $args),
            2 if V::ROWS >= 12 => by_rows!(@ $kernel, 2, $wide, 3, $args),
            1 if V::ROWS >= 12 => by_rows!(@ $kernel, 1, $wide, 4, $args),
            2 if V::ROWS >= 2 => $kernel::<V, S, 2, 1> $args,
            1 if V::ROWS >= 2 => $kernel::<V, S, 1, 2> $args,
            _ => $kernel::<V, S, 1, 1> $args,
        }
    };
    (@ $kernel:ident, $rows:literal, [$a:literal, $b:literal, $c:literal, $d:literal, $e:literal], 0, $args:tt) => { $kernel::<V, S, $rows, $a> $args };
    (@ $kernel:ident, $rows:literal, [$a:literal, $b:literal, $c:literal, $d:literal, $e:literal], 1, $args:tt) => { $kernel::<V, S, $rows, $b> $args };
    (@ $kernel:ident, $rows:literal, [$a:literal, $b:literal, $c:literal, $d:literal, $e:literal], 2, $args:tt) => { $kernel::<V, S, $rows, $c> $args };
    (@ $kernel:ident, $rows:literal, [$a:literal, $b:literal, $c:literal, $d:literal, $e:literal], 3, $args:tt) => { $kernel::<V, S, $rows, $d> $args };
    (@ $kernel:ident, $rows:literal, [$a:literal, $b:literal, $c:literal, $d:literal, $e:literal], 4, $args:tt) => { $kernel::<V, S, $rows, $e> $args };
}

/// A tile of rows in one page, with what its products need.
pub(super) struct Tile<'a, S: SlotFormat> {
    pub(super) n_rows: usize,
    /// Tokens of the page that its last row sees, from the page's first.
    pub(super) n_tokens: usize,
    /// `[n_rows, stored_dim / 2]`
    pub(super) queries: &'a [S::Factors],
    /// `[n_rows, 64]`
    pub(super) scores: &'a mut [f32],
    /// `[n_rows, 64 / 2]`: what the values are multiplied with.
    pub(super) weights: &'a mut [S::Factors],
    /// `[n_rows]`: what the sums so far are multiplied with.
    pub(super) factors: &'a mut [f32],
    /// `[n_rows, stored_dim]`
    pub(super) sums: &'a mut [f32],
}

impl<S: SlotFormat> Tile<'_, S> {
    fn stored_dim(&self) -> usize {
        self.sums.len() / self.n_rows
    }

    /// Sets `scores` to those of the page's keys.
    #[inline(always)]
    pub(super) fn score<V: Lanes>(&mut self, keys: &[S::KeyLine], scales: &[f32]) {
        by_rows!(self.n_rows, score, [2, 2, 2, 2, 4], (self, keys, scales));
    }

    /// Multiplies `sums` with `factors` and adds the page's values, weighted.
    #[inline(always)]
    pub(super) fn add_values<V: Lanes>(&mut self, values: &[S::ValueLine]) {
        by_rows!(self.n_rows, add_values, [4, 4, 8, 8, 8], (self, values));
    }
}

/// Scores of `ROWS` rows against the keys of a page, `WIDE` groups of 16 tokens at a time. Each score adds up its even
/// pairs of dimensions and its odd ones in ascending order, then both.
#[expect(
    clippy::needless_range_loop,
    reason = "loops over constants, to be unrolled into registers"
)]
#[inline(always)]
fn score<V: Lanes, S: SlotFormat, const ROWS: usize, const WIDE: usize>(
    tile: &mut Tile<'_, S>,
    keys: &[S::KeyLine],
    scales: &[f32],
) {
    let n_pairs = tile.stored_dim() / 2;
    let mut queries: [&[[S::Factors; 2]]; ROWS] = [&[]; ROWS];
    for row in 0..ROWS {
        queries[row] = &tile.queries[row * n_pairs..][..n_pairs].as_chunks().0[..n_pairs / 2];
    }
    for first_group in (0..tile.n_tokens.div_ceil(LANES)).step_by(WIDE) {
        let mut lines: [&[[S::KeyLine; 2]]; WIDE] = [&[]; WIDE];
        for wide in 0..WIDE {
            lines[wide] = &keys[(first_group + wide) * n_pairs..][..n_pairs].as_chunks().0[..n_pairs / 2];
        }
        let mut sums = [[[V::splat(0.0); 2]; WIDE]; ROWS];
        for step in 0..n_pairs / 2 {
            for chain in 0..2 {
                for wide in 0..WIDE {
                    let line = &lines[wide][step][chain];
                    if ROWS <= STREAMED_ROWS {
                        prefetch(line, AHEAD_BYTES);
                    }
                    let line = S::keys::<V>(line);
                    for row in 0..ROWS {
                        let sum = &mut sums[row][wide][chain];
                        *sum = S::add(line, queries[row][step][chain], *sum);
                    }
                }
            }
        }
        for row in 0..ROWS {
            for wide in 0..WIDE {
                let group = first_group + wide;
                let mut score = sums[row][wide][0].add(sums[row][wide][1]);
                if S::SCALED {
                    score = score.mul(V::load(lanes_at(scales, group * LANES)));
                }
                score.store(lanes_at_mut(tile.scores, row * PAGE_TOKENS + group * LANES));
            }
        }
    }
    const { assert!(PAGE_GROUPS.is_multiple_of(WIDE), "groups in whole steps") }
}

/// Adds the values of a page, weighted, to `ROWS` rows, `WIDE` chunks of 16 dimensions at a time.
#[inline(always)]
fn add_values<V: Lanes, S: SlotFormat, const ROWS: usize, const WIDE: usize>(
    tile: &mut Tile<'_, S>,
    values: &[S::ValueLine],
) {
    let n_chunks = tile.stored_dim() / LANES;
    let mut chunk = 0;
    while chunk + WIDE <= n_chunks {
        add_chunks::<V, S, ROWS, WIDE>(tile, values, chunk);
        chunk += WIDE;
    }
    if WIDE > 4 && chunk + 4 <= n_chunks {
        add_chunks::<V, S, ROWS, 4>(tile, values, chunk);
        chunk += 4;
    }
    for chunk in chunk..n_chunks {
        add_chunks::<V, S, ROWS, 1>(tile, values, chunk);
    }
}

/// Each sum of the page takes the tokens in ascending order. No token behind the tile's last one is touched: what lies
/// there is another sequence's, and if it were infinite, even a weight of zero would not keep it out.
#[expect(
    clippy::needless_range_loop,
    reason = "loops over constants, to be unrolled into registers"
)]
#[inline(always)]
fn add_chunks<V: Lanes, S: SlotFormat, const ROWS: usize, const WIDE: usize>(
    tile: &mut Tile<'_, S>,
    values: &[S::ValueLine],
    first_chunk: usize,
) {
    let n_chunks = tile.stored_dim() / LANES;
    let n_pairs = tile.n_tokens / 2;
    let lines_per_pair = values.len() / (PAGE_TOKENS / 2);
    let mut weights: [&[S::Factors]; ROWS] = [&[]; ROWS];
    for row in 0..ROWS {
        weights[row] = &tile.weights[row * PAGE_TOKENS / 2..][..tile.n_tokens.div_ceil(2)];
    }
    let mut sums = [[V::splat(0.0); WIDE]; ROWS];
    for pair in 0..n_pairs {
        for wide in 0..WIDE {
            if ROWS <= STREAMED_ROWS {
                for line in (first_chunk + wide..lines_per_pair).step_by(n_chunks) {
                    prefetch(&values[pair * lines_per_pair + line], AHEAD_BYTES);
                }
            }
            let line = S::values::<V>(values, n_chunks, pair, first_chunk + wide, false);
            for row in 0..ROWS {
                sums[row][wide] = S::add(line, weights[row][pair], sums[row][wide]);
            }
        }
    }
    if tile.n_tokens % 2 == 1 {
        for wide in 0..WIDE {
            let line = S::values::<V>(values, n_chunks, n_pairs, first_chunk + wide, true);
            for row in 0..ROWS {
                sums[row][wide] = S::add(line, weights[row][n_pairs], sums[row][wide]);
            }
        }
    }
    for row in 0..ROWS {
        let factor = V::splat(tile.factors[row]);
        for wide in 0..WIDE {
            let to = lanes_at_mut(tile.sums, (row * n_chunks + first_chunk + wide) * LANES);
            V::load(to).mul_add(factor, sums[row][wide]).store(to);
        }
    }
}
