//! What can be wrong with a GGUF file, and where.

use std::fmt;

use super::{MAX_ALIGNMENT, MAX_DIMS, MAX_NAME_BYTES};

/// A fault in a GGUF file, with the place where it is.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{place}: {fault}")]
pub struct GgufError {
    /// Where in the file.
    pub place: Place,
    /// What is wrong there.
    pub fault: GgufFault,
}

/// A part of a GGUF file, for messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Magic, version and counts.
    Header,
    /// The key at this index, whose name could not be read.
    KeyIdx(u64),
    /// A metadata key.
    Key(String),
    /// The tensor at this index, whose name could not be read.
    TensorIdx(u64),
    /// A tensor.
    Tensor(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Header => write!(f, "GGUF header"),
            Place::KeyIdx(idx) => write!(f, "GGUF key number {idx}"),
            Place::Key(name) => write!(f, "GGUF key {name:?}"),
            Place::TensorIdx(idx) => write!(f, "GGUF tensor number {idx}"),
            Place::Tensor(name) => write!(f, "GGUF tensor {name:?}"),
        }
    }
}

/// What is wrong with a GGUF file.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[allow(missing_docs)] // The messages say it; a second wording would only drift.
pub enum GgufFault {
    #[error("the file begins with {0:02x?}, not with \"GGUF\"")]
    Magic([u8; 4]),
    #[error("the file is big-endian, which is not supported; convert it to little-endian")]
    BigEndian,
    #[error("version {0} is not supported, only 2 and 3; convert the model again with a current tool")]
    Version(u32),
    #[error("the file ends here: {needed} bytes are needed and {left} are left; it was cut or is damaged")]
    Cut { needed: u64, left: u64 },
    #[error("the count {count} of {what} is above the limit of {limit}")]
    TooMany {
        what: &'static str,
        count: u64,
        limit: u64,
    },
    #[error("the name has {0} bytes, more than {MAX_NAME_BYTES}")]
    NameTooLong(u64),
    #[error("the text is not UTF-8")]
    NotUtf8,
    #[error("it is there twice")]
    Duplicate,
    #[error("value type {0} does not exist")]
    ValueType(u32),
    #[error("arrays of arrays are not supported")]
    NestedArray,
    #[error("the byte {0} is neither true nor false")]
    Bool(u8),
    #[error("it is missing")]
    Missing,
    #[error("it holds {found} where {expected} is needed")]
    WrongType {
        expected: &'static str,
        found: &'static str,
    },
    #[error("it has {found} entries, but there are {expected} tokens")]
    Length { found: usize, expected: usize },
    #[error("token {id} does not exist; there are {n_tokens}")]
    TokenId { id: u32, n_tokens: usize },
    #[error("{0} is not a power of two between 1 and {MAX_ALIGNMENT}")]
    Alignment(u64),
    #[error("it has {0} dimensions; 1 to {MAX_DIMS} are possible")]
    Dims(u32),
    #[error("its shape {0:?} has no elements or too many")]
    Shape(Vec<u64>),
    #[error("type {} is not supported; supported are F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2_K to Q6_K, IQ4_NL, IQ4_XS, MXFP4 and NVFP4", ggml_type_name(*.0))]
    TensorType(u32),
    #[error("its rows of {n_cols} elements do not divide into {format} blocks of {block_len}")]
    Blocks {
        n_cols: u64,
        format: &'static str,
        block_len: usize,
    },
    #[error("its offset {offset} is not a multiple of the alignment {alignment}")]
    Misaligned { offset: u64, alignment: usize },
    #[error(
        "its bytes {begin}..{end} are not within the file's {file_bytes}; the file was cut or is damaged"
    )]
    OutOfFile { begin: u64, end: u64, file_bytes: u64 },
    #[error("its bytes overlap those of tensor {0:?}")]
    Overlap(String),
}

impl Place {
    pub(super) fn error(self, fault: GgufFault) -> GgufError {
        GgufError { place: self, fault }
    }
}

/// The name of a tensor type, also of those that are not supported, for messages.
fn ggml_type_name(ggml_type: u32) -> String {
    let name = match ggml_type {
        9 => "Q8_1",
        15 => "Q8_K",
        16 => "IQ2_XXS",
        17 => "IQ2_XS",
        18 => "IQ3_XXS",
        19 => "IQ1_S",
        21 => "IQ3_S",
        22 => "IQ2_S",
        23 => "IQ4_XS",
        24 => "I8",
        25 => "I16",
        26 => "I32",
        27 => "I64",
        28 => "F64",
        29 => "IQ1_M",
        34 => "TQ1_0",
        35 => "TQ2_0",
        39 => "MXFP4",
        40 => "NVFP4",
        other => return format!("number {other}"),
    };
    name.to_owned()
}
