//! Weights taken out of a tile once and multiplied by many columns.
//!
//! The plain kernels unpack weights anew for every few columns. Where registers are few (AVX2 has 16), unpacked weights
//! do not stay in them anyway; so with many columns a part of a tile is unpacked to memory that stays in the first-level
//! cache, and a loop over lines multiplies it by up to 5 columns at a time. Results go on from part to part through
//! memory: the sums are those of the plain kernels, in the same order.
//!
//! Tried on Zen 3, where products with 16-bit sums from registers reach 103 operations per cycle:
//!
//! - 6 columns: two of the 12 sums end up in memory, and each line waits for them;
//! - fully unrolled lines: the compiler goes column by column and loads each weight anew from the stack for each;
//! - signed weights as 16-bit pairs: 43 operations per cycle, against 38 with the sign moved to the activations;
//! - asking for a part's weights all at once while the part before is unpacked: a third of the time went into waiting;
//!   asked for line by line during the products before, they are there;
//! - float formats: nothing gained over the plain kernels, which reach 80 % of the peak.

use super::{Panel, PerRow, Tile, Vector};

/// How many steps to unpack at a time: a multiple of all blocks.
pub(crate) const STEPS: usize = 16;

/// Some columns of a tile: at most 20 KiB, which leaves room in the first-level cache for activations.
#[repr(align(64))]
pub(crate) struct Unpacked {
    pub(super) lines: [[u8; 64]; 256],
    /// Of each group, in order.
    pub(super) scales: [PerRow; 2 * STEPS],
    pub(super) minima: [PerRow; 2 * STEPS],
    /// Lines that can be added up before they are widened. The compiler must not know how many: it would unroll the loop
    /// over them and keep sums in memory.
    pub(super) lines_per_loop: usize,
}

impl Unpacked {
    pub(crate) fn new() -> Unpacked {
        Unpacked {
            lines: [[0; 64]; 256],
            scales: [PerRow::default(); 2 * STEPS],
            minima: [PerRow::default(); 2 * STEPS],
            lines_per_loop: 0,
        }
    }
}

/// Takes weights of up to [`STEPS`] steps, those of `tile`, out of it.
///
/// # Safety
/// The CPU has the instruction set that the function was made for.
pub(crate) type Unpack = unsafe fn(tile: &[u8], to: &mut Unpacked);

/// Multiplies weights with the panel of as many steps: adds to `out[column]` one number per row. On the way, it asks for
/// `ahead`, weights that will be unpacked later: asked for all at once, they would have to be waited for.
///
/// # Safety
/// The CPU has the instruction set that the function was made for.
pub(crate) type Multiply = unsafe fn(from: &Unpacked, panel: Panel<'_>, ahead: &[u8], out: &mut [PerRow]);

/// The kernels of a format for many columns.
pub(crate) struct Wide {
    /// Bytes of a tile for each step.
    pub(crate) step_bytes: usize,
    /// Whether activations are words of two 16-bit numbers.
    pub(crate) pairs: bool,
    pub(crate) unpack: Unpack,
    /// Each with its number of columns, ascending.
    pub(crate) multiply: &'static [(usize, Multiply)],
}

/// A kernel in two parts: weights are taken out of their tile, and multiplied with many columns.
pub(crate) trait WideTile: Tile {
    /// Whether [`WideTile::multiply`] reads activations as words of two 16-bit numbers.
    const PAIRS: bool;
    /// Takes the weights of some steps out of a tile.
    fn unpack<V: WideVector>(v: V, tile: &[u8], to: &mut Unpacked);
    /// Adds the products of the weights with the columns of a panel to `out`, and asks for the bytes of `ahead`.
    fn multiply<V: WideVector, const M: usize>(
        v: V,
        from: &Unpacked,
        panel: Panel<'_>,
        ahead: &[u8],
        out: &mut [PerRow],
    );
}

/// What wide kernels need besides.
pub(crate) trait WideVector: Vector {
    /// Stores signed bytes as 16-bit numbers: of each row the first two in one line, the last two in the next.
    fn store_pairs(self, bytes: Self::Bytes, to: &mut [[u8; 64]; 2]);
    /// Adds for each row the products of its two 16-bit numbers with those of `word`.
    fn dot_pairs(self, sum: Self::Ints, pairs: Self::Bytes, word: i32) -> Self::Ints;
    fn load_row(self, numbers: &PerRow) -> Self::Floats;
}
