//! What every architecture must hold, on small random weights: a new one is tested by standing in the list.
//!
//! Logits are compared with `==`: results may depend neither on how a prompt was cut into batches, nor on the other
//! sequences of a batch, nor on pages being copied, nor on threads or instruction sets.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::Arc;

use tokenmill_kernels::isa::Isa;
use tokenmill_kernels::kv_cache::{KvCache, KvShape, KvType, PageId};
use tokenmill_kernels::pool::Pool;
use tokenmill_kernels::quant::format_by_ggml_type;
use tokenmill_model::arch::{ARCHITECTURES, Architecture};
use tokenmill_model::config::{Config, Experts, LayerAttention, Pairing, Rope, RopeScaling};
use tokenmill_model::weights::{Source, Tensor, WeightError, Weights};
use tokenmill_model::{Batch, BatchError, Model, Scratch, SequenceRows};

const N_VOCAB: usize = 150;
const N_PAGES: usize = 12;

/// Heads wider than `n_embd / n_heads`, a window in one layer and no rope in another, so that each shows.
fn config(architecture: &Architecture) -> Config {
    let sliding = LayerAttention {
        window: Some(70),
        rope: true,
    };
    let unrotated = LayerAttention {
        window: None,
        rope: false,
    };
    Config {
        architecture: architecture.name.to_owned(),
        n_layers: 3,
        n_embd: 64,
        n_heads: 6,
        n_kv_heads: 2,
        head_dim: 24,
        n_ff: 96,
        experts: Some(Experts {
            n_experts: 5,
            n_chosen: 2,
            n_ff: 40,
            normalise: true,
        }),
        n_vocab: N_VOCAB,
        n_context: 400,
        rms_eps: 1e-5,
        rope: Rope {
            base: 10_000.0,
            n_rot: 24,
            pairing: Pairing::Halves,
            scaling: RopeScaling::None,
        },
        attention: vec![LayerAttention::FULL, sliding, unrotated],
        tied_embeddings: false,
    }
}

/// Numbers between -0.5 and 0.5, as bytes.
fn noise_bytes(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 24) as f32 - 0.5
    };
    (0..len).flat_map(|_| next().to_le_bytes()).collect()
}

/// A model with random weights: builds again and again, each time with the tensor that was missing.
fn random_model(pool: &Pool, architecture: &Architecture, config: &Config) -> Arc<dyn Model> {
    config.validate().expect("a valid test configuration");
    let noise = noise_bytes(40_000);
    let mut shapes: Vec<(String, Vec<u64>)> = vec![];
    loop {
        let mut weights = Weights::new(pool);
        for (index, (name, shape)) in shapes.iter().enumerate() {
            let bytes = 4 * shape.iter().product::<u64>() as usize;
            let tensor = Tensor::plain(
                name.clone(),
                shape.clone(),
                format_by_ggml_type(0).expect("F32"),
                Source::Memory(&noise),
                100 * index..100 * index + bytes,
            );
            weights.insert(name.clone(), tensor).expect("one of each name");
        }
        match (architecture.build)(config, &mut weights) {
            Ok(model) => {
                weights.finish(architecture.name).expect("every tensor is used");
                return model;
            }
            Err(WeightError::Missing { name }) => shapes.push((name, vec![0])),
            Err(WeightError::Shape { name, expected, .. }) => {
                let (_, shape) = shapes
                    .iter_mut()
                    .find(|(known, _)| *known == name)
                    .expect("asked for");
                *shape = expected;
            }
            Err(other) => panic!("{}: {other}", architecture.name),
        }
    }
}

/// A model with its memory.
struct Engine {
    model: Arc<dyn Model>,
    pool: Pool,
    cache: KvCache,
    scratch: Scratch,
}

impl Engine {
    fn new(architecture: &Architecture, threads: usize, isa: Isa, kv_type: KvType) -> Engine {
        let pool = Pool::new(NonZeroUsize::new(threads).expect("some"), isa);
        let model = random_model(&pool, architecture, &config(architecture));
        let cache = KvCache::new(
            KvShape {
                kv_type,
                ..model.shape().kv
            },
            N_PAGES,
        )
        .expect("a small cache");
        Engine {
            model,
            pool,
            cache,
            scratch: Scratch::default(),
        }
    }

    /// Runs pieces of prompts as one batch; all rows give logits, one piece after the other.
    fn run(&mut self, pieces: &[(&[u32], Range<usize>, &[PageId])]) -> Vec<f32> {
        let mut batch = Batch::default();
        for (prompt, rows, pages) in pieces {
            batch.tokens.extend(&prompt[rows.clone()]);
            batch.sequences.push(SequenceRows {
                n_rows: rows.len(),
                position: rows.start,
                pages: pages.to_vec(),
                n_logits: rows.len(),
                adapter: None,
            });
        }
        batch
            .validate(self.model.shape(), &self.cache)
            .expect("a valid batch");
        let mut logits = vec![];
        self.model.forward(
            &self.pool,
            &batch,
            &mut self.cache,
            &mut self.scratch,
            &mut logits,
        );
        assert_eq!(logits.len(), batch.n_logits() * N_VOCAB);
        assert!(logits.iter().all(|logit| logit.is_finite()));
        logits
    }
}

