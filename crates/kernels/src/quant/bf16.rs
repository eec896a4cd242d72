//! `BF16`: the upper half of an `f32`.

use super::{Format, for_each_block};

pub(super) static FORMAT: Format = Format {
    name: "BF16",
    ggml_type: 30,
    block_len: 1,
    block_bytes: 2,
    decode,
};

fn decode(blocks: &[u8], out: &mut [f32]) {
    for_each_block::<2, 1>(blocks, out, |block, out| {
        out[0] = f32::from_bits(u32::from(u16::from_le_bytes(*block)) << 16);
    });
}
