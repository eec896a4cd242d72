//! `Q4_1`: 32 weights of 4 bits, a scale and a minimum, `w = d q + m`.
//!
//! In the file, a block is `d: f16, m: f16, q: [u8; 16]`, byte `i` with weight `i` in its low half and `i + 16` in its high one.

use super::{Format, f16_at, for_each_block};

const LEN: usize = 32;
const BYTES: usize = 20;

pub(super) static FORMAT: Format = Format {
    name: "Q4_1",
    ggml_type: 3,
    block_len: LEN,
    block_bytes: BYTES,
    decode,
};

fn decode(blocks: &[u8], out: &mut [f32]) {
    for_each_block::<BYTES, LEN>(blocks, out, |block, out| {
        let (d, m) = (f16_at(block, 0), f16_at(block, 2));
        for (i, &pair) in block[4..].iter().enumerate() {
            out[i] = d * f32::from(pair & 15) + m;
            out[i + 16] = d * f32::from(pair >> 4) + m;
        }
    });
}
