//! Tiny generated models through the whole of loading, and a forward pass.

use std::num::NonZeroUsize;
use std::path::Path;

use tokenmill_kernels::isa::Isa;
use tokenmill_kernels::kv_cache::{KvCache, KvType, PAGE_TOKENS};
use tokenmill_kernels::pool::Pool;
use tokenmill_model::{Batch, LoadError, LoadOptions, Loaded, Scratch, SequenceRows, TokenizerSource};
use tokenmill_testkit::gguf::{TYPE_BF16, TYPE_F16, TYPE_Q8_0};
use tokenmill_testkit::tiny_model::{CHAT_TEMPLATE, END_OF_TEXT, IM_END, N_VOCAB, TinyModel, tiny_model};

const ARCHITECTURES: [&str; 3] = ["llama", "qwen2", "qwen3"];

fn pool() -> Pool {
    Pool::new(NonZeroUsize::MIN, Isa::detect())
}

fn load_bytes(bytes: &[u8]) -> Result<Loaded, LoadError> {
    tokenmill_model::load_from_bytes(&pool(), "tiny", bytes, &LoadOptions::default())
}

/// Logits after each of some tokens.
fn logits(loaded: &Loaded) -> Vec<f32> {
    let tokens: Vec<u32> = (0..90).map(|idx| idx * 37 % N_VOCAB).collect();
    let shape = loaded.model.shape();
    let n_pages = tokens.len().div_ceil(PAGE_TOKENS);
    let mut cache = KvCache::new(shape.kv, n_pages).expect("the test cache is small");
    let rows = SequenceRows {
        n_rows: tokens.len(),
        position: 0,
        pages: (0..n_pages as u32).collect(),
        n_logits: tokens.len(),
        adapter: None,
    };
    let batch = Batch {
        tokens,
        sequences: vec![rows],
    };
    let (mut scratch, mut logits) = (Scratch::default(), Vec::new());
    loaded
        .model
        .forward(&pool(), &batch, &mut cache, &mut scratch, &mut logits);
    logits
}

