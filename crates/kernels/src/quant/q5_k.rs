//! `Q5_K`: 256 weights of 5 bits; 8 groups of 32 with a scale and a minimum of 6 bits each, `w = d s q - dmin m`.
//!
//! In the file, a block is `d: f16, dmin: f16, scales: [u8; 12], high: [u8; 32], low: [u8; 128]`: each 32 bytes of `low` hold two
//! groups, the first in the low halves; bit `g` of `high[i]` is the fifth bit of weight `i` of group `g`.

use super::{Format, f16_at, for_each_block};

const LEN: usize = 256;
const BYTES: usize = 176;

pub(super) static FORMAT: Format = Format {
    name: "Q5_K",
    ggml_type: 13,
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
            for (i, out) in out.iter_mut().enumerate() {
                let low = block[48 + group / 2 * 32 + i] >> (group % 2 * 4) & 15;
                let high = block[16 + i] >> group & 1;
                *out = scale * f32::from(low | high << 4) - min;
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