fn prompt(seed: u32, len: u32) -> Vec<u32> {
    (0..len)
        .map(|i| (i * i * 31 + i * seed * 17 + seed) % N_VOCAB as u32)
        .collect()
}

fn for_each_engine(check: impl Fn(&str, Engine)) {
    for architecture in ARCHITECTURES {
        for kv_type in [KvType::F32, KvType::Bf16] {
            check(
                architecture.name,
                Engine::new(architecture, 1, Isa::detect(), kv_type),
            );
        }
    }
}

#[test]
fn a_prompt_in_pieces_equals_the_prompt_as_a_whole() {
    for_each_engine(|name, mut engine| {
        let prompt = prompt(1, 150);
        let whole = engine.run(&[(&prompt, 0..150, &[0, 1, 2])]);
        let mut pieces = vec![];
        for rows in [0..1, 1..3, 3..50, 50..64, 64..65, 65..128, 128..150] {
            pieces.extend(engine.run(&[(&prompt, rows, &[7, 3, 5])]));
        }
        assert!(pieces == whole, "{name}");
    });
}

#[test]
fn a_sequence_in_a_batch_equals_the_sequence_alone() {
    for_each_engine(|name, mut engine| {
        let (one, two, three) = (prompt(1, 90), prompt(2, 70), prompt(3, 5));
        let alone = engine.run(&[(&one, 0..90, &[0, 1])]);
        engine.run(&[(&two, 0..69, &[2, 3])]);
        engine.run(&[(&three, 0..3, &[4])]);
        engine.run(&[(&one, 0..20, &[5, 6])]);
        // A decoding row, a piece of a prompt and a draft side by side.
        let batched = engine.run(&[
            (&two, 69..70, &[2, 3]),
            (&one, 20..90, &[5, 6]),
            (&three, 3..5, &[4]),
        ]);
        assert!(batched[N_VOCAB..71 * N_VOCAB] == alone[20 * N_VOCAB..], "{name}");
    });
}

#[test]
fn a_reused_prefix_equals_a_fresh_one() {
    for_each_engine(|name, mut engine| {
        let (one, mut two) = (prompt(1, 100), prompt(1, 120));
        two[87] += 1;
        two[87] %= N_VOCAB as u32;
        engine.run(&[(&one, 0..100, &[0, 1])]);
        engine.cache.copy_tokens(1, 2, 87 - 64);
        let reused = engine.run(&[(&two, 87..120, &[0, 2])]);
        let fresh = engine.run(&[(&two, 0..120, &[8, 9])]);
        assert!(reused == fresh[87 * N_VOCAB..], "{name}");
    });
}

#[test]
fn threads_and_instruction_sets_change_no_bit() {
    for architecture in ARCHITECTURES {
        let prompt = prompt(4, 80);
        let mut first = None;
        for (threads, isa) in Isa::available()
            .into_iter()
            .flat_map(|isa| [(1, isa), (2, isa), (3, isa)])
        {
            let mut engine = Engine::new(architecture, threads, isa, KvType::Bf16);
            let got = engine.run(&[(&prompt, 0..80, &[0, 1])]);
            assert!(
                *first.get_or_insert_with(|| got.clone()) == got,
                "{} on {isa:?}",
                architecture.name
            );
        }
    }
}

#[test]
fn only_the_last_rows_asked_for_give_logits() {
    for_each_engine(|name, mut engine| {
        let prompt = prompt(5, 10);
        let all = engine.run(&[(&prompt, 0..10, &[0])]);
        for n_logits in [0, 1, 3] {
            let sequences = vec![SequenceRows {
                n_rows: 10,
                position: 0,
                pages: vec![1],
                n_logits,
                adapter: None,
            }];
            let batch = Batch {
                tokens: prompt.clone(),
                sequences,
            };
            let mut logits = vec![1.0; 3];
            engine.model.forward(
                &engine.pool,
                &batch,
                &mut engine.cache,
                &mut engine.scratch,
                &mut logits,
            );
            assert!(logits == all[(10 - n_logits) * N_VOCAB..], "{name}");
        }
    });
}

