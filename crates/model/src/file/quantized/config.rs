//! What `quantization_config` of a `config.json` says. Every field is accounted for, as in the rest of the file.

use serde_json::{Map, Value};

use super::awq::Awq;
use super::compressed::Compressed;
use super::gptq::Gptq;
use crate::error::LoadError;
use crate::file::hf_config::Fields;
use crate::file::safetensors::Dtype;

/// How a folder's weights are quantised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Gptq(Gptq),
    Awq(Awq),
    Compressed(Compressed),
}

impl Scheme {
    /// Tells the tensors by which quantised modules are found, by the last part of their names and their types.
    pub(super) fn is_codes(&self) -> fn(&str, Dtype) -> bool {
        match self {
            Scheme::Gptq(_) | Scheme::Awq(_) => |kind, _| kind == "qweight",
            Scheme::Compressed(_) => |kind, dtype| {
                kind == "weight_packed" || kind == "weight" && matches!(dtype, Dtype::I8 | Dtype::F8E4m3)
            },
        }
    }
}

const NAME: &str = "quantization_config";

/// Fields of GPTQ and AWQ that tell how weights were found, or how other engines are to compute. Which modules are quantised,
/// their tensors say.
const HARMLESS_FIELDS: &[&str] = &[
    "act_group_aware",
    "backend",
    "batch_size",
    "block_name_to_quantize",
    "cache_block_outputs",
    "damp_auto_increment",
    "damp_percent",
    "dataset",
    "do_fuse",
    "exllama_config",
    "fuse_max_seq_len",
    "hyb_act",
    "lm_head",
    "max_input_length",
    "meta",
    "model_file_base_name",
    "model_name_or_path",
    "model_seqlen",
    "module_name_preceding_first_block",
    "modules_in_block_to_quantize",
    "modules_to_fuse",
    "modules_to_not_convert",
    "mse",
    "pack_dtype",
    "pad_token_id",
    "quantizer",
    "static_groups",
    "sym",
    "tokenizer",
    "true_sequential",
    "use_cuda_fp16",
    "use_exllama",
    // Columns in another order are refused by the tensor that says so.
    "desc_act",
];

/// Fields that each method reads, or whose meaning its tensors say themselves.
const GPTQ_FIELDS: &[&str] = &["bits", "checkpoint_format", "group_size"];
const AWQ_FIELDS: &[&str] = &[
    "bits",
    "group_size",
    "q_group_size",
    "version",
    "w_bit",
    "zero_point",
];
const COMPRESSED_FIELDS: &[&str] = &[
    "config_groups",
    "format",
    "global_compression_ratio",
    "ignore",
    "quantization_status",
    "sparsity_config",
];
const FP8_FIELDS: &[&str] = &[
    "activation_scheme",
    "fmt",
    "ignored_layers",
    "scale_fmt",
    "weight_block_size",
];

/// The scheme of a folder, where it has quantised weights; `ignored` are fields that the user vouches for.
pub(crate) fn scheme(
    config: &Map<String, Value>,
    file: &str,
    ignored: &[String],
) -> Result<Option<Scheme>, LoadError> {
    let config = Fields {
        fields: config,
        file,
        prefix: "",
    };
    if ignored.iter().any(|name| name == NAME) {
        return Ok(None);
    }
    let Some(fields) = config.object(NAME)? else {
        return Ok(None);
    };
    let fields = Fields {
        fields,
        file,
        prefix: "quantization_config.",
    };
    let (scheme, known) = match fields.text("quant_method")? {
        Some("gptq") => (Scheme::Gptq(gptq(&fields)?), GPTQ_FIELDS),
        Some("awq") => (Scheme::Awq(awq(&fields)?), AWQ_FIELDS),
        Some("compressed-tensors") => (Scheme::Compressed(compressed(&fields)?), COMPRESSED_FIELDS),
        Some("fp8") => (Scheme::Compressed(fp8(&fields)?), FP8_FIELDS),
        other => {
            let fault = format!(
                "is {:?}; supported are gptq, awq, compressed-tensors and fp8",
                other.unwrap_or_default()
            );
            return Err(fields.fault("quant_method", fault));
        }
    };
    refuse_others(&fields, known, ignored)?;
    Ok(Some(scheme))
}

fn refuse_others(fields: &Fields<'_>, known: &[&str], ignored: &[String]) -> Result<(), LoadError> {
    for (name, value) in fields.fields {
        let full_name = format!("{}{name}", fields.prefix);
        let is_known = name == "quant_method"
            || known.contains(&name.as_str())
            || HARMLESS_FIELDS.contains(&name.as_str())
            || name.starts_with("checkpoint_")
            || name == "version"
            || ignored.contains(&full_name);
        let off = match value {
            Value::Null | Value::Bool(false) => true,
            Value::Object(fields) => fields.is_empty(),
            _ => false,
        };
        if !is_known && !off {
            let fault = format!(
                "is not known here, and may change the results; if it does not, list {full_name} in ignore_fields"
            );
            return Err(fields.fault(name, fault));
        }
    }
    Ok(())
}

