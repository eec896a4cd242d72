//! Thousands of random schedules, single-threaded: sequences come and leave, owners are slow, pages are short. After
//! every step all books are recounted; in the end each sequence has had exactly the tokens that it gets alone.

mod support;

use std::sync::Arc;
use std::time::Duration;
use support::{Dice, Receiver, generate, options, pool};
use tokenmill_engine::{Finish, Options, Progress, Reason, Sampling, Stepper, Submission};
use tokenmill_testkit::RecallModel;

const N_VOCAB: usize = 50;
const N_CONTEXT: usize = 300;

struct Client {
    submission: Submission,
    receiver: Receiver,
    is_slow: bool,
}

struct Simulation {
    dice: Dice,
    model: Arc<RecallModel>,
    stepper: Stepper,
    clients: Vec<Client>,
}

impl Simulation {
    fn new(seed: u64) -> Simulation {
        let mut dice = Dice(seed << 32);
        let model = Arc::new(RecallModel::new(N_VOCAB, N_CONTEXT));
        let max_running = 1 + dice.below(6);
        let options = Options {
            max_running,
            step_tokens: max_running + 1 + dice.below(150),
            inter_token_ms: 1 + dice.below(100),
            prefix_cache: !dice.one_in(4),
            speculation: dice.one_in(2),
            ..options(model.as_ref(), 2 + dice.below(10))
        };
        let mut stopwatch = Dice(seed << 32 | 1);
        let mut now = Duration::ZERO;
        let stopwatch = move || {
            // Some steps seem to take no time, most some, a few long.
            now += Duration::from_millis([0, 1, 5, 20, 60, 400][stopwatch.below(6)]);
            now
        };
        let stepper =
            Stepper::new(model.clone(), pool(1), &options, Box::new(stopwatch)).expect("valid options");
        Simulation {
            dice,
            model,
            stepper,
            clients: Vec::new(),
        }
    }

    /// Prompts begin alike, at page borders and elsewhere.
    fn prompt(&mut self, n_most: usize) -> Vec<u32> {
        let family = self.dice.below(2) as u32;
        let n_common = self.dice.below(n_most);
        let n_own = self.dice.below(n_most.min(70));
        let common = (0..n_common as u32).map(|position| (position * 7 + family) % N_VOCAB as u32);
        let mut prompt: Vec<u32> = common.collect();
        prompt.extend((0..n_own).map(|_| self.dice.below(N_VOCAB) as u32));
        prompt.truncate(n_most);
        if prompt.is_empty() { vec![family] } else { prompt }
    }

    fn sampling(&mut self) -> Sampling {
        let greedy = Sampling::greedy();
        match self.dice.below(3) {
            0 => greedy,
            1 => Sampling {
                temperature: 1.0,
                seed: self.dice.below(3) as u64,
                ..greedy
            },
            _ => Sampling {
                temperature: 0.7,
                top_k: 9,
                top_p: 0.9,
                presence_penalty: 1.0,
                repetition_penalty: 1.2,
                seed: self.dice.below(3) as u64,
                ..greedy
            },
        }
    }

    fn submit(&mut self) {
        let max_tokens = 1 + self.dice.below(60);
        let Some(n_most) = self
            .stepper
            .max_sequence_tokens()
            .checked_sub(max_tokens)
            .filter(|&n| n > 0)
        else {
            return;
        };
        let submission = Submission {
            prompt: self.prompt(n_most),
            sampling: self.sampling(),
            max_tokens,
            end_tokens: if self.dice.one_in(3) {
                vec![1, 2]
            } else {
                Vec::new()
            },
            min_tokens: 0,
            banned: Vec::new(),
            n_top_logprobs: None,
            adapter: None,
            cache_scope: [self.dice.below(2) as u8; 32],
            tenant: [self.dice.below(3) as u8; 32],
            priority: self.dice.below(5).saturating_sub(3) as i8,
        };
        let is_slow = self.dice.one_in(4);
        let receiver = Receiver::new(if is_slow { self.dice.below(4) } else { usize::MAX });
        self.stepper
            .submit(submission.clone(), receiver.sink())
            .expect("it fits");
        self.clients.push(Client {
            submission,
            receiver,
            is_slow,
        });
    }

