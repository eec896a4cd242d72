//! Two AVX2 registers: rows 0 to 7 and 8 to 15.
//!
//! AVX2 has no instruction that adds 4 products of bytes to a 32-bit lane, only one that adds 2 to a 16-bit lane, so
//! sums run in 16 bits for as many lines as the format's largest value allows, and are then widened. AVX-VNNI, which
//! processors without AVX-512 have since Alder Lake and Sierra Forest, adds that instruction and nothing else.

use std::arch::x86_64::*;
use std::marker::PhantomData;

use super::wide::{Unpacked, Wide, WideTile, WideVector};
use super::{Kernel, Panel, PerRow, ROWS, Tile, Vector, asks_ahead};

/// Proof that the CPU has AVX2, FMA and F16C, and AVX-VNNI with `VNNI`: what all `unsafe` blocks of this file rest on.
#[derive(Clone, Copy)]
pub(super) struct Avx2<const VNNI: bool = false>(());

pub(super) type AvxVnni = Avx2<true>;

pub(super) struct Kernels<T>(PhantomData<T>);

impl<T: Tile> Kernels<T> {
    // At most 12 registers of sums, 2 of weights and one of activations.
    pub(super) const LIST: &'static [(usize, Kernel)] = &[
        kernel::<T, 1>(),
        kernel::<T, 2>(),
        kernel::<T, 3>(),
        kernel::<T, 4>(),
        kernel::<T, 6>(),
    ];
}

pub(super) struct VnniKernels<T>(PhantomData<T>);

impl<T: Tile> VnniKernels<T> {
    // Up to 8 registers of sums, 2 of weights and one of activations. Without sums of 16 bits to widen, these kernels need no
    // unpacked weights beside them: on Zen 5, forced, 96 columns from the cache reach 57 to 66 % of the peak, where the wide kernels of
    // AVX2 reach 37 to 62 % of a lower one: Q8_0 2.0 times as fast, Q6_K 1.4, Q4_0 1.2, Q4_K 1.16.
    pub(super) const LIST: &'static [(usize, Kernel)] = &[
        vnni_kernel::<T, 1>(),
        vnni_kernel::<T, 2>(),
        vnni_kernel::<T, 3>(),
        vnni_kernel::<T, 4>(),
    ];
}

pub(super) struct WideKernels<T>(PhantomData<T>);

impl<T: WideTile> WideKernels<T> {
    // 10 registers of sums, 2 of weights, and those that products pass through; with 12 of sums the compiler keeps two of
    // them in memory, which costs a quarter. From 12 columns on, all groups have 4 or 5.
    pub(super) const WIDE: Wide = Wide {
        step_bytes: T::STEP_BYTES,
        pairs: T::PAIRS,
        unpack: unpack::<T>,
        multiply: &[(4, multiply::<T, 4>), (5, multiply::<T, 5>)],
    };
}

#[target_feature(enable = "avx2,fma,f16c")]
fn unpack<T: WideTile>(tile: &[u8], to: &mut Unpacked) {
    T::unpack::<Avx2>(Avx2(()), tile, to);
}

#[target_feature(enable = "avx2,fma,f16c")]
fn multiply<T: WideTile, const M: usize>(
    from: &Unpacked,
    panel: Panel<'_>,
    ahead: &[u8],
    out: &mut [PerRow],
) {
    T::multiply::<Avx2, M>(Avx2(()), from, panel, ahead, out);
}

#[target_feature(enable = "avx2,fma,f16c")]
fn run<T: Tile, const M: usize>(tile: &[u8], panel: Panel<'_>, ahead: &[u8], out: &mut [PerRow]) {
    T::run::<Avx2, 1, M>(Avx2(()), tile, panel, ahead, out);
}

#[target_feature(enable = "avx2,fma,f16c,avxvnni")]
fn run_vnni<T: Tile, const M: usize>(tile: &[u8], panel: Panel<'_>, ahead: &[u8], out: &mut [PerRow]) {
    T::run::<AvxVnni, 1, M>(Avx2(()), tile, panel, ahead, out);
}

const fn vnni_kernel<T: Tile, const M: usize>() -> (usize, Kernel) {
    let kernel = Kernel {
        one: run_vnni::<T, M>,
        two: None,
        asks_ahead: asks_ahead::<AvxVnni, T>(M),
    };
    (M, kernel)
}

