//! What the metadata of a GGUF model says about its arithmetic: [`Config`].
//!
//! Keys that belong to the architecture (`qwen3.*`) are all accounted for: each is read, known to change nothing, or
//! refused by name.

use crate::config::{Config, Experts, LayerAttention, Pairing, Rope, RopeScaling};
use crate::error::LoadError;
use crate::file::gguf::{Gguf, GgufError, GgufFault, Place};

/// How a family of GGUF files maps to an architecture of ours.
struct Family {
    /// `general.architecture`, and the beginning of its keys.
    name: &'static str,
    /// Ours.
    architecture: &'static str,
    pairing: Pairing,
    /// Every so many layers one is without rope; these files do not say it themselves.
    no_rope_every: Option<usize>,
    /// Its feed-forward parts are mixtures of experts.
    experts: bool,
}

const FAMILIES: &[Family] = &[
    Family {
        name: "llama",
        architecture: "llama",
        pairing: Pairing::Adjacent,
        no_rope_every: None,
        experts: false,
    },
    Family {
        name: "mistral3",
        architecture: "llama",
        pairing: Pairing::Adjacent,
        no_rope_every: None,
        experts: false,
    },
    Family {
        name: "qwen2",
        architecture: "qwen2",
        pairing: Pairing::Halves,
        no_rope_every: None,
        experts: false,
    },
    Family {
        name: "qwen3",
        architecture: "qwen3",
        pairing: Pairing::Halves,
        no_rope_every: None,
        experts: false,
    },
    Family {
        name: "qwen3moe",
        architecture: "qwen3moe",
        pairing: Pairing::Halves,
        no_rope_every: None,
        experts: true,
    },
    Family {
        name: "smollm3",
        architecture: "llama",
        pairing: Pairing::Adjacent,
        no_rope_every: Some(4),
        experts: false,
    },
];

/// Keys after `ARCH.` that [`config`] reads.
const READ_KEYS: &[&str] = &[
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.layer_norm_rms_epsilon",
    "attention.sliding_window",
    "attention.value_length",
    "block_count",
    "context_length",
    "embedding_length",
    "feed_forward_length",
    "rope.dimension_count",
    "rope.freq_base",
    "rope.scale_linear",
    "rope.scaling.attn_factor",
    "rope.scaling.factor",
    "rope.scaling.original_context_length",
    "rope.scaling.type",
    "rope.scaling.yarn_attn_factor",
    "rope.scaling.yarn_beta_fast",
    "rope.scaling.yarn_beta_slow",
];

/// Keys after `ARCH.` that [`config`] reads where there are experts.
const EXPERT_KEYS: &[&str] = &["expert_count", "expert_feed_forward_length", "expert_used_count"];

/// Keys after `ARCH.` that say nothing about the arithmetic.
const HARMLESS_KEYS: &[&str] = &["rope.scaling.finetuned", "tensor_data_layout", "vocab_size"];

/// Keys after `ARCH.` with the one value at which they change nothing.
const NEUTRAL_KEYS: &[(&str, f32)] = &[
    ("attention.clamp_kqv", 0.0),
    ("attention.max_alibi_bias", 0.0),
    ("attn_logit_softcapping", 0.0),
    ("embedding_scale", 1.0),
    ("expert_count", 0.0),
    ("expert_used_count", 0.0),
    ("final_logit_softcapping", 0.0),
    ("logit_scale", 1.0),
    ("residual_scale", 1.0),
    ("rope.scaling.yarn_ext_factor", 1.0),
    ("rope.scaling.yarn_log_multiplier", 0.0),
];

/// Endings of tensors that no architecture needs: tables of rope that old converters wrote and that we compute ourselves.
pub(crate) const IGNORED_TENSOR_ENDINGS: &[&str] =
    &[".attn_rot_embd", ".attn_rot_embd.weight", "rotary_emb.inv_freq"];

