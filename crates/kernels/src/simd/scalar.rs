//! Vectors as arrays: for CPUs without any of the instruction sets, and the twin that the others are tested against.

use super::{LANES, Lanes, pairs_by_two_products};

#[derive(Clone, Copy)]
pub(super) struct Array([f32; LANES]);

impl Array {
    #[inline(always)]
    fn zip(self, other: Self, combine: impl Fn(f32, f32) -> f32) -> Self {
        Array(std::array::from_fn(|lane| combine(self.0[lane], other.0[lane])))
    }
}

impl Array {
    #[inline(always)]
    fn load_bf16_pairs(from: &[u32; LANES]) -> (Self, Self) {
        (
            Array(from.map(|word| f32::from_bits(word << 16))),
            Array(from.map(|word| f32::from_bits(word & 0xffff_0000))),
        )
    }
}

impl Lanes for Array {
    pairs_by_two_products!();

    // An array is no register: more rows at once gain nothing.
    const ROWS: usize = 1;

    #[inline(always)]
    fn splat(value: f32) -> Self {
        Array([value; LANES])
    }

    #[inline(always)]
    fn load(from: &[f32; LANES]) -> Self {
        Array(*from)
    }

    #[inline(always)]
    fn store(self, to: &mut [f32; LANES]) {
        *to = self.0;
    }

    #[inline(always)]
    fn load_bytes(from: &[i8; LANES]) -> Self {
        Array(from.map(f32::from))
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.zip(other, |a, b| a + b)
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self.zip(other, |a, b| a - b)
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        self.zip(other, |a, b| a * b)
    }

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        self.zip(other, |a, b| a / b)
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        Array(std::array::from_fn(|lane| {
            self.0[lane].mul_add(factor.0[lane], addend.0[lane])
        }))
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        self.zip(other, |a, b| if a > b { a } else { b })
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        self.zip(other, |a, b| if a < b { a } else { b })
    }

    #[inline(always)]
    fn scale_by_power(self, shifted: Self) -> Self {
        self.zip(shifted, |x, n| {
            f32::from_bits(x.to_bits().wrapping_add(n.to_bits() << 23))
        })
    }

    #[inline(always)]
    fn store_rounded(self, to: &mut [u32; LANES]) {
        *to = self.0.map(|x| x.round_ties_even() as u32);
    }

    #[inline(always)]
    fn zero_where_below(self, x: Self, limit: Self) -> Self {
        Array(std::array::from_fn(|lane| {
            if x.0[lane] < limit.0[lane] {
                0.0
            } else {
                self.0[lane]
            }
        }))
    }
}
