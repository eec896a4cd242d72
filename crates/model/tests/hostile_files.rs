//! Damaged and hostile files: an error that names the place, and never a crash or a large allocation.

use std::num::NonZeroUsize;

use serde_json::{Value, json};
use tokenmill_kernels::isa::Isa;
use tokenmill_kernels::pool::Pool;
use tokenmill_model::file::gguf::Gguf;
use tokenmill_model::file::safetensors;
use tokenmill_model::{LoadError, LoadOptions, Loaded};
use tokenmill_testkit::gguf::{GgufWriter, TYPE_F16, TYPE_F32, TYPE_Q8_0};
use tokenmill_testkit::random::Random;
use tokenmill_testkit::safetensors::SafetensorsWriter;
use tokenmill_testkit::tiny_model::{TinyModel, tiny_model};

const ARRAY: u32 = 9;
const STRING: u32 = 8;

fn load(bytes: &[u8]) -> Result<Loaded, LoadError> {
    let pool = Pool::new(NonZeroUsize::MIN, Isa::detect());
    tokenmill_model::load_from_bytes(&pool, "tiny", bytes, &LoadOptions::default())
}

/// A file with a key of every kind and two tensors.
fn small_gguf() -> GgufWriter {
    GgufWriter::new()
        .string("general.architecture", "llama")
        .u32("a.number", 7)
        .u64("a.large", 1 << 40)
        .f32("a.fraction", 0.5)
        .bool("a.flag", true)
        .strings("some.texts", &["one", "", "three"])
        .i32s("some.numbers", &[1, -2, 3])
        .tensor("first", TYPE_F32, &[2, 8], vec![0; 64])
        .tensor("second", TYPE_Q8_0, &[3, 32], vec![0; 3 * 34])
}

/// That the file is refused, with all of `words` in the message.
#[track_caller]
fn refused(file: &GgufWriter, words: &[&str]) {
    let message = Gguf::parse(&file.bytes())
        .err()
        .map_or_else(String::new, |fault| fault.to_string());
    assert!(
        words.iter().all(|word| message.contains(word)),
        "{words:?} not all in {message:?}"
    );
}

#[test]
fn every_cut_of_a_gguf_file_is_refused() {
    let whole = small_gguf().bytes();
    let parsed = Gguf::parse(&whole).unwrap();
    assert_eq!((parsed.keys().len(), parsed.tensors().len()), (7, 2));
    for length in 0..whole.len() {
        assert!(
            Gguf::parse(&whole[..length]).is_err(),
            "{length} of {} bytes",
            whole.len()
        );
    }
    let model = tiny_model("qwen3", 1);
    for length in (0..model.len()).step_by(331) {
        assert!(
            load(&model[..length]).is_err(),
            "{length} of {} bytes",
            model.len()
        );
    }
}

#[test]
fn every_cut_of_a_safetensors_file_is_refused() {
    let whole = SafetensorsWriter::new()
        .tensor("first", "F32", &[2, 2], &[0; 16])
        .tensor("second", "BF16", &[3], &[0; 6])
        .bytes();
    assert_eq!(safetensors::parse(&whole).unwrap().len(), 2);
    for length in 0..whole.len() {
        assert!(
            safetensors::parse(&whole[..length]).is_err(),
            "{length} of {} bytes",
            whole.len()
        );
    }
}

#[test]
fn flipped_bits_are_never_a_panic() {
    let seed = 20_261_122;
    eprintln!("seed {seed}");
    let mut random = Random::new(seed);
    let model = TinyModel {
        n_layers: 1,
        n_embd: 32,
        n_ff: 32,
        ..TinyModel::new("llama", 1)
    }
    .gguf()
    .bytes();
    let small = small_gguf().bytes();
    let folder_weights = SafetensorsWriter::new()
        .tensor("a", "F32", &[2, 2], &[0; 16])
        .bytes();
    // Keys and tensor entries of the model come before this; behind it are weights, which may be anything.
    let n_metadata = model.len()
        - Gguf::parse(&model)
            .unwrap()
            .tensors()
            .iter()
            .map(|t| t.range.len())
            .sum::<usize>();
    for _ in 0..3000 {
        for (bytes, n_flippable) in [(&small, small.len()), (&folder_weights, folder_weights.len())] {
            let mut bytes = bytes.clone();
            flip_some(&mut random, &mut bytes[..n_flippable]);
            let _ = Gguf::parse(&bytes);
            let _ = safetensors::parse(&bytes);
        }
    }
    for _ in 0..300 {
        let mut bytes = model.clone();
        flip_some(&mut random, &mut bytes[..n_metadata]);
        let _ = load(&bytes);
    }
}