    /// One thing happens outside, then a step.
    fn advance(&mut self, seed: u64, may_submit: bool) -> Progress {
        match self.dice.below(8) {
            0..=2 if may_submit => self.submit(),
            3 if !self.clients.is_empty() => {
                let idx = self.dice.below(self.clients.len());
                if self.dice.one_in(3) {
                    self.clients[idx].receiver.close();
                }
            }
            _ => {}
        }
        for client in self.clients.iter().filter(|client| client.is_slow) {
            if self.dice.one_in(4) {
                client.receiver.received().room += self.dice.below(5);
            }
        }
        let progress = self.stepper.step();
        self.stepper
            .check_integrity()
            .unwrap_or_else(|fault| panic!("seed {seed}: {fault}"));
        progress
    }

    /// Everyone reads again; nothing may be stuck.
    fn run_out(&mut self, seed: u64) {
        for client in &self.clients {
            client.receiver.received().room = usize::MAX;
        }
        let mut n_steps = 0;
        while self.stepper.step() == Progress::Stepped {
            self.stepper
                .check_integrity()
                .unwrap_or_else(|fault| panic!("seed {seed}: {fault}"));
            n_steps += 1;
            assert!(n_steps < 100_000, "seed {seed}: no end");
        }
        let stats = self.stepper.stats();
        let left = (stats.running, stats.waiting, stats.leaving, stats.pages_used);
        assert_eq!(left, (0, 0, 0, 0), "seed {seed}: {stats:?}");
        assert_eq!(stats.finished as usize, self.clients.len(), "seed {seed}");
    }

    fn check_outputs(&self, seed: u64) {
        for (idx, client) in self.clients.iter().enumerate() {
            let received = client.receiver.received();
            let (tokens, reason) = generate(&client.submission, |tokens| self.model.logits_after(tokens));
            let finish = received
                .finish
                .unwrap_or_else(|| panic!("seed {seed}: {idx} heard no end"));
            let is_whole = finish.reason != Reason::Cancelled;
            assert!(
                is_whole || received.closed,
                "seed {seed}: {idx} was cancelled without leaving"
            );
            if is_whole && !received.closed {
                let ended = u32::from(matches!(reason, Reason::EndToken(_))) as usize;
                let expected = Finish {
                    reason,
                    n_prompt: client.submission.prompt.len(),
                    n_cached: finish.n_cached,
                    n_generated: tokens.len() + ended,
                };
                assert_eq!(
                    (&received.tokens, finish),
                    (&tokens, expected),
                    "seed {seed}: sequence {idx}"
                );
            }
            assert!(
                tokens.starts_with(&received.tokens),
                "seed {seed}: sequence {idx}"
            );
            assert!(
                finish.n_cached < client.submission.prompt.len(),
                "seed {seed}: sequence {idx}"
            );
        }
    }
}

#[test]
fn any_schedule_gives_each_sequence_what_it_gets_alone() {
    let (mut n_preemptions, mut n_hits, mut n_cancelled) = (0, 0, 0);
    for seed in 0..n_schedules() {
        let mut simulation = Simulation::new(seed);
        for step in 0..60 {
            simulation.advance(seed, step < 40);
        }
        simulation.run_out(seed);
        simulation.check_outputs(seed);
        let stats = simulation.stepper.stats();
        n_preemptions += stats.preemptions;
        n_hits += stats.prefix_hit_tokens;
        n_cancelled += stats.cancelled;
    }
    // Otherwise the schedules would not test what they are meant to.
    assert!(
        n_preemptions > 100 && n_hits > 10_000 && n_cancelled > 100,
        "{n_preemptions} {n_hits} {n_cancelled}"
    );
}

/// `TOKENMILL_SCHEDULES=n` runs more than the few hundred that every test run affords.
fn n_schedules() -> u64 {
    std::env::var("TOKENMILL_SCHEDULES")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(300)
}
