//! Adapters against `peft`, on those of `adapters/`, which `adapters/make.py` made; and what must hold whatever they are.

#![expect(clippy::print_stdout, reason = "measured errors are worth seeing")]

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use tokenmill_kernels::isa::Isa;
use tokenmill_kernels::kv_cache::{KvCache, KvShape, KvType, PageId};
use tokenmill_kernels::pool::Pool;
use tokenmill_model::{Adapter, Batch, LoadOptions, Loaded, Scratch, SequenceRows};
use tokenmill_testkit::{TinyAdapter, TinyModel};

/// Against the largest logit of a row, as for models.
const MAX_ERROR: f32 = 1e-4;
const N_PAGES: usize = 16;

#[derive(Deserialize)]
struct Golden {
    model: String,
    prompt: Vec<u32>,
    rows: Vec<usize>,
    logits: Vec<Vec<f32>>,
}

/// A model with its memory.
struct Rig {
    loaded: Loaded,
    pool: Pool,
    cache: KvCache,
    scratch: Scratch,
}

/// Tokens of a sequence from a position on, its pages, and its adapter.
type Piece<'a> = (&'a [u32], usize, &'a [PageId], Option<&'a Arc<Adapter>>);

impl Rig {
    fn new(loaded: Loaded, threads: usize) -> Rig {
        let shape = KvShape {
            kv_type: KvType::F32,
            ..loaded.model.shape().kv
        };
        Rig {
            cache: KvCache::new(shape, N_PAGES).expect("a small cache"),
            pool: pool(threads),
            scratch: Scratch::default(),
            loaded,
        }
    }

    fn tiny(model: &TinyModel, threads: usize) -> Rig {
        let bytes = model.gguf().bytes();
        let loaded = tokenmill_model::load_from_bytes(&pool(1), "tiny", &bytes, &LoadOptions::default());
        Rig::new(loaded.expect("a model that loads"), threads)
    }

    fn adapter(&self, folder: &Path) -> Arc<Adapter> {
        let adapter = Adapter::load(&self.pool, &self.loaded.adapter_shape, folder, 64);
        Arc::new(adapter.unwrap_or_else(|fault| panic!("{}: {fault}", folder.display())))
    }

    /// Logits of all rows of the pieces as one batch.
    fn run(&mut self, pieces: &[Piece<'_>]) -> Vec<Vec<f32>> {
        let mut batch = Batch::default();
        for &(tokens, position, pages, adapter) in pieces {
            batch.tokens.extend(tokens);
            batch.sequences.push(SequenceRows {
                n_rows: tokens.len(),
                position,
                pages: pages.to_vec(),
                n_logits: tokens.len(),
                adapter: adapter.cloned(),
            });
        }
        let model = &self.loaded.model;
        batch.validate(model.shape(), &self.cache).expect("a valid batch");
        let mut logits = Vec::new();
        model.forward(
            &self.pool,
            &batch,
            &mut self.cache,
            &mut self.scratch,
            &mut logits,
        );
        logits
            .chunks_exact(model.shape().n_vocab)
            .map(<[f32]>::to_vec)
            .collect()
    }
}

fn pool(threads: usize) -> Pool {
    Pool::new(NonZeroUsize::new(threads).expect("some threads"), Isa::detect())
}

fn prompt(seed: usize, len: usize) -> Vec<u32> {
    (0..len)
        .map(|at| ((at * at * 31 + at * seed * 17 + seed) % 250) as u32)
        .collect()
}

fn worst_error(got: &[f32], expected: &[f32]) -> f32 {
    let largest = expected.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
    let errors = got
        .iter()
        .zip(expected)
        .map(|(got, expected)| (got - expected).abs());
    errors.fold(0.0, f32::max) / largest
}

#[test]
fn adapters_agree_with_peft() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut n_gguf = 0;
    let folders = fs::read_dir(tests.join("adapters")).expect("the golden adapters");
    let folders: Vec<PathBuf> = folders.map(|entry| entry.expect("an entry").path()).collect();
    let folders: Vec<&PathBuf> = folders.iter().filter(|path| path.is_dir()).collect();
    assert!(folders.len() >= 5, "{folders:?}");
    for folder in folders {
        let golden = fs::read(folder.join("golden.json")).expect("golden logits");
        let golden: Golden = serde_json::from_slice(&golden).expect("golden logits");
        let model = tests.join("golden").join(&golden.model);
        let gguf = model.with_extension("gguf");
        n_gguf += usize::from(gguf.exists());
        for path in [model, gguf].into_iter().filter(|path| path.exists()) {
            let loaded = tokenmill_model::load(&pool(1), &path, &LoadOptions::default());
            let mut rig = Rig::new(loaded.unwrap_or_else(|fault| panic!("{fault}")), 1);
            let adapter = rig.adapter(folder);
            let logits = rig.run(&[(&golden.prompt, 0, &[0, 1], Some(&adapter))]);
            let rows = golden.rows.iter().zip(&golden.logits);
            let errors = rows.map(|(&row, expected)| worst_error(&logits[row], expected));
            let worst = errors.fold(0.0, f32::max);
            println!("{} on {}: error {worst:.1e}", folder.display(), path.display());
            assert!(worst <= MAX_ERROR, "{}: error {worst}", folder.display());
        }
    }
    assert!(
        n_gguf >= 3,
        "GGUF files hold rows in another order, which must be tested"
    );
}

