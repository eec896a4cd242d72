//! `IQ4_NL`: 32 weights of 4 bits that choose from 16 uneven steps, and a scale, `w = d STEPS[q]`.
//!
//! In the file, a block is `d: f16, q: [u8; 16]`, byte `i` with weight `i` in its low half and `i + 16` in its high one.
//!
//! In a tile, a block is 16 scales and 4 lines.

use super::block::{Block, Numbers, PackedRow, TileRow, gather_nibbles};
use super::tile::integer::{self, Values};
use super::tile::{Vector, part};
use super::{Format, IntegerFormat};

pub(super) static FORMAT: Format = Format::integer::<Iq4Nl>("IQ4_NL", 20);

struct Iq4Nl;

/// The steps: finer near zero, where most weights are.
const STEPS: [i8; 16] = [
    -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113,
];

/// Where the parts of a block of a tile begin; the scales come first.
const LOW: usize = 32;

impl integer::Layout for Iq4Nl {
    const LEN: usize = 32;
    const BYTES: usize = 18;
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
        v.load_f16(part(block, 0))
    }
}

impl IntegerFormat for Iq4Nl {
    type Block = Block<8>;

    #[inline(always)]
    fn read(block: &[u8]) -> Self::Block {
        Block {
            d: *part(block, 0),

            words: gather_nibbles(part(block, 2)),
            ..Block::ZERO
        }
    }

    #[inline(always)]
    fn write(block: &Self::Block, to: &mut TileRow<'_>) {
        to.put_half(0, block.d);
        to.put_nibbles(LOW, &block.words);
    }

    fn read_packed(from: PackedRow<'_>) -> Self::Block {
        Block {
            d: from.half(0),

            words: std::array::from_fn(|i| from.nibbles(LOW, i)),
            ..Block::ZERO
        }
    }

    fn numbers(block: &Self::Block, numbers: &mut Numbers) {
        numbers.set_values(&block.words, |stored| STEPS[usize::from(stored)]);
        numbers.scales[0] = block.d();
    }
}
