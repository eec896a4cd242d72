//! Thousands of random schedules of a real, tiny model: any batch, one to three threads, any chunks, cached or fresh,
//! speculating or not, with a draft model or without, with adapters beside each other or without, preempted or not. Every row of logits that a token was chosen from, and every token, are the same bits as
//! those of a loop without engine: one sequence, one thread, the whole prompt at once.

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::{Dice, Receiver, generate, options};
use tokenmill_engine::{Options, Progress, Reason, Sampling, Stepper, Submission};
use tokenmill_kernels::isa::Isa;
use tokenmill_kernels::kv_cache::{KvCache, PAGE_TOKENS};
use tokenmill_kernels::pool::Pool;
use tokenmill_model::{Adapter, AdapterShape, Batch, LoadOptions, Loaded, Model, Scratch, SequenceRows};
use tokenmill_testkit::{TinyAdapter, TinyModel, gguf::TYPE_Q8_0};

const N_SUBMISSIONS: usize = 24;
const N_MOST_GENERATED: usize = 150;

/// What a submission gives alone.
struct Expected {
    submission: Submission,
    tokens: Vec<u32>,
    reason: Reason,
    /// The logits that the first, second, … token was chosen from.
    logits: Vec<Vec<f32>>,
}

/// Prompts that begin alike, at page borders and elsewhere, and are in part repetitive.
fn prompt(dice: &mut Dice, n_vocab: usize) -> Vec<u32> {
    let family = dice.below(3);
    let n_common = [0, 20, 64, 100, 128, 150][dice.below(6)];
    let n_own = 1 + dice.below(60);
    let mut prompt: Vec<u32> = (0..n_common)
        .map(|at| ((at * 7 + family) % n_vocab) as u32)
        .collect();
    if dice.one_in(2) {
        let period = 2 + dice.below(9);
        let motif: Vec<u32> = (0..period).map(|_| dice.below(n_vocab) as u32).collect();
        prompt.extend(motif.iter().cycle().take(n_own));
    } else {
        prompt.extend((0..n_own).map(|_| dice.below(n_vocab) as u32));
    }
    prompt
}

fn sampling(dice: &mut Dice) -> Sampling {
    let greedy = Sampling::greedy();
    match dice.below(4) {
        0 | 1 => greedy,
        2 => Sampling {
            temperature: 0.3,
            top_k: 8,
            seed: dice.below(9) as u64,
            ..greedy
        },
        _ => Sampling {
            temperature: 1.0,
            top_p: 0.95,
            frequency_penalty: 0.2,
            repetition_penalty: 1.1,
            seed: dice.below(9) as u64,
            ..greedy
        },
    }
}

/// By the model in a loop without engine.
fn expected(model: &dyn Model, pool: &Pool, submission: Submission) -> Expected {
    let n_pages = (submission.prompt.len() + submission.max_tokens).div_ceil(PAGE_TOKENS);
    let mut cache = KvCache::new(model.shape().kv, n_pages).expect("a small cache");
    let (mut scratch, mut n_computed) = (Scratch::default(), 0);
    let mut rows = Vec::new();
    let (tokens, reason) = generate(&submission, |tokens| {
        let sequence = SequenceRows {
            n_rows: tokens.len() - n_computed,
            position: n_computed,
            pages: (0..n_pages as u32).collect(),
            n_logits: 1,
            adapter: submission.adapter.clone(),
        };
        let batch = Batch {
            tokens: tokens[n_computed..].to_vec(),
            sequences: vec![sequence],
        };
        let mut logits = Vec::new();
        model.forward(pool, &batch, &mut cache, &mut scratch, &mut logits);
        n_computed = tokens.len();
        rows.push(logits.clone());
        logits
    });
    Expected {
        submission,
        tokens,
        reason,
        logits: rows,
    }
}

/// A sequence's number, how many tokens it had, and the logits that its next one was chosen from.
type Seen = Arc<Mutex<Vec<(u64, usize, Vec<f32>)>>>;

struct Schedule<'a> {
    dice: Dice,
    seed: u64,
    all: &'a [Expected],
    stepper: Stepper,
    seen: Seen,
    /// In the order of submission: of what, tokens at most, and who listens.
    asked: Vec<(&'a Expected, usize, Receiver)>,
}