/// The twin: the same adapter multiplied into the model's own matrices, number by number in `f64`.
#[test]
fn an_adapter_is_as_good_as_its_product_in_the_model() {
    for architecture in ["llama", "qwen2", "qwen3"] {
        let model = TinyModel::new(architecture, 3);
        let tiny = TinyAdapter::new(&model, 4);
        let folder = tempfile::tempdir().expect("a folder");
        tiny.write(folder.path()).expect("two files");
        let mut rig = Rig::tiny(&model, 1);
        let adapter = rig.adapter(folder.path());
        let prompt = prompt(5, 90);
        let adapted = rig.run(&[(&prompt, 0, &[0, 1], Some(&adapter))]);
        let merged_folder = tempfile::tempdir().expect("a folder");
        for (name, bytes) in tiny.merged_into_the_model() {
            fs::write(merged_folder.path().join(name), bytes).expect("a file");
        }
        let loaded = tokenmill_model::load(&pool(1), merged_folder.path(), &LoadOptions::default());
        let mut merged = Rig::new(loaded.unwrap_or_else(|fault| panic!("{fault}")), 1);
        let expected = merged.run(&[(&prompt, 0, &[0, 1], None)]);
        for (row, (got, expected)) in adapted.iter().zip(&expected).enumerate() {
            let error = worst_error(got, expected);
            assert!(error <= MAX_ERROR, "{architecture}, row {row}: error {error}");
        }
        let plain = rig.run(&[(&prompt, 0, &[2, 3], None)]);
        let change = worst_error(&plain[89], &expected[89]);
        assert!(
            change > 0.1,
            "{architecture}: the adapter changes by {change} alone"
        );
    }
}

#[test]
fn many_adapters_in_one_batch_give_the_bits_of_each_alone() {
    let model = TinyModel::new("qwen3", 6);
    let folders: Vec<_> = (1..4)
        .map(|seed| {
            let folder = tempfile::tempdir().expect("a folder");
            let narrow = TinyAdapter {
                rank: seed as usize * 5,
                targets: [vec!["q_proj", "down_proj"], vec!["k_proj", "o_proj", "up_proj"]]
                    [seed as usize % 2]
                    .clone(),
                dtype: ["F32", "F16", "BF16"][seed as usize - 1],
                ..TinyAdapter::new(&model, seed)
            };
            narrow.write(folder.path()).expect("two files");
            folder
        })
        .collect();
    for threads in [1, 3] {
        let mut rig = Rig::tiny(&model, threads);
        let adapters: Vec<_> = folders.iter().map(|folder| rig.adapter(folder.path())).collect();
        let prompts: Vec<_> = (0..5).map(|seed| prompt(seed, 40 + 3 * seed)).collect();
        // Two share an adapter, one has none.
        let own = [
            Some(&adapters[0]),
            None,
            Some(&adapters[1]),
            Some(&adapters[0]),
            Some(&adapters[2]),
        ];
        let alone: Vec<_> = prompts
            .iter()
            .zip(own)
            .map(|(prompt, adapter)| rig.run(&[(prompt, 0, &[15], adapter)]))
            .collect();
        let pages: Vec<[PageId; 1]> = (0..5).map(|page| [page]).collect();
        let pieces = |rows: &dyn Fn(usize) -> std::ops::Range<usize>| -> Vec<Piece<'_>> {
            let sequences = prompts.iter().zip(own).enumerate();
            sequences
                .map(|(idx, (prompt, adapter))| {
                    let rows = rows(prompt.len());
                    (&prompt[rows.clone()], rows.start, &pages[idx][..], adapter)
                })
                .collect()
        };
        let mut together = rig.run(&pieces(&|_| 0..7));
        let rest = rig.run(&pieces(&|len| 7..len));
        let mut rest = rest.into_iter();
        for (idx, alone) in alone.iter().enumerate() {
            let mut got: Vec<Vec<f32>> = together.drain(..7).collect();
            got.extend(rest.by_ref().take(alone.len() - 7));
            assert!(got == *alone, "sequence {idx} with {threads} threads");
        }
        let plain = Rig::tiny(&model, 1).run(&[(&prompts[1], 0, &[0], None)]);
        assert!(plain == alone[1], "rows without an adapter are as without any");
        assert!(alone[0] != plain, "an adapter changes something");
    }
}
