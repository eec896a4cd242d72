//! One GGUF file, versions 2 and 3, little-endian: typed metadata and where each tensor's bytes lie.
//!
//! Reads from a byte slice (a mapped or embedded file) and borrows from it. The bytes are not trusted: every length
//! is compared with what is left of the file before it is used, nothing is allocated by a count that the file could
//! not hold, and every fault names the key or tensor. What the keys mean is `gguf_model`'s business.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::ops::Range;

use tokenmill_kernels::quant::{Format, format_by_ggml_type};

/// Most metadata keys that a file may have. Real files have some dozens.
pub const MAX_KEYS: u64 = 1 << 16;
/// Most tensors that one file may have. Real files have at most some thousands.
pub const MAX_TENSORS: u64 = 1 << 17;
/// Longest name of a key or tensor, in bytes.
pub const MAX_NAME_BYTES: u64 = 1024;
/// Most dimensions of a tensor.
pub const MAX_DIMS: u32 = 4;
/// Largest alignment of tensor data, in bytes.
const MAX_ALIGNMENT: u64 = 1 << 20;
const DEFAULT_ALIGNMENT: usize = 32;

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
    #[error("type {} is not supported; supported are F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2_K to Q6_K and IQ4_NL", ggml_type_name(*.0))]
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
    fn error(self, fault: GgufFault) -> GgufError {
        GgufError { place: self, fault }
    }
}

/// A parsed GGUF file, borrowing from its bytes.
#[derive(Debug)]
pub struct Gguf<'a> {
    version: u32,
    keys: Vec<(&'a str, Value<'a>)>,
    key_idx: HashMap<&'a str, usize>,
    tensors: Vec<GgufTensor<'a>>,
}

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

/// A metadata value.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Value<'a> {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    F32(f32),
    Bool(bool),
    String(&'a str),
    Array(Array<'a>),
    U64(u64),
    I64(i64),
    F64(f64),
}

/// An array of metadata values of one type, read from the file's bytes when asked.
#[derive(Clone, Copy, PartialEq)]
pub struct Array<'a> {
    kind: Kind,
    len: usize,
    /// Exactly the elements; checked when the file was parsed.
    bytes: &'a [u8],
}

impl<'a> Gguf<'a> {
    /// Reads the metadata and the list of tensors of a whole file's bytes.
    ///
    /// # Errors
    /// Any fault of the file, with its place.
    pub fn parse(bytes: &'a [u8]) -> Result<Gguf<'a>, GgufError> {
        let mut reader = Reader { bytes, pos: 0 };
        let (version, n_tensors, n_keys) =
            read_header(&mut reader).map_err(|fault| Place::Header.error(fault))?;
        let (keys, key_idx) = read_keys(&mut reader, n_keys)?;
        let mut gguf = Gguf {
            version,
            keys,
            key_idx,
            tensors: Vec::new(),
        };
        let alignment = gguf.alignment()?;
        let entries = read_tensor_entries(&mut reader, n_tensors)?;
        gguf.tensors = place_tensors(entries, reader.pos, alignment, bytes.len())?;
        Ok(gguf)
    }

    /// 2 or 3.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// All keys in the order of the file.
    pub fn keys(&self) -> &[(&'a str, Value<'a>)] {
        &self.keys
    }

    /// All tensors in the order of the file.
    pub fn tensors(&self) -> &[GgufTensor<'a>] {
        &self.tensors
    }

    /// The value of a key, if the file has it.
    pub fn get(&self, key: &str) -> Option<Value<'a>> {
        self.key_idx.get(key).map(|&idx| self.keys[idx].1)
    }

