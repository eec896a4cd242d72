//! Files to weights to forward pass.
//!
//! [`load`] opens a GGUF file (or the first file of a split one) or a Hugging Face folder and gives a [`Loaded`]: the
//! model, and as plain data what its files say about tokenizer, chat template and sampling. This crate knows no
//! batching policy and no text: a model is given a batch of token ids and a cache, and returns logits.

mod generation;
mod tokenizer_source;

pub use generation::GenerationDefaults;
pub use tokenizer_source::{GgufTokenizer, TokenizerSource};

/// What a model is, for people and for logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelInfo {
    /// The name in the files, or the file's own name without its ending.
    pub name: String,
    /// The architecture's name, such as `qwen3`.
    pub architecture: String,
    /// Numbers in all weight tensors that the model uses.
    pub n_params: u64,
    /// Longest context in tokens that the files allow.
    pub n_context: usize,
    /// The type that holds most of the weights, such as `Q4_K`.
    pub quantization: String,
    /// Names the weights.
    pub fingerprint: String,
    /// Bytes of all weight files together.
    pub file_bytes: u64,
}
