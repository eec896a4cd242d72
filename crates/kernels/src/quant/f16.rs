//! `F16`: half precision, 5 bits of exponent and 10 of mantissa.

use super::{Format, f16_at, for_each_block};

pub(super) static FORMAT: Format = Format {
    name: "F16",
    ggml_type: 1,
    block_len: 1,
    block_bytes: 2,
    decode,
};

fn decode(blocks: &[u8], out: &mut [f32]) {
    for_each_block::<2, 1>(blocks, out, |block, out| out[0] = f16_at(block, 0));
}
