//! How long choosing a token takes, for each way of choosing and several shapes of logits.
//!
//!     cargo run --release -p tokenmill-engine --example sampling_speed
//!
//! Medians over several draws, on one core, with the logits last touched just before, as they are after a forward pass.

#![expect(clippy::print_stdout, reason = "a program that prints a table")]

use std::time::Instant;

use tokenmill_engine::Sampling;
use tokenmill_engine::sample::{History, Sampler, random};

/// The vocabulary of Qwen3.
const N_VOCAB: usize = 151_936;
const N_DRAWS: u64 = 60;

fn main() {
    let shapes = [
        ("equal", equal as fn(u64) -> f32),
        ("flat", flat),
        ("normal", normal),
        ("peaked", peaked),
    ];
    print!("{:<28}", "us a row");
    shapes.iter().for_each(|(name, _)| print!("{name:>10}"));
    println!();
    for (name, sampling) in ways() {
        print!("{name:<28}");
        for (_, shape) in shapes {
            let logits: Vec<f32> = (0..N_VOCAB as u64).map(shape).collect();
            print!("{:>10.1}", time(&logits, &sampling));
        }
        println!();
    }
}

fn ways() -> Vec<(&'static str, Sampling)> {
    let plain = Sampling {
        temperature: 1.0,
        ..Sampling::greedy()
    };
    let with = |change: fn(&mut Sampling)| {
        let mut sampling = plain.clone();
        change(&mut sampling);
        sampling
    };
    vec![
        ("greedy", Sampling::greedy()),
        ("temperature", plain.clone()),
        ("top_k 50", with(|s| s.top_k = 50)),
        ("top_k 1000", with(|s| s.top_k = 1000)),
        ("top_k 50000", with(|s| s.top_k = 50_000)),
        ("top_p 0.95", with(|s| s.top_p = 0.95)),
        ("top_p 0.5", with(|s| s.top_p = 0.5)),
        ("top_p 0.01", with(|s| s.top_p = 0.01)),
        ("min_p 0.05", with(|s| s.min_p = 0.05)),
        (
            "top_p 0.95, min_p 0.05",
            with(|s| (s.top_p, s.min_p) = (0.95, 0.05)),
        ),
        ("top_k 20, top_p 0.95", with(|s| (s.top_k, s.top_p) = (20, 0.95))),
        (
            "penalties on 4000, greedy",
            with(|s| (s.temperature, s.presence_penalty, s.repetition_penalty) = (0.0, 0.5, 1.1)),
        ),
        (
            "penalties on 4000, top_p",
            with(|s| (s.top_p, s.frequency_penalty, s.repetition_penalty) = (0.95, 0.5, 1.1)),
        ),
    ]
}

/// Median over draws, in microseconds.
fn time(logits: &[f32], sampling: &Sampling) -> f64 {
    let prompt: Vec<u32> = (0..4000)
        .map(|i| (random(7, i) % N_VOCAB as u64) as u32)
        .collect();
    let history = History::new(sampling, &prompt);
    let mut sampler = Sampler::default();
    let mut row = logits.to_vec();
    let mut times: Vec<f64> = (0..N_DRAWS)
        .map(|draw| {
            row.copy_from_slice(logits);
            let start = Instant::now();
            let id = sampler.sample(&mut row, sampling, &history, draw);
            assert!(id.is_ok(), "finite logits");
            start.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    times.sort_unstable_by(f64::total_cmp);
    times[times.len() / 2]
}

fn equal(_: u64) -> f32 {
    1.0
}

/// Evenly between -1 and 1.
fn flat(id: u64) -> f32 {
    uniform(1, id) * 2.0 - 1.0
}

/// What an untrained model gives: a bell, the highest 12 above the middle.
fn normal(id: u64) -> f32 {
    bell(id) * 2.7
}

/// What a trained model gives: a wide bell, and a few tokens far above it.
fn peaked(id: u64) -> f32 {
    if id % 19_000 == 77 {
        25.0 + uniform(3, id)
    } else {
        bell(id) * 2.7
    }
}

fn bell(id: u64) -> f32 {
    (0..12).map(|part| uniform(part, id)).sum::<f32>() - 6.0
}

fn uniform(seed: u64, id: u64) -> f32 {
    (random(seed, id) >> 40) as f32 / (1 << 24) as f32
}
