//! What rounding keys and values does to a model's predictions: next-token distributions over a text, against a cache
//! of `f32`.
//!
//!     cargo run --release -p tokenmill-inference --example kv_quality -- models/tokenmill-demo.gguf models/README.md
//!
//! The text is cut into pieces as long as the context (1024 tokens at most), and each piece is fed whole. Printed are,
//! over all tokens: the Kullback-Leibler divergence from the distribution with `f32` (mean, and exceeded by one in a
//! hundred), and how often the most likely token is the same.

#![allow(clippy::print_stdout, reason = "what it prints is what it is for")]

use std::error::Error;
use std::path::Path;

use tokenmill_inference::upstream::local::tokenizer;
use tokenmill_kernels::isa::Isa;
use tokenmill_kernels::kv_cache::{KvCache, KvShape, KvType, PAGE_TOKENS, PageId};
use tokenmill_kernels::pool::Pool;
use tokenmill_model::{Batch, LoadOptions, Model, Scratch, SequenceRows, load};
use tokenmill_text::Specials;

const LONGEST_PIECE: usize = 1024;

fn main() -> Result<(), Box<dyn Error>> {
    let mut paths = std::env::args().skip(1);
    let path = paths.next().ok_or("give the path of a model and of texts")?;
    let mut text = String::new();
    for path in paths {
        text += &std::fs::read_to_string(path)?;
    }
    let pool = Pool::new(Pool::default_threads(), Isa::detect());
    let loaded = load(&pool, Path::new(&path), &LoadOptions::default())?;
    let tokens = tokenizer(loaded.tokenizer)?.encode(&text, Specials::AsText)?;
    let model = loaded.model;
    let piece_len = model.shape().n_context.min(LONGEST_PIECE);
    let all = |kv_type| -> Vec<Vec<f64>> {
        let pieces = tokens.chunks(piece_len);
        pieces
            .flat_map(|piece| log_likelihoods(model.as_ref(), &pool, kv_type, piece))
            .collect()
    };
    println!("{} tokens in pieces of {piece_len}", tokens.len());
    println!("| keys and values | mean KL, nats | 99th percentile | same first token |");
    println!("|---|---|---|---|");
    let exact = all(KvType::F32);
    for kv_type in [KvType::Bf16, KvType::Int8] {
        let rounded = all(kv_type);
        let mut divergences: Vec<f64> = exact
            .iter()
            .zip(&rounded)
            .map(|(p, q)| divergence(p, q))
            .collect();
        divergences.sort_unstable_by(f64::total_cmp);
        let mean = divergences.iter().sum::<f64>() / divergences.len() as f64;
        let high = divergences[divergences.len() * 99 / 100];
        let n_same = exact
            .iter()
            .zip(&rounded)
            .filter(|(p, q)| first(p) == first(q))
            .count();
        let same = n_same as f64 * 100.0 / exact.len() as f64;
        println!("| {kv_type:?} | {mean:.2e} | {high:.2e} | {same:.2} % |");
    }
    Ok(())
}

/// Logarithms of the probabilities after each token of a piece.
fn log_likelihoods(model: &dyn Model, pool: &Pool, kv_type: KvType, piece: &[u32]) -> Vec<Vec<f64>> {
    let shape = model.shape();
    let n_pages = piece.len().div_ceil(PAGE_TOKENS);
    let kv = KvShape { kv_type, ..shape.kv };
    let mut cache = KvCache::new(kv, n_pages).expect("a cache of one piece");
    let batch = Batch {
        tokens: piece.to_vec(),
        sequences: vec![SequenceRows {
            n_rows: piece.len(),
            position: 0,
            pages: (0..n_pages as PageId).collect(),
            n_logits: piece.len(),
            adapter: None,
        }],
    };
    let mut logits = Vec::new();
    model.forward(pool, &batch, &mut cache, &mut Scratch::default(), &mut logits);
    logits.chunks_exact(shape.n_vocab).map(log_softmax).collect()
}

fn log_softmax(logits: &[f32]) -> Vec<f64> {
    let highest = f64::from(logits.iter().copied().fold(f32::MIN, f32::max));
    let total: f64 = logits
        .iter()
        .map(|&logit| (f64::from(logit) - highest).exp())
        .sum();
    logits
        .iter()
        .map(|&logit| f64::from(logit) - highest - total.ln())
        .collect()
}

fn divergence(p: &[f64], q: &[f64]) -> f64 {
    p.iter().zip(q).map(|(p, q)| p.exp() * (p - q)).sum()
}

/// The most likely token.
fn first(log_likelihoods: &[f64]) -> Option<usize> {
    (0..log_likelihoods.len()).max_by(|&a, &b| log_likelihoods[a].total_cmp(&log_likelihoods[b]))
}
