//! The engine's thread and the handle to it: commands in, wake-ups, statistics out.

use crate::step::{Progress, Stepper, Stopwatch};
use crate::{Options, Sink, StartError, Stats, Submission, SubmitError, TokenMask};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use tokenmill_kernels::pool::Pool;
use tokenmill_model::Model;

/// A running engine. Clones are handles to the same one; when the last is dropped the engine shuts down.
#[derive(Clone)]
pub struct Engine {
    thread: Arc<EngineThread>,
}

impl Engine {
    /// Reserves the pages and starts the engine's thread. Steps are timed by `stopwatch`.
    ///
    /// # Errors
    /// Options that cannot work, or memory or a thread that the system refuses.
    pub fn start(
        model: Arc<dyn Model>,
        pool: Arc<Pool>,
        options: Options,
        stopwatch: Stopwatch,
    ) -> Result<Engine, StartError> {
        Engine::start_with_draft_model(model, None, pool, options, stopwatch)
    }

    /// As [`Engine::start`], with a second model of the same tokens that guesses for the first; see
    /// [`Stepper::with_draft_model`].
    ///
    /// # Errors
    /// As [`Engine::start`].
    pub fn start_with_draft_model(
        model: Arc<dyn Model>,
        draft_model: Option<Arc<dyn Model>>,
        pool: Arc<Pool>,
        options: Options,
        stopwatch: Stopwatch,
    ) -> Result<Engine, StartError> {
        let capacity = options.max_running.saturating_add(options.max_waiting);
        let n_vocab = model.shape().n_vocab;
        let mut stepper = Stepper::new(model, pool, &options, stopwatch)?;
        if let Some(draft_model) = draft_model {
            stepper = stepper.with_draft_model(draft_model, &options)?;
        }
        let shared = Arc::new(Shared {
            n_vocab,
            max_sequences: capacity,
            max_tokens: stepper.max_sequence_tokens(),
            inbox: Mutex::new(Inbox {
                submissions: Vec::new(),
                checks: Vec::new(),
                woken: false,
                state: State::Running,
                n_in_stepper: 0,
                stats: stepper.stats(),
            }),
            signal: Condvar::new(),
        });
        let for_thread = Arc::clone(&shared);
        let handle = thread::Builder::new()
            .name("engine".to_owned())
            .spawn(move || for_thread.run(stepper))
            .map_err(StartError::Thread)?;
        Ok(Engine {
            thread: Arc::new(EngineThread {
                shared,
                handle: Mutex::new(Some(handle)),
            }),
        })
    }

    /// Queues a sequence. Its outputs go to `sink`, from the engine's thread.
    ///
    /// # Errors
    /// See [`SubmitError`]; nothing was queued then.
    pub fn submit(&self, submission: Submission, sink: Box<dyn Sink>) -> Result<(), SubmitError> {
        self.submit_masked(submission, None, sink)
    }

    /// Queues a sequence whose tokens a mask decides on.
    ///
    /// # Errors
    /// See [`SubmitError`]; nothing was queued then.
    pub fn submit_masked(
        &self,
        submission: Submission,
        mask: Option<Box<dyn TokenMask>>,
        sink: Box<dyn Sink>,
    ) -> Result<(), SubmitError> {
        let shared = &self.thread.shared;
        submission.check(shared.n_vocab, shared.max_tokens)?;
        let mut inbox = shared.lock();
        match inbox.state {
            State::Running => {}
            State::Stopping | State::Stopped => return Err(SubmitError::ShuttingDown),
            State::Failed => return Err(SubmitError::Failed),
        }
        let n_sequences = inbox.n_in_stepper + inbox.submissions.len();
        if n_sequences >= shared.max_sequences {
            return Err(SubmitError::QueueFull { n_sequences });
        }
        inbox.submissions.push((submission, mask, sink));
        shared.signal.notify_one();
        Ok(())
    }

    /// Whether it takes submissions: false once it is shut down or has failed, and it never is true again then.
    pub fn is_running(&self) -> bool {
        self.thread.shared.lock().state == State::Running
    }

    /// Numbers as of the last step.
    pub fn stats(&self) -> Stats {
        let inbox = self.thread.shared.lock();
        let mut stats = inbox.stats.clone();
        stats.waiting += inbox.submissions.len();
        stats
    }

    /// Recounts pages, sequences and queue between two steps of the running engine.
    ///
    /// # Errors
    /// What does not add up, or that the engine has stopped.
    pub fn check_integrity(&self) -> Result<(), String> {
        let (reply, answer) = mpsc::sync_channel(1);
        {
            let mut inbox = self.thread.shared.lock();
            if matches!(inbox.state, State::Stopped | State::Failed) {
                return Err("the engine has stopped".to_owned());
            }
            inbox.checks.push(reply);
            self.thread.shared.signal.notify_one();
        }
        answer
            .recv()
            .unwrap_or_else(|_| Err("the engine stopped while it was being checked".to_owned()))
    }