    /// A text.
    ///
    /// # Errors
    /// The key holds something else.
    pub fn string(&self, key: &str) -> Result<Option<&'a str>, GgufError> {
        self.typed(key, "a text", |value| match value {
            Value::String(text) => Some(text),
            _ => None,
        })
    }

    /// A whole number of at least 0, of whichever integer type.
    ///
    /// # Errors
    /// The key holds something else.
    pub fn unsigned(&self, key: &str) -> Result<Option<u64>, GgufError> {
        self.typed(key, "a whole number of at least 0", Value::as_unsigned)
    }

    /// [`Self::unsigned`] that fits `u32`.
    ///
    /// # Errors
    /// The key holds something else.
    pub fn u32(&self, key: &str) -> Result<Option<u32>, GgufError> {
        self.typed(key, "a whole number from 0 to 4294967295", |value| {
            value.as_unsigned().and_then(|number| u32::try_from(number).ok())
        })
    }

    /// A finite number.
    ///
    /// # Errors
    /// The key holds something else.
    pub fn f32(&self, key: &str) -> Result<Option<f32>, GgufError> {
        self.typed(key, "a finite number", |value| {
            let number = match value {
                Value::F32(number) => number,
                Value::F64(number) => number as f32,
                other => other.as_unsigned()? as f32,
            };
            number.is_finite().then_some(number)
        })
    }

    /// True or false.
    ///
    /// # Errors
    /// The key holds something else.
    pub fn bool(&self, key: &str) -> Result<Option<bool>, GgufError> {
        self.typed(key, "true or false", |value| match value {
            Value::Bool(flag) => Some(flag),
            _ => None,
        })
    }

    /// An array of texts.
    ///
    /// # Errors
    /// The key holds something else.
    pub fn strings(&self, key: &str) -> Result<Option<Vec<String>>, GgufError> {
        self.typed(key, "an array of texts", |value| match value {
            Value::Array(array) => array.strings(),
            _ => None,
        })
    }

    /// An array of numbers, each as `f32`.
    ///
    /// # Errors
    /// The key holds something else.
    pub fn f32s(&self, key: &str) -> Result<Option<Vec<f32>>, GgufError> {
        self.typed(key, "an array of numbers", |value| match value {
            Value::Array(array) => array.numbers(|number| match number {
                Value::F32(number) => Some(number),
                Value::F64(number) => Some(number as f32),
                other => other.as_integer().map(|number| number as f32),
            }),
            _ => None,
        })
    }

    /// An array of whole numbers that fit `i32`.
    ///
    /// # Errors
    /// The key holds something else.
    pub fn i32s(&self, key: &str) -> Result<Option<Vec<i32>>, GgufError> {
        self.typed(key, "an array of 32-bit whole numbers", |value| match value {
            Value::Array(array) => array.numbers(|number| i32::try_from(number.as_integer()?).ok()),
            _ => None,
        })
    }

    /// An array of bytes, signed or not.
    ///
    /// # Errors
    /// The key holds something else.
    pub fn byte_array(&self, key: &str) -> Result<Option<&'a [u8]>, GgufError> {
        self.typed(key, "an array of bytes", |value| match value {
            Value::Array(Array {
                kind: Kind::U8 | Kind::I8,
                bytes,
                ..
            }) => Some(bytes),
            _ => None,
        })
    }

    fn typed<T>(
        &self,
        key: &str,
        expected: &'static str,
        read: impl FnOnce(Value<'a>) -> Option<T>,
    ) -> Result<Option<T>, GgufError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        match read(value) {
            Some(typed) => Ok(Some(typed)),
            None => {
                let fault = GgufFault::WrongType {
                    expected,
                    found: value.type_name(),
                };
                Err(Place::Key(key.to_owned()).error(fault))
            }
        }
    }

    fn alignment(&self) -> Result<usize, GgufError> {
        let key = "general.alignment";
        match self.unsigned(key)? {
            None => Ok(DEFAULT_ALIGNMENT),
            Some(alignment) if alignment.is_power_of_two() && alignment <= MAX_ALIGNMENT => {
                Ok(alignment as usize)
            }
            Some(alignment) => Err(Place::Key(key.to_owned()).error(GgufFault::Alignment(alignment))),
        }
    }
}

impl<'a> Value<'a> {
    /// The type's name, as in messages.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Array(_) => "an array",
            Value::U8(_) => Kind::U8.name(),
            Value::I8(_) => Kind::I8.name(),
            Value::U16(_) => Kind::U16.name(),
            Value::I16(_) => Kind::I16.name(),
            Value::U32(_) => Kind::U32.name(),
            Value::I32(_) => Kind::I32.name(),
            Value::F32(_) => Kind::F32.name(),
            Value::Bool(_) => Kind::Bool.name(),
            Value::String(_) => Kind::String.name(),
            Value::U64(_) => Kind::U64.name(),
            Value::I64(_) => Kind::I64.name(),
            Value::F64(_) => Kind::F64.name(),
        }
    }

    fn as_integer(self) -> Option<i128> {
        match self {
            Value::U8(number) => Some(number.into()),
            Value::I8(number) => Some(number.into()),
            Value::U16(number) => Some(number.into()),
            Value::I16(number) => Some(number.into()),
            Value::U32(number) => Some(number.into()),
            Value::I32(number) => Some(number.into()),
            Value::U64(number) => Some(number.into()),
            Value::I64(number) => Some(number.into()),
            _ => None,
        }
    }

    fn as_unsigned(self) -> Option<u64> {
        self.as_integer().and_then(|number| u64::try_from(number).ok())
    }
}

