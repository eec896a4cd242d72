//! `Q8_0`: 32 signed bytes and a scale, `w = d q`.
//!
//! In the file, a block is `d: f16, q: [i8; 32]`.
//!
//! In a tile, a block is 16 scales and 8 lines.

use super::block::{Block, Numbers, PackedRow, TileRow, word};
use super::tile::integer::{self, Values};
use super::tile::{Vector, part};
use super::{Coded, Format, IntegerFormat, is_half};

pub(super) static FORMAT: Format = Format::integer::<Q8_0>("Q8_0", 8);

struct Q8_0;

/// Where the parts of a block of a tile begin; the scales come first.
const LINES: usize = 32;

impl integer::Layout for Q8_0 {
    const LEN: usize = 32;
    const BYTES: usize = 34;
    const GROUP: usize = 32;
    const VALUES: Values = Values::Signed;
    const HAS_MINIMUM: bool = false;
    type Scales = ();

    #[inline(always)]
    fn scales<V: Vector>(_v: V, _block: &[u8]) {}

    #[inline(always)]
    fn line<V: Vector>(v: V, block: &[u8], _step: usize, _group: usize, line: usize) -> V::Bytes {
        v.load(part(block, LINES + 64 * line))
    }

    #[inline(always)]
    fn scale<V: Vector>(v: V, block: &[u8], _scales: &(), _step: usize, _group: usize) -> V::Floats {
        v.load_f16(part(block, 0))
    }
}

impl IntegerFormat for Q8_0 {
    const ENCODE: Option<super::Encode> = Some(encode);
    const CODED: Option<Coded> = Some(Coded {
        max_code: 255,
        is_float: false,
        holds: |scale, zero| zero == 128 && is_half(scale),
        compose,
    });
    type Block = Block<8>;

    #[inline(always)]
    fn read(block: &[u8]) -> Self::Block {
        Block {
            d: *part(block, 0),
            words: std::array::from_fn(|i| word(block, 2 + 4 * i)),
            ..Block::ZERO
        }
    }

    #[inline(always)]
    fn write(block: &Self::Block, to: &mut TileRow<'_>) {
        to.put_half(0, block.d);
        for (line, &word) in block.words.iter().enumerate() {
            to.put_word(LINES + 64 * line, word);
        }
    }

    fn read_packed(from: PackedRow<'_>) -> Self::Block {
        let words = std::array::from_fn(|line| from.word(LINES + 64 * line));
        Block {
            d: from.half(0),
            words,
            ..Block::ZERO
        }
    }

    fn numbers(block: &Self::Block, numbers: &mut Numbers) {
        numbers.set_values(&block.words, u8::cast_signed);
        numbers.scales[0] = block.d();
    }
}

/// The largest weight becomes 127; halves are rounded away from zero.
fn encode(numbers: &[f32], block: &mut [u8]) {
    let largest = numbers.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
    let d = largest / 127.0;
    let factor = if d == 0.0 { 0.0 } else { 1.0 / d };
    block[..2].copy_from_slice(&half::f16::from_f32(d).to_le_bytes());
    for (to, x) in block[2..].iter_mut().zip(numbers) {
        let x = x * factor;
        let whole = x as i8;
        // Not `round`, which is a call to the C library.
        let away = i8::from((x - f32::from(whole)).abs() >= 0.5);
        *to = whole
            .saturating_add(if x < 0.0 { -away } else { away })
            .cast_unsigned();
    }
}

fn compose(scale: f32, zero: u16, codes: &[u8], block: &mut [u8]) {
    block[..2].copy_from_slice(&half::f16::from_f32(scale).to_le_bytes());
    for (to, &code) in block[2..].iter_mut().zip(codes) {
        *to = code.wrapping_sub(zero as u8);
    }
}
