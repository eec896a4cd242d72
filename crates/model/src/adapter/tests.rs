use serde_json::{Value, json};
use tempfile::TempDir;
use tokenmill_kernels::isa::Isa;
use tokenmill_testkit::{TinyAdapter, TinyModel};

use super::*;
use crate::{LoadOptions, load_from_bytes};

fn shape(model: &TinyModel) -> AdapterShape {
    let pool = Pool::new(std::num::NonZeroUsize::MIN, Isa::detect());
    let loaded = load_from_bytes(&pool, "tiny", &model.gguf().bytes(), &LoadOptions::default());
    loaded.expect("a model that loads").adapter_shape
}

fn model() -> TinyModel {
    TinyModel::new("qwen3", 1)
}

fn tiny() -> TinyAdapter {
    TinyAdapter::new(&model(), 2)
}

fn folder(adapter: &TinyAdapter) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    adapter.write(folder.path()).expect("two files");
    folder
}

/// The fault of a good adapter whose configuration has these fields.
fn fault_of(changes: &Value) -> AdapterFault {
    checked(changes).expect_err("refused")
}

fn checked(changes: &Value) -> Result<AdapterSummary, AdapterFault> {
    let folder = folder(&tiny());
    let mut config = tiny().config();
    let fields = config.as_object_mut().expect("an object");
    fields.extend(changes.as_object().expect("an object").clone());
    fs::write(folder.path().join(CONFIG_FILE), config.to_string()).expect("a file");
    check(&shape(&model()), folder.path(), 64)
}

#[test]
fn a_good_adapter_is_described() {
    for dtype in ["F32", "F16", "BF16"] {
        let tiny = TinyAdapter {
            targets: vec!["q_proj", "down_proj"],
            dtype,
            ..tiny()
        };
        let folder = folder(&tiny);
        let summary = check(&shape(&model()), folder.path(), 4).expect("a good adapter");
        assert_eq!(summary.rank, 4);
        assert_eq!(summary.targets, ["q_proj", "down_proj"]);
        assert_eq!(summary.n_params, 2 * 4 * (64 + 64 + 64 + 96));
        let pool = Pool::new(std::num::NonZeroUsize::MIN, Isa::detect());
        let loaded = Adapter::load(&pool, &shape(&model()), folder.path(), 4).expect("it loads");
        assert_eq!(loaded.summary(), &summary);
        assert_eq!(loaded.n_bytes(), summary.memory_bytes);
    }
}

