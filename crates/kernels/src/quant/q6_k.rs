//! `Q6_K`: 256 weights of 6 bits; 16 groups of 16 with a signed scale of 8 bits each, `w = d s (q - 32)`.
//!
//! In the file, a block is `low: [u8; 128], high: [u8; 64], scales: [i8; 16], d: f16`: each 64 bytes of `low` hold 128 weights, the
//! first 64 in the low halves; each 32 bytes of `high` hold 128 weights, weight `32 j + i` in bits `2 j` of byte `i`.

use super::{Format, f16_at, for_each_block};

const LEN: usize = 256;
const BYTES: usize = 210;

pub(super) static FORMAT: Format = Format {
    name: "Q6_K",
    ggml_type: 14,
    block_len: LEN,
    block_bytes: BYTES,
    decode,
};

fn decode(blocks: &[u8], out: &mut [f32]) {
    for_each_block::<BYTES, LEN>(blocks, out, |block, out| {
        let d = f16_at(block, 208);
        for (k, out) in out.iter_mut().enumerate() {
            let low = block[k / 128 * 64 + k % 64] >> (k / 64 % 2 * 4) & 15;
            let high = block[128 + k / 128 * 32 + k % 32] >> (k / 32 % 4 * 2) & 3;
            let scale = d * f32::from(block[192 + k / 16].cast_signed());
            *out = scale * (f32::from(low | high << 4) - 32.0);
        }
    });
}
