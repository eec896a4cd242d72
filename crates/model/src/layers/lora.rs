//! Adapters on a projection: `y += scale * up(down(x))`, for the rows of sequences that have one.
//!
//! Many adapters share a batch: the rows of each are gathered, go through its two small matrices together, and are added
//! to what the projection gave. Rows without an adapter are not touched. Both products are the ones that the model's own
//! matrices go through, so a row's result depends on nothing but its row and its adapter.

use std::ops::Range;

use tokenmill_kernels::matmul::{MatmulScratch, Product, matmul};
use tokenmill_kernels::pool::Pool;

use super::Step;
use crate::adapter::{Adapter, LowRank, Target};
use crate::batch::Batch;

/// The rows of a batch that have the same adapter.
pub(crate) struct AdaptedRows<'a> {
    adapter: &'a Adapter,
    /// Of each sequence.
    rows: Vec<Range<usize>>,
    n_rows: usize,
}

/// The rows of each adapter, adapters in the order in which they first occur.
pub(crate) fn adapted_rows(batch: &Batch) -> Vec<AdaptedRows<'_>> {
    let mut groups: Vec<AdaptedRows<'_>> = Vec::new();
    let mut first_row = 0;
    for sequence in &batch.sequences {
        let rows = first_row..first_row + sequence.n_rows;
        first_row = rows.end;
        let Some(adapter) = sequence.adapter.as_deref() else {
            continue;
        };
        let known = groups.iter().position(|group| group.adapter == adapter);
        let idx = known.unwrap_or_else(|| {
            groups.push(AdaptedRows {
                adapter,
                rows: Vec::new(),
                n_rows: 0,
            });
            groups.len() - 1
        });
        groups[idx].n_rows += rows.len();
        groups[idx].rows.push(rows);
    }
    groups
}

/// Buffers, for `n` rows of one adapter.
#[derive(Default)]
pub(crate) struct LoraScratch {
    /// `[n, n_in]`
    gathered: Vec<f32>,
    /// `[n, rank]`, one for each projection that reads the same rows.
    inner: Vec<Vec<f32>>,
    /// `[n, n_out]`
    change: Vec<f32>,
}

/// What reads rows `x` and gave `out`, and its place.
pub(crate) type Adapted<'a> = (Target, &'a mut Vec<f32>);

/// Adds to the outputs of projections that all read `x`, `[n_rows, n_in]`, what adapters change.
pub(crate) fn adapt<const N: usize>(
    step: &Changing<'_>,
    (matmul_scratch, scratch): (&mut MatmulScratch, &mut LoraScratch),
    x: &[f32],
    mut outputs: [Adapted<'_>; N],
) {
    for group in step.adapted {
        let low_ranks = outputs
            .each_ref()
            .map(|(target, _)| group.adapter.low_rank(step.layer, *target));
        if low_ranks.iter().all(Option::is_none) {
            continue;
        }
        let n_in = x.len() / step.n_rows;
        scratch.gathered.clear();
        for rows in &group.rows {
            scratch
                .gathered
                .extend_from_slice(&x[rows.start * n_in..rows.end * n_in]);
        }
        scratch.inner.resize_with(N.max(scratch.inner.len()), Vec::new);
        go_down(step.pool, matmul_scratch, scratch, group.n_rows, &low_ranks);
        let changed = low_ranks.iter().zip(&scratch.inner).zip(&mut outputs);
        for ((low_rank, inner), (_, out)) in changed {
            let Some(low_rank) = low_rank else { continue };
            scratch.change.resize(group.n_rows * low_rank.up.n_rows(), 0.0);
            let mut product = [Product {
                weights: &low_rank.up,
                out: &mut scratch.change,
            }];
            matmul(step.pool, matmul_scratch, inner, group.n_rows, &mut product);
            add_rows(out, &scratch.change, &group.rows, low_rank.up.n_rows());
        }
    }
}

/// What [`adapt`] needs of a [`Step`], beside its buffers.
pub(crate) struct Changing<'a> {
    pool: &'a Pool,
    n_rows: usize,
    layer: usize,
    adapted: &'a [AdaptedRows<'a>],
}

impl<'a> Changing<'a> {
    pub(crate) fn of(step: &Step<'a>) -> Changing<'a> {
        Changing {
            pool: step.pool,
            n_rows: step.n_rows,
            layer: step.layer,
            adapted: step.adapted,
        }
    }
}

/// `inner[i] = scale_i * down_i(gathered)`, all in one parallel step.
fn go_down<const N: usize>(
    pool: &Pool,
    matmul_scratch: &mut MatmulScratch,
    scratch: &mut LoraScratch,
    n_rows: usize,
    low_ranks: &[Option<&LowRank>; N],
) {
    let present = low_ranks.iter().zip(&mut scratch.inner);
    let mut products: Vec<Product<'_>> = present
        .filter_map(|(low_rank, inner)| {
            let low_rank = low_rank.as_ref()?;
            inner.resize(n_rows * low_rank.down.n_rows(), 0.0);
            Some(Product {
                weights: &low_rank.down,
                out: inner,
            })
        })
        .collect();
    matmul(pool, matmul_scratch, &scratch.gathered, n_rows, &mut products);
    for (low_rank, inner) in low_ranks.iter().zip(&mut scratch.inner) {
        if let Some(low_rank) = low_rank {
            inner.iter_mut().for_each(|number| *number *= low_rank.scale);
        }
    }
}

/// Adds consecutive rows of `change` to these rows of `out`.
fn add_rows(out: &mut [f32], change: &[f32], rows: &[Range<usize>], n_out: usize) {
    let mut rest = change;
    for rows in rows {
        let (own, after) = rest.split_at(rows.len() * n_out);
        for (out, change) in out[rows.start * n_out..rows.end * n_out].iter_mut().zip(own) {
            *out += change;
        }
        rest = after;
    }
}
