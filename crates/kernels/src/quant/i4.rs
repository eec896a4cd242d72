//! `I4` and `I4_128`: weights of 4 bits with a whole zero point, `w = d (q - z)`: what files of GPTQ, AWQ and compressed-tensors
//! hold. 32 weights share scale and zero point, or 128; the latter takes 4.3 bits for a weight.
//!
//! They come from such files alone. As bytes, a block is `d: f32, z: u8, q`, each byte of `q` with two weights, the first in the
//! low half.
//!
//! In a tile, a block is 16 `d`, 16 `z` and 4 lines for each 32 columns. The kernel adds `-(d z)` as the minimum of each
//! weight. That changes nothing where no product needs rounding, which is what [`Format::holds`] asks for: scales with at most 19
//! significant bits, as all halves and `bf16` have.
//!
//! Scales that a half holds, with the zero point 8, are `Q4_0`, whose arithmetic has no minimum; scales of more bits, `I8`.

use super::block::{LOW_NIBBLES, Numbers, PackedRow, TileRow};
use super::tile::integer::{self, Values};
use super::tile::{Vector, part};
use super::{Coded, Format, IntegerFormat};

pub(super) static FORMAT: Format = Format::integer_of_folders::<I4<32>>("I4", CODED);
pub(super) static FORMAT_128: Format = Format::integer_of_folders::<I4<128>>("I4_128", CODED);

const CODED: Coded = Coded {
    max_code: 15,
    is_float: false,
    holds,
    compose,
};

struct I4<const COLUMNS: usize>;

/// Where the parts of a block of a tile begin; the scales come first.
const ZEROS: usize = 64;
const LOW: usize = 80;
/// Bytes of the nibbles of a step of 32 columns.
const STEP_BYTES: usize = 256;

impl<const COLUMNS: usize> integer::Layout for I4<COLUMNS> {
    const LEN: usize = COLUMNS;
    const BYTES: usize = 5 + COLUMNS / 2;
    const GROUP: usize = 32;
    const VALUES: Values = Values::Unsigned { max: 15, offset: 0 };
    const HAS_MINIMUM: bool = true;
    type Scales = ();

    #[inline(always)]
    fn scales<V: Vector>(_v: V, _block: &[u8]) {}

    #[inline(always)]
    fn line<V: Vector>(v: V, block: &[u8], step: usize, _group: usize, line: usize) -> V::Bytes {
        let pair = v.load(part(block, LOW + STEP_BYTES * step + 64 * (line / 2)));
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
        v.load_f32(part(block, 0))
    }

    #[inline(always)]
    fn minimum<V: Vector>(v: V, block: &[u8], _scales: &(), _step: usize, _group: usize) -> V::Floats {
        let d = v.mul(v.load_f32(part(block, 0)), v.splat(-1.0));
        v.mul(d, v.load_u8(part(block, ZEROS)))
    }
}

/// A block of one row.
pub(super) struct Row<const COLUMNS: usize> {
    d: [u8; 4],
    zero: u8,
    /// Of each 32 weights, 8 words of 4.
    words: [[u32; 8]; 4],
}

impl<const COLUMNS: usize> IntegerFormat for I4<COLUMNS> {
    type Block = Row<COLUMNS>;

    #[inline(always)]
    fn read(block: &[u8]) -> Self::Block {
        let mut words = [[0; 8]; 4];
        for (words, bytes) in words.iter_mut().zip(block[5..].as_chunks::<16>().0) {
            for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<2>().0) {
                let [a, b] = bytes.map(u32::from);
                *word = (a & 15) | (a >> 4) << 8 | (b & 15) << 16 | (b >> 4) << 24;
            }
        }
        Row {
            d: *part(block, 0),
            zero: block[4],
            words,
        }
    }

    #[inline(always)]
    fn write(block: &Self::Block, to: &mut TileRow<'_>) {
        to.put_word(0, u32::from_le_bytes(block.d));
        to.put_bytes(ZEROS, &[block.zero]);
        for (step, words) in block.words[..COLUMNS / 32].iter().enumerate() {
            to.put_nibbles(LOW + STEP_BYTES * step, words);
        }
    }

    fn read_packed(from: PackedRow<'_>) -> Self::Block {
        let mut words = [[0; 8]; 4];
        for (step, words) in words[..COLUMNS / 32].iter_mut().enumerate() {
            *words = std::array::from_fn(|i| from.nibbles(LOW + STEP_BYTES * step, i));
        }
        Row {
            d: from.word(0).to_le_bytes(),
            zero: from.byte(ZEROS),
            words,
        }
    }

    fn numbers(block: &Self::Block, numbers: &mut Numbers) {
        debug_assert!(
            block
                .words
                .as_flattened()
                .iter()
                .all(|word| word & !LOW_NIBBLES == 0)
        );
        numbers.set_values(block.words.as_flattened(), u8::cast_signed);
        let d = f32::from_le_bytes(block.d);
        numbers.scales[..4].fill(d);
        numbers.minima[..4].fill(-(d * f32::from(block.zero)));
    }
}

/// Whether `d q`, `d z` and their difference are numbers that need no rounding, whatever the code: `d` leaves room for 5 bits.
fn holds(scale: f32, zero: u16) -> bool {
    let far_from_the_ends = scale == 0.0 || (1e-30..1e30).contains(&scale.abs());
    zero <= 16 && far_from_the_ends && scale.to_bits() & 31 == 0
}

fn compose(scale: f32, zero: u16, codes: &[u8], block: &mut [u8]) {
    block[..4].copy_from_slice(&scale.to_le_bytes());
    block[4] = zero as u8;
    for (to, pair) in block[5..].iter_mut().zip(codes.as_chunks::<2>().0) {
        *to = pair[0] & 15 | pair[1] << 4;
    }
}
