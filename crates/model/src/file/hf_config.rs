//! What a Hugging Face `config.json` means.
//!
//! Every field is accounted for: it is read, known to change nothing, off (`null` or `false`), or refused by name.

mod fields;

use serde_json::{Map, Value};

use crate::config::{Config, Experts, LayerAttention, MAX_LAYERS, Pairing, Rope, RopeScaling};
use crate::error::LoadError;
use crate::file::gguf_model::stretched_context;

pub(crate) use fields::Fields;

/// How a class of `transformers` maps to an architecture of ours, with the defaults that its files leave out.
struct Family {
    /// An entry of `architectures`.
    class: &'static str,
    /// Ours.
    architecture: &'static str,
    /// `head_dim` where the file has none; `None`: width over heads.
    head_dim: Option<usize>,
    rms_eps: f32,
    rope_base: f32,
    tied: bool,
    window: Window,
    /// Every so many layers one is without rope, where `no_rope_layers` does not say which.
    no_rope_every: Option<usize>,
    /// Its feed-forward parts are mixtures of experts.
    experts: bool,
}

/// When `sliding_window` counts.
#[derive(PartialEq)]
enum Window {
    Never,
    /// In all layers, where it is not null; [`MISTRAL_WINDOW`] where it is left out.
    Always,
    /// With `use_sliding_window`, from layer `max_window_layers` on.
    Switched,
}

/// The sliding window of a Mistral whose file does not name one.
const MISTRAL_WINDOW: usize = 4096;

const LLAMA: Family = Family {
    class: "LlamaForCausalLM",
    architecture: "llama",
    head_dim: None,
    rms_eps: 1e-6,
    rope_base: 10_000.0,
    tied: false,
    window: Window::Never,
    no_rope_every: None,
    experts: false,
};

const FAMILIES: &[Family] = &[
    LLAMA,
    Family {
        class: "MistralForCausalLM",
        window: Window::Always,
        ..LLAMA
    },
    Family {
        class: "Qwen2ForCausalLM",
        architecture: "qwen2",
        window: Window::Switched,
        ..LLAMA
    },
    Family {
        class: "Qwen3ForCausalLM",
        architecture: "qwen3",
        head_dim: Some(128),
        window: Window::Switched,
        ..LLAMA
    },
    Family {
        class: "Qwen3MoeForCausalLM",
        architecture: "qwen3moe",
        window: Window::Switched,
        experts: true,
        ..LLAMA
    },
    Family {
        class: "SmolLM3ForCausalLM",
        rope_base: 2_000_000.0,
        tied: true,
        window: Window::Switched,
        no_rope_every: Some(4),
        ..LLAMA
    },
];

/// Fields that [`config`] reads.
const READ_FIELDS: &[&str] = &[
    "architectures",
    "head_dim",
    "hidden_act",
    "hidden_size",
    "intermediate_size",
    "layer_types",
    "max_position_embeddings",
    "max_window_layers",
    "no_rope_layer_interval",
    "no_rope_layers",
    "num_attention_heads",
    "num_hidden_layers",
    "num_key_value_heads",
    "partial_rotary_factor",
    // By `quantized`.
    "quantization_config",
    "rms_norm_eps",
    "rope_parameters",
    "rope_scaling",
    "rope_theta",
    "sliding_window",
    "tie_word_embeddings",
    "use_sliding_window",
    "vocab_size",
];

/// Fields that [`experts`] reads.
const EXPERT_FIELDS: &[&str] = &[
    "decoder_sparse_step",
    "mlp_only_layers",
    "moe_intermediate_size",
    "norm_topk_prob",
    "num_experts",
    "num_experts_per_tok",
    "num_local_experts",
    // Of training alone.
    "output_router_logits",
    "router_aux_loss_coef",
];

