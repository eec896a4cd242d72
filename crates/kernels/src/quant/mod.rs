//! Formats of weights: how a file stores them, how they are packed into tiles, and the kernels over tiles.
//!
//! A format is one file here and one entry of [`FORMATS`]. Nothing else in this crate names a format, and formats do not
//! know each other.

mod bf16;
mod f16;
mod f32;
pub(crate) mod f8;
mod i4;
mod i8;
mod iq4_nl;
mod iq4_xs;
mod mxfp4;
mod nvfp4;
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

mod block;
mod k_scales;
pub(crate) mod panel;
mod q4_k_encode;
pub(crate) mod tile;

pub(crate) use block::Numbers;
use block::{PackedRow, TileRow};
use tile::float::{self, Float};
use tile::integer::{self, Integer};
use tile::{CorrectionKind, Kernels, ROWS, STEP};

use crate::isa::Isa;

/// How weights are stored.
pub struct Format {
    /// The name as in GGUF files, such as `Q4_K`.
    pub name: &'static str,
    /// The number of the type in GGUF files, where they have it.
    pub ggml_type: Option<u32>,
    /// Weights in a block of the file.
    pub block_len: usize,
    /// Bytes of a block of the file.
    pub block_bytes: usize,
    /// Columns in a block of a tile: those of a file block or, for float formats, 32.
    pub(crate) tile_len: usize,
    /// Bytes of a block of a tile, all 16 rows.
    pub(crate) tile_bytes: usize,
    pub(crate) kernels: Kernels,
    /// For integer formats: columns that share a scale, and a file block as numbers. What the twin is made of.
    pub(crate) numbers: Option<(usize, ReadNumbers)>,
    decode: fn(&[u8], &mut [f32]),
    /// From the numbers of a block to a block of the file, where the format can be written.
    encode: Option<Encode>,
    /// How blocks are made of codes, a scale and a zero point, where they can be.
    coded: Option<Coded>,
    /// From up to 16 rows of the file to a tile that holds zeros.
    pub(crate) pack: fn(rows: &[u8], row_bytes: usize, tile: &mut [u8]),
    decode_packed: fn(tile: &[u8], row: usize, out: &mut [f32]),
}

/// See [`Format::encode`].
type Encode = fn(&[f32], &mut [u8]);

/// Takes a block of the file and overwrites what it says of weights.
type ReadNumbers = fn(&[u8], &mut Numbers);

/// How a format's blocks are made of the codes, scales and zero points that folders of quantised weights hold.
struct Coded {
    /// The largest code.
    max_code: u8,
    /// Whether codes are floating point numbers, not integers.
    is_float: bool,
    /// See [`Format::holds`].
    holds: fn(scale: f32, zero: u16) -> bool,
    /// See [`Format::compose`].
    compose: Compose,
}

/// See [`Coded::compose`].
type Compose = fn(scale: f32, zero: u16, codes: &[u8], block: &mut [u8]);

/// All formats: those of GGUF files by type number, then those of other files alone.
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
    &iq4_xs::FORMAT,
    &bf16::FORMAT,
    &mxfp4::FORMAT,
    &nvfp4::FORMAT,
    &i4::FORMAT_128,
    &i4::FORMAT,
    &i8::FORMAT,
    &f8::FORMAT,
];

/// The format with this GGUF type number, if it is one of [`FORMATS`].
pub fn format_by_ggml_type(ggml_type: u32) -> Option<&'static Format> {
    FORMATS
        .iter()
        .copied()
        .find(|format| format.ggml_type == Some(ggml_type))
}

