//! Token ids to rows.

use std::sync::Arc;

use tokenmill_kernels::matmul::Matrix;

use crate::config::Config;
use crate::weights::{WeightError, Weights};

pub(crate) struct Embedding {
    /// `[n_vocab, n_embd]`
    pub(crate) rows: Arc<Matrix>,
}

impl Embedding {
    /// Takes `token_embd.weight`.
    pub(crate) fn load(weights: &mut Weights<'_>, config: &Config) -> Result<Embedding, WeightError> {
        Ok(Embedding {
            rows: Arc::new(weights.matrix("token_embd.weight", config.n_vocab, config.n_embd)?),
        })
    }

    /// Sets `hidden` to the rows of `tokens`, `[n_rows, n_embd]`.
    pub(crate) fn forward(&self, tokens: &[u32], hidden: &mut Vec<f32>) {
        let n_embd = self.rows.n_cols();
        hidden.resize(tokens.len() * n_embd, 0.0);
        for (&token, row) in tokens.iter().zip(hidden.chunks_exact_mut(n_embd)) {
            self.rows.decode_row(token as usize, row);
        }
    }
}
