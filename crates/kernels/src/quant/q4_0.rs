//! `Q4_0`: 32 weights of 4 bits and a scale, `w = d (q - 8)`.
//!
//! In the file, a block is `d: f16, q: [u8; 16]`, byte `i` with weight `i` in its low half and `i + 16` in its high one.

use super::{Format, f16_at, for_each_block};

const LEN: usize = 32;
const BYTES: usize = 18;

pub(super) static FORMAT: Format = Format {
    name: "Q4_0",
    ggml_type: 2,
    block_len: LEN,
    block_bytes: BYTES,
    decode,
};

fn decode(blocks: &[u8], out: &mut [f32]) {
    for_each_block::<BYTES, LEN>(blocks, out, |block, out| {
        let d = f16_at(block, 0);
        for (i, &pair) in block[2..].iter().enumerate() {
            out[i] = d * (f32::from(pair & 15) - 8.0);
            out[i + 16] = d * (f32::from(pair >> 4) - 8.0);
        }
    });
}
