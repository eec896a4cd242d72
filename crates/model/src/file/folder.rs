//! A Hugging Face model folder: `config.json`, safetensors files, tokenizer, chat template, sampling defaults.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use tokenmill_kernels::mapped::MappedFile;
use tokenmill_kernels::pool::Pool;

use crate::error::LoadError;
use crate::file::hf_config::Fields;
use crate::file::quantized::{self, Scheme, StoredTensors};
use crate::file::safetensors::SafetensorsTensor;
use crate::file::{self, Description, hf_config, safetensors};
use crate::generation::GenerationDefaults;
use crate::tokenizer_source::TokenizerSource;
use crate::weights::{Source, Tensor, Weights};

const INDEX: &str = "model.safetensors.index.json";
const TOKENIZER: &str = "tokenizer.json";

/// Largest JSON or template file that is read: in memory, small JSON values take many times their bytes. The largest
/// tokenizers of today have some 35 MB, the largest indexes some 10 MB, the largest of the others some 1 MB.
fn max_bytes(name: &str) -> u64 {
    match name {
        TOKENIZER => 64 << 20,
        INDEX => 32 << 20,
        _ => 4 << 20,
    }
}

/// A model folder with its weight files mapped.
pub(crate) struct Folder {
    path: PathBuf,
    files: Vec<WeightFile>,
}

pub(crate) struct WeightFile {
    pub(crate) file: String,
    mapped: MappedFile,
    pub(crate) tensors: Vec<SafetensorsTensor>,
}

impl WeightFile {
    pub(crate) fn open(path: &Path) -> Result<WeightFile, LoadError> {
        let file = path.display().to_string();
        let mapped = file::map(path)?;
        match safetensors::parse(mapped.bytes()) {
            Ok(tensors) => Ok(WeightFile {
                file,
                mapped,
                tensors,
            }),
            Err(fault) => Err(LoadError::Safetensors { file, fault }),
        }
    }

    pub(crate) fn n_bytes(&self) -> u64 {
        self.mapped.bytes().len() as u64
    }
}

impl Folder {
    /// Finds and maps the weight files, and checks them against the index where there is one.
    pub(crate) fn open(path: &Path) -> Result<Folder, LoadError> {
        let mut folder = Folder {
            path: path.to_owned(),
            files: Vec::new(),
        };
        let index = folder.json_object(INDEX)?;
        let paths = match &index {
            Some(index) => folder.indexed_files(index)?,
            None => vec![folder.only_file()?],
        };
        folder.files = paths
            .iter()
            .map(|path| WeightFile::open(path))
            .collect::<Result<_, _>>()?;
        if let Some(index) = &index {
            folder.check_index(index)?;
        }
        Ok(folder)
    }

    pub(crate) fn files(&self) -> &[WeightFile] {
        &self.files
    }

    pub(crate) fn config_fields(&self) -> Result<Map<String, Value>, LoadError> {
        self.json_object("config.json")?
            .ok_or_else(|| self.not_a_model("it has no config.json"))
    }

