//! Model architectures: one file each, which wires parts from `layers` and names the tensors.

mod llama;
mod qwen2;
mod qwen3;
mod qwen3_moe;

use std::sync::Arc;

use crate::batch::Model;
use crate::config::Config;
use crate::weights::{WeightError, Weights};

/// A kind of model that we can run.
pub struct Architecture {
    /// As in [`Config::architecture`].
    pub name: &'static str,
    /// What `config.json` calls it, under `architectures`.
    pub hugging_face: &'static [&'static str],
    /// Builds a model; takes all its tensors from the weights, and leaves what it does not know. The configuration
    /// is valid and of this architecture.
    pub build: Build,
}

/// See [`Architecture::build`].
pub type Build = fn(&Config, &mut Weights<'_>) -> Result<Arc<dyn Model>, WeightError>;

/// All of them, by name.
pub static ARCHITECTURES: &[&Architecture] =
    &[&llama::LLAMA, &qwen2::QWEN2, &qwen3::QWEN3, &qwen3_moe::QWEN3_MOE];

/// The architecture of a configuration.
pub fn architecture(name: &str) -> Option<&'static Architecture> {
    ARCHITECTURES
        .iter()
        .copied()
        .find(|architecture| architecture.name == name)
}