fn flip_some(random: &mut Random, bytes: &mut [u8]) {
    for _ in 0..1 + random.below(4) {
        bytes[random.below(bytes.len())] ^= 1 << random.below(8);
    }
}

#[test]
fn gguf_headers_that_are_not_ours_are_refused_by_what_they_are() {
    refused(&GgufWriter::new().version(1), &["GGUF header", "version 1"]);
    refused(&GgufWriter::new().version(3_u32.swap_bytes()), &["big-endian"]);
    let message = Gguf::parse(b"PK\x03\x04 and more").unwrap_err().to_string();
    assert!(message.contains("not with \"GGUF\""), "{message}");
    let mut counts = GgufWriter::new().bytes();
    counts[8..16].fill(0xff);
    let message = Gguf::parse(&counts).unwrap_err().to_string();
    assert!(
        message.contains("count 18446744073709551615 of tensors"),
        "{message}"
    );
}

#[test]
fn gguf_lengths_beyond_the_file_are_refused_before_anything_is_allocated() {
    let huge = u64::MAX.to_le_bytes();
    refused(
        &GgufWriter::new().raw("a.text", STRING, &huge),
        &["key \"a.text\"", "ends here"],
    );
    for element_type in [0_u32, 6, 7, STRING, 12] {
        let array = [&element_type.to_le_bytes()[..], &huge, &[0; 64]].concat();
        refused(
            &GgufWriter::new().raw("an.array", ARRAY, &array),
            &["key \"an.array\"", "ends here"],
        );
    }
    let nested = [&ARRAY.to_le_bytes()[..], &1_u64.to_le_bytes(), &[0; 64]].concat();
    refused(
        &GgufWriter::new().raw("an.array", ARRAY, &nested),
        &["key \"an.array\"", "arrays of arrays"],
    );
    refused(
        &GgufWriter::new().raw("a.key", 99, &[0; 8]),
        &["key \"a.key\"", "value type 99"],
    );
    refused(
        &GgufWriter::new().raw("a.flag", 7, &[2]),
        &["key \"a.flag\"", "neither true nor false"],
    );
    refused(
        &GgufWriter::new().raw("a.text", STRING, &[1, 0, 0, 0, 0, 0, 0, 0, 0xff]),
        &["key \"a.text\"", "UTF-8"],
    );
    refused(
        &GgufWriter::new().u32(&"k".repeat(5000), 1),
        &["key number 0", "5000 bytes"],
    );
}

#[test]
fn gguf_names_and_alignments_follow_the_rules() {
    refused(
        &GgufWriter::new().u32("a", 1).u32("a", 2),
        &["key \"a\"", "twice"],
    );
    refused(
        &small_gguf().tensor("first", TYPE_F32, &[1], vec![0; 4]),
        &["tensor \"first\"", "twice"],
    );
    for alignment in [0, 3, 48, 1 << 31] {
        refused(
            &GgufWriter::new().u32("general.alignment", alignment),
            &["general.alignment", "power of two"],
        );
    }
    refused(
        &GgufWriter::new().string("general.alignment", "x"),
        &["general.alignment", "holds text"],
    );
    let aligned = GgufWriter::new()
        .alignment(256)
        .tensor("a", TYPE_F32, &[1], vec![0; 4]);
    assert!(
        Gguf::parse(&aligned.bytes()).unwrap().tensors()[0]
            .range
            .start
            .is_multiple_of(256)
    );
}

#[test]
fn gguf_tensors_that_cannot_be_are_refused_by_name() {
    let tensor = |shape: &[u64], ggml_type| GgufWriter::new().tensor("t", ggml_type, shape, vec![0; 256]);
    refused(
        &tensor(&[1 << 40, 1 << 40], TYPE_F32),
        &["tensor \"t\"", "too many"],
    );
    refused(&tensor(&[u64::MAX], TYPE_F32), &["tensor \"t\"", "too many"]);
    refused(&tensor(&[0, 4], TYPE_F32), &["tensor \"t\"", "no elements"]);
    refused(&tensor(&[], TYPE_F32), &["tensor \"t\"", "0 dimensions"]);
    refused(&tensor(&[1; 5], TYPE_F32), &["tensor \"t\"", "5 dimensions"]);
    refused(&tensor(&[2, 33], TYPE_Q8_0), &["tensor \"t\"", "33", "Q8_0"]);
    refused(&tensor(&[2, 256], 16), &["tensor \"t\"", "IQ2_XXS"]);
    refused(
        &tensor(&[2, 256], u32::MAX),
        &["tensor \"t\"", "number 4294967295"],
    );
    refused(&tensor(&[65], TYPE_F32), &["tensor \"t\"", "not within the file"]);
}

