//! Products of activations and packed weights.

use crate::pool::{Pool, SharedSlice};
use crate::quant::Format;

/// Weights `[n_rows, n_cols]`.
#[derive(Debug)]
pub struct Matrix {
    format: &'static Format,
    n_rows: usize,
    n_cols: usize,
    row_bytes: usize,
    rows: Vec<u8>,
}

/// Why weights could not be packed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
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
    #[error("{format} weights of {n_rows} rows and {n_cols} columns have not {found} bytes")]
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
}

impl Matrix {
    /// Packs weights from the layout of the file, rows one after the other.
    ///
    /// # Errors
    /// The rows are no whole number of blocks, or `source` has another length than the shape says.
    pub fn pack(
        _pool: &Pool,
        format: &'static Format,
        n_rows: usize,
        n_cols: usize,
        source: &[u8],
    ) -> Result<Matrix, PackError> {
        let row_bytes = format.row_bytes(n_cols).ok_or(PackError::Columns {
            format: format.name,
            block_len: format.block_len,
            n_cols,
        })?;
        if row_bytes.checked_mul(n_rows) != Some(source.len()) {
            return Err(PackError::Length {
                format: format.name,
                n_rows,
                n_cols,
                found: source.len(),
            });
        }
        Ok(Matrix {
            format,
            n_rows,
            n_cols,
            row_bytes,
            rows: source.to_vec(),
        })
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
        self.rows.len()
    }

    /// One row as numbers, bit for bit as [`Format::decode`] gives them.
    ///
    /// # Panics
    /// There is no such row, or `out` does not have `n_cols` numbers.
    pub fn decode_row(&self, row: usize, out: &mut [f32]) {
        assert!(row < self.n_rows, "no row {row} in {}", self.n_rows);
        self.format
            .decode(&self.rows[row * self.row_bytes..][..self.row_bytes], out);
    }
}

/// Memory that products reuse from call to call.
#[derive(Debug, Default)]
pub struct MatmulScratch {}

/// One product of the shared activations: `out = x weights^T`.
#[derive(Debug)]
pub struct Product<'a> {
    /// The weights, `[n_rows, n_cols]`.
    pub weights: &'a Matrix,
    /// The result, `[n_tokens, n_rows]`.
    pub out: &'a mut [f32],
}

/// Multiplies `x`, `[n_tokens, n_cols]`, with several matrices in one parallel step: `out[t, r] = sum_c x[t, c] w[r, c]`.
///
/// # Panics
/// The shapes do not fit together.
pub fn matmul(
    pool: &Pool,
    _scratch: &mut MatmulScratch,
    x: &[f32],
    n_tokens: usize,
    products: &mut [Product<'_>],
) {
    for Product { weights, out } in products {
        assert_eq!(
            x.len(),
            n_tokens * weights.n_cols,
            "activations [{n_tokens}, {}]",
            weights.n_cols
        );
        assert_eq!(
            out.len(),
            n_tokens * weights.n_rows,
            "results [{n_tokens}, {}]",
            weights.n_rows
        );
        let out = SharedSlice::new(out);
        pool.for_each_range(weights.n_rows, 16, &|_, rows| {
            let mut decoded = vec![0.0; weights.n_cols];
            for row in rows {
                weights.decode_row(row, &mut decoded);
                for token in 0..n_tokens {
                    let x = &x[token * weights.n_cols..][..weights.n_cols];
                    let sum = x
                        .iter()
                        .zip(&decoded)
                        .fold(0.0_f32, |sum, (&x, &w)| x.mul_add(w, sum));
                    let at = token * weights.n_rows + row;
                    // SAFETY: the pool gives each row to one worker.
                    unsafe { out.range_mut(at..at + 1)[0] = sum };
                }
            }
        });
    }
}