    /// Looks at the sinks again. See [`Waker::wake`].
    pub fn wake(&self) {
        self.thread.shared.wake();
    }

    /// Something that can wake this engine and does not keep it alive.
    pub fn waker(&self) -> Waker {
        Waker {
            shared: Arc::clone(&self.thread.shared),
        }
    }

    /// Ends: no more submissions; what runs or waits finishes as [`crate::Reason::Cancelled`] after the current step;
    /// the thread is joined (unless this is called from it, by a sink). Calling it again does nothing.
    pub fn shutdown(&self) {
        self.thread.shutdown();
    }
}

/// Wakes an engine that has nothing to do because the sinks of its sequences are full or were not known to be closed.
#[derive(Clone)]
pub struct Waker {
    shared: Arc<Shared>,
}

impl Waker {
    /// Makes the engine look at all sinks before its next step. Cheap; to be called when a full sink has room again
    /// and when a sink becomes closed.
    pub fn wake(&self) {
        self.shared.wake();
    }
}

/// Joins the thread when the last handle goes.
struct EngineThread {
    shared: Arc<Shared>,
    handle: Mutex<Option<JoinHandle<()>>>,
}

impl EngineThread {
    fn shutdown(&self) {
        {
            let mut inbox = self.shared.lock();
            if inbox.state == State::Running {
                inbox.state = State::Stopping;
            }
            self.shared.signal.notify_one();
        }
        let mut handle = self.handle.lock().unwrap_or_else(PoisonError::into_inner);
        if handle
            .as_ref()
            .is_some_and(|handle| handle.thread().id() == thread::current().id())
        {
            return;
        }
        if let Some(handle) = handle.take() {
            // The thread catches its own panics; what is left to fail here has no one to tell.
            let _ = handle.join();
        }
    }
}

impl Drop for EngineThread {
    fn drop(&mut self) {
        self.shutdown();
    }
}

/// What handles and thread share.
struct Shared {
    n_vocab: usize,
    /// Most sequences that run and wait together.
    max_sequences: usize,
    /// Most tokens of one sequence.
    max_tokens: usize,
    inbox: Mutex<Inbox>,
    signal: Condvar,
}

/// A submission, the mask that decides on its tokens, and where they go.
type Asked = (Submission, Option<Box<dyn TokenMask>>, Box<dyn Sink>);

struct Inbox {
    submissions: Vec<Asked>,
    checks: Vec<mpsc::SyncSender<Result<(), String>>>,
    woken: bool,
    state: State,
    /// Sequences that the thread has taken over and not finished, as of its last step.
    n_in_stepper: usize,
    stats: Stats,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Running,
    Stopping,
    Stopped,
    Failed,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        self.lock().woken = true;
        self.signal.notify_one();
    }

    /// The thread's whole life.
    fn run(&self, mut stepper: Stepper) {
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            while self.take_commands(&mut stepper) {
                let progress = stepper.step();
                self.publish(&stepper, progress);
            }
            stepper.cancel_all();
        }));
        let failed = outcome.is_err();
        if failed {
            // The stepper's books may be wrong now, so it only says goodbye. A sink that panics again ends that.
            let _ = catch_unwind(AssertUnwindSafe(|| stepper.fail_all()));
        }
        let mut inbox = self.lock();
        inbox.state = if failed { State::Failed } else { State::Stopped };
        inbox.stats = stepper.stats();
        inbox.n_in_stepper = 0;
        inbox.checks.clear();
        let refused = std::mem::take(&mut inbox.submissions);
        drop(inbox);
        let _ = catch_unwind(AssertUnwindSafe(|| {
            for (submission, _, mut sink) in refused {
                crate::step::finish_unstarted(&submission, sink.as_mut(), failed);
            }
        }));
    }

    /// Sleeps while there is nothing to do, then hands new submissions over. False when it is time to end.
    fn take_commands(&self, stepper: &mut Stepper) -> bool {
        let mut inbox = self.lock();
        while inbox.is_quiet() {
            inbox = self.signal.wait(inbox).unwrap_or_else(PoisonError::into_inner);
        }
        if inbox.state != State::Running {
            return false;
        }
        inbox.n_in_stepper += inbox.submissions.len();
        inbox.woken = false;
        let submissions = std::mem::take(&mut inbox.submissions);
        let checks = std::mem::take(&mut inbox.checks);
        drop(inbox);
        for (submission, mask, sink) in submissions {
            stepper.enqueue(submission, mask, sink);
        }
        for check in checks {
            // Whoever asked may have stopped listening.
            let _ = check.send(stepper.check_integrity());
        }
        true
    }

    fn publish(&self, stepper: &Stepper, progress: Progress) {
        let mut inbox = self.lock();
        inbox.n_in_stepper = stepper.n_sequences();
        inbox.stats = stepper.stats();
        inbox.woken |= progress == Progress::Stepped;
    }
}

impl Inbox {
    fn is_quiet(&self) -> bool {
        !self.woken && self.submissions.is_empty() && self.checks.is_empty() && self.state == State::Running
    }
}
