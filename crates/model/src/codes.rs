//! Matrices that a file holds as codes, with scales and zero points in tensors beside them: which format of the kernels
//! holds them exactly, and how they get there. Nothing is rounded: `w = scale * (code - zero)` is what the kernels see.

use std::fmt::Debug;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use tokenmill_kernels::pool::Pool;
use tokenmill_kernels::quant::{FORMATS, Format};

/// A matrix of codes.
pub(crate) trait Codes: Send + Sync + Debug {
    fn n_rows(&self) -> usize;
    fn n_cols(&self) -> usize;
    /// The largest code.
    fn max_code(&self) -> u8;
    /// Whether codes are floating point numbers of 8 bits.
    fn is_float(&self) -> bool;
    /// Columns that share a scale and a zero point; the last group may have fewer.
    fn group_len(&self) -> usize;
    fn scale(&self, row: usize, group: usize) -> f32;
    fn zero(&self, row: usize, group: usize) -> u16;
    /// Writes the codes of these rows, `[rows, n_cols]`.
    fn read(&self, rows: Range<usize>, out: &mut [u8]);
    /// The bytes of scales and zero points, for fingerprints.
    fn beside(&self) -> Vec<&[u8]>;
}

/// Rows that are read together: in some files, codes of rows lie side by side.
const ROWS_TOGETHER: usize = 64;

/// The format that holds all of these matrices exactly: the first of the list, which has the faster ones first. The matrices
/// are of one kind and shape: those of a layer's experts, which must have one format.
pub(crate) fn choose(matrices: &[&dyn Codes]) -> Result<&'static Format, String> {
    let Some(first) = matrices.first() else {
        return Err("is missing".to_owned());
    };
    let (n_cols, group_len) = (first.n_cols(), first.group_len());
    if !n_cols.is_multiple_of(32) {
        return Err(format!(
            "has rows of {n_cols} quantised weights; only multiples of 32 are supported"
        ));
    }
    if group_len < n_cols && !group_len.is_multiple_of(32) {
        return Err(format!(
            "has groups of {group_len} weights; only multiples of 32 are supported"
        ));
    }
    let fits = |format: &&&'static Format| {
        let block_len = format.block_len;
        format.can_compose(first.max_code(), first.is_float())
            && n_cols.is_multiple_of(block_len)
            && (group_len >= n_cols || group_len.is_multiple_of(block_len))
    };
    let mut formats: Vec<&'static Format> = FORMATS.iter().filter(fits).copied().collect();
    for codes in matrices {
        for row in 0..codes.n_rows() {
            for group in 0..codes.n_cols().div_ceil(codes.group_len()) {
                let (scale, zero) = (codes.scale(row, group), codes.zero(row, group));
                if !scale.is_finite() {
                    return Err(format!("has {scale} as the scale of row {row}, group {group}"));
                }
                formats.retain(|format| format.holds(scale, zero));
                if formats.is_empty() {
                    return Err(format!(
                        "has the scale {scale} with the zero point {zero} in row {row}, group {group}, which no format \
                         here holds exactly"
                    ));
                }
            }
        }
    }
    formats
        .first()
        .copied()
        .ok_or_else(|| "has codes of an unknown kind".to_owned())
}

/// The blocks of `format`, row after row.
pub(crate) fn compose(pool: &Pool, codes: &dyn Codes, format: &'static Format) -> Result<Vec<u8>, String> {
    let (n_rows, n_cols) = (codes.n_rows(), codes.n_cols());
    let row_bytes = n_cols / format.block_len * format.block_bytes;
    let mut blocks = vec![0; n_rows * row_bytes];
    let fault = Mutex::new(None);
    pool.for_each_chunk(&mut blocks, row_bytes, ROWS_TOGETHER, |first, rows| {
        let mut read = vec![0; ROWS_TOGETHER * n_cols];
        for (batch, rows) in rows.chunks_mut(ROWS_TOGETHER * row_bytes).enumerate() {
            let first = first + batch * ROWS_TOGETHER;
            let read = &mut read[..rows.len() / row_bytes * n_cols];
            codes.read(first..first + rows.len() / row_bytes, read);
            let both = rows.chunks_exact_mut(row_bytes).zip(read.chunks_exact(n_cols));
            for (row, (blocks, read)) in both.enumerate() {
                if codes.is_float() && read.iter().any(|code| code & 0x7f == 0x7f) {
                    let row = first + row;
                    *fault.lock().unwrap_or_else(PoisonError::into_inner) =
                        Some(format!("has a weight in row {row} that is not a number"));
                }
                compose_row(codes, format, first + row, read, blocks);
            }
        }
    });
    match fault.into_inner().unwrap_or_else(PoisonError::into_inner) {
        None => Ok(blocks),
        Some(fault) => Err(fault),
    }
}

fn compose_row(codes: &dyn Codes, format: &Format, row: usize, read: &[u8], blocks: &mut [u8]) {
    let blocks = blocks.chunks_exact_mut(format.block_bytes);
    for (at, (block, read)) in blocks.zip(read.chunks_exact(format.block_len)).enumerate() {
        let group = at * format.block_len / codes.group_len();
        format.compose(codes.scale(row, group), codes.zero(row, group), read, block);
    }
}
