//! What a sequence may ask for beside its tokens: a least length, words that never come, and how likely each token was.

mod support;

use std::sync::Arc;
use support::{Receiver, options, pool, submission, untimed};
use tokenmill_engine::{Engine, Reason, Sampling, Submission, SubmitError};
use tokenmill_testkit::RecallModel;

const N_VOCAB: usize = 60;

fn engine() -> (Arc<RecallModel>, Engine) {
    let model = Arc::new(RecallModel::new(N_VOCAB, 1024));
    let engine =
        Engine::start(model.clone(), pool(1), options(model.as_ref(), 40), untimed()).expect("valid options");
    (model, engine)
}

fn run(engine: &Engine, submission: Submission) -> (Receiver, Vec<u32>, Reason) {
    let receiver = Receiver::unbounded();
    engine.submit(submission, receiver.sink()).expect("it fits");
    let (tokens, finish) = receiver.wait();
    (receiver, tokens, finish.reason)
}

#[test]
fn no_end_token_comes_before_the_least_length() {
    let (_, engine) = engine();
    let (_, tokens, _) = run(&engine, submission(vec![1, 2, 3], 100));
    // Greedy, so the same tokens come until one is an end token.
    let end_tokens = vec![tokens[2], tokens[5]];
    let first = tokens
        .iter()
        .position(|id| end_tokens.contains(id))
        .expect("one of its own");
    let with_ends = |min_tokens| Submission {
        end_tokens: end_tokens.clone(),
        min_tokens,
        ..submission(vec![1, 2, 3], 100)
    };
    let (_, short, reason) = run(&engine, with_ends(first));
    assert_eq!(
        (&short[..], reason),
        (&tokens[..first], Reason::EndToken(tokens[first]))
    );
    for min_tokens in [first + 1, 50, 100, 1000] {
        let (_, longer, reason) = run(&engine, with_ends(min_tokens));
        assert!(
            longer.len() >= min_tokens.min(100),
            "{min_tokens}: {}",
            longer.len()
        );
        let early = &longer[..min_tokens.min(100)];
        assert!(early.iter().all(|id| !end_tokens.contains(id)));
        assert_ne!(reason, Reason::Fault);
    }
}

#[test]
fn a_banned_run_never_comes_whatever_the_penalties() {
    let (_, engine) = engine();
    let (_, tokens, _) = run(&engine, submission(vec![5], 60));
    let banned = vec![vec![tokens[0]], tokens[10..12].to_vec(), tokens[20..23].to_vec()];
    for repetition_penalty in [1.0, 1e4, 1e-4] {
        let asked = Submission {
            banned: banned.clone(),
            sampling: Sampling {
                repetition_penalty,
                frequency_penalty: -1e4,
                temperature: 1.5,
                ..Sampling::greedy()
            },
            ..submission(vec![5], 300)
        };
        let (_, said, reason) = run(&engine, asked);
        assert_eq!((said.len(), reason), (300, Reason::Length));
        for run in &banned {
            assert!(!said.windows(run.len()).any(|window| window == run), "{run:?}");
        }
    }
}

#[test]
fn logprobs_are_those_of_the_model_before_any_wish() {
    let (model, engine) = engine();
    let prompt = vec![7, 8, 9];
    let asked = Submission {
        n_top_logprobs: Some(5),
        banned: vec![vec![3]],
        sampling: Sampling {
            temperature: 2.0,
            top_k: 3,
            logit_bias: vec![(4, 50.0)],
            presence_penalty: 1.0,
            seed: 3,
            ..Sampling::greedy()
        },
        ..submission(prompt.clone(), 40)
    };
    let (receiver, tokens, _) = run(&engine, asked.clone());
    let received = receiver.received();
    assert_eq!(received.logprobs.len(), tokens.len());
    let mut so_far = prompt;
    for (&token, logprobs) in tokens.iter().zip(&received.logprobs) {
        let logits = model.logits_after(&so_far);
        let total: f64 = logits.iter().map(|&logit| f64::from(logit).exp()).sum();
        let expected = |id: u32| f64::from(logits[id as usize]) - total.ln();
        assert!((f64::from(logprobs.chosen) - expected(token)).abs() < 1e-5);
        assert_eq!(logprobs.top.len(), 5);
        for &(id, logprob) in &logprobs.top {
            assert!((f64::from(logprob) - expected(id)).abs() < 1e-5);
        }
        let highest = logits.iter().copied().fold(f32::MIN, f32::max);
        assert_eq!(logits[logprobs.top[0].0 as usize], highest);
        so_far.push(token);
    }
    drop(received);
    // Asking changes nothing else, and who does not ask gets none.
    let (receiver, plain, _) = run(
        &engine,
        Submission {
            n_top_logprobs: None,
            ..asked.clone()
        },
    );
    assert_eq!((plain, receiver.received().logprobs.len()), (tokens, 0));
    let too_many = Submission {
        n_top_logprobs: Some(33),
        ..asked
    };
    let refusal = engine
        .submit(too_many, Receiver::unbounded().sink())
        .expect_err("over the limit");
    assert!(matches!(
        refusal,
        SubmitError::OutOfRange {
            parameter: "top_logprobs",
            ..
        }
    ));
}
