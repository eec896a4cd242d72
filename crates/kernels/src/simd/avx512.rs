//! One AVX-512 register.
//!
//! `vdpbf16ps` multiplies pairs of bf16 with twice the rate of `f32` (Zen 5: 520 of 279 GFLOPS a core). The manuals leave
//! open how it rounds; here it gave the bits of two fused products, high halves first, for 4 million random pairs, but zero for
//! numbers that are not normal. So it is used where a few hard pairs say the same, and where no such numbers occur.

use std::arch::x86_64::*;
use std::sync::LazyLock;

use super::{LANES, Lanes, Task};

/// Runs a task with AVX-512.
pub(super) fn run(task: impl Task) {
    assert!(is_x86_feature_detected!("avx512f"), "this CPU has no AVX-512");
    // SAFETY: the CPU has the feature, as just asserted.
    unsafe { run_with_features(task) }
}

#[target_feature(enable = "avx512f")]
fn run_with_features<T: Task>(task: T) {
    task.run::<Avx512<false>>();
}

/// Runs a task with AVX-512 and its instruction for pairs of bf16.
pub(super) fn run_pairs(task: impl Task) {
    assert!(
        multiplies_pairs(),
        "this CPU has no fitting product of bf16 pairs"
    );
    // SAFETY: the CPU has the features, as just asserted.
    unsafe { run_with_pairs(task) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
fn run_with_pairs<T: Task>(task: T) {
    task.run::<Avx512<true>>();
}

/// Whether the CPU has `vdpbf16ps` and it rounds as two fused products, high halves first.
pub(super) fn multiplies_pairs() -> bool {
    static ANSWER: LazyLock<bool> = LazyLock::new(|| {
        is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512bf16")
            // SAFETY: the CPU has the features, as just asked.
            && unsafe { rounds_as_two_products() }
    });
    *ANSWER
}

/// Tries pairs whose sum depends on the order and on each rounding.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
fn rounds_as_two_products() -> bool {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        // Exponents from -8 to 7, so that neither summand swallows the others.
        state & 0x807f_ffff | (119 + (state >> 23 & 15)) << 23
    };
    (0..1000).all(|_| {
        let (sum, pairs) = (f32::from_bits(next()), next() & 0xffff_0000 | next() >> 16);
        let factors = next() & 0xffff_0000 | next() >> 16;
        let (mut by_one, mut by_two) = ([0.0; LANES], [0.0; LANES]);
        let (one, two) = (Avx512::<true>::splat(sum), Avx512::<false>::splat(sum));
        let words = Avx512::<true>::load_pairs(&[pairs; LANES]);
        one.add_pairs(words, factors).store(&mut by_one);
        two.add_pairs(words, factors).store(&mut by_two);
        by_one.map(f32::to_bits) == by_two.map(f32::to_bits)
    })
}

/// Only made under [`run`], so wherever a value exists the CPU has AVX-512F: the promise that all `unsafe` blocks of
/// this file rest on. `PAIRS`: only made under [`run_pairs`] or its trial, so there is AVX-512 BF16 too.
#[derive(Clone, Copy)]
struct Avx512<const PAIRS: bool>(__m512);

impl<const PAIRS: bool> Lanes for Avx512<PAIRS> {
    // 12 of 32 registers accumulate: enough chains to hide the latency of FMA, few enough for pairs of vectors.
    const ROWS: usize = 12;

    #[inline(always)]
    fn splat(value: f32) -> Self {
        // SAFETY: AVX-512F is there, see the type.
        Avx512(unsafe { _mm512_set1_ps(value) })
    }

    #[inline(always)]
    fn load(from: &[f32; LANES]) -> Self {
        // SAFETY: AVX-512F is there, see the type; 16 numbers are readable.
        Avx512(unsafe { _mm512_loadu_ps(from.as_ptr()) })
    }

    #[inline(always)]
    fn store(self, to: &mut [f32; LANES]) {
        // SAFETY: AVX-512F is there, see the type; 16 numbers are writable.
        unsafe { _mm512_storeu_ps(to.as_mut_ptr(), self.0) }
    }

    type Pairs = __m512i;

    #[inline(always)]
    fn load_pairs(from: &[u32; LANES]) -> __m512i {
        // SAFETY: AVX-512F is there, see the type; 16 words are readable.
        unsafe { _mm512_loadu_si512(from.as_ptr().cast()) }
    }

    #[inline(always)]
    fn load_low_halves(from: &[u32; LANES]) -> __m512i {
        // SAFETY: AVX-512F is there, see the type; 16 words are readable.
        unsafe {
            _mm512_and_si512(
                _mm512_loadu_si512(from.as_ptr().cast()),
                _mm512_set1_epi32(0xffff),
            )
        }
    }

    #[inline(always)]
    fn add_pairs(self, pairs: __m512i, factors: u32) -> Self {
        // SAFETY: AVX-512F is there, and BF16 if `PAIRS`, see the type. The casts change types alone.
        unsafe {
            let factors = _mm512_set1_epi32(factors.cast_signed());
            if PAIRS {
                let pairs = std::mem::transmute::<__m512i, __m512bh>(pairs);
                let factors = std::mem::transmute::<__m512i, __m512bh>(factors);
                return Avx512(_mm512_dpbf16_ps(self.0, pairs, factors));
            }
            let upper = _mm512_set1_epi32(0xffff_0000_u32.cast_signed());
            let high = _mm512_castsi512_ps(_mm512_and_si512(pairs, upper));
            let high_factors = _mm512_castsi512_ps(_mm512_and_si512(factors, upper));
            let low = _mm512_castsi512_ps(_mm512_slli_epi32::<16>(pairs));
            let low_factors = _mm512_castsi512_ps(_mm512_slli_epi32::<16>(factors));
            let sum = _mm512_fmadd_ps(high, high_factors, self.0);
            Avx512(_mm512_fmadd_ps(low, low_factors, sum))
        }
    }

    #[inline(always)]
    fn store_bf16(self, to: &mut [u16; LANES]) {
        // SAFETY: AVX-512F is there, see the type; 32 bytes are writable.
        unsafe {
            let bits = _mm512_castps_si512(self.0);
            let last = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
            let rounded = _mm512_add_epi32(bits, _mm512_add_epi32(last, _mm512_set1_epi32(0x7fff)));
            let halves = _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(rounded));
            _mm256_storeu_si256(to.as_mut_ptr().cast(), halves);
        }
    }

    /// The greatest of numbers is the same in any order.
    #[inline(always)]
    fn greatest(self) -> f32 {
        // SAFETY: AVX-512F is there, see the type.
        unsafe { _mm512_reduce_max_ps(self.0) }
    }

    #[inline(always)]
    fn load_bytes(from: &[i8; LANES]) -> Self {
        // SAFETY: AVX-512F is there, see the type; 16 bytes are readable.
        unsafe {
            let bytes = _mm_loadu_si128(from.as_ptr().cast());
            Avx512(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes)))
        }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: AVX-512F is there, see the type.
        Avx512(unsafe { _mm512_add_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        // SAFETY: AVX-512F is there, see the type.
        Avx512(unsafe { _mm512_sub_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        // SAFETY: AVX-512F is there, see the type.
        Avx512(unsafe { _mm512_mul_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        // SAFETY: AVX-512F is there, see the type.
        Avx512(unsafe { _mm512_div_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        // SAFETY: AVX-512F is there, see the type.
        Avx512(unsafe { _mm512_fmadd_ps(self.0, factor.0, addend.0) })
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        // SAFETY: AVX-512F is there, see the type.
        Avx512(unsafe { _mm512_max_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        // SAFETY: AVX-512F is there, see the type.
        Avx512(unsafe { _mm512_min_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn scale_by_power(self, shifted: Self) -> Self {
        // SAFETY: AVX-512F is there, see the type.
        Avx512(unsafe {
            let power = _mm512_slli_epi32::<23>(_mm512_castps_si512(shifted.0));
            _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(self.0), power))
        })
    }

    #[inline(always)]
    fn store_rounded(self, to: &mut [u32; LANES]) {
        // SAFETY: AVX-512F is there, see the type; 16 words are writable.
        unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), _mm512_cvtps_epi32(self.0)) }
    }

    #[inline(always)]
    fn zero_where_below(self, x: Self, limit: Self) -> Self {
        // SAFETY: AVX-512F is there, see the type.
        Avx512(unsafe {
            let below = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(x.0, limit.0);
            _mm512_mask_blend_ps(below, self.0, _mm512_setzero_ps())
        })
    }
}
