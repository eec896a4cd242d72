//! The engine on its thread: leaving, slow owners, bounds, faults, the end.

mod support;

use std::sync::Arc;
use support::{Dice, Receiver, alone, options, pool, submission, untimed};
use tokenmill_engine::{Engine, Options, Reason, Sampling, Submission, SubmitError};
use tokenmill_model::LoadOptions;
use tokenmill_testkit::{RecallModel, tiny_model};

const N_VOCAB: usize = 60;

fn recall() -> Arc<RecallModel> {
    Arc::new(RecallModel::new(N_VOCAB, 1024))
}

fn start(model: &Arc<RecallModel>, options: Options) -> Engine {
    Engine::start(model.clone(), pool(1), options, untimed()).expect("valid options")
}

fn prompts(n: u32) -> impl Iterator<Item = Vec<u32>> {
    (0..n).map(|idx| {
        (0..1 + idx * 5 % 150)
            .map(|at| (at * 3 + idx % 4) % N_VOCAB as u32)
            .collect()
    })
}

/// Sampled, so that a wrong bit shows.
fn sampled(prompt: Vec<u32>, max_tokens: usize, seed: u64) -> Submission {
    let sampling = Sampling {
        temperature: 1.0,
        top_p: 0.95,
        seed,
        ..Sampling::greedy()
    };
    Submission {
        sampling,
        ..submission(prompt, max_tokens)
    }
}

#[test]
fn sixty_four_at_once_get_what_each_gets_alone_from_a_real_model() {
    for threads in [1, 2] {
        let pool = pool(threads);
        let bytes = tiny_model("qwen3", 1);
        let loaded = tokenmill_model::load_from_bytes(&pool, "tiny", &bytes, &LoadOptions::default());
        let model = loaded.expect("a model that loads").model;
        let n_vocab = model.shape().n_vocab as u32;
        let options = Options {
            max_running: 64,
            step_tokens: 100,
            ..options(model.as_ref(), 60)
        };
        let engine =
            Engine::start(Arc::clone(&model), Arc::clone(&pool), options, untimed()).expect("valid options");
        let asked: Vec<(Submission, Receiver)> = prompts(64)
            .enumerate()
            .map(|(seed, prompt)| {
                let prompt = prompt.into_iter().map(|id| id % n_vocab).collect();
                (sampled(prompt, 12, seed as u64), Receiver::unbounded())
            })
            .collect();
        for (submission, receiver) in &asked {
            engine
                .submit(submission.clone(), receiver.sink())
                .expect("room for all");
        }
        for (submission, receiver) in &asked {
            let (tokens, finish) = receiver.wait();
            assert_eq!((tokens, finish.reason), alone(model.as_ref(), &pool, submission));
        }
        engine.check_integrity().expect("all books add up");
        assert!(engine.stats().prefix_hit_tokens > 0);
    }
}

#[test]
fn a_thousand_dropped_at_random_points_leave_nothing_behind() {
    let model = recall();
    let engine = start(
        &model,
        Options {
            max_running: 16,
            max_waiting: 1000,
            ..options(model.as_ref(), 40)
        },
    );
    let mut dice = Dice(64);
    let receivers: Vec<Receiver> = prompts(1000)
        .map(|prompt| {
            let receiver = Receiver::new(dice.below(20));
            engine
                .submit(sampled(prompt, 20, dice.below(99) as u64), receiver.sink())
                .expect("room for all");
            if dice.one_in(3) {
                receiver.close();
            }
            receiver
        })
        .collect();
    for receiver in receivers {
        receiver.close();
        engine.wake();
        receiver.wait();
    }
    engine.check_integrity().expect("all books add up");
    let stats = engine.stats();
    assert_eq!(
        (stats.running, stats.waiting, stats.leaving, stats.pages_used),
        (0, 0, 0, 0),
        "{stats:?}"
    );
    assert_eq!(stats.finished, 1000);
}

