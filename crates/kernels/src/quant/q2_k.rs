//! `Q2_K`: 256 weights of 2 bits; 16 groups of 16 with a scale and a minimum of 4 bits each, `w = d s q - dmin m`.
//!
//! In the file, a block is `groups: [u8; 16], q: [u8; 64], d: f16, dmin: f16`: a group byte has the scale in its low half and the
//! minimum in its high one; each 32 bytes of `q` hold 128 weights, weight `32 j + i` of them in bits `2 j` of byte `i`.
//!
//! In a tile, a block is 16 `d`, 16 `dmin`, 16 runs of 16 group bytes, and a line for each of the 16 groups.

use super::block::{Block, LOW_PAIRS, Numbers, PackedRow, TileRow, gather};
use super::tile::integer::{self, Values};
use super::tile::{Vector, part};
use super::{Format, IntegerFormat};

pub(super) static FORMAT: Format = Format::integer::<Q2K>("Q2_K", 10);

struct Q2K;

/// Where the parts of a block of a tile begin; `d` comes first.
const MINIMA: usize = 32;
const GROUPS: usize = 64;
const LINES: usize = GROUPS + 16 * 16;

/// The scales of the groups, 16 rows each, and their minima.
type Unpacked = ([[u8; 64]; 4], [[u8; 64]; 4]);

impl integer::Layout for Q2K {
    const LEN: usize = 256;
    const BYTES: usize = 84;
    const GROUP: usize = 16;
    const VALUES: Values = Values::Unsigned { max: 3, offset: 0 };
    const HAS_MINIMUM: bool = true;
    type Scales = Unpacked;

    #[inline(always)]
    fn scales<V: Vector>(v: V, block: &[u8]) -> Unpacked {
        let (mut scales, mut minima) = ([[0; 64]; 4], [[0; 64]; 4]);
        for i in 0..4 {
            let bytes = v.load(part(block, GROUPS + 64 * i));
            v.store_bytes(v.and(bytes, 15), &mut scales[i]);
            v.store_bytes(v.and(v.shift_right(bytes, 4), 15), &mut minima[i]);
        }
        (scales, minima)
    }

    #[inline(always)]
    fn line<V: Vector>(v: V, block: &[u8], step: usize, group: usize, line: usize) -> V::Bytes {
        let bits = v.load(part(block, LINES + 64 * (2 * step + group)));
        v.and(v.shift_right(bits, 2 * line as u32), 3)
    }

    #[inline(always)]
    fn scale<V: Vector>(v: V, block: &[u8], (scales, _): &Unpacked, step: usize, group: usize) -> V::Floats {
        v.mul(
            v.load_f16(part(block, 0)),
            v.load_u8(part(scales.as_flattened(), 16 * (2 * step + group))),
        )
    }

    #[inline(always)]
    fn minimum<V: Vector>(
        v: V,
        block: &[u8],
        (_, minima): &Unpacked,
        step: usize,
        group: usize,
    ) -> V::Floats {
        let d_min = v.mul(v.load_f16(part(block, MINIMA)), v.splat(-1.0));
        v.mul(
            d_min,
            v.load_u8(part(minima.as_flattened(), 16 * (2 * step + group))),
        )
    }
}

impl IntegerFormat for Q2K {
    type Block = Block<64>;

    #[inline(always)]
    fn read(block: &[u8]) -> Self::Block {
        let mut words = [0; 64];
        for (i, words) in words.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            gather(words, part::<32>(block, 16 + i / 4 * 32), i % 4 * 2, LOW_PAIRS, 0);
        }
        Block {
            d: *part(block, 80),
            m: *part(block, 82),
            scales: *part(block, 0),
            words,
        }
    }

    #[inline(always)]
    fn write(block: &Self::Block, to: &mut TileRow<'_>) {
        to.put_half(0, block.d);
        to.put_half(MINIMA, block.m);
        to.put_bytes(GROUPS, &block.scales);
        for (group, words) in block.words.as_chunks::<4>().0.iter().enumerate() {
            to.put_pairs(LINES + 64 * group, *words);
        }
    }

    fn read_packed(from: PackedRow<'_>) -> Self::Block {
        Block {
            d: from.half(0),
            m: from.half(MINIMA),
            scales: from.bytes(GROUPS),
            words: std::array::from_fn(|i| from.pairs(LINES + 64 * (i / 4), i % 4)),
        }
    }

    fn numbers(block: &Self::Block, numbers: &mut Numbers) {
        numbers.set_values(&block.words, u8::cast_signed);
        numbers.scales = block.scales.map(|group| block.d() * f32::from(group & 15));
        numbers.minima = block.scales.map(|group| -(block.m() * f32::from(group >> 4)));
    }
}