/// What a format of small integers and scales says of itself, beside the layout of its tiles.
trait IntegerFormat: integer::Layout {
    /// Bytes of a block of the file, where those of a block of one row of a tile are not as many.
    const FILE_BYTES: usize = Self::BYTES;
    /// From the numbers of a block to a block of the file.
    const ENCODE: Option<Encode> = None;
    /// How blocks are made of codes, where they can be.
    const CODED: Option<Coded> = None;
    type Block;
    /// Takes a block of the file apart.
    fn read(block: &[u8]) -> Self::Block;
    /// Puts a block into its row of a tile.
    fn write(block: &Self::Block, to: &mut TileRow<'_>);
    /// The way back from [`IntegerFormat::write`].
    fn read_packed(from: PackedRow<'_>) -> Self::Block;
    /// The meaning of a block; overwrites what it has, and leaves the rest.
    fn numbers(block: &Self::Block, numbers: &mut Numbers);
}

/// What a format says of itself whose kernel is that of floating point numbers and whose blocks of 32 codes of a byte have a
/// head, such as a scale, beside the layout of its tiles: each number of the head in a run of 16, then the columns.
trait ScaledFloatFormat: float::Layout {
    /// Bytes of each number of the head.
    const HEAD: &'static [usize];
    /// One weight, given the head of its block.
    fn decode(head: &[u8], code: u8) -> f32;
}

/// What a format of floating point numbers says of itself, beside the layout of its tiles.
trait FloatFormat: float::Layout {
    /// One number of the file.
    fn decode(bytes: &[u8]) -> f32;
    /// Columns that lie together in each row of a tile.
    const RUN: usize;
}

impl Format {
    const fn integer<F: IntegerFormat>(name: &'static str, ggml_type: u32) -> Format {
        Format {
            name,
            ggml_type: Some(ggml_type),
            block_len: F::LEN,
            block_bytes: F::FILE_BYTES,
            tile_len: F::LEN,
            tile_bytes: ROWS * F::BYTES,
            kernels: Kernels::with_wide::<Integer<F>>(),
            numbers: Some((F::GROUP, |block, numbers| F::numbers(&F::read(block), numbers))),
            decode: decode_integers::<F>,
            encode: F::ENCODE,
            coded: F::CODED,
            pack: pack_integers::<F>,
            decode_packed: decode_packed_integers::<F>,
        }
    }

    const fn float<F: FloatFormat>(name: &'static str, ggml_type: u32) -> Format {
        Format {
            name,
            ggml_type: Some(ggml_type),
            block_len: 1,
            block_bytes: F::BYTES,
            tile_len: STEP,
            tile_bytes: F::BLOCK,
            kernels: Kernels::of::<Float<F>>(),
            numbers: None,
            decode: decode_floats::<F>,
            encode: None,
            coded: None,
            pack: pack_floats::<F>,
            decode_packed: decode_packed_floats::<F>,
        }
    }

    /// One that no GGUF file has.
    const fn integer_of_folders<F: IntegerFormat>(name: &'static str, coded: Coded) -> Format {
        Format {
            ggml_type: None,
            coded: Some(coded),
            ..Format::integer::<F>(name, 0)
        }
    }

    /// One that no GGUF file has.
    const fn scaled_float<F: ScaledFloatFormat>(name: &'static str, coded: Coded) -> Format {
        Format {
            name,
            ggml_type: None,
            block_len: STEP,
            block_bytes: head_bytes(F::HEAD) + STEP,
            tile_len: STEP,
            tile_bytes: F::BLOCK,
            kernels: Kernels::of::<Float<F>>(),
            numbers: None,
            decode: decode_scaled_floats::<F>,
            encode: None,
            coded: Some(coded),
            pack: pack_scaled_floats::<F>,
            decode_packed: decode_packed_scaled_floats::<F>,
        }
    }

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

    /// Whether [`Format::encode`] can write blocks of this format.
    pub fn can_encode(&self) -> bool {
        self.encode.is_some()
    }

    /// Rounds numbers to whole blocks of the file; in the formats that the Python package `gguf` writes, bit for bit as it does
    /// where all are finite.
    ///
    /// # Panics
    /// The format cannot be written, or the lengths do not fit each other.
    pub fn encode(&self, numbers: &[f32], blocks: &mut [u8]) {
        let encode = self.encode.expect("a format that can be written");
        assert!(
            numbers.len().is_multiple_of(self.block_len)
                && blocks.len() == numbers.len() / self.block_len * self.block_bytes,
            "{} numbers do not fill {} bytes of {}",
            numbers.len(),
            blocks.len(),
            self.name
        );
        for (numbers, block) in numbers
            .chunks_exact(self.block_len)
            .zip(blocks.chunks_exact_mut(self.block_bytes))
        {
            encode(numbers, block);
        }
    }

    /// Whether blocks can be made of codes of this kind up to `max_code`.
    pub fn can_compose(&self, max_code: u8, is_float: bool) -> bool {
        let fits = |coded: &Coded| coded.is_float == is_float && coded.max_code >= max_code;
        self.coded.as_ref().is_some_and(fits)
    }

    /// Whether a block with this scale and zero point decodes to exactly `scale * (code - zero)`, rounded once to `f32`.
    pub fn holds(&self, scale: f32, zero: u16) -> bool {
        self.coded
            .as_ref()
            .is_some_and(|coded| (coded.holds)(scale, zero))
    }

    /// A block of weights `scale * (code - zero)`, that [`Format::holds`] exactly. Codes that are floating point numbers
    /// have no zero point: it is 0.
    ///
    /// # Panics
    /// The format is not made of codes, or the lengths are not those of a block.
    pub fn compose(&self, scale: f32, zero: u16, codes: &[u8], block: &mut [u8]) {
        let coded = self.coded.as_ref().expect("a format made of codes");
        assert_eq!(
            (codes.len(), block.len()),
            (self.block_len, self.block_bytes),
            "a block of {}",
            self.name
        );
        debug_assert!((coded.holds)(scale, zero), "{} of {scale} and {zero}", self.name);
        (coded.compose)(scale, zero, codes, block);
    }

    /// Bytes of a row in the file; `None` if the row is no whole number of blocks or too long to count.
    pub fn row_bytes(&self, n_cols: usize) -> Option<usize> {
        if n_cols.is_multiple_of(self.block_len) {
            (n_cols / self.block_len).checked_mul(self.block_bytes)
        } else {
            None
        }
    }

    /// Whether weights have a minimum, beside their scale.
    pub(crate) fn has_minimum(&self) -> bool {
        let correction = self.kernels.correction(Isa::Scalar);
        correction.is_some_and(|correction| correction.kind == CorrectionKind::Minimum)
    }

    /// Bytes of a tile with rows of this length; `None` if too long to count.
    pub(crate) fn tile_row_bytes(&self, n_cols: usize) -> Option<usize> {
        n_cols.div_ceil(self.tile_len).checked_mul(self.tile_bytes)
    }

    /// Bytes of memory that a [`Matrix`](crate::matmul::Matrix) of this shape takes, filled up to whole tiles of 16 rows
    /// and, in float formats, 32 columns: for a matrix of one column, 32 times what it has in the file. `None` if too
    /// many to count.
    pub fn packed_bytes(&self, n_rows: usize, n_cols: usize) -> Option<usize> {
        self.tile_row_bytes(n_cols)?.checked_mul(n_rows.div_ceil(ROWS))
    }

    /// One row of a tile, as [`Format::decode`] gives it.
    pub(crate) fn decode_packed(&self, tile: &[u8], row: usize, out: &mut [f32]) {
        debug_assert!(row < ROWS && self.tile_row_bytes(out.len()) == Some(tile.len()));
        (self.decode_packed)(tile, row, out);
    }
}

impl std::fmt::Debug for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for Format {
    fn eq(&self, other: &Format) -> bool {
        self.name == other.name
    }
}

impl Eq for Format {}

fn decode_integers<F: IntegerFormat>(blocks: &[u8], out: &mut [f32]) {
    let mut numbers = Numbers::ZERO;
    for (block, out) in blocks
        .chunks_exact(F::FILE_BYTES)
        .zip(out.chunks_exact_mut(F::LEN))
    {
        F::numbers(&F::read(block), &mut numbers);
        numbers.weights(F::GROUP, out);
    }
}

fn pack_integers<F: IntegerFormat>(rows: &[u8], row_bytes: usize, tile: &mut [u8]) {
    for (at, tile) in tile.chunks_exact_mut(ROWS * F::BYTES).enumerate() {
        // What the compiler must see to take the bounds checks out of `write`, which are half of its time.
        assert_eq!(tile.len(), ROWS * F::BYTES);
        for (row, blocks) in rows.chunks_exact(row_bytes).take(ROWS).enumerate() {
            F::write(
                &F::read(&blocks[at * F::FILE_BYTES..][..F::FILE_BYTES]),
                &mut TileRow { tile, row },
            );
        }
    }
}

fn decode_packed_integers<F: IntegerFormat>(tile: &[u8], row: usize, out: &mut [f32]) {
    let mut numbers = Numbers::ZERO;
    for (tile, out) in tile
        .chunks_exact(ROWS * F::BYTES)
        .zip(out.chunks_exact_mut(F::LEN))
    {
        F::numbers(&F::read_packed(PackedRow { tile, row }), &mut numbers);
        numbers.weights(F::GROUP, out);
    }
}

fn decode_floats<F: FloatFormat>(blocks: &[u8], out: &mut [f32]) {
    for (block, out) in blocks.chunks_exact(F::BYTES).zip(out) {
        *out = F::decode(block);
    }
}

fn pack_floats<F: FloatFormat>(rows: &[u8], row_bytes: usize, tile: &mut [u8]) {
    let run_bytes = F::RUN * F::BYTES;
    for (row, numbers) in rows.chunks_exact(row_bytes).enumerate() {
        let runs = numbers.chunks_exact(run_bytes);
        let rest = runs.remainder();
        let last = runs.len() * ROWS * run_bytes + row * run_bytes;
        for (columns, run) in tile.chunks_exact_mut(ROWS * run_bytes).zip(runs) {
            columns[row * run_bytes..][..run_bytes].copy_from_slice(run);
        }
        if !rest.is_empty() {
            tile[last..][..rest.len()].copy_from_slice(rest);
        }
    }
}

fn decode_packed_floats<F: FloatFormat>(tile: &[u8], row: usize, out: &mut [f32]) {
    for (column, out) in out.iter_mut().enumerate() {
        let run = column / F::RUN * ROWS + row;
        let at = (run * F::RUN + column % F::RUN) * F::BYTES;
        *out = F::decode(&tile[at..][..F::BYTES]);
    }
}

/// Whether a half holds this number exactly.
fn is_half(number: f32) -> bool {
    number.is_finite() && half::f16::from_f32(number).to_f32().to_bits() == number.to_bits()
}

const fn head_bytes(head: &[usize]) -> usize {
    let (mut bytes, mut i) = (0, 0);
    while i < head.len() {
        bytes += head[i];
        i += 1;
    }
    bytes
}

fn decode_scaled_floats<F: ScaledFloatFormat>(blocks: &[u8], out: &mut [f32]) {
    let head_bytes = head_bytes(F::HEAD);
    for (block, out) in blocks
        .chunks_exact(head_bytes + STEP)
        .zip(out.chunks_exact_mut(STEP))
    {
        let (head, codes) = block.split_at(head_bytes);
        for (out, &code) in out.iter_mut().zip(codes) {
            *out = F::decode(head, code);
        }
    }
}

fn pack_scaled_floats<F: ScaledFloatFormat>(rows: &[u8], row_bytes: usize, tile: &mut [u8]) {
    let block_bytes = head_bytes(F::HEAD) + STEP;
    for (at, tile) in tile.chunks_exact_mut(F::BLOCK).enumerate() {
        for (row, blocks) in rows.chunks_exact(row_bytes).take(ROWS).enumerate() {
            let mut rest = &blocks[at * block_bytes..][..block_bytes];
            let mut run = 0;
            for &bytes in F::HEAD {
                let (number, after) = rest.split_at(bytes);
                tile[run + row * bytes..][..bytes].copy_from_slice(number);
                (rest, run) = (after, run + ROWS * bytes);
            }
            for (column, &code) in tile[run..].chunks_exact_mut(ROWS).zip(rest) {
                column[row] = code;
            }
        }
    }
}

fn decode_packed_scaled_floats<F: ScaledFloatFormat>(tile: &[u8], row: usize, out: &mut [f32]) {
    for (tile, out) in tile.chunks_exact(F::BLOCK).zip(out.chunks_exact_mut(STEP)) {
        let (mut head, mut run) = (Vec::new(), 0);
        for &bytes in F::HEAD {
            head.extend_from_slice(&tile[run + row * bytes..][..bytes]);
            run += ROWS * bytes;
        }
        for (out, column) in out.iter_mut().zip(tile[run..].chunks_exact(ROWS)) {
            *out = F::decode(&head, column[row]);
        }
    }
}
