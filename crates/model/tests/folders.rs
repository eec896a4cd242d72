//! Hugging Face folders: where things may lie, and what is refused.

use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokenmill_kernels::isa::Isa;
use tokenmill_kernels::pool::Pool;
use tokenmill_model::{LoadError, LoadOptions, Loaded, TokenizerSource, inspect};
use tokenmill_testkit::TinyModel;

fn tiny_folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, content) in TinyModel::new("qwen3", 7).folder() {
        fs::write(folder.path().join(name), content).expect("the temporary folder takes files");
    }
    folder
}

fn load(folder: &Path) -> Result<Loaded, LoadError> {
    load_with(folder, &LoadOptions::default())
}

fn load_with(folder: &Path, options: &LoadOptions) -> Result<Loaded, LoadError> {
    tokenmill_model::load(&Pool::new(NonZeroUsize::MIN, Isa::detect()), folder, options)
}

fn write_json(folder: &Path, name: &str, value: &Value) {
    fs::write(folder.join(name), value.to_string()).expect("the temporary folder takes files");
}

/// Writes `config.json` with one field changed.
fn set_field(folder: &Path, field: &str, value: Value) {
    let mut config = TinyModel::new("qwen3", 7).config_json();
    config[field] = value;
    write_json(folder, "config.json", &config);
}

#[track_caller]
fn refused(folder: &Path, words: &[&str]) {
    let message = load(folder)
        .err()
        .map_or_else(String::new, |fault| fault.to_string());
    assert!(
        words.iter().all(|word| message.contains(word)),
        "{words:?} not all in {message:?}"
    );
}

#[test]
fn a_chat_template_is_found_in_each_of_its_places() {
    let folder = tiny_folder();
    let template = || load(folder.path()).unwrap().chat_template;
    let tokenizer_config = |template: Value| {
        write_json(
            folder.path(),
            "tokenizer_config.json",
            &json!({"chat_template": template}),
        );
    };
    tokenizer_config(json!("plain"));
    assert_eq!(template().as_deref(), Some("plain"));
    tokenizer_config(json!([{"name": "tool_use", "template": "t"}, {"name": "default", "template": "d"}]));
    assert_eq!(template().as_deref(), Some("d"));
    write_json(
        folder.path(),
        "chat_template.json",
        &json!({"chat_template": "own file"}),
    );
    assert_eq!(template().as_deref(), Some("own file"));
    fs::write(folder.path().join("chat_template.jinja"), "newest").unwrap();
    assert_eq!(template().as_deref(), Some("newest"));
    for name in [
        "chat_template.jinja",
        "chat_template.json",
        "tokenizer_config.json",
    ] {
        fs::remove_file(folder.path().join(name)).unwrap();
    }
    assert_eq!(template(), None);
    tokenizer_config(json!([{"name": "tool_use", "template": "t"}]));
    refused(
        folder.path(),
        &["tokenizer_config.json: chat_template", "default"],
    );
}

#[test]
fn special_tokens_are_added_to_the_tokenizer_config() {
    let folder = tiny_folder();
    write_json(
        folder.path(),
        "special_tokens_map.json",
        &json!({"bos_token": "<s>", "eos_token": "</s>"}),
    );
    write_json(
        folder.path(),
        "tokenizer_config.json",
        &json!({"eos_token": "<|im_end|>"}),
    );
    let TokenizerSource::HuggingFace {
        tokenizer_config_json: Some(config),
        ..
    } = load(folder.path()).unwrap().tokenizer
    else {
        panic!("not a folder's tokenizer")
    };
    let config: Value = serde_json::from_slice(&config).unwrap();
    assert_eq!(config, json!({"eos_token": "<|im_end|>", "bos_token": "<s>"}));
}

#[test]
fn sampling_defaults_come_from_the_generation_config() {
    let folder = tiny_folder();
    let path = folder.path();
    write_json(
        path,
        "generation_config.json",
        &json!({"eos_token_id": 5, "do_sample": false, "top_p": 7.0, "top_k": 0}),
    );
    let generation = load(path).unwrap().generation;
    assert_eq!(generation.eos_token_ids, [5]);
    assert_eq!(generation.temperature, Some(0.0));
    assert_eq!((generation.top_p, generation.top_k), (None, Some(0)));
    fs::remove_file(path.join("generation_config.json")).unwrap();
    set_field(path, "eos_token_id", json!([9, 8, 9]));
    assert_eq!(load(path).unwrap().generation.eos_token_ids, [8, 9]);
    write_json(path, "generation_config.json", &json!({"eos_token_id": "x"}));
    refused(path, &["generation_config.json", "eos_token_id"]);
}

