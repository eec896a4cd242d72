//! Buffers of a forward pass, kept from step to step so that a step allocates nothing once they have grown.

use tokenmill_kernels::attention::AttentionScratch;
use tokenmill_kernels::experts::{RoutedScratch, Routing};
use tokenmill_kernels::matmul::MatmulScratch;
use tokenmill_kernels::rope::Rotations;

use crate::layers::LoraScratch;

/// One per engine; its content between two passes means nothing. `n` is the number of rows of the batch.
#[derive(Default)]
pub struct Scratch {
    pub(crate) matmul: MatmulScratch,
    pub(crate) attention: AttentionScratch,
    pub(crate) lora: LoraScratch,
    pub(crate) rotations: Rotations,
    /// The residual stream, `[n, n_embd]`.
    pub(crate) hidden: Vec<f32>,
    /// The normed stream that a part of a layer reads, `[n, n_embd]`.
    pub(crate) normed: Vec<f32>,
    /// What a part of a layer adds to the stream, `[n, n_embd]`.
    pub(crate) branch: Vec<f32>,
    /// Queries, `[n, n_heads, head_dim]`.
    pub(crate) queries: Vec<f32>,
    /// Keys, `[n, n_kv_heads, head_dim]`.
    pub(crate) keys: Vec<f32>,
    /// Values, `[n, n_kv_heads, head_dim]`.
    pub(crate) values: Vec<f32>,
    /// What attention gathered, `[n, n_heads, head_dim]`.
    pub(crate) attended: Vec<f32>,
    /// Gates, `[n, n_ff]`; of experts, `[n * n_chosen, n_ff]`.
    pub(crate) gate: Vec<f32>,
    /// What the gates let through, of the same shape.
    pub(crate) up: Vec<f32>,
    pub(crate) routing: Routing,
    pub(crate) routed: RoutedScratch,
    /// How well each expert suits each row, `[n, n_experts]`.
    pub(crate) router_scores: Vec<f32>,
    /// What the chosen experts answer, `[n * n_chosen, n_embd]`.
    pub(crate) answers: Vec<f32>,
}
