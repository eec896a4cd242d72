//! The tokenizers of well-known models, read from GGUF metadata, give the ids that their own tools gave.
#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helper functions too"
)]

mod support;

use std::path::Path;
use std::time::Instant;
use tokenmill_text::{Specials, Tokenizer};

const SEPARATOR: &str = "\n__ggml_vocab_test__\n";

fn load(path: &Path) -> Tokenizer {
    let vocab = support::gguf_vocab(&std::fs::read(path).unwrap());
    let start = Instant::now();
    let tokenizer = Tokenizer::from_gguf(vocab).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    eprintln!(
        "{}: loaded in {:?}",
        path.file_name().unwrap().display(),
        start.elapsed()
    );
    tokenizer
}

fn vocabularies() -> Vec<std::path::PathBuf> {
    let Some(folder) = support::shared("data/vocab") else {
        return Vec::new();
    };
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "gguf"))
        .collect();
    paths.sort();
    paths
}

#[test]
fn every_listed_text_gives_its_listed_ids() {
    let mut n_texts = 0;
    for path in vocabularies() {
        let with = |ext: &str| std::fs::read_to_string(format!("{}.{ext}", path.display()));
        let (Ok(texts), Ok(ids)) = (with("inp"), with("out")) else {
            continue;
        };
        let tokenizer = load(&path);
        let texts: Vec<&str> = texts.split(SEPARATOR).collect();
        // The texts end with a separator and nothing, the ids with a line that belongs to that nothing or is none.
        let lines: Vec<&str> = ids.lines().collect();
        assert!(
            texts.len() >= lines.len() && !lines.is_empty(),
            "{}",
            path.display()
        );
        for (text, line) in texts.iter().zip(&lines) {
            let want: Vec<u32> = line.split_whitespace().map(|id| id.parse().unwrap()).collect();
            let got = tokenizer.encode(text, Specials::AsText).unwrap();
            assert_eq!(got, want, "{} on {text:?}", path.display());
            let mut decoder = tokenizer.decoder();
            let mut back: String = got.iter().map(|&id| decoder.push(id)).collect();
            back.push_str(&decoder.flush());
            assert_eq!(&back, text, "{}", path.display());
            n_texts += 1;
        }
    }
    eprintln!("{n_texts} texts");
}

#[test]
fn long_runs_take_time_in_proportion() {
    // One of each family; loading and running all seven would take a minute.
    let chosen = ["gpt-2", "llama-spm", "qwen2"].map(|name| format!("ggml-vocab-{name}.gguf"));
    let is_chosen = |path: &Path| chosen.iter().any(|name| path.ends_with(name));
    for path in vocabularies().into_iter().filter(|path| is_chosen(path)) {
        let tokenizer = load(&path);
        for unit in ["a", " ", "\n", "1", "é", "中", " \n", "<", "ab ", "\u{0}"] {
            let start = Instant::now();
            let n_bytes = 1 << 18;
            let n_ids = tokenizer
                .encode(&unit.repeat(n_bytes / unit.len()), Specials::Parse)
                .unwrap()
                .len();
            let seconds = start.elapsed().as_secs_f64();
            eprintln!(
                "  {unit:?}: {n_ids} ids, {:.1} MB/s",
                n_bytes as f64 / 1e6 / seconds
            );
            assert!(
                seconds < 5.0,
                "{}: 256 KiB of {unit:?} took {seconds:.1} s",
                path.display()
            );
        }
    }
}

/// Prints how fast tokenizers load and encode prose. Built for speed: `cargo test --release … -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn speed() {
    let prose = include_str!("../src/template/methods.rs").repeat(40);
    for path in vocabularies() {
        let tokenizer = load(&path);
        let start = Instant::now();
        let n_ids = tokenizer.encode(&prose, Specials::Parse).unwrap().len();
        let seconds = start.elapsed().as_secs_f64();
        eprintln!("  {n_ids} ids, {:.1} MB/s", prose.len() as f64 / 1e6 / seconds);
    }
}
