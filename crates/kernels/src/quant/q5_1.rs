//! `Q5_1`: 32 weights of 5 bits, a scale and a minimum, `w = d q + m`.
//!
//! In the file, a block is `d: f16, m: f16, high: u32, q: [u8; 16]`: bit `i` of `high` is the fifth bit of weight `i`; byte `i` has
//! weight `i` in its low half and `i + 16` in its high one.
//!
//! In a tile, a block is 16 scales, 16 minima, a line of the fifth bits and 4 lines of the others.

use super::block::{Block, Numbers, PackedRow, TileRow, gather_nibbles, spread_bits, word};
use super::tile::integer::{self, Values};
use super::tile::{Vector, part};
use super::{Format, IntegerFormat};

pub(super) static FORMAT: Format = Format::integer::<Q5_1>("Q5_1", 7);

struct Q5_1;

/// Where the parts of a block of a tile begin; the scales come first.
const MINIMA: usize = 32;
const HIGH: usize = 64;
const LOW: usize = 128;

impl integer::Layout for Q5_1 {
    const LEN: usize = 32;
    const BYTES: usize = 24;
    const GROUP: usize = 32;
    const VALUES: Values = Values::Unsigned { max: 31, offset: 0 };
    const HAS_MINIMUM: bool = true;
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

    #[inline(always)]
    fn minimum<V: Vector>(v: V, block: &[u8], _scales: &(), _step: usize, _group: usize) -> V::Floats {
        v.load_f16(part(block, MINIMA))
    }
}

impl IntegerFormat for Q5_1 {
    type Block = Block<8>;

    #[inline(always)]
    fn read(block: &[u8]) -> Self::Block {
        let high = word(block, 4);
        let mut words = gather_nibbles(part(block, 8));
        for (i, word) in words.iter_mut().enumerate() {
            *word |= spread_bits(high >> (4 * i)) << 4;
        }
        Block {
            d: *part(block, 0),
            m: *part(block, 2),
            words,
            ..Block::ZERO
        }
    }

    #[inline(always)]
    fn write(block: &Self::Block, to: &mut TileRow<'_>) {
        to.put_half(0, block.d);
        to.put_half(MINIMA, block.m);
        to.put_bits(HIGH, block.words.map(|word| word >> 4));
        to.put_nibbles(LOW, &block.words);
    }

    fn read_packed(from: PackedRow<'_>) -> Self::Block {
        Block {
            d: from.half(0),
            m: from.half(MINIMA),
            words: std::array::from_fn(|i| from.nibbles(LOW, i) | from.bits(HIGH, i) << 4),
            ..Block::ZERO
        }
    }

    fn numbers(block: &Self::Block, numbers: &mut Numbers) {
        numbers.set_values(&block.words, |stored| stored.cast_signed());
        numbers.scales[0] = block.d();
        numbers.minima[0] = block.m();
    }
}
