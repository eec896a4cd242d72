//! What this machine can do at best, measured: reading memory that is in no cache, and arithmetic from registers. Speeds
//! elsewhere are told as parts of these, because absolute numbers say little beyond the machine they were taken on.

use std::hint::black_box;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::arena::Arena;
use crate::isa::Isa;
use crate::pool::Pool;

/// More than any cache.
const READ_BYTES: usize = 256 << 20;
const WINDOW: Duration = Duration::from_millis(250);

/// Rates of all workers of a pool together, each the best of many short windows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Peaks {
    /// Reading memory in long streams, in 10^9 bytes a second.
    pub read_gb_s: f64,
    /// Products of bytes with their sums, two operations each, in 10^9 a second; `None` where this is not written for
    /// the instruction set.
    pub int8_gops: Option<f64>,
    /// The same of `f32`.
    pub f32_gflops: Option<f64>,
}

impl Peaks {
    /// Measures for about a second, with all workers of `pool`.
    pub fn measure(pool: &Pool) -> Peaks {
        Peaks {
            read_gb_s: read_bandwidth(pool),
            int8_gops: rate(pool, byte_ops),
            f32_gflops: rate(pool, float_ops),
        }
    }
}

/// The least time that `work` took, in seconds, over a quarter of a second and three turns at least; it is told the
/// number of its turn.
pub fn best(mut work: impl FnMut(usize)) -> f64 {
    let (start, mut least, mut turn) = (Instant::now(), f64::MAX, 0);
    while turn < 3 || start.elapsed() < WINDOW {
        let window = Instant::now();
        work(turn);
        least = least.min(window.elapsed().as_secs_f64());
        turn += 1;
    }
    least
}

fn rate(pool: &Pool, ops_per_round: fn(Isa, usize) -> Option<f64>) -> Option<f64> {
    const ROUNDS: usize = 100_000;
    let counts = Mutex::new(Some(0.0));
    let seconds = best(|_| {
        *counts.lock().unwrap_or_else(PoisonError::into_inner) = Some(0.0);
        pool.run(&|_| {
            let ops = ops_per_round(pool.isa(), ROUNDS);
            let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
            *counts = counts.zip(ops).map(|(sum, ops)| sum + ops);
        });
    });
    let ops = counts.into_inner().unwrap_or_else(PoisonError::into_inner);
    ops.map(|ops| ops / seconds / 1e9)
}

/// In huge pages where the system has them, as packed weights are.
fn read_bandwidth(pool: &Pool) -> f64 {
    let Ok(mut arena) = Arena::new(READ_BYTES) else {
        return f64::NAN;
    };
    // Memory that nobody wrote to is one page of zeros, which is in the cache.
    arena.bytes_mut().fill(1);
    let part = READ_BYTES / pool.threads();
    let seconds = best(|_| {
        pool.run(&|worker| {
            black_box(sum(pool.isa(), &arena.bytes()[worker * part..][..part]));
        });
    });
    (part * pool.threads()) as f64 / seconds / 1e9
}
fn sum(isa: Isa, bytes: &[u8]) -> u64 {
    match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the CPU has AVX2, or there would be no pool for these.
        Isa::Avx2 | Isa::AvxVnni | Isa::Avx512 => unsafe { x86::sum(bytes) },
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

/// Runs rounds of products of bytes and returns the number of operations; `None` where none was written for the CPU.
fn byte_ops(isa: Isa, rounds: usize) -> Option<f64> {
    match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the CPU has it, or there would be no pool for it.
        Isa::Avx2 => Some(unsafe { x86::byte_ops_avx2(rounds) }),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the CPU has it, or there would be no pool for it.
        Isa::AvxVnni => Some(unsafe { x86::byte_ops_avx_vnni(rounds) }),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the CPU has it, or there would be no pool for it.
        Isa::Avx512 => Some(unsafe { x86::byte_ops_avx512(rounds) }),
        _ => None,
    }
}

fn float_ops(isa: Isa, rounds: usize) -> Option<f64> {
    match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the CPU has it, or there would be no pool for it.
        Isa::Avx2 | Isa::AvxVnni => Some(unsafe { x86::float_ops_avx2(rounds) }),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the CPU has it, or there would be no pool for it.
        Isa::Avx512 => Some(unsafe { x86::float_ops_avx512(rounds) }),
        _ => None,
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

    #[target_feature(enable = "avx2,avxvnni")]
    pub(super) fn byte_ops_avx_vnni(rounds: usize) -> f64 {
        let (a, b) = black_box((_mm256_set1_epi8(3), _mm256_set1_epi8(-5)));
        let mut sums = [_mm256_setzero_si256(); CHAINS];
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = _mm256_dpbusd_avx_epi32(*sum, a, b);
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
