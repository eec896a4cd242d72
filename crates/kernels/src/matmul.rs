//! Products of activations and packed weights: how they are cut into tiles and given to workers. Knows no format.

mod columns;
mod part;
mod scratch;

use std::cell::RefCell;
use std::io;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use columns::Columns;
use part::Part;
use scratch::Form;

pub use scratch::MatmulScratch;

use crate::arena::Arena;
use crate::mapped::MappedFile;
use crate::pool::Pool;
use crate::quant::Format;
use crate::quant::tile::ROWS;

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
    /// The file could not be read, though it was when it was opened.
    #[error("the weights cannot be read from their file: {0}; was it changed or cut short meanwhile?")]
    Read(io::Error),
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

/// Source bytes that a worker reads and packs at a time: they stay in the second-level cache in between.
const PACK_BYTES: usize = 256 << 10;

/// Where the bytes to pack come from.
#[derive(Clone, Copy)]
enum Source<'a> {
    Memory(&'a [u8]),
    /// A file, and where in it the weights begin.
    ///
    /// Read, not mapped, so that a file cut short meanwhile is an error and not the end of the process. As fast: 2.15 s
    /// for 4.9 GB where mapping took 1.99 to 4.2 (two rounds each).
    File(&'a MappedFile, usize),
}

thread_local! {
    /// What a worker reads into; kept, because fresh memory for each matrix costs more than reading it.
    static READ: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl Source<'_> {
    /// Lends these bytes to `pack`.
    fn with(self, bytes: Range<usize>, pack: impl FnOnce(&[u8])) -> io::Result<()> {
        match self {
            Source::Memory(source) => pack(&source[bytes]),
            Source::File(file, start) => READ.with_borrow_mut(|buffer| {
                buffer.resize(bytes.len(), 0);
                file.read_at(start + bytes.start, buffer)?;
                pack(buffer);
                io::Result::Ok(())
            })?,
        }
        Ok(())
    }
}

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
        Matrix::pack_source(
            pool,
            format,
            (n_rows, n_cols),
            Source::Memory(source),
            source.len(),
        )
    }

    /// Packs weights `shape = [n_rows, n_cols]` from these bytes of a file, and never holds both forms of more than a few
    /// hundred kilobytes.
    ///
    /// # Errors
    /// As [`Matrix::pack`]; also if the bytes lie outside the file, or cannot be read.
    pub fn pack_file(
        pool: &Pool,
        format: &'static Format,
        shape: (usize, usize),
        file: &MappedFile,
        bytes: Range<usize>,
    ) -> Result<Matrix, PackError> {
        let Range { start, end } = bytes;
        if start > end || end > file.bytes().len() {
            return Err(PackError::OutsideFile {
                start,
                end,
                file: file.bytes().len(),
            });
        }
        Matrix::pack_source(pool, format, shape, Source::File(file, start), end - start)
    }

    fn pack_source(
        pool: &Pool,
        format: &'static Format,
        (n_rows, n_cols): (usize, usize),
        source: Source<'_>,
        source_len: usize,
    ) -> Result<Matrix, PackError> {
        let no_blocks = || PackError::Columns {
            format: format.name,
            block_len: format.block_len,
            n_cols,
        };
        let row_bytes = format.row_bytes(n_cols).ok_or_else(no_blocks)?;
        if row_bytes.checked_mul(n_rows) != Some(source_len) {
            return Err(PackError::Length {
                format: format.name,
                n_rows,
                n_cols,
                found: source_len,
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
        if source_len > 0 {
            matrix
                .fill(pool, row_bytes, source, source_len)
                .map_err(PackError::Read)?;
        }
        Ok(matrix)
    }

    fn fill(
        &mut self,
        pool: &Pool,
        row_bytes: usize,
        source: Source<'_>,
        source_len: usize,
    ) -> io::Result<()> {
        let (format, tile_bytes) = (self.format, self.tile_bytes);
        let source_tile_bytes = ROWS * row_bytes;
        let together = (PACK_BYTES / source_tile_bytes).max(1);
        let result = Mutex::new(Ok(()));
        pool.for_each_chunk(self.tiles.bytes_mut(), tile_bytes, together, |first, tiles| {
            for (batch, tiles) in tiles.chunks_mut(together * tile_bytes).enumerate() {
                let start = (first + batch * together) * source_tile_bytes;
                let end = (start + together * source_tile_bytes).min(source_len);
                let packed = source.with(start..end, |rows| {
                    let rows = rows.chunks(source_tile_bytes);
                    for (tile, rows) in tiles.chunks_exact_mut(tile_bytes).zip(rows) {
                        (format.pack)(rows, row_bytes, tile);
                    }
                });
                if packed.is_err() {
                    *result.lock().unwrap_or_else(PoisonError::into_inner) = packed;
                    return;
                }
            }
        });
        result.into_inner().unwrap_or_else(PoisonError::into_inner)
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

/// From how many tokens on weights are taken out of their tiles before they are multiplied, where the instruction set
/// has kernels for that.
const WIDE_FROM: usize = 12;

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
    check_shapes(x, n_tokens, n_cols, products);
    if n_tokens == 0 {
        return;
    }
    if n_cols == 0 {
        return products.iter_mut().for_each(|product| product.out.fill(0.0));
    }
    let kernels = &products[0].weights.format.kernels;
    let is_wide = |product: &Product<'_>| product.weights.format.kernels.wide(pool.isa()).is_some();
    let wide = kernels
        .wide(pool.isa())
        .filter(|_| n_tokens >= WIDE_FROM && products.iter().all(is_wide));
    let columns = match wide {
        Some(wide) => Columns::new(wide.multiply, n_tokens, n_cols),
        None => Columns::new(kernels.for_isa(pool.isa()), n_tokens, n_cols),
    };
    let wide = wide.is_some();
    let forms: Vec<Form> = products
        .iter()
        .map(|product| Form::of(product, pool, wide))
        .collect();
    scratch.prepare(pool, &columns, x, &forms);
    let parts: Vec<Part<'_>> = products
        .iter_mut()
        .map(|product| Part::new(pool, scratch, product, wide))
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

fn check_shapes(x: &[f32], n_tokens: usize, n_cols: usize, products: &[Product<'_>]) {
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
}