/// Reads a model's shape. `n_vocab` is the number of rows of the token embedding; `tied` tells that there is no
/// output matrix.
pub(crate) fn config(gguf: &Gguf<'_>, file: &str, n_vocab: usize, tied: bool) -> Result<Config, LoadError> {
    let family = family(gguf, file)?;
    let keys = Keys {
        gguf,
        file,
        prefix: family.name,
    };
    keys.refuse_unknown(family.experts)?;
    let n_embd = keys.required("embedding_length")?;
    let n_heads = keys.required("attention.head_count")?;
    let n_layers = keys.required("block_count")?;
    let head_dim = match keys.optional("attention.key_length")? {
        Some(head_dim) => head_dim,
        None => n_embd.checked_div(n_heads).unwrap_or(0),
    };
    if let Some(value_length) = keys.optional("attention.value_length")?
        && value_length != head_dim
    {
        let fault =
            format!("is {value_length}, but other lengths of keys and values ({head_dim}) are not supported");
        return Err(keys.fault("attention.value_length", fault));
    }
    let rope = Rope {
        base: keys.number("rope.freq_base")?.unwrap_or(10_000.0),
        n_rot: keys.optional("rope.dimension_count")?.unwrap_or(head_dim),
        pairing: family.pairing,
        scaling: keys.rope_scaling()?,
    };
    let trained_context = keys.required("context_length")?;
    let config = Config {
        architecture: family.architecture.to_owned(),
        n_layers,
        n_embd,
        n_heads,
        n_kv_heads: keys.optional("attention.head_count_kv")?.unwrap_or(n_heads),
        head_dim,
        n_ff: keys.required("feed_forward_length")?,
        experts: family.experts.then(|| keys.experts()).transpose()?,
        n_vocab,
        n_context: stretched_context(trained_context, &rope.scaling),
        rms_eps: keys.number("attention.layer_norm_rms_epsilon")?.unwrap_or(1e-5),
        rope,
        attention: layer_attention(
            n_layers,
            keys.optional("attention.sliding_window")?,
            family.no_rope_every,
        ),
        tied_embeddings: tied,
    };
    config.validate().map_err(|fault| LoadError::Config {
        file: file.to_owned(),
        fault,
    })?;
    Ok(config)
}

/// A YaRN model reaches further than the context that its files call its own.
pub(crate) fn stretched_context(trained: usize, scaling: &RopeScaling) -> usize {
    match *scaling {
        RopeScaling::Yarn {
            factor,
            original_context,
            ..
        } => trained.max((original_context as f64 * f64::from(factor)) as usize),
        _ => trained,
    }
}

/// One entry per layer; a huge `n_layers` gives none, for [`Config::validate`] to refuse.
fn layer_attention(
    n_layers: usize,
    window: Option<usize>,
    no_rope_every: Option<usize>,
) -> Vec<LayerAttention> {
    // Some writers give 0 for "no window".
    let window = window.filter(|&window| window > 0);
    let layer = |idx: usize| LayerAttention {
        window,
        rope: no_rope_every.is_none_or(|every| !(idx + 1).is_multiple_of(every)),
    };
    if n_layers > crate::config::MAX_LAYERS {
        Vec::new()
    } else {
        (0..n_layers).map(layer).collect()
    }
}

/// Refuses a file of an architecture that we do not have, before anything else about it is looked at.
pub(crate) fn check_architecture(gguf: &Gguf<'_>, file: &str) -> Result<(), LoadError> {
    family(gguf, file).map(|_| ())
}

fn family(gguf: &Gguf<'_>, file: &str) -> Result<&'static Family, LoadError> {
    let key = "general.architecture";
    let found = gguf.string(key).map_err(|fault| gguf_fault(file, fault))?;
    let name = found.ok_or_else(|| {
        gguf_fault(
            file,
            GgufError {
                place: Place::Key(key.to_owned()),
                fault: GgufFault::Missing,
            },
        )
    })?;
    FAMILIES
        .iter()
        .find(|family| family.name == name)
        .ok_or_else(|| LoadError::Architecture {
            file: file.to_owned(),
            architecture: name.to_owned(),
            supported: FAMILIES
                .iter()
                .map(|family| family.name)
                .collect::<Vec<_>>()
                .join(", "),
        })
}

fn gguf_fault(file: &str, fault: GgufError) -> LoadError {
    LoadError::Gguf {
        file: file.to_owned(),
        fault,
    }
}

/// The keys of one architecture in one file.
struct Keys<'a> {
    gguf: &'a Gguf<'a>,
    file: &'a str,
    prefix: &'static str,
}

