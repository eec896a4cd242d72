//! Parts of transformers, each with its weights, its tensor names and its shapes. Files in [`crate::arch`] wire them.

mod attention;
mod block;
mod decoder;
mod embedding;
mod linear;
mod lora;
mod mixture;
mod mlp;
mod norm;
mod output;
mod rope;

pub(crate) use attention::{Heads, SelfAttention};
pub(crate) use block::Block;
pub(crate) use decoder::Decoder;
pub(crate) use linear::Linear;
pub(crate) use lora::LoraScratch;
pub(crate) use mixture::Mixture;
pub(crate) use mlp::Mlp;
pub(crate) use norm::RmsNorm;

use tokenmill_kernels::attention::Span;
use tokenmill_kernels::kv_cache::KvCache;
use tokenmill_kernels::pool::Pool;

use crate::scratch::Scratch;

/// One forward pass on its way through the layers.
pub(crate) struct Step<'a> {
    pub(crate) pool: &'a Pool,
    /// Rows of the batch.
    pub(crate) n_rows: usize,
    /// How they belong to sequences.
    pub(crate) spans: &'a [Span<'a>],
    /// Which of them have adapters.
    pub(crate) adapted: &'a [lora::AdaptedRows<'a>],
    /// The layer that it is in.
    pub(crate) layer: usize,
    pub(crate) cache: &'a mut KvCache,
    pub(crate) scratch: &'a mut Scratch,
}
