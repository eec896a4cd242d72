//! One AVX-512 register.

use std::arch::x86_64::*;

use super::{LANES, Lanes, Task};

/// Runs a task with AVX-512.
pub(super) fn run(task: impl Task) {
    assert!(is_x86_feature_detected!("avx512f"), "this CPU has no AVX-512");
    // SAFETY: the CPU has the feature, as just asserted.
    unsafe { run_with_features(task) }
}

#[target_feature(enable = "avx512f")]
fn run_with_features<T: Task>(task: T) {
    task.run::<Avx512>();
}

/// Only made under [`run`], so wherever a value exists the CPU has AVX-512F: the promise that all `unsafe` blocks of
/// this file rest on.
#[derive(Clone, Copy)]
struct Avx512(__m512);

impl Lanes for Avx512 {
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

    #[inline(always)]
    fn load_bf16_pairs(from: &[u32; LANES]) -> (Self, Self) {
        // SAFETY: AVX-512F is there, see the type; 16 words are readable.
        unsafe {
            let words = _mm512_loadu_si512(from.as_ptr().cast());
            let high = _mm512_set1_epi32(0xffff_0000_u32.cast_signed());
            (
                Avx512(_mm512_castsi512_ps(_mm512_slli_epi32::<16>(words))),
                Avx512(_mm512_castsi512_ps(_mm512_and_si512(words, high))),
            )
        }
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
