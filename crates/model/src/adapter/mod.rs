//! LoRA adapters: small matrices that change what a model's projections give, `y += scale * up(down(x))`.
//!
//! An adapter is a folder in PEFT's format, `adapter_config.json` and `adapter_model.safetensors`. Nothing of it is
//! trusted: [`check`] says everything that keeps it from being applied exactly as PEFT applies it, each fault with a
//! code of its own, and [`Adapter::load`] checks again. How it is applied is in `layers/lora.rs`.

mod config;
mod fault;
mod tensors;

use std::fmt;
use std::fs;
use std::path::Path;

use sha2::{Digest, Sha256};
use tokenmill_kernels::matmul::Matrix;
use tokenmill_kernels::pool::Pool;

use crate::config::{Config, Pairing};
use config::PeftConfig;
use tensors::{Half, Tensors};

pub use fault::AdapterFault;

/// The file of an adapter that says how it was made.
pub const CONFIG_FILE: &str = "adapter_config.json";
/// The file of an adapter that holds its matrices.
pub const WEIGHTS_FILE: &str = "adapter_model.safetensors";
/// Most bytes of `adapter_config.json`.
pub const MAX_CONFIG_BYTES: u64 = 1 << 20;

/// A projection that an adapter may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The names are those of the parts of a layer.
pub enum Target {
    Query,
    Key,
    Value,
    Output,
    Gate,
    Up,
    Down,
}

impl Target {
    /// All of them.
    pub const ALL: [Target; 7] = [
        Target::Query,
        Target::Key,
        Target::Value,
        Target::Output,
        Target::Gate,
        Target::Up,
        Target::Down,
    ];

    /// What PEFT calls it.
    pub fn name(self) -> &'static str {
        match self {
            Target::Query => "q_proj",
            Target::Key => "k_proj",
            Target::Value => "v_proj",
            Target::Output => "o_proj",
            Target::Gate => "gate_proj",
            Target::Up => "up_proj",
            Target::Down => "down_proj",
        }
    }

    /// The module of a layer that it belongs to.
    fn parent(self) -> &'static str {
        match self {
            Target::Query | Target::Key | Target::Value | Target::Output => "self_attn",
            Target::Gate | Target::Up | Target::Down => "mlp",
        }
    }

    /// Its path in the model, as PEFT matches patterns against it.
    fn module(self, layer: usize) -> String {
        format!("model.layers.{layer}.{}.{}", self.parent(), self.name())
    }
}

/// What an adapter must fit: the projections of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdapterShape {
    n_layers: usize,
    /// Numbers out and in, by [`Target`]; experts take no adapters.
    projections: [Option<(usize, usize)>; Target::ALL.len()],
    /// The width of a head, where the rows of queries and keys lie otherwise than in Hugging Face's files.
    permuted_head: Option<usize>,
}

impl AdapterShape {
    /// The projections of a model.
    pub fn of(config: &Config) -> AdapterShape {
        let &Config {
            n_layers,
            n_embd,
            head_dim,
            n_ff,
            ..
        } = config;
        let (n_queries, n_keys) = (config.n_heads * head_dim, config.n_kv_heads * head_dim);
        let feed_forward = |out: usize, input: usize| config.experts.is_none().then_some((out, input));
        let projections = Target::ALL.map(|target| match target {
            Target::Query => Some((n_queries, n_embd)),
            Target::Key | Target::Value => Some((n_keys, n_embd)),
            Target::Output => Some((n_embd, n_queries)),
            Target::Gate | Target::Up => feed_forward(n_ff, n_embd),
            Target::Down => feed_forward(n_embd, n_ff),
        });
        AdapterShape {
            n_layers,
            projections,
            permuted_head: (config.rope.pairing == Pairing::Adjacent).then_some(head_dim),
        }
    }

    fn projection(&self, target: Target) -> Option<(usize, usize)> {
        self.projections[target as usize]
    }