fn write_folder(model: &TinyModel, folder: &Path) {
    for (name, content) in model.folder() {
        std::fs::write(folder.join(name), content).expect("the temporary folder takes files");
    }
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn a_gguf_file_says_what_it_is() {
    for architecture in ARCHITECTURES {
        let bytes = tiny_model(architecture, 1);
        let loaded = load_bytes(&bytes).unwrap();
        let info = &loaded.info;
        assert_eq!(info.name, format!("tiny-{architecture}"));
        assert_eq!(info.architecture, architecture);
        assert_eq!(info.quantization, "F32");
        assert_eq!(info.n_context, 1024);
        assert_eq!(info.file_bytes, bytes.len() as u64);
        assert_eq!(info.fingerprint.len(), 64);
        assert_eq!(loaded.model.shape().n_vocab, N_VOCAB as usize);
        assert_eq!(loaded.chat_template.as_deref(), Some(CHAT_TEMPLATE));
        assert_eq!(loaded.generation.eos_token_ids, [END_OF_TEXT, IM_END]);
        let TokenizerSource::Gguf(tokenizer) = &loaded.tokenizer else {
            panic!("not a GGUF tokenizer")
        };
        assert_eq!(tokenizer.model, "gpt2");
        assert_eq!(tokenizer.tokens.len(), N_VOCAB as usize);
        assert_eq!(tokenizer.merges[3], "th e");
        assert_eq!(tokenizer.eos_token_id, Some(IM_END));
    }
}

#[test]
fn a_folder_and_a_gguf_file_of_the_same_weights_answer_alike() {
    for architecture in ARCHITECTURES {
        let model = TinyModel::new(architecture, 2);
        let folder = tempfile::tempdir().unwrap();
        write_folder(&model, folder.path());
        let from_folder = tokenmill_model::load(&pool(), folder.path(), &LoadOptions::default()).unwrap();
        let from_gguf = load_bytes(&model.gguf().bytes()).unwrap();
        assert_eq!(from_folder.info.n_params, from_gguf.info.n_params);
        assert_eq!(from_folder.generation.temperature, Some(0.7));
        assert_eq!(from_folder.generation.eos_token_ids, [END_OF_TEXT, IM_END]);
        assert_eq!(from_folder.chat_template.as_deref(), Some(CHAT_TEMPLATE));
        let (a, b) = (logits(&from_folder), logits(&from_gguf));
        assert!(
            a.iter().any(|logit| logit.abs() > 0.1),
            "logits must say something"
        );
        // The order of the pairs in a head differs between the files of Llama, and with it the order of sums.
        let difference = largest_difference(&a, &b);
        assert!(difference < 1e-4, "{architecture}: {difference}");
        let other = load_bytes(&tiny_model(architecture, 3)).unwrap();
        assert!(
            largest_difference(&a, &logits(&other)) > 0.1,
            "other weights must give other logits"
        );
    }
}

#[test]
fn half_precision_and_quantised_files_answer_nearly_alike() {
    for (matrix_type, name, tolerance) in [
        (TYPE_F16, "F16", 0.05),
        (TYPE_BF16, "BF16", 0.4),
        (TYPE_Q8_0, "Q8_0", 0.4),
    ] {
        let model = TinyModel {
            matrix_type,
            ..TinyModel::new("qwen3", 4)
        };
        let loaded = load_bytes(&model.gguf().bytes()).unwrap();
        assert_eq!(loaded.info.quantization, name);
        let exact = load_bytes(&tiny_model("qwen3", 4)).unwrap();
        let difference = largest_difference(&logits(&loaded), &logits(&exact));
        assert!(difference < tolerance, "{name}: {difference}");
    }
}

#[test]
fn weights_are_rounded_while_they_are_read_if_asked_for() {
    let load = |bytes: &[u8], quantize: &str| {
        let options = LoadOptions {
            quantize: quantize.to_owned(),
            ..LoadOptions::default()
        };
        tokenmill_model::load_from_bytes(&pool(), "tiny", bytes, &options)
    };
    let bytes = tiny_model("qwen3", 4);
    let exact = load(&bytes, "none").unwrap();
    for (quantize, name, tolerance) in [("q8_0", "Q8_0", 0.4), ("q4_0", "Q4_0", 6.0)] {
        let rounded = load(&bytes, quantize).unwrap();
        assert_eq!(rounded.info.quantization, name);
        assert_ne!(rounded.info.fingerprint, exact.info.fingerprint);
        let difference = largest_difference(&logits(&rounded), &logits(&exact));
        assert!(0.0 < difference && difference < tolerance, "{name}: {difference}");
        // What is quantised already stays as it is.
        let model = TinyModel {
            matrix_type: TYPE_Q8_0,
            ..TinyModel::new("qwen3", 4)
        };
        let bytes = model.gguf().bytes();
        let (one, other) = (load(&bytes, "none").unwrap(), load(&bytes, quantize).unwrap());
        assert_eq!(one.info, other.info);
        assert_eq!(logits(&one), logits(&other));
    }
    let message = load(&bytes, "q5_k").err().unwrap().to_string();
    assert!(
        message.contains("q5_k") && message.contains("none, q8_0, q4_0 or q4_k"),
        "{message}"
    );
}

#[test]
fn keys_and_values_are_kept_as_finely_as_the_weights() {
    for (matrix_type, expected) in [
        (TYPE_F16, KvType::F32),
        (TYPE_BF16, KvType::Bf16),
        (TYPE_Q8_0, KvType::Bf16),
    ] {
        let model = TinyModel {
            matrix_type,
            ..TinyModel::new("qwen3", 4)
        };
        let loaded = load_bytes(&model.gguf().bytes()).unwrap();
        assert_eq!(loaded.model.shape().kv.kv_type, expected, "{matrix_type}");
    }
    let options = LoadOptions {
        quantize: "q8_0".to_owned(),
        ..LoadOptions::default()
    };
    let rounded =
        tokenmill_model::load_from_bytes(&pool(), "tiny", &tiny_model("qwen3", 4), &options).unwrap();
    assert_eq!(rounded.model.shape().kv.kv_type, KvType::Bf16);
}

#[test]
fn rows_that_are_no_whole_super_blocks_are_rounded_to_bytes() {
    let load = |model: &TinyModel, quantize: &str| {
        let options = LoadOptions {
            quantize: quantize.to_owned(),
            ..LoadOptions::default()
        };
        tokenmill_model::load_from_bytes(&pool(), "tiny", &model.gguf().bytes(), &options).unwrap()
    };
    let narrow = TinyModel::new("qwen3", 4);
    assert_eq!(
        logits(&load(&narrow, "q4_k")),
        logits(&load(&narrow, "q8_0")),
        "rows of 64 and 96"
    );
    let wide = TinyModel {
        n_embd: 256,
        n_ff: 256,
        ..TinyModel::new("qwen3", 4)
    };
    let (exact, rounded) = (load(&wide, "none"), load(&wide, "q4_k"));
    assert_eq!(rounded.info.quantization, "Q4_K");
    let difference = |quantize: &str| largest_difference(&logits(&load(&wide, quantize)), &logits(&exact));
    assert!(0.0 < difference("q4_k") && difference("q4_k") < 1.5 * difference("q4_0"));
}

#[test]
fn a_split_file_is_the_same_model() {
    let model = TinyModel::new("qwen3", 5);
    let whole = load_bytes(&model.gguf().bytes()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let part = |number: usize| folder.path().join(format!("tiny-{number:05}-of-00003.gguf"));
    for (idx, bytes) in model.gguf().split(3).iter().enumerate() {
        std::fs::write(part(idx + 1), bytes).unwrap();
    }
    let load = |number| tokenmill_model::load(&pool(), &part(number), &LoadOptions::default());
    let split = load(1).unwrap();
    assert_eq!(split.info.fingerprint, whole.info.fingerprint);
    assert_eq!(logits(&split), logits(&whole));

    let message = load(2).err().unwrap().to_string();
    assert!(
        message.contains("part 2 of 3") && message.contains("tiny-00001-of-00003.gguf"),
        "{message}"
    );
    std::fs::copy(part(2), part(3)).unwrap();
    let message = load(1).err().unwrap().to_string();
    assert!(
        message.contains("tiny-00003-of-00003.gguf: split.no is 1"),
        "{message}"
    );
    std::fs::remove_file(part(3)).unwrap();
    let message = load(1).err().unwrap().to_string();
    assert!(
        message.contains("cannot read") && message.contains("tiny-00003-of-00003.gguf"),
        "{message}"
    );
    let alone = folder.path().join("alone.gguf");
    std::fs::copy(part(1), &alone).unwrap();
    let message = tokenmill_model::load(&pool(), &alone, &LoadOptions::default())
        .err()
        .unwrap()
        .to_string();
    assert!(
        message.contains("part of a model split into 3 files"),
        "{message}"
    );
}
