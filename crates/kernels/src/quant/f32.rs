//! `F32`: plain numbers.

use super::{Format, for_each_block};

pub(super) static FORMAT: Format = Format {
    name: "F32",
    ggml_type: 0,
    block_len: 1,
    block_bytes: 4,
    decode,
};

fn decode(blocks: &[u8], out: &mut [f32]) {
    for_each_block::<4, 1>(blocks, out, |block, out| out[0] = f32::from_le_bytes(*block));
}
