//! `Q4_K`: 256 weights of 4 bits; 8 groups of 32 with a scale and a minimum of 6 bits each, `w = d s q - dmin m`.
//!
//! In the file, a block is `d: f16, dmin: f16, scales: [u8; 12], q: [u8; 128]`: each 32 bytes of `q` hold two groups, the first in
//! the low halves.

use super::{Format, f16_at, for_each_block};

const LEN: usize = 256;
const BYTES: usize = 144;

pub(super) static FORMAT: Format = Format {
    name: "Q4_K",
    ggml_type: 12,
    block_len: LEN,
    block_bytes: BYTES,
    decode,
};

fn decode(blocks: &[u8], out: &mut [f32]) {
    for_each_block::<BYTES, LEN>(blocks, out, |block, out| {
        let (d, d_min) = (f16_at(block, 0), f16_at(block, 2));
        for (group, out) in out.chunks_exact_mut(32).enumerate() {
            let (scale, min) = scale_and_min(&block[4..16], group);
            let (scale, min) = (d * f32::from(scale), d_min * f32::from(min));
            for (out, &pair) in out.iter_mut().zip(&block[16 + group / 2 * 32..]) {
                *out = scale * f32::from(pair >> (group % 2 * 4) & 15) - min;
            }
        }
    });
}

/// Scale and minimum of a group, 6 bits each: for the first 4 groups in the low bits of bytes 0..4 and 4..8; for the
/// others 4 bits in bytes 8..12 and 2 in the high bits of the former.
fn scale_and_min(packed: &[u8], group: usize) -> (u8, u8) {
    if group < 4 {
        (packed[group] & 63, packed[group + 4] & 63)
    } else {
        let low = packed[group + 4];
        (
            low & 15 | packed[group - 4] >> 6 << 4,
            low >> 4 | packed[group] >> 6 << 4,
        )
    }
}
