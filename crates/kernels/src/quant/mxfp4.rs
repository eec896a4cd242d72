//! `MXFP4`: 32 weights that choose from 16 floating point numbers of 4 bits, and a power of two, `w = d STEPS[q]`.
//!
//! In the file, a block is `e: u8, q: [u8; 16]`, byte `i` with weight `i` in its low half and `i + 16` in its high one, and
//! `d = 2^(e - 128)`: half of what the exponent says, since the steps are twice their numbers to be whole.
//!
//! In a tile, a block is 16 `d` as `f32` and 4 lines: 4 bytes for a scale of 1 byte, which makes weights 18 % larger. Exponents
//! have no other form that all instruction sets read in one step, and halves do not reach as far.

use super::block::{Block, Numbers, PackedRow, TileRow, gather_nibbles};
use super::tile::integer::{self, Values};
use super::tile::{Vector, part};
use super::{Format, IntegerFormat};

pub(super) static FORMAT: Format = Format::integer::<Mxfp4>("MXFP4", 39);

struct Mxfp4;

/// Twice 0, 0.5, 1, 1.5, 2, 3, 4, 6, and the same below zero.
const STEPS: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/// Where the lines of a block of a tile begin; the scales come first.
const LOW: usize = 64;

/// `2^(exponent - 128)`; the first two are subnormal.
fn scale(exponent: u8) -> f32 {
    f32::from_bits(match exponent {
        0 => 0x0020_0000,
        1 => 0x0040_0000,
        _ => u32::from(exponent - 1) << 23,
    })
}

/// The way back from [`scale`].
fn exponent(scale: f32) -> u8 {
    match scale.to_bits() {
        0x0020_0000 => 0,
        0x0040_0000 => 1,
        bits => ((bits >> 23) + 1) as u8,
    }
}

impl integer::Layout for Mxfp4 {
    const LEN: usize = 32;
    const BYTES: usize = 20;
    const GROUP: usize = 32;
    const VALUES: Values = Values::Signed;
    const HAS_MINIMUM: bool = false;
    type Scales = ();

    #[inline(always)]
    fn scales<V: Vector>(_v: V, _block: &[u8]) {}

    #[inline(always)]
    fn line<V: Vector>(v: V, block: &[u8], _step: usize, _group: usize, line: usize) -> V::Bytes {
        let pair = v.load(part(block, LOW + 64 * (line / 2)));
        let chosen = v.and(
            if line.is_multiple_of(2) {
                pair
            } else {
                v.shift_right(pair, 4)
            },
            15,
        );
        v.lookup(&STEPS, chosen)
    }

    #[inline(always)]
    fn scale<V: Vector>(v: V, block: &[u8], _scales: &(), _step: usize, _group: usize) -> V::Floats {
        v.load_f32(part(block, 0))
    }
}

impl IntegerFormat for Mxfp4 {
    const FILE_BYTES: usize = 17;
    type Block = Block<8>;

    fn read(block: &[u8]) -> Self::Block {
        let mut scales = [0; 16];
        scales[0] = block[0];
        Block {
            scales,
            words: gather_nibbles(part(block, 1)),
            ..Block::ZERO
        }
    }

    fn write(block: &Self::Block, to: &mut TileRow<'_>) {
        to.put_word(0, scale(block.scales[0]).to_bits());
        to.put_nibbles(LOW, &block.words);
    }

    fn read_packed(from: PackedRow<'_>) -> Self::Block {
        let mut scales = [0; 16];
        scales[0] = exponent(f32::from_bits(from.word(0)));
        Block {
            scales,
            words: std::array::from_fn(|i| from.nibbles(LOW, i)),
            ..Block::ZERO
        }
    }

    fn numbers(block: &Self::Block, numbers: &mut Numbers) {
        numbers.set_values(&block.words, |stored| STEPS[usize::from(stored)]);
        numbers.scales[0] = scale(block.scales[0]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exponent_is_its_power_of_two_and_comes_back() {
        for e in 0..=u8::MAX {
            assert_eq!(f64::from(scale(e)), 2_f64.powi(i32::from(e) - 128));
            assert_eq!(exponent(scale(e)), e);
        }
    }
}