const fn kernel<T: Tile, const M: usize>() -> (usize, Kernel) {
    let kernel = Kernel {
        one: run::<T, M>,
        two: None,
        asks_ahead: asks_ahead::<Avx2, T>(M),
    };
    (M, kernel)
}

type Pair = [__m256i; 2];
type FloatPair = [__m256; 2];

#[inline(always)]
fn zip<T: Copy, U: Copy, W>(a: [T; 2], b: [U; 2], f: impl Fn(T, U) -> W) -> [W; 2] {
    [f(a[0], b[0]), f(a[1], b[1])]
}

impl<const VNNI: bool> Vector for Avx2<VNNI> {
    type Bytes = Pair;
    type Partial = Pair;
    type Ints = Pair;
    type Floats = FloatPair;

    // VNNI multiplies unsigned weights with signed activations.
    const SIGNED_OFFSET: i32 = if VNNI { 128 } else { 0 };
    // Measured on Zen 3: always.
    const BYTES_PER_COLUMN_TO_PREFETCH: usize = 128;
    const PARTIAL_OF_PAIRS: bool = !VNNI;

    #[inline(always)]
    fn lines_per_partial(max: u8) -> usize {
        if VNNI {
            return usize::MAX;
        }
        // Two products go to each 16-bit lane per line; activations are at most 127.
        i16::MAX as usize / (2 * 127 * max as usize)
    }

    #[inline(always)]
    fn load(self, line: &[u8; 64]) -> Pair {
        let at = line.as_ptr().cast::<__m256i>();
        // SAFETY: AVX2 is there, see the type; the line has 64 bytes.
        unsafe { [_mm256_loadu_si256(at), _mm256_loadu_si256(at.add(1))] }
    }

    #[inline(always)]
    fn and(self, bytes: Pair, mask: u8) -> Pair {
        // SAFETY: AVX2 is there, see the type.
        bytes.map(|bytes| unsafe { _mm256_and_si256(bytes, _mm256_set1_epi8(mask.cast_signed())) })
    }

    #[inline(always)]
    fn or(self, a: Pair, b: Pair) -> Pair {
        // SAFETY: AVX2 is there, see the type.
        zip(a, b, |a, b| unsafe { _mm256_or_si256(a, b) })
    }

    #[inline(always)]
    fn shift_left(self, bytes: Pair, bits: u32) -> Pair {
        // SAFETY: AVX2 is there, see the type.
        bytes.map(|bytes| unsafe { _mm256_sll_epi16(bytes, _mm_cvtsi32_si128(bits.cast_signed())) })
    }

    #[inline(always)]
    fn shift_right(self, bytes: Pair, bits: u32) -> Pair {
        // SAFETY: AVX2 is there, see the type.
        bytes.map(|bytes| unsafe { _mm256_srl_epi16(bytes, _mm_cvtsi32_si128(bits.cast_signed())) })
    }

    #[inline(always)]
    fn lookup(self, table: &[i8; 16], bytes: Pair) -> Pair {
        // SAFETY: AVX2 is there, see the type; the table has 16 bytes.
        unsafe {
            let table = _mm256_broadcastsi128_si256(_mm_loadu_si128(table.as_ptr().cast()));
            bytes.map(|bytes| _mm256_shuffle_epi8(table, bytes))
        }
    }

    #[inline(always)]
    fn splat_int(self, value: i32) -> Pair {
        // SAFETY: AVX2 is there, see the type.
        [unsafe { _mm256_set1_epi32(value) }; 2]
    }

    #[inline(always)]
    fn open(self, correction: u32) -> Pair {
        self.splat_int(correction.cast_signed())
    }

    #[inline(always)]
    fn dot(self, sum: Pair, unsigned: Pair, word: i32) -> Pair {
        // SAFETY: AVX2 is there, see the type.
        let x = unsafe { _mm256_set1_epi32(word) };
        // SAFETY: AVX2 is there, see the type.
        zip(sum, unsigned, |sum, weights| unsafe {
            if VNNI {
                _mm256_dpbusd_avx_epi32(sum, weights, x)
            } else {
                _mm256_add_epi16(sum, _mm256_maddubs_epi16(weights, x))
            }
        })
    }