fn gptq(fields: &Fields<'_>) -> Result<Gptq, LoadError> {
    let bits = match fields.required("bits")? {
        4 => 4,
        8 => 8,
        other => return Err(fields.fault("bits", format!("is {other}; supported are 4 and 8"))),
    };
    let zero_offset = match fields.text("checkpoint_format")? {
        None | Some("gptq") => 1,
        Some("gptq_v2") => 0,
        Some(other) => {
            let fault = format!("is {other:?}; supported are gptq and gptq_v2");
            return Err(fields.fault("checkpoint_format", fault));
        }
    };
    Ok(Gptq {
        bits,
        group_size: group_size(fields, "group_size")?,
        zero_offset,
    })
}

fn awq(fields: &Fields<'_>) -> Result<Awq, LoadError> {
    let name = if fields.get("bits").is_some() {
        "bits"
    } else {
        "w_bit"
    };
    let bits = fields.required(name)?;
    if bits != 4 {
        return Err(fields.fault(name, format!("is {bits}; supported is 4")));
    }
    match fields.text("version")? {
        None => {}
        Some(version) if version.eq_ignore_ascii_case("gemm") => {}
        Some(other) => {
            return Err(fields.fault("version", format!("is {other:?}; supported is gemm")));
        }
    }
    if fields.flag("zero_point")? == Some(false) {
        return Err(fields.fault(
            "zero_point",
            "is false; only files with zero points are supported".to_owned(),
        ));
    }
    let name = if fields.get("group_size").is_some() {
        "group_size"
    } else {
        "q_group_size"
    };
    Ok(Awq {
        group_size: group_size(fields, name)?,
    })
}

/// Columns that share a scale; -1: all.
fn group_size(fields: &Fields<'_>, name: &str) -> Result<Option<usize>, LoadError> {
    let size = fields.typed(name, "a whole number above 0, or -1", |value| {
        match value.as_i64()? {
            -1 => Some(None),
            size => usize::try_from(size).ok().filter(|&size| size > 0).map(Some),
        }
    })?;
    size.ok_or_else(|| fields.fault(name, "is missing".to_owned()))
}

/// Layouts of compressed-tensors that are read.
const FORMATS: &[&str] = &[
    "pack-quantized",
    "int-quantized",
    "float-quantized",
    "naive-quantized",
    "mixed-precision",
];

fn compressed(fields: &Fields<'_>) -> Result<Compressed, LoadError> {
    check_format(fields)?;
    if let Some(sparsity) = fields.object("sparsity_config")?
        && sparsity.get("format").and_then(Value::as_str) != Some("dense")
    {
        return Err(fields.fault(
            "sparsity_config",
            "is not dense, which is not supported".to_owned(),
        ));
    }
    let mut block = None;
    let groups = fields.object("config_groups")?;
    for (_, group) in groups.into_iter().flatten() {
        let group = Fields {
            fields: group
                .as_object()
                .ok_or_else(|| fields.fault("config_groups", "must have objects".to_owned()))?,
            file: fields.file,
            prefix: "quantization_config.config_groups.",
        };
        check_format(&group)?;
        let Some(weights) = group.object("weights")? else {
            continue;
        };
        let weights = Fields {
            fields: weights,
            file: fields.file,
            prefix: "quantization_config.config_groups.weights.",
        };
        check_weights(&weights)?;
        if weights.get("block_structure").is_some() {
            block = Some(block_size(&weights, "block_structure")?);
        }
    }
    Ok(Compressed {
        block,
        scale_kind: "weight_scale",
    })
}

fn check_format(fields: &Fields<'_>) -> Result<(), LoadError> {
    match fields.text("format")? {
        Some(format) if !FORMATS.contains(&format) => {
            let fault = format!("is {format:?}; supported are {}", FORMATS.join(", "));
            Err(fields.fault("format", fault))
        }
        _ => Ok(()),
    }
}

fn check_weights(weights: &Fields<'_>) -> Result<(), LoadError> {
    let bits = weights.size("num_bits")?;
    match (weights.text("type")?, bits) {
        (Some("int") | None, Some(4 | 8) | None) | (Some("float"), Some(8) | None) => Ok(()),
        (kind, bits) => {
            let fault = format!(
                "is {} with type {:?}; supported are int of 4 and 8 bits and float of 8",
                bits.unwrap_or_default(),
                kind.unwrap_or_default()
            );
            Err(weights.fault("num_bits", fault))
        }
    }
}

fn fp8(fields: &Fields<'_>) -> Result<Compressed, LoadError> {
    match fields.text("fmt")? {
        None | Some("e4m3" | "float8_e4m3fn") => {}
        Some(other) => return Err(fields.fault("fmt", format!("is {other:?}; supported is e4m3"))),
    }
    let squares = fields.get("weight_block_size").is_some();
    Ok(Compressed {
        block: if squares {
            Some(block_size(fields, "weight_block_size")?)
        } else {
            None
        },
        scale_kind: if squares {
            "weight_scale_inv"
        } else {
            "weight_scale"
        },
    })
}

fn block_size(fields: &Fields<'_>, name: &str) -> Result<(usize, usize), LoadError> {
    let size = fields.typed(name, "two whole numbers above 0", |value| {
        let [rows, cols] = value.as_array()?.as_slice() else {
            return None;
        };
        let size = |size: &Value| usize::try_from(size.as_u64()?).ok().filter(|&size| size > 0);
        Some((size(rows)?, size(cols)?))
    })?;
    size.ok_or_else(|| fields.fault(name, "is missing".to_owned()))
}
