//! Why a model could not be loaded.

use std::io;

use crate::config::ConfigError;
use crate::file::gguf::GgufError;
use crate::file::safetensors::SafetensorsError;
use crate::weights::WeightError;

/// Why a model could not be loaded. The message alone is a full sentence for people: it names the file, the key or
/// tensor, the fault and, where there is one, the way out.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file could not be read.
    #[error("cannot read {file}: {fault}")]
    Read {
        /// The file.
        file: String,
        /// The system's reason.
        fault: io::Error,
    },
    /// Something that is neither a GGUF file nor a model folder.
    #[error(
        "{file} is not a model: {fault}; give a .gguf file or a folder with config.json and *.safetensors"
    )]
    NotAModel {
        /// What was given.
        file: String,
        /// What is missing or wrong.
        fault: String,
    },
    /// A damaged or unsupported GGUF file.
    #[error("{file}: {fault}")]
    Gguf {
        /// The file.
        file: String,
        /// The fault and its place.
        fault: GgufError,
    },
    /// The parts of a split file do not fit together.
    #[error("{file}: {fault}")]
    Split {
        /// The part.
        file: String,
        /// What does not fit.
        fault: String,
    },
    /// A damaged or unsupported safetensors file.
    #[error("{file}: {fault}")]
    Safetensors {
        /// The file.
        file: String,
        /// The fault and its place.
        fault: SafetensorsError,
    },
    /// A JSON file of a model folder that cannot be read as such.
    #[error("{file}: {fault}")]
    Json {
        /// The file.
        file: String,
        /// Where it stops being what it should be.
        fault: serde_json::Error,
    },
    /// A field of the model's description that is missing, wrong or not supported.
    #[error("{file}: {key} {fault}")]
    Field {
        /// The file.
        file: String,
        /// The metadata key or JSON field.
        key: String,
        /// What is wrong with it.
        fault: String,
    },
    /// An architecture that we do not have.
    #[error("{file}: architecture {architecture:?} is not supported; supported are {supported}")]
    Architecture {
        /// The file.
        file: String,
        /// The name in the file.
        architecture: String,
        /// All names that would do.
        supported: String,
    },
    /// A model description out of range.
    #[error("{file}: {fault}")]
    Config {
        /// The file.
        file: String,
        /// The field and its range.
        fault: ConfigError,
    },
    /// Weights that do not fit the description.
    #[error("{file}: {fault}")]
    Weights {
        /// The file.
        file: String,
        /// The tensor and its fault.
        fault: WeightError,
    },
    /// There is no such format to round to.
    #[error("quantize is {name:?}, which weights cannot be rounded to; use none, q8_0, q4_0 or q4_k")]
    Quantize {
        /// What was asked for.
        name: String,
    },
    /// Not enough memory.
    #[error(
        "{file} needs {} of memory for its weights, and {} are available; choose a smaller or more quantised model, or free memory",
        human_bytes(*.needed), human_bytes(*.available)
    )]
    Memory {
        /// The file.
        file: String,
        /// Bytes needed.
        needed: u64,
        /// Bytes available.
        available: u64,
    },
}

/// Bytes in units that people read.
fn human_bytes(bytes: u64) -> String {
    const GIB: f64 = (1_u64 << 30) as f64;
    const MIB: f64 = (1_u64 << 20) as f64;
    let bytes = bytes as f64;
    if bytes >= GIB {
        format!("{:.1} GiB", bytes / GIB)
    } else {
        format!("{:.1} MiB", bytes / MIB)
    }
}
