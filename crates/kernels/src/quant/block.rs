//! A block of one row, taken apart: between the order of the file and the order of the tile.

use super::tile::{ROWS, part};

/// The parts of a block of an integer format. `WORDS` is a quarter of the number of weights.
#[derive(Clone, Copy)]
pub(super) struct Block<const WORDS: usize> {
    /// Half-precision bits: the scale.
    pub(super) d: [u8; 2],
    /// Half-precision bits: the minimum, or the scale of the minima, where the format has one.
    pub(super) m: [u8; 2],
    /// The scales of groups as the file packs them; the first 12 or all 16, where the format has them.
    pub(super) scales: [u8; 16],
    /// The stored bits of each weight in a byte, 4 consecutive weights in a word, the first one lowest.
    pub(super) words: [u32; WORDS],
}

impl<const WORDS: usize> Block<WORDS> {
    pub(super) const ZERO: Block<WORDS> = Block {
        d: [0; 2],
        m: [0; 2],
        scales: [0; 16],
        words: [0; WORDS],
    };

    pub(super) fn d(&self) -> f32 {
        half::f16::from_le_bytes(self.d).to_f32()
    }

    pub(super) fn m(&self) -> f32 {
        half::f16::from_le_bytes(self.m).to_f32()
    }
}

/// A block as numbers: weight `k` is `scale * value + minimum`, with the scale and the minimum of its group.
pub(crate) struct Numbers {
    pub(crate) values: [i8; 256],
    pub(crate) scales: [f32; 16],
    /// `-0.0` where the format has no minimum: adding it changes nothing, not even the sign of a zero.
    pub(crate) minima: [f32; 16],
}

impl Numbers {
    pub(crate) const ZERO: Numbers = Numbers {
        values: [0; 256],
        scales: [0.0; 16],
        minima: [-0.0; 16],
    };

    pub(super) fn set_values(&mut self, words: &[u32], value: impl Fn(u8) -> i8) {
        let stored = words.iter().flat_map(|word| word.to_le_bytes());
        for (to, stored) in self.values.iter_mut().zip(stored) {
            *to = value(stored);
        }
    }

    /// The weights, in groups of `group`.
    pub(super) fn weights(&self, group: usize, out: &mut [f32]) {
        for (k, out) in out.iter_mut().enumerate() {
            *out = self.scales[k / group] * f32::from(self.values[k]) + self.minima[k / group];
        }
    }
}

/// The low 4 bits of each byte.
pub(super) const LOW_NIBBLES: u32 = 0x0f0f_0f0f;
/// The low 2 bits of each byte.
pub(super) const LOW_PAIRS: u32 = 0x0303_0303;
/// The lowest bit of each byte.
pub(super) const LOW_BITS: u32 = 0x0101_0101;

/// Adds bits to words of 4 weights: of each 4 bytes of `source`, shifted right by `from`, those of `mask`, shifted left
/// by `to`. There are as many words in `words` as in `source`.
#[inline(always)]
pub(super) fn gather(words: &mut [u32], source: &[u8], from: usize, mask: u32, to: usize) {
    for (word, bytes) in words.iter_mut().zip(source.as_chunks::<4>().0) {
        *word |= (u32::from_le_bytes(*bytes) >> from & mask) << to;
    }
}

/// 32 weights of 4 bits as the file has them: the first 16 in the low halves of 16 bytes, the others in the high ones.
#[inline(always)]
pub(super) fn gather_nibbles(source: &[u8; 16]) -> [u32; 8] {
    let mut words = [0; 8];
    gather(&mut words[..4], source, 0, LOW_NIBBLES, 0);
    gather(&mut words[4..], source, 4, LOW_NIBBLES, 0);
    words
}

/// The 4 bytes at `at`, as a word.
#[inline(always)]
pub(super) fn word(block: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(*part(block, at))
}