    /// What is in the folder, with the weights ready to be taken.
    pub(crate) fn describe<'a>(
        &'a self,
        pool: &'a Pool,
        ignored_fields: &[String],
    ) -> Result<Description<'a>, LoadError> {
        let fields = self.config_fields()?;
        let config = hf_config::config(&fields, &self.file("config.json"), ignored_fields)?;
        let scheme = quantized::scheme(&fields, &self.file("config.json"), ignored_fields)?;
        let weights = self.weights(pool, config.tied_embeddings, scheme.as_ref())?;
        Ok(Description {
            file: self.path.display().to_string(),
            name: self.name(),
            generation: self.generation(&fields)?,
            chat_template: self.chat_template()?,
            tokenizer: self.tokenizer()?,
            config,
            weights,
            file_bytes: self.files.iter().map(WeightFile::n_bytes).sum(),
        })
    }

    fn name(&self) -> String {
        let full = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        full.file_name()
            .map_or_else(|| "model".to_owned(), |name| name.to_string_lossy().into_owned())
    }

    pub(crate) fn weights<'a>(
        &'a self,
        pool: &'a Pool,
        tied: bool,
        scheme: Option<&Scheme>,
    ) -> Result<Weights<'a>, LoadError> {
        let mut weights = Weights::new(pool);
        let mut stored = StoredTensors::default();
        for file in &self.files {
            for tensor in &file.tensors {
                stored.insert(tensor, &file.file, Source::Mapped(&file.mapped))?;
            }
        }
        let matrices = scheme.map(|scheme| scheme.matrices(&mut stored));
        for (module, file, tensor) in matrices.transpose()?.unwrap_or_default() {
            let name = gguf_name(&format!("{module}.weight"));
            insert(&mut weights, name, tensor, file)?;
        }
        for tensor in stored.into_plain() {
            let name = gguf_name(&tensor.name);
            let copy_of_embedding = tied && name == "output.weight";
            if copy_of_embedding || name.ends_with("rotary_emb.inv_freq") {
                continue;
            }
            let format = tensor.format()?;
            let entry = Tensor::plain(tensor.name, tensor.shape, format, tensor.source, tensor.range);
            insert(&mut weights, name, entry, tensor.file)?;
        }
        Ok(weights)
    }

    fn tokenizer(&self) -> Result<TokenizerSource, LoadError> {
        let tokenizer_json = self.read(TOKENIZER)?.ok_or_else(|| {
            self.not_a_model("it has no tokenizer.json; save the tokenizer again with a current transformers")
        })?;
        let mut tokenizer_config = self.json_object("tokenizer_config.json")?;
        if let Some(special) = self.json_object("special_tokens_map.json")? {
            let config = tokenizer_config.get_or_insert_default();
            for (name, token) in special {
                config.entry(name).or_insert(token);
            }
        }
        let tokenizer_config_json =
            tokenizer_config.map(|config| Value::Object(config).to_string().into_bytes());
        Ok(TokenizerSource::HuggingFace {
            tokenizer_json,
            tokenizer_config_json,
        })
    }

    /// The template from the first place that has one, newest kind of place first, as `transformers` looks for it.
    fn chat_template(&self) -> Result<Option<String>, LoadError> {
        if let Some(template) = self.read("chat_template.jinja")? {
            let file = self.file("chat_template.jinja");
            let fault = |_| LoadError::Read {
                file,
                fault: io::Error::other("it is not UTF-8"),
            };
            return String::from_utf8(template).map(Some).map_err(fault);
        }
        for name in ["chat_template.json", "tokenizer_config.json"] {
            let Some(object) = self.json_object(name)? else {
                continue;
            };
            let Some(template) = object.get("chat_template").filter(|template| !template.is_null()) else {
                continue;
            };
            return default_template(template)
                .map(Some)
                .ok_or_else(|| LoadError::Field {
                    file: self.file(name),
                    key: "chat_template".to_owned(),
                    fault: "must be a text, or a list of {name, template} of which one is named \"default\""
                        .to_owned(),
                });
        }
        Ok(None)
    }

    fn generation(&self, config: &Map<String, Value>) -> Result<GenerationDefaults, LoadError> {
        let object = self.json_object("generation_config.json")?;
        let (fields, file) = match &object {
            Some(object) => (object, self.file("generation_config.json")),
            None => (config, self.file("config.json")),
        };
        let fields = Fields {
            fields,
            file: &file,
            prefix: "",
        };
        let eos_in = if fields.get("eos_token_id").is_some() {
            fields.fields
        } else {
            config
        };
        let greedy = fields.flag("do_sample")? == Some(false);
        let top_k = fields
            .size("top_k")?
            .map(|top_k| u32::try_from(top_k).unwrap_or(u32::MAX));
        let mut defaults = GenerationDefaults {
            temperature: if greedy {
                Some(0.0)
            } else {
                fields.number("temperature")?
            },
            top_p: fields.number("top_p")?,
            top_k,
            min_p: fields.number("min_p")?,
            repetition_penalty: fields.number("repetition_penalty")?,
            eos_token_ids: token_ids(eos_in.get("eos_token_id")).ok_or_else(|| {
                fields.fault("eos_token_id", "must be a token id or a list of them".to_owned())
            })?,
        };
        defaults.normalise();
        Ok(defaults)
    }

    /// The files that the index names: plain names in this folder.
    fn indexed_files(&self, index: &Map<String, Value>) -> Result<Vec<PathBuf>, LoadError> {
        let mut names = BTreeSet::new();
        for (tensor, name) in self.weight_map(index)? {
            let name = name.as_str().filter(|name| {
                name.ends_with(".safetensors")
                    && Path::new(name).file_name().is_some_and(|last| last == *name)
            });
            match name {
                Some(name) => names.insert(name),
                None => {
                    return Err(
                        self.index_fault(tensor, "must be in a *.safetensors file of the same folder")
                    );
                }
            };
        }
        if names.is_empty() {
            return Err(self.index_fault("weight_map", "names no tensors"));
        }
        Ok(names.into_iter().map(|name| self.path.join(name)).collect())
    }

    /// Every tensor of the index is in the file that it names.
    fn check_index(&self, index: &Map<String, Value>) -> Result<(), LoadError> {
        let mut files_by_tensor: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for file in &self.files {
            for tensor in &file.tensors {
                files_by_tensor.entry(&tensor.name).or_default().push(&file.file);
            }
        }
        for (tensor, name) in self.weight_map(index)? {
            let expected = name.as_str().map(|name| self.file(name)).unwrap_or_default();
            let found = files_by_tensor.get(tensor.as_str());
            if !found.is_some_and(|files| files.contains(&expected.as_str())) {
                return Err(self.index_fault(
                    tensor,
                    &format!("is not in {expected}; a file is incomplete or of another model"),
                ));
            }
        }
        Ok(())
    }

    fn weight_map<'a>(&self, index: &'a Map<String, Value>) -> Result<&'a Map<String, Value>, LoadError> {
        let map = index.get("weight_map").and_then(Value::as_object);
        map.ok_or_else(|| self.index_fault("weight_map", "is missing or not an object"))
    }

    fn index_fault(&self, key: &str, fault: &str) -> LoadError {
        LoadError::Field {
            file: self.file(INDEX),
            key: key.to_owned(),
            fault: fault.to_owned(),
        }
    }

    /// `model.safetensors`, or else the folder's only safetensors file.
    fn only_file(&self) -> Result<PathBuf, LoadError> {
        let usual = self.path.join("model.safetensors");
        if usual.is_file() {
            return Ok(usual);
        }
        let read = |fault| LoadError::Read {
            file: self.path.display().to_string(),
            fault,
        };
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(read)? {
            let path = entry.map_err(read)?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "safetensors")
            {
                found.push(path);
            }
        }
        match (found.pop(), found.is_empty()) {
            (Some(path), true) => Ok(path),
            (Some(_), false) => {
                Err(self.not_a_model("it has several *.safetensors files but no index of them"))
            }
            (None, _) => {
                Err(self.not_a_model("it has no *.safetensors files (other formats of weights are not read)"))
            }
        }
    }

    fn json_object(&self, name: &str) -> Result<Option<Map<String, Value>>, LoadError> {
        let Some(bytes) = self.read(name)? else {
            return Ok(None);
        };
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|fault| LoadError::Json {
                file: self.file(name),
                fault,
            })
    }

    /// A file's bytes, or `None` where there is no such file.
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, LoadError> {
        let fail = |fault| LoadError::Read {
            file: self.file(name),
            fault,
        };
        let path = self.path.join(name);
        file::check_regular(&path)?;
        let file = match fs::File::open(path) {
            Ok(file) => file,
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(fault) => return Err(fail(fault)),
        };
        let mut bytes = Vec::new();
        let limit = max_bytes(name);
        file.take(limit + 1).read_to_end(&mut bytes).map_err(fail)?;
        if bytes.len() as u64 > limit {
            return Err(fail(io::Error::other(format!("it has more than {limit} bytes"))));
        }
        Ok(Some(bytes))
    }

    fn file(&self, name: &str) -> String {
        self.path.join(name).display().to_string()
    }

    fn not_a_model(&self, fault: &str) -> LoadError {
        LoadError::NotAModel {
            file: self.path.display().to_string(),
            fault: fault.to_owned(),
        }
    }
}

