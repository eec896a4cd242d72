//! How near the products come to what this machine can do: for each format, number of tokens and number of threads, the
//! weights read in GB/s and the arithmetic in GOPS, and both as parts of what the same run measured as possible.
//!
//!     cargo run --release -p tokenmill-kernels --example roofline [-- FORMAT,.. [TOKENS,.. [THREADS,..]]]
//!
//! Each figure is the best of many short windows, so that it means something on a machine that others use too.

#![expect(clippy::print_stdout, reason = "a program that prints a table")]

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use tokenmill_kernels::isa::Isa;
use tokenmill_kernels::matmul::{MatmulScratch, Matrix, Product, matmul};
use tokenmill_kernels::pool::Pool;
use tokenmill_kernels::quant::{FORMATS, Format};

/// Few enough for the windows to be shorter than a time slice.
const N_ROWS: usize = 1024;
const N_COLS: usize = 4096;
/// More than any cache: the matrices take turns.
const WEIGHT_BYTES: usize = 160 << 20;
const WINDOW: Duration = Duration::from_millis(250);

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
    let isa = Isa::from_env().unwrap_or_else(|error| panic!("{error}"));
    println!("{} on {N_ROWS} x {N_COLS} weights", isa.name());
    println!("format  threads tokens      us |  GB/s  of DRAM |  GOPS  of peak | pack GB/s");
    for n_threads in threads {
        let pool = Pool::new(NonZeroUsize::new(n_threads).expect("at least one thread"), isa);
        let bandwidth = read_bandwidth(&pool);
        let peaks = Peaks::measure(&pool);
        println!(
            "{n_threads} threads: {bandwidth:.1} GB/s, {:.0} GOPS int8, {:.0} GFLOPS f32",
            peaks.bytes, peaks.floats
        );
        for name in &formats {
            let format = FORMATS
                .iter()
                .find(|format| format.name == name)
                .expect("a name of a format");
            let peak = if format.block_len == 1 {
                peaks.floats
            } else {
                peaks.bytes
            };
            bench_format(&pool, format, &tokens, (bandwidth, peak));
        }
    }
}

fn bench_format(pool: &Pool, format: &'static Format, tokens: &[usize], (bandwidth, peak): (f64, f64)) {
    let row_bytes = format.row_bytes(N_COLS).expect("whole blocks");
    // Zero bits would be as fast; bits that vary show that nothing depends on them.
    let source: Vec<u8> = (0..N_ROWS * row_bytes).map(|i| (i * 31 % 61) as u8).collect();
    let pack = || Matrix::pack(pool, format, N_ROWS, N_COLS, &source).expect("the shape fits");
    let pack_seconds = best(|_| drop(black_box(pack())));
    let matrices: Vec<Matrix> = (0..WEIGHT_BYTES.div_ceil(source.len())).map(|_| pack()).collect();
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

/// The least time that `work` took, over a few hundred milliseconds; it is told the number of its turn.
fn best(mut work: impl FnMut(usize)) -> f64 {
    let (start, mut least, mut turn) = (Instant::now(), f64::MAX, 0);
    while turn < 3 || start.elapsed() < WINDOW {
        let window = Instant::now();
        work(turn);
        least = least.min(window.elapsed().as_secs_f64());
        turn += 1;
    }
    least
}

/// How fast all workers together read memory that is in no cache, through the simplest product: one token, 8 bits.
fn read_bandwidth(pool: &Pool) -> f64 {
    // Packed weights lie in huge pages, as those measured later do.
    let format = FORMATS
        .iter()
        .find(|format| format.name == "F32")
        .expect("a format");
    let n_rows = 2048;
    let source = vec![0; n_rows * 1024 * 4];
    let n_matrices = WEIGHT_BYTES / source.len();
    let matrices: Vec<Matrix> = (0..n_matrices)
        .map(|_| Matrix::pack(pool, format, n_rows, 1024, &source).expect("the shape fits"))
        .collect();
    let seconds = best(|turn| {
        let bytes = matrices[turn % n_matrices].packed_bytes();
        pool.run(&|worker| {
            let part = bytes.len() / pool.threads();
            black_box(sum(pool.isa(), &bytes[worker * part..][..part]));
        });
    });
    source.len() as f64 / seconds / 1e9
}

fn sum(isa: Isa, bytes: &[u8]) -> u64 {
    match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the CPU has AVX2, or there would be no pool for these.
        Isa::Avx2 | Isa::Avx512 => unsafe { x86::sum(bytes) },
        _ => sum_words(bytes),
    }
}

