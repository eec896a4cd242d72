//! The kernels over tiles: 16 or 32 rows of weights times up to 6 columns of activations.
//!
//! A tile holds 16 rows. Its bytes are those of the file in another order: for each block of columns, first the scales
//! of the 16 rows side by side, then *lines* of 64 bytes, each with 4 consecutive columns of row 0, then of row 1, up
//! to row 15 (where weights have fewer than 8 bits, a line holds several such layers). So one line is one AVX-512
//! register, two AVX2 registers or four NEON registers, each 32-bit lane belongs to one row, and no kernel ever adds
//! across lanes. Tiles are read front to back: one stream of memory per worker.
//!
//! A kernel is written once, over the instruction set ([`Vector`]), the format ([`integer::Layout`] or
//! [`float::Layout`]) and the number of columns. Sums are formed in one order:
//!
//! - integer formats: per group of 16 or 32 columns an exact integer `dot`; then, groups in ascending order,
//!   `acc = fma(dot * activation_scale, weight_scale, acc)` and, for formats with a minimum,
//!   `acc = fma(weight_minimum, activation_scale * activation_sum, acc)`;
//! - float formats: per 32 columns `part = fma(w, x, part)` in ascending order from zero; then `acc = acc + part`.
//!
//! Every operation rounds as IEEE 754 says, so all instruction sets, numbers of columns and numbers of threads give the
//! same bits. The twin in [`crate::reference`] spells the same sums out.

pub(crate) mod float;
pub(crate) mod integer;
#[cfg_attr(
    not(target_arch = "x86_64"),
    allow(dead_code, reason = "only AVX2 has wide kernels")
)]
pub(crate) mod wide;

mod scalar;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;

use wide::{Wide, WideTile};

use crate::isa::Isa;

/// Rows of a tile.
pub(crate) const ROWS: usize = 16;
/// Columns that share a scale when activations are quantised, and the step of all kernels.
pub(crate) const STEP: usize = 32;
/// The most columns of activations that any kernel takes at once.
pub(crate) const MAX_COLUMNS: usize = 6;
/// The most results of a kernel: of two tiles.
pub(crate) const MAX_RESULTS: usize = 2 * MAX_COLUMNS;

/// One number per row.
#[repr(align(64))]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct PerRow(pub(crate) [f32; ROWS]);

/// The activations of `M` columns (of the panel), those for the same columns of weights side by side.
#[derive(Clone, Copy, Default)]
pub(crate) struct Panel<'a> {
    /// `[step][8][M]` words of 4 signed bytes, the first column of weights in the lowest byte; or, for kernels that want
    /// them so, `[step][16][M]` words of two signed 16-bit numbers. For integer formats.
    pub(crate) words: &'a [i32],
    /// `[step][M]`: what a unit of a byte is worth. For integer formats.
    pub(crate) scales: &'a [f32],
    /// `[step][groups in a step][M]`: see [`Correction`]; empty where there is none.
    pub(crate) corrections: &'a [u32],
    /// `[step][32][M]`. For float formats.
    pub(crate) floats: &'a [f32],
}

/// What a kernel needs to know of the sum of each group of quantised activations.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Correction {
    /// Columns in a group: 16 or 32.
    pub(crate) group: usize,
    pub(crate) kind: CorrectionKind,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CorrectionKind {
    None,
    /// The kernel sees weights larger by `offset` than they are: sums of products start at `-offset * sum`, an `i32`.
    Offset(i32),
    /// The same for kernels that add up the first two and the last two products of each 4 apart, in 16 bits: the lower
    /// and the upper half of a word.
    OffsetOfPairs(i32),
    /// Weights have a minimum, which counts `scale * sum` times, an `f32`.
    Minimum,
}

