//! `Q2_K`: 256 weights of 2 bits; 16 groups of 16 with a scale and a minimum of 4 bits each, `w = d s q - dmin m`.
//!
//! In the file, a block is `groups: [u8; 16], q: [u8; 64], d: f16, dmin: f16`: a group byte has the scale in its low half and the
//! minimum in its high one; each 32 bytes of `q` hold 128 weights, weight `32 j + i` of them in bits `2 j` of byte `i`.

use super::{Format, f16_at, for_each_block};

const LEN: usize = 256;
const BYTES: usize = 84;

pub(super) static FORMAT: Format = Format {
    name: "Q2_K",
    ggml_type: 10,
    block_len: LEN,
    block_bytes: BYTES,
    decode,
};

fn decode(blocks: &[u8], out: &mut [f32]) {
    for_each_block::<BYTES, LEN>(blocks, out, |block, out| {
        let (d, d_min) = (f16_at(block, 80), f16_at(block, 82));
        for (k, out) in out.iter_mut().enumerate() {
            let group = block[k / 16];
            let q = block[16 + k / 128 * 32 + k % 32] >> (k / 32 % 4 * 2) & 3;
            *out = (d * f32::from(group & 15)) * f32::from(q) - d_min * f32::from(group >> 4);
        }
    });
}
