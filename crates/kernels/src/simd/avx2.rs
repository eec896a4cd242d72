//! Two AVX2 registers, with FMA.

use std::arch::x86_64::*;

use super::{LANES, Lanes, Task, pairs_by_two_products};

/// Runs a task with AVX2.
pub(super) fn run(task: impl Task) {
    assert!(
        is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
        "this CPU has no AVX2 with FMA"
    );
    // SAFETY: the CPU has the features, as just asserted.
    unsafe { run_with_features(task) }
}

#[target_feature(enable = "avx2,fma")]
fn run_with_features<T: Task>(task: T) {
    task.run::<Avx2>();
}

/// Only made under [`run`], so wherever a value exists the CPU has AVX2 and FMA: the promise that all `unsafe`
/// blocks of this file rest on.
#[derive(Clone, Copy)]
struct Avx2([__m256; 2]);

/// An intrinsic on each of the registers. Written out, since a closure is compiled without the features of its caller:
/// unless it happens to be inlined first, the intrinsics in it become function calls.
macro_rules! each {
    ($intrinsic:expr, $($x:expr),+) => {
        Avx2([$intrinsic($($x[0]),+), $intrinsic($($x[1]),+)])
    };
}

impl Avx2 {
    #[inline(always)]
    fn load_bf16_pairs(from: &[u32; LANES]) -> (Self, Self) {
        let p = from.as_ptr().cast::<__m256i>();
        // SAFETY: AVX2 is there, see the type; 16 words are readable from `p`.
        unsafe {
            let words = [_mm256_loadu_si256(p), _mm256_loadu_si256(p.add(1))];
            let high = _mm256_set1_epi32(0xffff_0000_u32.cast_signed());
            let low = each!(
                _mm256_castsi256_ps,
                [
                    _mm256_slli_epi32::<16>(words[0]),
                    _mm256_slli_epi32::<16>(words[1])
                ]
            );
            let high = each!(
                _mm256_castsi256_ps,
                [_mm256_and_si256(words[0], high), _mm256_and_si256(words[1], high)]
            );
            (low, high)
        }
    }
}

impl Lanes for Avx2 {
    pairs_by_two_products!();

    // 8 of 16 registers accumulate: enough chains to hide the latency of FMA; with 12, operands spill to the stack.
    const ROWS: usize = 4;

    #[inline(always)]
    fn splat(value: f32) -> Self {
        // SAFETY: AVX2 is there, see the type.
        Avx2([unsafe { _mm256_set1_ps(value) }; 2])
    }

    #[inline(always)]
    fn load(from: &[f32; LANES]) -> Self {
        let p = from.as_ptr();
        // SAFETY: AVX2 is there, see the type; 16 numbers are readable from `p`.
        unsafe { Avx2([_mm256_loadu_ps(p), _mm256_loadu_ps(p.add(8))]) }
    }

    #[inline(always)]
    fn store(self, to: &mut [f32; LANES]) {
        let p = to.as_mut_ptr();
        // SAFETY: AVX2 is there, see the type; 16 numbers are writable from `p`.
        unsafe {
            _mm256_storeu_ps(p, self.0[0]);
            _mm256_storeu_ps(p.add(8), self.0[1]);
        }
    }

    #[inline(always)]
    fn load_bytes(from: &[i8; LANES]) -> Self {
        let p = from.as_ptr();
        // SAFETY: AVX2 is there, see the type; 16 bytes are readable from `p`, 8 by each load.
        unsafe {
            let bytes = [_mm_loadl_epi64(p.cast()), _mm_loadl_epi64(p.add(8).cast())];
            let words = [_mm256_cvtepi8_epi32(bytes[0]), _mm256_cvtepi8_epi32(bytes[1])];
            each!(_mm256_cvtepi32_ps, words)
        }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: AVX2 is there, see the type.
        unsafe { each!(_mm256_add_ps, self.0, other.0) }
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        // SAFETY: AVX2 is there, see the type.
        unsafe { each!(_mm256_sub_ps, self.0, other.0) }
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        // SAFETY: AVX2 is there, see the type.
        unsafe { each!(_mm256_mul_ps, self.0, other.0) }
    }

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        // SAFETY: AVX2 is there, see the type.
        unsafe { each!(_mm256_div_ps, self.0, other.0) }
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        // SAFETY: FMA is there, see the type.
        unsafe { each!(_mm256_fmadd_ps, self.0, factor.0, addend.0) }
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        // SAFETY: AVX2 is there, see the type.
        unsafe { each!(_mm256_max_ps, self.0, other.0) }
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        // SAFETY: AVX2 is there, see the type.
        unsafe { each!(_mm256_min_ps, self.0, other.0) }
    }

    #[inline(always)]
    fn scale_by_power(self, shifted: Self) -> Self {
        // SAFETY: AVX2 is there, see the type.
        unsafe { each!(scale_by_power, self.0, shifted.0) }
    }

    #[inline(always)]
    fn store_rounded(self, to: &mut [u32; LANES]) {
        let p = to.as_mut_ptr().cast::<__m256i>();
        // SAFETY: AVX2 is there, see the type; 16 words are writable from `p`.
        unsafe {
            _mm256_storeu_si256(p, _mm256_cvtps_epi32(self.0[0]));
            _mm256_storeu_si256(p.add(1), _mm256_cvtps_epi32(self.0[1]));
        }
    }

    #[inline(always)]
    fn zero_where_below(self, x: Self, limit: Self) -> Self {
        // SAFETY: AVX2 is there, see the type.
        unsafe {
            let below = each!(_mm256_cmp_ps::<_CMP_LT_OQ>, x.0, limit.0);
            each!(_mm256_andnot_ps, below.0, self.0)
        }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn scale_by_power(x: __m256, shifted: __m256) -> __m256 {
    let power = _mm256_slli_epi32::<23>(_mm256_castps_si256(shifted));
    _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(x), power))
}
