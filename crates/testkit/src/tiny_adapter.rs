//! LoRA adapters in PEFT's format, small and random, for the tiny models.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::Path;

use serde_json::{Value, json};

use crate::TinyModel;
use crate::random::Random;
use crate::safetensors::SafetensorsWriter;

/// What an adapter looks like. The same fields give the same files.
#[derive(Clone, Debug)]
pub struct TinyAdapter {
    /// Of the numbers.
    pub seed: u64,
    /// Rank of every matrix.
    pub rank: usize,
    /// Alpha.
    pub alpha: usize,
    /// The modules that it changes, such as `q_proj`.
    pub targets: Vec<&'static str>,
    /// `F32`, `F16` or `BF16`.
    pub dtype: &'static str,
    /// What it is made for.
    pub model: TinyModel,
}

impl TinyAdapter {
    /// Rank 4 on all seven projections of every layer, strong enough to change what comes.
    pub fn new(model: &TinyModel, seed: u64) -> TinyAdapter {
        let targets = [
            "q_proj",
            "k_proj",
            "v_proj",
            "o_proj",
            "gate_proj",
            "up_proj",
            "down_proj",
        ];
        TinyAdapter {
            seed,
            rank: 4,
            alpha: 8,
            targets: targets.to_vec(),
            dtype: "F32",
            model: model.clone(),
        }
    }

    /// `adapter_config.json`, with the fields that PEFT writes.
    pub fn config(&self) -> Value {
        json!({
            "peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": "tiny",
            "r": self.rank, "lora_alpha": self.alpha, "target_modules": self.targets,
            "lora_dropout": 0.05, "bias": "none", "use_rslora": false, "use_dora": false, "modules_to_save": null,
            "rank_pattern": {}, "alpha_pattern": {}, "init_lora_weights": true, "inference_mode": true,
            "fan_in_fan_out": false, "layers_to_transform": null, "megatron_core": "megatron.core",
        })
    }

    /// `adapter_model.safetensors`, for a test to take as it is or to spoil.
    pub fn weights(&self) -> SafetensorsWriter {
        let mut writer = SafetensorsWriter::new();
        for (name, shape, numbers) in self.matrices() {
            writer = writer.tensor(&name, self.dtype, &shape, &self.encode(numbers.into_iter()));
        }
        writer
    }

    /// Name, shape and numbers of each matrix.
    fn matrices(&self) -> Vec<(String, [u64; 2], Vec<f32>)> {
        let mut random = Random::new(self.seed);
        let mut matrices = Vec::new();
        for layer in 0..self.model.n_layers {
            for target in &self.targets {
                let (parent, n_out, n_in) = self.projection(target);
                let module = format!("base_model.model.model.layers.{layer}.{parent}.{target}");
                for (name, n_rows, n_cols) in [("lora_A", self.rank, n_in), ("lora_B", n_out, self.rank)] {
                    let numbers = (0..n_rows * n_cols).map(|_| random.normal() / (n_cols as f32).sqrt());
                    let shape = [n_rows as u64, n_cols as u64];
                    matrices.push((format!("{module}.{name}.weight"), shape, numbers.collect()));
                }
            }
        }
        matrices
    }

    /// The model's folder with the products of the matrices added to its own: what this adapter does, written out.
    pub fn merged_into_the_model(&self) -> Vec<(&'static str, Vec<u8>)> {
        let mut numbers: HashMap<String, Vec<f32>> = HashMap::new();
        for (name, _, matrix) in self.matrices() {
            numbers.insert(name, matrix);
        }
        let scale = self.alpha as f64 / self.rank as f64;
        self.model.folder_with(|name, weights| {
            let module = name.strip_suffix(".weight").unwrap_or(name);
            let half = |half| numbers.get(&format!("base_model.model.{module}.{half}.weight"));
            let (Some(down), Some(up)) = (half("lora_A"), half("lora_B")) else {
                return;
            };
            let n_in = down.len() / self.rank;
            for (at, weight) in weights.iter_mut().enumerate() {
                let (row, column) = (at / n_in, at % n_in);
                let product = (0..self.rank).map(|inner| {
                    f64::from(up[row * self.rank + inner]) * f64::from(down[inner * n_in + column])
                });
                *weight = (f64::from(*weight) + scale * product.sum::<f64>()) as f32;
            }
        })
    }

    /// Writes both files into a folder, which is made.
    ///
    /// # Errors
    /// What the system says.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        fs::write(folder.join("adapter_config.json"), self.config().to_string())?;
        fs::write(folder.join("adapter_model.safetensors"), self.weights().bytes())
    }

    /// The parent of a module, and its numbers out and in.
    fn projection(&self, target: &str) -> (&'static str, usize, usize) {
        let TinyModel { n_embd, n_ff, .. } = self.model;
        let (n_queries, n_keys) = (
            self.model.n_heads * self.model.head_dim,
            self.model.n_kv_heads * self.model.head_dim,
        );
        match target {
            "q_proj" => ("self_attn", n_queries, n_embd),
            "k_proj" | "v_proj" => ("self_attn", n_keys, n_embd),
            "o_proj" => ("self_attn", n_embd, n_queries),
            "down_proj" => ("mlp", n_embd, n_ff),
            _ => ("mlp", n_ff, n_embd),
        }
    }

    fn encode(&self, numbers: impl Iterator<Item = f32>) -> Vec<u8> {
        match self.dtype {
            "F16" => numbers
                .flat_map(|x| half::f16::from_f32(x).to_le_bytes())
                .collect(),
            "BF16" => numbers
                .flat_map(|x| half::bf16::from_f32(x).to_le_bytes())
                .collect(),
            _ => numbers.flat_map(f32::to_le_bytes).collect(),
        }
    }
}
