//! Plain Rust, for CPUs without any of the instruction sets.

use std::marker::PhantomData;

use super::super::f8;
use super::{Kernel, Panel, PerRow, ROWS, Tile, Vector};

#[derive(Clone, Copy)]
pub(super) struct Scalar;

pub(super) struct Kernels<T>(PhantomData<T>);

impl<T: Tile> Kernels<T> {
    // Nothing is won by more columns at once: the arithmetic takes longer than reading the weights again.
    pub(super) const LIST: &'static [(usize, Kernel)] = &[(
        1,
        Kernel {
            one: run::<T>,
            two: None,
            asks_ahead: false,
        },
    )];
}

fn run<T: Tile>(tile: &[u8], panel: Panel<'_>, ahead: &[u8], out: &mut [PerRow]) {
    T::run::<Scalar, 1, 1>(Scalar, tile, panel, ahead, out);
}

#[inline]
fn map<T: Copy, U>(a: [T; ROWS], f: impl Fn(T) -> U) -> [U; ROWS] {
    std::array::from_fn(|i| f(a[i]))
}

/// A line as one word per row.
type Words = [u32; ROWS];

impl Scalar {
    #[inline]
    fn dot(sum: [i32; ROWS], bytes: Words, word: i32, byte: impl Fn(u8) -> i32) -> [i32; ROWS] {
        let activations = word.to_le_bytes().map(|byte| i32::from(byte.cast_signed()));
        std::array::from_fn(|row| {
            let weights = bytes[row].to_le_bytes();
            let products = weights
                .into_iter()
                .zip(activations)
                .map(|(weight, x)| byte(weight) * x);
            sum[row] + products.sum::<i32>()
        })
    }
}

impl Vector for Scalar {
    type Bytes = Words;
    type Partial = [i32; ROWS];
    type Ints = [i32; ROWS];
    type Floats = [f32; ROWS];

    const SIGNED_OFFSET: i32 = 0;
    const BYTES_PER_COLUMN_TO_PREFETCH: usize = 0;
    const PARTIAL_OF_PAIRS: bool = false;

    #[inline]
    fn lines_per_partial(_max: u8) -> usize {
        usize::MAX
    }

    #[inline]
    fn load(self, line: &[u8; 64]) -> Words {
        std::array::from_fn(|row| {
            u32::from_le_bytes([
                line[4 * row],
                line[4 * row + 1],
                line[4 * row + 2],
                line[4 * row + 3],
            ])
        })
    }

    #[inline]
    fn and(self, bytes: Words, mask: u8) -> Words {
        map(bytes, |word| word & u32::from_ne_bytes([mask; 4]))
    }

    #[inline]
    fn or(self, a: Words, b: Words) -> Words {
        std::array::from_fn(|row| a[row] | b[row])
    }

    #[inline]
    fn shift_left(self, bytes: Words, bits: u32) -> Words {
        map(bytes, |word| word << bits)
    }

    #[inline]
    fn shift_right(self, bytes: Words, bits: u32) -> Words {
        map(bytes, |word| word >> bits)
    }

    #[inline]
    fn lookup(self, table: &[i8; 16], bytes: Words) -> Words {
        map(bytes, |word| {
            u32::from_le_bytes(
                word.to_le_bytes()
                    .map(|byte| table[usize::from(byte & 15)].cast_unsigned()),
            )
        })
    }

    #[inline]
    fn splat_int(self, value: i32) -> [i32; ROWS] {
        [value; ROWS]
    }

    #[inline]
    fn open(self, correction: u32) -> [i32; ROWS] {
        [correction.cast_signed(); ROWS]
    }

    #[inline]
    fn dot(self, sum: [i32; ROWS], unsigned: Words, word: i32) -> [i32; ROWS] {
        Scalar::dot(sum, unsigned, word, i32::from)
    }

    #[inline]
    fn signed(self, bytes: Words) -> Words {
        bytes
    }

    #[inline]
    fn dot_signed(self, sum: [i32; ROWS], signed: Words, word: i32) -> [i32; ROWS] {
        Scalar::dot(sum, signed, word, |byte| i32::from(byte.cast_signed()))
    }

    #[inline]
    fn close(self, sum: [i32; ROWS], partial: [i32; ROWS]) -> [i32; ROWS] {
        std::array::from_fn(|row| sum[row] + partial[row])
    }

    #[inline]
    fn to_floats(self, ints: [i32; ROWS]) -> [f32; ROWS] {
        map(ints, |int| int as f32)
    }

    #[inline]
    fn splat(self, value: f32) -> [f32; ROWS] {
        [value; ROWS]
    }

    #[inline]
    fn add(self, a: [f32; ROWS], b: [f32; ROWS]) -> [f32; ROWS] {
        std::array::from_fn(|row| a[row] + b[row])
    }

    #[inline]
    fn mul(self, a: [f32; ROWS], b: [f32; ROWS]) -> [f32; ROWS] {
        std::array::from_fn(|row| a[row] * b[row])
    }

    #[inline]
    fn mul_add(self, a: [f32; ROWS], b: [f32; ROWS], c: [f32; ROWS]) -> [f32; ROWS] {
        std::array::from_fn(|row| a[row].mul_add(b[row], c[row]))
    }

    #[inline]
    fn load_f32(self, numbers: &[u8; 64]) -> [f32; ROWS] {
        map(self.load(numbers), f32::from_bits)
    }

    #[inline]
    fn load_f16(self, numbers: &[u8; 32]) -> [f32; ROWS] {
        std::array::from_fn(|row| half::f16::from_le_bytes([numbers[2 * row], numbers[2 * row + 1]]).to_f32())
    }

    #[inline]
    fn load_f8(self, codes: &[u8; 16]) -> [f32; ROWS] {
        map(*codes, |code| f8::small_half(code).to_f32())
    }

    #[inline]
    fn load_u8(self, numbers: &[u8; 16]) -> [f32; ROWS] {
        map(*numbers, f32::from)
    }

    #[inline]
    fn load_i8(self, numbers: &[u8; 16]) -> [f32; ROWS] {
        map(*numbers, |number| f32::from(number.cast_signed()))
    }

    #[inline]
    fn low_bf16(self, words: &[u8; 64]) -> [f32; ROWS] {
        map(self.load(words), |word| f32::from_bits(word << 16))
    }

    #[inline]
    fn high_bf16(self, words: &[u8; 64]) -> [f32; ROWS] {
        map(self.load(words), |word| f32::from_bits(word & 0xffff_0000))
    }

    #[inline]
    fn store(self, numbers: [f32; ROWS], to: &mut PerRow) {
        to.0 = numbers;
    }

    #[inline]
    fn store_bytes(self, bytes: Words, to: &mut [u8; 64]) {
        for (to, word) in to.as_chunks_mut::<4>().0.iter_mut().zip(bytes) {
            *to = word.to_le_bytes();
        }
    }

    #[inline]
    fn prefetch(self, _at: *const u8) {}
}
