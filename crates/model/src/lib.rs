//! Files to weights to forward pass.
//!
//! [`load`] opens a GGUF file (or the first file of a split one) or a Hugging Face folder and gives a [`Loaded`]: the
//! model, and as plain data what its files say about tokenizer, chat template and sampling. This crate knows no
//! batching policy and no text: a model is given a batch of token ids and a cache, and returns logits.

pub mod adapter;
pub mod arch;
pub mod batch;
mod codes;
pub mod config;
mod layers;
pub mod scratch;
pub mod weights;

mod error;
pub mod file;
mod generation;
mod inspect;
mod memory;
mod summary;
mod tokenizer_source;

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use tokenmill_kernels::isa::Isa;
use tokenmill_kernels::pool::Pool;
use tokenmill_kernels::quant::{FORMATS, Format};

pub use adapter::{Adapter, AdapterFault, AdapterShape, AdapterSummary};
pub use batch::{Batch, BatchError, Model, SequenceRows, Shape};
pub use error::LoadError;
pub use generation::GenerationDefaults;
pub use inspect::{Inspection, TensorSummary, inspect};
pub use scratch::Scratch;
pub use tokenizer_source::{GgufTokenizer, TokenizerSource};

use file::Description;
use file::folder::Folder;
use file::gguf_files::{self, GgufFiles, Part};
use weights::Source;

/// A model ready to run, and what its files say about how to use it.
pub struct Loaded {
    /// The way through the weights.
    pub model: Arc<dyn Model>,
    /// What it is.
    pub info: ModelInfo,
    /// Its tokenizer, as plain data.
    pub tokenizer: TokenizerSource,
    /// The source of its chat template, where there is one.
    pub chat_template: Option<String>,
    /// Its sampling defaults and end tokens.
    pub generation: GenerationDefaults,
    /// What adapters of it must fit.
    pub adapter_shape: AdapterShape,
}

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
    /// Names the weights: a SHA-256, in hex, over each tensor's name, type, shape and 4 pieces of 256 bytes
    /// spread evenly over its data. Equal files have equal fingerprints wherever they lie and however they are split;
    /// files of different models, trainings or quantisations have different ones. A change of some bytes
    /// between the pieces goes unseen: it tells models apart, it does not prove them untouched.
    pub fingerprint: String,
    /// Bytes of all weight files together.
    pub file_bytes: u64,
}

/// How to load.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoadOptions {
    /// Most bytes of memory that the weights may take. Without it: what the system has available.
    pub max_weight_bytes: Option<u64>,
    /// Fields of `config.json` that are not known here and whose model would be refused, but which the user knows to
    /// change nothing.
    pub ignore_fields: Vec<String>,
    /// What matrices of F32, F16 and BF16 are rounded to: `none`, `q8_0`, `q4_0` or `q4_k`. Those whose rows are no whole number
    /// of 32 weights and the routers of experts stay as they are; with `q4_k`, those whose rows are no whole number of 256
    /// are rounded to `q8_0`.
    pub quantize: String,
}

impl Default for LoadOptions {
    fn default() -> LoadOptions {
        LoadOptions {
            max_weight_bytes: None,
            ignore_fields: Vec::new(),
            quantize: NO_ROUNDING.to_owned(),
        }
    }
}

/// See [`LoadOptions::quantize`].
const NO_ROUNDING: &str = "none";

/// What stands in for a format where rows are no whole number of its blocks.
const INSTEAD: &str = "Q8_0";

/// The formats to round to, the first that a row fits; none where nothing is rounded.
fn rounding(name: &str) -> Result<Vec<&'static Format>, LoadError> {
    if name == NO_ROUNDING {
        return Ok(Vec::new());
    }
    let format = FORMATS
        .iter()
        .find(|format| format.can_encode() && format.name.eq_ignore_ascii_case(name));
    let format = format.ok_or_else(|| LoadError::Quantize {
        name: name.to_owned(),
    })?;
    let instead = FORMATS.iter().find(|instead| instead.name == INSTEAD);
    let is_needed = |instead: &&&Format| instead.block_len < format.block_len;
    Ok([*format]
        .into_iter()
        .chain(instead.filter(is_needed).copied())
        .collect())
}

/// Loads a model from a `.gguf` file, the first file of a split one, or a Hugging Face folder. `pool` packs the weights.
///
/// Peak memory is that of the packed weights and the largest tensor: file pages are given back as they are packed.
///
/// # Errors
/// Anything that keeps the model from being run exactly as its files say; see [`LoadError`].
pub fn load(pool: &Pool, path: &Path, options: &LoadOptions) -> Result<Loaded, LoadError> {
    with_description(pool, path, options, |description| finish(description, options))
}