impl<'a> Array<'a> {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The name of the elements' type, as in messages.
    pub fn element_type(&self) -> &'static str {
        self.kind.name()
    }

    /// The elements in order.
    pub fn iter(&self) -> impl Iterator<Item = Value<'a>> + use<'a> {
        let kind = self.kind;
        let mut reader = Reader {
            bytes: self.bytes,
            pos: 0,
        };
        // Parsing has read these same bytes once without a fault, so this ends only at their end.
        std::iter::from_fn(move || {
            if reader.left() == 0 {
                None
            } else {
                reader.scalar(kind).ok()
            }
        })
    }

    fn strings(&self) -> Option<Vec<String>> {
        let texts = self.iter().map(|value| match value {
            Value::String(text) => Some(text.to_owned()),
            _ => None,
        });
        self.all_empty_or(Kind::String, texts.collect())
    }

    fn numbers<T>(&self, read: impl Fn(Value<'a>) -> Option<T>) -> Option<Vec<T>> {
        self.iter().map(read).collect()
    }

    /// An empty array of another type is still not an array of `kind`.
    fn all_empty_or<T>(&self, kind: Kind, found: Option<Vec<T>>) -> Option<Vec<T>> {
        if self.kind == kind { found } else { None }
    }
}

impl fmt::Debug for Array<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}; {}]", self.kind.name(), self.len)
    }
}

/// The types of metadata values but for arrays, by their numbers in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    F32,
    Bool,
    String,
    U64,
    I64,
    F64,
}

const ARRAY_TYPE: u32 = 9;

impl Kind {
    fn from_number(number: u32) -> Result<Kind, GgufFault> {
        Ok(match number {
            0 => Kind::U8,
            1 => Kind::I8,
            2 => Kind::U16,
            3 => Kind::I16,
            4 => Kind::U32,
            5 => Kind::I32,
            6 => Kind::F32,
            7 => Kind::Bool,
            8 => Kind::String,
            ARRAY_TYPE => return Err(GgufFault::NestedArray),
            10 => Kind::U64,
            11 => Kind::I64,
            12 => Kind::F64,
            other => return Err(GgufFault::ValueType(other)),
        })
    }

    /// Bytes of a value; for a text, of the shortest one.
    fn min_bytes(self) -> u64 {
        match self {
            Kind::U8 | Kind::I8 | Kind::Bool => 1,
            Kind::U16 | Kind::I16 => 2,
            Kind::U32 | Kind::I32 | Kind::F32 => 4,
            Kind::U64 | Kind::I64 | Kind::F64 | Kind::String => 8,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Kind::U8 => "u8",
            Kind::I8 => "i8",
            Kind::U16 => "u16",
            Kind::I16 => "i16",
            Kind::U32 => "u32",
            Kind::I32 => "i32",
            Kind::F32 => "f32",
            Kind::Bool => "bool",
            Kind::String => "text",
            Kind::U64 => "u64",
            Kind::I64 => "i64",
            Kind::F64 => "f64",
        }
    }
}

/// Takes bytes from the front, never more than there are.
struct Reader<'a> {
    bytes: &'a [u8],
    pos: usize,
}

impl<'a> Reader<'a> {
    fn left(&self) -> u64 {
        (self.bytes.len() - self.pos) as u64
    }