#[test]
fn gguf_tensors_lie_in_the_file_aligned_and_apart() {
    let file = GgufWriter::new()
        .tensor("first", TYPE_F32, &[8], vec![0; 32])
        .tensor("second", TYPE_F32, &[8], vec![0; 32]);
    let sound = file.bytes();
    // The second entry ends with its offset, just before the padding and 64 bytes of data.
    let entries_end = sound
        .windows(8)
        .rposition(|window| window == 32_u64.to_le_bytes())
        .unwrap();
    for (offset, words) in [
        (0_u64, ["tensor \"second\"", "overlap those of tensor \"first\""]),
        (33, ["tensor \"second\"", "not a multiple of the alignment 32"]),
        (64, ["tensor \"second\"", "not within the file"]),
        (u64::MAX - 31, ["tensor \"second\"", "not within the file"]),
    ] {
        let mut bytes = sound.clone();
        bytes[entries_end..entries_end + 8].copy_from_slice(&offset.to_le_bytes());
        let message = Gguf::parse(&bytes).unwrap_err().to_string();
        assert!(
            words.iter().all(|word| message.contains(word)),
            "{offset}: {message}"
        );
    }
}

#[test]
fn a_gguf_model_is_refused_by_the_key_or_tensor_that_does_not_fit() {
    let model = || TinyModel::new("qwen3", 1).gguf();
    let cases: [(GgufWriter, &[&str]); 8] = [
        (
            GgufWriter::new().u32("x", 1),
            &["general.architecture", "missing"],
        ),
        (
            GgufWriter::new().string("general.architecture", "mamba"),
            &["\"mamba\" is not supported", "qwen3"],
        ),
        (
            model().f32("qwen3.attention.temperature", 2.0),
            &["qwen3.attention.temperature", "not known"],
        ),
        (
            model().f32("qwen3.logit_scale", 2.0),
            &["qwen3.logit_scale", "not supported"],
        ),
        (
            model().u32("qwen3.expert_count", 8),
            &["qwen3.expert_count", "not supported"],
        ),
        (
            model().string("qwen3.rope.scaling.type", "longrope"),
            &["qwen3.rope.scaling.type", "longrope"],
        ),
        (
            model().u32("tokenizer.ggml.bos_token_id", 9999),
            &["tokenizer.ggml.bos_token_id", "9999", "264"],
        ),
        (
            model().tensor("blk.0.extra", TYPE_F32, &[1], vec![0; 4]),
            &["\"blk.0.extra\"", "not used"],
        ),
    ];
    for (file, words) in cases {
        let message = load(&file.bytes())
            .err()
            .map_or_else(String::new, |fault| fault.to_string());
        assert!(
            words.iter().all(|word| message.contains(word)),
            "{words:?} not all in {message:?}"
        );
    }
}

