//! One GGUF file, versions 2 and 3, little-endian: typed metadata and where each tensor's bytes lie.
//!
//! Reads from a byte slice (a mapped or embedded file) and borrows from it. The bytes are not trusted: every length
//! is compared with what is left of the file before it is used, nothing is allocated by a count that the file could
//! not hold, and every fault names the key or tensor. What the keys mean is `gguf_model`'s business.
mod fault;
mod tensors;
mod value;

use std::collections::HashMap;

pub use fault::{GgufError, GgufFault, Place};
pub use tensors::GgufTensor;
pub use value::{Array, Value};

use tensors::{place_tensors, read_tensor_entries};
use value::Reader;

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

/// A parsed GGUF file, borrowing from its bytes.
#[derive(Debug)]
pub struct Gguf<'a> {
    version: u32,
    keys: Vec<(&'a str, Value<'a>)>,
    key_idx: HashMap<&'a str, usize>,
    tensors: Vec<GgufTensor<'a>>,
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
            Value::Array(array) => array.raw_bytes(),
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
