//! Worker threads: created once, woken for each parallel step, asleep when there is nothing to do.
//!
//! A step on a small model lasts tens of microseconds and there are hundreds per token, so workers spin for a while
//! after each one and sleep only when no next one comes. Work is cut into one contiguous range per worker, so that
//! each streams its own memory, and claimed in pieces: a worker that is done takes pieces from the end of the range of
//! another, so that one preempted thread does not hold up all; one that has not even begun when all is claimed is not
//! waited for.

use std::any::Any;
use std::cell::Cell;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::isa::Isa;

/// How long to spin for the next step before sleeping: covers the serial work between the steps of a forward pass.
const SPIN: Duration = Duration::from_micros(50);
/// How long a worker computes before it yields its processor between two steps: sooner than the system takes it away, which
/// would most likely be in the middle of a piece that all others then wait for. Where nobody else wants the processor, yielding
/// takes less than a microsecond.
const TURN: Duration = Duration::from_micros(1_000);
/// How often to look before yielding the processor for the first time: some microseconds.
const WATCHES: usize = 200;

/// A fixed set of workers, the calling thread being worker 0.
///
/// One parallel step runs at a time; callers on several threads take turns.
pub struct Pool {
    shared: Arc<Shared>,
    turn: Mutex<()>,
    threads: Vec<JoinHandle<()>>,
    isa: Isa,
}

type Task<'a> = &'a (dyn Fn(usize) + Sync);

struct Shared {
    /// The current step, a [`Gate`]; a new one wakes the workers.
    gate: Padded<AtomicU64>,
    /// Valid while the gate is open or a worker is inside.
    task: Mutex<Option<Task<'static>>>,
    /// Per worker: the part of its range that nobody has claimed, start in the high half and end in the low one.
    unclaimed: Vec<Padded<AtomicU64>>,
    stop: AtomicBool,
    workers_asleep: Sleepers,
    caller_asleep: Sleepers,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    spin: Duration,
}

/// Its own cache lines (two: the prefetcher fetches pairs), so that a write here slows no neighbour.
#[repr(align(128))]
struct Padded<T>(T);

/// The state of a step in a word: its number in the upper half, then 15 bits of workers that have entered, 1 bit for
/// whether more may, and 16 bits of workers that are inside.
#[derive(Clone, Copy)]
struct Gate(u64);

impl Gate {
    const ENTERED: u64 = 1 << 17;
    const OPEN: u64 = 1 << 16;
    const MOST_WORKERS: usize = (1 << 15) - 1;

    fn step(self) -> u64 {
        self.0 >> 32
    }

    fn entered(self) -> usize {
        (self.0 & 0xffff_ffff) as usize >> 17
    }

    fn is_open(self) -> bool {
        self.0 & Gate::OPEN != 0
    }

    fn inside(self) -> usize {
        (self.0 & 0xffff) as usize
    }

    /// The open gate of the next step; numbers wrap around.
    fn next(self) -> Gate {
        Gate((self.step() + 1) << 32 | Gate::OPEN)
    }
}

/// Who must have taken part before a step is over.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Attendance {
    /// All workers.
    Everyone,
    /// The caller: what it does not leave undone needs nobody.
    Caller,
}

thread_local! {
    static INSIDE_A_STEP: Cell<bool> = const { Cell::new(false) };
}

impl Pool {
    /// Starts `threads - 1` workers; the caller of each step is the last one.
    ///
    /// # Panics
    /// The system refuses to start a thread, or there are 32,768 or more.
    pub fn new(threads: NonZeroUsize, isa: Isa) -> Pool {
        assert!(isa.is_available(), "this CPU lacks {}", isa.name());
        let n = threads.get();
        assert!(n <= Gate::MOST_WORKERS, "at most {} threads", Gate::MOST_WORKERS);
        let shared = Arc::new(Shared::new(n, SPIN));
        let start = |worker| {
            let shared = Arc::clone(&shared);
            let name = format!("kernels-{worker}");
            thread::Builder::new()
                .name(name)
                .spawn(move || shared.work(worker))
                .expect("start a worker thread")
        };
        let threads = (1..n).map(start).collect();
        Pool {
            shared,
            turn: Mutex::new(()),
            threads,
            isa,
        }
    }

    /// As many threads as this process may use at once: its CPU affinity and its control group's quota, whichever is
    /// less; one if neither can be read.
    pub fn default_threads() -> NonZeroUsize {
        thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
    }