    /// Every projection that there is, layer after layer.
    fn all(&self) -> impl Iterator<Item = (usize, Target)> {
        let targets = Target::ALL
            .into_iter()
            .filter(|&target| self.projection(target).is_some());
        let targets: Vec<Target> = targets.collect();
        (0..self.n_layers)
            .flat_map(move |layer| targets.clone().into_iter().map(move |target| (layer, target)))
    }
}

/// What an adapter is, for people and for lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdapterSummary {
    /// The largest rank of its matrices.
    pub rank: usize,
    /// The projections that it changes, by PEFT's names.
    pub targets: Vec<&'static str>,
    /// Numbers in its matrices.
    pub n_params: u64,
    /// Bytes of memory that they take.
    pub memory_bytes: usize,
    /// SHA-256 of its two files.
    pub digest: [u8; 32],
}

/// An adapter in memory, ready to be applied.
pub struct Adapter {
    summary: AdapterSummary,
    /// By layer and [`Target`].
    layers: Vec<[Option<LowRank>; Target::ALL.len()]>,
    n_bytes: usize,
}

/// The two matrices of one projection.
pub(crate) struct LowRank {
    /// `[rank, n_in]`
    pub(crate) down: Matrix,
    /// `[n_out, rank]`
    pub(crate) up: Matrix,
    pub(crate) scale: f32,
}

impl Adapter {
    /// Loads the adapter in `folder` for a model of this shape, if its ranks are at most `max_rank`.
    ///
    /// # Errors
    /// As [`check`]; also where there is no memory for it.
    pub fn load(
        pool: &Pool,
        shape: &AdapterShape,
        folder: &Path,
        max_rank: usize,
    ) -> Result<Adapter, AdapterFault> {
        let files = Files::read(folder)?;
        let checked = files.check(shape, max_rank)?;
        let mut layers: Vec<[Option<LowRank>; Target::ALL.len()]> = Vec::new();
        layers.resize_with(shape.n_layers, Default::default);
        let mut n_bytes = 0;
        for (layer, target) in shape.all() {
            let Some(low_rank) = checked.pack(pool, shape, layer, target)? else {
                continue;
            };
            n_bytes += low_rank.down.bytes() + low_rank.up.bytes();
            layers[layer][target as usize] = Some(low_rank);
        }
        Ok(Adapter {
            summary: checked.summary(files.digest()),
            layers,
            n_bytes,
        })
    }

    /// What it is.
    pub fn summary(&self) -> &AdapterSummary {
        &self.summary
    }

    /// Tells adapters apart: equal ones do the same.
    pub fn digest(&self) -> &[u8; 32] {
        &self.summary.digest
    }

    /// Bytes of memory that its matrices take.
    pub fn n_bytes(&self) -> usize {
        self.n_bytes
    }

    pub(crate) fn low_rank(&self, layer: usize, target: Target) -> Option<&LowRank> {
        self.layers[layer][target as usize].as_ref()
    }
}

impl fmt::Debug for Adapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Adapter").field(&self.summary).finish()
    }
}

impl PartialEq for Adapter {
    fn eq(&self, other: &Adapter) -> bool {
        self.digest() == other.digest()
    }
}

impl Eq for Adapter {}

/// Whether the adapter in `folder` can be applied to a model of this shape, with ranks of at most `max_rank`.
///
/// # Errors
/// The first thing that keeps it from being applied exactly.
pub fn check(shape: &AdapterShape, folder: &Path, max_rank: usize) -> Result<AdapterSummary, AdapterFault> {
    let files = Files::read(folder)?;
    Ok(files.check(shape, max_rank)?.summary(files.digest()))
}

/// The bytes of an adapter's two files.
struct Files {
    config: Vec<u8>,
    weights: Vec<u8>,
}

