//! Formats of weights: how a file stores them, how they are packed into tiles, and the kernels over tiles.
//!
//! A format is one file here and one entry of [`FORMATS`]. Nothing else in this crate names a format, and formats do not
//! know each other.

mod bf16;
mod f16;
mod f32;
mod iq4_nl;
mod q2_k;
mod q3_k;
mod q4_0;
mod q4_1;
mod q4_k;
mod q5_0;
mod q5_1;
mod q5_k;
mod q6_k;
mod q8_0;

/// How weights are stored.
pub struct Format {
    /// The name as in GGUF files, such as `Q4_K`.
    pub name: &'static str,
    /// The number of the type in GGUF files.
    pub ggml_type: u32,
    /// Weights in a block of the file.
    pub block_len: usize,
    /// Bytes of a block of the file.
    pub block_bytes: usize,
    decode: fn(&[u8], &mut [f32]),
}

/// All formats, by type number.
pub static FORMATS: &[&Format] = &[
    &f32::FORMAT,
    &f16::FORMAT,
    &q4_0::FORMAT,
    &q4_1::FORMAT,
    &q5_0::FORMAT,
    &q5_1::FORMAT,
    &q8_0::FORMAT,
    &q2_k::FORMAT,
    &q3_k::FORMAT,
    &q4_k::FORMAT,
    &q5_k::FORMAT,
    &q6_k::FORMAT,
    &iq4_nl::FORMAT,
    &bf16::FORMAT,
];

/// The format with this GGUF type number, if it is one of [`FORMATS`].
pub fn format_by_ggml_type(ggml_type: u32) -> Option<&'static Format> {
    FORMATS
        .iter()
        .copied()
        .find(|format| format.ggml_type == ggml_type)
}

impl Format {
    /// Decodes whole blocks of the file to `f32`, bit for bit as the Python package `gguf` does.
    ///
    /// # Panics
    /// `blocks` is no whole number of blocks, or `out` does not have as many numbers as they hold.
    pub fn decode(&self, blocks: &[u8], out: &mut [f32]) {
        assert!(
            blocks.len().is_multiple_of(self.block_bytes),
            "{} blocks have {} bytes",
            self.name,
            self.block_bytes
        );
        assert_eq!(
            out.len(),
            blocks.len() / self.block_bytes * self.block_len,
            "one number per weight"
        );
        (self.decode)(blocks, out);
    }

    /// Bytes of a row in the file; `None` if the row is no whole number of blocks or too long to count.
    pub fn row_bytes(&self, n_cols: usize) -> Option<usize> {
        if n_cols.is_multiple_of(self.block_len) {
            (n_cols / self.block_len).checked_mul(self.block_bytes)
        } else {
            None
        }
    }
}

impl std::fmt::Debug for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for Format {
    fn eq(&self, other: &Format) -> bool {
        self.ggml_type == other.ggml_type
    }
}

impl Eq for Format {}

/// Calls `decode` for each block; the lengths are those that [`Format::decode`] has checked.
fn for_each_block<const BYTES: usize, const LEN: usize>(
    blocks: &[u8],
    out: &mut [f32],
    decode: impl Fn(&[u8; BYTES], &mut [f32; LEN]),
) {
    let (blocks, out) = (blocks.as_chunks::<BYTES>().0, out.as_chunks_mut::<LEN>().0);
    for (block, out) in blocks.iter().zip(out) {
        decode(block, out);
    }
}

/// The half-precision number at this byte.
fn f16_at(block: &[u8], at: usize) -> f32 {
    half::f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}
