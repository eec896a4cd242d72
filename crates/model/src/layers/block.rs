//! A layer with its norms in front: `x += attention(norm(x)); x += mlp(norm(x))`.

use tokenmill_kernels::activation::add;

use super::{Mlp, RmsNorm, SelfAttention, Step};

pub(crate) struct Block {
    pub(crate) attention_norm: RmsNorm,
    pub(crate) attention: SelfAttention,
    pub(crate) mlp_norm: RmsNorm,
    pub(crate) mlp: Mlp,
}

impl Block {
    /// Changes `hidden`.
    pub(crate) fn forward(&self, step: &mut Step<'_>) {
        self.attention_norm
            .forward(step.pool, &step.scratch.hidden, &mut step.scratch.normed);
        self.attention.forward(step);
        add(step.pool, &mut step.scratch.hidden, &step.scratch.branch);
        self.mlp_norm
            .forward(step.pool, &step.scratch.hidden, &mut step.scratch.normed);
        self.mlp.forward(step);
        add(step.pool, &mut step.scratch.hidden, &step.scratch.branch);
    }
}
