//! `IQ4_XS`: 256 weights of 4 bits that choose from 16 uneven steps; 8 groups of 32 with a scale of 6 bits each,
//! `w = d (s - 32) STEPS[q]`.
//!
//! In the file, a block is `d: f16, high: u16, low: [u8; 4], q: [u8; 128]`: the low 4 bits of the scale of group `g` are half `g` of
//! `low`, the others bits `2 g` of `high`; each 16 bytes of `q` hold a group, its first 16 weights in the low halves.
//!
//! In a tile, a block is 16 `d`, 8 runs of 16 scales as signed bytes, and 4 lines for each group.

use super::block::{Block, Numbers, PackedRow, TileRow, gather_nibbles};
use super::tile::integer::{self, Values};
use super::tile::{Vector, part};
use super::{Format, IntegerFormat};

pub(super) static FORMAT: Format = Format::integer::<Iq4Xs>("IQ4_XS", 23);

struct Iq4Xs;

/// The steps: finer near zero, where most weights are.
const STEPS: [i8; 16] = [
    -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113,
];

/// Where the parts of a block of a tile begin; `d` comes first.
const SCALES: usize = 32;
const LOW: usize = SCALES + 8 * 16;

impl integer::Layout for Iq4Xs {
    const LEN: usize = 256;
    const BYTES: usize = 138;
    const GROUP: usize = 32;
    const VALUES: Values = Values::Signed;
    const HAS_MINIMUM: bool = false;
    type Scales = ();

    #[inline(always)]
    fn scales<V: Vector>(_v: V, _block: &[u8]) {}

    #[inline(always)]
    fn line<V: Vector>(v: V, block: &[u8], step: usize, _group: usize, line: usize) -> V::Bytes {
        let pair = v.load(part(block, LOW + 256 * step + 64 * (line / 2)));
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
    fn scale<V: Vector>(v: V, block: &[u8], _scales: &(), step: usize, _group: usize) -> V::Floats {
        v.mul(
            v.load_f16(part(block, 0)),
            v.load_i8(part(block, SCALES + 16 * step)),
        )
    }
}

impl IntegerFormat for Iq4Xs {
    const FILE_BYTES: usize = 136;
    /// The scales are those of the tile: signed bytes.
    type Block = Block<64>;

    fn read(block: &[u8]) -> Self::Block {
        let high = u16::from_le_bytes(*part(block, 2));
        let mut scales = [0; 16];
        for (group, scale) in scales[..8].iter_mut().enumerate() {
            let low = block[4 + group / 2] >> (group % 2 * 4) & 15;
            *scale = (low + 16 * (high >> (2 * group) & 3) as u8).wrapping_sub(32);
        }
        let mut words = [0; 64];
        for (group, words) in words.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            *words = gather_nibbles(part(block, 8 + 16 * group));
        }
        Block {
            d: *part(block, 0),
            scales,
            words,
            ..Block::ZERO
        }
    }

    fn write(block: &Self::Block, to: &mut TileRow<'_>) {
        to.put_half(0, block.d);
        to.put_bytes(SCALES, &block.scales[..8]);
        to.put_nibbles(LOW, &block.words);
    }

    fn read_packed(from: PackedRow<'_>) -> Self::Block {
        let mut scales = [0; 16];
        scales[..8].copy_from_slice(&from.bytes::<8>(SCALES));
        Block {
            d: from.half(0),
            scales,
            words: std::array::from_fn(|i| from.nibbles(LOW, i)),
            ..Block::ZERO
        }
    }

    fn numbers(block: &Self::Block, numbers: &mut Numbers) {
        numbers.set_values(&block.words, |stored| STEPS[usize::from(stored)]);
        for group in 0..8 {
            numbers.scales[group] = block.d() * f32::from(block.scales[group].cast_signed());
        }
    }
}