impl Files {
    fn read(folder: &Path) -> Result<Files, AdapterFault> {
        let read = |file: &'static str| {
            fs::read(folder.join(file)).map_err(|fault| AdapterFault::Read {
                file,
                fault: fault.to_string(),
            })
        };
        Ok(Files {
            config: read(CONFIG_FILE)?,
            weights: read(WEIGHTS_FILE)?,
        })
    }

    fn digest(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        digest.update((self.config.len() as u64).to_le_bytes());
        digest.update(&self.config);
        digest.update(&self.weights);
        digest.finalize().into()
    }

    fn check(&self, shape: &AdapterShape, max_rank: usize) -> Result<Checked<'_>, AdapterFault> {
        if self.config.len() as u64 > MAX_CONFIG_BYTES {
            return Err(AdapterFault::Config(format!(
                "it has {} bytes; at most {MAX_CONFIG_BYTES} are read",
                self.config.len()
            )));
        }
        let config = PeftConfig::parse(&self.config)?;
        config.check_targets(shape)?;
        let tensors = Tensors::parse(&self.weights, shape)?;
        let checked = Checked { config, tensors };
        for (layer, target) in shape.all() {
            checked.check_projection(shape, layer, target, max_rank)?;
        }
        if checked.tensors.is_empty() {
            return Err(AdapterFault::TensorMissing {
                name: tensors::name(0, Target::Query, Half::Down),
                why: "the file holds no matrix at all".to_owned(),
            });
        }
        checked.tensors.check_finite()?;
        Ok(checked)
    }
}

/// An adapter whose parts fit each other and the model.
struct Checked<'a> {
    config: PeftConfig,
    tensors: Tensors<'a>,
}

impl Checked<'_> {
    /// Both matrices or none, as the configuration says, of the shapes that it says.
    fn check_projection(
        &self,
        shape: &AdapterShape,
        layer: usize,
        target: Target,
        max_rank: usize,
    ) -> Result<(), AdapterFault> {
        let module = target.module(layer);
        let is_adapted = self.config.adapts(&module, layer);
        let Some((n_out, n_in)) = shape.projection(target) else {
            return Ok(());
        };
        let rank = self.config.rank(&module);
        for (half, expected) in [(Half::Down, [rank, n_in]), (Half::Up, [n_out, rank])] {
            let found = self.tensors.get(layer, target, half);
            let name = || tensors::name(layer, target, half);
            match found {
                None if !is_adapted => continue,
                None => {
                    return Err(AdapterFault::TensorMissing {
                        name: name(),
                        why: format!("'target_modules' names {module}"),
                    });
                }
                Some(_) if !is_adapted => {
                    return Err(AdapterFault::TensorUnexpected {
                        name: name(),
                        why: format!("'target_modules' does not name {module}"),
                    });
                }
                Some(_) if rank > max_rank => return Err(AdapterFault::Rank { rank, max_rank }),
                Some(tensor) if tensor.shape != expected.map(|n| n as u64) => {
                    return Err(AdapterFault::Shape {
                        name: name(),
                        found: tensor.shape.clone(),
                        expected,
                    });
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    fn pack(
        &self,
        pool: &Pool,
        shape: &AdapterShape,
        layer: usize,
        target: Target,
    ) -> Result<Option<LowRank>, AdapterFault> {
        let halves = [Half::Down, Half::Up].map(|half| self.tensors.get(layer, target, half));
        let [Some(down), Some(up)] = halves else {
            return Ok(None);
        };
        let up_rows = match (target, shape.permuted_head) {
            (Target::Query | Target::Key, Some(head_dim)) => up.with_adjacent_pairs(head_dim),
            _ => up.bytes.into(),
        };
        Ok(Some(LowRank {
            down: down.pack(pool, down.bytes)?,
            up: up.pack(pool, &up_rows)?,
            scale: self.config.scale(&target.module(layer)),
        }))
    }

    fn summary(&self, digest: [u8; 32]) -> AdapterSummary {
        let targets = Target::ALL.into_iter();
        let changed = targets.filter(|&target| self.tensors.has(target));
        AdapterSummary {
            rank: self.tensors.max_rank(),
            targets: changed.map(Target::name).collect(),
            n_params: self.tensors.n_params(),
            memory_bytes: self.tensors.packed_bytes(),
            digest,
        }
    }
}

#[cfg(test)]
mod tests;
