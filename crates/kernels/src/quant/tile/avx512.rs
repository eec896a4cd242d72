//! One AVX-512 register, and VNNI, which adds 4 products of bytes to each 32-bit lane.
//!
//! What bounds these kernels on Zen 5, measured: each cycle two loads of 64 bytes (half as many where they cross a cache
//! line), broadcasts of 4 bytes included; two of dot product, multiplication and FMA; two of conversion, shift and float
//! addition, on other ports; four of logic and integer addition. So 16 rows, 32 columns of weights and one of activations
//! cost 8 dot products, a multiplication and an FMA, 5 cycles: at most 80 % of the peak; with a minimum, one FMA more, 73 %; with a
//! scale for each 16 columns 67 %. Unpacking, on other ports, is free.
//!
//! - One tile and 12 columns: a broadcast for each dot product fills the ports for loads as well. Alone, out of the cache:
//!   66.6 cycles for a step, 72 % of the peak (64.5 by the model).
//! - Two tiles and 6 columns: a broadcast serves two dot products. 59.9 cycles, 80 %: the bound. 2 tiles and 4 columns: 76 %;
//!   3 and 4: 80 %; 2 and 7: 77 %, sums leave the registers.
//! - One column reads one stream: at 11.6 cycles a step, it takes weights of 4 bits twice as fast as memory gives them.

use std::arch::x86_64::*;
use std::marker::PhantomData;

use super::{Kernel, Panel, PerRow, Tile, Vector, asks_ahead};

/// Proof that the CPU has AVX-512 F, BW, VL, DQ and VNNI: what all `unsafe` blocks of this file rest on.
#[derive(Clone, Copy)]
pub(super) struct Avx512(());

pub(super) struct Kernels<T>(PhantomData<T>);

impl<T: Tile> Kernels<T> {
    // Sums of products and results in 12 registers each, and the rest for weights and scales.
    pub(super) const LIST: &'static [(usize, Kernel)] = &[
        one_tile::<T, 1>(),
        two_tiles::<T, 2>(),
        two_tiles::<T, 3>(),
        two_tiles::<T, 4>(),
        two_tiles::<T, 5>(),
        two_tiles::<T, 6>(),
    ];
}

const fn one_tile<T: Tile, const M: usize>() -> (usize, Kernel) {
    let kernel = Kernel {
        one: run::<T, 1, M>,
        two: None,
        asks_ahead: asks_ahead::<Avx512, T>(M),
    };
    (M, kernel)
}