/// 4 bits, the lowest for the lowest byte, to 4 bytes of 0 or 1.
#[inline(always)]
pub(super) fn spread_bits(bits: u32) -> u32 {
    (bits & 15).wrapping_mul(0x0020_4081) & LOW_BITS
}

/// One row of the tile: where each part of its block goes. All offsets are those of row 0.
pub(super) struct TileRow<'a> {
    pub(super) tile: &'a mut [u8],
    pub(super) row: usize,
}

impl TileRow<'_> {
    /// A number of 2 bytes, in a run of 16 of them.
    #[inline(always)]
    pub(super) fn put_half(&mut self, at: usize, half: [u8; 2]) {
        self.tile[at + 2 * self.row..][..2].copy_from_slice(&half);
    }

    /// Bytes, each in a run of 16 of them.
    #[inline(always)]
    pub(super) fn put_bytes(&mut self, at: usize, bytes: &[u8]) {
        for (i, &byte) in bytes.iter().enumerate() {
            self.tile[at + ROWS * i + self.row] = byte;
        }
    }

    #[inline(always)]
    pub(super) fn put_word(&mut self, at: usize, word: u32) {
        self.tile[at + 4 * self.row..][..4].copy_from_slice(&word.to_le_bytes());
    }

    /// 32 weights of 4 bits: 4 lines, each with 4 columns in the low halves of its bytes and the next 4 in the high ones.
    #[inline(always)]
    pub(super) fn put_nibbles(&mut self, at: usize, words: &[u32]) {
        for (line, pair) in words.as_chunks::<2>().0.iter().enumerate() {
            self.put_word(
                at + 64 * line,
                pair[0] & LOW_NIBBLES | (pair[1] & LOW_NIBBLES) << 4,
            );
        }
    }

    /// 16 weights of 2 bits: a line with 4 columns in the lowest bits of its bytes, the next 4 above them, and so on.
    #[inline(always)]
    pub(super) fn put_pairs(&mut self, at: usize, words: [u32; 4]) {
        let joined = (0..4).fold(0, |line, i| line | (words[i] & LOW_PAIRS) << (2 * i));
        self.put_word(at, joined);
    }

    /// 32 weights of 1 bit: a line with 4 columns in the lowest bits of its bytes, the next 4 above them, and so on.
    #[inline(always)]
    pub(super) fn put_bits(&mut self, at: usize, words: [u32; 8]) {
        let joined = (0..8).fold(0, |line, i| line | (words[i] & LOW_BITS) << i);
        self.put_word(at, joined);
    }
}

/// The way back from a [`TileRow`].
#[derive(Clone, Copy)]
pub(super) struct PackedRow<'a> {
    pub(super) tile: &'a [u8],
    pub(super) row: usize,
}

impl PackedRow<'_> {
    pub(super) fn half(self, at: usize) -> [u8; 2] {
        *part(self.tile, at + 2 * self.row)
    }

    pub(super) fn byte(self, at: usize) -> u8 {
        self.tile[at + self.row]
    }

    pub(super) fn word(self, at: usize) -> u32 {
        word(self.tile, at + 4 * self.row)
    }

    /// Word `i` of what [`TileRow::put_nibbles`] stored.
    pub(super) fn nibbles(self, at: usize, i: usize) -> u32 {
        self.word(at + 64 * (i / 2)) >> (4 * (i % 2)) & LOW_NIBBLES
    }

    /// Word `i` of what [`TileRow::put_pairs`] stored.
    pub(super) fn pairs(self, at: usize, i: usize) -> u32 {
        self.word(at) >> (2 * i) & LOW_PAIRS
    }

    /// Word `i` of what [`TileRow::put_bits`] stored.
    pub(super) fn bits(self, at: usize, i: usize) -> u32 {
        self.word(at) >> i & LOW_BITS
    }

    /// Bytes `at`, `at + 16`, ... of what [`TileRow::put_bytes`] stored.
    pub(super) fn bytes<const N: usize>(self, at: usize) -> [u8; N] {
        std::array::from_fn(|i| self.byte(at + ROWS * i))
    }
}
