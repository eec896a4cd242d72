//! Codes row by row, as compressed-tensors and fp8 checkpoints have them: integers of 4 or 8 bits packed into words
//! (`weight_packed`), signed bytes or floating point numbers of 8 bits (`weight`), `[n_out, n_in]`, with scales for the tensor, for each
//! output, for groups of inputs or for squares.

use std::ops::Range;
use std::sync::Arc;

use super::numbers::{Scales, check_order, word};
use super::stored::{Module, Stored};
use crate::codes::Codes;
use crate::error::LoadError;
use crate::file::safetensors::Dtype;

/// How a folder's modules are quantised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Compressed {
    /// Rows and columns that share a scale, where these are for squares.
    pub(super) block: Option<(usize, usize)>,
    /// The last part of the name of scales.
    pub(super) scale_kind: &'static str,
}

/// What a code is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// So many bits in words of 32, larger than the weight by half of their range.
    Packed(u32),
    /// A signed byte.
    Int8,
    Float8,
}

impl Compressed {
    pub(super) fn codes<'a>(
        &self,
        module: &mut Module<'_, 'a>,
    ) -> Result<(Stored<'a>, Arc<dyn Codes + 'a>), LoadError> {
        let (stored, kind, shape) = if module.has("weight_packed") {
            packed(module)?
        } else {
            plain(module)?
        };
        let scales = module.take_required(self.scale_kind, &stored)?;
        let (scales, group_len) = self.scales(&scales, shape)?;
        let zeros = module.take("weight_zero_point");
        let zeros = zeros
            .map(|zeros| Zeros::new(&zeros, kind, shape, group_len))
            .transpose()?;
        if let Some(g_idx) = module.take("weight_g_idx") {
            check_order(&g_idx, shape.1, group_len)?;
        }
        // What activations are rounded to by engines that round them to whole tensors; here they are not, or in blocks of 32.
        module.take("input_scale");
        module.take("input_zero_point");
        let codes = RowCodes {
            kind,
            shape,
            group_len,
            bytes: stored.bytes(),
            zeros,
            scales,
        };
        Ok((stored, Arc::new(codes)))
    }

    /// Scales and the columns that share one, from the shape.
    fn scales<'a>(
        &self,
        stored: &Stored<'a>,
        (n_rows, n_cols): (usize, usize),
    ) -> Result<(Scales<'a>, usize), LoadError> {
        if let Some((block_rows, block_cols)) = self.block {
            stored.expect_shape(&[n_rows.div_ceil(block_rows), n_cols.div_ceil(block_cols)])?;
            let n_groups = n_cols.div_ceil(block_cols);
            return Ok((Scales::by_row(stored, block_rows, n_groups)?, block_cols));
        }
        match *stored.shape.as_slice() {
            [] | [1] | [1, 1] => Ok((Scales::by_row(stored, n_rows, 1)?, n_cols)),
            [rows] if rows == n_rows as u64 => Ok((Scales::by_row(stored, 1, 1)?, n_cols)),
            [rows, n_groups] if rows == n_rows as u64 && (n_cols as u64).is_multiple_of(n_groups) => {
                // No more than columns, of which there are some in memory.
                let n_groups = n_groups as usize;
                Ok((Scales::by_row(stored, 1, n_groups)?, n_cols / n_groups))
            }
            _ => Err(stored.fault(format!(
                "has shape {:?}, which is not that of scales for a matrix [{n_rows}, {n_cols}]",
                stored.shape
            ))),
        }
    }
}

/// Codes in words; `weight_shape` says how many the last word of a row has.
fn packed<'a>(module: &mut Module<'_, 'a>) -> Result<(Stored<'a>, Kind, (usize, usize)), LoadError> {
    let Some(stored) = module.take("weight_packed") else {
        unreachable!("the caller has seen this tensor")
    };
    stored.expect_type(&[Dtype::I32])?;
    let (n_rows, n_words) = stored.matrix_shape()?;
    let shape = module.take_required("weight_shape", &stored)?;
    shape.expect_type(&[Dtype::I64, Dtype::I32])?;
    shape.expect_shape(&[2])?;
    let numbers: Vec<u64> = match shape.dtype {
        Dtype::I64 => shape
            .bytes()
            .as_chunks()
            .0
            .iter()
            .map(|&bytes| u64::from_le_bytes(bytes))
            .collect(),
        _ => (0..2).map(|at| u64::from(word(shape.bytes(), at))).collect(),
    };
    let n_cols = numbers[1];
    let fits = |bits: &u64| {
        let n_bits = n_cols.checked_mul(*bits);
        n_bits.is_some_and(|n_bits| n_bits > 0 && n_bits.div_ceil(32) == n_words as u64)
    };
    let bits = [4, 8]
        .into_iter()
        .find(fits)
        .filter(|_| numbers[0] == n_rows as u64);
    match bits {
        Some(bits) => Ok((stored, Kind::Packed(bits as u32), (n_rows, n_cols as usize))),
        None => Err(stored.fault(format!(
            "has {n_words} words in each of {n_rows} rows, which are no codes of 4 or 8 bits of a matrix {numbers:?}"
        ))),
    }
}

