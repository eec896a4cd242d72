//! `adapter_config.json`: what PEFT wrote about an adapter. Every field is applied, has no effect on answers, or is refused
//! by name.

use regex_automata::meta::Regex;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{AdapterFault, AdapterShape, Target};

/// Most entries of a list or table of modules.
const MAX_ENTRIES: usize = 512;
/// Longest name or pattern, in bytes.
const MAX_PATTERN_BYTES: usize = 1024;

/// Fields that say how an adapter was trained or where it came from, and change nothing in what it does.
const WITHOUT_EFFECT: &[&str] = &[
    "auto_mapping",
    "base_model_name_or_path",
    "corda_config",
    "eva_config",
    "inference_mode",
    "lora_dropout",
    "lora_ga_config",
    "megatron_core",
    "peft_version",
    "qalora_group_size",
    "revision",
    "runtime_config",
];

/// Ways to begin a training that leave the base model as it is. Others change it, and the adapter is good for
/// the changed one alone.
const HARMLESS_BEGINNINGS: &[&str] = &["eva", "gaussian", "orthogonal"];

/// The fields that are applied.
#[derive(Deserialize)]
struct Fields {
    peft_type: String,
    #[serde(default)]
    task_type: Option<String>,
    r: usize,
    lora_alpha: f64,
    target_modules: OneOrMany,
    #[serde(default)]
    use_rslora: Option<bool>,
    #[serde(default)]
    rank_pattern: Option<Map<String, Value>>,
    #[serde(default)]
    alpha_pattern: Option<Map<String, Value>>,
    #[serde(default)]
    layers_to_transform: Option<LayerList>,
    #[serde(default)]
    layers_pattern: Option<OneOrMany>,
    #[serde(default)]
    bias: Option<String>,
    #[serde(default)]
    init_lora_weights: Value,
    #[serde(flatten)]
    others: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum LayerList {
    One(usize),
    Many(Vec<usize>),
}

/// What is known of an adapter before its matrices are.
pub(super) struct PeftConfig {
    rank: usize,
    alpha: f64,
    /// Alpha is divided by the square root of the rank, not by the rank.
    is_rank_stabilised: bool,
    /// The first that matches a module holds for it.
    ranks: Vec<(Regex, usize)>,
    alphas: Vec<(Regex, f64)>,
    targets: Targets,
    layers: Option<Vec<usize>>,
}

/// Which modules are changed.
enum Targets {
    All,
    /// The last parts of their paths.
    Named(Vec<String>),
    /// What their whole paths match.
    Matching(Regex),
}

impl PeftConfig {
    pub(super) fn parse(json: &[u8]) -> Result<PeftConfig, AdapterFault> {
        let fields: Fields =
            serde_json::from_slice(json).map_err(|fault| AdapterFault::Config(fault.to_string()))?;
        refuse_unsupported(&fields)?;
        let Fields {
            r: rank,
            lora_alpha: alpha,
            target_modules,
            use_rslora,
            rank_pattern,
            alpha_pattern,
            layers_to_transform,
            ..
        } = fields;
        let layers = layers_to_transform.map(|layers| match layers {
            LayerList::One(layer) => vec![layer],
            LayerList::Many(layers) => layers,
        });
        let config = PeftConfig {
            rank,
            alpha,
            is_rank_stabilised: use_rslora.unwrap_or(false),
            ranks: patterns("rank_pattern", rank_pattern, |value| {
                value.as_u64().map(|rank| rank as usize)
            })?,
            alphas: patterns("alpha_pattern", alpha_pattern, Value::as_f64)?,
            targets: Targets::of(target_modules)?,
            // As PEFT has it, an empty list is none.
            layers: layers.filter(|layers| !layers.is_empty()),
        };
        let ranks = config.ranks.iter().map(|&(_, rank)| rank);
        if ranks.chain([rank]).any(|rank| rank == 0) {
            return Err(AdapterFault::Config("a rank must be at least 1".to_owned()));
        }
        let alphas = config.alphas.iter().map(|&(_, alpha)| alpha);
        if !alphas.chain([alpha]).all(f64::is_finite) {
            return Err(AdapterFault::Config(
                "an alpha must be a finite number".to_owned(),
            ));
        }
        Ok(config)
    }

    /// Refuses names that no module of such a model answers to.
    pub(super) fn check_targets(&self, shape: &AdapterShape) -> Result<(), AdapterFault> {
        let known: Vec<String> = shape.all().map(|(layer, target)| target.module(layer)).collect();
        let Targets::Named(names) = &self.targets else {
            return Ok(());
        };
        match names
            .iter()
            .find(|name| !known.iter().any(|module| ends_with(module, name)))
        {
            None => Ok(()),
            Some(name) => {
                let targets = Target::ALL.into_iter();
                let known = targets.filter(|&target| shape.projection(target).is_some());
                Err(AdapterFault::Target {
                    name: name.chars().take(100).collect(),
                    known: known.map(Target::name).collect::<Vec<_>>().join(", "),
                })
            }
        }
    }

    /// Whether a module of a layer is changed.
    pub(super) fn adapts(&self, module: &str, layer: usize) -> bool {
        let is_layer = self.layers.as_ref().is_none_or(|layers| layers.contains(&layer));
        match &self.targets {
            Targets::All => is_layer,
            Targets::Named(names) => is_layer && names.iter().any(|name| ends_with(module, name)),
            Targets::Matching(regex) => regex.is_match(module),
        }
    }

    pub(super) fn rank(&self, module: &str) -> usize {
        first_match(&self.ranks, module).unwrap_or(self.rank)
    }