#[test]
fn one_that_leaves_is_gone_before_the_next_step() {
    let model = recall();
    let engine = start(&model, options(model.as_ref(), 40));
    let receiver = Receiver::new(3);
    engine
        .submit(submission(vec![1, 2, 3], 500), receiver.sink())
        .expect("room");
    drop(receiver.wait_until(|received| received.tokens.len() == 3));
    receiver.close();
    let n_steps = engine.stats().steps;
    engine.wake();
    let (_, finish) = receiver.wait();
    assert_eq!(finish.reason, Reason::Cancelled);
    engine.check_integrity().expect("all books add up");
    let stats = engine.stats();
    assert_eq!((stats.running, stats.pages_used), (0, 0));
    assert!(stats.steps <= n_steps + 1);
}

#[test]
fn a_slow_owner_gets_every_token_and_holds_up_nobody() {
    let model = recall();
    let engine = start(
        &model,
        Options {
            max_running: 2,
            ..options(model.as_ref(), 40)
        },
    );
    let slow = sampled(vec![5, 6, 7], 40, 1);
    let slow_receiver = Receiver::new(2);
    engine.submit(slow.clone(), slow_receiver.sink()).expect("room");
    for seed in 0..20 {
        let quick = sampled(vec![8, 9], 10, seed);
        let receiver = Receiver::unbounded();
        engine.submit(quick.clone(), receiver.sink()).expect("room");
        assert_eq!(receiver.wait().0, alone(model.as_ref(), &pool(1), &quick).0);
    }
    assert_eq!(
        slow_receiver
            .wait_until(|received| received.tokens.len() >= 2)
            .tokens
            .len(),
        2
    );
    let waker = engine.waker();
    while slow_receiver.received().finish.is_none() {
        let n_tokens = slow_receiver.received().tokens.len();
        slow_receiver.received().room += 1;
        waker.wake();
        drop(
            slow_receiver
                .wait_until(|received| received.tokens.len() > n_tokens || received.finish.is_some()),
        );
    }
    assert_eq!(slow_receiver.wait().0, alone(model.as_ref(), &pool(1), &slow).0);
}

#[test]
fn paused_sequences_give_way_when_the_places_are_taken() {
    let model = recall();
    let engine = start(
        &model,
        Options {
            max_running: 2,
            ..options(model.as_ref(), 40)
        },
    );
    let stuck: Vec<Receiver> = (0..4).map(|_| Receiver::new(1)).collect();
    for receiver in &stuck {
        engine
            .submit(submission(vec![1, 2], 10), receiver.sink())
            .expect("room");
        drop(receiver.wait_until(|received| received.tokens.len() == 1));
    }
    for receiver in &stuck {
        receiver.received().room = usize::MAX;
        engine.wake();
        let expected = alone(model.as_ref(), &pool(1), &submission(vec![1, 2], 10)).0;
        assert_eq!(receiver.wait().0, expected);
    }
}

#[test]
fn what_cannot_be_run_is_refused_with_its_numbers() {
    let model = recall();
    let engine = start(
        &model,
        Options {
            max_running: 1,
            max_waiting: 1,
            ..options(model.as_ref(), 3)
        },
    );
    let refusal = |submission: Submission| {
        engine
            .submit(submission, Receiver::unbounded().sink())
            .expect_err("cannot be run")
            .to_string()
    };
    assert_eq!(
        refusal(submission(vec![0; 100], 93)),
        "100 prompt tokens and 93 to generate do not fit into 192 tokens, the most that one sequence can have here"
    );
    assert_eq!(
        refusal(submission(vec![], 1)),
        "prompt is empty; it needs at least one token"
    );
    assert_eq!(
        refusal(submission(vec![1], 0)),
        "max_tokens is 0; it must be at least 1"
    );
    assert_eq!(
        refusal(submission(vec![60], 1)),
        "prompt holds token 60, but the model's vocabulary ends at 60"
    );
    let hot = Sampling {
        temperature: f32::NAN,
        ..Sampling::greedy()
    };
    assert_eq!(
        refusal(Submission {
            sampling: hot,
            ..submission(vec![1], 1)
        }),
        "temperature is NaN; it must be from 0 to 100"
    );
    let full: Vec<Receiver> = (0..2).map(|_| Receiver::new(0)).collect();
    for receiver in &full {
        engine
            .submit(submission(vec![1], 1), receiver.sink())
            .expect("room");
    }
    assert_eq!(
        refusal(submission(vec![1], 1)),
        "the queue is full: 2 sequences run or wait"
    );
    full[0].close();
    engine.wake();
    full[0].wait();
    // The books are published right after the goodbye.
    engine.check_integrity().expect("all books add up");
    engine.check_integrity().expect("all books add up");
    engine
        .submit(submission(vec![1], 1), Receiver::unbounded().sink())
        .expect("there is room again");
}

