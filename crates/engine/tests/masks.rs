//! Masks decide what comes: sampled, forced, prepared or not, alone or among others.

mod support;

use std::sync::Arc;
use support::{Receiver, options, pool, submission};
use tokenmill_engine::{Next, Reason, Sampling, Stepper, Submission, TokenMask};
use tokenmill_testkit::RecallModel;

const N_VOCAB: usize = 60;

/// Allows the multiples of three, five times; after each that ends in zero, 58 and 59 must follow.
struct Threes {
    allowed: Vec<u32>,
    n_left: usize,
    pending: Vec<u32>,
    /// Whether what is forced is said to be, or only allowed.
    says_forced: bool,
    is_prepared: bool,
}

impl Threes {
    fn new(says_forced: bool) -> Box<Threes> {
        let mut allowed = vec![0; N_VOCAB.div_ceil(32)];
        for id in (0..N_VOCAB).step_by(3) {
            allowed[id / 32] |= 1 << (id % 32);
        }
        Box::new(Threes {
            allowed,
            n_left: 5,
            pending: Vec::new(),
            says_forced,
            is_prepared: false,
        })
    }
}

impl TokenMask for Threes {
    fn prepare(&mut self) {
        self.is_prepared = true;
    }

    fn next(&mut self) -> Next<'_> {
        assert!(
            std::mem::take(&mut self.is_prepared),
            "it is prepared during the forward pass"
        );
        if let Some(&token) = self.pending.first() {
            self.allowed.fill(0);
            self.allowed[token as usize / 32] = 1 << (token % 32);
            return Next::Among(&self.allowed);
        }
        if self.n_left == 0 {
            return Next::Nothing;
        }
        self.allowed = Threes::new(true).allowed;
        Next::Among(&self.allowed)
    }

    fn accept(&mut self, token: u32) {
        if self.pending.first() == Some(&token) {
            self.pending.remove(0);
            return;
        }
        assert_eq!(token % 3, 0);
        self.n_left -= 1;
        if token.is_multiple_of(10) {
            self.pending = vec![58, 59];
        }
    }

    fn forced(&mut self) -> Vec<u32> {
        if self.says_forced {
            std::mem::take(&mut self.pending)
        } else {
            Vec::new()
        }
    }
}

fn sampled(seed: u64, max_tokens: usize) -> Submission {
    let sampling = Sampling {
        temperature: 5.0,
        seed,
        ..Sampling::greedy()
    };
    Submission {
        sampling,
        ..submission(vec![1, 2, 3, seed as u32 % 60], max_tokens)
    }
}

/// The tokens and the end of each submission, run together.
fn run(submissions: Vec<(Submission, bool)>) -> Vec<(Vec<u32>, Reason)> {
    let model = Arc::new(RecallModel::new(N_VOCAB, 1024));
    let mut stepper = Stepper::new(
        model.clone(),
        pool(1),
        &options(model.as_ref(), 40),
        support::untimed(),
    )
    .expect("valid options");
    let receivers: Vec<Receiver> = submissions
        .into_iter()
        .map(|(submission, says_forced)| {
            let receiver = Receiver::new(1000);
            stepper
                .submit_masked(submission, Threes::new(says_forced), receiver.sink())
                .expect("valid");
            receiver
        })
        .collect();
    while stepper.n_sequences() > 0 {
        stepper.step();
        stepper.check_integrity().expect("books in order");
    }
    receivers
        .into_iter()
        .map(|receiver| {
            let received = receiver.received();
            (received.tokens.clone(), received.finish.expect("over").reason)
        })
        .collect()
}

#[test]
fn only_allowed_tokens_come_and_the_mask_ends_the_sequence() {
    for (seed, (tokens, reason)) in run((0..8).map(|seed| (sampled(seed, 100), true)).collect())
        .into_iter()
        .enumerate()
    {
        assert_eq!(reason, Reason::Complete);
        let free: Vec<u32> = tokens.iter().copied().filter(|id| *id < 58).collect();
        assert_eq!(free.len(), 5, "seed {seed}: {tokens:?}");
        assert!(free.iter().all(|id| id.is_multiple_of(3)));
        let n_tens = free.iter().filter(|id| id.is_multiple_of(10)).count();
        assert_eq!(tokens.len(), 5 + 2 * n_tens);
    }
}

#[test]
fn company_changes_nothing() {
    let together = run((0..8).map(|seed| (sampled(seed, 100), true)).collect());
    for seed in 0..8 {
        assert_eq!(
            run(vec![(sampled(seed, 100), true)])[0],
            together[seed as usize],
            "seed {seed}"
        );
    }
}

#[test]
fn forced_tokens_are_those_that_would_have_been_chosen() {
    let forced = run((0..20).map(|seed| (sampled(seed, 100), true)).collect());
    assert!(
        forced.iter().any(|(tokens, _)| tokens.contains(&59)),
        "some force tokens"
    );
    for (seed, (tokens, _)) in forced.into_iter().enumerate() {
        // The draws differ from the first forced token on, for they go by the index in the output, as without forcing.
        let chosen = &run(vec![(sampled(seed as u64, 100), false)])[0].0;
        assert_eq!(&tokens, chosen, "seed {seed}");
    }
}

#[test]
fn the_limit_holds_among_forced_tokens() {
    for max_tokens in 1..8 {
        for (tokens, reason) in run((0..20).map(|seed| (sampled(seed, max_tokens), true)).collect()) {
            assert!(tokens.len() <= max_tokens);
            assert_eq!(reason == Reason::Length, tokens.len() == max_tokens);
        }
    }
}
