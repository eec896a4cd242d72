//! `Q4_0`: 32 weights of 4 bits and a scale, `w = d (q - 8)`.
//!
//! In the file, a block is `d: f16, q: [u8; 16]`, byte `i` with weight `i` in its low half and `i + 16` in its high one.
//!
//! In a tile, a block is 16 scales and 4 lines.

use super::block::{Block, Numbers, PackedRow, TileRow, gather_nibbles};
use super::tile::integer::{self, Values};
use super::tile::{Vector, part};
use super::{Coded, Format, IntegerFormat, is_half};

pub(super) static FORMAT: Format = Format::integer::<Q4_0>("Q4_0", 2);

struct Q4_0;

/// Where the parts of a block of a tile begin; the scales come first.
const LOW: usize = 32;

impl integer::Layout for Q4_0 {
    const LEN: usize = 32;
    const BYTES: usize = 18;
    const GROUP: usize = 32;
    const VALUES: Values = Values::Unsigned { max: 15, offset: 8 };
    const HAS_MINIMUM: bool = false;
    type Scales = ();

    #[inline(always)]
    fn scales<V: Vector>(_v: V, _block: &[u8]) {}

    #[inline(always)]
    fn line<V: Vector>(v: V, block: &[u8], _step: usize, _group: usize, line: usize) -> V::Bytes {
        let pair = v.load(part(block, LOW + 64 * (line / 2)));
        v.and(
            if line.is_multiple_of(2) {
                pair
            } else {
                v.shift_right(pair, 4)
            },
            15,
        )
    }

    #[inline(always)]
    fn scale<V: Vector>(v: V, block: &[u8], _scales: &(), _step: usize, _group: usize) -> V::Floats {
        v.load_f16(part(block, 0))
    }
}

impl IntegerFormat for Q4_0 {
    const ENCODE: Option<super::Encode> = Some(encode);
    const CODED: Option<Coded> = Some(Coded {
        max_code: 15,
        is_float: false,
        holds: |scale, zero| zero == 8 && is_half(scale),
        compose,
    });
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
        numbers.set_values(&block.words, |stored| stored.cast_signed() - 8);
        numbers.scales[0] = block.d();
    }
}

/// The largest weight, of equals the first, becomes -8 of 16 steps.
fn encode(numbers: &[f32], block: &mut [u8]) {
    let larger = |largest: f32, &x: &f32| if x.abs() > largest.abs() { x } else { largest };
    let d = numbers.iter().fold(0.0, larger) / -8.0;
    let factor = if d == 0.0 { 0.0 } else { 1.0 / d };
    block[..2].copy_from_slice(&half::f16::from_f32(d).to_le_bytes());
    let step = |x: f32| ((x * factor + 8.5) as u8).min(15);
    let (first, second) = numbers.split_at(16);
    for ((to, &low), &high) in block[2..].iter_mut().zip(first).zip(second) {
        *to = step(low) | step(high) << 4;
    }
}

fn compose(scale: f32, _zero: u16, codes: &[u8], block: &mut [u8]) {
    block[..2].copy_from_slice(&half::f16::from_f32(scale).to_le_bytes());
    let (first, second) = codes.split_at(16);
    for ((to, &low), &high) in block[2..].iter_mut().zip(first).zip(second) {
        *to = low & 15 | high << 4;
    }
}