    #[inline(always)]
    fn signed(self, bytes: Pair) -> Pair {
        if !VNNI {
            return bytes;
        }
        // SAFETY: AVX2 is there, see the type.
        bytes.map(|bytes| unsafe { _mm256_xor_si256(bytes, _mm256_set1_epi8(-128)) })
    }

    /// Without VNNI, the sign moves from the weight to the activation, which is never -128; two products of at most 127 * 128
    /// fit 16 bits, but no more, so they are widened at once.
    #[inline(always)]
    fn dot_signed(self, sum: Pair, signed: Pair, word: i32) -> Pair {
        if VNNI {
            return self.dot(sum, signed, word);
        }
        // SAFETY: AVX2 is there, see the type.
        let x = unsafe { _mm256_set1_epi32(word) };
        // SAFETY: AVX2 is there, see the type.
        zip(sum, signed, |sum, weights| unsafe {
            let products = _mm256_maddubs_epi16(_mm256_abs_epi8(weights), _mm256_sign_epi8(x, weights));
            _mm256_add_epi32(sum, _mm256_madd_epi16(products, _mm256_set1_epi16(1)))
        })
    }

    #[inline(always)]
    fn close(self, sum: Pair, partial: Pair) -> Pair {
        // SAFETY: AVX2 is there, see the type.
        zip(sum, partial, |sum, partial| unsafe {
            if VNNI {
                _mm256_add_epi32(sum, partial)
            } else {
                _mm256_add_epi32(sum, _mm256_madd_epi16(partial, _mm256_set1_epi16(1)))
            }
        })
    }

    #[inline(always)]
    fn to_floats(self, ints: Pair) -> FloatPair {
        // SAFETY: AVX2 is there, see the type.
        ints.map(|ints| unsafe { _mm256_cvtepi32_ps(ints) })
    }

    #[inline(always)]
    fn splat(self, value: f32) -> FloatPair {
        // SAFETY: AVX2 is there, see the type.
        [unsafe { _mm256_set1_ps(value) }; 2]
    }

    #[inline(always)]
    fn add(self, a: FloatPair, b: FloatPair) -> FloatPair {
        // SAFETY: AVX2 is there, see the type.
        zip(a, b, |a, b| unsafe { _mm256_add_ps(a, b) })
    }

    #[inline(always)]
    fn mul(self, a: FloatPair, b: FloatPair) -> FloatPair {
        // SAFETY: AVX2 is there, see the type.
        zip(a, b, |a, b| unsafe { _mm256_mul_ps(a, b) })
    }

    #[inline(always)]
    fn mul_add(self, a: FloatPair, b: FloatPair, c: FloatPair) -> FloatPair {
        // SAFETY: FMA is there, see the type.
        unsafe {
            [
                _mm256_fmadd_ps(a[0], b[0], c[0]),
                _mm256_fmadd_ps(a[1], b[1], c[1]),
            ]
        }
    }

    #[inline(always)]
    fn load_f32(self, numbers: &[u8; 64]) -> FloatPair {
        // SAFETY: AVX2 is there, see the type.
        self.load(numbers)
            .map(|bits| unsafe { _mm256_castsi256_ps(bits) })
    }

    #[inline(always)]
    fn load_f16(self, numbers: &[u8; 32]) -> FloatPair {
        let at = numbers.as_ptr().cast::<__m128i>();
        // SAFETY: F16C is there, see the type; there are 32 bytes.
        unsafe {
            [
                _mm256_cvtph_ps(_mm_loadu_si128(at)),
                _mm256_cvtph_ps(_mm_loadu_si128(at.add(1))),
            ]
        }
    }

    #[inline(always)]
    fn load_f8(self, codes: &[u8; 16]) -> FloatPair {
        // SAFETY: AVX2 and F16C are there, see the type; there are 16 bytes.
        unsafe {
            let wide = _mm256_cvtepi8_epi16(_mm_loadu_si128(codes.as_ptr().cast()));
            // The sign is in all upper bits; exponent and mantissa move to their places below the highest.
            let halves = _mm256_and_si256(
                _mm256_slli_epi16::<7>(wide),
                _mm256_set1_epi16(0xbfff_u16.cast_signed()),
            );
            [
                _mm256_cvtph_ps(_mm256_castsi256_si128(halves)),
                _mm256_cvtph_ps(_mm256_extracti128_si256::<1>(halves)),
            ]
        }
    }

