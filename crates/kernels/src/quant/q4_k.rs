//! `Q4_K`: 256 weights of 4 bits; 8 groups of 32 with a scale and a minimum of 6 bits each, `w = d s q - dmin m`.
//!
//! In the file, a block is `d: f16, dmin: f16, scales: [u8; 12], q: [u8; 128]`: each 32 bytes of `q` hold two groups, the first in
//! the low halves.
//!
//! In a tile, a block is 16 `d`, 16 `dmin`, 12 runs of 16 scale bytes, and 4 lines for each of the 8 groups.

use super::block::{Block, LOW_NIBBLES, Numbers, PackedRow, TileRow, gather};
use super::k_scales::{self, KScales};
use super::tile::integer::{self, Values};
use super::tile::{Vector, part};
use super::{Format, IntegerFormat};

pub(super) static FORMAT: Format = Format::integer::<Q4K>("Q4_K", 12);

struct Q4K;

/// Where the parts of a block of a tile begin; `d` comes first.
const MINIMA: usize = 32;
const SCALES: usize = 64;
const LOW: usize = SCALES + 12 * 16;
const GROUP_BYTES: usize = 4 * 64;

impl integer::Layout for Q4K {
    const LEN: usize = 256;
    const BYTES: usize = 144;
    const GROUP: usize = 32;
    const VALUES: Values = Values::Unsigned { max: 15, offset: 0 };
    const HAS_MINIMUM: bool = true;
    type Scales = KScales;

    #[inline(always)]
    fn scales<V: Vector>(v: V, block: &[u8]) -> KScales {
        KScales::unpack(v, part(block, SCALES))
    }

    #[inline(always)]
    fn line<V: Vector>(v: V, block: &[u8], step: usize, _group: usize, line: usize) -> V::Bytes {
        let pair = v.load(part(block, LOW + GROUP_BYTES * step + 64 * (line / 2)));
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
    fn scale<V: Vector>(v: V, block: &[u8], scales: &KScales, step: usize, _group: usize) -> V::Floats {
        v.mul(v.load_f16(part(block, 0)), v.load_u8(scales.scale(step)))
    }

    #[inline(always)]
    fn minimum<V: Vector>(v: V, block: &[u8], scales: &KScales, step: usize, _group: usize) -> V::Floats {
        let d_min = v.mul(v.load_f16(part(block, MINIMA)), v.splat(-1.0));
        v.mul(d_min, v.load_u8(scales.minimum(step)))
    }
}

impl IntegerFormat for Q4K {
    const ENCODE: Option<super::Encode> = Some(super::q4_k_encode::encode);
    type Block = Block<64>;

    #[inline(always)]
    fn read(block: &[u8]) -> Self::Block {
        let mut words = [0; 64];
        for (group, words) in words.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            gather(
                words,
                part::<32>(block, 16 + group / 2 * 32),
                group % 2 * 4,
                LOW_NIBBLES,
                0,
            );
        }
        Block {
            d: *part(block, 0),
            m: *part(block, 2),
            scales: k_scales::read(part(block, 4)),
            words,
        }
    }

    #[inline(always)]
    fn write(block: &Self::Block, to: &mut TileRow<'_>) {
        to.put_half(0, block.d);
        to.put_half(MINIMA, block.m);
        to.put_bytes(SCALES, &block.scales[..12]);
        for (group, words) in block.words.chunks_exact(8).enumerate() {
            to.put_nibbles(LOW + GROUP_BYTES * group, words);
        }
    }

    fn read_packed(from: PackedRow<'_>) -> Self::Block {
        Block {
            d: from.half(0),
            m: from.half(MINIMA),
            scales: k_scales::read(&from.bytes(SCALES)),
            words: std::array::from_fn(|i| from.nibbles(LOW + GROUP_BYTES * (i / 8), i % 8)),
        }
    }

    fn numbers(block: &Self::Block, numbers: &mut Numbers) {
        numbers.set_values(&block.words, u8::cast_signed);
        for group in 0..8 {
            let (scale, minimum) = k_scales::scale_and_minimum(&block.scales, group);
            numbers.scales[group] = block.d() * f32::from(scale);
            numbers.minima[group] = -(block.m() * f32::from(minimum));
        }
    }
}
