//! `Q5_1`: 32 weights of 5 bits, a scale and a minimum, `w = d q + m`.
//!
//! In the file, a block is `d: f16, m: f16, high: u32, q: [u8; 16]`: bit `i` of `high` is the fifth bit of weight `i`; byte `i` has
//! weight `i` in its low half and `i + 16` in its high one.

use super::{Format, f16_at, for_each_block};

const LEN: usize = 32;
const BYTES: usize = 24;

pub(super) static FORMAT: Format = Format {
    name: "Q5_1",
    ggml_type: 7,
    block_len: LEN,
    block_bytes: BYTES,
    decode,
};

fn decode(blocks: &[u8], out: &mut [f32]) {
    for_each_block::<BYTES, LEN>(blocks, out, |block, out| {
        let (d, m) = (f16_at(block, 0), f16_at(block, 2));
        let high = u32::from_le_bytes([block[4], block[5], block[6], block[7]]);
        let fifth = |i: usize| ((high >> i & 1) << 4) as u8;
        for (i, &pair) in block[8..].iter().enumerate() {
            out[i] = d * f32::from(pair & 15 | fifth(i)) + m;
            out[i + 16] = d * f32::from(pair >> 4 | fifth(i + 16)) + m;
        }
    });
}