    fn take(&mut self, n_bytes: u64) -> Result<&'a [u8], GgufFault> {
        let left = self.left();
        if n_bytes > left {
            return Err(GgufFault::Cut {
                needed: n_bytes,
                left,
            });
        }
        let end = self.pos + n_bytes as usize;
        let taken = &self.bytes[self.pos..end];
        self.pos = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], GgufFault> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N as u64)?);
        Ok(array)
    }

    fn u32(&mut self) -> Result<u32, GgufFault> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, GgufFault> {
        self.array().map(u64::from_le_bytes)
    }

    fn text(&mut self) -> Result<&'a str, GgufFault> {
        let n_bytes = self.u64()?;
        std::str::from_utf8(self.take(n_bytes)?).map_err(|_| GgufFault::NotUtf8)
    }

    fn name(&mut self) -> Result<&'a str, GgufFault> {
        let n_bytes = self.u64()?;
        if n_bytes > MAX_NAME_BYTES {
            return Err(GgufFault::NameTooLong(n_bytes));
        }
        std::str::from_utf8(self.take(n_bytes)?).map_err(|_| GgufFault::NotUtf8)
    }

    /// A count of things of which each takes at least `min_bytes` of what is left.
    fn count(&mut self, what: &'static str, limit: u64) -> Result<u64, GgufFault> {
        let count = self.u64()?;
        if count > limit {
            return Err(GgufFault::TooMany { what, count, limit });
        }
        Ok(count)
    }

    fn value(&mut self) -> Result<Value<'a>, GgufFault> {
        match self.u32()? {
            ARRAY_TYPE => self.metadata_array().map(Value::Array),
            kind => self.scalar(Kind::from_number(kind)?),
        }
    }

    fn scalar(&mut self, kind: Kind) -> Result<Value<'a>, GgufFault> {
        Ok(match kind {
            Kind::U8 => Value::U8(u8::from_le_bytes(self.array()?)),
            Kind::I8 => Value::I8(i8::from_le_bytes(self.array()?)),
            Kind::U16 => Value::U16(u16::from_le_bytes(self.array()?)),
            Kind::I16 => Value::I16(i16::from_le_bytes(self.array()?)),
            Kind::U32 => Value::U32(self.u32()?),
            Kind::I32 => Value::I32(i32::from_le_bytes(self.array()?)),
            Kind::F32 => Value::F32(f32::from_le_bytes(self.array()?)),
            Kind::Bool => match self.array::<1>()? {
                [0] => Value::Bool(false),
                [1] => Value::Bool(true),
                [other] => return Err(GgufFault::Bool(other)),
            },
            Kind::String => Value::String(self.text()?),
            Kind::U64 => Value::U64(self.u64()?),
            Kind::I64 => Value::I64(i64::from_le_bytes(self.array()?)),
            Kind::F64 => Value::F64(f64::from_le_bytes(self.array()?)),
        })
    }

    /// Walks over the elements, so that reading them later cannot fail. Allocates nothing.
    fn metadata_array(&mut self) -> Result<Array<'a>, GgufFault> {
        let kind = Kind::from_number(self.u32()?)?;
        let len = self.u64()?;
        let needed = len.saturating_mul(kind.min_bytes());
        if needed > self.left() {
            return Err(GgufFault::Cut {
                needed,
                left: self.left(),
            });
        }
        let begin = self.pos;
        match kind {
            Kind::String | Kind::Bool => {
                for _ in 0..len {
                    self.scalar(kind)?;
                }
            }
            _ => {
                self.take(needed)?;
            }
        }
        Ok(Array {
            kind,
            len: len as usize,
            bytes: &self.bytes[begin..self.pos],
        })
    }
}

fn read_header(reader: &mut Reader<'_>) -> Result<(u32, u64, u64), GgufFault> {
    let magic = reader.array::<4>()?;
    if &magic != b"GGUF" {
        return Err(GgufFault::Magic(magic));
    }
    let version = reader.u32()?;
    match version {
        2 | 3 => {}
        other if other.swap_bytes() <= 0xffff && other > 0xffff => return Err(GgufFault::BigEndian),
        other => return Err(GgufFault::Version(other)),
    }
    let n_tensors = reader.count("tensors", MAX_TENSORS)?;
    let n_keys = reader.count("keys", MAX_KEYS)?;
    Ok((version, n_tensors, n_keys))
}

type Keys<'a> = (Vec<(&'a str, Value<'a>)>, HashMap<&'a str, usize>);

fn read_keys<'a>(reader: &mut Reader<'a>, n_keys: u64) -> Result<Keys<'a>, GgufError> {
    let mut keys = Vec::new();
    let mut key_idx = HashMap::new();
    for idx in 0..n_keys {
        let name = reader.name().map_err(|fault| Place::KeyIdx(idx).error(fault))?;
        let place = || Place::Key(name.to_owned());
        let value = reader.value().map_err(|fault| place().error(fault))?;
        if key_idx.insert(name, keys.len()).is_some() {
            return Err(place().error(GgufFault::Duplicate));
        }
        keys.push((name, value));
    }
    Ok((keys, key_idx))
}

/// A tensor's entry before its place in the file is known.
struct TensorEntry<'a> {
    name: &'a str,
    shape: Vec<u64>,
    format: &'static Format,
    offset: u64,
    n_bytes: u64,
}

fn read_tensor_entries<'a>(
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
fn place_tensors<'a>(
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
