//! RMS norm with learnt weights.

use tokenmill_kernels::norm::{rms_norm, rms_norm_in_place};
use tokenmill_kernels::pool::Pool;

use crate::weights::{WeightError, Weights};

pub(crate) struct RmsNorm {
    /// One per number of a row.
    weight: Vec<f32>,
    eps: f32,
}

impl RmsNorm {
    /// Takes `NAME.weight`, for rows of `row_len` numbers.
    pub(crate) fn load(
        weights: &mut Weights<'_>,
        name: &str,
        row_len: usize,
        eps: f32,
    ) -> Result<RmsNorm, WeightError> {
        Ok(RmsNorm {
            weight: weights.vector(&format!("{name}.weight"), row_len)?,
            eps,
        })
    }

    /// Rows of `x` normed into `out`, which takes the length of `x`.
    pub(crate) fn forward(&self, pool: &Pool, x: &[f32], out: &mut Vec<f32>) {
        out.resize(x.len(), 0.0);
        rms_norm(pool, x, &self.weight, self.eps, out);
    }

    /// As [`RmsNorm::forward`], in place.
    pub(crate) fn forward_in_place(&self, pool: &Pool, x: &mut [f32]) {
        rms_norm_in_place(pool, x, &self.weight, self.eps);
    }
}
