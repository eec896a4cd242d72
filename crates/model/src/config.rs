//! What a checkpoint says about its shape, in one form whatever the file: filled from GGUF metadata or from a
//! Hugging Face `config.json`, read by the builders in [`crate::arch`].
//!
//! Only numbers and choices that change the arithmetic are here. Whether a bias or a query/key norm exists is not:
//! the tensors say so themselves.

pub use tokenmill_kernels::rope::Pairing;

/// No dimension of a model may exceed this; larger numbers are faults of a file and would only end in huge allocations.
const MAX_DIMENSION: usize = 1 << 24;
/// Matrices of a single row are no use to any model, and files may store them as vectors.
const MIN_WIDTH: usize = 2;
/// Models of today have at most some 130 layers.
pub(crate) const MAX_LAYERS: usize = 4096;
/// Models of today have at most 512 experts.
const MAX_EXPERTS: usize = 4096;
/// Attention keeps rows of this many numbers in registers and caches.
const MAX_HEAD_DIM: usize = 1024;

/// The shape of a decoder-only transformer.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Name in [`crate::arch::ARCHITECTURES`], which is also the GGUF `general.architecture`: "llama", "qwen2", "qwen3",
    /// "qwen3moe".
    pub architecture: String,
    /// Transformer blocks.
    pub n_layers: usize,
    /// Width of the residual stream (`hidden_size`).
    pub n_embd: usize,
    /// Query heads.
    pub n_heads: usize,
    /// Key and value heads; divides `n_heads`.
    pub n_kv_heads: usize,
    /// Numbers per head; not always `n_embd / n_heads`.
    pub head_dim: usize,
    /// Width of the feed-forward part (`intermediate_size`); where there are experts, no part of the model has it.
    pub n_ff: usize,
    /// The experts that stand in the place of one feed-forward part, where the architecture has them.
    pub experts: Option<Experts>,
    /// Rows of the token embedding.
    pub n_vocab: usize,
    /// Tokens that the model was made for (after rope scaling), prompt and answer together.
    pub n_context: usize,
    /// Added to the mean square in every RMS norm.
    pub rms_eps: f32,
    /// How positions enter.
    pub rope: Rope,
    /// Per layer, what its attention sees; `n_layers` entries.
    pub attention: Vec<LayerAttention>,
    /// The output matrix is the token embedding. GGUF says so by leaving out `output.weight`; safetensors by
    /// `tie_word_embeddings` (a copy of the tensor in the file is then ignored).
    pub tied_embeddings: bool,
}

/// The feed-forward parts of a layer, of which each token goes through a few.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Experts {
    /// How many there are in each layer (`num_experts`).
    pub n_experts: usize,
    /// How many each token goes through (`num_experts_per_tok`).
    pub n_chosen: usize,
    /// Width of each (`moe_intermediate_size`).
    pub n_ff: usize,
    /// What the chosen ones count is scaled to add up to 1 (`norm_topk_prob`).
    pub normalise: bool,
}

/// What one layer's attention sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerAttention {
    /// Sliding window in tokens, the token itself included; `None`: all tokens before.
    pub window: Option<usize>,
    /// Whether queries and keys are rotated (SmolLM3 leaves every fourth layer without).
    pub rope: bool,
}

impl LayerAttention {
    /// Rotated, no window: the usual layer.
    pub const FULL: LayerAttention = LayerAttention {
        window: None,
        rope: true,
    };
}

/// Rotary position embedding.
#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    /// `rope_theta` / `rope.freq_base`.
    pub base: f32,
    /// Numbers of each head that are rotated (even); the rest passes. Usually `head_dim`.
    pub n_rot: usize,
    /// Which numbers form a pair. Belongs to the file: GGUF files of the Llama family hold permuted Q and K for
    /// [`Pairing::Adjacent`]; everything else, and all of Hugging Face, is [`Pairing::Halves`].
    pub pairing: Pairing,
    /// How the frequencies were stretched for long contexts.
    pub scaling: RopeScaling,
}

/// How rope frequencies are stretched. A GGUF file may in addition hold `rope_freqs.weight`, one divisor per
/// frequency (that is how Llama 3 scaling is stored there); builders apply it on top of this.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RopeScaling {
    /// As trained.
    None,
    /// Every frequency divided by `factor`.
    Linear {
        /// Divisor, at least 1 in practice.
        factor: f32,
    },
    /// Llama 3: long waves divided by `factor`, short ones kept, smooth between.
    Llama3 {
        /// Divisor of the long waves.
        factor: f32,
        /// `low_freq_factor`.
        low_freq_factor: f32,
        /// `high_freq_factor`.
        high_freq_factor: f32,
        /// `original_max_position_embeddings`.
        original_context: usize,
    },
    /// YaRN, with the attention temperature folded into the rotation.
    Yarn {
        /// Divisor of the long waves.
        factor: f32,
        /// `original_max_position_embeddings`.
        original_context: usize,
        /// Multiplies the rotated queries and keys each; `None`: `0.1 ln(factor) + 1`.
        attention_factor: Option<f32>,
        /// Rotations above which a frequency is kept (32).
        beta_fast: f32,
        /// Rotations below which it is divided (1).
        beta_slow: f32,
    },
}