#[test]
fn a_panicking_pass_ends_its_sequences_and_the_engine_goes_on() {
    let model = recall();
    let engine = start(&model, options(model.as_ref(), 40));
    let long = submission((0..50).collect(), 900);
    let receivers: Vec<Receiver> = (0..3).map(|_| Receiver::unbounded()).collect();
    for receiver in &receivers {
        engine.submit(long.clone(), receiver.sink()).expect("room");
        drop(receiver.wait_until(|received| !received.tokens.is_empty()));
    }
    model.panic_after(1);
    for receiver in &receivers {
        assert_eq!(receiver.wait().1.reason, Reason::Fault);
    }
    engine.check_integrity().expect("all books add up");
    let again = sampled((0..50).collect(), 30, 3);
    let receiver = Receiver::unbounded();
    engine.submit(again.clone(), receiver.sink()).expect("room");
    assert_eq!(receiver.wait().0, alone(model.as_ref(), &pool(1), &again).0);
}

#[test]
fn logits_that_are_no_numbers_end_only_their_sequence() {
    let model = Arc::new(RecallModel::new(N_VOCAB, 1024).with_poison(7));
    let engine = start(&model, options(model.as_ref(), 40));
    let (good, bad) = (Receiver::unbounded(), Receiver::unbounded());
    let no_seven = Sampling {
        logit_bias: vec![(7, -1e4)],
        ..Sampling::greedy()
    };
    let fine = Submission {
        sampling: no_seven,
        ..submission(vec![3, 4], 20)
    };
    engine.submit(fine.clone(), good.sink()).expect("room");
    engine
        .submit(submission(vec![3, 7], 20), bad.sink())
        .expect("room");
    assert_eq!(
        bad.wait(),
        (
            vec![],
            tokenmill_engine::Finish {
                reason: Reason::Fault,
                n_prompt: 2,
                n_cached: 0,
                n_generated: 0
            }
        )
    );
    assert_eq!(good.wait().0, alone(model.as_ref(), &pool(1), &fine).0);
}

#[test]
fn the_second_of_two_equal_prompts_computes_its_last_token_only() {
    let model = recall();
    let engine = start(&model, options(model.as_ref(), 40));
    let prompt: Vec<u32> = (0..150).map(|at| at % N_VOCAB as u32).collect();
    let ask = |scope: u8| {
        let receiver = Receiver::unbounded();
        let submission = Submission {
            cache_scope: [scope; 32],
            ..submission(prompt.clone(), 5)
        };
        engine.submit(submission, receiver.sink()).expect("room");
        receiver.wait()
    };
    let (first, again, elsewhere) = (ask(0), ask(0), ask(1));
    assert_eq!(
        (first.1.n_cached, again.1.n_cached, elsewhere.1.n_cached),
        (0, 149, 0)
    );
    assert_eq!(first.0, again.0);
    assert_eq!(first.0, elsewhere.0);
}

#[test]
fn shutting_down_ends_everyone_and_refuses_the_next() {
    let model = recall();
    let engine = start(&model, options(model.as_ref(), 40));
    let receivers: Vec<Receiver> = (0..12).map(|_| Receiver::unbounded()).collect();
    for receiver in &receivers {
        engine
            .submit(submission(vec![1, 2, 3], 1000), receiver.sink())
            .expect("room");
    }
    engine.shutdown();
    for receiver in &receivers {
        assert!(receiver.received().finish.is_some());
    }
    let refused = engine.submit(submission(vec![1], 1), Receiver::unbounded().sink());
    assert_eq!(refused, Err(SubmitError::ShuttingDown));
    assert!(engine.check_integrity().is_err());
    engine.shutdown();
}
