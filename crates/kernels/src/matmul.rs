//! Products of activations and packed weights: how they are cut into tiles and given to workers. Knows no format.

use std::io;
use std::ops::Range;

use crate::arena::Arena;
use crate::mapped::MappedFile;
use crate::pool::{Pool, SharedSlice, share};
use crate::quant::Format;
use crate::quant::panel::PanelMut;
use crate::quant::tile::{Correction, CorrectionKind, Kernel, MAX_COLUMNS, Panel, PerRow, ROWS, STEP};

/// Weights `[n_rows, n_cols]`, packed into tiles of 16 rows, in as many bits as the file has for them.
///
/// Rows are filled up to a multiple of 16; columns of float formats to a multiple of 32.
#[derive(Debug)]
pub struct Matrix {
    format: &'static Format,
    n_rows: usize,
    n_cols: usize,
    tile_bytes: usize,
    tiles: Arena,
}

/// Why weights could not be packed.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// The rows are no whole number of blocks.
    #[error(
        "{format} stores blocks of {block_len} weights, and {n_cols} columns are no whole number of them"
    )]
    Columns {
        /// The name of the format.
        format: &'static str,
        /// Weights in a block.
        block_len: usize,
        /// Columns asked for.
        n_cols: usize,
    },
    /// The source has another length than the shape says.
    #[error("{format} weights of {n_rows} rows and {n_cols} columns do not take {found} bytes")]
    Length {
        /// The name of the format.
        format: &'static str,
        /// Rows asked for.
        n_rows: usize,
        /// Columns asked for.
        n_cols: usize,
        /// Bytes given.
        found: usize,
    },
    /// The source lies outside its file.
    #[error("weights at bytes {start}..{end} lie outside their file of {file} bytes; is it cut short?")]
    OutsideFile {
        /// First byte asked for.
        start: usize,
        /// Byte after the last one asked for.
        end: usize,
        /// Bytes of the file.
        file: usize,
    },
    /// The system has no memory for them.
    #[error("no memory for {bytes} bytes of {format} weights")]
    Memory {
        /// The name of the format.
        format: &'static str,
        /// Bytes needed.
        bytes: usize,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Source bytes that a worker packs between releases: large enough that releasing costs nothing, small enough that the
/// process never holds much twice.
const PACK_BYTES: usize = 4 << 20;

impl Matrix {
    /// Packs weights from the layout of the file: row after row.
    ///
    /// # Errors
    /// The rows are no whole number of blocks, `source` has another length than the shape says, or there is no memory.
    pub fn pack(
        pool: &Pool,
        format: &'static Format,
        n_rows: usize,
        n_cols: usize,
        source: &[u8],
    ) -> Result<Matrix, PackError> {
        Matrix::pack_and_release(pool, format, (n_rows, n_cols), source, &|_| {})
    }

    /// Packs weights `shape = [n_rows, n_cols]` from these bytes of a file, and releases the memory behind them on the
    /// way, so that the process never holds both forms of more than a few megabytes.
    ///
    /// # Errors
    /// As [`Matrix::pack`]; also if the bytes lie outside the file.
    pub fn pack_file(
        pool: &Pool,
        format: &'static Format,
        shape: (usize, usize),
        file: &MappedFile,
        bytes: Range<usize>,
    ) -> Result<Matrix, PackError> {
        let Range { start, end } = bytes;
        let outside = || PackError::OutsideFile {
            start,
            end,
            file: file.bytes().len(),
        };
        let source = file.bytes().get(start..end).ok_or_else(outside)?;
        let matrix = Matrix::pack_and_release(pool, format, shape, source, &|packed: Range<usize>| {
            file.release(start + packed.start..start + packed.end);
        })?;
        // Pages at the borders of the parts.
        file.release(start..end);
        Ok(matrix)
    }

    fn pack_and_release(
        pool: &Pool,
        format: &'static Format,
        (n_rows, n_cols): (usize, usize),
        source: &[u8],
        release: &(dyn Fn(Range<usize>) + Sync),
    ) -> Result<Matrix, PackError> {
        let no_blocks = || PackError::Columns {
            format: format.name,
            block_len: format.block_len,
            n_cols,
        };
        let row_bytes = format.row_bytes(n_cols).ok_or_else(no_blocks)?;
        if row_bytes.checked_mul(n_rows) != Some(source.len()) {
            return Err(PackError::Length {
                format: format.name,
                n_rows,
                n_cols,
                found: source.len(),
            });
        }
        let tile_bytes = format.tile_row_bytes(n_cols).unwrap_or(usize::MAX);
        let bytes = format.packed_bytes(n_rows, n_cols).unwrap_or(usize::MAX);
        let no_memory = |source| PackError::Memory {
            format: format.name,
            bytes,
            source,
        };
        let tiles = Arena::new(bytes).map_err(no_memory)?;
        let mut matrix = Matrix {
            format,
            n_rows,
            n_cols,
            tile_bytes,
            tiles,
        };
        if !source.is_empty() {
            matrix.fill(pool, row_bytes, source, release);
        }
        Ok(matrix)
    }

    fn fill(
        &mut self,
        pool: &Pool,
        row_bytes: usize,
        source: &[u8],
        release: &(dyn Fn(Range<usize>) + Sync),
    ) {
        let (format, tile_bytes) = (self.format, self.tile_bytes);
        let source_tile_bytes = ROWS * row_bytes;
        let together = (PACK_BYTES / source_tile_bytes).max(1);
        pool.for_each_chunk(self.tiles.bytes_mut(), tile_bytes, together, |first, tiles| {
            for (batch, tiles) in tiles.chunks_mut(together * tile_bytes).enumerate() {
                let start = (first + batch * together) * source_tile_bytes;
                let end = (start + together * source_tile_bytes).min(source.len());
                let rows = source[start..end].chunks(source_tile_bytes);
                for (tile, rows) in tiles.chunks_exact_mut(tile_bytes).zip(rows) {
                    (format.pack)(rows, row_bytes, tile);
                }
                release(start..end);
            }
        });
    }

    /// Rows: outputs of the product.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Columns: inputs of the product.
    pub fn n_cols(&self) -> usize {
        self.n_cols
    }

    /// The format of the weights.
    pub fn format(&self) -> &'static Format {
        self.format
    }

    /// Bytes of memory that the weights take.
    pub fn bytes(&self) -> usize {
        self.packed_bytes().len()
    }

    /// The packed tiles, for those who measure how fast memory can be read.
    pub fn packed_bytes(&self) -> &[u8] {
        self.tiles.bytes()
    }

    /// One row as numbers, bit for bit as [`Format::decode`] gives them.
    ///
    /// # Panics
    /// There is no such row, or `out` does not have `n_cols` numbers.
    pub fn decode_row(&self, row: usize, out: &mut [f32]) {
        assert!(row < self.n_rows, "no row {row} in {}", self.n_rows);
        assert_eq!(out.len(), self.n_cols, "one number per column");
        self.format.decode_packed(self.tile(row / ROWS), row % ROWS, out);
    }

    fn n_tiles(&self) -> usize {
        self.n_rows.div_ceil(ROWS)
    }

    fn tile(&self, tile: usize) -> &[u8] {
        &self.tiles.bytes()[tile * self.tile_bytes..][..self.tile_bytes]
    }
}

