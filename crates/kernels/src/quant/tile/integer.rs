//! The kernel of formats whose weights are small integers times a scale.

use std::marker::PhantomData;

use super::{Correction, CorrectionKind, MAX_COLUMNS, Panel, PerRow, ROWS, STEP, Tile, Vector};

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
    type Scales;

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

impl<F: Layout> Integer<F> {
    const GROUPS: usize = STEP / F::GROUP;
    const BLOCK: usize = ROWS * F::BYTES;
    const STEPS: usize = F::LEN / STEP;

    const fn correction_kind(signed_offset: i32) -> CorrectionKind {
        match F::VALUES {
            _ if F::HAS_MINIMUM => CorrectionKind::Minimum,
            Values::Unsigned { offset: 0, .. } => CorrectionKind::None,
            Values::Unsigned { offset, .. } => CorrectionKind::Offset(offset),
            Values::Signed if signed_offset == 0 => CorrectionKind::None,
            Values::Signed => CorrectionKind::Offset(signed_offset),
        }
    }

    /// The exact sums of products of one group, for each column.
    #[inline(always)]
    fn dots<V: Vector, const M: usize>(
        v: V,
        block: &[u8],
        (step, group): (usize, usize),
        words: &[i32],
        corrections: &[u32],
    ) -> [V::Ints; M] {
        let starts_at_offset = matches!(Self::correction_kind(V::SIGNED_OFFSET), CorrectionKind::Offset(_));
        let mut ints = [v.splat_int(0); M];
        if starts_at_offset {
            for m in 0..M {
                ints[m] = v.splat_int(corrections[m].cast_signed());
            }
        }
        let lines = F::GROUP / 4;
        let word = |m: usize, line: usize| words[m * (STEP / 4) + group * lines + line];
        match F::VALUES {
            Values::Signed => {
                for_each_line!(lines, |LINE| {
                    let bytes = v.signed(F::line(v, block, step, group, LINE));
                    for (m, sum) in ints.iter_mut().enumerate() {
                        *sum = v.dot_signed(*sum, bytes, word(m, LINE));
                    }
                });
            }
            Values::Unsigned { max, .. } => {
                let per_partial = V::lines_per_partial(max);
                let mut partial = [v.open(ints[0]); M];
                for_each_line!(lines, |LINE| {
                    if LINE.is_multiple_of(per_partial) {
                        for m in 0..M {
                            partial[m] = v.open(ints[m]);
                        }
                    }
                    let bytes = F::line(v, block, step, group, LINE);
                    for (m, sum) in partial.iter_mut().enumerate() {
                        *sum = v.dot(*sum, bytes, word(m, LINE));
                    }
                    if LINE % per_partial == per_partial - 1 || LINE == lines - 1 {
                        for m in 0..M {
                            ints[m] = v.close(ints[m], partial[m]);
                        }
                    }
                });
            }
        }
        ints
    }
}

impl<F: Layout> Tile for Integer<F> {
    fn correction<V: Vector>() -> Option<Correction> {
        Some(Correction {
            group: F::GROUP,
            kind: Self::correction_kind(V::SIGNED_OFFSET),
        })
    }

    #[inline(always)]
    fn run<V: Vector, const M: usize>(v: V, tile: &[u8], panel: Panel<'_>, out: &mut [PerRow]) {
        const { assert!(M <= MAX_COLUMNS) };
        let correction_words = match Self::correction_kind(V::SIGNED_OFFSET) {
            CorrectionKind::None => 0,
            _ => Self::GROUPS * M,
        };
        let mut acc = [v.splat(0.0); M];
        let mut at = 0;
        for block in tile.chunks_exact(Self::BLOCK) {
            let block_scales = F::scales(v, block);
            for step in 0..Self::STEPS {
                let words = &panel.words[at * M * (STEP / 4)..][..M * (STEP / 4)];
                let scales = &panel.scales[at * M..][..M];
                let corrections = &panel.corrections[at * correction_words..][..correction_words];
                at += 1;
                prefetch::<V, M>(v, block, step, Self::BLOCK / Self::STEPS);
                for group in 0..Self::GROUPS {
                    let corrections = &corrections[(group * M).min(correction_words)..];
                    let dots = Self::dots::<V, M>(v, block, (step, group), words, corrections);
                    let scale = F::scale(v, block, &block_scales, step, group);
                    for m in 0..M {
                        let dot = v.mul(v.to_floats(dots[m]), v.splat(scales[m]));
                        acc[m] = v.mul_add(dot, scale, acc[m]);
                    }
                    if F::HAS_MINIMUM {
                        let minimum = F::minimum(v, block, &block_scales, step, group);
                        for m in 0..M {
                            acc[m] = v.mul_add(minimum, v.splat(f32::from_bits(corrections[m])), acc[m]);
                        }
                    }
                }
            }
        }
        for m in 0..M {
            v.store(acc[m], &mut out[m]);
        }
    }
}

/// How far ahead of its use to ask for weights, in bytes.
const AHEAD: usize = 9 * 1024;

#[inline(always)]
fn prefetch<V: Vector, const M: usize>(v: V, block: &[u8], step: usize, step_bytes: usize) {
    if M >= V::LEAST_COLUMNS_TO_PREFETCH {
        let from = block.as_ptr().wrapping_add(AHEAD + step * step_bytes);
        for line in 0..step_bytes.div_ceil(64) {
            v.prefetch(from.wrapping_add(64 * line));
        }
    }
}
