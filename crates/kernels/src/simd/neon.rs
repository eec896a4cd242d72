//! Four NEON registers.

use std::arch::aarch64::*;

use super::{LANES, Lanes, Task, pairs_by_two_products};

/// Runs a task with NEON, which every 64-bit ARM CPU has, and the compiler always may use.
pub(super) fn run(task: impl Task) {
    task.run::<Neon>();
}

#[derive(Clone, Copy)]
struct Neon([float32x4_t; 4]);

impl Neon {
    #[inline(always)]
    fn zip(self, other: Self, f: impl Fn(float32x4_t, float32x4_t) -> float32x4_t) -> Self {
        Neon(std::array::from_fn(|i| f(self.0[i], other.0[i])))
    }
}

// Greater and smaller follow x86 on equal numbers and NaN: the second operand, by compare and select.
impl Neon {
    #[inline(always)]
    fn load_bf16_pairs(from: &[u32; LANES]) -> (Self, Self) {
        // SAFETY: NEON is always there; each piece has 4 words.
        let words: [uint32x4_t; 4] =
            std::array::from_fn(|i| unsafe { vld1q_u32(from[4 * i..4 * i + 4].as_ptr()) });
        // SAFETY: NEON is always there.
        unsafe {
            let high = vdupq_n_u32(0xffff_0000);
            (
                Neon(words.map(|word| vreinterpretq_f32_u32(vshlq_n_u32::<16>(word)))),
                Neon(words.map(|word| vreinterpretq_f32_u32(vandq_u32(word, high)))),
            )
        }
    }
}

impl Lanes for Neon {
    pairs_by_two_products!();

    // 16 of 32 registers accumulate; bf16 operands take up to 12.
    const ROWS: usize = 4;

    #[inline(always)]
    fn splat(value: f32) -> Self {
        // SAFETY: NEON is always there.
        Neon([unsafe { vdupq_n_f32(value) }; 4])
    }

    #[inline(always)]
    fn load(from: &[f32; LANES]) -> Self {
        // SAFETY: NEON is always there; each piece has 4 numbers.
        Neon(std::array::from_fn(|i| unsafe {
            vld1q_f32(from[4 * i..4 * i + 4].as_ptr())
        }))
    }

    #[inline(always)]
    fn store(self, to: &mut [f32; LANES]) {
        for i in 0..4 {
            // SAFETY: NEON is always there; the piece has 4 numbers.
            unsafe { vst1q_f32(to[4 * i..4 * i + 4].as_mut_ptr(), self.0[i]) }
        }
    }

    #[inline(always)]
    fn load_bytes(from: &[i8; LANES]) -> Self {
        // SAFETY: NEON is always there; 16 bytes are readable.
        unsafe {
            let bytes = vld1q_s8(from.as_ptr());
            let halves = [vmovl_s8(vget_low_s8(bytes)), vmovl_high_s8(bytes)];
            let wide = |half: int16x8_t| [vmovl_s16(vget_low_s16(half)), vmovl_high_s16(half)];
            let ([a, b], [c, d]) = (wide(halves[0]), wide(halves[1]));
            Neon([a, b, c, d].map(|words| vcvtq_f32_s32(words)))
        }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: NEON is always there.
        self.zip(other, |a, b| unsafe { vaddq_f32(a, b) })
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        // SAFETY: NEON is always there.
        self.zip(other, |a, b| unsafe { vsubq_f32(a, b) })
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        // SAFETY: NEON is always there.
        self.zip(other, |a, b| unsafe { vmulq_f32(a, b) })
    }

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        // SAFETY: NEON is always there.
        self.zip(other, |a, b| unsafe { vdivq_f32(a, b) })
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        // SAFETY: NEON is always there.
        Neon(std::array::from_fn(|i| unsafe {
            vfmaq_f32(addend.0[i], self.0[i], factor.0[i])
        }))
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        // SAFETY: NEON is always there.
        self.zip(other, |a, b| unsafe { vbslq_f32(vcgtq_f32(a, b), a, b) })
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        // SAFETY: NEON is always there.
        self.zip(other, |a, b| unsafe { vbslq_f32(vcltq_f32(a, b), a, b) })
    }

    #[inline(always)]
    fn scale_by_power(self, shifted: Self) -> Self {
        // SAFETY: NEON is always there.
        self.zip(shifted, |x, n| unsafe {
            let power = vshlq_n_u32::<23>(vreinterpretq_u32_f32(n));
            vreinterpretq_f32_u32(vaddq_u32(vreinterpretq_u32_f32(x), power))
        })
    }

    #[inline(always)]
    fn store_rounded(self, to: &mut [u32; LANES]) {
        for i in 0..4 {
            // SAFETY: NEON is always there; the piece has 4 words.
            unsafe { vst1q_u32(to[4 * i..4 * i + 4].as_mut_ptr(), vcvtnq_u32_f32(self.0[i])) }
        }
    }

    #[inline(always)]
    fn zero_where_below(self, x: Self, limit: Self) -> Self {
        Neon(std::array::from_fn(|i| {
            // SAFETY: NEON is always there.
            unsafe { vbslq_f32(vcltq_f32(x.0[i], limit.0[i]), vdupq_n_f32(0.0), self.0[i]) }
        }))
    }
}