impl Keys<'_> {
    fn full(&self, key: &str) -> String {
        format!("{}.{key}", self.prefix)
    }

    fn fault(&self, key: &str, fault: String) -> LoadError {
        LoadError::Field {
            file: self.file.to_owned(),
            key: self.full(key),
            fault,
        }
    }

    fn number(&self, key: &str) -> Result<Option<f32>, LoadError> {
        self.gguf
            .f32(&self.full(key))
            .map_err(|fault| gguf_fault(self.file, fault))
    }

    /// A size. Given per layer, it must be the same in all.
    fn optional(&self, key: &str) -> Result<Option<usize>, LoadError> {
        let full = self.full(key);
        if let Some(crate::file::gguf::Value::Array(_)) = self.gguf.get(&full) {
            let sizes = self
                .gguf
                .i32s(&full)
                .map_err(|fault| gguf_fault(self.file, fault))?
                .unwrap_or_default();
            return match sizes.first() {
                Some(&first) if first >= 0 && sizes.iter().all(|&size| size == first) => {
                    Ok(Some(first as usize))
                }
                _ => Err(self.fault(key, "differs between layers, which is not supported".to_owned())),
            };
        }
        let size = self
            .gguf
            .unsigned(&full)
            .map_err(|fault| gguf_fault(self.file, fault))?;
        // What does not fit is as wrong as the largest number, which no limit lets pass.
        Ok(size.map(|size| usize::try_from(size).unwrap_or(usize::MAX)))
    }

    fn required(&self, key: &str) -> Result<usize, LoadError> {
        self.optional(key)?.ok_or_else(|| {
            let place = Place::Key(self.full(key));
            gguf_fault(
                self.file,
                GgufError {
                    place,
                    fault: GgufFault::Missing,
                },
            )
        })
    }

    /// The softmax over all experts, its greatest and their weights scaled to add up to 1 are how all of these models
    /// choose; their files do not say it.
    fn experts(&self) -> Result<Experts, LoadError> {
        Ok(Experts {
            n_experts: self.required("expert_count")?,
            n_chosen: self.required("expert_used_count")?,
            n_ff: self.required("expert_feed_forward_length")?,
            normalise: true,
        })
    }

    fn refuse_unknown(&self, experts: bool) -> Result<(), LoadError> {
        for (name, _) in self.gguf.keys() {
            let Some(key) = name
                .strip_prefix(self.prefix)
                .and_then(|key| key.strip_prefix('.'))
            else {
                continue;
            };
            let known = READ_KEYS.contains(&key) || HARMLESS_KEYS.contains(&key);
            if known || experts && EXPERT_KEYS.contains(&key) {
                continue;
            }
            match NEUTRAL_KEYS.iter().find(|(neutral, _)| *neutral == key) {
                Some(&(_, value)) if self.number(key)? == Some(value) => {}
                Some(&(_, value)) => {
                    return Err(self.fault(key, format!("is not {value}; such models are not supported")));
                }
                None => {
                    return Err(self.fault(key, "is not known here, and may change the results".to_owned()));
                }
            }
        }
        Ok(())
    }

    fn rope_scaling(&self) -> Result<RopeScaling, LoadError> {
        let kind = self
            .gguf
            .string(&self.full("rope.scaling.type"))
            .map_err(|fault| gguf_fault(self.file, fault))?;
        let factor = match self.number("rope.scaling.factor")? {
            Some(factor) => Some(factor),
            None => self.number("rope.scale_linear")?,
        };
        // 0 is written for "as trained".
        let factor = factor.filter(|&factor| factor != 0.0);
        match kind {
            Some("none") => Ok(RopeScaling::None),
            // The format's rule: a factor without a type is linear.
            Some("linear") | None => Ok(factor
                .filter(|&factor| factor != 1.0)
                .map_or(RopeScaling::None, |factor| RopeScaling::Linear { factor })),
            Some("yarn") => self.yarn(factor),
            Some(other) => Err(self.fault(
                "rope.scaling.type",
                format!("is {other:?}; only none, linear and yarn are supported"),
            )),
        }
    }

    fn yarn(&self, factor: Option<f32>) -> Result<RopeScaling, LoadError> {
        let factor = factor
            .ok_or_else(|| self.fault("rope.scaling.factor", "is missing, but yarn needs it".to_owned()))?;
        let trained_context = self.required("context_length")?;
        let mut extra_attention = 1.0;
        for key in ["rope.scaling.attn_factor", "rope.scaling.yarn_attn_factor"] {
            extra_attention *= self.number(key)?.unwrap_or(1.0);
        }
        // The file's factor multiplies the usual one; our config has their product.
        let usual = if factor > 1.0 {
            0.1 * factor.ln() + 1.0
        } else {
            1.0
        };
        Ok(RopeScaling::Yarn {
            factor,
            original_context: self
                .optional("rope.scaling.original_context_length")?
                .unwrap_or(trained_context),
            attention_factor: (extra_attention != 1.0).then_some(extra_attention * usual),
            beta_fast: self.number("rope.scaling.yarn_beta_fast")?.unwrap_or(32.0),
            beta_slow: self.number("rope.scaling.yarn_beta_slow")?.unwrap_or(1.0),
        })
    }
}

