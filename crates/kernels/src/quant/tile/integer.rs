//! The kernel of formats whose weights are small integers times a scale.

use std::marker::PhantomData;

use super::wide::{self, Unpacked, WideTile, WideVector};
use super::{
    Correction, CorrectionKind, MAX_COLUMNS, Panel, PerRow, ROWS, STEP, Tile, Vector, ask_for, blocks_at,
    parts_ahead,
};

/// How the kernel sees the weights of a format.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Values {
    /// Bytes `0..=max`, which are larger than the weights by `offset`.
    Unsigned { max: u8, offset: i32 },
    /// Signed bytes.
    Signed,
}

/// A format as the kernel reads it from a tile.
pub(crate) trait Layout {
    /// Columns in a block.
    const LEN: usize;
    /// Bytes of a block of one row.
    const BYTES: usize;
    /// Columns that share a scale: 16 or 32.
    const GROUP: usize;
    const VALUES: Values;
    /// Whether groups have a minimum that is added to each weight.
    const HAS_MINIMUM: bool;
    /// What is worked out once for a block: its unpacked scales.
    type Scales: Copy;

    fn scales<V: Vector>(v: V, block: &[u8]) -> Self::Scales;
    /// Columns `32 step + GROUP group + 4 line ..` and the 3 after it; `group` counts within the step.
    fn line<V: Vector>(v: V, block: &[u8], step: usize, group: usize, line: usize) -> V::Bytes;
    fn scale<V: Vector>(v: V, block: &[u8], scales: &Self::Scales, step: usize, group: usize) -> V::Floats;
    /// Not called if there is no minimum.
    fn minimum<V: Vector>(
        v: V,
        _block: &[u8],
        _scales: &Self::Scales,
        _step: usize,
        _group: usize,
    ) -> V::Floats {
        v.splat(0.0)
    }
}

/// The kernel for a format.
pub(crate) struct Integer<F>(PhantomData<F>);

/// Runs the body for each line of a group, with its number a constant: shifts must not become variable ones.
macro_rules! for_each_line {
    ($n:expr, |$line:ident| $body:block) => {
        for_each_line!(@ $n, $line, $body, 0 1 2 3 4 5 6 7)
    };
    (@ $n:expr, $line:ident, $body:block, $($number:literal)*) => {
        $(if $number < $n { const $line: usize = $number; $body })*
    };
}

/// The value of an expression for each tile. No closure, which would be compiled without the instructions of its caller
/// wherever the compiler does not inline it: that cost up to nine tenths of the speed.
macro_rules! for_each_tile {
    ($tiles:expr, |$tile:ident| $value:expr) => {{
        let mut values = {
            let $tile = 0;
            [$value; $tiles]
        };
        for $tile in 1..$tiles {
            values[$tile] = $value;
        }
        values
    }};
}

impl<F: Layout> Integer<F> {
    const GROUPS: usize = STEP / F::GROUP;
    const BLOCK: usize = ROWS * F::BYTES;
    const STEPS: usize = F::LEN / STEP;

    /// Lines of a group.
    const LINES: usize = F::GROUP / 4;

    const fn correction_kind<V: Vector>() -> CorrectionKind {
        match F::VALUES {
            _ if F::HAS_MINIMUM => CorrectionKind::Minimum,
            Values::Unsigned { offset: 0, .. } => CorrectionKind::None,
            Values::Unsigned { max, offset } if V::PARTIAL_OF_PAIRS => {
                // Sums may wrap around on the way, but not in the end: half of the products of a group go to each.
                let most = if max as i32 - offset > offset {
                    max as i32 - offset
                } else {
                    offset
                };
                assert!(F::GROUP as i32 / 2 * most * 127 <= i16::MAX as i32);
                CorrectionKind::OffsetOfPairs(offset)
            }
            Values::Unsigned { offset, .. } => CorrectionKind::Offset(offset),
            Values::Signed if V::SIGNED_OFFSET == 0 => CorrectionKind::None,
            Values::Signed => CorrectionKind::Offset(V::SIGNED_OFFSET),
        }
    }

    const fn starts_at_correction<V: Vector>() -> bool {
        matches!(
            Self::correction_kind::<V>(),
            CorrectionKind::Offset(_) | CorrectionKind::OffsetOfPairs(_)
        )
    }

    /// How many lines a partial takes: all, if it starts at its correction.
    fn lines_per_partial<V: Vector>() -> usize {
        match F::VALUES {
            Values::Unsigned { max, .. } if !Self::starts_at_correction::<V>() => {
                V::lines_per_partial(max).min(Self::LINES)
            }
            _ => Self::LINES,
        }
    }

    /// Corrections for each step of each column.
    const fn corrections_per_step<V: Vector>() -> usize {
        match Self::correction_kind::<V>() {
            CorrectionKind::None => 0,
            _ => Self::GROUPS,
        }
    }

    /// Where the sums of a column start: at their correction, or at zero.
    #[inline(always)]
    fn start<V: Vector>(corrections: &[u32], column: usize) -> u32 {
        if Self::starts_at_correction::<V>() {
            corrections[column]
        } else {
            0
        }
    }