#[test]
fn weights_may_be_in_several_files_with_an_index() {
    let folder = tiny_folder();
    let path = folder.path();
    let expected = load(path).unwrap().info;
    let tensors = inspect(path).unwrap().tensors;
    assert_eq!(
        tensors.iter().map(|tensor| tensor.name.as_str()).next(),
        Some("model.embed_tokens.weight")
    );
    fs::rename(
        path.join("model.safetensors"),
        path.join("model-00001-of-00001.safetensors"),
    )
    .unwrap();
    assert_eq!(
        load(path).unwrap().info,
        expected,
        "the only file, whatever its name"
    );

    let index = |entries: Vec<(&str, &str)>| {
        let map: serde_json::Map<String, Value> = entries
            .into_iter()
            .map(|(tensor, file)| (tensor.to_owned(), json!(file)))
            .collect();
        write_json(
            path,
            "model.safetensors.index.json",
            &json!({"metadata": {}, "weight_map": map}),
        );
    };
    index(
        tensors
            .iter()
            .map(|tensor| (tensor.name.as_str(), "model-00001-of-00001.safetensors"))
            .collect(),
    );
    assert_eq!(load(path).unwrap().info, expected);
    index(vec![("no.such", "model-00001-of-00001.safetensors")]);
    refused(path, &["index.json: no.such", "is not in"]);
    for outside in [
        "../model.safetensors",
        "/etc/passwd",
        "a/b.safetensors",
        "model.bin",
        "..",
    ] {
        index(vec![("model.norm.weight", outside)]);
        refused(path, &["model.norm.weight", "same folder"]);
    }
    index(vec![("model.norm.weight", "gone.safetensors")]);
    refused(path, &["cannot read", "gone.safetensors"]);
}

/// Fields of `config.json` that must be refused, and what the message then says.
fn faulty_fields() -> Vec<(&'static str, Value, &'static str)> {
    vec![
        ("hidden_act", json!("gelu"), "hidden_act is \"gelu\""),
        (
            "architectures",
            json!(["FalconForCausalLM"]),
            "\"FalconForCausalLM\" is not supported",
        ),
        ("architectures", json!([]), "architectures"),
        (
            "quantization_config",
            json!({"bits": 4}),
            "quantization_config.quant_method is \"\"",
        ),
        ("logit_scale", json!(0.5), "logit_scale is not known"),
        ("auto_map", json!({"AutoModel": "x.Y"}), "auto_map is not known"),
        ("hidden_size", json!("64"), "hidden_size must be"),
        ("hidden_size", json!(-1), "hidden_size must be"),
        (
            "num_hidden_layers",
            json!(4_000_000_000_u64),
            "n_layers is 4000000000",
        ),
        ("num_hidden_layers", json!(1), "model.layers.1."),
        ("num_hidden_layers", json!(3), "blk.2."),
        ("num_attention_heads", json!(0), "n_heads is 0"),
        (
            "vocab_size",
            json!(300),
            "\"model.embed_tokens.weight\" has shape [264, 64]",
        ),
        (
            "tie_word_embeddings",
            json!(false),
            "\"output.weight\" is missing",
        ),
    ]
}

/// The same for rope and the kinds of layers.
fn faulty_layer_fields() -> Vec<(&'static str, Value, &'static str)> {
    vec![
        (
            "rope_scaling",
            json!({"rope_type": "dynamic", "factor": 2.0}),
            "rope_scaling.rope_type is \"dynamic\"",
        ),
        (
            "rope_scaling",
            json!({"type": "linear"}),
            "rope_scaling.factor is missing",
        ),
        (
            "rope_scaling",
            json!({"type": "linear", "factor": 2.0, "short": 1}),
            "rope_scaling.short is not known",
        ),
        (
            "rope_parameters",
            json!({"full_attention": {}}),
            "rope_parameters.full_attention is not known",
        ),
        (
            "layer_types",
            json!(["full_attention", "linear_attention"]),
            "layer_types has \"linear_attention\"",
        ),
        ("layer_types", json!(["full_attention"]), "each of 2 layers"),
        ("no_rope_layers", json!([1, 0]), "no_rope_layers is not used"),
    ]
}

