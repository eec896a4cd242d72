//! Logits and greedy text against an independent implementation, on the checkpoints of `golden/`.
//!
//! `golden/make.py` made them with `transformers`, in F32 and without a cache. Prompts reach over sliding windows, pages and
//! the contexts from which rope was stretched.

#![expect(clippy::print_stdout, reason = "measured errors are worth seeing")]

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tokenmill_kernels::isa::Isa;
use tokenmill_kernels::kv_cache::{KvCache, KvShape, KvType, PAGE_TOKENS, PageId};
use tokenmill_kernels::pool::Pool;
use tokenmill_model::arch::ARCHITECTURES;
use tokenmill_model::{Batch, LoadOptions, Loaded, Scratch, SequenceRows};

/// Against the largest logit of a row.
const MAX_ERROR: f32 = 1e-4;

#[derive(Deserialize)]
struct Golden {
    prompt: Vec<u32>,
    rows: Vec<usize>,
    logits: Vec<Vec<f32>>,
    continuation: Vec<u32>,
    last_logits: Vec<f32>,
}

/// One sequence in a cache of F32.
struct Run {
    loaded: Loaded,
    pool: Pool,
    cache: KvCache,
    scratch: Scratch,
    position: usize,
}

impl Run {
    fn new(path: &Path) -> Run {
        let pool = Pool::new(NonZeroUsize::MIN, Isa::detect());
        let loaded = tokenmill_model::load(&pool, path, &LoadOptions::default())
            .unwrap_or_else(|fault| panic!("{fault}"));
        let shape = KvShape {
            kv_type: KvType::F32,
            ..loaded.model.shape().kv
        };
        let cache = KvCache::new(shape, 256 / PAGE_TOKENS).expect("a small cache");
        Run {
            loaded,
            pool,
            cache,
            scratch: Scratch::default(),
            position: 0,
        }
    }

    /// Logits of each of these further tokens.
    fn feed(&mut self, tokens: &[u32]) -> Vec<Vec<f32>> {
        let n_rows = tokens.len();
        let pages: Vec<PageId> = (0..4).collect();
        let rows = SequenceRows {
            n_rows,
            position: self.position,
            pages,
            n_logits: n_rows,
            adapter: None,
        };
        let batch = Batch {
            tokens: tokens.to_vec(),
            sequences: vec![rows],
        };
        let model = &self.loaded.model;
        batch.validate(model.shape(), &self.cache).expect("a valid batch");
        let mut logits = vec![];
        model.forward(
            &self.pool,
            &batch,
            &mut self.cache,
            &mut self.scratch,
            &mut logits,
        );
        self.position += n_rows;
        logits
            .chunks_exact(model.shape().n_vocab)
            .map(<[f32]>::to_vec)
            .collect()
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn golden(name: &str) -> Golden {
    let path = folder().join(name).join("golden.json");
    let text = std::fs::read(&path).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()))
}

/// All entries of the folder of one kind, without their endings.
fn names(is_kind: impl Fn(&Path) -> bool) -> Vec<String> {
    let entries = std::fs::read_dir(folder()).expect("the golden folder");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| is_kind(path))
        .map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// The largest difference of a row against its largest logit, and against each logit itself.
fn errors(got: &[f32], expected: &[f32]) -> (f32, f32) {
    assert_eq!(got.len(), expected.len());
    let largest = expected.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
    let each = || {
        got.iter()
            .zip(expected)
            .map(|(got, expected)| ((got - expected).abs(), expected.abs()))
    };
    (
        each().map(|(error, _)| error / largest).fold(0.0, f32::max),
        each()
            .map(|(error, expected)| error / expected)
            .fold(0.0, f32::max),
    )
}

fn check(name: &str, path: &Path) -> String {
    let golden = golden(name);
    let mut run = Run::new(path);
    let architecture = run.loaded.info.architecture.clone();
    let logits = run.feed(&golden.prompt);
    let (mut worst, mut worst_each) = (0.0_f32, 0.0_f32);
    let mut compare = |got: &[f32], expected: &[f32]| {
        let (error, error_each) = errors(got, expected);
        (worst, worst_each) = (worst.max(error), worst_each.max(error_each));
    };
    for (&row, expected) in golden.rows.iter().zip(&golden.logits) {
        compare(&logits[row], expected);
    }
    let mut last = logits.last().expect("a prompt").clone();
    for (index, &expected) in golden.continuation.iter().enumerate() {
        let greatest = (0..last.len())
            .max_by(|&a, &b| last[a].total_cmp(&last[b]))
            .expect("a vocabulary");
        assert_eq!(
            greatest as u32, expected,
            "{name}: token {index} of the continuation"
        );
        last = run.feed(&[expected]).remove(0);
    }
    compare(&last, &golden.last_logits);
    println!(
        "{}: error {worst:.1e} of the largest logit, {worst_each:.1e} of each",
        path.display()
    );
    assert!(worst <= MAX_ERROR, "{name}: error {worst} of the largest logit");
    architecture
}

#[test]
fn folders_agree_with_the_independent_implementation() {
    let architectures: Vec<_> = names(Path::is_dir)
        .iter()
        .map(|name| check(name, &folder().join(name)))
        .collect();
    for architecture in ARCHITECTURES {
        let tested = architectures.iter().any(|name| name == architecture.name);
        assert!(
            tested,
            "{} has no golden model; add one to golden/make.py",
            architecture.name
        );
    }
}

#[test]
fn gguf_files_agree_with_the_independent_implementation() {
    let is_gguf = |path: &Path| path.extension().is_some_and(|ending| ending == "gguf");
    let architectures: Vec<_> = names(is_gguf)
        .iter()
        .map(|name| check(name, &folder().join(format!("{name}.gguf"))))
        .collect();
    for architecture in ARCHITECTURES {
        let tested = architectures.iter().any(|name| name == architecture.name);
        assert!(
            tested,
            "{} has no golden GGUF file; add one to golden/make.py",
            architecture.name
        );
    }
}
