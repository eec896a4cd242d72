//! Folders of `tests/quantized`: every weight bit for bit as it was before it was packed, and logits near those that were
//! computed from them; then the faults of such folders, each with the name of its tensor.

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokenmill_kernels::isa::Isa;
use tokenmill_kernels::kv_cache::{KvCache, KvShape, KvType};
use tokenmill_kernels::pool::Pool;

use super::*;
use crate::file::folder::Folder;
use crate::{Batch, LoadOptions, Scratch, SequenceRows};

#[derive(Deserialize)]
struct Golden {
    format: String,
    weights: BTreeMap<String, String>,
    prompt: Vec<u32>,
    logits: Vec<f32>,
}

fn golden_folders() -> Vec<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/quantized");
    let entries = fs::read_dir(path).expect("the golden folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut folders: Vec<PathBuf> = paths.filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

fn golden_folder(name: &str) -> PathBuf {
    let mut folders = golden_folders().into_iter();
    folders
        .rfind(|path| path.ends_with(name))
        .unwrap_or_else(|| panic!("no folder {name}"))
}

fn golden(folder: &Path) -> Golden {
    let text = fs::read(folder.join("golden.json")).expect("golden.json");
    serde_json::from_slice(&text).expect("golden.json")
}

fn pool(isa: Isa) -> Pool {
    Pool::new(NonZeroUsize::MIN, isa)
}

#[test]
fn every_weight_is_what_it_was_before_it_was_packed() {
    let pool = pool(Isa::Scalar);
    for path in golden_folders() {
        let golden = golden(&path);
        let folder = Folder::open(&path).unwrap();
        let fields = folder.config_fields().unwrap();
        let scheme = scheme(&fields, "config.json", &[]).unwrap();
        let mut weights = folder.weights(&pool, false, scheme.as_ref()).unwrap();
        let tensors: Vec<(String, Tensor<'_>)> = weights
            .iter()
            .map(|(name, tensor)| (name.to_owned(), tensor.clone()))
            .collect();
        let mut n_checked = 0;
        for (name, tensor) in tensors.iter().filter(|(_, tensor)| tensor.codes.is_some()) {
            let (n_rows, n_cols) = (tensor.shape[0] as usize, tensor.shape[1] as usize);
            let matrix = weights.matrix(name, n_rows, n_cols).unwrap();
            let (mut hash, mut row) = (Sha256::new(), vec![0.0; n_cols]);
            for idx in 0..n_rows {
                matrix.decode_row(idx, &mut row);
                // Zeros without a sign.
                row.iter().for_each(|x| hash.update((x + 0.0).to_le_bytes()));
            }
            let found: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
            let (module, _) = tensor.name_in_file.rsplit_once('.').unwrap();
            let expected = &golden.weights[&format!("{module}.weight")];
            assert_eq!(
                &found,
                expected,
                "{} {module}, as {:?}",
                path.display(),
                matrix.format()
            );
            n_checked += 1;
        }
        assert_eq!(n_checked, golden.weights.len(), "{}", path.display());
    }
}

#[test]
fn logits_are_those_of_the_weights() {
    for path in golden_folders() {
        let golden = golden(&path);
        let mut first = None;
        for isa in Isa::available() {
            let pool = pool(isa);
            let loaded =
                crate::load(&pool, &path, &LoadOptions::default()).unwrap_or_else(|fault| panic!("{fault}"));
            assert_eq!(loaded.info.quantization, golden.format, "{}", path.display());
            let shape = KvShape {
                kv_type: KvType::F32,
                ..loaded.model.shape().kv
            };
            let mut cache = KvCache::new(shape, 1).unwrap();
            let batch = Batch {
                tokens: golden.prompt.clone(),
                sequences: vec![SequenceRows {
                    n_rows: golden.prompt.len(),
                    position: 0,
                    pages: vec![0],
                    n_logits: 1,
                    adapter: None,
                }],
            };
            let mut logits = Vec::new();
            loaded
                .model
                .forward(&pool, &batch, &mut cache, &mut Scratch::default(), &mut logits);
            let largest = golden
                .logits
                .iter()
                .fold(0.0_f32, |largest, x| largest.max(x.abs()));
            // Formats of integers take activations as bytes; the others compute with nothing rounded but sums.
            let tolerance = if ["I8", "F8"].contains(&golden.format.as_str()) {
                1e-5
            } else {
                3e-2
            };
            for (found, expected) in logits.iter().zip(&golden.logits) {
                let error = (found - expected).abs() / largest;
                assert!(
                    error < tolerance,
                    "{} {isa:?}: {found} for {expected}",
                    path.display()
                );
            }
            assert_eq!(first.get_or_insert_with(|| logits.clone()), &logits, "{isa:?}");
        }
    }
}

/// A copy of a golden folder whose tensors and `quantization_config` a test changes.
struct Copy {
    folder: tempfile::TempDir,
    config: Value,
    header: Value,
    data: Vec<u8>,
}

impl Copy {
    fn of(name: &str) -> Copy {
        let path = golden_folder(name);
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("tokenizer.json"), "{}").unwrap();
        let config = fs::read(path.join("config.json")).unwrap();
        let weights = fs::read(path.join("model.safetensors")).unwrap();
        let (length, rest) = weights.split_first_chunk::<8>().unwrap();
        let (header, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
        Copy {
            folder,
            config: serde_json::from_slice(&config).unwrap(),
            header: serde_json::from_slice(header).unwrap(),
            data: data.to_vec(),
        }
    }

    fn quantization(&mut self) -> &mut Value {
        &mut self.config["quantization_config"]
    }

    fn bytes_of(&mut self, tensor: &str) -> &mut [u8] {
        let offsets = &self.header[tensor]["data_offsets"];
        let at = |i: usize| offsets[i].as_u64().unwrap() as usize;
        &mut self.data[at(0)..at(1)]
    }

    fn load(&self) -> Result<crate::Loaded, crate::LoadError> {
        let header = self.header.to_string();
        let length = (header.len() as u64).to_le_bytes();
        let file = [&length[..], header.as_bytes(), &self.data].concat();
        fs::write(self.folder.path().join("model.safetensors"), file).unwrap();
        fs::write(self.folder.path().join("config.json"), self.config.to_string()).unwrap();
        crate::load(&pool(Isa::Scalar), self.folder.path(), &LoadOptions::default())
    }

    #[track_caller]
    fn refused(&self, words: &[&str]) {
        let message = self
            .load()
            .err()
            .map_or_else(String::new, |fault| fault.to_string());
        assert!(
            words.iter().all(|word| message.contains(word)),
            "{words:?} not all in {message:?}"
        );
    }
}

const Q: &str = "model.layers.0.self_attn.q_proj";
const DOWN: &str = "model.layers.0.mlp.down_proj";

#[test]
fn a_copy_loads_as_it_is() {
    for path in golden_folders() {
        Copy::of(path.file_name().unwrap().to_str().unwrap())
            .load()
            .unwrap();
    }
}

/// Folders, fields of their `quantization_config` with a value that must be refused, and what the message says.
fn faulty_gptq_fields() -> Vec<(&'static str, &'static str, Value, &'static str)> {
    vec![
        (
            "gptq-4-sym-128",
            "bits",
            json!(3),
            "quantization_config.bits is 3",
        ),
        (
            "gptq-4-sym-128",
            "bits",
            json!("4"),
            "quantization_config.bits must be",
        ),
        (
            "gptq-4-sym-128",
            "group_size",
            json!(0),
            "quantization_config.group_size must be",
        ),
        (
            "gptq-4-sym-128",
            "group_size",
            json!(16),
            "[1, 16]; [8, 16] is expected",
        ),
        (
            "gptq-4-sym-128",
            "checkpoint_format",
            json!("marlin"),
            "checkpoint_format is \"marlin\"",
        ),
    ]
}

/// The same, the rest of those with a common layout.
fn faulty_awq_fields() -> Vec<(&'static str, &'static str, Value, &'static str)> {
    vec![
        (
            "gptq-4-sym-128",
            "is_marlin_format",
            json!(true),
            "is_marlin_format is not known",
        ),
        (
            "gptq-4-sym-128",
            "quant_method",
            json!("hqq"),
            "quant_method is \"hqq\"",
        ),
        (
            "gptq-4-sym-128",
            "quant_method",
            Value::Null,
            "quant_method is \"\"",
        ),
        ("awq-128", "version", json!("gemv"), "version is \"gemv\""),
        ("awq-128", "bits", json!(8), "bits is 8"),
        ("awq-128", "zero_point", json!(false), "zero_point is false"),
    ]
}

/// The same for compressed-tensors and fp8.
fn faulty_other_fields() -> Vec<(&'static str, &'static str, Value, &'static str)> {
    vec![
        (
            "packed-4-sym-32-bf16",
            "format",
            json!("marlin-24"),
            "format is \"marlin-24\"",
        ),
        (
            "packed-4-sym-32-bf16",
            "kv_cache_scheme",
            json!({"num_bits": 8}),
            "kv_cache_scheme is not known",
        ),
        (
            "packed-4-sym-32-bf16",
            "sparsity_config",
            json!({"format": "sparse-24-bitmask"}),
            "sparsity_config is not dense",
        ),
        (
            "packed-4-sym-32-bf16",
            "transform_config",
            json!({"R1": {}}),
            "transform_config is not known",
        ),
        ("fp8-block", "fmt", json!("e5m2"), "fmt is \"e5m2\""),
        (
            "fp8-block",
            "weight_block_size",
            json!([128]),
            "weight_block_size must be",
        ),
        (
            "fp8-block",
            "weight_block_size",
            json!([64, 64]),
            "weight_scale_inv\" has shape",
        ),
        (
            "fp8-block",
            "weight_block_size",
            Value::Null,
            "has no tensor \"model.layers.0.mlp.down_proj.weight_scale\"",
        ),
    ]
}

#[test]
fn fields_that_are_not_supported_are_refused_by_name() {
    let faulty = [faulty_gptq_fields(), faulty_awq_fields(), faulty_other_fields()];
    for (folder, field, value, words) in faulty.into_iter().flatten() {
        let mut copy = Copy::of(folder);
        copy.quantization()[field] = value;
        copy.refused(&[words]);
    }
    let mut copy = Copy::of("packed-4-sym-32-bf16");
    copy.quantization()["config_groups"]["group_0"]["weights"]["num_bits"] = json!(2);
    copy.refused(&["config_groups.weights.num_bits is 2"]);
}

#[test]
fn tensors_without_their_like_are_refused_by_name() {
    let remove = |folder: &str, tensor: String, words: &[&str]| {
        let mut copy = Copy::of(folder);
        copy.header.as_object_mut().unwrap().remove(&tensor).unwrap();
        copy.refused(words);
    };
    remove(
        "gptq-4-sym-128",
        format!("{Q}.scales"),
        &[Q, "qweight", "has no tensor", "scales"],
    );
    remove(
        "gptq-4-sym-128",
        format!("{Q}.qzeros"),
        &[Q, "has no tensor", "qzeros"],
    );
    remove(
        "gptq-4-sym-128",
        format!("{Q}.qweight"),
        &[Q, "which no part of quantization_config accounts for"],
    );
    remove(
        "packed-4-sym-32-bf16",
        format!("{Q}.weight_shape"),
        &[Q, "has no tensor", "weight_shape"],
    );
}

#[test]
fn shapes_and_types_that_do_not_fit_are_refused_by_name() {
    let reshape = |folder: &str, tensor: String, entry: Value, words: &[&str]| {
        let mut copy = Copy::of(folder);
        for (key, value) in entry.as_object().unwrap() {
            copy.header[&tensor][key] = value.clone();
        }
        copy.refused(words);
    };
    reshape(
        "gptq-4-sym-128",
        format!("{Q}.scales"),
        json!({"shape": [128, 1]}),
        &[Q, "scales", "[1, 128] is expected"],
    );
    reshape(
        "gptq-4-sym-128",
        format!("{Q}.qweight"),
        json!({"shape": [2048]}),
        &[Q, "a matrix is expected"],
    );
    reshape(
        "gptq-4-sym-128",
        format!("{Q}.qweight"),
        json!({"dtype": "F32"}),
        &[Q, "is F32; I32 is expected"],
    );
    reshape(
        "awq-128",
        format!("{Q}.qzeros"),
        json!({"shape": [16, 1]}),
        &[Q, "qzeros", "[1, 16] is expected"],
    );
    reshape(
        "fp8-channel",
        format!("{Q}.weight_scale"),
        json!({"shape": [2, 64]}),
        &[Q, "not that of scales"],
    );
    reshape(
        "fp8-channel",
        format!("{Q}.weight"),
        json!({"shape": [64, 256]}),
        &[Q],
    );
}

#[test]
fn numbers_that_make_no_weights_are_refused_by_name() {
    let change = |folder: &str, tensor: String, at: usize, bytes: &[u8], words: &[&str]| {
        let mut copy = Copy::of(folder);
        copy.bytes_of(&tensor)[at..][..bytes.len()].copy_from_slice(bytes);
        copy.refused(words);
    };
    change(
        "gptq-4-sym-128",
        format!("{Q}.scales"),
        4,
        &0x7e00_u16.to_le_bytes(),
        &[Q, "NaN", "row 2"],
    );
    change(
        "gptq-4-asym-32",
        format!("{DOWN}.scales"),
        0,
        &0x7c00_u16.to_le_bytes(),
        &[DOWN, "inf", "row 0"],
    );
    change(
        "gptq-4-asym-32",
        format!("{DOWN}.g_idx"),
        8,
        &3_u32.to_le_bytes(),
        &[DOWN, "g_idx", "desc_act"],
    );
    change(
        "fp8-tensor",
        format!("{DOWN}.weight"),
        129,
        &[0xff],
        &[DOWN, "row 1", "not a number"],
    );
    change(
        "packed-4-sym-32-bf16",
        format!("{Q}.weight_shape"),
        8,
        &[1],
        &[Q, "no codes of 4 or 8 bits"],
    );
    change(
        "packed-4-sym-32-bf16",
        format!("{Q}.weight_shape"),
        15,
        &[0xff],
        &[Q, "no codes of 4 or 8 bits"],
    );
    let mut copy = Copy::of("gptq-4-sym-128");
    copy.quantization()["group_size"] = json!(-1);
    copy.load().expect("one group of all 128 columns is the same");
    copy.config["quantization_config"] = Value::Null;
    copy.refused(&["which no part of quantization_config accounts for"]);
}

#[test]
fn experts_of_a_layer_are_one_family() {
    let expert =
        |layer: u32, expert: u32| family(&format!("model.layers.{layer}.mlp.experts.{expert}.up_proj"));
    assert_eq!(expert(0, 1), expert(0, 2));
    assert_ne!(expert(0, 1), expert(1, 1));
    assert_ne!(expert(0, 1), family("model.layers.0.mlp.experts.1.down_proj"));
    assert_ne!(
        family("model.layers.0.mlp.up_proj"),
        family("model.layers.1.mlp.up_proj")
    );
}