    /// What the product of the two matrices is multiplied by.
    pub(super) fn scale(&self, module: &str) -> f32 {
        let alpha = first_match(&self.alphas, module).unwrap_or(self.alpha);
        let rank = self.rank(module) as f64;
        let scale = alpha
            / if self.is_rank_stabilised {
                rank.sqrt()
            } else {
                rank
            };
        scale as f32
    }
}

impl Targets {
    fn of(targets: OneOrMany) -> Result<Targets, AdapterFault> {
        match targets {
            OneOrMany::One(one) if one.eq_ignore_ascii_case("all-linear") => Ok(Targets::All),
            OneOrMany::One(pattern) => {
                check_pattern("target_modules", &pattern)?;
                // The whole path must match.
                Ok(Targets::Matching(regex(
                    "target_modules",
                    &format!("^(?:{pattern})$"),
                )?))
            }
            OneOrMany::Many(names) if names.is_empty() || names.len() > MAX_ENTRIES => Err(
                AdapterFault::Config(format!("'target_modules' must have 1 to {MAX_ENTRIES} entries")),
            ),
            OneOrMany::Many(names) => Ok(Targets::Named(names)),
        }
    }
}

/// As PEFT compares: the name is the module, or its last parts.
fn ends_with(module: &str, name: &str) -> bool {
    module
        .strip_suffix(name)
        .is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

fn first_match<T: Copy>(patterns: &[(Regex, T)], module: &str) -> Option<T> {
    let found = patterns.iter().find(|(regex, _)| regex.is_match(module));
    found.map(|&(_, value)| value)
}

/// A table from patterns to numbers, in its order; a pattern matches the last parts of a path.
fn patterns<T>(
    field: &str,
    table: Option<Map<String, Value>>,
    read: impl Fn(&Value) -> Option<T>,
) -> Result<Vec<(Regex, T)>, AdapterFault> {
    let table = table.unwrap_or_default();
    if table.len() > MAX_ENTRIES {
        return Err(AdapterFault::Config(format!(
            "'{field}' must have at most {MAX_ENTRIES} entries"
        )));
    }
    let entry = |(pattern, value): (&String, &Value)| {
        check_pattern(field, pattern)?;
        let number = read(value).ok_or_else(|| {
            AdapterFault::Config(format!(
                "'{field}' has {value} for a module, which is no such number"
            ))
        })?;
        Ok((regex(field, &format!("^(?:.*\\.)?(?:{pattern})$"))?, number))
    };
    table.iter().map(entry).collect()
}

fn check_pattern(field: &str, pattern: &str) -> Result<(), AdapterFault> {
    if pattern.len() > MAX_PATTERN_BYTES {
        return Err(AdapterFault::Config(format!(
            "'{field}' has a pattern of {} bytes; at most {MAX_PATTERN_BYTES} are read",
            pattern.len()
        )));
    }
    Ok(())
}

fn regex(field: &str, pattern: &str) -> Result<Regex, AdapterFault> {
    Regex::new(pattern).map_err(|_| AdapterFault::Option {
        name: field.to_owned(),
        value: format!("{pattern:?}"),
        way_out: "write it as a list of names, or without look-around and references",
    })
}

fn refuse_unsupported(fields: &Fields) -> Result<(), AdapterFault> {
    let unsupported = |name: &str, value: String, way_out| {
        Err(AdapterFault::Option {
            name: name.to_owned(),
            value,
            way_out,
        })
    };
    if fields.peft_type != "LORA" {
        return unsupported("peft_type", format!("{:?}", fields.peft_type), "only LORA is");
    }
    if let Some(task) = fields.task_type.as_deref().filter(|&task| task != "CAUSAL_LM") {
        return unsupported("task_type", format!("{task:?}"), "only CAUSAL_LM is");
    }
    if let Some(bias) = fields.bias.as_deref().filter(|&bias| bias != "none") {
        return unsupported("bias", format!("{bias:?}"), "train with bias \"none\"");
    }
    let is_harmless = match &fields.init_lora_weights {
        Value::Null | Value::Bool(_) => true,
        Value::String(how) => HARMLESS_BEGINNINGS.contains(&how.as_str()),
        _ => false,
    };
    if !is_harmless {
        let value: String = fields.init_lora_weights.to_string().chars().take(100).collect();
        let way_out = "it changes the base model; convert the adapter to a plain LoRA when you save it";
        return unsupported("init_lora_weights", value, way_out);
    }
    if !finds_layers(fields.layers_pattern.as_ref()) {
        return unsupported("layers_pattern", "set".to_owned(), "only \"layers\" is");
    }
    let both = fields.layers_to_transform.is_some() && matches!(fields.target_modules, OneOrMany::One(_));
    if both {
        return unsupported(
            "layers_to_transform",
            "set".to_owned(),
            "it goes with a list of 'target_modules' alone",
        );
    }
    for (name, value) in &fields.others {
        if !WITHOUT_EFFECT.contains(&name.as_str()) && !is_off(value) {
            let value: String = value.to_string().chars().take(100).collect();
            return unsupported(
                name,
                value,
                "train without it, or merge the adapter into the model",
            );
        }
    }
    Ok(())
}

/// Whether layers are called what they are called here.
fn finds_layers(pattern: Option<&OneOrMany>) -> bool {
    let is_layers = |pattern: &str| pattern.is_empty() || pattern == "layers";
    match pattern {
        None => true,
        Some(OneOrMany::One(pattern)) => is_layers(pattern),
        Some(OneOrMany::Many(patterns)) => patterns.iter().all(|pattern| is_layers(pattern)),
    }
}

/// Whether a field says that nothing is asked for.
fn is_off(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(table) => table.is_empty(),
        _ => false,
    }
}
