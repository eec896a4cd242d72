//! The kernel of formats whose weights are floating point numbers.

use std::marker::PhantomData;

use super::{
    Correction, MAX_COLUMNS, Panel, PerRow, ROWS, STEP, Tile, Vector, ask_for, blocks_at, parts_ahead,
};

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

    const STEP_BYTES: usize = F::BLOCK;

    #[inline(always)]
    fn run<V: Vector, const TILES: usize, const M: usize>(
        v: V,
        tiles: &[u8],
        panel: Panel<'_>,
        ahead: &[u8],
        out: &mut [PerRow],
    ) {
        const { assert!(M <= MAX_COLUMNS) };
        let mut acc = [[v.splat(0.0); M]; TILES];
        let mut ahead = parts_ahead(ahead, panel.floats.len() / (M * STEP));
        for at in 0..tiles.len() / TILES / F::BLOCK {
            let blocks = blocks_at::<TILES>(tiles, F::BLOCK, at);
            let x = &panel.floats[at * M * STEP..][..M * STEP];
            ask_for(v, ahead.next());
            let mut part = [[v.splat(0.0); M]; TILES];
            for column in (0..STEP).step_by(4) {
                for k in column..column + 4 {
                    // No closure, see `for_each_tile` in `integer.rs`.
                    let mut weights = [F::column(v, blocks[0], k); TILES];
                    for tile in 1..TILES {
                        weights[tile] = F::column(v, blocks[tile], k);
                    }
                    for m in 0..M {
                        let x = v.splat(x[k * M + m]);
                        for tile in 0..TILES {
                            part[tile][m] = v.mul_add(weights[tile], x, part[tile][m]);
                        }
                    }
                }
            }
            for (acc, part) in acc.iter_mut().zip(&part) {
                for m in 0..M {
                    acc[m] = v.add(acc[m], part[m]);
                }
            }
        }
        for (acc, out) in acc.iter().zip(out.chunks_exact_mut(M)) {
            for m in 0..M {
                v.store(acc[m], &mut out[m]);
            }
        }
    }
}
