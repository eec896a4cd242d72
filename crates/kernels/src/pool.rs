//! Worker threads: created once, woken for each parallel step, asleep when there is nothing to do.
//!
//! A step on a small model lasts tens of microseconds and there are hundreds per token, so workers spin for a while
//! after each one and sleep only when no next one comes. Work is cut into one contiguous range per worker, so that
//! each streams its own memory, and claimed in pieces: a worker that is done takes pieces from the end of the range of
//! another, so that one preempted thread does not hold up all.

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
    /// Counts the steps; a change wakes the workers.
    step: Padded<AtomicU64>,
    /// Workers that have not finished the current step.
    busy: Padded<AtomicUsize>,
    /// Valid while `busy` is not zero.
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

thread_local! {
    static INSIDE_A_STEP: Cell<bool> = const { Cell::new(false) };
}

impl Pool {
    /// Starts `threads - 1` workers; the caller of each step is the last one.
    ///
    /// # Panics
    /// The system refuses to start a thread.
    pub fn new(threads: NonZeroUsize, isa: Isa) -> Pool {
        assert!(isa.is_available(), "this CPU lacks {}", isa.name());
        let n = threads.get();
        // With more workers than processors a spinning worker only keeps a working one waiting.
        let spin = if n <= Pool::default_threads().get() {
            SPIN
        } else {
            Duration::ZERO
        };
        let shared = Arc::new(Shared::new(n, spin));
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
        self.run_in_turn(&turn, task);
    }