#[inline(always)]
fn sum_words(bytes: &[u8]) -> u64 {
    let mut sums = [0_u64; 32];
    for words in bytes.as_chunks::<256>().0 {
        for (sum, word) in sums.iter_mut().zip(words.as_chunks::<8>().0) {
            *sum ^= u64::from_ne_bytes(*word);
        }
    }
    sums.iter().fold(0, |all, sum| all ^ sum)
}

/// Arithmetic of all workers together from registers: products of bytes and of floats, two operations each.
struct Peaks {
    bytes: f64,
    floats: f64,
}

impl Peaks {
    fn measure(pool: &Pool) -> Peaks {
        const ROUNDS: usize = 100_000;
        let rate = |ops_per_round: fn(Isa, usize) -> f64| {
            let mut most = 0.0_f64;
            best(|_| {
                let start = Instant::now();
                let counts = std::sync::Mutex::new(0.0);
                pool.run(&|_| *counts.lock().expect("no panic inside") += ops_per_round(pool.isa(), ROUNDS));
                let ops = *counts.lock().expect("no panic inside");
                most = most.max(ops / start.elapsed().as_secs_f64() / 1e9);
            });
            most
        };
        Peaks {
            bytes: rate(byte_ops),
            floats: rate(float_ops),
        }
    }
}

/// Runs rounds of products of bytes and returns the number of operations.
fn byte_ops(isa: Isa, rounds: usize) -> f64 {
    match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the CPU has it, or there would be no pool for it.
        Isa::Avx2 => unsafe { x86::byte_ops_avx2(rounds) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the CPU has it, or there would be no pool for it.
        Isa::Avx512 => unsafe { x86::byte_ops_avx512(rounds) },
        _ => f64::NAN,
    }
}

fn float_ops(isa: Isa, rounds: usize) -> f64 {
    match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the CPU has it, or there would be no pool for it.
        Isa::Avx2 => unsafe { x86::float_ops_avx2(rounds) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the CPU has it, or there would be no pool for it.
        Isa::Avx512 => unsafe { x86::float_ops_avx512(rounds) },
        _ => f64::NAN,
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::asm;
    use std::arch::x86_64::*;
    use std::hint::black_box;

    #[target_feature(enable = "avx2")]
    pub(super) fn sum(bytes: &[u8]) -> u64 {
        super::sum_words(bytes)
    }

    /// 12 independent chains hide the latency of every CPU that we know.
    const CHAINS: usize = 12;

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn byte_ops_avx2(rounds: usize) -> f64 {
        let (mut a, b) = black_box((_mm256_set1_epi8(3), _mm256_set1_epi8(-5)));
        let mut sums = [_mm256_setzero_si256(); CHAINS];
        for _ in 0..rounds {
            for sum in &mut sums {
                // SAFETY: no instructions. The compiler must take it that `a` has changed, and multiply again.
                unsafe {
                    asm!("/* {0} */", inout(ymm_reg) a, options(pure, nomem, nostack, preserves_flags))
                };
                *sum = _mm256_add_epi16(*sum, _mm256_maddubs_epi16(a, b));
            }
        }
        black_box(sums);
        (rounds * CHAINS * 64) as f64
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    pub(super) fn byte_ops_avx512(rounds: usize) -> f64 {
        let (a, b) = black_box((_mm512_set1_epi8(3), _mm512_set1_epi8(-5)));
        let mut sums = [_mm512_setzero_si512(); CHAINS];
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = _mm512_dpbusd_epi32(*sum, a, b);
            }
        }
        black_box(sums);
        (rounds * CHAINS * 128) as f64
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn float_ops_avx2(rounds: usize) -> f64 {
        let (a, b) = black_box((_mm256_set1_ps(0.5), _mm256_set1_ps(0.25)));
        let mut sums = [_mm256_setzero_ps(); CHAINS];
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = _mm256_fmadd_ps(a, *sum, b);
            }
        }
        black_box(sums);
        (rounds * CHAINS * 16) as f64
    }

    #[target_feature(enable = "avx512f")]
    pub(super) fn float_ops_avx512(rounds: usize) -> f64 {
        let (a, b) = black_box((_mm512_set1_ps(0.5), _mm512_set1_ps(0.25)));
        let mut sums = [_mm512_setzero_ps(); CHAINS];
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = _mm512_fmadd_ps(a, *sum, b);
            }
        }
        black_box(sums);
        (rounds * CHAINS * 32) as f64
    }
}
