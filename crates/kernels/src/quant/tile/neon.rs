//! Four NEON registers, and the dot product instructions, which add 4 products of bytes to each 32-bit lane.

use std::arch::aarch64::*;
use std::arch::asm;
use std::marker::PhantomData;

use super::{Kernel, Panel, PerRow, Tile, Vector};

/// Proof that the CPU has NEON and the dot product instructions: what all `unsafe` blocks of this file rest on.
#[derive(Clone, Copy)]
pub(super) struct Neon(());

pub(super) struct Kernels<T>(PhantomData<T>);

impl<T: Tile> Kernels<T> {
    // At most 24 registers of sums, 4 of weights and one of activations.
    pub(super) const LIST: &'static [(usize, Kernel)] = &[
        kernel::<T, 1>(),
        kernel::<T, 2>(),
        kernel::<T, 3>(),
        kernel::<T, 4>(),
        kernel::<T, 6>(),
    ];
}

#[target_feature(enable = "neon,dotprod")]
fn run<T: Tile, const M: usize>(tile: &[u8], panel: Panel<'_>, ahead: &[u8], out: &mut [PerRow]) {
    T::run::<Neon, 1, M>(Neon(()), tile, panel, ahead, out);
}

const fn kernel<T: Tile, const M: usize>() -> (usize, Kernel) {
    let kernel = Kernel {
        one: run::<T, M>,
        two: None,
        asks_ahead: asks_ahead::<Neon, T>(M),
    };
    (M, kernel)
}

type Quad<T> = [T; 4];

#[inline(always)]
fn zip<T: Copy, U: Copy, W>(a: Quad<T>, b: Quad<U>, f: impl Fn(T, U) -> W) -> Quad<W> {
    [f(a[0], b[0]), f(a[1], b[1]), f(a[2], b[2]), f(a[3], b[3])]
}

#[inline(always)]
fn each<T>(f: impl Fn(usize) -> T) -> Quad<T> {
    [f(0), f(1), f(2), f(3)]
}

impl Vector for Neon {
    type Bytes = Quad<uint8x16_t>;
    type Partial = Quad<int32x4_t>;
    type Ints = Quad<int32x4_t>;
    type Floats = Quad<float32x4_t>;

    const SIGNED_OFFSET: i32 = 0;
    // Not measured.
    const BYTES_PER_COLUMN_TO_PREFETCH: usize = 6;
    const PARTIAL_OF_PAIRS: bool = false;

    #[inline(always)]
    fn lines_per_partial(_max: u8) -> usize {
        usize::MAX
    }

    #[inline(always)]
    fn load(self, line: &[u8; 64]) -> Self::Bytes {
        // SAFETY: NEON is there, see the type; the line has 64 bytes.
        each(|i| unsafe { vld1q_u8(line.as_ptr().add(16 * i)) })
    }

    #[inline(always)]
    fn and(self, bytes: Self::Bytes, mask: u8) -> Self::Bytes {
        // SAFETY: NEON is there, see the type.
        bytes.map(|bytes| unsafe { vandq_u8(bytes, vdupq_n_u8(mask)) })
    }

    #[inline(always)]
    fn or(self, a: Self::Bytes, b: Self::Bytes) -> Self::Bytes {
        // SAFETY: NEON is there, see the type.
        zip(a, b, |a, b| unsafe { vorrq_u8(a, b) })
    }

    #[inline(always)]
    fn shift_left(self, bytes: Self::Bytes, bits: u32) -> Self::Bytes {
        // SAFETY: NEON is there, see the type.
        bytes.map(|bytes| unsafe { vshlq_u8(bytes, vdupq_n_s8(bits as i8)) })
    }

    #[inline(always)]
    fn shift_right(self, bytes: Self::Bytes, bits: u32) -> Self::Bytes {
        // SAFETY: NEON is there, see the type.
        bytes.map(|bytes| unsafe { vshlq_u8(bytes, vdupq_n_s8(-(bits as i8))) })
    }

    #[inline(always)]
    fn lookup(self, table: &[i8; 16], bytes: Self::Bytes) -> Self::Bytes {
        // SAFETY: NEON is there, see the type; the table has 16 bytes.
        bytes.map(|bytes| unsafe { vqtbl1q_u8(vreinterpretq_u8_s8(vld1q_s8(table.as_ptr())), bytes) })
    }

