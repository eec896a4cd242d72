//! How the pool fares where processors are shared: beside a busy thread, with more threads than processors, and idle.
//!
//!     cargo run --release -p tokenmill-kernels --example sharing
//!
//! The work is that of small-model decoding: many products of one token with a megabyte of weights each. Speeds are
//! products per second, medians of windows.

#![expect(clippy::print_stdout, reason = "a program that prints a table")]

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tokenmill_kernels::isa::Isa;
use tokenmill_kernels::matmul::{MatmulScratch, Matrix, Product, matmul};
use tokenmill_kernels::pool::Pool;
use tokenmill_kernels::quant::FORMATS;

const N_ROWS: usize = 2048;
const N_COLS: usize = 1024;
const N_MATRICES: usize = 16;
const WINDOW: Duration = Duration::from_millis(500);
const WINDOWS: usize = 7;

fn main() {
    let cores = Pool::default_threads().get();
    let alone = speed(cores);
    println!("{cores} threads on {cores} processors: {alone:.0} products/s");
    let one = speed(1);
    println!("1 thread: {one:.0} products/s, {:.0} %", one / alone * 100.0);

    let stop = AtomicBool::new(false);
    let beside = thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        });
        let beside = speed(cores);
        stop.store(true, Ordering::Relaxed);
        beside
    });
    // The busy thread's fair share is half a processor.
    let fair = alone * (cores as f64 - 0.5) / cores as f64;
    println!(
        "{cores} threads beside a busy one: {beside:.0} products/s, {:.0} % of the fair share",
        beside / fair * 100.0
    );

    let many = speed(2 * cores);
    println!(
        "{} threads: {many:.0} products/s, {:.0} % of the speed of {cores}",
        2 * cores,
        many / alone * 100.0
    );
    match idle_share(cores) {
        Some(share) => println!("idle: {:.2} % of a processor", share * 100.0),
        None => println!("idle: this system does not tell"),
    }
}

/// Products per second.
fn speed(threads: usize) -> f64 {
    let work = Work::new(threads);
    let mut scratch = MatmulScratch::default();
    let mut speeds: Vec<f64> = (0..WINDOWS)
        .map(|_| {
            let (start, mut n) = (Instant::now(), 0);
            while start.elapsed() < WINDOW {
                n += work.round(&mut scratch);
            }
            n as f64 / start.elapsed().as_secs_f64()
        })
        .collect();
    speeds.sort_by(f64::total_cmp);
    speeds[WINDOWS / 2]
}

/// The part of one processor that a pool with nothing to do uses.
fn idle_share(threads: usize) -> Option<f64> {
    let work = Work::new(threads);
    work.round(&mut MatmulScratch::default());
    let (start, used) = (Instant::now(), processor_seconds()?);
    thread::sleep(Duration::from_secs(3));
    Some((processor_seconds()? - used) / start.elapsed().as_secs_f64())
}

/// What all threads of this process have used, at 100 ticks per second.
fn processor_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields = stat.rsplit_once(')')?.1.split_whitespace();
    let ticks: Vec<f64> = fields
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse().ok())
        .collect();
    Some(ticks.iter().sum::<f64>() / 100.0)
}

struct Work {
    pool: Pool,
    matrices: Vec<Matrix>,
    x: Vec<f32>,
}

impl Work {
    fn new(threads: usize) -> Work {
        let isa = Isa::from_env().unwrap_or_else(|error| panic!("{error}"));
        let pool = Pool::new(NonZeroUsize::new(threads).expect("at least one thread"), isa);
        let format = FORMATS
            .iter()
            .find(|format| format.name == "Q4_0")
            .expect("a format");
        let source = vec![0x31; N_ROWS * format.row_bytes(N_COLS).expect("whole blocks")];
        let pack = |_| Matrix::pack(&pool, format, N_ROWS, N_COLS, &source).expect("the shape fits");
        let matrices = (0..N_MATRICES).map(pack).collect();
        let x = (0..N_COLS).map(|i| (i % 97) as f32 - 48.0).collect();
        Work { pool, matrices, x }
    }

    /// One product with each matrix; returns how many those are.
    fn round(&self, scratch: &mut MatmulScratch) -> usize {
        let mut out = vec![0.0; N_ROWS];
        for weights in &self.matrices {
            let out = &mut out;
            matmul(&self.pool, scratch, &self.x, 1, &mut [Product { weights, out }]);
        }
        self.matrices.len()
    }
}
