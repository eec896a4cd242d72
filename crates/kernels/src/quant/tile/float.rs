//! The kernel of formats whose weights are floating point numbers.

use std::marker::PhantomData;

use super::{Correction, MAX_COLUMNS, Panel, PerRow, ROWS, STEP, Tile, Vector, prefetch};

/// A format as the kernel reads it from a tile: blocks of 32 columns.
pub(crate) trait Layout {
    /// Bytes of a weight.
    const BYTES: usize;
    /// Bytes of a block of all 16 rows: its weights, and what it has before them.
    const BLOCK: usize = ROWS * STEP * Self::BYTES;
    /// One column of a block.
    fn column<V: Vector>(v: V, block: &[u8], column: usize) -> V::Floats;
}

/// The kernel for a format.
pub(crate) struct Float<F>(PhantomData<F>);

impl<F: Layout> Tile for Float<F> {
    fn correction<V: Vector>() -> Option<Correction> {
        None
    }

    #[inline(always)]
    fn run<V: Vector, const M: usize>(v: V, tile: &[u8], panel: Panel<'_>, out: &mut [PerRow]) {
        const { assert!(M <= MAX_COLUMNS) };
        let mut acc = [v.splat(0.0); M];
        for (at, block) in tile.chunks_exact(F::BLOCK).enumerate() {
            let x = &panel.floats[at * M * STEP..][..M * STEP];
            prefetch::<V, M>(v, block, 0, F::BLOCK);
            let mut part = [v.splat(0.0); M];
            for column in (0..STEP).step_by(4) {
                for k in column..column + 4 {
                    let weights = F::column(v, block, k);
                    for m in 0..M {
                        part[m] = v.mul_add(weights, v.splat(x[k * M + m]), part[m]);
                    }
                }
            }
            for m in 0..M {
                acc[m] = v.add(acc[m], part[m]);
            }
        }
        for m in 0..M {
            v.store(acc[m], &mut out[m]);
        }
    }
}