#[test]
fn a_window_hides_what_lies_before_it() {
    for architecture in ARCHITECTURES {
        let pool = Pool::new(NonZeroUsize::MIN, Isa::detect());
        let mut config = config(architecture);
        config.attention = vec![
            LayerAttention {
                window: Some(10),
                rope: true
            };
            3
        ];
        let model = random_model(&pool, architecture, &config);
        let cache = KvCache::new(model.shape().kv, N_PAGES).expect("a small cache");
        let mut engine = Engine {
            model,
            pool,
            cache,
            scratch: Scratch::default(),
        };
        let (mut one, mut two) = (prompt(6, 100), prompt(6, 100));
        (one[0], two[0]) = (3, 4);
        let (one, two) = (
            engine.run(&[(&one, 0..100, &[0, 1])]),
            engine.run(&[(&two, 0..100, &[2, 3])]),
        );
        let row = |logits: &[f32], row: usize| logits[row * N_VOCAB..(row + 1) * N_VOCAB].to_vec();
        // Three layers of 10 reach back over 27 tokens.
        assert!(
            row(&one, 27) != row(&two, 27) && row(&one, 28) == row(&two, 28),
            "{}",
            architecture.name
        );
    }
}

#[test]
fn tied_embeddings_need_no_output_matrix() {
    for architecture in ARCHITECTURES {
        let pool = Pool::new(NonZeroUsize::MIN, Isa::detect());
        let tied = Config {
            tied_embeddings: true,
            ..config(architecture)
        };
        assert_eq!(random_model(&pool, architecture, &tied).shape().n_vocab, N_VOCAB);
    }
}

#[test]
fn architectures_are_sorted_and_named_once() {
    let names: Vec<_> = ARCHITECTURES
        .iter()
        .map(|architecture| architecture.name)
        .collect();
    assert!(
        names.is_sorted() && names.windows(2).all(|pair| pair[0] != pair[1]),
        "{names:?}"
    );
}

#[test]
fn batches_that_cannot_be_run_are_refused() {
    let engine = Engine::new(ARCHITECTURES[0], 1, Isa::detect(), KvType::Bf16);
    let good = Batch {
        tokens: vec![1; 70],
        sequences: vec![SequenceRows {
            n_rows: 70,
            position: 0,
            pages: vec![0, 1],
            n_logits: 1,
            adapter: None,
        }],
    };
    let refusal = |change: &dyn Fn(&mut Batch)| {
        let mut batch = good.clone();
        change(&mut batch);
        batch
            .validate(engine.model.shape(), &engine.cache)
            .expect_err("refused")
    };
    assert_eq!(good.validate(engine.model.shape(), &engine.cache), Ok(()));
    let token = BatchError::Token {
        token: 150,
        row: 7,
        n_vocab: 150,
    };
    assert_eq!(refusal(&|batch| batch.tokens[7] = 150), token);
    assert!(matches!(
        refusal(&|batch| batch.tokens.truncate(69)),
        BatchError::Rows { .. }
    ));
    assert!(matches!(
        refusal(&|batch| batch.sequences[0].n_logits = 71),
        BatchError::Logits { .. }
    ));
    assert!(matches!(
        refusal(&|batch| batch.sequences[0].position = 331),
        BatchError::Context { end: 401, .. }
    ));
    assert!(matches!(
        refusal(&|batch| batch.sequences[0].position = usize::MAX),
        BatchError::Context { .. }
    ));
    assert!(matches!(
        refusal(&|batch| batch.sequences[0].position = 59),
        BatchError::Pages { needed: 3, .. }
    ));
    assert!(matches!(
        refusal(&|batch| batch.sequences[0].pages[1] = 12),
        BatchError::Pages { .. }
    ));
    let mut shape = engine.model.shape().clone();
    shape.kv.n_kv_heads = 1;
    assert!(matches!(
        good.validate(&shape, &engine.cache),
        Err(BatchError::Cache { .. })
    ));
}

#[test]
fn configurations_out_of_range_are_refused_by_name() {
    let refusal = |change: &dyn Fn(&mut Config)| {
        let mut config = config(ARCHITECTURES[0]);
        change(&mut config);
        config.validate().expect_err("refused").key
    };
    assert_eq!(refusal(&|config| config.n_heads = 5), "n_heads");
    assert_eq!(refusal(&|config| config.n_kv_heads = 0), "n_kv_heads");
    assert_eq!(refusal(&|config| config.n_embd = usize::MAX), "n_embd");
    assert_eq!(refusal(&|config| config.n_ff = 1), "n_ff");
    assert_eq!(refusal(&|config| config.head_dim = 25), "head_dim");
    assert_eq!(refusal(&|config| config.rope.n_rot = 26), "rope.n_rot");
    assert_eq!(refusal(&|config| config.rope.base = f32::NAN), "rope.base");
    assert_eq!(refusal(&|config| config.rms_eps = 0.0), "rms_eps");
    assert_eq!(refusal(&|config| config.attention.truncate(2)), "attention");
    assert_eq!(
        refusal(&|config| config.attention[0].window = Some(0)),
        "attention.window"
    );
    assert_eq!(
        refusal(&|config| config.rope.scaling = RopeScaling::Linear { factor: -1.0 }),
        "rope.scaling.factor"
    );
}
