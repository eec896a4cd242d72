//! `Q3_K`: 256 weights of 3 bits; 16 groups of 16 with a signed scale of 6 bits each, `w = d (s - 32) (q - 4)`.
//!
//! In the file, a block is `high: [u8; 32], low: [u8; 64], scales: [u8; 12], d: f16`: weight `32 j + i` has its third bit in bit
//! `j` of `high[i]`; each 32 bytes of `low` hold 128 weights, weight `32 j + i` of them in bits `2 j` of byte `i`.

use super::{Format, f16_at, for_each_block};

const LEN: usize = 256;
const BYTES: usize = 110;

pub(super) static FORMAT: Format = Format {
    name: "Q3_K",
    ggml_type: 11,
    block_len: LEN,
    block_bytes: BYTES,
    decode,
};

fn decode(blocks: &[u8], out: &mut [f32]) {
    for_each_block::<BYTES, LEN>(blocks, out, |block, out| {
        let d = f16_at(block, 108);
        for (k, out) in out.iter_mut().enumerate() {
            let low = block[32 + k / 128 * 32 + k % 32] >> (k / 32 % 4 * 2) & 3;
            let high = block[k % 32] >> (k / 32) & 1;
            *out = (d * f32::from(scale(block, k / 16))) * (f32::from(low | high << 2) - 4.0);
        }
    });
}

/// The signed scale of a group: 4 low bits in the first 8 of the 12 bytes, 2 high bits in the last 4.
fn scale(block: &[u8; BYTES], group: usize) -> i8 {
    let scales = &block[96..108];
    let low = scales[group % 8] >> (group / 8 * 4) & 15;
    let high = scales[8 + group % 4] >> (group / 4 * 2) & 3;
    (low | high << 4).cast_signed() - 32
}