/// Fields that say nothing about the arithmetic of inference: training, bookkeeping, sampling defaults of old files.
/// Biases are here because the tensors themselves say where they are.
const HARMLESS_FIELDS: &[&str] = &[
    "attention_bias",
    "attention_dropout",
    "bos_token_id",
    "chunk_size_feed_forward",
    "cls_token_id",
    "decoder_start_token_id",
    "diversity_penalty",
    "do_sample",
    "dtype",
    "early_stopping",
    "encoder_no_repeat_ngram_size",
    "eos_token_id",
    "finetuning_task",
    "hidden_dropout",
    "id2label",
    "initializer_range",
    "is_llama_config",
    "label2id",
    "length_penalty",
    "max_length",
    "min_length",
    "mlp_bias",
    "model_type",
    "name_or_path",
    "no_repeat_ngram_size",
    "num_beam_groups",
    "num_beams",
    "num_return_sequences",
    "output_attentions",
    "output_hidden_states",
    "pad_token_id",
    "prefix",
    "pretraining_tp",
    "problem_type",
    "repetition_penalty",
    "resid_pdrop",
    "return_dict",
    "sep_token_id",
    "task_specific_params",
    "temperature",
    "tokenizer_class",
    "top_k",
    "top_p",
    "torch_dtype",
    "torchscript",
    "transformers.js_config",
    "transformers_version",
    "typical_p",
    "use_cache",
];

/// Prefixes of fields that tools leave for themselves.
const HARMLESS_PREFIXES: &[&str] = &["_", "unsloth"];

/// Reads a model's shape from the fields of `config.json`; `ignored` are further fields that the user vouches for.
pub(crate) fn config(
    fields: &Map<String, Value>,
    file: &str,
    ignored: &[String],
) -> Result<Config, LoadError> {
    let fields = Fields {
        fields,
        file,
        prefix: "",
    };
    let family = family(&fields)?;
    refuse_unknown(&fields, family, ignored)?;
    match fields.text("hidden_act")? {
        None | Some("silu" | "swish") => {}
        Some(other) => {
            return Err(fields.fault("hidden_act", format!("is {other:?}; only \"silu\" is supported")));
        }
    }
    let n_embd = fields.required("hidden_size")?;
    let n_heads = fields.required("num_attention_heads")?;
    let n_layers = fields.required("num_hidden_layers")?;
    let head_dim = match fields.size("head_dim")?.or(family.head_dim) {
        Some(head_dim) => head_dim,
        None => n_embd.checked_div(n_heads).unwrap_or(0),
    };
    let trained_context = fields.required("max_position_embeddings")?;
    let rope = rope(&fields, family, head_dim, trained_context)?;
    let config = Config {
        architecture: family.architecture.to_owned(),
        n_layers,
        n_embd,
        n_heads,
        n_kv_heads: fields.size("num_key_value_heads")?.unwrap_or(n_heads),
        head_dim,
        n_ff: fields.required("intermediate_size")?,
        experts: family.experts.then(|| experts(&fields)).transpose()?,
        n_vocab: fields.required("vocab_size")?,
        n_context: stretched_context(trained_context, &rope.scaling),
        rms_eps: fields.number("rms_norm_eps")?.unwrap_or(family.rms_eps),
        rope,
        attention: layer_attention(&fields, family, n_layers)?,
        tied_embeddings: fields.flag("tie_word_embeddings")?.unwrap_or(family.tied),
    };
    config.validate().map_err(|fault| LoadError::Config {
        file: file.to_owned(),
        fault,
    })?;
    Ok(config)
}

