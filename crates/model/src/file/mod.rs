//! Model files as they are on disk. `gguf` and `safetensors` read one file's bytes, `gguf_files` and `folder` all files of a
//! model, the others know what the metadata mean. Nothing here computes with weights.

pub(crate) mod folder;
pub mod gguf;
pub(crate) mod gguf_files;
pub(crate) mod gguf_model;
pub(crate) mod gguf_tokenizer;
pub(crate) mod hf_config;
pub mod safetensors;

use crate::config::Config;
use crate::generation::GenerationDefaults;
use crate::tokenizer_source::TokenizerSource;
use crate::weights::Weights;

/// A model as its files describe it, with its weights still in them.
pub(crate) struct Description<'a> {
    /// What messages call the model's file.
    pub(crate) file: String,
    pub(crate) name: String,
    pub(crate) config: Config,
    pub(crate) tokenizer: TokenizerSource,
    pub(crate) chat_template: Option<String>,
    pub(crate) generation: GenerationDefaults,
    pub(crate) weights: Weights<'a>,
    pub(crate) file_bytes: u64,
}
