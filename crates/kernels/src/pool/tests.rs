//! Steps of pools of several sizes, with workers that stall, panic or stay away.

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
fn a_worker_that_does_not_come_is_not_waited_for() {
    let shared = Arc::new(Shared::new(2, Duration::ZERO));
    let absent = Arc::clone(&shared);
    let absent = thread::spawn(move || {
        while !absent.stop.load(Ordering::SeqCst) {
            thread::yield_now();
        }
    });
    let pool = Pool {
        shared,
        turn: Mutex::new(()),
        threads: vec![absent],
        isa: Isa::Scalar,
    };
    for n_items in [2, 1000] {
        let done = AtomicUsize::new(0);
        pool.for_each_range(n_items, 1, &|worker, range| {
            assert_eq!(worker, 0);
            done.fetch_add(range.len(), Ordering::SeqCst);
        });
        assert_eq!(done.into_inner(), n_items);
    }
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
