//! `Q6_K`: 256 weights of 6 bits; 16 groups of 16 with a signed scale of 8 bits each, `w = d s (q - 32)`.
//!
//! In the file, a block is `low: [u8; 128], high: [u8; 64], scales: [i8; 16], d: f16`: each 64 bytes of `low` hold 128 weights, the
//! first 64 in the low halves; each 32 bytes of `high` hold 128 weights, weight `32 j + i` in bits `2 j` of byte `i`.
//!
//! In a tile, a block is 16 `d`, 16 runs of 16 scales, and for each of the 16 groups 2 lines of the low 4 bits and a line of the
//! high 2 bits.

use super::block::{Block, LOW_NIBBLES, LOW_PAIRS, Numbers, PackedRow, TileRow, gather};
use super::tile::integer::{self, Values};
use super::tile::{Vector, part};
use super::{Format, IntegerFormat};

pub(super) static FORMAT: Format = Format::integer::<Q6K>("Q6_K", 14);

struct Q6K;

/// Where the parts of a block of a tile begin; `d` comes first.
const SCALES: usize = 32;
const GROUPS: usize = SCALES + 16 * 16;
/// The low bits, then the high ones.
const GROUP_BYTES: usize = 3 * 64;

impl integer::Layout for Q6K {
    const LEN: usize = 256;
    const BYTES: usize = 210;
    const GROUP: usize = 16;
    const VALUES: Values = Values::Unsigned { max: 63, offset: 32 };
    const HAS_MINIMUM: bool = false;
    type Scales = ();

    #[inline(always)]
    fn scales<V: Vector>(_v: V, _block: &[u8]) {}

    #[inline(always)]
    fn line<V: Vector>(v: V, block: &[u8], step: usize, group: usize, line: usize) -> V::Bytes {
        let group = GROUPS + GROUP_BYTES * (2 * step + group);
        let pair = v.load(part(block, group + 64 * (line / 2)));
        let low = v.and(
            if line.is_multiple_of(2) {
                pair
            } else {
                v.shift_right(pair, 4)
            },
            15,
        );
        let bits = v.load(part(block, group + 128));
        let bits = if line < 2 {
            v.shift_left(bits, 4 - 2 * line as u32)
        } else {
            v.shift_right(bits, 2 * line as u32 - 4)
        };
        v.or(low, v.and(bits, 48))
    }

    #[inline(always)]
    fn scale<V: Vector>(v: V, block: &[u8], _scales: &(), step: usize, group: usize) -> V::Floats {
        v.mul(
            v.load_f16(part(block, 0)),
            v.load_i8(part(block, SCALES + 16 * (2 * step + group))),
        )
    }
}

impl IntegerFormat for Q6K {
    type Block = Block<64>;

    #[inline(always)]
    fn read(block: &[u8]) -> Self::Block {
        let mut words = [0; 64];
        for (i, words) in words.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            gather(
                words,
                part::<32>(block, i / 4 * 64 + i % 2 * 32),
                i / 2 % 2 * 4,
                LOW_NIBBLES,
                0,
            );
            gather(
                words,
                part::<32>(block, 128 + i / 4 * 32),
                i % 4 * 2,
                LOW_PAIRS,
                4,
            );
        }
        Block {
            d: *part(block, 208),
            scales: *part(block, 192),
            words,
            ..Block::ZERO
        }
    }

    #[inline(always)]
    fn write(block: &Self::Block, to: &mut TileRow<'_>) {
        to.put_half(0, block.d);
        to.put_bytes(SCALES, &block.scales);
        for (group, words) in block.words.as_chunks::<4>().0.iter().enumerate() {
            let group = GROUPS + GROUP_BYTES * group;
            to.put_nibbles(group, words);
            to.put_pairs(group + 128, words.map(|word| word >> 4));
        }
    }

    fn read_packed(from: PackedRow<'_>) -> Self::Block {
        Block {
            d: from.half(0),
            scales: from.bytes(SCALES),
            words: std::array::from_fn(|i| {
                let (group, i) = (GROUPS + GROUP_BYTES * (i / 4), i % 4);
                from.nibbles(group, i) | from.pairs(group + 128, i) << 4
            }),
            ..Block::ZERO
        }
    }

    fn numbers(block: &Self::Block, numbers: &mut Numbers) {
        numbers.set_values(&block.words, |stored| stored.cast_signed() - 32);
        numbers.scales = block
            .scales
            .map(|scale| block.d() * f32::from(scale.cast_signed()));
    }
}