impl<'a> Schedule<'a> {
    fn new(
        seed: u64,
        model: &Arc<dyn Model>,
        draft_models: &[Arc<dyn Model>],
        pools: &[Arc<Pool>],
        all: &'a [Expected],
    ) -> Schedule<'a> {
        let mut dice = Dice(seed << 20);
        let max_running = 1 + dice.below(6);
        let options = Options {
            max_running,
            step_tokens: max_running + 1 + dice.below(120),
            inter_token_ms: 1 + dice.below(60),
            prefix_cache: !dice.one_in(4),
            speculation: !dice.one_in(3),
            // The longest takes six pages, so a few together are short of them.
            ..options(model.as_ref(), 6 + dice.below(8))
        };
        // Mostly one thread: more are about the kernels, and cost time on a machine that is busy.
        let pool = &pools[dice.below(32).saturating_sub(29)];
        let mut stopwatch = Dice(seed << 20 | 1);
        let mut now = Duration::ZERO;
        let stopwatch = move || {
            now += Duration::from_millis([0, 1, 5, 20, 60][stopwatch.below(5)]);
            now
        };
        let mut stepper = Stepper::new(Arc::clone(model), Arc::clone(pool), &options, Box::new(stopwatch))
            .expect("valid options");
        if let Some(draft_model) = draft_models.get(dice.below(4)) {
            stepper = stepper
                .with_draft_model(Arc::clone(draft_model), &options)
                .expect("a small cache");
        }
        let seen = Seen::default();
        let record = Arc::clone(&seen);
        stepper.observe_logits(Box::new(move |sequence, n_tokens, logits| {
            let mut record = record.lock().expect("no panic inside");
            record.push((sequence, n_tokens, logits.to_vec()));
        }));
        Schedule {
            dice,
            seed,
            all,
            stepper,
            seen,
            asked: Vec::new(),
        }
    }

    fn submit(&mut self) {
        let expected = &self.all[self.dice.below(self.all.len())];
        let n_most = if self.dice.one_in(4) { N_MOST_GENERATED } else { 30 };
        let max_tokens = 1 + self.dice.below(n_most);
        let submission = Submission {
            max_tokens,
            tenant: [self.dice.below(3) as u8; 32],
            priority: self.dice.below(5).saturating_sub(3) as i8,
            ..expected.submission.clone()
        };
        let room = if self.dice.one_in(4) {
            self.dice.below(4)
        } else {
            usize::MAX
        };
        let receiver = Receiver::new(room);
        self.stepper.submit(submission, receiver.sink()).expect("it fits");
        self.asked.push((expected, max_tokens, receiver));
    }

    fn run(&mut self) {
        let n_asked = 2 + self.dice.below(7);
        let mut n_steps = 0;
        loop {
            while self.asked.len() < n_asked && self.dice.one_in(3) {
                self.submit();
            }
            if self.dice.one_in(50) && !self.asked.is_empty() {
                let idx = self.dice.below(self.asked.len());
                self.asked[idx].2.close();
            }
            for (_, _, receiver) in &self.asked {
                let mut received = receiver.received();
                if received.room < 1000 && self.dice.one_in(3) {
                    received.room += self.dice.below(8);
                }
            }
            let progress = self.stepper.step();
            if let Err(fault) = self.stepper.check_integrity() {
                panic!("seed {}: {fault}", self.seed);
            }
            let is_over = self
                .asked
                .iter()
                .all(|(_, _, receiver)| receiver.received().finish.is_some());
            if progress == Progress::Idle && self.asked.len() == n_asked && is_over {
                break;
            }
            n_steps += 1;
            assert!(n_steps < 10_000, "seed {}: no end", self.seed);
        }
    }

    fn check(&self) {
        let seed = self.seed;
        for (idx, (expected, max_tokens, receiver)) in self.asked.iter().enumerate() {
            let received = receiver.received();
            let finish = received.finish.expect("it has ended");
            let n_whole = expected.tokens.len().min(*max_tokens);
            if received.closed {
                assert!(
                    expected.tokens.starts_with(&received.tokens),
                    "seed {seed}: sequence {idx}"
                );
                continue;
            }
            assert_eq!(
                received.tokens,
                expected.tokens[..n_whole],
                "seed {seed}: sequence {idx}"
            );
            let reason = match expected.reason {
                Reason::EndToken(_) if expected.tokens.len() >= *max_tokens => Reason::Length,
                reason => reason,
            };
            assert_eq!(finish.reason, reason, "seed {seed}: sequence {idx}");
        }
        for (sequence, n_tokens, logits) in self.seen.lock().expect("no panic inside").iter() {
            let expected = self.asked[*sequence as usize].0;
            let n_generated = n_tokens - expected.submission.prompt.len();
            assert!(
                bits(logits).eq(bits(&expected.logits[n_generated])),
                "seed {seed}: logits of token {n_generated} of sequence {sequence} are others"
            );
        }
    }
}

