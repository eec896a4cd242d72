//! How the tokens of a product are cut into groups of columns.

use std::ops::Range;

use crate::pool::share;
use crate::quant::tile::STEP;

/// How the tokens are cut: into groups for which there is a kernel, that is as many columns as it takes, or fewer.
pub(super) struct Columns {
    pub(super) n_tokens: usize,
    pub(super) n_cols: usize,
    pub(super) n_steps: usize,
    pub(super) n_groups: usize,
    /// The columns of the kernel of each group, and its number in the list of kernels: of the first `n_larger` groups,
    /// and of the others, which may have one token less.
    kernels: [(usize, usize); 2],
    n_larger: usize,
    /// Groups whose panels fit the second-level cache together.
    pub(super) groups_together: usize,
}

/// A group of tokens and its panel.
pub(super) struct Group {
    pub(super) tokens: Range<usize>,
    /// Of the kernel; those without a token hold anything.
    pub(super) columns: usize,
    /// The number of the kernel in its list.
    pub(super) kernel: usize,
    /// Columns of the groups before this one.
    pub(super) first_column: usize,
}

/// What of the second-level cache to fill with activations; the smallest on servers of today is 512 KiB.
const CACHE_BYTES: usize = 256 << 10;
/// Weights worth a worker's while, read for one column; with more columns there is more to do with fewer.
const PIECE_BYTES: usize = 64 << 10;
/// Activations that one thread quantises sooner than others wake up.
const SERIAL_ACTIVATIONS: usize = 8 << 10;

impl Columns {
    /// `kernels` is the list of any format, each with its number of columns: all have kernels for the same numbers.
    pub(super) fn new<K>(kernels: &[(usize, K)], n_tokens: usize, n_cols: usize) -> Columns {
        let most = kernels.last().map_or(1, |(columns, _)| *columns);
        let n_groups = n_tokens.div_ceil(most);
        let kernel_for = |group| {
            let n_tokens = share(n_tokens, n_groups, group).len();
            let kernel = kernels.iter().position(|(columns, _)| *columns >= n_tokens);
            let kernel =
                kernel.expect("groups have at most as many tokens as the largest kernel has columns");
            (kernels[kernel].0, kernel)
        };
        Columns {
            n_tokens,
            n_cols,
            n_steps: n_cols.div_ceil(STEP),
            n_groups,
            kernels: [kernel_for(0), kernel_for(n_groups - 1)],
            n_larger: if n_tokens.is_multiple_of(n_groups) {
                n_groups
            } else {
                n_tokens % n_groups
            },
            groups_together: (CACHE_BYTES / (most * n_cols * 5 / 4)).max(1),
        }
    }

    pub(super) fn group(&self, group: usize) -> Group {
        let n_larger_before = group.min(self.n_larger);
        let (columns, kernel) = self.kernels[usize::from(group >= self.n_larger)];
        Group {
            tokens: share(self.n_tokens, self.n_groups, group),
            columns,
            kernel,
            first_column: n_larger_before * self.kernels[0].0 + (group - n_larger_before) * self.kernels[1].0,
        }
    }

    /// Columns of all groups, those without a token included.
    pub(super) fn n_columns(&self) -> usize {
        let last = self.group(self.n_groups - 1);
        last.first_column + last.columns
    }

    /// Where these steps of the panel of a group lie in memory that has `per_cell` numbers for each step of each column.
    pub(super) fn panel(&self, group: &Group, steps: &Range<usize>, per_cell: usize) -> Range<usize> {
        let first = group.first_column * self.n_steps;
        let at = |step| (first + step * group.columns) * per_cell;
        at(steps.start)..at(steps.end)
    }

    pub(super) fn all_steps(&self) -> Range<usize> {
        0..self.n_steps
    }

    /// The fewest tiles worth a worker's while.
    pub(super) fn least_tiles(&self, tile_bytes: usize) -> usize {
        PIECE_BYTES.div_ceil(tile_bytes * self.n_tokens.min(64))
    }

    /// The fewest groups whose activations are worth a worker's while.
    pub(super) fn groups_per_worker(&self) -> usize {
        SERIAL_ACTIVATIONS.div_ceil(self.kernels[0].0 * self.n_cols)
    }
}