const fn two_tiles<T: Tile, const M: usize>() -> (usize, Kernel) {
    let (_, one) = one_tile::<T, M>();
    let two = Some(run::<T, 2, M> as super::Run);
    (M, Kernel { two, ..one })
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
fn run<T: Tile, const TILES: usize, const M: usize>(
    tiles: &[u8],
    panel: Panel<'_>,
    ahead: &[u8],
    out: &mut [PerRow],
) {
    T::run::<Avx512, TILES, M>(Avx512(()), tiles, panel, ahead, out);
}

impl Vector for Avx512 {
    type Bytes = __m512i;
    type Partial = __m512i;
    type Ints = __m512i;
    type Floats = __m512;

    // The instruction multiplies unsigned weights with signed activations.
    const SIGNED_OFFSET: i32 = 128;
    // Always, but for 32-bit floats. Measured on Zen 4, it did not pay for a single column; on Zen 5 one column of Q4_K, whose
    // scales interrupt the stream, reads 36 GB/s without and 60 to 79 with it (two threads), and no format reads less.
    const BYTES_PER_COLUMN_TO_PREFETCH: usize = 64;
    const PARTIAL_OF_PAIRS: bool = false;

    #[inline(always)]
    fn lines_per_partial(_max: u8) -> usize {
        usize::MAX
    }

    #[inline(always)]
    fn load(self, line: &[u8; 64]) -> __m512i {
        // SAFETY: AVX-512 is there, see the type; the line has 64 bytes.
        unsafe { _mm512_loadu_si512(line.as_ptr().cast()) }
    }

    #[inline(always)]
    fn and(self, bytes: __m512i, mask: u8) -> __m512i {
        // SAFETY: AVX-512 is there, see the type.
        unsafe { _mm512_and_si512(bytes, _mm512_set1_epi8(mask.cast_signed())) }
    }

    #[inline(always)]
    fn or(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: AVX-512 is there, see the type.
        unsafe { _mm512_or_si512(a, b) }
    }

    #[inline(always)]
    fn shift_left(self, bytes: __m512i, bits: u32) -> __m512i {
        // SAFETY: AVX-512 BW is there, see the type.
        unsafe { _mm512_sll_epi16(bytes, _mm_cvtsi32_si128(bits.cast_signed())) }
    }

    #[inline(always)]
    fn shift_right(self, bytes: __m512i, bits: u32) -> __m512i {
        // SAFETY: AVX-512 BW is there, see the type.
        unsafe { _mm512_srl_epi16(bytes, _mm_cvtsi32_si128(bits.cast_signed())) }
    }

    #[inline(always)]
    fn lookup(self, table: &[i8; 16], bytes: __m512i) -> __m512i {
        // SAFETY: AVX-512 BW is there, see the type; the table has 16 bytes.
        unsafe {
            _mm512_shuffle_epi8(
                _mm512_broadcast_i32x4(_mm_loadu_si128(table.as_ptr().cast())),
                bytes,
            )
        }
    }

    #[inline(always)]
    fn splat_int(self, value: i32) -> __m512i {
        // SAFETY: AVX-512 is there, see the type.
        unsafe { _mm512_set1_epi32(value) }
    }

    #[inline(always)]
    fn open(self, correction: u32) -> __m512i {
        self.splat_int(correction.cast_signed())
    }

    #[inline(always)]
    fn dot(self, sum: __m512i, unsigned: __m512i, word: i32) -> __m512i {
        // SAFETY: VNNI is there, see the type.
        unsafe { _mm512_dpbusd_epi32(sum, unsigned, _mm512_set1_epi32(word)) }
    }

    #[inline(always)]
    fn signed(self, bytes: __m512i) -> __m512i {
        // SAFETY: AVX-512 is there, see the type.
        unsafe { _mm512_xor_si512(bytes, _mm512_set1_epi8(-128)) }
    }

    #[inline(always)]
    fn dot_signed(self, sum: __m512i, signed: __m512i, word: i32) -> __m512i {
        self.dot(sum, signed, word)
    }

    #[inline(always)]
    fn close(self, sum: __m512i, partial: __m512i) -> __m512i {
        // SAFETY: AVX-512 is there, see the type.
        unsafe { _mm512_add_epi32(sum, partial) }
    }

    #[inline(always)]
    fn to_floats(self, ints: __m512i) -> __m512 {
        // SAFETY: AVX-512 is there, see the type.
        unsafe { _mm512_cvtepi32_ps(ints) }
    }

    #[inline(always)]
    fn splat(self, value: f32) -> __m512 {
        // SAFETY: AVX-512 is there, see the type.
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: AVX-512 is there, see the type.
        unsafe { _mm512_add_ps(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: AVX-512 is there, see the type.
        unsafe { _mm512_mul_ps(a, b) }
    }

    #[inline(always)]
    fn mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: AVX-512 is there, see the type.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn load_f32(self, numbers: &[u8; 64]) -> __m512 {
        // SAFETY: AVX-512 is there, see the type; there are 64 bytes.
        unsafe { _mm512_loadu_ps(numbers.as_ptr().cast()) }
    }

    #[inline(always)]
    fn load_f16(self, numbers: &[u8; 32]) -> __m512 {
        // SAFETY: AVX-512 is there, see the type; there are 32 bytes.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(numbers.as_ptr().cast())) }
    }

    #[inline(always)]
    fn load_f8(self, codes: &[u8; 16]) -> __m512 {
        // SAFETY: AVX-512 is there, see the type; there are 16 bytes.
        unsafe {
            let wide = _mm256_cvtepi8_epi16(_mm_loadu_si128(codes.as_ptr().cast()));
            // The sign is in all upper bits; exponent and mantissa move to their places below the highest.
            let halves = _mm256_and_si256(
                _mm256_slli_epi16::<7>(wide),
                _mm256_set1_epi16(0xbfff_u16.cast_signed()),
            );
            _mm512_cvtph_ps(halves)
        }
    }

    #[inline(always)]
    fn load_u8(self, numbers: &[u8; 16]) -> __m512 {
        // SAFETY: AVX-512 is there, see the type; there are 16 bytes.
        self.to_floats(unsafe { _mm512_cvtepu8_epi32(_mm_loadu_si128(numbers.as_ptr().cast())) })
    }

    #[inline(always)]
    fn load_i8(self, numbers: &[u8; 16]) -> __m512 {
        // SAFETY: AVX-512 is there, see the type; there are 16 bytes.
        self.to_floats(unsafe { _mm512_cvtepi8_epi32(_mm_loadu_si128(numbers.as_ptr().cast())) })
    }

    #[inline(always)]
    fn low_bf16(self, words: &[u8; 64]) -> __m512 {
        // SAFETY: AVX-512 is there, see the type.
        unsafe { _mm512_castsi512_ps(_mm512_slli_epi32::<16>(self.load(words))) }
    }

    #[inline(always)]
    fn high_bf16(self, words: &[u8; 64]) -> __m512 {
        // SAFETY: AVX-512 is there, see the type.
        unsafe {
            let mask = _mm512_set1_epi32(0xffff_0000_u32.cast_signed());
            _mm512_castsi512_ps(_mm512_and_si512(self.load(words), mask))
        }
    }

    #[inline(always)]
    fn store(self, numbers: __m512, to: &mut PerRow) {
        // SAFETY: AVX-512 is there, see the type; there is room for 16 numbers.
        unsafe { _mm512_storeu_ps(to.0.as_mut_ptr(), numbers) }
    }

    #[inline(always)]
    fn store_bytes(self, bytes: __m512i, to: &mut [u8; 64]) {
        // SAFETY: AVX-512 is there, see the type; there is room for 64 bytes.
        unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), bytes) }
    }

    #[inline(always)]
    fn prefetch(self, at: *const u8) {
        // SAFETY: a prefetch reads nothing that the program can see and never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(at.cast()) }
    }
}