fn bits(logits: &[f32]) -> impl Iterator<Item = u32> {
    logits.iter().map(|logit| logit.to_bits())
}

#[test]
fn every_schedule_gives_the_same_bits() {
    let isa = Isa::detect();
    let pools: Vec<Arc<Pool>> = (1..=3)
        .map(|n_threads| Arc::new(Pool::new(n_threads.try_into().expect("some threads"), isa)))
        .collect();
    let tiny = TinyModel {
        matrix_type: TYPE_Q8_0,
        ..TinyModel::new("qwen3", 7)
    };
    let bytes = tiny.gguf().bytes();
    let loaded = tokenmill_model::load_from_bytes(&pools[0], "tiny", &bytes, &LoadOptions::default());
    let Loaded {
        model, adapter_shape, ..
    } = loaded.expect("a model that loads");
    // One that is always right where nothing is drawn, and one that is mostly wrong.
    let other = TinyModel {
        n_layers: 1,
        ..TinyModel::new("qwen3", 8)
    };
    let other =
        tokenmill_model::load_from_bytes(&pools[0], "other", &other.gguf().bytes(), &LoadOptions::default());
    let draft_models = [Arc::clone(&model), other.expect("a model that loads").model];
    let adapters = adapters(&tiny, &adapter_shape, &pools[0]);
    let mut dice = Dice(42);
    let all: Vec<Expected> = (0..N_SUBMISSIONS)
        .map(|idx| {
            let n_vocab = model.shape().n_vocab;
            let submission = Submission {
                sampling: sampling(&mut dice),
                max_tokens: N_MOST_GENERATED,
                end_tokens: if idx % 3 == 0 { vec![5, 6, 7] } else { Vec::new() },
                cache_scope: [(idx % 8 == 0) as u8; 32],
                adapter: adapters[idx % adapters.len()].clone(),
                ..support::submission(prompt(&mut dice, n_vocab), 1)
            };
            expected(model.as_ref(), &pools[0], submission)
        })
        .collect();
    let (mut n_preemptions, mut n_hits, mut n_rows) = (0, 0, 0);
    let (mut n_accepted, mut n_refused, mut n_guessed) = (0, 0, 0);
    for seed in 0..n_schedules() {
        let mut schedule = Schedule::new(seed, &model, &draft_models, &pools, &all);
        schedule.run();
        schedule.check();
        let stats = schedule.stepper.stats();
        n_preemptions += stats.preemptions;
        n_hits += stats.prefix_hit_tokens;
        n_accepted += stats.tokens_accepted;
        n_guessed += stats.tokens_drafted_by_model;
        n_refused += stats.tokens_drafted - stats.tokens_accepted;
        n_rows += schedule.seen.lock().expect("no panic inside").len();
    }
    // Otherwise the schedules would not test what they are meant to.
    assert!(
        n_preemptions > 100 && n_hits > 10_000 && n_rows > 10_000,
        "{n_preemptions} {n_hits} {n_rows}"
    );
    assert!(
        n_accepted > 1000 && n_refused > 1000 && n_guessed > 1000,
        "{n_accepted} {n_refused} {n_guessed}"
    );
}

/// No adapter, and two of different ranks on different projections.
fn adapters(model: &TinyModel, shape: &AdapterShape, pool: &Pool) -> Vec<Option<Arc<Adapter>>> {
    let strong = TinyAdapter::new(model, 1);
    let narrow = TinyAdapter {
        rank: 1,
        targets: vec!["v_proj", "down_proj"],
        dtype: "BF16",
        ..TinyAdapter::new(model, 2)
    };
    let load = |adapter: &TinyAdapter| {
        let folder = tempfile::tempdir().expect("a folder");
        adapter.write(folder.path()).expect("two files");
        let loaded = Adapter::load(pool, shape, folder.path(), 64).expect("an adapter that loads");
        Some(Arc::new(loaded))
    };
    vec![None, load(&strong), load(&narrow)]
}

/// 2,000 of them; `TOKENMILL_SCHEDULES=n` runs as many instead.
fn n_schedules() -> u64 {
    std::env::var("TOKENMILL_SCHEDULES")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(2000)
}
