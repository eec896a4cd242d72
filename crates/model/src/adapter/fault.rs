//! Why an adapter cannot be applied.

use crate::file::safetensors::SafetensorsError;

/// Why an adapter cannot be applied exactly as PEFT applies it. The message names the file, key or tensor and the fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdapterFault {
    /// A file is not there or cannot be read.
    #[error("{file} cannot be read: {fault}")]
    Read {
        /// Which one.
        file: &'static str,
        /// The system's reason.
        fault: String,
    },
    /// The configuration is no JSON object, or a field that is needed is missing or of another type.
    #[error("adapter_config.json: {0}")]
    Config(String),
    /// A field asks for something that is not done here.
    #[error("adapter_config.json: '{name}' is {value}, which is not supported: {way_out}")]
    Option {
        /// The field.
        name: String,
        /// What it is.
        value: String,
        /// What is.
        way_out: &'static str,
    },
    /// A module that is to be changed is none that can be.
    #[error(
        "adapter_config.json: 'target_modules' names {name:?}, and this model takes adapters in {known} alone"
    )]
    Target {
        /// As the configuration has it.
        name: String,
        /// What could stand there.
        known: String,
    },
    /// The rank is over the model's limit.
    #[error("the adapter has rank {rank}; this model takes ranks of at most {max_rank}")]
    Rank {
        /// The adapter's.
        rank: usize,
        /// The limit.
        max_rank: usize,
    },
    /// The file of matrices is damaged.
    #[error("adapter_model.safetensors: {0}")]
    Weights(#[from] SafetensorsError),
    /// A matrix that the configuration promises is not there.
    #[error("adapter_model.safetensors: tensor {name:?} is missing: {why}")]
    TensorMissing {
        /// Its name.
        name: String,
        /// Why it should be there.
        why: String,
    },
    /// A tensor that is no part of such an adapter.
    #[error("adapter_model.safetensors: tensor {name:?} is not expected: {why}")]
    TensorUnexpected {
        /// Its name.
        name: String,
        /// Why not.
        why: String,
    },
    /// A matrix of another shape than the configuration and the model say.
    #[error(
        "adapter_model.safetensors: tensor {name:?} is {found:?} and must be {expected:?}: it was made for another base model, or with another rank"
    )]
    Shape {
        /// Its name.
        name: String,
        /// Its dimensions.
        found: Vec<u64>,
        /// Those that fit.
        expected: [usize; 2],
    },
    /// Numbers of a type that is not read.
    #[error("adapter_model.safetensors: tensor {name:?} is of {dtype}; save it as F32, F16 or BF16")]
    Dtype {
        /// Its name.
        name: String,
        /// Its type.
        dtype: &'static str,
    },
    /// A number that is infinite or none.
    #[error("adapter_model.safetensors: tensor {name:?} holds {value} at {at}; the training has diverged")]
    NotFinite {
        /// Its name.
        name: String,
        /// Which of its numbers.
        at: usize,
        /// What it is.
        value: String,
    },
    /// The matrices take more memory than all adapters together may.
    #[error(
        "the adapter takes {needed} bytes of memory, and all together may take {available} on this server"
    )]
    TooLarge {
        /// Bytes that it takes.
        needed: usize,
        /// Bytes that there are.
        available: usize,
    },
    /// No memory for the matrices.
    #[error("the adapter cannot be held in memory: {0}")]
    Memory(String),
}

impl AdapterFault {
    /// Tells faults apart, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            AdapterFault::Read { .. } => "adapter_file_missing",
            AdapterFault::Config(_) => "adapter_config_invalid",
            AdapterFault::Option { .. } => "adapter_option_unsupported",
            AdapterFault::Target { .. } => "adapter_target_unsupported",
            AdapterFault::Rank { .. } => "adapter_rank_too_large",
            AdapterFault::Weights(_) => "adapter_weights_invalid",
            AdapterFault::TensorMissing { .. } => "adapter_tensor_missing",
            AdapterFault::TensorUnexpected { .. } => "adapter_tensor_unexpected",
            AdapterFault::Shape { .. } => "adapter_shape_mismatch",
            AdapterFault::Dtype { .. } => "adapter_dtype_unsupported",
            AdapterFault::NotFinite { .. } => "adapter_not_finite",
            AdapterFault::TooLarge { .. } => "adapter_too_large",
            AdapterFault::Memory(_) => "adapter_out_of_memory",
        }
    }
}
