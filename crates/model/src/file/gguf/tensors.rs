//! The list of tensors of a GGUF file: names, shapes, types, and where their bytes lie.

use std::collections::HashSet;
use std::ops::Range;

use tokenmill_kernels::quant::{Format, format_by_ggml_type};

use super::MAX_DIMS;
use super::fault::{GgufError, GgufFault, Place};
use super::value::Reader;

/// Where a tensor lies in a file, and as what.
#[derive(Clone, Debug)]
pub struct GgufTensor<'a> {
    /// The tensor's name.
    pub name: &'a str,
    /// Dimensions, slowest first: `[n_rows, n_cols]` for a matrix (the file has them the other way round).
    pub shape: Vec<u64>,
    /// The type of its elements.
    pub format: &'static Format,
    /// Its bytes in the file; checked to be within it.
    pub range: Range<usize>,
}

/// A tensor's entry before its place in the file is known.
pub(super) struct TensorEntry<'a> {
    name: &'a str,
    shape: Vec<u64>,
    format: &'static Format,
    offset: u64,
    n_bytes: u64,
}

pub(super) fn read_tensor_entries<'a>(
    reader: &mut Reader<'a>,
    n_tensors: u64,
) -> Result<Vec<TensorEntry<'a>>, GgufError> {
    let mut entries = Vec::new();
    let mut names = HashSet::new();
    for idx in 0..n_tensors {
        let name = reader
            .name()
            .map_err(|fault| Place::TensorIdx(idx).error(fault))?;
        let place = || Place::Tensor(name.to_owned());
        let entry = read_tensor_entry(reader, name).map_err(|fault| place().error(fault))?;
        if !names.insert(name) {
            return Err(place().error(GgufFault::Duplicate));
        }
        entries.push(entry);
    }
    Ok(entries)
}

fn read_tensor_entry<'a>(reader: &mut Reader<'a>, name: &'a str) -> Result<TensorEntry<'a>, GgufFault> {
    let n_dims = reader.u32()?;
    if n_dims == 0 || n_dims > MAX_DIMS {
        return Err(GgufFault::Dims(n_dims));
    }
    let mut shape = (0..n_dims)
        .map(|_| reader.u64())
        .collect::<Result<Vec<u64>, GgufFault>>()?;
    shape.reverse();
    let ggml_type = reader.u32()?;
    let offset = reader.u64()?;
    let format = format_by_ggml_type(ggml_type).ok_or(GgufFault::TensorType(ggml_type))?;
    let n_bytes = tensor_bytes(&shape, format)?;
    Ok(TensorEntry {
        name,
        shape,
        format,
        offset,
        n_bytes,
    })
}

fn tensor_bytes(shape: &[u64], format: &'static Format) -> Result<u64, GgufFault> {
    let bad_shape = || GgufFault::Shape(shape.to_vec());
    let n_elements = shape
        .iter()
        .try_fold(1u64, |product, &dim| product.checked_mul(dim));
    let n_elements = n_elements.filter(|&n| n > 0).ok_or_else(bad_shape)?;
    let n_cols = shape.last().copied().unwrap_or(1);
    if n_cols % format.block_len as u64 != 0 {
        return Err(GgufFault::Blocks {
            n_cols,
            format: format.name,
            block_len: format.block_len,
        });
    }
    (n_elements / format.block_len as u64)
        .checked_mul(format.block_bytes as u64)
        .ok_or_else(bad_shape)
}

/// Gives each entry its range in the file: aligned, within the file, and its own alone.
pub(super) fn place_tensors<'a>(
    entries: Vec<TensorEntry<'a>>,
    entries_end: usize,
    alignment: usize,
    file_bytes: usize,
) -> Result<Vec<GgufTensor<'a>>, GgufError> {
    let data_begin = (entries_end as u64).next_multiple_of(alignment as u64);
    let mut tensors = Vec::with_capacity(entries.len());
    for TensorEntry {
        name,
        shape,
        format,
        offset,
        n_bytes,
    } in entries
    {
        let fail = |fault| Place::Tensor(name.to_owned()).error(fault);
        if offset % alignment as u64 != 0 {
            return Err(fail(GgufFault::Misaligned { offset, alignment }));
        }
        let begin = data_begin.saturating_add(offset);
        let end = begin.saturating_add(n_bytes);
        let file_bytes = file_bytes as u64;
        if end > file_bytes {
            return Err(fail(GgufFault::OutOfFile {
                begin,
                end,
                file_bytes,
            }));
        }
        tensors.push(GgufTensor {
            name,
            shape,
            format,
            range: begin as usize..end as usize,
        });
    }
    let mut order: Vec<&GgufTensor<'_>> = tensors.iter().collect();
    order.sort_by_key(|tensor| tensor.range.start);
    for pair in order.windows(2) {
        if pair[1].range.start < pair[0].range.end {
            let fault = GgufFault::Overlap(pair[0].name.to_owned());
            return Err(Place::Tensor(pair[1].name.to_owned()).error(fault));
        }
    }
    Ok(tensors)
}
