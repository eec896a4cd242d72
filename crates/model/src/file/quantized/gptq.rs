//! GPTQ: `qweight` `[n_in / k, n_out]` has the codes of `k` consecutive inputs in a word, the first lowest; `qzeros`
//! `[n_groups, n_out / k]` the zero points of `k` outputs, in older files each smaller by 1; `scales` is `[n_groups, n_out]`.

use std::ops::Range;
use std::sync::Arc;

use super::numbers::{Scales, check_order, word};
use super::stored::{Module, Stored};
use crate::codes::Codes;
use crate::error::LoadError;
use crate::file::safetensors::Dtype;

/// How a folder's modules are quantised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Gptq {
    pub(super) bits: u32,
    /// Columns that share a scale; `None`: all.
    pub(super) group_size: Option<usize>,
    /// What stored zero points are smaller by.
    pub(super) zero_offset: u16,
}

impl Gptq {
    pub(super) fn codes<'a>(
        &self,
        module: &mut Module<'_, 'a>,
    ) -> Result<(Stored<'a>, Arc<dyn Codes + 'a>), LoadError> {
        let Some(words) = module.take("qweight") else {
            unreachable!("modules are found by this tensor")
        };
        words.expect_type(&[Dtype::I32])?;
        let per_word = (32 / self.bits) as usize;
        let (n_words, n_rows) = words.matrix_shape()?;
        let n_cols = n_words * per_word;
        let group_len = self.group_size.unwrap_or(n_cols);
        let n_groups = n_cols.div_ceil(group_len);
        let scales = module.take_required("scales", &words)?;
        let zeros = module.take_required("qzeros", &words)?;
        zeros.expect_type(&[Dtype::I32])?;
        zeros.expect_shape(&[n_groups, n_rows.div_ceil(per_word)])?;
        if let Some(g_idx) = module.take("g_idx") {
            check_order(&g_idx, n_cols, group_len)?;
        }
        let codes = GptqCodes {
            bits: self.bits,
            zero_offset: self.zero_offset,
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
struct GptqCodes<'a> {
    bits: u32,
    zero_offset: u16,
    shape: (usize, usize),
    group_len: usize,
    words: &'a [u8],
    zeros: &'a [u8],
    scales: Scales<'a>,
}

impl GptqCodes<'_> {
    fn per_word(&self) -> usize {
        (32 / self.bits) as usize
    }

    fn code(&self, word: u32, at: usize) -> u8 {
        (word >> (self.bits * at as u32)) as u8 & self.max_code()
    }
}

impl Codes for GptqCodes<'_> {
    fn n_rows(&self) -> usize {
        self.shape.0
    }

    fn n_cols(&self) -> usize {
        self.shape.1
    }

    fn max_code(&self) -> u8 {
        (u8::MAX) >> (8 - self.bits)
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
        let per_word = self.per_word();
        let at = group * self.n_rows().div_ceil(per_word) + row / per_word;
        u16::from(self.code(word(self.zeros, at), row % per_word)) + self.zero_offset
    }

    fn read(&self, rows: Range<usize>, out: &mut [u8]) {
        let (per_word, n_cols) = (self.per_word(), self.n_cols());
        for first_col in (0..n_cols).step_by(per_word) {
            let words = first_col / per_word * self.n_rows();
            for (row, out) in rows.clone().zip(out.chunks_exact_mut(n_cols)) {
                let word = word(self.words, words + row);
                for (at, out) in out[first_col..][..per_word].iter_mut().enumerate() {
                    *out = self.code(word, at);
                }
            }
        }
    }

    fn beside(&self) -> Vec<&[u8]> {
        vec![self.zeros, self.scales.bytes]
    }
}