    /// The number of workers, the caller included.
    pub fn threads(&self) -> usize {
        self.threads.len() + 1
    }

    /// The instruction set that the kernels use in this pool.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// Runs `task(worker)` once for each worker in `0..threads()` and returns when all are done.
    ///
    /// # Panics
    /// If a worker panics, all others finish first; then the first panic goes on in the caller. Panics also if called
    /// from inside a task of any pool, which would wait for itself.
    pub fn run(&self, task: &(dyn Fn(usize) + Sync)) {
        let turn = self.take_turn();
        self.run_in_turn(&turn, Attendance::Everyone, task);
    }

    /// Splits `0..n_items` among the workers and runs `task(worker, range)` for each piece.
    ///
    /// Each worker has one contiguous share and claims it in pieces of an eighth of it, but at least `grain` items
    /// (at least one); a worker with nothing left claims from the end of the share of another. Which worker gets which
    /// piece differs from run to run, and one that comes late gets none, so a result must not depend on it. Work of at
    /// most `grain` items stays on the calling thread and wakes nobody.
    ///
    /// # Panics
    /// As [`Pool::run`]; also if there are 2^32 items or more.
    pub fn for_each_range(&self, n_items: usize, grain: usize, task: &(dyn Fn(usize, Range<usize>) + Sync)) {
        if n_items == 0 {
            return;
        }
        let n = self.threads();
        if n == 1 || n_items <= grain {
            return task(0, 0..n_items);
        }
        let turn = self.take_turn();
        let piece = (n_items / (n * 8)).max(grain).max(1);
        for (worker, unclaimed) in self.shared.unclaimed.iter().enumerate() {
            unclaimed
                .0
                .store(pack(&share(n_items, n, worker)), Ordering::Relaxed);
        }
        self.run_in_turn(&turn, Attendance::Caller, &|worker| {
            while let Some(range) = self.shared.claim(worker, piece) {
                task(worker, range);
            }
        });
    }

    /// Cuts `data` into items of `item_len` elements and gives each worker runs of whole items: `task(first, items)`
    /// gets the index of the first item and the elements of the run. `grain` is the least number of items worth a
    /// worker's while.
    ///
    /// # Panics
    /// As [`Pool::for_each_range`]; also if `item_len` is zero or does not divide the length of `data`.
    pub fn for_each_chunk<T: Send>(
        &self,
        data: &mut [T],
        item_len: usize,
        grain: usize,
        task: impl Fn(usize, &mut [T]) + Sync,
    ) {
        assert!(
            item_len > 0 && data.len().is_multiple_of(item_len),
            "data holds no whole number of items"
        );
        let n_items = data.len() / item_len;
        let parts = SharedSlice::new(data);
        self.for_each_range(n_items, grain, &|_, range| {
            let elements = range.start * item_len..range.end * item_len;
            // SAFETY: `for_each_range` hands out each item exactly once, so no other worker holds any of these
            // elements; `data` is borrowed mutably until it returns.
            let items = unsafe { parts.range_mut(elements) };
            task(range.start, items);
        });
    }

