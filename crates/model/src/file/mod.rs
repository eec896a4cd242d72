//! Model files as they are on disk. `gguf` and `safetensors` read one file's bytes, `gguf_files` and `folder` all files of a
//! model, the others know what the metadata mean. Nothing here computes with weights.

pub(crate) mod folder;
pub mod gguf;
pub(crate) mod gguf_files;
pub(crate) mod gguf_model;
pub(crate) mod gguf_tokenizer;
pub(crate) mod hf_config;
pub(crate) mod quantized;
pub mod safetensors;

use std::path::Path;

use tokenmill_kernels::mapped::MappedFile;

use crate::config::Config;
use crate::error::LoadError;
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

/// Maps a file of weights.
pub(crate) fn map(path: &Path) -> Result<MappedFile, LoadError> {
    check_regular(path)?;
    MappedFile::open(path).map_err(|fault| LoadError::Read {
        file: path.display().to_string(),
        fault,
    })
}

/// Refuses what is there but no regular file: a pipe would be waited for, and a device read, without end.
pub(crate) fn check_regular(path: &Path) -> Result<(), LoadError> {
    if path.exists() && !path.is_file() {
        return Err(LoadError::NotAModel {
            file: path.display().to_string(),
            fault: "it is not a regular file".to_owned(),
        });
    }
    Ok(())
}