#[test]
fn every_option_that_changes_answers_and_is_not_applied_is_refused_by_name() {
    for (name, value) in [
        ("bias", json!("all")),
        ("use_dora", json!(true)),
        ("modules_to_save", json!(["lm_head"])),
        ("fan_in_fan_out", json!(true)),
        ("lora_bias", json!(true)),
        ("layer_replication", json!([[0, 2]])),
        ("target_parameters", json!(["experts.gate_up_proj"])),
        ("trainable_token_indices", json!([1])),
        ("exclude_modules", json!(["q_proj"])),
        ("init_lora_weights", json!("pissa")),
        ("layers_pattern", json!("blocks")),
        ("peft_type", json!("LOHA")),
        ("task_type", json!("SEQ_CLS")),
        ("an_option_of_tomorrow", json!({"k": 1})),
        ("target_modules", json!("(?=q_proj).*")),
    ] {
        let fault = fault_of(&json!({ name: value }));
        assert_eq!(fault.code(), "adapter_option_unsupported", "{fault}");
        assert!(fault.to_string().contains(&format!("'{name}'")), "{fault}");
    }
    for (name, value) in [
        ("an_option_of_tomorrow", json!(false)),
        ("loftq_config", json!({})),
        ("init_lora_weights", json!("gaussian")),
        ("lora_dropout", json!(0.5)),
        ("target_modules", json!("all-linear")),
        ("target_modules", json!(r".*_proj")),
    ] {
        assert!(checked(&json!({ name: value })).is_ok(), "{name}: {value}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a list of faults")]
fn each_fault_has_its_code() {
    let code = |changes: Value| fault_of(&changes).code();
    assert_eq!(code(json!({"r": "many"})), "adapter_config_invalid");
    assert_eq!(code(json!({"r": 0})), "adapter_config_invalid");
    assert_eq!(code(json!({"r": 8})), "adapter_shape_mismatch");
    assert_eq!(
        code(json!({"r": 65, "rank_pattern": {".*": 65}})),
        "adapter_rank_too_large"
    );
    assert_eq!(
        code(json!({"target_modules": ["lm_head"]})),
        "adapter_target_unsupported"
    );
    assert_eq!(
        code(json!({"target_modules": ["q_proj"]})),
        "adapter_tensor_unexpected"
    );
    let spoiled = |spoil: &dyn Fn(&Path)| {
        let folder = folder(&tiny());
        spoil(folder.path());
        check(&shape(&model()), folder.path(), 64)
            .expect_err("refused")
            .code()
    };
    let write = |name: &'static str, bytes: Vec<u8>| {
        move |folder: &Path| fs::write(folder.join(name), &bytes).expect("a file")
    };
    assert_eq!(
        spoiled(&|folder| fs::remove_file(folder.join(WEIGHTS_FILE)).expect("a file")),
        "adapter_file_missing"
    );
    assert_eq!(
        spoiled(&write(CONFIG_FILE, b"[]".to_vec())),
        "adapter_config_invalid"
    );
    let weights = tiny().weights().bytes();
    assert_eq!(
        spoiled(&write(WEIGHTS_FILE, weights[..weights.len() - 1].to_vec())),
        "adapter_weights_invalid"
    );
    let fewer = TinyAdapter {
        targets: vec!["q_proj"],
        ..tiny()
    };
    assert_eq!(
        spoiled(&write(WEIGHTS_FILE, fewer.weights().bytes())),
        "adapter_tensor_missing"
    );
    let more = |name: &str, dtype: &str, shape: &[u64], data: &[u8]| {
        write(
            WEIGHTS_FILE,
            tiny().weights().tensor(name, dtype, shape, data).bytes(),
        )
    };
    for name in [
        "base_model.model.lm_head.lora_A.weight",
        "base_model.model.model.layers.2.self_attn.q_proj.lora_A.weight",
        "base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector",
        "base_model.model.model.layers.00.self_attn.q_proj.lora_A.weight",
    ] {
        assert_eq!(
            spoiled(&more(name, "F32", &[1], &[0; 4])),
            "adapter_tensor_unexpected",
            "{name}"
        );
    }
    let name = "base_model.model.model.layers.1.mlp.up_proj.lora_B.weight";
    assert_eq!(
        spoiled(&more(name, "I32", &[96, 4], &[0; 4 * 96 * 4])),
        "adapter_dtype_unsupported"
    );
    assert_eq!(
        spoiled(&more(name, "F32", &[4, 96], &[0; 4 * 96 * 4])),
        "adapter_shape_mismatch"
    );
    for number in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut bytes = [0; 4 * 96 * 4];
        bytes[400..404].copy_from_slice(&number.to_le_bytes());
        assert_eq!(
            spoiled(&more(name, "F32", &[96, 4], &bytes)),
            "adapter_not_finite"
        );
    }
}

#[test]
fn patterns_match_as_in_peft() {
    let config = |fields: Value| {
        let mut config = tiny().config();
        let all = config.as_object_mut().expect("an object");
        all.extend(fields.as_object().expect("an object").clone());
        PeftConfig::parse(config.to_string().as_bytes()).expect("a good configuration")
    };
    let module = "model.layers.11.self_attn.q_proj";
    let patterned = config(json!({
        "r": 8, "lora_alpha": 16,
        "rank_pattern": {"layers.1.self_attn.q_proj": 2, "self_attn.q_proj": 32, "q_proj": 64},
        "alpha_pattern": {"proj": 1, r"layers\.\d+\.self_attn\.q_proj": 4},
    }));
    assert_eq!((patterned.rank(module), patterned.scale(module)), (32, 0.125));
    let other = "model.layers.11.mlp.up_proj";
    assert_eq!((patterned.rank(other), patterned.scale(other)), (8, 2.0));
    assert_eq!(config(json!({"r": 16, "use_rslora": true})).scale(module), 2.0);
    let some = config(json!({"target_modules": ["q_proj", "1.mlp.up_proj"], "layers_to_transform": [11]}));
    assert!(some.adapts(module, 11) && !some.adapts("model.layers.1.mlp.up_proj", 1));
    assert!(!some.adapts(other, 11), "'11.mlp' does not end in '.1.mlp'");
    let whole = config(json!({"target_modules": "q_proj"}));
    assert!(!whole.adapts(module, 11), "a pattern is for the whole path");
}