/// One product of the shared activations: `out = x weights^T`.
#[derive(Debug)]
pub struct Product<'a> {
    /// The weights, `[n_rows, n_cols]`.
    pub weights: &'a Matrix,
    /// The result, `[n_tokens, n_rows]`.
    pub out: &'a mut [f32],
}

/// Memory that products reuse from call to call: the activations as the kernels read them.
#[derive(Debug, Default)]
pub struct MatmulScratch {
    words: Vec<i32>,
    scales: Vec<f32>,
    corrections: Vec<(Correction, Vec<u32>)>,
    floats: Vec<f32>,
}

/// Multiplies `x`, `[n_tokens, n_cols]`, with several matrices in one parallel step: `out[t, r] = sum_c x[t, c] w[r, c]`.
///
/// For integer formats `x` is quantised first, see `quant/panel.rs`; the order of the sum is in `quant/tile/mod.rs`. A
/// result depends on its row of weights and its token alone: not on the other tokens or matrices, the number of
/// threads or the instruction set.
///
/// # Panics
/// The shapes do not fit together.
pub fn matmul(
    pool: &Pool,
    scratch: &mut MatmulScratch,
    x: &[f32],
    n_tokens: usize,
    products: &mut [Product<'_>],
) {
    let Some(n_cols) = products.first().map(|product| product.weights.n_cols) else {
        return;
    };
    // Compared so that no product wraps: results are written unchecked where these hold.
    assert_eq!(
        Some(x.len()),
        n_tokens.checked_mul(n_cols),
        "activations [{n_tokens}, {n_cols}]"
    );
    for Product { weights, out } in products.iter() {
        assert_eq!(weights.n_cols, n_cols, "matrices that share their activations");
        assert_eq!(
            Some(out.len()),
            n_tokens.checked_mul(weights.n_rows),
            "results [{n_tokens}, {}]",
            weights.n_rows
        );
    }
    if n_tokens == 0 {
        return;
    }
    if n_cols == 0 {
        return products.iter_mut().for_each(|product| product.out.fill(0.0));
    }
    let columns = Columns::new(
        products[0].weights.format.kernels.for_isa(pool.isa()),
        n_tokens,
        n_cols,
    );
    scratch.prepare(pool, &columns, x, products);
    let parts: Vec<Part<'_>> = products
        .iter_mut()
        .map(|product| Part::new(pool, scratch, product))
        .collect();
    let n_tiles = parts.iter().map(|part| part.weights.n_tiles()).sum();
    let grain = columns.least_tiles(
        parts
            .iter()
            .map(|part| part.weights.tile_bytes)
            .max()
            .unwrap_or(1),
    );
    pool.for_each_range(n_tiles, grain, &|_, range| {
        let mut first = 0;
        for part in &parts {
            let end = first + part.weights.n_tiles();
            let tiles = range.start.max(first)..range.end.min(end);
            if !tiles.is_empty() {
                part.multiply(&columns, tiles.start - first..tiles.end - first);
            }
            first = end;
        }
    });
}

/// How the tokens are cut: into groups for which there is a kernel, that is as many columns as it takes, or fewer.
struct Columns {
    n_tokens: usize,
    n_cols: usize,
    n_steps: usize,
    n_groups: usize,
    /// The columns of the kernel of each group, and its number in the list of kernels: of the first `n_larger` groups,
    /// and of the others, which may have one token less.
    kernels: [(usize, usize); 2],
    n_larger: usize,
    /// Groups whose panels fit the second-level cache together.
    groups_together: usize,
}

/// A group of tokens and its panel.
struct Group {
    tokens: Range<usize>,
    /// Of the kernel; those without a token hold anything.
    columns: usize,
    /// The number of the kernel in its list.
    kernel: usize,
    /// Columns of the groups before this one.
    first_column: usize,
}

/// What of the second-level cache to fill with activations; the smallest on servers of today is 512 KiB.
const CACHE_BYTES: usize = 256 << 10;
/// Weights worth a worker's while, read for one column; with more columns there is more to do with fewer.
const PIECE_BYTES: usize = 64 << 10;
/// Activations that one thread quantises sooner than others wake up.
const SERIAL_ACTIVATIONS: usize = 8 << 10;

impl Columns {
    /// `kernels` is the list of any format: all have kernels for the same numbers of columns.
    fn new(kernels: &[(usize, Kernel)], n_tokens: usize, n_cols: usize) -> Columns {
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

    fn group(&self, group: usize) -> Group {
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
    fn n_columns(&self) -> usize {
        let last = self.group(self.n_groups - 1);
        last.first_column + last.columns
    }

    /// Where the panel of a group lies in memory that has `per_cell` numbers for each step of each column.
    fn panel(&self, group: &Group, per_cell: usize) -> Range<usize> {
        let per_column = self.n_steps * per_cell;
        group.first_column * per_column..(group.first_column + group.columns) * per_column
    }

    fn least_tiles(&self, tile_bytes: usize) -> usize {
        PIECE_BYTES.div_ceil(tile_bytes * self.n_tokens.min(64))
    }

    fn groups_per_worker(&self) -> usize {
        SERIAL_ACTIVATIONS.div_ceil(self.kernels[0].0 * self.n_cols)
    }
}

impl MatmulScratch {
    /// Brings the activations into the forms that the products need.
    fn prepare(&mut self, pool: &Pool, columns: &Columns, x: &[f32], products: &[Product<'_>]) {
        let cells = columns.n_columns() * columns.n_steps;
        let mut n_corrections = 0;
        let (mut any_floats, mut any_integers) = (false, false);
        for product in products {
            let Some(correction) = product.weights.format.kernels.correction(pool.isa()) else {
                any_floats = true;
                continue;
            };
            any_integers = true;
            let known = self.corrections[..n_corrections]
                .iter()
                .any(|(known, _)| *known == correction);
            if known || correction.kind == CorrectionKind::None {
                continue;
            }
            if n_corrections == self.corrections.len() {
                self.corrections.push((correction, Vec::new()));
            }
            self.corrections[n_corrections].0 = correction;
            self.corrections[n_corrections]
                .1
                .resize(cells * correction.per_step(), 0);
            n_corrections += 1;
        }
        self.corrections.truncate(n_corrections);
        if any_integers {
            self.words.resize(cells * STEP / 4, 0);
            self.scales.resize(cells, 0.0);
            self.quantize(pool, columns, x);
        }
        if any_floats {
            self.floats.resize(cells * STEP, 0.0);
            self.copy_floats(pool, columns, x);
        }
    }

    fn quantize(&mut self, pool: &Pool, columns: &Columns, x: &[f32]) {
        let words = SharedSlice::new(&mut self.words);
        let scales = SharedSlice::new(&mut self.scales);
        let corrections: Vec<_> = self
            .corrections
            .iter_mut()
            .map(|(correction, values)| (*correction, SharedSlice::new(values)))
            .collect();
        pool.for_each_range(columns.n_groups, columns.groups_per_worker(), &|_, groups| {
            for group in groups.map(|group| columns.group(group)) {
                // SAFETY: the pool gives each group to one worker, and groups have panels of their own.
                let mut panel = unsafe {
                    PanelMut {
                        columns: group.columns,
                        words: words.range_mut(columns.panel(&group, STEP / 4)),
                        scales: scales.range_mut(columns.panel(&group, 1)),
                        corrections: corrections
                            .iter()
                            .map(|(correction, values)| {
                                (
                                    *correction,
                                    values.range_mut(columns.panel(&group, correction.per_step())),
                                )
                            })
                            .collect(),
                    }
                };
                for (column, token) in group.tokens.enumerate() {
                    panel.fill_column(pool.isa(), column, &x[token * columns.n_cols..][..columns.n_cols]);
                }
            }
        });
    }

    fn copy_floats(&mut self, pool: &Pool, columns: &Columns, x: &[f32]) {
        let floats = SharedSlice::new(&mut self.floats);
        pool.for_each_range(columns.n_groups, columns.groups_per_worker(), &|_, groups| {
            for group in groups.map(|group| columns.group(group)) {
                // SAFETY: the pool gives each group to one worker, and groups have panels of their own.
                let panel = unsafe { floats.range_mut(columns.panel(&group, STEP)) };
                for (column, token) in group.tokens.enumerate() {
                    let row = &x[token * columns.n_cols..][..columns.n_cols];
                    for (step, x) in row.chunks(STEP).enumerate() {
                        let to = &mut panel[(step * group.columns + column) * STEP..][..STEP];
                        to[..x.len()].copy_from_slice(x);
                        // Memory from the last call may hold anything, and 0 * infinity is not 0.
                        to[x.len()..].fill(0.0);
                    }
                }
            }
        });
    }
}

/// A product as the workers see it.
struct Part<'a> {
    weights: &'a Matrix,
    out: SharedSlice<'a, f32>,
    panel: Panel<'a>,
    corrections_per_step: usize,
    kernels: &'static [(usize, Kernel)],
}

impl<'a> Part<'a> {
    fn new(pool: &Pool, scratch: &'a MatmulScratch, product: &'a mut Product<'_>) -> Part<'a> {
        let weights = product.weights;
        let kernels = &weights.format.kernels;
        let correction = kernels.correction(pool.isa());
        let corrections = scratch
            .corrections
            .iter()
            .find(|(known, _)| Some(*known) == correction);
        Part {
            weights,
            out: SharedSlice::new(product.out),
            panel: Panel {
                words: &scratch.words,
                scales: &scratch.scales,
                corrections: corrections.map_or(&[], |(_, values)| values),
                floats: &scratch.floats,
            },
            corrections_per_step: correction.map_or(0, Correction::per_step),
            kernels: kernels.for_isa(pool.isa()),
        }
    }

    /// Multiplies these tiles with all columns: as many groups of columns at a time as stay in the cache.
    fn multiply(&self, columns: &Columns, tiles: Range<usize>) {
        for first in (0..columns.n_groups).step_by(columns.groups_together) {
            let groups = first..(first + columns.groups_together).min(columns.n_groups);
            for tile in tiles.clone() {
                for group in groups.clone() {
                    self.multiply_tile(columns, tile, &columns.group(group));
                }
            }
        }
    }

    fn multiply_tile(&self, columns: &Columns, tile: usize, group: &Group) {
        let mut results = [PerRow::default(); MAX_COLUMNS];
        let (_, kernel) = self.kernels[group.kernel];
        let panel = self.panel_of(columns, group);
        // SAFETY: the kernels are those for the instruction set of the pool, which was made for this CPU.
        unsafe { kernel(self.weights.tile(tile), panel, &mut results[..group.columns]) };
        let n_rows = self.weights.n_rows;
        let rows = tile * ROWS..((tile + 1) * ROWS).min(n_rows);
        for (token, result) in group.tokens.clone().zip(&results) {
            // SAFETY: the pool gives each tile to one worker, and only this tile has these rows.
            let out = unsafe {
                self.out
                    .range_mut(token * n_rows + rows.start..token * n_rows + rows.end)
            };
            out.copy_from_slice(&result.0[..rows.len()]);
        }
    }

    fn panel_of(&self, columns: &Columns, group: &Group) -> Panel<'_> {
        if self.weights.format.numbers.is_none() {
            return Panel {
                floats: &self.panel.floats[columns.panel(group, STEP)],
                ..Panel::default()
            };
        }
        Panel {
            words: &self.panel.words[columns.panel(group, STEP / 4)],
            scales: &self.panel.scales[columns.panel(group, 1)],
            corrections: &self.panel.corrections[columns.panel(group, self.corrections_per_step)],
            ..Panel::default()
        }
    }
}
