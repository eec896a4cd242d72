//! One product of a parallel step, as the workers see it.

use std::ops::Range;

use super::columns::{Columns, Group};
use super::scratch::{Form, MatmulScratch};
use super::{Matrix, Product};
use crate::pool::{Pool, SharedSlice, share};
use crate::quant::tile::wide::{STEPS, Unpacked, Wide};
use crate::quant::tile::{Kernel, MAX_COLUMNS, MAX_RESULTS, Panel, PerRow, ROWS, STEP};

/// A product as the workers see it.
pub(super) struct Part<'a> {
    pub(super) weights: &'a Matrix,
    out: SharedSlice<'a, f32>,
    panels: Panel<'a>,
    form: Form,
    kernels: &'static [(usize, Kernel)],
    /// Where weights are taken out of their tiles first.
    wide: Option<&'static Wide>,
}

/// Up to so many columns, weights come from memory more slowly than they are multiplied, and one stream of them is read
/// faster than two: `qwen3-0.6b` in Q4_0 gave 247 and 419 tokens a second for 2 and 4 streams, and 229 and 399 with two
/// tiles at a time (medians of 3 in turn, Zen 5).
const FEW_COLUMNS: usize = 4;

impl<'a> Part<'a> {
    pub(super) fn new(
        pool: &Pool,
        scratch: &'a MatmulScratch,
        product: &'a mut Product<'_>,
        wide: bool,
    ) -> Part<'a> {
        let form = Form::of(product, pool, wide);
        let weights = product.weights;
        let kernels = &weights.format.kernels;
        Part {
            weights,
            out: SharedSlice::new(product.out),
            panels: scratch.panels(form),
            form,
            kernels: kernels.for_isa(pool.isa()),
            wide: kernels.wide(pool.isa()).filter(|_| wide),
        }
    }

    /// Multiplies these tiles with all columns: as many groups of columns at a time as stay in the cache.
    pub(super) fn multiply(&self, columns: &Columns, tiles: Range<usize>) {
        let mut unpacked = self.wide.map(|_| Unpacked::new());
        for first in (0..columns.n_groups).step_by(columns.groups_together) {
            let groups = first..(first + columns.groups_together).min(columns.n_groups);
            match (self.wide, &mut unpacked) {
                (Some(wide), Some(unpacked)) => tiles.clone().for_each(|tile| {
                    self.multiply_wide(wide, unpacked, columns, tile, groups.clone());
                }),
                _ => self.multiply_tiles(columns, tiles.clone(), groups),
            }
        }
    }

    /// One or two tiles at a time, with all these groups; meanwhile asks for the next ones.
    fn multiply_tiles(&self, columns: &Columns, mut tiles: Range<usize>, groups: Range<usize>) {
        let all = self.weights.packed_bytes();
        // Groups differ by one column at most, and all kernels but those of one column are for two tiles, or none.
        let (n_columns, kernel) = &self.kernels[columns.group(groups.start).kernel];
        let most = if columns.n_groups == 1 && *n_columns <= FEW_COLUMNS {
            1
        } else {
            2
        };
        while !tiles.is_empty() {
            let (n_tiles, _) = kernel.for_tiles(tiles.len().min(most));
            for (i, group) in groups.clone().map(|group| columns.group(group)).enumerate() {
                let (_, kernel) = &self.kernels[group.kernel];
                let (_, run) = kernel.for_tiles(n_tiles);
                let bytes = n_tiles * self.weights.tile_bytes;
                let (own, next) = all[tiles.start * self.weights.tile_bytes..].split_at(bytes);
                let next = &next[..bytes.min(next.len())];
                let ahead = if kernel.asks_ahead {
                    &next[share(next.len(), groups.len(), i)]
                } else {
                    &[]
                };
                let mut results = [PerRow::default(); MAX_RESULTS];
                let results = &mut results[..n_tiles * group.columns];
                let panel = self.panel_of(columns, &group, &columns.all_steps());
                // SAFETY: the kernels are those for the instruction set of the pool, which was made for this CPU.
                unsafe { run(own, panel, ahead, results) };
                for (tile, results) in tiles.clone().zip(results.chunks(group.columns)) {
                    self.store(tile, &group, results);
                }
            }
            tiles.start += n_tiles;
        }
    }

    /// Some steps of the weights at a time, for all these groups.
    fn multiply_wide(
        &self,
        wide: &Wide,
        unpacked: &mut Unpacked,
        columns: &Columns,
        tile: usize,
        groups: Range<usize>,
    ) {
        let groups: Vec<Group> = groups.map(|group| columns.group(group)).collect();
        let mut results = vec![[PerRow::default(); MAX_COLUMNS]; groups.len()];
        let chunk_bytes = STEPS * wide.step_bytes;
        let mut at = tile * self.weights.tile_bytes;
        let mut step = 0;
        for packed in self.weights.tile(tile).chunks(chunk_bytes) {
            let steps = step..step + packed.len() / wide.step_bytes;
            step = steps.end;
            // SAFETY: the kernels are those for the instruction set of the pool, which was made for this CPU.
            unsafe { (wide.unpack)(packed, unpacked) };
            at += packed.len();
            let all = self.weights.packed_bytes();
            let ahead = &all[at..(at + chunk_bytes).min(all.len())];
            for (i, (group, results)) in groups.iter().zip(&mut results).enumerate() {
                let (_, multiply) = wide.multiply[group.kernel];
                let panel = self.panel_of(columns, group, &steps);
                let ahead = &ahead[share(ahead.len(), groups.len(), i)];
                // SAFETY: as above.
                unsafe { multiply(unpacked, panel, ahead, &mut results[..group.columns]) };
            }
        }
        for (group, results) in groups.iter().zip(&results) {
            self.store(tile, group, results);
        }
    }

    fn store(&self, tile: usize, group: &Group, results: &[PerRow]) {
        let n_rows = self.weights.n_rows;
        let rows = tile * ROWS..((tile + 1) * ROWS).min(n_rows);
        for (token, result) in group.tokens.clone().zip(results) {
            // SAFETY: the pool gives each tile to one worker, and only this tile has these rows.
            let out = unsafe {
                self.out
                    .range_mut(token * n_rows + rows.start..token * n_rows + rows.end)
            };
            // A copy of a length that the compiler knows is one instruction; of another, a call.
            match out.first_chunk_mut() {
                Some(out) => *out = result.0,
                None => out.copy_from_slice(&result.0[..rows.len()]),
            }
        }
    }

    fn panel_of(&self, columns: &Columns, group: &Group, steps: &Range<usize>) -> Panel<'_> {
        let words_per_step = match self.form {
            Form::Floats => {
                return Panel {
                    floats: &self.panels.floats[columns.panel(group, steps, STEP)],
                    ..Panel::default()
                };
            }
            Form::Bytes(_) => STEP / 4,
            Form::Pairs(_) => STEP / 2,
        };
        let per_step = self.form.corrections_per_step();
        Panel {
            words: &self.panels.words[columns.panel(group, steps, words_per_step)],
            scales: &self.panels.scales[columns.panel(group, steps, 1)],
            corrections: &self.panels.corrections[columns.panel(group, steps, per_step)],
            ..Panel::default()
        }
    }
}