fn family(fields: &Fields<'_>) -> Result<&'static Family, LoadError> {
    let class = fields
        .get("architectures")
        .and_then(|list| list.get(0))
        .and_then(Value::as_str);
    let class = class.ok_or_else(|| fields.fault("architectures", "is missing or names none".to_owned()))?;
    FAMILIES
        .iter()
        .find(|family| family.class == class)
        .ok_or_else(|| LoadError::Architecture {
            file: fields.file.to_owned(),
            architecture: class.to_owned(),
            supported: FAMILIES
                .iter()
                .map(|family| family.class)
                .collect::<Vec<_>>()
                .join(", "),
        })
}

fn refuse_unknown(fields: &Fields<'_>, family: &Family, ignored: &[String]) -> Result<(), LoadError> {
    for (name, value) in fields.fields {
        let known = READ_FIELDS.contains(&name.as_str())
            || HARMLESS_FIELDS.contains(&name.as_str())
            || family.experts && EXPERT_FIELDS.contains(&name.as_str())
            || HARMLESS_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
            || ignored.contains(name);
        let off = matches!(value, Value::Null | Value::Bool(false));
        if !known && !off {
            let fault =
                "is not known here, and may change the results; if it does not, list it in ignore_fields";
            return Err(fields.fault(name, fault.to_owned()));
        }
    }
    Ok(())
}

/// The number of experts has two spellings, of which new files use the second.
fn experts(fields: &Fields<'_>) -> Result<Experts, LoadError> {
    if fields
        .size("decoder_sparse_step")?
        .is_some_and(|every| every != 1)
    {
        let fault = "is not 1: layers without experts between others are not supported";
        return Err(fields.fault("decoder_sparse_step", fault.to_owned()));
    }
    if fields
        .get("mlp_only_layers")
        .is_some_and(|layers| layers != &Value::Array(Vec::new()))
    {
        let fault = "names layers: layers without experts between others are not supported";
        return Err(fields.fault("mlp_only_layers", fault.to_owned()));
    }
    let n_experts = match (fields.size("num_experts")?, fields.size("num_local_experts")?) {
        (Some(old), Some(new)) if old != new => {
            return Err(fields.fault("num_local_experts", "contradicts num_experts".to_owned()));
        }
        (Some(n_experts), _) | (None, Some(n_experts)) => n_experts,
        (None, None) => fields.required("num_experts")?,
    };
    Ok(Experts {
        n_experts,
        n_chosen: fields.required("num_experts_per_tok")?,
        n_ff: fields.required("moe_intermediate_size")?,
        normalise: fields.flag("norm_topk_prob")?.unwrap_or(false),
    })
}

fn layer_attention(
    fields: &Fields<'_>,
    family: &Family,
    n_layers: usize,
) -> Result<Vec<LayerAttention>, LoadError> {
    if n_layers > MAX_LAYERS {
        return Ok(Vec::new()); // `Config::validate` says what is wrong.
    }
    let window = match fields.size("sliding_window")? {
        None if family.window == Window::Always && !fields.fields.contains_key("sliding_window") => {
            Some(MISTRAL_WINDOW)
        }
        window => window,
    };
    let first_windowed = match family.window {
        Window::Always => 0,
        Window::Switched if fields.flag("use_sliding_window")? == Some(true) => {
            fields.size("max_window_layers")?.unwrap_or(0)
        }
        Window::Switched | Window::Never => n_layers,
    };
    if family.window == Window::Never && window.is_some() {
        return Err(fields.fault("sliding_window", format!("is not used by {}", family.class)));
    }
    let ropes = layer_ropes(fields, family, n_layers)?;
    let kinds = layer_kinds(fields, n_layers)?;
    let layer = |(idx, rope): (usize, bool)| {
        let windowed = match &kinds {
            Some(windowed) => windowed[idx],
            None => idx >= first_windowed,
        };
        LayerAttention {
            window: window.filter(|_| windowed),
            rope,
        }
    };
    Ok(ropes.into_iter().enumerate().map(layer).collect())
}

/// `layer_types`, as whether each layer's window counts.
fn layer_kinds(fields: &Fields<'_>, n_layers: usize) -> Result<Option<Vec<bool>>, LoadError> {
    let Some(kinds) = fields.list("layer_types", n_layers)? else {
        return Ok(None);
    };
    let windowed = |kind: &Value| match kind.as_str() {
        Some("full_attention") => Ok(false),
        Some("sliding_attention") => Ok(true),
        _ => Err(fields.fault("layer_types", format!("has {kind}, which is not supported"))),
    };
    kinds
        .iter()
        .map(windowed)
        .collect::<Result<Vec<bool>, _>>()
        .map(Some)
}

/// Whether each layer is rotated. In `no_rope_layers` a 1 means that it is.
fn layer_ropes(fields: &Fields<'_>, family: &Family, n_layers: usize) -> Result<Vec<bool>, LoadError> {
    let Some(default_every) = family.no_rope_every else {
        for name in ["no_rope_layers", "no_rope_layer_interval"] {
            if fields.get(name).is_some() {
                return Err(fields.fault(name, format!("is not used by {}", family.class)));
            }
        }
        return Ok(vec![true; n_layers]);
    };
    if let Some(flags) = fields.list("no_rope_layers", n_layers)? {
        let flag = |flag: &Value| match flag.as_u64() {
            Some(0) => Ok(false),
            Some(1) => Ok(true),
            _ => Err(fields.fault("no_rope_layers", format!("has {flag} where 0 or 1 is needed"))),
        };
        return flags.iter().map(flag).collect();
    }
    let every = fields
        .size("no_rope_layer_interval")?
        .unwrap_or(default_every)
        .max(1);
    Ok((0..n_layers)
        .map(|idx| !(idx + 1).is_multiple_of(every))
        .collect())
}

/// Rope in the old spelling (`rope_theta`, `rope_scaling`) or the new one (`rope_parameters`).
fn rope(
    fields: &Fields<'_>,
    family: &Family,
    head_dim: usize,
    trained_context: usize,
) -> Result<Rope, LoadError> {
    let name = match (fields.get("rope_parameters"), fields.get("rope_scaling")) {
        (Some(new), Some(old)) if new != old => {
            return Err(fields.fault("rope_scaling", "contradicts rope_parameters".to_owned()));
        }
        (Some(_), _) => Some("rope_parameters"),
        (None, Some(_)) => Some("rope_scaling"),
        (None, None) => None,
    };
    let empty = Map::new();
    let parameters = match name {
        Some(name) => Fields {
            fields: fields.object(name)?.unwrap_or(&empty),
            file: fields.file,
            prefix: if name == "rope_scaling" {
                "rope_scaling."
            } else {
                "rope_parameters."
            },
        },
        None => Fields {
            fields: &empty,
            file: fields.file,
            prefix: "",
        },
    };
    let base = parameters
        .number("rope_theta")?
        .or(fields.number("rope_theta")?)
        .unwrap_or(family.rope_base);
    let partial = parameters
        .number("partial_rotary_factor")?
        .or(fields.number("partial_rotary_factor")?)
        .unwrap_or(1.0);
    Ok(Rope {
        base,
        // A factor that is not a number or out of range gives a size that `Config::validate` refuses.
        n_rot: (head_dim as f32 * partial) as usize,
        pairing: Pairing::Halves,
        scaling: rope_scaling(&parameters, trained_context)?,
    })
}

fn rope_scaling(parameters: &Fields<'_>, trained_context: usize) -> Result<RopeScaling, LoadError> {
    let kind = parameters.text("rope_type")?.or(parameters.text("type")?);
    let (scaling, names): (RopeScaling, &[&str]) = match kind {
        // Without any other field there is nothing to scale by; with one, `refuse_others` names it.
        None | Some("default") => (RopeScaling::None, &[]),
        Some("linear") => (
            RopeScaling::Linear {
                factor: parameters.required_number("factor")?,
            },
            &["factor"],
        ),
        Some("llama3") => llama3(parameters, trained_context)?,
        Some("yarn") => yarn(parameters, trained_context)?,
        Some(other) => {
            let fault = format!("is {other:?}; supported are default, linear, llama3 and yarn");
            return Err(parameters.fault("rope_type", fault));
        }
    };
    for (name, value) in parameters.fields {
        let known = ["rope_type", "type", "rope_theta", "partial_rotary_factor"].contains(&name.as_str());
        if !known && !names.contains(&name.as_str()) && !value.is_null() {
            return Err(parameters.fault(
                name,
                format!("is not known for the type {}", kind.unwrap_or("default")),
            ));
        }
    }
    Ok(scaling)
}

type NamedScaling = (RopeScaling, &'static [&'static str]);

