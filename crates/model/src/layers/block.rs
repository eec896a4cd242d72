//! A layer with its norms in front: `x += attention(norm(x)); x += feed_forward(norm(x))`.

use tokenmill_kernels::activation::add;

use super::{Mixture, Mlp, RmsNorm, SelfAttention, Step};

pub(crate) struct Block {
    pub(crate) attention_norm: RmsNorm,
    pub(crate) attention: SelfAttention,
    pub(crate) mlp_norm: RmsNorm,
    pub(crate) feed_forward: FeedForward,
}

/// The second half of a layer.
pub(crate) enum FeedForward {
    Mlp(Mlp),
    Mixture(Mixture),
}

impl From<Mlp> for FeedForward {
    fn from(mlp: Mlp) -> FeedForward {
        FeedForward::Mlp(mlp)
    }
}

impl From<Mixture> for FeedForward {
    fn from(mixture: Mixture) -> FeedForward {
        FeedForward::Mixture(mixture)
    }
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
        match &self.feed_forward {
            FeedForward::Mlp(mlp) => mlp.forward(step),
            FeedForward::Mixture(mixture) => mixture.forward(step),
        }
        add(step.pool, &mut step.scratch.hidden, &step.scratch.branch);
    }
}
