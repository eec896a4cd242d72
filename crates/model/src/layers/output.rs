//! From the last hidden rows to logits.

use std::sync::Arc;

use super::embedding::Embedding;
use super::linear::project;
use super::{Linear, RmsNorm, Step};
use crate::config::Config;
use crate::weights::{WeightError, Weights};

pub(crate) struct Output {
    norm: RmsNorm,
    head: Linear,
}

impl Output {
    /// Takes `output_norm` and, unless it is the embedding, `output`.
    pub(crate) fn load(
        weights: &mut Weights<'_>,
        config: &Config,
        embedding: &Embedding,
    ) -> Result<Output, WeightError> {
        let norm = RmsNorm::load(weights, "output_norm", config.n_embd, config.rms_eps)?;
        let head = if config.tied_embeddings {
            Linear::shared(Arc::clone(&embedding.rows))
        } else {
            Linear::load(weights, "output", config.n_vocab, config.n_embd)?
        };
        Ok(Output { norm, head })
    }

    /// Sets `logits` to `[n, n_vocab]` for the `n` rows of `hidden` whose numbers are given.
    pub(crate) fn forward(
        &self,
        step: &mut Step<'_>,
        rows: impl Iterator<Item = usize>,
        logits: &mut Vec<f32>,
    ) {
        let scratch = &mut *step.scratch;
        let n_embd = scratch.hidden.len() / step.n_rows;
        // The other rows end here; gathering leaves their share of the largest matrix undone.
        scratch.branch.clear();
        for row in rows {
            scratch
                .branch
                .extend_from_slice(&scratch.hidden[row * n_embd..(row + 1) * n_embd]);
        }
        if scratch.branch.is_empty() {
            logits.clear();
            return;
        }
        self.norm.forward(step.pool, &scratch.branch, &mut scratch.normed);
        let n_rows = scratch.branch.len() / n_embd;
        project(
            step.pool,
            &mut scratch.matmul,
            &scratch.normed,
            n_rows,
            [(&self.head, logits)],
        );
    }
}
