//! One tenant with much to ask and one with little; and who goes first by priority.

mod support;

use std::sync::Arc;
use std::time::Duration;
use support::{Receiver, generate, options, pool, submission};
use tokenmill_engine::{Options, Progress, Stepper, Submission};
use tokenmill_testkit::RecallModel;

const N_VOCAB: usize = 60;

struct Run {
    model: Arc<RecallModel>,
    stepper: Stepper,
    asked: Vec<(Submission, Receiver)>,
}

impl Run {
    fn new() -> Run {
        let model = Arc::new(RecallModel::new(N_VOCAB, 512));
        let options = Options {
            max_running: 4,
            ..options(model.as_ref(), 40)
        };
        let mut now = Duration::ZERO;
        let stopwatch = move || {
            now += Duration::from_millis(1);
            now
        };
        let stepper =
            Stepper::new(model.clone(), pool(1), &options, Box::new(stopwatch)).expect("valid options");
        Run {
            model,
            stepper,
            asked: Vec::new(),
        }
    }

    fn submit(&mut self, n_prompt: usize, max_tokens: usize, tenant: u8, priority: i8) -> Receiver {
        let first = self.asked.len();
        let prompt = (0..n_prompt)
            .map(|at| ((first + at * 3) % N_VOCAB) as u32)
            .collect();
        let submission = Submission {
            tenant: [tenant; 32],
            priority,
            ..submission(prompt, max_tokens)
        };
        let receiver = Receiver::unbounded();
        self.stepper
            .submit(submission.clone(), receiver.sink())
            .expect("it fits");
        self.asked.push((submission, receiver.clone()));
        receiver
    }

    fn steps_until_done(&mut self, receiver: &Receiver) -> usize {
        let mut n_steps = 0;
        while receiver.received().finish.is_none() {
            assert_eq!(self.stepper.step(), Progress::Stepped);
            self.stepper.check_integrity().expect("all books add up");
            n_steps += 1;
        }
        n_steps
    }

    /// Runs to the end; everybody has what they get alone.
    fn finish(mut self) {
        while self.stepper.step() == Progress::Stepped {}
        for (submission, receiver) in &self.asked {
            let (tokens, _) = generate(submission, |tokens| self.model.logits_after(tokens));
            assert_eq!(receiver.received().tokens, tokens);
        }
    }
}

#[test]
fn a_light_tenant_does_not_wait_for_the_queue_of_a_heavy_one() {
    let mut run = Run::new();
    for _ in 0..30 {
        run.submit(90, 100, 1, 0);
    }
    for _ in 0..20 {
        run.stepper.step();
    }
    let light = run.submit(30, 10, 2, 0);
    // A step for its prompt, one for each further token, and little more.
    let n_steps = run.steps_until_done(&light);
    assert!(n_steps <= 15, "{n_steps} steps");
    assert_eq!(run.stepper.stats().preemptions, 1);
    run.finish();
}

#[test]
fn a_tenant_that_asks_now_and_then_is_read_at_once_each_time() {
    let mut run = Run::new();
    for _ in 0..60 {
        run.submit(90, 100, 1, 0);
    }
    for _ in 0..8 {
        for _ in 0..60 {
            run.stepper.step();
        }
        // More than a step's rows, and two places' pages.
        let light = run.submit(200, 1, 2, 0);
        let n_steps = run.steps_until_done(&light);
        assert!(n_steps <= 4, "{n_steps} steps");
    }
    run.finish();
}

#[test]
fn two_tenants_with_much_to_ask_get_on_alike() {
    let mut run = Run::new();
    let heavy: Vec<Receiver> = (0..30).map(|_| run.submit(90, 40, 1, 0)).collect();
    let other: Vec<Receiver> = (0..6).map(|_| run.submit(90, 40, 2, 0)).collect();
    for receiver in &other {
        run.steps_until_done(receiver);
    }
    let n_done = heavy
        .iter()
        .filter(|receiver| receiver.received().finish.is_some())
        .count();
    assert!(
        (3..=12).contains(&n_done),
        "{n_done} of the heavy tenant's were done with the other's 6"
    );
    run.finish();
}

#[test]
fn a_higher_priority_goes_before_everyone() {
    let mut run = Run::new();
    for tenant in 0..8 {
        run.submit(50, 60, tenant, 0);
    }
    for _ in 0..5 {
        run.stepper.step();
    }
    let urgent = run.submit(20, 5, 0, 1);
    let n_steps = run.steps_until_done(&urgent);
    assert!(n_steps <= 7, "{n_steps} steps");
    run.finish();
}