    /// Splits `0..n_items` among the workers and runs `task(worker, range)` for each piece.
    ///
    /// Each worker has one contiguous share and claims it in pieces of an eighth of it, but at least `grain` items
    /// (at least one); a worker with nothing left claims from the end of the share of another. Which worker gets which
    /// piece differs from run to run, so a result must not depend on it. Work of at most `grain` items stays on the
    /// calling thread and wakes nobody.
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
        self.run_in_turn(&turn, &|worker| {
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

    fn run_in_turn(&self, _turn: &MutexGuard<'_, ()>, task: Task<'_>) {
        let shared = &*self.shared;
        if self.threads.is_empty() {
            return inside_a_step(|| task(0));
        }
        // SAFETY: only the lifetime is changed. The workers use the task while `busy` is not zero; this function waits
        // for zero before it returns or unwinds, so the task outlives each use. `step` makes no worker start late: one
        // that has not yet seen the step still counts as busy.
        let lasting = unsafe { std::mem::transmute::<Task<'_>, Task<'static>>(task) };
        *lock(&shared.task) = Some(lasting);
        shared.busy.0.store(self.threads.len(), Ordering::Relaxed);
        shared.step.0.fetch_add(1, Ordering::SeqCst);
        shared.workers_asleep.wake();
        let own = catch_unwind(AssertUnwindSafe(|| inside_a_step(|| task(0))));
        shared
            .caller_asleep
            .wait_until(shared.spin, || shared.busy.0.load(Ordering::SeqCst) == 0);
        *lock(&shared.task) = None;
        let theirs = lock(&shared.panic).take();
        if let Some(panic) = own.err().or(theirs) {
            resume_unwind(panic);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.shared.step.0.fetch_add(1, Ordering::SeqCst);
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
            step: Padded(AtomicU64::new(0)),
            busy: Padded(AtomicUsize::new(0)),
            task: Mutex::new(None),
            unclaimed: (0..n_workers).map(|_| Padded(AtomicU64::new(0))).collect(),
            stop: AtomicBool::new(false),
            workers_asleep: Sleepers::default(),
            caller_asleep: Sleepers::default(),
            panic: Mutex::new(None),
            spin,
        }
    }

    fn work(&self, worker: usize) {
        let mut seen = 0;
        loop {
            self.workers_asleep
                .wait_until(self.spin, || self.step.0.load(Ordering::SeqCst) != seen);
            seen += 1;
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            let task = *lock(&self.task);
            if let Some(task) = task
                && let Err(panic) = catch_unwind(AssertUnwindSafe(|| inside_a_step(|| task(worker))))
            {
                lock(&self.panic).get_or_insert(panic);
            }
            if self.busy.0.fetch_sub(1, Ordering::SeqCst) == 1 {
                self.caller_asleep.wake();
            }
        }
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

    fn wake(&self) {
        if self.count.load(Ordering::SeqCst) > 0 {
            // Taking the lock makes sure that a sleeper is either before its look at the condition or in its wait.
            drop(lock(&self.mutex));
            self.woken.notify_all();
        }
    }
}

fn spin_until(spin: Duration, ready: &impl Fn() -> bool) -> bool {
    if ready() {
        return true;
    }
    if spin.is_zero() {
        return false;
    }
    let start = Instant::now();
    loop {
        for _ in 0..32 {
            std::hint::spin_loop();
            if ready() {
                return true;
            }
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
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;

    fn pool(threads: usize) -> Pool {
        Pool::new(NonZeroUsize::new(threads).unwrap(), Isa::Scalar)
    }

    #[test]
    fn each_worker_runs_each_task_once_over_many_steps() {
        for threads in [1, 2, 3, 9] {
            let pool = pool(threads);
            let counts: Vec<AtomicU32> = (0..threads).map(|_| AtomicU32::new(0)).collect();
            let steps = if threads <= 2 { 20_000 } else { 2_000 };
            for step in 1..=steps {
                pool.run(&|worker| {
                    counts[worker].fetch_add(1, Ordering::Relaxed);
                });
                assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == step));
            }
        }
    }

    #[test]
    fn ranges_cover_all_items_once_whatever_the_grain() {
        for threads in [1, 2, 5] {
            let pool = pool(threads);
            for n_items in [0, 1, 2, 7, 100, 1001] {
                for grain in [0, 1, 3, 64, 5000] {
                    let seen: Vec<AtomicU32> = (0..n_items).map(|_| AtomicU32::new(0)).collect();
                    pool.for_each_range(n_items, grain, &|worker, range| {
                        assert!(worker < threads && !range.is_empty());
                        for item in range {
                            seen[item].fetch_add(1, Ordering::Relaxed);
                        }
                    });
                    assert!(seen.iter().all(|count| count.load(Ordering::Relaxed) == 1));
                }
            }
        }
    }

    #[test]
    fn a_stalled_worker_loses_the_rest_of_its_share_to_the_others() {
        let pool = pool(2);
        let done = AtomicUsize::new(0);
        let n_items = 1000;
        pool.for_each_range(n_items, 1, &|worker, range| {
            if worker == 1 {
                // Holds one piece until everything else is done by the other worker.
                while done.load(Ordering::SeqCst) + range.len() < n_items {
                    thread::yield_now();
                }
            }
            done.fetch_add(range.len(), Ordering::SeqCst);
        });
        assert_eq!(done.into_inner(), n_items);
    }

    #[test]
    fn chunks_are_written_in_place() {
        let pool = pool(3);
        let mut data = vec![0_u32; 7 * 143];
        pool.for_each_chunk(&mut data, 7, 2, |first, items| {
            for (i, item) in items.chunks_exact_mut(7).enumerate() {
                item.fill((first + i) as u32);
            }
        });
        assert!(data.iter().enumerate().all(|(i, &value)| value as usize == i / 7));
    }

    #[test]
    fn a_panic_reaches_the_caller_after_all_others_finished_and_the_pool_lives_on() {
        let pool = pool(4);
        for faulty in 0..4 {
            let finished = AtomicUsize::new(0);
            let result = catch_unwind(AssertUnwindSafe(|| {
                pool.run(&|worker| {
                    assert!(worker != faulty, "worker {worker} fails");
                    thread::yield_now();
                    finished.fetch_add(1, Ordering::SeqCst);
                });
            }));
            let message = *result.unwrap_err().downcast::<String>().unwrap();
            assert_eq!(message, format!("worker {faulty} fails"));
            assert_eq!(finished.into_inner(), 3);
        }
        pool.run(&|_| {});
    }

    #[test]
    fn a_step_inside_a_step_is_refused_rather_than_waiting_for_itself() {
        let pool = pool(2);
        let result = catch_unwind(AssertUnwindSafe(|| pool.run(&|_| pool.run(&|_| {}))));
        assert!(result.is_err());
        pool.run(&|_| {});
    }

    #[test]
    fn callers_on_several_threads_take_turns() {
        let pool = pool(2);
        let inside = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        pool.run(&|_| {
                            assert!(inside.fetch_add(1, Ordering::SeqCst) < 2);
                            inside.fetch_sub(1, Ordering::SeqCst);
                        });
                    }
                });
            }
        });
    }

    #[test]
    fn an_idle_pool_uses_no_processor_time() {
        let pool = pool(3);
        pool.run(&|_| {});
        // Every worker goes to sleep after its spin; wait for that by looking, not by the clock.
        while pool.shared.workers_asleep.count.load(Ordering::SeqCst) < 2 {
            thread::yield_now();
        }
    }

    #[test]
    fn shares_are_even_and_cover_everything() {
        for (n_items, n_workers) in [(0, 3), (1, 3), (10, 3), (16, 16), (1000, 7)] {
            let shares: Vec<_> = (0..n_workers)
                .map(|worker| share(n_items, n_workers, worker))
                .collect();
            assert_eq!(shares[0].start, 0);
            assert_eq!(shares[n_workers - 1].end, n_items);
            assert!(
                shares
                    .windows(2)
                    .all(|pair| pair[0].end == pair[1].start && pair[0].len() >= pair[1].len())
            );
            assert!(shares[0].len() <= shares[n_workers - 1].len() + 1);
        }
    }
}
