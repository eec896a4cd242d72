//! How near the products come to what this machine can do: for each format, number of tokens and number of threads, the
//! weights read in GB/s and the arithmetic in GOPS, and both as parts of what the same run measured as possible.
//!
//!     cargo run --release -p tokenmill-kernels --example roofline [-- FORMAT,.. [TOKENS,.. [THREADS,.. [MEGABYTES]]]]
//!
//! Weights take 160 MB, more than any cache, unless told otherwise: with 1, products show what they cost where no memory is
//! waited for. Each figure is the best of many short windows, so that it means something on a machine that others use too.

#![expect(clippy::print_stdout, reason = "a program that prints a table")]

use std::hint::black_box;
use std::num::NonZeroUsize;

use tokenmill_kernels::isa::Isa;
use tokenmill_kernels::matmul::{MatmulScratch, Matrix, Product, matmul};
use tokenmill_kernels::peaks::{Peaks, best};
use tokenmill_kernels::pool::Pool;
use tokenmill_kernels::quant::{FORMATS, Format};

/// Few enough for the windows to be shorter than a time slice.
const N_ROWS: usize = 1024;
const N_COLS: usize = 4096;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut list = |default: &str| {
        let words = arguments.next().unwrap_or_else(|| default.to_owned());
        words.split(',').map(str::to_owned).collect::<Vec<_>>()
    };
    let formats = list("Q4_0,Q8_0,Q4_K,Q6_K,BF16");
    let tokens: Vec<usize> = list("1,2,3,4,6,8,12,64")
        .iter()
        .map(|word| word.parse().expect("a number"))
        .collect();
    let threads: Vec<usize> = list("1,2")
        .iter()
        .map(|word| word.parse().expect("a number"))
        .collect();
    // The matrices take turns.
    let weight_bytes = list("160")[0].parse::<usize>().expect("a number") << 20;
    let isa = Isa::from_env().unwrap_or_else(|error| panic!("{error}"));
    println!("{} on {N_ROWS} x {N_COLS} weights", isa.name());
    println!("format  threads tokens      us |  GB/s  of DRAM |  GOPS  of peak | pack GB/s");
    for n_threads in threads {
        let pool = Pool::new(NonZeroUsize::new(n_threads).expect("at least one thread"), isa);
        let peaks = Peaks::measure(&pool);
        let (int8, floats) = (
            peaks.int8_gops.unwrap_or(f64::NAN),
            peaks.f32_gflops.unwrap_or(f64::NAN),
        );
        println!(
            "{n_threads} threads: {:.1} GB/s, {int8:.0} GOPS int8, {floats:.0} GFLOPS f32",
            peaks.read_gb_s
        );
        for name in &formats {
            let format = FORMATS
                .iter()
                .find(|format| format.name == name)
                .expect("a name of a format");
            let peak = if format.block_len == 1 { floats } else { int8 };
            bench_format(&pool, format, weight_bytes, &tokens, (peaks.read_gb_s, peak));
        }
    }
}

fn bench_format(
    pool: &Pool,
    format: &'static Format,
    weight_bytes: usize,
    tokens: &[usize],
    (bandwidth, peak): (f64, f64),
) {
    let row_bytes = format.row_bytes(N_COLS).expect("whole blocks");
    // Zero bits would be as fast; bits that vary show that nothing depends on them.
    let source: Vec<u8> = (0..N_ROWS * row_bytes).map(|i| (i * 31 % 61) as u8).collect();
    let pack = || Matrix::pack(pool, format, N_ROWS, N_COLS, &source).expect("the shape fits");
    let pack_seconds = best(|_| drop(black_box(pack())));
    let matrices: Vec<Matrix> = (0..weight_bytes.div_ceil(source.len())).map(|_| pack()).collect();
    for &n_tokens in tokens {
        let x: Vec<f32> = (0..n_tokens * N_COLS).map(|i| (i % 97) as f32 - 48.0).collect();
        let mut out = vec![0.0; n_tokens * N_ROWS];
        let mut scratch = MatmulScratch::default();
        let seconds = best(|turn| {
            let weights = &matrices[turn % matrices.len()];
            matmul(
                pool,
                &mut scratch,
                &x,
                n_tokens,
                &mut [Product {
                    weights,
                    out: &mut out,
                }],
            );
        });
        let speed = source.len() as f64 / seconds / 1e9;
        let arithmetic = (2 * n_tokens * N_ROWS * N_COLS) as f64 / seconds / 1e9;
        println!(
            "{:7} {:7} {n_tokens:6} {:7.0} | {speed:5.1}   {:4.0} %  | {arithmetic:5.0}   {:4.0} %  | {:5.1}",
            format.name,
            pool.threads(),
            seconds * 1e6,
            speed / bandwidth * 100.0,
            arithmetic / peak * 100.0,
            source.len() as f64 / pack_seconds / 1e9,
        );
    }
}
