//! Numbers of tensors beside codes, read one at a time.

use super::stored::Stored;
use crate::error::LoadError;
use crate::file::safetensors::Dtype;

/// The 32-bit word of this number.
pub(super) fn word(bytes: &[u8], at: usize) -> u32 {
    match bytes.as_chunks::<4>().0.get(at) {
        Some(bytes) => u32::from_le_bytes(*bytes),
        None => panic!("no word {at} in {} bytes", bytes.len()),
    }
}

/// Scales: one for `rows_together` rows and a group of columns.
#[derive(Debug)]
pub(super) struct Scales<'a> {
    pub(super) bytes: &'a [u8],
    dtype: Dtype,
    rows_together: usize,
    /// How far apart the scales of neighbouring rows, and of neighbouring groups, lie.
    strides: (usize, usize),
}

impl<'a> Scales<'a> {
    /// `[n_groups, n_rows]`
    pub(super) fn by_group(
        stored: &Stored<'a>,
        n_groups: usize,
        n_rows: usize,
    ) -> Result<Scales<'a>, LoadError> {
        stored.expect_shape(&[n_groups, n_rows])?;
        Scales::new(stored, 1, (1, n_rows))
    }

    /// `[n_rows / rows_together, n_groups]`, of a shape that the caller has checked.
    pub(super) fn by_row(
        stored: &Stored<'a>,
        rows_together: usize,
        n_groups: usize,
    ) -> Result<Scales<'a>, LoadError> {
        Scales::new(stored, rows_together, (n_groups, 1))
    }

    fn new(
        stored: &Stored<'a>,
        rows_together: usize,
        strides: (usize, usize),
    ) -> Result<Scales<'a>, LoadError> {
        stored.expect_type(&[Dtype::F16, Dtype::Bf16, Dtype::F32])?;
        Ok(Scales {
            bytes: stored.bytes(),
            dtype: stored.dtype,
            rows_together,
            strides,
        })
    }

    pub(super) fn get(&self, row: usize, group: usize) -> f32 {
        let at = row / self.rows_together * self.strides.0 + group * self.strides.1;
        let half = || match self.bytes.as_chunks::<2>().0.get(at) {
            Some(bytes) => *bytes,
            None => panic!("no scale {at} in {} bytes", self.bytes.len()),
        };
        match self.dtype {
            Dtype::F16 => half::f16::from_le_bytes(half()).to_f32(),
            Dtype::Bf16 => half::bf16::from_le_bytes(half()).to_f32(),
            _ => f32::from_bits(word(self.bytes, at)),
        }
    }
}

/// Refuses columns whose groups are not those of their places: their scales would change from column to column.
pub(super) fn check_order(g_idx: &Stored<'_>, n_cols: usize, group_len: usize) -> Result<(), LoadError> {
    g_idx.expect_type(&[Dtype::I32])?;
    g_idx.expect_shape(&[n_cols])?;
    let in_order = (0..n_cols).all(|col| word(g_idx.bytes(), col) as usize == col / group_len);
    if in_order {
        return Ok(());
    }
    Err(g_idx.fault(
        "puts columns into groups by their activations (desc_act, actorder), which is not supported; quantise the model without it"
            .to_owned(),
    ))
}