/// What adapters of a model must fit, from its files and without loading its weights.
///
/// # Errors
/// As [`load`], as far as weights are not concerned.
pub fn read_adapter_shape(path: &Path, options: &LoadOptions) -> Result<AdapterShape, LoadError> {
    let pool = Pool::new(NonZeroUsize::MIN, Isa::detect());
    with_description(&pool, path, options, |description| {
        Ok(AdapterShape::of(&description.config))
    })
}

/// The same of a GGUF file in memory, as [`load_from_bytes`] takes it.
///
/// # Errors
/// As [`read_adapter_shape`].
pub fn read_adapter_shape_from_bytes(name: &str, bytes: &[u8]) -> Result<AdapterShape, LoadError> {
    let pool = Pool::new(NonZeroUsize::MIN, Isa::detect());
    let parts = [Part {
        file: name.to_owned(),
        source: Source::Memory(bytes),
    }];
    Ok(AdapterShape::of(
        &gguf_files::describe(&pool, &parts, name)?.config,
    ))
}

/// Lends what the files at `path` say to `act`.
fn with_description<T>(
    pool: &Pool,
    path: &Path,
    options: &LoadOptions,
    act: impl FnOnce(Description<'_>) -> Result<T, LoadError>,
) -> Result<T, LoadError> {
    if path.is_dir() {
        let folder = Folder::open(path)?;
        return act(folder.describe(pool, &options.ignore_fields)?);
    }
    if path
        .extension()
        .is_some_and(|extension| extension == "safetensors")
    {
        let fault = "it is one file of weights without the model's description".to_owned();
        return Err(LoadError::NotAModel {
            file: path.display().to_string(),
            fault,
        });
    }
    let files = GgufFiles::open(path)?;
    let stem = path
        .file_stem()
        .map_or_else(|| "model".to_owned(), |stem| stem.to_string_lossy().into_owned());
    act(gguf_files::describe(pool, &files.parts(), &stem)?)
}

/// Loads a model from the bytes of a GGUF file, such as one embedded in the program. `name` is for messages, and for
/// [`ModelInfo`] where the bytes have none.
///
/// # Errors
/// As [`load`].
pub fn load_from_bytes(
    pool: &Pool,
    name: &str,
    bytes: &[u8],
    options: &LoadOptions,
) -> Result<Loaded, LoadError> {
    let parts = [Part {
        file: name.to_owned(),
        source: Source::Memory(bytes),
    }];
    finish(gguf_files::describe(pool, &parts, name)?, options)
}

/// Reads just the tokenizer of a GGUF file, which need not have any weights.
///
/// # Errors
/// The file cannot be read, or its `tokenizer.ggml.*` keys are missing or do not fit each other.
pub fn read_gguf_tokenizer(path: &Path) -> Result<GgufTokenizer, LoadError> {
    let files = GgufFiles::open(path)?;
    let parts = files.parts();
    let parsed = gguf_files::parse_parts(&parts)?;
    let fault = |fault| LoadError::Gguf {
        file: path.display().to_string(),
        fault,
    };
    match parsed.first() {
        Some(first) => file::gguf_tokenizer::tokenizer(first).map_err(fault),
        None => Ok(GgufTokenizer::default()),
    }
}

/// Checks that there is room, and takes the weights out of the files.
fn finish(description: Description<'_>, options: &LoadOptions) -> Result<Loaded, LoadError> {
    let Description {
        file,
        name,
        config,
        tokenizer,
        chat_template,
        generation,
        mut weights,
        file_bytes,
    } = description;
    weights.quantize(rounding(&options.quantize)?);
    let summary = summary::summarise(&weights);
    let available = options
        .max_weight_bytes
        .or_else(memory::available_bytes)
        .unwrap_or(u64::MAX);
    if summary.weight_bytes > available {
        return Err(LoadError::Memory {
            file,
            needed: summary.weight_bytes,
            available,
        });
    }
    let info = ModelInfo {
        name,
        architecture: config.architecture.clone(),
        n_params: summary.n_params,
        n_context: config.n_context,
        quantization: summary.quantization,
        fingerprint: summary.fingerprint,
        file_bytes,
    };
    let model = build(&file, &config, &mut weights)?;
    weights
        .finish(&config.architecture)
        .map_err(|fault| LoadError::Weights { file, fault })?;
    Ok(Loaded {
        model,
        info,
        tokenizer,
        chat_template,
        generation,
        adapter_shape: AdapterShape::of(&config),
    })
}

fn build(
    file: &str,
    config: &config::Config,
    weights: &mut weights::Weights<'_>,
) -> Result<Arc<dyn Model>, LoadError> {
    let file = || file.to_owned();
    let Some(architecture) = arch::architecture(&config.architecture) else {
        let supported: Vec<&str> = arch::ARCHITECTURES.iter().map(|known| known.name).collect();
        return Err(LoadError::Architecture {
            file: file(),
            architecture: config.architecture.clone(),
            supported: supported.join(", "),
        });
    };
    (architecture.build)(config, weights).map_err(|fault| LoadError::Weights { file: file(), fault })
}