    #[inline(always)]
    fn splat_int(self, value: i32) -> Self::Ints {
        // SAFETY: NEON is there, see the type.
        [unsafe { vdupq_n_s32(value) }; 4]
    }

    #[inline(always)]
    fn open(self, correction: u32) -> Self::Partial {
        self.splat_int(correction.cast_signed())
    }

    /// No format has unsigned values above 63, so they are signed ones too.
    #[inline(always)]
    fn dot(self, sum: Self::Partial, unsigned: Self::Bytes, word: i32) -> Self::Partial {
        self.dot_signed(sum, unsigned, word)
    }

    #[inline(always)]
    fn signed(self, bytes: Self::Bytes) -> Self::Bytes {
        bytes
    }

    #[inline(always)]
    fn dot_signed(self, sum: Self::Ints, signed: Self::Bytes, word: i32) -> Self::Ints {
        // SAFETY: NEON and the dot product instructions are there, see the type.
        zip(sum, signed, |sum, signed| unsafe {
            dot(sum, signed, vdupq_n_s32(word))
        })
    }

    #[inline(always)]
    fn close(self, sum: Self::Ints, partial: Self::Partial) -> Self::Ints {
        // SAFETY: NEON is there, see the type.
        zip(sum, partial, |sum, partial| unsafe { vaddq_s32(sum, partial) })
    }

    #[inline(always)]
    fn to_floats(self, ints: Self::Ints) -> Self::Floats {
        // SAFETY: NEON is there, see the type.
        ints.map(|ints| unsafe { vcvtq_f32_s32(ints) })
    }

    #[inline(always)]
    fn splat(self, value: f32) -> Self::Floats {
        // SAFETY: NEON is there, see the type.
        [unsafe { vdupq_n_f32(value) }; 4]
    }

    #[inline(always)]
    fn add(self, a: Self::Floats, b: Self::Floats) -> Self::Floats {
        // SAFETY: NEON is there, see the type.
        zip(a, b, |a, b| unsafe { vaddq_f32(a, b) })
    }

    #[inline(always)]
    fn mul(self, a: Self::Floats, b: Self::Floats) -> Self::Floats {
        // SAFETY: NEON is there, see the type.
        zip(a, b, |a, b| unsafe { vmulq_f32(a, b) })
    }