fn insert<'a>(
    weights: &mut Weights<'a>,
    name: String,
    tensor: Tensor<'a>,
    file: &str,
) -> Result<(), LoadError> {
    weights.insert(name, tensor).map_err(|fault| LoadError::Weights {
        file: file.to_owned(),
        fault,
    })
}

/// A template given as text, or among named ones the one named `default`.
fn default_template(template: &Value) -> Option<String> {
    match template {
        Value::String(text) => Some(text.clone()),
        Value::Array(list) => {
            let default = list
                .iter()
                .find(|entry| entry.get("name").and_then(Value::as_str) == Some("default"))?;
            default.get("template")?.as_str().map(str::to_owned)
        }
        // chat_template.json of some folders: templates by name.
        Value::Object(by_name) => by_name.get("default")?.as_str().map(str::to_owned),
        _ => None,
    }
}

/// One token id, a list of them, or none at all.
fn token_ids(value: Option<&Value>) -> Option<Vec<u32>> {
    let id = |value: &Value| u32::try_from(value.as_u64()?).ok();
    match value {
        None | Some(Value::Null) => Some(Vec::new()),
        Some(Value::Array(list)) => list.iter().map(id).collect(),
        Some(one) => id(one).map(|id| vec![id]),
    }
}

/// The GGUF name of a tensor of a Llama-like model of `transformers`. A name that is not known stays as it is, and the
/// load then fails by that name because nothing uses it.
fn gguf_name(name: &str) -> String {
    match name {
        "lm_head.weight" => return "output.weight".to_owned(),
        "model.embed_tokens.weight" => return "token_embd.weight".to_owned(),
        "model.norm.weight" => return "output_norm.weight".to_owned(),
        _ => {}
    }
    let layer = name
        .strip_prefix("model.layers.")
        .and_then(|rest| rest.split_once('.'));
    let parts = layer.and_then(|(layer, part)| {
        let (module, kind) = part.rsplit_once('.')?;
        if let Some(expert) = module.strip_prefix("mlp.experts.") {
            let (expert, module) = expert.split_once('.')?;
            let module = EXPERT_MODULES.iter().find(|(hf, _)| *hf == module)?.1;
            return Some(format!("blk.{layer}.{module}.{expert}.{kind}"));
        }
        let module = LAYER_MODULES.iter().find(|(hf, _)| *hf == module)?.1;
        Some(format!("blk.{layer}.{module}.{kind}"))
    });
    parts.unwrap_or_else(|| name.to_owned())
}

const LAYER_MODULES: &[(&str, &str)] = &[
    ("input_layernorm", "attn_norm"),
    ("mlp.down_proj", "ffn_down"),
    ("mlp.gate", "ffn_gate_inp"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("post_attention_layernorm", "ffn_norm"),
    ("self_attn.k_norm", "attn_k_norm"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.o_proj", "attn_output"),
    ("self_attn.q_norm", "attn_q_norm"),
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.v_proj", "attn_v"),
];

/// Those of each expert.
const EXPERT_MODULES: &[(&str, &str)] = &[
    ("down_proj", "ffn_down_exps"),
    ("gate_proj", "ffn_gate_exps"),
    ("up_proj", "ffn_up_exps"),
];
