//! What several tests need: GGUF metadata read in a few lines, and the shared data, where it is.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test includes this and uses its own part"
)]

use std::collections::HashMap;
use std::path::PathBuf;
use tokenmill_text::GgufVocab;

/// A metadata value; only what vocabularies need.
#[derive(Debug, Clone)]
pub enum Meta {
    Int(i64),
    Float(f64),
    Bool(bool),
    Text(String),
    List(Vec<Meta>),
}

/// The folder with data that is beside the repository and not in it, if it is there.
pub fn shared(folder: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared")
        .join(folder);
    if path.is_dir() {
        return Some(path);
    }
    eprintln!("skipped: {} is not there", path.display());
    None
}

struct Reader<'b>(&'b [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (head, rest) = self.0.split_at(N);
        self.0 = rest;
        head.try_into().unwrap()
    }

    fn len(&mut self) -> usize {
        u64::from_le_bytes(self.take()) as usize
    }

    fn text(&mut self) -> String {
        let len = self.len();
        let (head, rest) = self.0.split_at(len);
        self.0 = rest;
        String::from_utf8_lossy(head).into_owned()
    }

    fn value(&mut self, kind: u32) -> Meta {
        match kind {
            0 => Meta::Int(self.take::<1>()[0].into()),
            1 => Meta::Int(i8::from_le_bytes(self.take()).into()),
            2 => Meta::Int(u16::from_le_bytes(self.take()).into()),
            3 => Meta::Int(i16::from_le_bytes(self.take()).into()),
            4 => Meta::Int(u32::from_le_bytes(self.take()).into()),
            5 => Meta::Int(i32::from_le_bytes(self.take()).into()),
            6 => Meta::Float(f32::from_le_bytes(self.take()).into()),
            7 => Meta::Bool(self.take::<1>()[0] != 0),
            8 => Meta::Text(self.text()),
            9 => {
                let kind = u32::from_le_bytes(self.take());
                let n = self.len();
                Meta::List((0..n).map(|_| self.value(kind)).collect())
            }
            10 | 11 => Meta::Int(i64::from_le_bytes(self.take())),
            12 => Meta::Float(f64::from_le_bytes(self.take())),
            other => panic!("metadata type {other}"),
        }
    }
}

/// All metadata of a GGUF file.
pub fn gguf_metadata(bytes: &[u8]) -> HashMap<String, Meta> {
    let mut reader = Reader(bytes);
    assert_eq!(&reader.take::<4>(), b"GGUF");
    assert!(matches!(u32::from_le_bytes(reader.take()), 2 | 3));
    reader.len();
    let n = reader.len();
    (0..n)
        .map(|_| {
            let key = reader.text();
            let kind = u32::from_le_bytes(reader.take());
            (key, reader.value(kind))
        })
        .collect()
}

fn list<T>(meta: &HashMap<String, Meta>, key: &str, item: impl Fn(&Meta) -> T) -> Vec<T> {
    match meta.get(&format!("tokenizer.ggml.{key}")) {
        Some(Meta::List(items)) => items.iter().map(item).collect(),
        _ => Vec::new(),
    }
}

fn text(meta: &Meta) -> String {
    match meta {
        Meta::Text(text) => text.clone(),
        other => panic!("{other:?} is no text"),
    }
}

fn int(meta: &Meta) -> i64 {
    match meta {
        Meta::Int(int) => *int,
        other => panic!("{other:?} is no integer"),
    }
}

/// The tokenizer part of a GGUF file's metadata.
pub fn gguf_vocab(bytes: &[u8]) -> GgufVocab {
    let meta = gguf_metadata(bytes);
    let get = |key: &str| meta.get(&format!("tokenizer.ggml.{key}"));
    let flag = |key: &str| {
        get(key).map(|value| match value {
            Meta::Bool(flag) => *flag,
            other => panic!("{other:?} is no flag"),
        })
    };
    let id = |key: &str| get(key).map(|value| int(value) as u32);
    GgufVocab {
        model: get("model").map(text).unwrap(),
        pre: get("pre").map(text),
        tokens: list(&meta, "tokens", text),
        scores: list(&meta, "scores", |score| match score {
            Meta::Float(score) => *score as f32,
            other => panic!("{other:?} is no score"),
        }),
        token_types: list(&meta, "token_type", |kind| int(kind) as i32),
        merges: list(&meta, "merges", text),
        bos: id("bos_token_id"),
        eos: id("eos_token_id"),
        unk: id("unknown_token_id"),
        pad: id("padding_token_id"),
        add_bos: flag("add_bos_token"),
        add_eos: flag("add_eos_token"),
        add_space_prefix: flag("add_space_prefix"),
    }
}
