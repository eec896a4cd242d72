//! `Q5_0`: 32 weights of 5 bits and a scale, `w = d (q - 16)`.
//!
//! In the file, a block is `d: f16, high: u32, q: [u8; 16]`: bit `i` of `high` is the fifth bit of weight `i`; byte `i` has weight `i`
//! in its low half and `i + 16` in its high one.
//!
//! In a tile, a block is 16 scales, a line of the fifth bits and 4 lines of the others.

use super::block::{Block, Numbers, PackedRow, TileRow, gather_nibbles, spread_bits, word};
use super::tile::integer::{self, Values};
use super::tile::{Vector, part};
use super::{Format, IntegerFormat};

pub(super) static FORMAT: Format = Format::integer::<Q5_0>("Q5_0", 6);

struct Q5_0;

/// Where the parts of a block of a tile begin; the scales come first.
const HIGH: usize = 32;
const LOW: usize = 96;

impl integer::Layout for Q5_0 {
    const LEN: usize = 32;
    const BYTES: usize = 22;
    const GROUP: usize = 32;
    const VALUES: Values = Values::Unsigned { max: 31, offset: 16 };
    const HAS_MINIMUM: bool = false;
    type Scales = ();

    #[inline(always)]
    fn scales<V: Vector>(_v: V, _block: &[u8]) {}

    #[inline(always)]
    fn line<V: Vector>(v: V, block: &[u8], _step: usize, _group: usize, line: usize) -> V::Bytes {
        let pair = v.load(part(block, LOW + 64 * (line / 2)));
        let low = v.and(
            if line.is_multiple_of(2) {
                pair
            } else {
                v.shift_right(pair, 4)
            },
            15,
        );
        let bits = v.load(part(block, HIGH));
        let bits = if line < 4 {
            v.shift_left(bits, 4 - line as u32)
        } else {
            v.shift_right(bits, line as u32 - 4)
        };
        v.or(low, v.and(bits, 16))
    }

    #[inline(always)]
    fn scale<V: Vector>(v: V, block: &[u8], _scales: &(), _step: usize, _group: usize) -> V::Floats {
        v.load_f16(part(block, 0))
    }
}

impl IntegerFormat for Q5_0 {
    type Block = Block<8>;

    #[inline(always)]
    fn read(block: &[u8]) -> Self::Block {
        let high = word(block, 2);
        let mut words = gather_nibbles(part(block, 6));
        for (i, word) in words.iter_mut().enumerate() {
            *word |= spread_bits(high >> (4 * i)) << 4;
        }
        Block {
            d: *part(block, 0),

            words,
            ..Block::ZERO
        }
    }

    #[inline(always)]
    fn write(block: &Self::Block, to: &mut TileRow<'_>) {
        to.put_half(0, block.d);
        to.put_bits(HIGH, block.words.map(|word| word >> 4));
        to.put_nibbles(LOW, &block.words);
    }

    fn read_packed(from: PackedRow<'_>) -> Self::Block {
        Block {
            d: from.half(0),

            words: std::array::from_fn(|i| from.nibbles(LOW, i) | from.bits(HIGH, i) << 4),
            ..Block::ZERO
        }
    }

    fn numbers(block: &Self::Block, numbers: &mut Numbers) {
        numbers.set_values(&block.words, |stored| stored.cast_signed() - 16);
        numbers.scales[0] = block.d();
    }
}
