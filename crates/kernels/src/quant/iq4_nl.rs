//! `IQ4_NL`: 32 weights of 4 bits that choose from 16 uneven steps, and a scale, `w = d STEPS[q]`.
//!
//! In the file, a block is `d: f16, q: [u8; 16]`, byte `i` with weight `i` in its low half and `i + 16` in its high one.

use super::{Format, f16_at, for_each_block};

const LEN: usize = 32;
const BYTES: usize = 18;

pub(super) static FORMAT: Format = Format {
    name: "IQ4_NL",
    ggml_type: 20,
    block_len: LEN,
    block_bytes: BYTES,
    decode,
};

/// The steps: finer near zero, where most weights are.
const STEPS: [i8; 16] = [
    -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113,
];

fn decode(blocks: &[u8], out: &mut [f32]) {
    for_each_block::<BYTES, LEN>(blocks, out, |block, out| {
        let d = f16_at(block, 0);
        for (i, &pair) in block[2..].iter().enumerate() {
            out[i] = d * f32::from(STEPS[usize::from(pair & 15)]);
            out[i + 16] = d * f32::from(STEPS[usize::from(pair >> 4)]);
        }
    });
}