    /// The exact sums of products of one group, for each tile and column.
    #[expect(
        clippy::needless_range_loop,
        reason = "columns outside, tiles inside: that is the order of the products"
    )]
    #[inline(always)]
    fn dots<V: Vector, const TILES: usize, const M: usize>(
        v: V,
        blocks: [&[u8]; TILES],
        (step, group): (usize, usize),
        words: &[i32],
        corrections: &[u32],
    ) -> [[V::Ints; M]; TILES] {
        let mut ints = [[v.splat_int(0); M]; TILES];
        let word = |m: usize, line: usize| words[(group * Self::LINES + line) * M + m];
        match F::VALUES {
            Values::Signed => {
                let mut starts = [v.splat_int(0); M];
                for (m, start) in starts.iter_mut().enumerate() {
                    *start = v.splat_int(Self::start::<V>(corrections, m).cast_signed());
                }
                ints = [starts; TILES];
                for_each_line!(Self::LINES, |LINE| {
                    let bytes = for_each_tile!(TILES, |tile| v.signed(F::line(
                        v,
                        blocks[tile],
                        step,
                        group,
                        LINE
                    )));
                    for m in 0..M {
                        for tile in 0..TILES {
                            ints[tile][m] = v.dot_signed(ints[tile][m], bytes[tile], word(m, LINE));
                        }
                    }
                });
            }
            Values::Unsigned { .. } => {
                let per_partial = Self::lines_per_partial::<V>();
                let mut partial = [[v.open(0); M]; TILES];
                for_each_line!(Self::LINES, |LINE| {
                    if LINE.is_multiple_of(per_partial) {
                        let mut starts = [v.open(0); M];
                        for (m, start) in starts.iter_mut().enumerate() {
                            *start = v.open(Self::start::<V>(corrections, m));
                        }
                        partial = [starts; TILES];
                    }
                    let bytes = for_each_tile!(TILES, |tile| F::line(v, blocks[tile], step, group, LINE));
                    for m in 0..M {
                        for tile in 0..TILES {
                            partial[tile][m] = v.dot(partial[tile][m], bytes[tile], word(m, LINE));
                        }
                    }
                    if LINE % per_partial == per_partial - 1 || LINE == Self::LINES - 1 {
                        for (ints, partial) in ints.iter_mut().zip(&partial) {
                            for m in 0..M {
                                ints[m] = v.close(ints[m], partial[m]);
                            }
                        }
                    }
                });
            }
        }
        ints
    }

    /// As [`Integer::dots`], of unpacked lines.
    #[inline(always)]
    fn wide_dots<V: WideVector, const M: usize>(
        v: V,
        lines_per_loop: usize,
        lines: &[[u8; 64]],
        words: &[[i32; M]],
        corrections: &[u32; M],
    ) -> [V::Ints; M] {
        let mut ints = [v.splat_int(0); M];
        let loops = Self::LINES / Self::lines_per_partial::<V>();
        for at in 0..loops {
            let lines = lines.get(at * lines_per_loop..).unwrap_or_default();
            let words = words.get(at * lines_per_loop..).unwrap_or_default();
            let lines = lines.iter().zip(words).take(lines_per_loop);
            if F::VALUES == Values::Signed {
                for (line, words) in lines {
                    let weights = v.load(line);
                    for m in 0..M {
                        ints[m] = v.dot_pairs(ints[m], weights, words[m]);
                    }
                }
                continue;
            }
            let mut partial = [v.open(0); M];
            if Self::starts_at_correction::<V>() {
                for m in 0..M {
                    partial[m] = v.open(corrections[m]);
                }
            }
            for (line, words) in lines {
                let weights = v.load(line);
                for m in 0..M {
                    partial[m] = v.dot(partial[m], weights, words[m]);
                }
            }
            for m in 0..M {
                ints[m] = v.close(ints[m], partial[m]);
            }
        }
        ints
    }
}

impl<F: Layout> Tile for Integer<F> {
    fn correction<V: Vector>() -> Option<Correction> {
        Some(Correction {
            group: F::GROUP,
            kind: Self::correction_kind::<V>(),
        })
    }

    const STEP_BYTES: usize = Self::BLOCK / Self::STEPS;

