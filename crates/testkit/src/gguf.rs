//! Writing GGUF files for tests: sound ones, and ones that break a rule.

use crate::bytes::{n32, n64, text};

/// Numbers of value types in the format.
const U32: u32 = 4;
const I32: u32 = 5;
const F32: u32 = 6;
const BOOL: u32 = 7;
const STRING: u32 = 8;
const ARRAY: u32 = 9;
const U64: u32 = 10;

/// Tensor types in the format.
pub const TYPE_F32: u32 = 0;
/// Half precision.
pub const TYPE_F16: u32 = 1;
/// Blocks of 32 signed bytes with a half-precision scale.
pub const TYPE_Q8_0: u32 = 8;
/// The upper half of an `f32`.
pub const TYPE_BF16: u32 = 30;

/// Builds a GGUF file in memory. Writes what it is told and checks nothing, so that tests can write faulty files.
#[derive(Clone, Debug)]
pub struct GgufWriter {
    version: u32,
    alignment: u64,
    keys: Vec<(String, Vec<u8>)>,
    tensors: Vec<Tensor>,
}

#[derive(Clone, Debug)]
struct Tensor {
    name: String,
    shape: Vec<u64>,
    ggml_type: u32,
    data: Vec<u8>,
}

impl Default for GgufWriter {
    fn default() -> GgufWriter {
        GgufWriter {
            version: 3,
            alignment: 32,
            keys: Vec::new(),
            tensors: Vec::new(),
        }
    }
}

impl GgufWriter {
    /// An empty file of version 3 and the usual alignment.
    pub fn new() -> GgufWriter {
        GgufWriter::default()
    }

    /// Another version number.
    #[must_use]
    pub fn version(mut self, version: u32) -> GgufWriter {
        self.version = version;
        self
    }

    /// Another alignment of tensors, with its key.
    #[must_use]
    pub fn alignment(mut self, alignment: u32) -> GgufWriter {
        self.alignment = u64::from(alignment).max(1);
        self.u32("general.alignment", alignment)
    }

    /// A key with a value as its bytes, of the type of this number.
    #[must_use]
    pub fn raw(mut self, key: &str, value_type: u32, value: &[u8]) -> GgufWriter {
        let mut bytes = value_type.to_le_bytes().to_vec();
        bytes.extend_from_slice(value);
        self.keys.push((key.to_owned(), bytes));
        self
    }

    /// A `u32` key.
    #[must_use]
    pub fn u32(self, key: &str, value: u32) -> GgufWriter {
        self.raw(key, U32, &value.to_le_bytes())
    }

    /// A `u64` key.
    #[must_use]
    pub fn u64(self, key: &str, value: u64) -> GgufWriter {
        self.raw(key, U64, &value.to_le_bytes())
    }

    /// An `f32` key.
    #[must_use]
    pub fn f32(self, key: &str, value: f32) -> GgufWriter {
        self.raw(key, F32, &value.to_le_bytes())
    }

    /// A boolean key.
    #[must_use]
    pub fn bool(self, key: &str, value: bool) -> GgufWriter {
        self.raw(key, BOOL, &[u8::from(value)])
    }

    /// A text key.
    #[must_use]
    pub fn string(self, key: &str, value: &str) -> GgufWriter {
        let mut bytes = Vec::new();
        text(&mut bytes, value);
        self.raw(key, STRING, &bytes)
    }

    /// A key with an array of texts.
    #[must_use]
    pub fn strings<S: AsRef<str>>(self, key: &str, values: &[S]) -> GgufWriter {
        let mut bytes = array_head(STRING, values.len());
        values.iter().for_each(|value| text(&mut bytes, value.as_ref()));
        self.raw(key, ARRAY, &bytes)
    }

    /// A key with an array of `f32`.
    #[must_use]
    pub fn f32s(self, key: &str, values: &[f32]) -> GgufWriter {
        let mut bytes = array_head(F32, values.len());
        values
            .iter()
            .for_each(|value| bytes.extend_from_slice(&value.to_le_bytes()));
        self.raw(key, ARRAY, &bytes)
    }

    /// A key with an array of `i32`.
    #[must_use]
    pub fn i32s(self, key: &str, values: &[i32]) -> GgufWriter {
        let mut bytes = array_head(I32, values.len());
        values
            .iter()
            .for_each(|value| bytes.extend_from_slice(&value.to_le_bytes()));
        self.raw(key, ARRAY, &bytes)
    }

    /// A tensor; `shape` is slowest dimension first, as `[n_rows, n_cols]`.
    #[must_use]
    pub fn tensor(mut self, name: &str, ggml_type: u32, shape: &[u64], data: Vec<u8>) -> GgufWriter {
        self.tensors.push(Tensor {
            name: name.to_owned(),
            shape: shape.to_vec(),
            ggml_type,
            data,
        });
        self
    }

    /// The file in one piece. Nothing follows the last tensor's bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let mut file = b"GGUF".to_vec();
        n32(&mut file, self.version);
        n64(&mut file, self.tensors.len() as u64);
        n64(&mut file, self.keys.len() as u64);
        for (key, value) in &self.keys {
            text(&mut file, key);
            file.extend_from_slice(value);
        }
        let mut offset = 0;
        for tensor in &self.tensors {
            text(&mut file, &tensor.name);
            n32(&mut file, tensor.shape.len() as u32);
            tensor.shape.iter().rev().for_each(|&dim| n64(&mut file, dim));
            n32(&mut file, tensor.ggml_type);
            n64(&mut file, offset);
            offset = (offset + tensor.data.len() as u64).next_multiple_of(self.alignment);
        }
        for tensor in &self.tensors {
            file.resize(file.len().next_multiple_of(self.alignment as usize), 0);
            file.extend_from_slice(&tensor.data);
        }
        file
    }

    /// The file split into parts of one tensor more or less each, with the keys that say so; all other keys are in
    /// the first part. Part `i` of `n` belongs into a file named `NAME-0000{i + 1}-of-0000{n}.gguf`.
    pub fn split(&self, n_parts: u16) -> Vec<Vec<u8>> {
        let per_part = self.tensors.len().div_ceil(usize::from(n_parts));
        let part = |number: u16| {
            let mut part = GgufWriter {
                tensors: Vec::new(),
                ..self.clone()
            };
            if number > 0 {
                part.keys.clear();
            }
            part.tensors = self
                .tensors
                .iter()
                .skip(usize::from(number) * per_part)
                .take(per_part)
                .cloned()
                .collect();
            part.raw("split.no", 2, &number.to_le_bytes())
                .raw("split.count", 2, &n_parts.to_le_bytes())
                .raw(
                    "split.tensors.count",
                    I32,
                    &(self.tensors.len() as i32).to_le_bytes(),
                )
                .bytes()
        };
        (0..n_parts).map(part).collect()
    }
}

fn array_head(element_type: u32, len: usize) -> Vec<u8> {
    let mut bytes = element_type.to_le_bytes().to_vec();
    n64(&mut bytes, len as u64);
    bytes
}
