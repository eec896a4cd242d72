//! Writes the logits of each token of a text: what `tools/quality` compares with other engines.
//!
//! `logits MODEL TOKENS OUT WINDOW KV`: token ids are `u32`, logits `f32`, both little endian; each window of so many tokens is a
//! text of its own; KV is `auto`, `f32`, `bf16` or `int8`.

use std::num::NonZeroUsize;
use std::path::Path;
use std::{env, error, fs};

use tokenmill_kernels::isa::Isa;
use tokenmill_kernels::kv_cache::{KvCache, KvShape, KvType, PAGE_TOKENS, PageId};
use tokenmill_kernels::pool::Pool;
use tokenmill_model::{Batch, LoadOptions, Scratch, SequenceRows};

fn main() -> Result<(), Box<dyn error::Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [model, tokens, out, window, kv_type] = arguments.as_slice() else {
        return Err("usage: logits MODEL TOKENS OUT WINDOW KV".into());
    };
    let window: usize = window.parse()?;
    let pool = Pool::new(NonZeroUsize::new(2).ok_or("no threads")?, Isa::detect());
    let loaded = tokenmill_model::load(&pool, Path::new(model), &LoadOptions::default())?;
    let proposed = loaded.model.shape().kv;
    let kv_type = match kv_type.as_str() {
        "auto" => proposed.kv_type,
        "f32" => KvType::F32,
        "bf16" => KvType::Bf16,
        "int8" => KvType::Int8,
        other => return Err(format!("{other:?} is no type of keys and values").into()),
    };
    let n_pages = window.div_ceil(PAGE_TOKENS);
    let mut cache = KvCache::new(KvShape { kv_type, ..proposed }, n_pages)?;
    let (mut scratch, mut logits, mut written) = (Scratch::default(), Vec::new(), Vec::new());
    let tokens = fs::read(tokens)?;
    let tokens: Vec<u32> = tokens
        .as_chunks()
        .0
        .iter()
        .map(|&bytes| u32::from_le_bytes(bytes))
        .collect();
    for tokens in tokens.chunks(window) {
        let batch = Batch {
            tokens: tokens.to_vec(),
            sequences: vec![SequenceRows {
                n_rows: tokens.len(),
                position: 0,
                pages: (0..n_pages as PageId).collect(),
                n_logits: tokens.len(),
                adapter: None,
            }],
        };
        batch.validate(loaded.model.shape(), &cache)?;
        loaded
            .model
            .forward(&pool, &batch, &mut cache, &mut scratch, &mut logits);
        written.extend(logits.iter().flat_map(|logit| logit.to_le_bytes()));
    }
    fs::write(out, written)?;
    Ok(())
}
