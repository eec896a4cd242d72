//! A draft model guesses where that pays and leaves off where it does not; tokens are the same either way.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use support::{Dice, Receiver, alone, options, pool, submission};
use tokenmill_engine::{Options, Progress, Stats, Stepper};
use tokenmill_kernels::kv_cache::KvCache;
use tokenmill_kernels::pool::Pool;
use tokenmill_model::{Batch, LoadOptions, Model, Scratch, Shape};
use tokenmill_testkit::TinyModel;

/// A model whose passes take a time of their own by a clock that only they move.
struct Timed {
    model: Arc<dyn Model>,
    clock: Arc<AtomicU64>,
    pass_us: u64,
    row_us: u64,
}

impl Model for Timed {
    fn shape(&self) -> &Shape {
        self.model.shape()
    }

    fn forward(
        &self,
        pool: &Pool,
        batch: &Batch,
        cache: &mut KvCache,
        scratch: &mut Scratch,
        logits: &mut Vec<f32>,
    ) {
        batch.validate(self.shape(), cache).expect("a valid batch");
        self.model.forward(pool, batch, cache, scratch, logits);
        let us = self.pass_us + self.row_us * batch.tokens.len() as u64;
        self.clock.fetch_add(us, Ordering::Relaxed);
    }
}

/// Fails whenever it is asked.
struct Failing(Shape);

impl Model for Failing {
    fn shape(&self) -> &Shape {
        &self.0
    }

    fn forward(&self, _: &Pool, _: &Batch, _: &mut KvCache, _: &mut Scratch, _: &mut Vec<f32>) {
        panic!("a draft model that fails");
    }
}

fn tiny(seed: u64) -> Arc<dyn Model> {
    let bytes = TinyModel::new("qwen3", seed).gguf().bytes();
    let loaded = tokenmill_model::load_from_bytes(&pool(1), "tiny", &bytes, &LoadOptions::default());
    loaded.expect("a model that loads").model
}

/// Answers to some prompts of no repetition, by a model that takes 20 ms a pass: what they took, and the numbers.
fn run(
    draft: impl FnOnce(&Arc<AtomicU64>) -> Option<Arc<dyn Model>>,
    speculation: bool,
) -> (Duration, Stats) {
    let model = tiny(7);
    let clock = Arc::new(AtomicU64::new(0));
    let options = Options {
        speculation,
        ..options(model.as_ref(), 40)
    };
    let timed = Arc::new(Timed {
        model: Arc::clone(&model),
        clock: Arc::clone(&clock),
        pass_us: 20_000,
        row_us: 500,
    });
    let watched = Arc::clone(&clock);
    let stopwatch = Box::new(move || Duration::from_micros(watched.load(Ordering::Relaxed)));
    let mut stepper = Stepper::new(timed, pool(1), &options, stopwatch).expect("valid options");
    if let Some(draft) = draft(&clock) {
        stepper = stepper.with_draft_model(draft, &options).expect("a small cache");
    }
    let mut dice = Dice(3);
    let asked: Vec<_> = (0..3)
        .map(|_| {
            let prompt = (0..100).map(|_| dice.below(256) as u32).collect();
            let submission = submission(prompt, 120);
            let receiver = Receiver::unbounded();
            stepper
                .submit(submission.clone(), receiver.sink())
                .expect("it fits");
            (submission, receiver)
        })
        .collect();
    while stepper.step() == Progress::Stepped {
        stepper.check_integrity().expect("sound books");
    }
    for (submission, receiver) in asked {
        let (expected, _) = alone(model.as_ref(), &pool(1), &submission);
        assert_eq!(receiver.received().tokens, expected);
    }
    (
        Duration::from_micros(clock.load(Ordering::Relaxed)),
        stepper.stats(),
    )
}

fn draft(model: Arc<dyn Model>, clock: &Arc<AtomicU64>, pass_us: u64) -> Option<Arc<dyn Model>> {
    Some(Arc::new(Timed {
        model,
        clock: Arc::clone(clock),
        pass_us,
        row_us: pass_us / 40,
    }))
}

#[test]
fn a_cheap_and_good_draft_model_saves_time() {
    let (plain, _) = run(|_| None, true);
    let (drafting, stats) = run(|clock| draft(tiny(7), clock, 1_000), true);
    assert!(stats.tokens_drafted_by_model > 50, "{stats:?}");
    assert!(
        drafting.as_secs_f64() < 0.7 * plain.as_secs_f64(),
        "{drafting:?} instead of {plain:?}"
    );
}

#[test]
fn a_draft_model_that_is_wrong_or_slow_is_left_off() {
    let (plain, _) = run(|_| None, true);
    for (model, pass_us) in [(tiny(8), 1_000), (tiny(7), 40_000)] {
        let (drafting, stats) = run(|clock| draft(model, clock, pass_us), true);
        assert!(
            drafting.as_secs_f64() < 1.1 * plain.as_secs_f64(),
            "{drafting:?} instead of {plain:?}, {stats:?}"
        );
    }
}

#[test]
fn without_speculation_a_draft_model_is_not_used() {
    let (plain, _) = run(|_| None, false);
    let (with, stats) = run(|clock| draft(tiny(7), clock, 1_000), false);
    assert_eq!((with, stats.tokens_drafted), (plain, 0));
}

#[test]
fn a_draft_model_that_fails_changes_nothing() {
    let (_, stats) = run(|_| Some(Arc::new(Failing(tiny(7).shape().clone()))), true);
    assert_eq!(
        (stats.faults, stats.finished, stats.tokens_drafted_by_model),
        (0, 3, 0)
    );
}
