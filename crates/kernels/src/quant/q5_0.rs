//! `Q5_0`: 32 weights of 5 bits and a scale, `w = d (q - 16)`.
//!
//! In the file, a block is `d: f16, high: u32, q: [u8; 16]`: bit `i` of `high` is the fifth bit of weight `i`; byte `i` has weight `i`
//! in its low half and `i + 16` in its high one.

use super::{Format, f16_at, for_each_block};

const LEN: usize = 32;
const BYTES: usize = 22;

pub(super) static FORMAT: Format = Format {
    name: "Q5_0",
    ggml_type: 6,
    block_len: LEN,
    block_bytes: BYTES,
    decode,
};

fn decode(blocks: &[u8], out: &mut [f32]) {
    for_each_block::<BYTES, LEN>(blocks, out, |block, out| {
        let d = f16_at(block, 0);
        let high = u32::from_le_bytes([block[2], block[3], block[4], block[5]]);
        let fifth = |i: usize| ((high >> i & 1) << 4) as u8;
        for (i, &pair) in block[6..].iter().enumerate() {
            out[i] = d * (f32::from(pair & 15 | fifth(i)) - 16.0);
            out[i + 16] = d * (f32::from(pair >> 4 | fifth(i + 16)) - 16.0);
        }
    });
}