    fn take_turn(&self) -> MutexGuard<'_, ()> {
        assert!(
            !INSIDE_A_STEP.get(),
            "a task of a pool must not start a parallel step: it would wait for itself"
        );
        lock(&self.turn)
    }

    fn run_in_turn(&self, _turn: &MutexGuard<'_, ()>, attendance: Attendance, task: Task<'_>) {
        let shared = &*self.shared;
        if self.threads.is_empty() {
            return inside_a_step(|| task(0));
        }
        // SAFETY: only the lifetime is changed. Workers use the task between entering and leaving the gate; this function
        // closes the gate and waits until nobody is inside before it returns or unwinds, so the task outlives each use.
        let lasting = unsafe { std::mem::transmute::<Task<'_>, Task<'static>>(task) };
        *lock(&shared.task) = Some(lasting);
        shared.gate.0.store(shared.gate().next().0, Ordering::SeqCst);
        shared.workers_asleep.wake();
        let own = catch_unwind(AssertUnwindSafe(|| inside_a_step(|| task(0))));
        if attendance == Attendance::Everyone {
            let all_left = |gate: Gate| gate.entered() == self.threads.len() && gate.inside() == 0;
            shared
                .caller_asleep
                .wait_until(shared.spin, || all_left(shared.gate()));
        }
        shared.gate.0.fetch_and(!Gate::OPEN, Ordering::SeqCst);
        shared
            .caller_asleep
            .wait_until(shared.spin, || shared.gate().inside() == 0);
        *lock(&shared.task) = None;
        let theirs = lock(&shared.panic).take();
        if let Some(panic) = own.err().or(theirs) {
            resume_unwind(panic);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        // A closed gate: there is no task.
        let next = self.shared.gate().next().0 & !Gate::OPEN;
        self.shared.gate.0.store(next, Ordering::SeqCst);
        self.shared.workers_asleep.wake();
        for thread in self.threads.drain(..) {
            // A worker catches the panics of its tasks and has no other way to fail.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn new(n_workers: usize, spin: Duration) -> Shared {
        Shared {
            gate: Padded(AtomicU64::new(0)),
            task: Mutex::new(None),
            unclaimed: (0..n_workers).map(|_| Padded(AtomicU64::new(0))).collect(),
            stop: AtomicBool::new(false),
            workers_asleep: Sleepers::default(),
            caller_asleep: Sleepers::default(),
            panic: Mutex::new(None),
            spin,
        }
    }

    fn gate(&self) -> Gate {
        Gate(self.gate.0.load(Ordering::SeqCst))
    }

    fn work(&self, worker: usize) {
        let mut seen = 0;
        let mut spin = self.spin;
        let mut turn = Instant::now();
        loop {
            if turn.elapsed() > TURN {
                thread::yield_now();
                turn = Instant::now();
            }
            self.workers_asleep
                .wait_until(spin, || self.gate().step() != seen);
            if self.stop.load(Ordering::SeqCst) {
                return;
            }
            let (step, entered) = self.enter();
            seen = step;
            if !entered {
                continue;
            }
            let task = *lock(&self.task);
            if let Some(task) = task
                && let Err(panic) = catch_unwind(AssertUnwindSafe(|| inside_a_step(|| task(worker))))
            {
                lock(&self.panic).get_or_insert(panic);
            }
            let last = Gate(self.gate.0.fetch_sub(1, Ordering::SeqCst)).inside() == 1;
            // A caller that has slept meanwhile needs a processor, and there may be none but this one.
            spin = if last && self.caller_asleep.wake() {
                Duration::ZERO
            } else {
                self.spin
            };
        }
    }

    /// The current step, and whether it was still open. The caller has not entered it before.
    fn enter(&self) -> (u64, bool) {
        let mut gate = self.gate();
        while gate.is_open() {
            let entered = gate.0 + Gate::ENTERED + 1;
            match self
                .gate
                .0
                .compare_exchange_weak(gate.0, entered, Ordering::SeqCst, Ordering::SeqCst)
            {
                Ok(_) => return (gate.step(), true),
                Err(now) => gate = Gate(now),
            }
        }
        (gate.step(), false)
    }

    /// The next piece for this worker: from the front of its own share, then from the end of the fullest other one.
    fn claim(&self, worker: usize, piece: usize) -> Option<Range<usize>> {
        let own = take(&self.unclaimed[worker].0, |left| {
            left.start..left.end.min(left.start + piece)
        });
        if own.is_some() {
            return own;
        }
        loop {
            let left = |other: &&Padded<AtomicU64>| unpack(other.0.load(Ordering::Relaxed)).len();
            let fullest = self.unclaimed.iter().max_by_key(left)?;
            if left(&fullest) == 0 {
                return None;
            }
            let stolen = take(&fullest.0, |left| {
                left.start.max(left.end.saturating_sub(piece))..left.end
            });
            if stolen.is_some() {
                return stolen;
            }
        }
    }
}

/// Takes from a share what `choose` picks of what is left: a piece at its front or at its end.
fn take(unclaimed: &AtomicU64, choose: impl Fn(&Range<usize>) -> Range<usize>) -> Option<Range<usize>> {
    let mut seen = unclaimed.load(Ordering::Relaxed);
    loop {
        let left = unpack(seen);
        if left.is_empty() {
            return None;
        }
        let taken = choose(&left);
        let rest = if taken.start == left.start {
            taken.end..left.end
        } else {
            left.start..taken.start
        };
        // The claim itself carries no data between workers: the start of the step published all inputs.
        match unclaimed.compare_exchange_weak(seen, pack(&rest), Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => return Some(taken),
            Err(now) => seen = now,
        }
    }
}

fn pack(range: &Range<usize>) -> u64 {
    let half = |index: usize| u64::from(u32::try_from(index).expect("a parallel step has under 2^32 items"));
    half(range.start) << 32 | half(range.end)
}

fn unpack(packed: u64) -> Range<usize> {
    (packed >> 32) as usize..(packed & 0xffff_ffff) as usize
}

/// The contiguous share of one worker of `n_items`; the shares differ by at most one item and cover all.
pub fn share(n_items: usize, n_workers: usize, worker: usize) -> Range<usize> {
    debug_assert!(worker < n_workers);
    let (each, extra) = (n_items / n_workers, n_items % n_workers);
    let start = each * worker + extra.min(worker);
    start..start + each + usize::from(worker < extra)
}

fn inside_a_step<R>(task: impl FnOnce() -> R) -> R {
    struct Leave;
    impl Drop for Leave {
        fn drop(&mut self) {
            INSIDE_A_STEP.set(false);
        }
    }
    INSIDE_A_STEP.set(true);
    let _leave = Leave;
    task()
}

/// A lock that a panic elsewhere cannot take away: what these guard is whole between any two statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Threads that wait for a condition: they spin first, then sleep.
#[derive(Default)]
struct Sleepers {
    count: AtomicUsize,
    mutex: Mutex<()>,
    woken: Condvar,
}

impl Sleepers {
    /// Waits until `ready`, which must read with `SeqCst` what the waker wrote with `SeqCst` before [`Sleepers::wake`].
    fn wait_until(&self, spin: Duration, ready: impl Fn() -> bool) {
        if spin_until(spin, &ready) {
            return;
        }
        let mut guard = lock(&self.mutex);
        // In one total order either this increment comes before the waker's look at the count, and the waker notifies,
        // or the waker's write comes before our look at the condition, and we do not sleep.
        self.count.fetch_add(1, Ordering::SeqCst);
        while !ready() {
            guard = self.woken.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
        self.count.fetch_sub(1, Ordering::SeqCst);
    }

    /// Wakes those who sleep; returns whether anybody did.
    fn wake(&self) -> bool {
        let any = self.count.load(Ordering::SeqCst) > 0;
        if any {
            // Taking the lock makes sure that a sleeper is either before its look at the condition or in its wait.
            drop(lock(&self.mutex));
            self.woken.notify_all();
        }
        any
    }
}

/// Watches first; then yields the processor between looks, to a thread of ours perhaps that has been put on the same one.
fn spin_until(spin: Duration, ready: &impl Fn() -> bool) -> bool {
    if ready() {
        return true;
    }
    if spin.is_zero() {
        return false;
    }
    for _ in 0..WATCHES {
        std::hint::spin_loop();
        if ready() {
            return true;
        }
    }
    let start = Instant::now();
    loop {
        thread::yield_now();
        if ready() {
            return true;
        }
        if start.elapsed() > spin {
            return false;
        }
    }
}

/// A slice whose parts go to different workers.
pub(crate) struct SharedSlice<'a, T> {
    start: *mut T,
    len: usize,
    owner: std::marker::PhantomData<&'a mut [T]>,
}

// SAFETY: it is a `&mut [T]` handed to several threads in parts; `range_mut` puts disjointness on its caller. Sending
// parts of it to other threads needs `T: Send`.
unsafe impl<T: Send> Sync for SharedSlice<'_, T> {}

impl<'a, T> SharedSlice<'a, T> {
    pub(crate) fn new(data: &'a mut [T]) -> SharedSlice<'a, T> {
        SharedSlice {
            start: data.as_mut_ptr(),
            len: data.len(),
            owner: std::marker::PhantomData,
        }
    }

    /// The elements of this range.
    ///
    /// # Safety
    /// While the result lives, nobody else holds an element of the range.
    ///
    /// # Panics
    /// The range leaves the slice.
    #[expect(
        clippy::mut_from_ref,
        reason = "the promise of disjoint ranges stands in for the borrow checker"
    )]
    pub(crate) unsafe fn range_mut(&self, range: Range<usize>) -> &mut [T] {
        assert!(
            range.start <= range.end && range.end <= self.len,
            "a part outside its slice"
        );
        // SAFETY: in bounds by the assertion, and not shared by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }
}

#[cfg(test)]
mod tests;