    #[inline(always)]
    fn mul_add(self, a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats {
        // SAFETY: NEON is there, see the type.
        each(|i| unsafe { vfmaq_f32(c[i], a[i], b[i]) })
    }

    #[inline(always)]
    fn load_f32(self, numbers: &[u8; 64]) -> Self::Floats {
        // SAFETY: NEON is there, see the type.
        self.load(numbers)
            .map(|bits| unsafe { vreinterpretq_f32_u8(bits) })
    }

    #[inline(always)]
    fn load_f16(self, numbers: &[u8; 32]) -> Self::Floats {
        // SAFETY: NEON is there, see the type; there are 32 bytes.
        each(|i| unsafe { widen_halves(vld1_u8(numbers.as_ptr().add(8 * i))) })
    }

    #[inline(always)]
    fn load_f8(self, codes: &[u8; 16]) -> Self::Floats {
        // SAFETY: NEON is there, see the type; there are 16 bytes.
        unsafe {
            let codes = vreinterpretq_s8_u8(vld1q_u8(codes.as_ptr()));
            let wide = [vmovl_s8(vget_low_s8(codes)), vmovl_s8(vget_high_s8(codes))];
            // The sign is in all upper bits; exponent and mantissa move to their places below the highest.
            let halves =
                wide.map(|wide| vandq_s16(vshlq_n_s16::<7>(wide), vdupq_n_s16(0xbfff_u16.cast_signed())));
            [
                widen_halves(vreinterpret_u8_s16(vget_low_s16(halves[0]))),
                widen_halves(vreinterpret_u8_s16(vget_high_s16(halves[0]))),
                widen_halves(vreinterpret_u8_s16(vget_low_s16(halves[1]))),
                widen_halves(vreinterpret_u8_s16(vget_high_s16(halves[1]))),
            ]
        }
    }

    #[inline(always)]
    fn load_u8(self, numbers: &[u8; 16]) -> Self::Floats {
        // SAFETY: NEON is there, see the type; there are 16 bytes.
        unsafe {
            let bytes = vld1q_u8(numbers.as_ptr());
            let (low, high) = (vmovl_u8(vget_low_u8(bytes)), vmovl_u8(vget_high_u8(bytes)));
            [
                vcvtq_f32_u32(vmovl_u16(vget_low_u16(low))),
                vcvtq_f32_u32(vmovl_u16(vget_high_u16(low))),
                vcvtq_f32_u32(vmovl_u16(vget_low_u16(high))),
                vcvtq_f32_u32(vmovl_u16(vget_high_u16(high))),
            ]
        }
    }

    #[inline(always)]
    fn load_i8(self, numbers: &[u8; 16]) -> Self::Floats {
        // SAFETY: NEON is there, see the type; there are 16 bytes.
        unsafe {
            let bytes = vreinterpretq_s8_u8(vld1q_u8(numbers.as_ptr()));
            let (low, high) = (vmovl_s8(vget_low_s8(bytes)), vmovl_s8(vget_high_s8(bytes)));
            self.to_floats([
                vmovl_s16(vget_low_s16(low)),
                vmovl_s16(vget_high_s16(low)),
                vmovl_s16(vget_low_s16(high)),
                vmovl_s16(vget_high_s16(high)),
            ])
        }
    }

    #[inline(always)]
    fn low_bf16(self, words: &[u8; 64]) -> Self::Floats {
        // SAFETY: NEON is there, see the type.
        self.load(words)
            .map(|words| unsafe { vreinterpretq_f32_u32(vshlq_n_u32::<16>(vreinterpretq_u32_u8(words))) })
    }

    #[inline(always)]
    fn high_bf16(self, words: &[u8; 64]) -> Self::Floats {
        // SAFETY: NEON is there, see the type.
        self.load(words).map(|words| unsafe {
            vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_u8(words), vdupq_n_u32(0xffff_0000)))
        })
    }

    #[inline(always)]
    fn store(self, numbers: Self::Floats, to: &mut PerRow) {
        for (to, numbers) in to.0.as_chunks_mut::<4>().0.iter_mut().zip(numbers) {
            // SAFETY: NEON is there, see the type; the chunk has room for 4 numbers.
            unsafe { vst1q_f32(to.as_mut_ptr(), numbers) }
        }
    }

    #[inline(always)]
    fn store_bytes(self, bytes: Self::Bytes, to: &mut [u8; 64]) {
        for (to, bytes) in to.as_chunks_mut::<16>().0.iter_mut().zip(bytes) {
            // SAFETY: NEON is there, see the type; the chunk has room for 16 bytes.
            unsafe { vst1q_u8(to.as_mut_ptr(), bytes) }
        }
    }

    #[inline(always)]
    fn prefetch(self, at: *const u8) {
        // SAFETY: a prefetch reads nothing that the program can see and never faults.
        unsafe {
            asm!("prfm pldl2strm, [{at}]", at = in(reg) at, options(nostack, preserves_flags, readonly))
        }
    }
}

/// Adds 4 products of signed bytes to each lane. The intrinsic `vdotq_s32` is not stable in the Rust that we build with.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn dot(mut sum: int32x4_t, weights: uint8x16_t, x: int32x4_t) -> int32x4_t {
    // SAFETY: the instruction is one of those enabled, and touches only the registers named.
    unsafe {
        asm!(
            "sdot {sum:v}.4s, {weights:v}.16b, {x:v}.16b",
            sum = inout(vreg) sum,
            weights = in(vreg) weights,
            x = in(vreg) x,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sum
}

/// 4 numbers of half precision. The instruction's intrinsic needs the unstable type `f16`.
#[inline]
#[target_feature(enable = "neon")]
fn widen_halves(halves: uint8x8_t) -> float32x4_t {
    let floats: float32x4_t;
    // SAFETY: the instruction is one of those enabled, and touches only the registers named.
    unsafe {
        asm!(
            "fcvtl {floats:v}.4s, {halves:v}.4h",
            floats = out(vreg) floats,
            halves = in(vreg) halves,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    floats
}