fn llama3(parameters: &Fields<'_>, trained_context: usize) -> Result<NamedScaling, LoadError> {
    let scaling = RopeScaling::Llama3 {
        factor: parameters.required_number("factor")?,
        low_freq_factor: parameters.required_number("low_freq_factor")?,
        high_freq_factor: parameters.required_number("high_freq_factor")?,
        original_context: parameters
            .size("original_max_position_embeddings")?
            .unwrap_or(trained_context),
    };
    Ok((
        scaling,
        &[
            "factor",
            "low_freq_factor",
            "high_freq_factor",
            "original_max_position_embeddings",
        ],
    ))
}

fn yarn(parameters: &Fields<'_>, trained_context: usize) -> Result<NamedScaling, LoadError> {
    let original_context = parameters
        .size("original_max_position_embeddings")?
        .unwrap_or(trained_context);
    let factor = match parameters.number("factor")? {
        Some(factor) => factor,
        None => trained_context as f32 / original_context as f32,
    };
    if parameters.flag("truncate")? == Some(false) {
        return Err(parameters.fault("truncate", "is false, which is not supported".to_owned()));
    }
    let attention_factor = match parameters.number("attention_factor")? {
        Some(attention_factor) => Some(attention_factor),
        None => {
            let mscale = parameters.number("mscale")?.filter(|&mscale| mscale != 0.0);
            let all_dim = parameters
                .number("mscale_all_dim")?
                .filter(|&mscale| mscale != 0.0);
            let scale = |mscale: f32| {
                if factor <= 1.0 {
                    1.0
                } else {
                    0.1 * mscale * factor.ln() + 1.0
                }
            };
            mscale
                .zip(all_dim)
                .map(|(mscale, all_dim)| scale(mscale) / scale(all_dim))
        }
    };
    let scaling = RopeScaling::Yarn {
        factor,
        original_context,
        attention_factor,
        beta_fast: parameters.number("beta_fast")?.unwrap_or(32.0),
        beta_slow: parameters.number("beta_slow")?.unwrap_or(1.0),
    };
    Ok((
        scaling,
        &[
            "attention_factor",
            "beta_fast",
            "beta_slow",
            "factor",
            "mscale",
            "mscale_all_dim",
            "original_max_position_embeddings",
            "truncate",
        ],
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The configuration of a small Llama with some fields changed.
    fn config_with(changes: &Value) -> Result<Config, LoadError> {
        let mut fields = json!({
            "architectures": ["LlamaForCausalLM"], "hidden_size": 64, "intermediate_size": 96,
            "max_position_embeddings": 4096, "num_attention_heads": 4, "num_hidden_layers": 4, "vocab_size": 100,
        });
        for (name, value) in changes.as_object().unwrap() {
            fields[name] = value.clone();
        }
        config(fields.as_object().unwrap(), "config.json", &[])
    }

    #[test]
    fn rope_scaling_is_the_same_in_both_spellings() {
        for (old, new) in [
            (
                json!({"rope_theta": 5e5}),
                json!({"rope_parameters": {"rope_theta": 5e5, "rope_type": "default"}}),
            ),
            (
                json!({"rope_scaling": {"type": "linear", "factor": 2.0}}),
                json!({"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}}),
            ),
            (
                json!({"rope_theta": 5e5, "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                    "high_freq_factor": 4.0, "original_max_position_embeddings": 2048}}),
                json!({"rope_parameters": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                    "high_freq_factor": 4.0, "original_max_position_embeddings": 2048, "rope_theta": 5e5}}),
            ),
        ] {
            assert_eq!(config_with(&old).unwrap(), config_with(&new).unwrap());
        }
        let scaling = config_with(
            &json!({"rope_scaling": {"rope_type": "llama3", "factor": 8, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0, "original_max_position_embeddings": 2048}}),
        );
        let expected = RopeScaling::Llama3 {
            factor: 8.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_context: 2048,
        };
        assert_eq!(scaling.unwrap().rope.scaling, expected);
    }

    #[test]
    fn yarn_stretches_the_context_and_takes_all_its_fields() {
        let config = config_with(&json!({"rope_scaling": {"type": "yarn", "factor": 4.0,
            "original_max_position_embeddings": 4096}}))
        .unwrap();
        assert_eq!(config.n_context, 16_384);
        let plain = RopeScaling::Yarn {
            factor: 4.0,
            original_context: 4096,
            attention_factor: None,
            beta_fast: 32.0,
            beta_slow: 1.0,
        };
        assert_eq!(config.rope.scaling, plain);
        let config = config_with(
            &json!({"rope_scaling": {"type": "yarn", "factor": 4.0, "mscale": 1.0,
            "mscale_all_dim": 0.5, "beta_fast": 16, "beta_slow": 2}}),
        )
        .unwrap();
        let RopeScaling::Yarn {
            attention_factor: Some(factor),
            beta_fast,
            beta_slow,
            original_context,
            ..
        } = config.rope.scaling
        else {
            panic!("{:?}", config.rope.scaling)
        };
        let expected = (0.1 * 4.0_f32.ln() + 1.0) / (0.05 * 4.0_f32.ln() + 1.0);
        assert!((factor - expected).abs() < 1e-6);
        assert_eq!((beta_fast, beta_slow, original_context), (16.0, 2.0, 4096));
    }

    #[test]
    fn windows_and_layers_without_rope_follow_each_class() {
        let windows = |changes: Value| -> Vec<Option<usize>> {
            config_with(&changes)
                .unwrap()
                .attention
                .iter()
                .map(|layer| layer.window)
                .collect()
        };
        let mistral = |window: Value| {
            windows(json!({"architectures": ["MistralForCausalLM"], "sliding_window": window}))
        };
        assert_eq!(mistral(json!(8)), [Some(8); 4]);
        assert_eq!(mistral(Value::Null), [None; 4]);
        assert_eq!(
            windows(json!({"architectures": ["MistralForCausalLM"]})),
            [Some(MISTRAL_WINDOW); 4]
        );
        let qwen = |on: bool| {
            windows(
                json!({"architectures": ["Qwen2ForCausalLM"], "sliding_window": 8, "max_window_layers": 3,
                "use_sliding_window": on}),
            )
        };
        assert_eq!(qwen(false), [None; 4]);
        assert_eq!(qwen(true), [None, None, None, Some(8)]);
        let smol = config_with(&json!({"architectures": ["SmolLM3ForCausalLM"]})).unwrap();
        assert_eq!(
            smol.attention.iter().map(|layer| layer.rope).collect::<Vec<_>>(),
            [true, true, true, false]
        );
        assert!(smol.tied_embeddings);
    }

    #[test]
    fn every_architecture_says_the_same_names_as_this_file() {
        for family in FAMILIES {
            let architecture = crate::arch::architecture(family.architecture).unwrap();
            assert!(
                architecture.hugging_face.contains(&family.class),
                "{}",
                family.class
            );
        }
        let n_classes: usize = crate::arch::ARCHITECTURES
            .iter()
            .map(|known| known.hugging_face.len())
            .sum();
        assert_eq!(n_classes, FAMILIES.len());
    }
}