#[test]
fn fields_that_change_the_arithmetic_are_refused_by_name() {
    let folder = tiny_folder();
    let path = folder.path();
    for (field, value, words) in faulty_fields().into_iter().chain(faulty_layer_fields()) {
        set_field(path, field, value);
        refused(path, &[words]);
    }
    set_field(path, "some_new_field", json!(1));
    refused(path, &["some_new_field", "ignore_fields"]);
    let options = LoadOptions {
        ignore_fields: vec!["some_new_field".to_owned()],
        ..LoadOptions::default()
    };
    load_with(path, &options).unwrap();
    set_field(path, "some_new_field", json!(false));
    load(path).unwrap();
}

#[test]
fn what_is_not_a_model_is_said_so() {
    let folder = tiny_folder();
    let path = folder.path();
    let remove = |name: &str| fs::remove_file(path.join(name)).unwrap();
    refused(&path.join("nothing.gguf"), &["cannot read", "nothing.gguf"]);
    refused(&path.join("config.json"), &["config.json", "not with \"GGUF\""]);
    refused(
        &path.join("model.safetensors"),
        &["without the model's description"],
    );
    fs::write(path.join("generation_config.json"), "{").unwrap();
    refused(path, &["generation_config.json", "EOF"]);
    remove("generation_config.json");
    remove("tokenizer.json");
    refused(path, &["no tokenizer.json"]);
    remove("config.json");
    refused(path, &["no config.json"]);
    fs::copy(path.join("model.safetensors"), path.join("other.safetensors")).unwrap();
    remove("model.safetensors");
    fs::copy(path.join("other.safetensors"), path.join("third.safetensors")).unwrap();
    refused(path, &["several *.safetensors files but no index"]);
    remove("third.safetensors");
    remove("other.safetensors");
    refused(path, &["no *.safetensors files"]);
}

#[test]
fn files_that_are_too_large_are_not_read_whole() {
    for (name, limit) in [
        ("config.json", 4 << 20),
        ("model.safetensors.index.json", 32 << 20),
    ] {
        let folder = tiny_folder();
        fs::write(folder.path().join(name), " ".repeat(limit + 1)).unwrap();
        refused(folder.path(), &[name, &format!("more than {limit} bytes")]);
    }
}

#[cfg(unix)]
#[test]
fn devices_in_the_place_of_files_are_not_read() {
    for name in ["config.json", "tokenizer.json", "model.safetensors"] {
        let folder = tiny_folder();
        let path = folder.path().join(name);
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        refused(folder.path(), &[name, "not a regular file"]);
    }
}

#[test]
fn inspecting_reads_any_kind_of_model_without_its_weights() {
    let folder = tiny_folder();
    let gguf = folder.path().join("tiny.gguf");
    let model = TinyModel::new("qwen3", 7);
    fs::write(&gguf, model.gguf().bytes()).unwrap();
    let of_gguf = inspect(&gguf).unwrap();
    let of_file = inspect(&folder.path().join("model.safetensors")).unwrap();
    let of_folder = inspect(folder.path()).unwrap();
    assert_eq!(of_gguf.kind, "GGUF 3");
    assert_eq!(of_gguf.architecture.as_deref(), Some("qwen3"));
    assert_eq!(of_folder.architecture.as_deref(), Some("Qwen3ForCausalLM"));
    assert_eq!(of_gguf.n_params, of_file.n_params);
    assert_eq!(of_folder.tensors, of_file.tensors);
    assert!(
        of_gguf
            .keys
            .contains(&("qwen3.block_count".to_owned(), "2".to_owned()))
    );
    let tokens = of_gguf
        .keys
        .iter()
        .find(|(name, _)| name == "tokenizer.ggml.tokens")
        .map(|(_, value)| value.as_str());
    assert_eq!(tokens, Some(r#"["Ā", "ā", "Ă", "ă", ...] (264 of text)"#));
    let norm = of_gguf
        .tensors
        .iter()
        .find(|tensor| tensor.name == "blk.1.attn_q_norm.weight")
        .unwrap();
    assert_eq!(
        (norm.format, norm.shape.as_slice(), norm.n_bytes),
        ("F32", &[16_u64][..], 64)
    );
}
