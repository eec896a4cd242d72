//! `Q8_0`: 32 signed bytes and a scale, `w = d q`.
//!
//! In the file, a block is `d: f16, q: [i8; 32]`.

use super::{Format, f16_at, for_each_block};

const LEN: usize = 32;
const BYTES: usize = 34;

pub(super) static FORMAT: Format = Format {
    name: "Q8_0",
    ggml_type: 8,
    block_len: LEN,
    block_bytes: BYTES,
    decode,
};

fn decode(blocks: &[u8], out: &mut [f32]) {
    for_each_block::<BYTES, LEN>(blocks, out, |block, out| {
        let d = f16_at(block, 0);
        for (out, &q) in out.iter_mut().zip(&block[2..]) {
            *out = d * f32::from(q.cast_signed());
        }
    });
}
