//! The tokens of one vocabulary: their text as the file spells it, and the bytes they stand for.

use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::BuildHasher;

use super::TokenizerError;

/// More tokens than this are refused.
pub(super) const MAX_TOKENS: usize = 4 << 20;

/// What kind of token an id is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Made by the model's own splitting of text.
    Normal,
    /// Matched whole in any text, before splitting (`<think>`).
    UserDefined,
    /// Matched only where we wrote it ourselves, and not shown (`<|im_end|>`).
    Special,
    /// Stands for one byte (`<0x0A>`).
    Byte,
}

/// Many short byte strings in one allocation.
#[derive(Debug, Default)]
struct Strings {
    blob: Vec<u8>,
    ends: Vec<usize>,
}

impl Strings {
    fn push(&mut self, bytes: &[u8]) {
        self.blob.extend_from_slice(bytes);
        self.ends.push(self.blob.len());
    }

    fn get(&self, idx: usize) -> Option<&[u8]> {
        let end = *self.ends.get(idx)?;
        let start = if idx == 0 { 0 } else { self.ends[idx - 1] };
        Some(&self.blob[start..end])
    }
}

/// All tokens by id and by text.
#[derive(Debug)]
pub(super) struct Vocab {
    surfaces: Strings,
    bytes: Strings,
    kinds: Vec<Kind>,
    ids: HashTable<u32>,
    hasher: DefaultHashBuilder,
    /// Longest surface in bytes: a longer text is no token.
    max_len: usize,
}

impl Vocab {
    pub(super) fn with_capacity(n: usize) -> Vocab {
        Vocab {
            surfaces: Strings::default(),
            bytes: Strings::default(),
            kinds: Vec::with_capacity(n),
            ids: HashTable::with_capacity(n),
            hasher: DefaultHashBuilder::default(),
            max_len: 0,
        }
    }

    /// Appends the next id. An empty surface is a gap: it has an id and no text. Of equal surfaces the first is found.
    pub(super) fn push(&mut self, surface: &str, bytes: &[u8], kind: Kind) -> Result<(), TokenizerError> {
        let id = self.kinds.len();
        if id >= MAX_TOKENS {
            return Err(TokenizerError::Invalid {
                place: "vocabulary".into(),
                fault: format!("more than {MAX_TOKENS} tokens"),
            });
        }
        self.surfaces.push(surface.as_bytes());
        self.bytes.push(bytes);
        self.kinds.push(kind);
        self.max_len = self.max_len.max(surface.len());
        if !surface.is_empty() && self.id(surface).is_none() {
            let hash = self.hasher.hash_one(surface.as_bytes());
            let Vocab {
                surfaces,
                hasher,
                ids,
                ..
            } = self;
            ids.insert_unique(hash, id as u32, |&id| {
                hasher.hash_one(surfaces.get(id as usize).unwrap_or_default())
            });
        }
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.kinds.len()
    }

    pub(super) fn id(&self, surface: &str) -> Option<u32> {
        if surface.len() > self.max_len {
            return None;
        }
        let surface = surface.as_bytes();
        let hash = self.hasher.hash_one(surface);
        self.ids
            .find(hash, |&id| self.surfaces.get(id as usize) == Some(surface))
            .copied()
    }

    pub(super) fn surface(&self, id: u32) -> Option<&str> {
        std::str::from_utf8(self.surfaces.get(id as usize)?).ok()
    }

    pub(super) fn bytes(&self, id: u32) -> Option<&[u8]> {
        self.bytes.get(id as usize)
    }

    pub(super) fn kind(&self, id: u32) -> Option<Kind> {
        self.kinds.get(id as usize).copied()
    }

    /// Ids of the 256 byte tokens `<0x00>` to `<0xFF>`, where the vocabulary has them all.
    pub(super) fn byte_tokens(&self) -> Option<Box<[u32; 256]>> {
        let mut ids = Box::new([0; 256]);
        for (byte, id) in ids.iter_mut().enumerate() {
            *id = self.id(&format!("<0x{byte:02X}>"))?;
        }
        Some(ids)
    }
}

/// The byte that a surface such as `<0x0A>` stands for.
pub(super) fn byte_of_surface(surface: &str) -> Option<u8> {
    let hex = surface.strip_prefix("<0x")?.strip_suffix('>')?;
    if hex.len() != 2 {
        return None;
    }
    u8::from_str_radix(hex, 16).ok()
}