fn plain<'a>(module: &mut Module<'_, 'a>) -> Result<(Stored<'a>, Kind, (usize, usize)), LoadError> {
    let Some(stored) = module.take("weight") else {
        unreachable!("modules are found by this tensor or by weight_packed")
    };
    stored.expect_type(&[Dtype::I8, Dtype::F8E4m3])?;
    let kind = if stored.dtype == Dtype::I8 {
        Kind::Int8
    } else {
        Kind::Float8
    };
    let shape = stored.matrix_shape()?;
    Ok((stored, kind, shape))
}

/// Zero points, as codes.
#[derive(Debug)]
struct Zeros<'a> {
    bytes: &'a [u8],
    n_groups: usize,
    /// In words, along the rows; else one signed byte each.
    packed: Option<u32>,
    /// What is added to a signed zero point.
    offset: i16,
}

impl<'a> Zeros<'a> {
    fn new(
        stored: &Stored<'a>,
        kind: Kind,
        (n_rows, n_cols): (usize, usize),
        group_len: usize,
    ) -> Result<Zeros<'a>, LoadError> {
        let n_groups = n_cols.div_ceil(group_len);
        let packed = match kind {
            Kind::Float8 => {
                return Err(stored.fault("is not supported for weights of fp8".to_owned()));
            }
            Kind::Packed(bits) if stored.dtype == Dtype::I32 => {
                stored.expect_shape(&[(n_rows * bits as usize).div_ceil(32), n_groups])?;
                Some(bits)
            }
            Kind::Packed(_) | Kind::Int8 => {
                stored.expect_type(&[Dtype::I8])?;
                let n_zeros: u64 = stored.shape.iter().product();
                if n_zeros != (n_rows * n_groups) as u64 {
                    stored.expect_shape(&[n_rows, n_groups])?;
                }
                None
            }
        };
        Ok(Zeros {
            bytes: stored.bytes(),
            n_groups,
            packed,
            offset: i16::from(middle(kind)),
        })
    }

    fn get(&self, row: usize, group: usize) -> u16 {
        let Some(bits) = self.packed else {
            let zero = self.bytes[row * self.n_groups + group].cast_signed();
            // Of 4 bits, a zero point may lie outside the codes in a faulty file; no format then holds it.
            return (i16::from(zero) + self.offset).cast_unsigned();
        };
        let per_word = (32 / bits) as usize;
        let word = word(self.bytes, row / per_word * self.n_groups + group);
        (word >> (bits as usize * (row % per_word))) as u16 & ((1 << bits) - 1)
    }
}

/// The code of zero where there is no other zero point.
fn middle(kind: Kind) -> u8 {
    match kind {
        Kind::Packed(bits) => 1 << (bits - 1),
        Kind::Int8 => 128,
        Kind::Float8 => 0,
    }
}

#[derive(Debug)]
struct RowCodes<'a> {
    kind: Kind,
    shape: (usize, usize),
    group_len: usize,
    bytes: &'a [u8],
    zeros: Option<Zeros<'a>>,
    scales: Scales<'a>,
}

impl Codes for RowCodes<'_> {
    fn n_rows(&self) -> usize {
        self.shape.0
    }

    fn n_cols(&self) -> usize {
        self.shape.1
    }

    fn max_code(&self) -> u8 {
        if self.kind == Kind::Packed(4) { 15 } else { 255 }
    }

    fn is_float(&self) -> bool {
        self.kind == Kind::Float8
    }

    fn group_len(&self) -> usize {
        self.group_len
    }

    fn scale(&self, row: usize, group: usize) -> f32 {
        self.scales.get(row, group)
    }

    fn zero(&self, row: usize, group: usize) -> u16 {
        match &self.zeros {
            Some(zeros) => zeros.get(row, group),
            None => u16::from(middle(self.kind)),
        }
    }

    fn read(&self, rows: Range<usize>, out: &mut [u8]) {
        let n_cols = self.n_cols();
        let row_bytes = self.bytes.len() / self.n_rows();
        let rows = self.bytes[rows.start * row_bytes..rows.end * row_bytes].chunks_exact(row_bytes);
        for (row, out) in rows.zip(out.chunks_exact_mut(n_cols)) {
            match self.kind {
                Kind::Packed(4) => {
                    for (pair, &byte) in out.chunks_mut(2).zip(row) {
                        pair.copy_from_slice(&[byte & 15, byte >> 4][..pair.len()]);
                    }
                }
                Kind::Int8 => {
                    for (out, byte) in out.iter_mut().zip(row) {
                        *out = byte ^ 0x80;
                    }
                }
                Kind::Packed(_) | Kind::Float8 => out.copy_from_slice(&row[..n_cols]),
            }
        }
    }

    fn beside(&self) -> Vec<&[u8]> {
        let zeros = self.zeros.as_ref().map_or(&[][..], |zeros| zeros.bytes);
        vec![zeros, self.scales.bytes]
    }
}