    #[inline(always)]
    fn load_u8(self, numbers: &[u8; 16]) -> FloatPair {
        // SAFETY: AVX2 is there, see the type; there are 16 bytes.
        self.to_floats(unsafe {
            let bytes = _mm_loadu_si128(numbers.as_ptr().cast());
            [
                _mm256_cvtepu8_epi32(bytes),
                _mm256_cvtepu8_epi32(_mm_srli_si128::<8>(bytes)),
            ]
        })
    }

    #[inline(always)]
    fn load_i8(self, numbers: &[u8; 16]) -> FloatPair {
        // SAFETY: AVX2 is there, see the type; there are 16 bytes.
        self.to_floats(unsafe {
            let bytes = _mm_loadu_si128(numbers.as_ptr().cast());
            [
                _mm256_cvtepi8_epi32(bytes),
                _mm256_cvtepi8_epi32(_mm_srli_si128::<8>(bytes)),
            ]
        })
    }

    #[inline(always)]
    fn low_bf16(self, words: &[u8; 64]) -> FloatPair {
        // SAFETY: AVX2 is there, see the type.
        self.load(words)
            .map(|words| unsafe { _mm256_castsi256_ps(_mm256_slli_epi32::<16>(words)) })
    }

    #[inline(always)]
    fn high_bf16(self, words: &[u8; 64]) -> FloatPair {
        // SAFETY: AVX2 is there, see the type.
        self.load(words).map(|words| unsafe {
            _mm256_castsi256_ps(_mm256_and_si256(
                words,
                _mm256_set1_epi32(0xffff_0000_u32.cast_signed()),
            ))
        })
    }

    #[inline(always)]
    fn store(self, numbers: FloatPair, to: &mut PerRow) {
        let to = to.0.as_mut_ptr();
        const { assert!(ROWS == 16) };
        // SAFETY: AVX2 is there, see the type; there is room for 16 numbers.
        unsafe {
            _mm256_storeu_ps(to, numbers[0]);
            _mm256_storeu_ps(to.add(8), numbers[1]);
        }
    }

    #[inline(always)]
    fn store_bytes(self, bytes: Pair, to: &mut [u8; 64]) {
        let to = to.as_mut_ptr().cast::<__m256i>();
        // SAFETY: AVX2 is there, see the type; there is room for 64 bytes.
        unsafe {
            _mm256_storeu_si256(to, bytes[0]);
            _mm256_storeu_si256(to.add(1), bytes[1]);
        }
    }

    #[inline(always)]
    fn prefetch(self, at: *const u8) {
        // SAFETY: a prefetch reads nothing that the program can see and never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(at.cast()) }
    }
}

impl WideVector for Avx2 {
    #[inline(always)]
    fn store_pairs(self, bytes: Pair, to: &mut [[u8; 64]; 2]) {
        // SAFETY: AVX2 is there, see the type.
        let halves = |order: i32| unsafe {
            // Each byte to the upper half of its 16 bits, and down again with its sign.
            let order = _mm256_add_epi8(
                _mm256_set1_epi32(order),
                _mm256_setr_epi32(
                    0,
                    0x0400_0400,
                    0x0800_0800,
                    0x0c00_0c00,
                    0,
                    0x0400_0400,
                    0x0800_0800,
                    0x0c00_0c00,
                ),
            );
            bytes.map(|bytes| _mm256_srai_epi16::<8>(_mm256_shuffle_epi8(bytes, order)))
        };
        self.store_bytes(halves(0x0180_0080), &mut to[0]);
        self.store_bytes(halves(0x0380_0280), &mut to[1]);
    }

    #[inline(always)]
    fn dot_pairs(self, sum: Pair, pairs: Pair, word: i32) -> Pair {
        // SAFETY: AVX2 is there, see the type.
        let x = unsafe { _mm256_set1_epi32(word) };
        // SAFETY: AVX2 is there, see the type.
        zip(sum, pairs, |sum, weights| unsafe {
            _mm256_add_epi32(sum, _mm256_madd_epi16(weights, x))
        })
    }

    #[inline(always)]
    fn load_row(self, numbers: &PerRow) -> FloatPair {
        let at = numbers.0.as_ptr();
        const { assert!(ROWS == 16) };
        // SAFETY: AVX2 is there, see the type; there are 16 numbers.
        unsafe { [_mm256_loadu_ps(at), _mm256_loadu_ps(at.add(8))] }
    }
}