/// Multiplies one tile, or two that lie side by side, with a panel of a fixed number of columns: `out[tile][column]`,
/// flattened, gets one number per row. On the way, it asks for the bytes of `ahead`, weights that will be needed later:
/// asked for all at once, they would have to be waited for.
///
/// # Safety
/// The CPU has the instruction set that the kernel was made for.
pub(crate) type Run = unsafe fn(tiles: &[u8], panel: Panel<'_>, ahead: &[u8], out: &mut [PerRow]);

/// The kernels of a format for a number of columns.
#[derive(Clone, Copy)]
pub(crate) struct Kernel {
    /// For one tile.
    pub(crate) one: Run,
    /// For two tiles, where the instruction set has registers enough for that to pay.
    pub(crate) two: Option<Run>,
    /// Whether it pays to ask for weights ahead of their use; else the kernel reads as fast as the hardware fetches
    /// ahead by itself, and asking would only slow it down.
    pub(crate) asks_ahead: bool,
}

impl Kernel {
    /// The kernel for as many tiles as is best, up to `most`, and that number.
    pub(crate) fn for_tiles(&self, most: usize) -> (usize, Run) {
        match self.two {
            Some(two) if most >= 2 => (2, two),
            _ => (1, self.one),
        }
    }
}

/// The kernels of a format, for each instruction set: those for 1 column, for more, up to the most, each with that
/// number. Not every number has one, for the sake of those who wait for the compiler.
pub(crate) struct Kernels {
    scalar: &'static [(usize, Kernel)],
    #[cfg(target_arch = "x86_64")]
    avx2: &'static [(usize, Kernel)],
    #[cfg(target_arch = "x86_64")]
    avx2_wide: Option<Wide>,
    #[cfg(target_arch = "x86_64")]
    avx_vnni: &'static [(usize, Kernel)],
    #[cfg(target_arch = "x86_64")]
    avx512: &'static [(usize, Kernel)],
    #[cfg(target_arch = "aarch64")]
    neon: &'static [(usize, Kernel)],
    correction: fn(Isa) -> Option<Correction>,
}

impl Kernels {
    pub(super) const fn of<T: Tile>() -> Kernels {
        Kernels {
            scalar: scalar::Kernels::<T>::LIST,
            #[cfg(target_arch = "x86_64")]
            avx2: avx2::Kernels::<T>::LIST,
            #[cfg(target_arch = "x86_64")]
            avx2_wide: None,
            #[cfg(target_arch = "x86_64")]
            avx_vnni: avx2::VnniKernels::<T>::LIST,
            #[cfg(target_arch = "x86_64")]
            avx512: avx512::Kernels::<T>::LIST,
            #[cfg(target_arch = "aarch64")]
            neon: neon::Kernels::<T>::LIST,
            correction: correction::<T>,
        }
    }

    /// With those for many columns.
    pub(super) const fn with_wide<T: WideTile>() -> Kernels {
        Kernels {
            #[cfg(target_arch = "x86_64")]
            avx2_wide: Some(avx2::WideKernels::<T>::WIDE),
            ..Kernels::of::<T>()
        }
    }

    /// The kernels for an instruction set that this CPU has.
    pub(crate) fn for_isa(&self, isa: Isa) -> &'static [(usize, Kernel)] {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => self.avx2,
            #[cfg(target_arch = "x86_64")]
            Isa::AvxVnni => self.avx_vnni,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => self.avx512,
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => self.neon,
            _ => self.scalar,
        }
    }

    /// The kernels for many columns, where the instruction set and the format have them apart.
    pub(crate) fn wide(&self, isa: Isa) -> Option<&Wide> {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => self.avx2_wide.as_ref(),
            _ => None,
        }
    }

    /// The corrections that the kernels read; `None` for float formats, which take activations as they are.
    pub(crate) fn correction(&self, isa: Isa) -> Option<Correction> {
        (self.correction)(isa)
    }
}

fn correction<T: Tile>(isa: Isa) -> Option<Correction> {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => T::correction::<avx2::Avx2>(),
        #[cfg(target_arch = "x86_64")]
        Isa::AvxVnni => T::correction::<avx2::AvxVnni>(),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => T::correction::<avx512::Avx512>(),
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => T::correction::<neon::Neon>(),
        _ => T::correction::<scalar::Scalar>(),
    }
}

/// A kernel before the choice of instruction set and number of columns.
pub(crate) trait Tile {
    /// Bytes of a tile for each step.
    const STEP_BYTES: usize;
    /// See [`Run`]; `TILES` is their number.
    fn run<V: Vector, const TILES: usize, const M: usize>(
        v: V,
        tiles: &[u8],
        panel: Panel<'_>,
        ahead: &[u8],
        out: &mut [PerRow],
    );
    fn correction<V: Vector>() -> Option<Correction>;
}

/// An instruction set: what kernels do with 16 rows at a time.
///
/// A value of an implementing type is proof that the CPU has the instructions: making one is unsafe, and done only
/// in the functions that are compiled for the instruction set. So the methods need not be.
pub(crate) trait Vector: Copy {
    /// A line: 4 bytes for each row.
    type Bytes: Copy;
    /// Sums of products that have not overflowed yet.
    type Partial: Copy;
    /// An `i32` for each row.
    type Ints: Copy;
    /// An `f32` for each row.
    type Floats: Copy;

    /// What [`Vector::dot_signed`] takes signed bytes to be larger by.
    const SIGNED_OFFSET: i32;
    /// It pays to ask for weights ahead of their use from as many columns on as make this number, times a row's bytes of
    /// a step. With fewer, or with more bytes for each, the kernel reads as fast as the hardware fetches ahead by itself,
    /// and asking would only slow it down.
    const BYTES_PER_COLUMN_TO_PREFETCH: usize;
    /// Whether a [`Vector::Partial`] holds 16-bit sums of pairs of products, or else 32-bit sums of all 4.
    const PARTIAL_OF_PAIRS: bool;
    /// How many lines of bytes up to `max` a [`Vector::Partial`] can take.
    fn lines_per_partial(max: u8) -> usize;

