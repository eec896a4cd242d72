//! Activations in the forms that kernels read, kept in memory that serves call after call.

use super::Product;
use super::columns::Columns;
use crate::pool::{Pool, SharedSlice};
use crate::quant::panel::PanelMut;
use crate::quant::tile::{Correction, CorrectionKind, Panel, STEP};

/// Memory that products reuse from call to call: the activations as the kernels read them.
#[derive(Debug, Default)]
pub struct MatmulScratch {
    /// Each of these is empty when no product of the call needs it.
    words: Vec<i32>,
    pairs: Vec<i32>,
    scales: Vec<f32>,
    corrections: Vec<(Correction, Vec<u32>)>,
    floats: Vec<f32>,
}

/// What a product reads of the activations.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Form {
    Floats,
    Bytes(Correction),
    /// Bytes spread to 16 bits.
    Pairs(Correction),
}

impl Form {
    pub(super) fn of(product: &Product<'_>, pool: &Pool, wide: bool) -> Form {
        let kernels = &product.weights.format.kernels;
        match kernels.correction(pool.isa()) {
            None => Form::Floats,
            Some(correction) if wide && kernels.wide(pool.isa()).is_some_and(|wide| wide.pairs) => {
                Form::Pairs(correction)
            }
            Some(correction) => Form::Bytes(correction),
        }
    }

    fn correction(self) -> Option<Correction> {
        match self {
            Form::Floats => None,
            Form::Bytes(correction) | Form::Pairs(correction) => {
                (correction.kind != CorrectionKind::None).then_some(correction)
            }
        }
    }

    /// Values of corrections for each step of each column.
    pub(super) fn corrections_per_step(self) -> usize {
        self.correction().map_or(0, Correction::per_step)
    }
}

impl MatmulScratch {
    /// Brings the activations into these forms.
    pub(super) fn prepare(&mut self, pool: &Pool, columns: &Columns, x: &[f32], forms: &[Form]) {
        let cells = columns.n_columns() * columns.n_steps;
        let mut n_corrections = 0;
        for correction in forms.iter().filter_map(|form| form.correction()) {
            let known = &self.corrections[..n_corrections];
            if known.iter().any(|(known, _)| *known == correction) {
                continue;
            }
            if n_corrections == self.corrections.len() {
                self.corrections.push((correction, Vec::new()));
            }
            let (kind, values) = &mut self.corrections[n_corrections];
            *kind = correction;
            values.resize(cells * correction.per_step(), 0);
            n_corrections += 1;
        }
        self.corrections.truncate(n_corrections);
        let any = |wanted: fn(&Form) -> bool| usize::from(forms.iter().any(wanted));
        let bytes = any(|form| matches!(form, Form::Bytes(_)));
        let pairs = any(|form| matches!(form, Form::Pairs(_)));
        self.words.resize(bytes * cells * STEP / 4, 0);
        self.pairs.resize(pairs * cells * STEP / 2, 0);
        if bytes + pairs > 0 {
            self.scales.resize(cells, 0.0);
            self.quantize(pool, columns, x);
        }
        if any(|form| *form == Form::Floats) > 0 {
            self.floats.resize(cells * STEP, 0.0);
            self.copy_floats(pool, columns, x);
        }
    }

    /// The panels of all groups, one after the other.
    pub(super) fn panels(&self, form: Form) -> Panel<'_> {
        let correction = form.correction();
        let corrections = self
            .corrections
            .iter()
            .find(|(known, _)| Some(*known) == correction);
        Panel {
            words: match form {
                Form::Floats => &[],
                Form::Bytes(_) => &self.words,
                Form::Pairs(_) => &self.pairs,
            },
            scales: &self.scales,
            corrections: corrections.map_or(&[], |(_, values)| values),
            floats: &self.floats,
        }
    }

    fn quantize(&mut self, pool: &Pool, columns: &Columns, x: &[f32]) {
        let words_per_step = if self.words.is_empty() { 0 } else { STEP / 4 };
        let pairs_per_step = if self.pairs.is_empty() { 0 } else { STEP / 2 };
        let words = SharedSlice::new(&mut self.words);
        let pairs = SharedSlice::new(&mut self.pairs);
        let scales = SharedSlice::new(&mut self.scales);
        let corrections: Vec<_> = self
            .corrections
            .iter_mut()
            .map(|(correction, values)| (*correction, SharedSlice::new(values)))
            .collect();
        pool.for_each_range(columns.n_groups, columns.groups_per_worker(), &|_, groups| {
            for group in groups.map(|group| columns.group(group)) {
                let at = |per_cell| columns.panel(&group, &columns.all_steps(), per_cell);
                // SAFETY: the pool gives each group to one worker, and groups have panels of their own.
                let mut panel = unsafe {
                    PanelMut {
                        columns: group.columns,
                        words: words.range_mut(at(words_per_step)),
                        pairs: pairs.range_mut(at(pairs_per_step)),
                        scales: scales.range_mut(at(1)),
                        corrections: corrections
                            .iter()
                            .map(|(correction, values)| {
                                (*correction, values.range_mut(at(correction.per_step())))
                            })
                            .collect(),
                    }
                };
                for (column, token) in group.tokens.enumerate() {
                    panel.fill_column(pool.isa(), column, &x[token * columns.n_cols..][..columns.n_cols]);
                }
            }
        });
    }

    fn copy_floats(&mut self, pool: &Pool, columns: &Columns, x: &[f32]) {
        let floats = SharedSlice::new(&mut self.floats);
        pool.for_each_range(columns.n_groups, columns.groups_per_worker(), &|_, groups| {
            for group in groups.map(|group| columns.group(group)) {
                // SAFETY: the pool gives each group to one worker, and groups have panels of their own.
                let panel = unsafe { floats.range_mut(columns.panel(&group, &columns.all_steps(), STEP)) };
                for (column, token) in group.tokens.enumerate() {
                    let row = &x[token * columns.n_cols..][..columns.n_cols];
                    let mut cells = panel[column..].iter_mut().step_by(group.columns);
                    row.iter().zip(cells.by_ref()).for_each(|(&x, to)| *to = x);
                    // Memory from the last call may hold anything, and 0 * infinity is not 0.
                    cells.for_each(|to| *to = 0.0);
                }
            }
        });
    }
}
