//! `Q3_K`: 256 weights of 3 bits; 16 groups of 16 with a signed scale of 6 bits each, `w = d (s - 32) (q - 4)`.
//!
//! In the file, a block is `high: [u8; 32], low: [u8; 64], scales: [u8; 12], d: f16`: weight `32 j + i` has its third bit in bit
//! `j` of `high[i]`; each 32 bytes of `low` hold 128 weights, weight `32 j + i` of them in bits `2 j` of byte `i`.
//!
//! In a tile, a block is 16 `d`, 12 runs of 16 scale bytes, and for each 32 columns a line of the third bits and two lines, of 16
//! columns each, of the low 2 bits.

use super::block::{Block, LOW_BITS, LOW_PAIRS, Numbers, PackedRow, TileRow, gather};
use super::tile::integer::{self, Values};
use super::tile::{Vector, part};
use super::{Format, IntegerFormat};

pub(super) static FORMAT: Format = Format::integer::<Q3K>("Q3_K", 11);

struct Q3K;

/// Where the parts of a block of a tile begin; `d` comes first.
const SCALES: usize = 32;
const STEPS: usize = SCALES + 12 * 16;
/// The third bits, then the others.
const STEP_BYTES: usize = 3 * 64;

impl integer::Layout for Q3K {
    const LEN: usize = 256;
    const BYTES: usize = 110;
    const GROUP: usize = 16;
    const VALUES: Values = Values::Unsigned { max: 7, offset: 4 };
    const HAS_MINIMUM: bool = false;
    type Scales = [[u8; 64]; 4];

    /// The 16 scales of each group of rows, as unsigned bytes: the 4 low bits of the first 8 are in the low halves of
    /// the first 8 bytes, those of the others in the high halves; the 2 high bits of scales `i`, `i + 4`, ... are in
    /// byte `8 + i`.
    #[inline(always)]
    fn scales<V: Vector>(v: V, block: &[u8]) -> [[u8; 64]; 4] {
        let mut scales = [[0; 64]; 4];
        let high = v.load(part(block, SCALES + 128));
        for (i, scales) in scales.iter_mut().enumerate() {
            let low = v.load(part(block, SCALES + 64 * (i % 2)));
            let low = v.and(if i < 2 { low } else { v.shift_right(low, 4) }, 15);
            let high = if i < 2 {
                v.shift_left(high, 4 - 2 * i as u32)
            } else {
                v.shift_right(high, 2 * i as u32 - 4)
            };
            v.store_bytes(v.or(low, v.and(high, 48)), scales);
        }
        scales
    }

    #[inline(always)]
    fn line<V: Vector>(v: V, block: &[u8], step: usize, group: usize, line: usize) -> V::Bytes {
        let at = STEPS + STEP_BYTES * step;
        let low = v.and(
            v.shift_right(v.load(part(block, at + 64 + 64 * group)), 2 * line as u32),
            3,
        );
        let (bits, bit) = (v.load(part(block, at)), (4 * group + line) as u32);
        let bits = if bit < 2 {
            v.shift_left(bits, 2 - bit)
        } else {
            v.shift_right(bits, bit - 2)
        };
        v.or(low, v.and(bits, 4))
    }

    #[inline(always)]
    fn scale<V: Vector>(v: V, block: &[u8], scales: &[[u8; 64]; 4], step: usize, group: usize) -> V::Floats {
        let scale = v.load_u8(part(scales.as_flattened(), 16 * (2 * step + group)));
        v.mul(v.load_f16(part(block, 0)), v.add(scale, v.splat(-32.0)))
    }
}

impl IntegerFormat for Q3K {
    type Block = Block<64>;

    #[inline(always)]
    fn read(block: &[u8]) -> Self::Block {
        let mut scales = [0; 16];
        scales[..12].copy_from_slice(&block[96..108]);
        let mut words = [0; 64];
        for (i, words) in words.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            gather(words, part::<32>(block, 32 + i / 4 * 32), i % 4 * 2, LOW_PAIRS, 0);
            gather(words, part::<32>(block, 0), i, LOW_BITS, 2);
        }
        Block {
            d: *part(block, 108),
            scales,
            words,
            ..Block::ZERO
        }
    }

    #[inline(always)]
    fn write(block: &Self::Block, to: &mut TileRow<'_>) {
        to.put_half(0, block.d);
        to.put_bytes(SCALES, &block.scales[..12]);
        for (step, words) in block.words.as_chunks::<8>().0.iter().enumerate() {
            let step = STEPS + STEP_BYTES * step;
            to.put_bits(step, words.map(|word| word >> 2));
            let (first, second) = words.split_at(4);
            to.put_pairs(step + 64, [first[0], first[1], first[2], first[3]]);
            to.put_pairs(step + 128, [second[0], second[1], second[2], second[3]]);
        }
    }

    fn read_packed(from: PackedRow<'_>) -> Self::Block {
        let mut scales = [0; 16];
        scales[..12].copy_from_slice(&from.bytes::<12>(SCALES));
        Block {
            d: from.half(0),
            scales,
            words: std::array::from_fn(|i| {
                let (step, i) = (STEPS + STEP_BYTES * (i / 8), i % 8);
                from.pairs(step + 64 + 64 * (i / 4), i % 4) | from.bits(step, i) << 2
            }),
            ..Block::ZERO
        }
    }

    fn numbers(block: &Self::Block, numbers: &mut Numbers) {
        numbers.set_values(&block.words, |stored| stored.cast_signed() - 4);
        for (group, to) in numbers.scales.iter_mut().enumerate() {
            *to = block.d() * f32::from(scale(&block.scales, group));
        }
    }
}

/// The signed scale of a group: 4 low bits in the first 8 bytes, 2 high bits in the next 4.
fn scale(scales: &[u8; 16], group: usize) -> i8 {
    let low = scales[group % 8] >> (group / 8 * 4) & 15;
    let high = scales[8 + group % 4] >> (group / 4 * 2) & 3;
    (low | high << 4).cast_signed() - 32
}
