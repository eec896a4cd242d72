//! `NVFP4`: 64 weights that choose from 16 floating point numbers of 4 bits; 4 groups of 16 with a scale each, itself a floating
//! point number of 7 bits, `w = d STEPS[q]`.
//!
//! In the file, a block is `scales: [u8; 4], q: [u8; 32]`: each 8 bytes of `q` hold a group, its first 8 weights in the low
//! halves. A scale has 4 bits of exponent over 3 of mantissa and counts half, since the steps are twice their numbers to be
//! whole; `0x7f`, which would be no number, is zero.
//!
//! In a tile, a block is 4 runs of 16 scales as halves, which hold them exactly, and 2 lines for each group.

use half::f16;

use super::block::{Block, LOW_NIBBLES, Numbers, PackedRow, TileRow, gather};
use super::tile::integer::{self, Values};
use super::tile::{Vector, part};
use super::{Format, IntegerFormat};

pub(super) static FORMAT: Format = Format::integer::<Nvfp4>("NVFP4", 40);

struct Nvfp4;

/// Twice 0, 0.5, 1, 1.5, 2, 3, 4, 6, and the same below zero.
const STEPS: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/// Where the lines of a block of a tile begin; the scales come first.
const LOW: usize = 4 * 32;

/// Half of what a stored scale says. The highest bit means nothing.
fn scale(stored: u8) -> f32 {
    if stored == 0x7f {
        return 0.0;
    }
    let (exponent, mantissa) = (i32::from(stored >> 3 & 15), f32::from(stored & 7));
    match exponent {
        0 => mantissa / 1024.0,
        _ => (1.0 + mantissa / 8.0) * f32::from_bits(((exponent + 119) as u32) << 23),
    }
}

impl integer::Layout for Nvfp4 {
    const LEN: usize = 64;
    const BYTES: usize = 40;
    const GROUP: usize = 16;
    const VALUES: Values = Values::Signed;
    const HAS_MINIMUM: bool = false;
    type Scales = ();

    #[inline(always)]
    fn scales<V: Vector>(_v: V, _block: &[u8]) {}

    #[inline(always)]
    fn line<V: Vector>(v: V, block: &[u8], step: usize, group: usize, line: usize) -> V::Bytes {
        let group = 2 * step + group;
        let pair = v.load(part(block, LOW + 128 * group + 64 * (line / 2)));
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
    fn scale<V: Vector>(v: V, block: &[u8], _scales: &(), step: usize, group: usize) -> V::Floats {
        v.load_f16(part(block, 32 * (2 * step + group)))
    }
}

/// What a block holds for one row: its scales as the tile has them, and its weights.
pub(super) struct Row {
    scales: [[u8; 2]; 4],
    block: Block<16>,
}

impl IntegerFormat for Nvfp4 {
    const FILE_BYTES: usize = 36;
    type Block = Row;

    fn read(block: &[u8]) -> Self::Block {
        let mut words = [0; 16];
        for (half, words) in words.as_chunks_mut::<2>().0.iter_mut().enumerate() {
            let bytes = part::<8>(block, 4 + half / 2 * 8);
            gather(words, bytes, half % 2 * 4, LOW_NIBBLES, 0);
        }
        let scales = part::<4>(block, 0).map(|stored| f16::from_f32(scale(stored)).to_le_bytes());
        Row {
            scales,
            block: Block { words, ..Block::ZERO },
        }
    }

    fn write(row: &Self::Block, to: &mut TileRow<'_>) {
        for (group, &scale) in row.scales.iter().enumerate() {
            to.put_half(32 * group, scale);
        }
        to.put_nibbles(LOW, &row.block.words);
    }

    fn read_packed(from: PackedRow<'_>) -> Self::Block {
        let block = Block {
            words: std::array::from_fn(|i| from.nibbles(LOW, i)),
            ..Block::ZERO
        };
        Row {
            scales: std::array::from_fn(|group| from.half(32 * group)),
            block,
        }
    }

    fn numbers(row: &Self::Block, numbers: &mut Numbers) {
        numbers.set_values(&row.block.words, |stored| STEPS[usize::from(stored)]);
        for (to, &scale) in numbers.scales.iter_mut().zip(&row.scales) {
            *to = f16::from_le_bytes(scale).to_f32();
        }
    }
}