    fn load(self, line: &[u8; 64]) -> Self::Bytes;
    fn and(self, bytes: Self::Bytes, mask: u8) -> Self::Bytes;
    fn or(self, a: Self::Bytes, b: Self::Bytes) -> Self::Bytes;
    /// Shifts pairs of bytes; the caller masks what crosses from one to the other.
    fn shift_left(self, bytes: Self::Bytes, bits: u32) -> Self::Bytes;
    fn shift_right(self, bytes: Self::Bytes, bits: u32) -> Self::Bytes;
    /// The entry of `table` that each byte, below 16, chooses.
    fn lookup(self, table: &[i8; 16], bytes: Self::Bytes) -> Self::Bytes;

    fn splat_int(self, value: i32) -> Self::Ints;
    /// A partial that starts at a [`Correction`], or at 0.
    fn open(self, correction: u32) -> Self::Partial;
    /// Adds for each row the products of its 4 bytes with those of `word`, which are in -127..=127.
    fn dot(self, sum: Self::Partial, unsigned: Self::Bytes, word: i32) -> Self::Partial;
    /// Makes signed bytes ready for [`Vector::dot_signed`].
    fn signed(self, bytes: Self::Bytes) -> Self::Bytes;
    /// As [`Vector::dot`], of signed bytes, and without a limit of lines.
    fn dot_signed(self, sum: Self::Ints, signed: Self::Bytes, word: i32) -> Self::Ints;
    /// Adds a partial to sums.
    fn close(self, sum: Self::Ints, partial: Self::Partial) -> Self::Ints;

    fn to_floats(self, ints: Self::Ints) -> Self::Floats;
    fn splat(self, value: f32) -> Self::Floats;
    fn add(self, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    fn mul(self, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// `a * b + c`, rounded once.
    fn mul_add(self, a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats;
    fn load_f32(self, numbers: &[u8; 64]) -> Self::Floats;
    fn load_f16(self, numbers: &[u8; 32]) -> Self::Floats;
    /// From codes of 4 bits of exponent and 3 of mantissa: 256 times smaller than they are.
    fn load_f8(self, codes: &[u8; 16]) -> Self::Floats;
    fn load_u8(self, numbers: &[u8; 16]) -> Self::Floats;
    fn load_i8(self, numbers: &[u8; 16]) -> Self::Floats;
    /// From words of two bf16: the lower ones.
    fn low_bf16(self, words: &[u8; 64]) -> Self::Floats;
    fn high_bf16(self, words: &[u8; 64]) -> Self::Floats;
    fn store(self, numbers: Self::Floats, to: &mut PerRow);
    /// Stores bytes in the order in which [`Vector::load`] reads them.
    fn store_bytes(self, bytes: Self::Bytes, to: &mut [u8; 64]);

    /// Asks for memory that will be read some microseconds later; any address will do.
    fn prefetch(self, at: *const u8);
}

/// A part of a tile, of a size that the compiler knows.
#[inline(always)]
pub(crate) fn part<const N: usize>(tile: &[u8], at: usize) -> &[u8; N] {
    match tile[at..].first_chunk() {
        Some(part) => part,
        None => panic!("a tile ends inside a line"),
    }
}

/// One block of each of the tiles that lie side by side.
#[inline(always)]
fn blocks_at<const TILES: usize>(tiles: &[u8], block_bytes: usize, block: usize) -> [&[u8]; TILES] {
    let tile_bytes = tiles.len() / TILES;
    let mut blocks = [tiles; TILES];
    for (tile, of_tile) in blocks.iter_mut().enumerate() {
        *of_tile = &tiles[tile * tile_bytes + block * block_bytes..][..block_bytes];
    }
    blocks
}

/// Whether it pays to ask for weights ahead of their use.
const fn asks_ahead<V: Vector, T: Tile>(columns: usize) -> bool {
    columns * V::BYTES_PER_COLUMN_TO_PREFETCH >= T::STEP_BYTES / ROWS
}

/// Cuts what to ask for into parts for each step.
#[inline(always)]
fn parts_ahead(ahead: &[u8], n_steps: usize) -> impl Iterator<Item = &[u8]> {
    let lines = ahead.len().div_ceil(64 * n_steps.max(1)).max(1);
    ahead.chunks(64 * lines)
}

/// Asks for a part.
#[inline(always)]
fn ask_for<V: Vector>(v: V, part: Option<&[u8]>) {
    for line in part.unwrap_or_default().chunks(64) {
        v.prefetch(line.as_ptr());
    }
}
