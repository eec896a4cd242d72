//! Metadata values, and the reader that takes them from a file's bytes.

use std::fmt;

use super::MAX_NAME_BYTES;
use super::fault::GgufFault;

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

    pub(super) fn as_integer(self) -> Option<i128> {
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

    pub(super) fn as_unsigned(self) -> Option<u64> {
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

    pub(super) fn strings(&self) -> Option<Vec<String>> {
        let texts = self.iter().map(|value| match value {
            Value::String(text) => Some(text.to_owned()),
            _ => None,
        });
        self.all_empty_or(Kind::String, texts.collect())
    }

    pub(super) fn numbers<T>(&self, read: impl Fn(Value<'a>) -> Option<T>) -> Option<Vec<T>> {
        self.iter().map(read).collect()
    }

    /// An empty array of another type is still not an array of `kind`.
    fn all_empty_or<T>(&self, kind: Kind, found: Option<Vec<T>>) -> Option<Vec<T>> {
        if self.kind == kind { found } else { None }
    }
}

impl<'a> Array<'a> {
    /// The bytes themselves of an array of bytes.
    pub(super) fn raw_bytes(&self) -> Option<&'a [u8]> {
        matches!(self.kind, Kind::U8 | Kind::I8).then_some(self.bytes)
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
pub(super) struct Reader<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) pos: usize,
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

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], GgufFault> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N as u64)?);
        Ok(array)
    }

    pub(super) fn u32(&mut self) -> Result<u32, GgufFault> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, GgufFault> {
        self.array().map(u64::from_le_bytes)
    }

    fn text(&mut self) -> Result<&'a str, GgufFault> {
        let n_bytes = self.u64()?;
        std::str::from_utf8(self.take(n_bytes)?).map_err(|_| GgufFault::NotUtf8)
    }

    pub(super) fn name(&mut self) -> Result<&'a str, GgufFault> {
        let n_bytes = self.u64()?;
        if n_bytes > MAX_NAME_BYTES {
            return Err(GgufFault::NameTooLong(n_bytes));
        }
        std::str::from_utf8(self.take(n_bytes)?).map_err(|_| GgufFault::NotUtf8)
    }

    /// A count of things of which each takes at least `min_bytes` of what is left.
    pub(super) fn count(&mut self, what: &'static str, limit: u64) -> Result<u64, GgufFault> {
        let count = self.u64()?;
        if count > limit {
            return Err(GgufFault::TooMany { what, count, limit });
        }
        Ok(count)
    }

    pub(super) fn value(&mut self) -> Result<Value<'a>, GgufFault> {
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
