//! One safetensors file: which tensors it has and where their bytes lie.
//!
//! The header is JSON of a length given first. Bytes are not trusted: the header's length is limited, shapes and
//! offsets are checked against each other and the file, and no two tensors share bytes.

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;

use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use tokenmill_kernels::quant::{FORMATS, Format};

/// Longest header. Files of the largest models have headers of some megabytes.
pub const MAX_HEADER_BYTES: u64 = 16 << 20;
/// Longest name of a tensor, in bytes.
const MAX_NAME_BYTES: usize = 1024;
/// Most dimensions of a tensor.
const MAX_DIMS: usize = 8;

/// A fault in a safetensors file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // The messages say it; a second wording would only drift.
pub enum SafetensorsError {
    #[error(
        "safetensors header: the file has {file_bytes} bytes, {needed} are needed; it was cut or is damaged"
    )]
    Cut { needed: u64, file_bytes: u64 },
    #[error(
        "safetensors header: its length of {0} bytes is above the limit of {MAX_HEADER_BYTES}; this is not a safetensors file, or it is damaged"
    )]
    HeaderTooLong(u64),
    #[error("safetensors header: {0}")]
    Header(String),
    #[error("tensor {name:?}: {fault}")]
    Tensor { name: String, fault: String },
}

/// Where a tensor lies in a file, and as what.
#[derive(Clone, Debug)]
pub struct SafetensorsTensor {
    /// The tensor's name.
    pub name: String,
    /// Dimensions, slowest first: `[n_rows, n_cols]` for a matrix.
    pub shape: Vec<u64>,
    /// The type of its elements.
    pub dtype: Dtype,
    /// Its bytes in the file; checked to be within it.
    pub range: Range<usize>,
}

/// Types of elements that are read: of weights, and of what folders of quantised weights have beside them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The names are those of the format.
pub enum Dtype {
    F32,
    F16,
    Bf16,
    /// `e4m3fn`: without infinities.
    F8E4m3,
    I8,
    I32,
    I64,
}

const DTYPES: &[Dtype] = &[
    Dtype::F32,
    Dtype::F16,
    Dtype::Bf16,
    Dtype::F8E4m3,
    Dtype::I8,
    Dtype::I32,
    Dtype::I64,
];

impl Dtype {
    /// The name in files.
    pub fn name(self) -> &'static str {
        match self {
            Dtype::F32 => "F32",
            Dtype::F16 => "F16",
            Dtype::Bf16 => "BF16",
            Dtype::F8E4m3 => "F8_E4M3",
            Dtype::I8 => "I8",
            Dtype::I32 => "I32",
            Dtype::I64 => "I64",
        }
    }

    /// Bytes of an element.
    pub fn n_bytes(self) -> usize {
        match self {
            Dtype::F8E4m3 | Dtype::I8 => 1,
            Dtype::F16 | Dtype::Bf16 => 2,
            Dtype::F32 | Dtype::I32 => 4,
            Dtype::I64 => 8,
        }
    }

    /// The format of weights that need nothing beside them.
    pub fn format(self) -> Option<&'static Format> {
        let plain = matches!(self, Dtype::F32 | Dtype::F16 | Dtype::Bf16);
        FORMATS
            .iter()
            .copied()
            .find(|format| plain && format.name == self.name())
    }
}