#[test]
fn a_gguf_model_whose_sizes_disagree_with_its_tensors_is_refused() {
    let wider = TinyModel {
        n_ff: 128,
        ..TinyModel::new("qwen3", 1)
    };
    let bytes = wider.gguf().bytes();
    let at = find(&bytes, b"qwen3.feed_forward_length") + "qwen3.feed_forward_length".len() + 4;
    let mut other = bytes.clone();
    other[at..at + 4].copy_from_slice(&96_u32.to_le_bytes());
    let message = load(&other).err().unwrap().to_string();
    assert!(
        message.contains("\"blk.0.ffn_") && message.contains("asks for"),
        "{message}"
    );
    let mut huge = bytes;
    huge[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    let message = load(&huge).err().unwrap().to_string();
    assert!(message.contains("n_ff is 4294967295"), "{message}");
}

fn find(bytes: &[u8], wanted: &[u8]) -> usize {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
        .expect("the file has it")
}

#[test]
fn old_tables_of_rope_do_not_disturb() {
    let file = TinyModel::new("llama", 1)
        .gguf()
        .tensor("blk.0.attn_rot_embd", TYPE_F32, &[8], vec![0; 32]);
    load(&file.bytes()).unwrap();
}

#[test]
fn a_model_that_does_not_fit_is_refused_before_it_is_read() {
    let pool = Pool::new(NonZeroUsize::MIN, Isa::detect());
    let options = LoadOptions {
        max_weight_bytes: Some(100_000),
        ..LoadOptions::default()
    };
    let fault = tokenmill_model::load_from_bytes(&pool, "tiny", &tiny_model("qwen3", 1), &options)
        .err()
        .unwrap();
    let LoadError::Memory {
        needed, available, ..
    } = fault
    else {
        panic!("{fault}")
    };
    assert_eq!(available, 100_000);
    assert!((200_000..1_000_000).contains(&needed), "{needed}");
}

#[test]
fn memory_is_counted_as_it_is_packed_and_not_as_it_lies_in_the_file() {
    let narrow = TinyModel {
        n_layers: 1,
        n_embd: 2,
        n_ff: 2,
        matrix_type: TYPE_F16,
        ..TinyModel::new("llama", 1)
    };
    let bytes = narrow.gguf().bytes();
    let in_file: usize = Gguf::parse(&bytes)
        .unwrap()
        .tensors()
        .iter()
        .map(|tensor| tensor.range.len())
        .sum();
    let pool = Pool::new(NonZeroUsize::MIN, Isa::detect());
    let options = LoadOptions {
        max_weight_bytes: Some(4 * in_file as u64),
        ..LoadOptions::default()
    };
    let fault = tokenmill_model::load_from_bytes(&pool, "tiny", &bytes, &options).err();
    let Some(LoadError::Memory { needed, .. }) = fault else {
        panic!("{fault:?}")
    };
    // The embedding alone: 264 rows of 2 columns, filled up to 272 of 32.
    assert!(needed > 272 * 32 * 2, "{needed} for {in_file} in the file");
}

#[test]
fn gguf_token_lists_are_counted_before_they_are_read() {
    let over = |limit: u64| {
        [
            &0_u32.to_le_bytes()[..],
            &(limit + 1).to_le_bytes(),
            &vec![0; limit as usize + 1],
        ]
        .concat()
    };
    let tokens = GgufWriter::new().raw("tokenizer.ggml.tokens", ARRAY, &over(4 << 20));
    let merges = GgufWriter::new().strings("tokenizer.ggml.tokens", &["a"]).raw(
        "tokenizer.ggml.merges",
        ARRAY,
        &over(16 << 20),
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.gguf");
    for (file, words) in [(tokens, "4194305 of entries"), (merges, "16777217 of entries")] {
        std::fs::write(&path, file.bytes()).unwrap();
        let message = tokenmill_model::read_gguf_tokenizer(&path)
            .unwrap_err()
            .to_string();
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn safetensors_headers_are_refused_by_the_tensor() {
    let entry = |dtype: &str, shape: Value, offsets: Value| {
        SafetensorsWriter::new()
            .tensor("first", "F32", &[4], &[0; 16])
            .entry(
                "t",
                json!({"dtype": dtype, "shape": shape, "data_offsets": offsets}),
            )
            .bytes()
    };
    for (file, words) in [
        (
            entry("F64", json!([1]), json!([0, 8])),
            "type \"F64\" is not supported",
        ),
        (
            entry("F8_E5M2", json!([1]), json!([0, 1])),
            "type \"F8_E5M2\" is not supported",
        ),
        (entry("F32", json!([u64::MAX, 2]), json!([0, 8])), "too many"),
        (entry("F32", json!([0]), json!([0, 0])), "no elements"),
        (entry("F32", json!([2]), json!([8, 4])), "do not span"),
        (entry("F32", json!([2]), json!([12, 20])), "the file's data at 16"),
        (
            entry("F32", json!([2]), json!([8, 16])),
            "overlap those of tensor \"first\"",
        ),
        (
            entry("F32", json!([1, 1, 1, 1, 1, 1, 1, 1, 1]), json!([0, 4])),
            "9 dimensions",
        ),
        (entry("F32", json!("x"), json!([0, 4])), "invalid type"),
    ] {
        let message = safetensors::parse(&file).unwrap_err().to_string();
        assert!(
            message.contains("tensor \"t\"") && message.contains(words),
            "{words:?}: {message}"
        );
    }
    let header = |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
    let twice = r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    let message = safetensors::parse(&header(twice)).unwrap_err().to_string();
    assert!(message.contains("\"a\" is there twice"), "{message}");
    let name = "n".repeat(1025);
    let message = safetensors::parse(&header(&format!(
        r#"{{"{name}":{{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}}}"#
    )))
    .unwrap_err()
    .to_string();
    assert!(message.contains("1025 bytes") && message.len() < 300, "{message}");
    let message = safetensors::parse(&header(&"[".repeat(100_000)))
        .unwrap_err()
        .to_string();
    assert!(message.contains("header"), "{message}");
    let message = safetensors::parse(&u64::MAX.to_le_bytes())
        .unwrap_err()
        .to_string();
    assert!(message.contains("above the limit"), "{message}");
}