    #[inline(always)]
    fn run<V: Vector, const TILES: usize, const M: usize>(
        v: V,
        tiles: &[u8],
        panel: Panel<'_>,
        ahead: &[u8],
        out: &mut [PerRow],
    ) {
        const { assert!(M <= MAX_COLUMNS) };
        let correction_words = Self::corrections_per_step::<V>() * M;
        let mut ahead = parts_ahead(ahead, panel.scales.len() / M);
        let mut acc = [[v.splat(0.0); M]; TILES];
        let mut at = 0;
        for block in 0..tiles.len() / TILES / Self::BLOCK {
            let blocks = blocks_at::<TILES>(tiles, Self::BLOCK, block);
            let block_scales = for_each_tile!(TILES, |tile| F::scales(v, blocks[tile]));
            for step in 0..Self::STEPS {
                let words = &panel.words[at * M * (STEP / 4)..][..M * (STEP / 4)];
                let scales = &panel.scales[at * M..][..M];
                let corrections = &panel.corrections[at * correction_words..][..correction_words];
                at += 1;
                ask_for(v, ahead.next());
                for group in 0..Self::GROUPS {
                    let corrections = &corrections[(group * M).min(correction_words)..];
                    let dots = Self::dots::<V, TILES, M>(v, blocks, (step, group), words, corrections);
                    let scale = for_each_tile!(TILES, |tile| {
                        F::scale(v, blocks[tile], &block_scales[tile], step, group)
                    });
                    for m in 0..M {
                        let unit = v.splat(scales[m]);
                        for tile in 0..TILES {
                            let dot = v.mul(v.to_floats(dots[tile][m]), unit);
                            acc[tile][m] = v.mul_add(dot, scale[tile], acc[tile][m]);
                        }
                    }
                    if F::HAS_MINIMUM {
                        let minimum = for_each_tile!(TILES, |tile| {
                            F::minimum(v, blocks[tile], &block_scales[tile], step, group)
                        });
                        for m in 0..M {
                            let sum = v.splat(f32::from_bits(corrections[m]));
                            for tile in 0..TILES {
                                acc[tile][m] = v.mul_add(minimum[tile], sum, acc[tile][m]);
                            }
                        }
                    }
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

impl<F: Layout> WideTile for Integer<F> {
    const PAIRS: bool = matches!(F::VALUES, Values::Signed);

    #[inline(always)]
    fn unpack<V: WideVector>(v: V, tile: &[u8], to: &mut Unpacked) {
        const { assert!(wide::STEPS.is_multiple_of(Self::STEPS)) };
        const { assert!(Self::BLOCK.is_multiple_of(Self::STEPS)) };
        to.lines_per_loop = Self::lines_per_partial::<V>() * if Self::PAIRS { 2 } else { 1 };
        let lines_per_group = if Self::PAIRS { 2 * Self::LINES } else { Self::LINES };
        let mut lines = to.lines.chunks_exact_mut(lines_per_group);
        let mut scales = to.scales.iter_mut().zip(&mut to.minima);
        for block in tile.chunks_exact(Self::BLOCK) {
            let block_scales = F::scales(v, block);
            for step in 0..Self::STEPS {
                for group in 0..Self::GROUPS {
                    let (Some(lines), Some((scale, minimum))) = (lines.next(), scales.next()) else {
                        return;
                    };
                    for_each_line!(Self::LINES, |LINE| {
                        let bytes = F::line(v, block, step, group, LINE);
                        if Self::PAIRS {
                            v.store_pairs(bytes, &mut lines.as_chunks_mut().0[LINE]);
                        } else {
                            v.store_bytes(bytes, &mut lines[LINE]);
                        }
                    });
                    v.store(F::scale(v, block, &block_scales, step, group), scale);
                    if F::HAS_MINIMUM {
                        v.store(F::minimum(v, block, &block_scales, step, group), minimum);
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn multiply<V: WideVector, const M: usize>(
        v: V,
        from: &Unpacked,
        panel: Panel<'_>,
        ahead: &[u8],
        out: &mut [PerRow],
    ) {
        let lines_per_group = if Self::PAIRS { 2 * Self::LINES } else { Self::LINES };
        let mut lines = from.lines.chunks_exact(lines_per_group);
        let mut words = panel.words.as_chunks::<M>().0.chunks_exact(lines_per_group);
        let mut corrections = panel.corrections.as_chunks::<M>().0.iter();
        let mut weight_scales = from.scales.iter().zip(&from.minima);
        let Some(out) = out.first_chunk_mut::<M>() else {
            return;
        };
        let steps = panel.scales.as_chunks::<M>().0;
        let mut ahead = parts_ahead(ahead, steps.len());
        for scales in steps {
            ask_for(v, ahead.next());
            for _ in 0..Self::GROUPS {
                let (Some(lines), Some(words)) = (lines.next(), words.next()) else {
                    return;
                };
                let Some((scale, minimum)) = weight_scales.next() else {
                    return;
                };
                let corrections = if Self::corrections_per_step::<V>() == 0 {
                    &[0; M]
                } else if let Some(corrections) = corrections.next() {
                    corrections
                } else {
                    return;
                };
                let dots = Self::wide_dots::<V, M>(v, from.lines_per_loop, lines, words, corrections);
                let scale = v.load_row(scale);
                for m in 0..M {
                    let dot = v.mul(v.to_floats(dots[m]), v.splat(scales[m]));
                    v.store(v.mul_add(dot, scale, v.load_row(&out[m])), &mut out[m]);
                }
                if F::HAS_MINIMUM {
                    let minimum = v.load_row(minimum);
                    for m in 0..M {
                        let weight = v.splat(f32::from_bits(corrections[m]));
                        v.store(v.mul_add(minimum, weight, v.load_row(&out[m])), &mut out[m]);
                    }
                }
            }
        }
    }
}