#[cfg(test)]
mod tests {
    use tokenmill_testkit::gguf::GgufWriter;
    use tokenmill_testkit::tiny_model::TinyModel;

    use super::*;

    fn config_of(writer: &GgufWriter) -> Config {
        let bytes = writer.bytes();
        config(&Gguf::parse(&bytes).unwrap(), "test", 264, true).unwrap()
    }

    fn llama() -> GgufWriter {
        TinyModel::new("llama", 1).gguf()
    }

    #[test]
    fn rope_scaling_keys_give_the_usual_kinds() {
        let scaling = |writer: &GgufWriter| config_of(writer).rope.scaling;
        assert_eq!(scaling(&llama()), RopeScaling::None);
        let linear = RopeScaling::Linear { factor: 2.0 };
        assert_eq!(scaling(&llama().f32("llama.rope.scaling.factor", 2.0)), linear);
        assert_eq!(scaling(&llama().f32("llama.rope.scale_linear", 2.0)), linear);
        assert_eq!(
            scaling(
                &llama()
                    .string("llama.rope.scaling.type", "none")
                    .f32("llama.rope.scaling.factor", 2.0)
            ),
            RopeScaling::None
        );
        let yarn = llama()
            .string("llama.rope.scaling.type", "yarn")
            .f32("llama.rope.scaling.factor", 4.0)
            .u32("llama.rope.scaling.original_context_length", 512);
        let usual = RopeScaling::Yarn {
            factor: 4.0,
            original_context: 512,
            attention_factor: None,
            beta_fast: 32.0,
            beta_slow: 1.0,
        };
        assert_eq!(scaling(&yarn), usual);
        assert_eq!(config_of(&yarn).n_context, 2048);
        let doubled = scaling(&yarn.f32("llama.rope.scaling.attn_factor", 2.0));
        let RopeScaling::Yarn {
            attention_factor: Some(factor),
            ..
        } = doubled
        else {
            panic!("{doubled:?}")
        };
        assert!((factor - 2.0 * (0.1 * 4.0_f32.ln() + 1.0)).abs() < 1e-6);
    }

    #[test]
    fn families_differ_in_pairing_and_in_layers_without_rope() {
        assert_eq!(config_of(&llama()).rope.pairing, Pairing::Adjacent);
        assert_eq!(
            config_of(&TinyModel::new("qwen3", 1).gguf()).rope.pairing,
            Pairing::Halves
        );
        let smol = config_of(
            &TinyModel {
                n_layers: 8,
                ..TinyModel::new("smollm3", 1)
            }
            .gguf(),
        );
        assert_eq!(smol.architecture, "llama");
        let plain: Vec<usize> = (0..8).filter(|&layer| !smol.attention[layer].rope).collect();
        assert_eq!(plain, [3, 7]);
        let windowed = config_of(&llama().u32("llama.attention.sliding_window", 16));
        assert!(windowed.attention.iter().all(|layer| layer.window == Some(16)));
    }
}