/// A shape that cannot be run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key} is {value}, but must be {must}; the checkpoint's metadata is damaged or of an unknown kind")]
pub struct ConfigError {
    /// Field of [`Config`].
    pub key: &'static str,
    /// What it holds.
    pub value: String,
    /// What it would have to be.
    pub must: String,
}

impl Config {
    /// Query heads that share one key/value head.
    pub fn group(&self) -> usize {
        self.n_heads / self.n_kv_heads
    }

    /// Checks everything that the builders and kernels rely on. To be called once, right after filling.
    ///
    /// # Errors
    /// The first field that is out of range, with the rule that it breaks.
    pub fn validate(&self) -> Result<(), ConfigError> {
        for (key, value, min, max) in [
            ("n_layers", self.n_layers, 1, MAX_LAYERS),
            ("n_embd", self.n_embd, MIN_WIDTH, MAX_DIMENSION),
            ("n_heads", self.n_heads, 1, MAX_DIMENSION),
            ("n_kv_heads", self.n_kv_heads, 1, self.n_heads),
            ("head_dim", self.head_dim, 1, MAX_HEAD_DIM),
            ("n_ff", self.n_ff, MIN_WIDTH, MAX_DIMENSION),
            ("n_vocab", self.n_vocab, MIN_WIDTH, MAX_DIMENSION),
            ("n_context", self.n_context, 1, u32::MAX as usize),
            ("rope.n_rot", self.rope.n_rot, 1, self.head_dim),
        ] {
            check(key, &value, (min..=max).contains(&value), || {
                format!("between {min} and {max}")
            })?;
        }
        check(
            "n_heads",
            &self.n_heads,
            self.n_heads.is_multiple_of(self.n_kv_heads),
            || format!("a multiple of n_kv_heads, {}", self.n_kv_heads),
        )?;
        check(
            "n_heads x head_dim",
            &self.n_heads,
            self.n_heads * self.head_dim <= MAX_DIMENSION,
            || format!("at most {MAX_DIMENSION}"),
        )?;
        check(
            "head_dim",
            &self.head_dim,
            self.head_dim.is_multiple_of(2),
            || "even".into(),
        )?;
        check(
            "rope.n_rot",
            &self.rope.n_rot,
            self.rope.n_rot.is_multiple_of(2),
            || "even".into(),
        )?;
        check(
            "attention",
            &self.attention.len(),
            self.attention.len() == self.n_layers,
            || format!("one entry for each of {} layers", self.n_layers),
        )?;
        for layer in &self.attention {
            check(
                "attention.window",
                &layer.window.unwrap_or(1),
                layer.window != Some(0),
                || "at least 1".into(),
            )?;
        }
        self.experts.iter().try_for_each(Experts::validate)?;
        let eps = self.rms_eps;
        check("rms_eps", &eps, eps.is_finite() && eps > 0.0, || {
            "a positive number".into()
        })?;
        self.rope.validate()
    }
}

impl Experts {
    fn validate(&self) -> Result<(), ConfigError> {
        for (key, value, min, max) in [
            ("n_experts", self.n_experts, 1, MAX_EXPERTS),
            ("n_experts_chosen", self.n_chosen, 1, self.n_experts),
            ("n_ff_expert", self.n_ff, MIN_WIDTH, MAX_DIMENSION),
        ] {
            check(key, &value, (min..=max).contains(&value), || {
                format!("between {min} and {max}")
            })?;
        }
        Ok(())
    }
}

impl Rope {
    fn validate(&self) -> Result<(), ConfigError> {
        positive("rope.base", self.base)?;
        match self.scaling {
            RopeScaling::None => Ok(()),
            RopeScaling::Linear { factor } => positive("rope.scaling.factor", factor),
            RopeScaling::Llama3 {
                factor,
                low_freq_factor,
                high_freq_factor,
                original_context,
            } => {
                positive("rope.scaling.factor", factor)?;
                positive("rope.scaling.low_freq_factor", low_freq_factor)?;
                let key = "rope.scaling.high_freq_factor";
                check(key, &high_freq_factor, high_freq_factor > low_freq_factor, || {
                    format!("above low_freq_factor, {low_freq_factor}")
                })?;
                check(
                    "rope.scaling.original_context",
                    &original_context,
                    original_context > 0,
                    || "above 0".into(),
                )
            }
            RopeScaling::Yarn {
                factor,
                original_context,
                attention_factor,
                beta_fast,
                beta_slow,
            } => {
                positive("rope.scaling.factor", factor)?;
                positive("rope.scaling.attention_factor", attention_factor.unwrap_or(1.0))?;
                positive("rope.scaling.beta_fast", beta_fast)?;
                positive("rope.scaling.beta_slow", beta_slow)?;
                check(
                    "rope.scaling.original_context",
                    &original_context,
                    original_context > 0,
                    || "above 0".into(),
                )
            }
        }
    }
}

fn positive(key: &'static str, value: f32) -> Result<(), ConfigError> {
    check(key, &value, value.is_finite() && value > 0.0, || {
        "a positive number".into()
    })
}

fn check(
    key: &'static str,
    value: &impl ToString,
    holds: bool,
    must: impl FnOnce() -> String,
) -> Result<(), ConfigError> {
    if holds {
        Ok(())
    } else {
        Err(ConfigError {
            key,
            value: value.to_string(),
            must: must(),
        })
    }
}
