//! AWQ in the layout `gemm`: `qweight` `[n_in, n_out / 8]` and `qzeros` `[n_groups, n_out / 8]` have the codes of 8 outputs in a
//! word, interleaved; `scales` is `[n_groups, n_out]`.

use std::ops::Range;
use std::sync::Arc;

use super::numbers::{Scales, word};
use super::stored::{Module, Stored};
use crate::codes::Codes;
use crate::error::LoadError;
use crate::file::safetensors::Dtype;

/// How a folder's modules are quantised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Awq {
    /// Columns that share a scale; `None`: all.
    pub(super) group_size: Option<usize>,
}

/// Outputs in a word.
const PER_WORD: usize = 8;
/// The place in a word, from the lowest bits, of each of its outputs: places hold outputs 0, 2, 4, 6, 1, 3, 5 and 7.
const PLACES: [u32; PER_WORD] = [0, 4, 1, 5, 2, 6, 3, 7];

impl Awq {
    pub(super) fn codes<'a>(
        &self,
        module: &mut Module<'_, 'a>,
    ) -> Result<(Stored<'a>, Arc<dyn Codes + 'a>), LoadError> {
        let Some(words) = module.take("qweight") else {
            unreachable!("modules are found by this tensor")
        };
        words.expect_type(&[Dtype::I32])?;
        let (n_cols, n_words) = words.matrix_shape()?;
        let n_rows = n_words * PER_WORD;
        let group_len = self.group_size.unwrap_or(n_cols);
        let n_groups = n_cols.div_ceil(group_len);
        let scales = module.take_required("scales", &words)?;
        let zeros = module.take_required("qzeros", &words)?;
        zeros.expect_type(&[Dtype::I32])?;
        zeros.expect_shape(&[n_groups, n_words])?;
        let codes = AwqCodes {
            shape: (n_rows, n_cols),
            group_len,
            words: words.bytes(),
            zeros: zeros.bytes(),
            scales: Scales::by_group(&scales, n_groups, n_rows)?,
        };
        Ok((words, Arc::new(codes)))
    }
}

#[derive(Debug)]
struct AwqCodes<'a> {
    shape: (usize, usize),
    group_len: usize,
    words: &'a [u8],
    zeros: &'a [u8],
    scales: Scales<'a>,
}

impl AwqCodes<'_> {
    /// The code of an output in a matrix `[_, n_out / 8]` of words.
    fn code(&self, words: &[u8], line: usize, row: usize) -> u8 {
        let word = word(words, line * (self.n_rows() / PER_WORD) + row / PER_WORD);
        (word >> (4 * PLACES[row % PER_WORD])) as u8 & 15
    }
}

impl Codes for AwqCodes<'_> {
    fn n_rows(&self) -> usize {
        self.shape.0
    }

    fn n_cols(&self) -> usize {
        self.shape.1
    }

    fn max_code(&self) -> u8 {
        15
    }

    fn is_float(&self) -> bool {
        false
    }

    fn group_len(&self) -> usize {
        self.group_len
    }

    fn scale(&self, row: usize, group: usize) -> f32 {
        self.scales.get(row, group)
    }

    fn zero(&self, row: usize, group: usize) -> u16 {
        u16::from(self.code(self.zeros, group, row))
    }

    fn read(&self, rows: Range<usize>, out: &mut [u8]) {
        let n_cols = self.n_cols();
        for col in 0..n_cols {
            for (row, out) in rows.clone().zip(out.chunks_exact_mut(n_cols)) {
                out[col] = self.code(self.words, col, row);
            }
        }
    }

    fn beside(&self) -> Vec<&[u8]> {
        vec![self.zeros, self.scales.bytes]
    }
}