/// Reads the header of a whole file's bytes: the tensors in the order of the header.
///
/// # Errors
/// Any fault of the header, with the tensor's name where it is one's.
pub fn parse(bytes: &[u8]) -> Result<Vec<SafetensorsTensor>, SafetensorsError> {
    let file_bytes = bytes.len() as u64;
    let Some((length, rest)) = bytes.split_first_chunk::<8>() else {
        return Err(SafetensorsError::Cut {
            needed: 8,
            file_bytes,
        });
    };
    let header_bytes = u64::from_le_bytes(*length);
    if header_bytes > MAX_HEADER_BYTES {
        return Err(SafetensorsError::HeaderTooLong(header_bytes));
    }
    let header_end = 8 + header_bytes as usize;
    let Some(header) = rest.get(..header_bytes as usize) else {
        return Err(SafetensorsError::Cut {
            needed: header_end as u64,
            file_bytes,
        });
    };
    let header: Header =
        serde_json::from_slice(header).map_err(|fault| SafetensorsError::Header(fault.to_string()))?;
    let data_bytes = bytes.len() - header_end;
    let mut tensors = Vec::with_capacity(header.tensors.len());
    for (name, entry) in header.tensors {
        match place(&entry, header_end, data_bytes) {
            Ok((dtype, range)) => tensors.push(SafetensorsTensor {
                name,
                shape: entry.shape,
                dtype,
                range,
            }),
            Err(fault) => return Err(SafetensorsError::Tensor { name, fault }),
        }
    }
    check_no_overlap(&tensors)?;
    Ok(tensors)
}

/// The header: tensors by name, in order. `__metadata__` is left aside: nothing in it concerns the arithmetic.
struct Header {
    tensors: Vec<(String, Entry)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Header, D::Error> {
        deserializer.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
        let mut tensors = Vec::new();
        let mut names = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            if name.len() > MAX_NAME_BYTES {
                return Err(A::Error::custom(format_args!(
                    "a tensor's name has {} bytes, more than {MAX_NAME_BYTES}",
                    name.len()
                )));
            }
            if !names.insert(name.clone()) {
                return Err(A::Error::custom(format_args!("tensor {name:?} is there twice")));
            }
            if name == "__metadata__" {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let entry = map
                .next_value::<Entry>()
                .map_err(|fault| A::Error::custom(format_args!("tensor {name:?}: {fault}")))?;
            tensors.push((name, entry));
        }
        Ok(Header { tensors })
    }
}

fn place(entry: &Entry, data_begin: usize, data_bytes: usize) -> Result<(Dtype, Range<usize>), String> {
    let dtype = DTYPES.iter().find(|dtype| dtype.name() == entry.dtype);
    let dtype = *dtype.ok_or_else(|| {
        let names: Vec<&str> = DTYPES.iter().map(|dtype| dtype.name()).collect();
        format!(
            "type {:?} is not supported; supported are {}",
            entry.dtype,
            names.join(", ")
        )
    })?;
    if entry.shape.len() > MAX_DIMS {
        return Err(format!(
            "it has {} dimensions; at most {MAX_DIMS} are possible",
            entry.shape.len()
        ));
    }
    let n_bytes = entry
        .shape
        .iter()
        .try_fold(dtype.n_bytes() as u64, |product, &dim| product.checked_mul(dim));
    let n_bytes = n_bytes
        .filter(|&n_bytes| n_bytes > 0)
        .ok_or_else(|| format!("its shape {:?} has no elements or too many", entry.shape))?;
    let (begin, end) = entry.data_offsets;
    if begin.checked_add(n_bytes) != Some(end) {
        return Err(format!(
            "its offsets {begin}..{end} do not span the {n_bytes} bytes of shape {:?}",
            entry.shape
        ));
    }
    if end > data_bytes as u64 {
        return Err(format!(
            "its bytes end at {end}, the file's data at {data_bytes}; the file was cut or is damaged"
        ));
    }
    // Both are at most `data_bytes`, and the sum at most the file's length.
    Ok((dtype, data_begin + begin as usize..data_begin + end as usize))
}

fn check_no_overlap(tensors: &[SafetensorsTensor]) -> Result<(), SafetensorsError> {
    let mut order: Vec<&SafetensorsTensor> = tensors.iter().collect();
    order.sort_by_key(|tensor| tensor.range.start);
    for pair in order.windows(2) {
        if pair[1].range.start < pair[0].range.end {
            let fault = format!("its bytes overlap those of tensor {:?}", pair[0].name);
            return Err(SafetensorsError::Tensor {
                name: pair[1].name.clone(),
                fault,
            });
        }
    }
    Ok(())
}
