//! Sixteen numbers at a time, on any CPU.
//!
//! A kernel is written once, over the trait [`Lanes`]: a vector of 16 `f32`, held in one AVX-512 register, two AVX2
//! registers, four NEON registers or an array. Every operation rounds once per lane, as IEEE 754 says, and reductions
//! over lanes follow one fixed tree; therefore every instruction set gives the same bits, and the array is the twin
//! that tests compare with.
//!
//! A kernel is a [`Task`]; [`run`] compiles it once per instruction set and calls the one that the CPU has.

mod exp;
mod scalar;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;

use crate::isa::Isa;

/// Numbers in a vector, whatever the instruction set.
pub(crate) const LANES: usize = 16;

/// A vector of 16 `f32`.
///
/// The methods are free of `unsafe` for kernels to be readable; what makes them sound is that values of the
/// SIMD types are only made inside [`run`], after the CPU was checked. Nothing outside this folder names those types.
pub(crate) trait Lanes: Copy {
    /// Rows of accumulators that a kernel should keep at once: `ROWS` vectors, and a few more for operands, must
    /// fit the registers.
    const ROWS: usize;

    /// 16 words as they are multiplied by [`Lanes::add_pairs`].
    type Pairs: Copy;

    fn splat(value: f32) -> Self;
    fn load(from: &[f32; LANES]) -> Self;
    fn store(self, to: &mut [f32; LANES]);
    /// 16 words, each two bf16.
    fn load_pairs(from: &[u32; LANES]) -> Self::Pairs;
    /// The same, but zeros in the high halves.
    fn load_low_halves(from: &[u32; LANES]) -> Self::Pairs;
    /// To each lane the products of its word's halves with those of `factors`, first the high, then the low ones, each
    /// rounded once. Neither the products nor what they are added to may be so small that `f32` holds them with fewer bits:
    /// `vdpbf16ps`, which does this in one instruction, takes those for zero.
    fn add_pairs(self, pairs: Self::Pairs, factors: u32) -> Self;
    /// Bytes with signs as numbers.
    fn load_bytes(from: &[i8; LANES]) -> Self;
    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    fn div(self, other: Self) -> Self;
    /// `self * factor + addend`, rounded once.
    fn mul_add(self, factor: Self, addend: Self) -> Self;
    fn max(self, other: Self) -> Self;
    fn min(self, other: Self) -> Self;
    /// Each lane with `2^n` multiplied in, where `shifted` holds `n + 1.5 * 2^23`. The result must be a normal number.
    fn scale_by_power(self, shifted: Self) -> Self;
    /// Each lane to the nearest integer, of two the even one; lanes are in `0..2^31`.
    fn store_rounded(self, to: &mut [u32; LANES]);
    /// Zero where `x < limit`, else `self`.
    fn zero_where_below(self, x: Self, limit: Self) -> Self;

    /// Rounded to bf16, to nearest, ties to even. Not meant for NaN, which may become infinite.
    #[inline(always)]
    fn store_bf16(self, to: &mut [u16; LANES]) {
        let mut numbers = [0.0; LANES];
        self.store(&mut numbers);
        for (to, number) in to.iter_mut().zip(numbers) {
            *to = nearest_bf16(number.to_bits());
        }
    }

    /// The lanes added up: halves onto each other until one is left.
    #[inline(always)]
    fn sum(self) -> f32 {
        let mut lanes = [0.0; LANES];
        self.store(&mut lanes);
        for half in [8, 4, 2, 1] {
            for lane in 0..half {
                lanes[lane] += lanes[lane + half];
            }
        }
        lanes[0]
    }

    /// The greatest lane.
    #[inline(always)]
    fn greatest(self) -> f32 {
        let mut lanes = [0.0; LANES];
        self.store(&mut lanes);
        for half in [8, 4, 2, 1] {
            for lane in 0..half {
                lanes[lane] = if lanes[lane] > lanes[lane + half] {
                    lanes[lane]
                } else {
                    lanes[lane + half]
                };
            }
        }
        lanes[0]
    }

    /// `e^x`, see [`exp`](mod@exp).
    #[inline(always)]
    fn exp(self) -> Self {
        exp::exp(self)
    }
}

/// The upper half of a number's bits, rounded to nearest, ties to even.
#[inline(always)]
fn nearest_bf16(bits: u32) -> u16 {
    (bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16) as u16
}

/// How [`Lanes::Pairs`] are multiplied without an instruction for it: `load_bf16_pairs` gives lanes from the low and from
/// the high halves.
macro_rules! pairs_by_two_products {
    () => {
        type Pairs = (Self, Self);

        #[inline(always)]
        fn load_pairs(from: &[u32; LANES]) -> (Self, Self) {
            Self::load_bf16_pairs(from)
        }

        #[inline(always)]
        fn load_low_halves(from: &[u32; LANES]) -> (Self, Self) {
            (Self::load_bf16_pairs(from).0, Self::splat(0.0))
        }

        #[inline(always)]
        fn add_pairs(self, (low, high): (Self, Self), factors: u32) -> Self {
            let sum = high.mul_add(Self::splat(f32::from_bits(factors & 0xffff_0000)), self);
            low.mul_add(Self::splat(f32::from_bits(factors << 16)), sum)
        }
    };
}
use pairs_by_two_products;

/// Work that is compiled once per instruction set. `run` and all that it calls with the type `V` must be
/// `#[inline(always)]`, or it would be compiled without the instructions.
pub(crate) trait Task {
    fn run<V: Lanes>(self);
}

/// Runs `task` with the vectors of `isa`.
///
/// # Panics
/// If this CPU lacks `isa`.
pub(crate) fn run(isa: Isa, task: impl Task) {
    match isa {
        Isa::Scalar => task.run::<scalar::Array>(),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 | Isa::AvxVnni => avx2::run(task),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => avx512::run(task),
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => neon::run(task),
        #[allow(unreachable_patterns, reason = "which levels exist depends on the target")]
        other => panic!("this build has no code for {other:?}"),
    }
}

/// As [`run`], for tasks that multiply [`Lanes::Pairs`]: with the instruction for it where there is one.
pub(crate) fn run_pairs(isa: Isa, task: impl Task) {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 if avx512::multiplies_pairs() => avx512::run_pairs(task),
        _ => run(isa, task),
    }
}

/// Asks for what lies so many bytes behind `from`, which need not be there: a hint alone.
#[inline(always)]
pub(crate) fn prefetch<T>(from: &T, bytes: usize) {
    let ahead = std::ptr::from_ref(from).cast::<i8>().wrapping_add(bytes);
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the instruction is in every x86-64 CPU, and reads nothing that the program could see.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(ahead);
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = ahead;
}

/// The first 16 numbers of `x`, from `at`.
#[inline(always)]
pub(crate) fn lanes_at<T>(x: &[T], at: usize) -> &[T; LANES] {
    x[at..].first_chunk().expect("a whole vector")
}

/// As [`lanes_at`], to write.
#[inline(always)]
pub(crate) fn lanes_at_mut<T>(x: &mut [T], at: usize) -> &mut [T; LANES] {
    x[at..].first_chunk_mut().expect("a whole vector")
}

#[cfg(test)]
pub(crate) mod tests;
