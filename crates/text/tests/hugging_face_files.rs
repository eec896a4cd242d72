//! `tokenizer.json` files of every shape that models ship give the ids that the `tokenizers` package gives
//! (`make_hf_golden.py` made them).
#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helper functions too"
)]

use serde_json::{Value, json};
use tokenmill_text::{RenderedPrompt, Specials, Tokenizer, TokenizerError};

fn golden(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/golden/hf/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

#[test]
fn every_text_gives_the_ids_of_the_tokenizers_package() {
    let cases: Value = serde_json::from_slice(&golden("ids.json")).unwrap();
    let texts: Vec<&str> = cases["texts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|text| text.as_str().unwrap())
        .collect();
    let (mut n, mut wrong) = (0, Vec::new());
    for (name, ids) in cases["ids"].as_object().unwrap() {
        let tokenizer = match Tokenizer::from_hf(&golden(name), None) {
            Ok(tokenizer) => tokenizer,
            Err(error) => panic!("{name}: {error}"),
        };
        for (text, ids) in texts.iter().zip(ids.as_array().unwrap()) {
            let want: Vec<u32> = ids
                .as_array()
                .unwrap()
                .iter()
                .map(|id| id.as_u64().unwrap() as u32)
                .collect();
            let got = tokenizer.encode(text, Specials::Parse).unwrap();
            n += 1;
            if got != want {
                let surfaces = |ids: &[u32]| -> Vec<String> {
                    ids.iter()
                        .map(|&id| String::from_utf8_lossy(tokenizer.token_bytes(id).unwrap()).into_owned())
                        .collect()
                };
                wrong.push(format!(
                    "{name} {text:?}\n ours {:?}\n want {:?}",
                    surfaces(&got),
                    surfaces(&want)
                ));
            }
        }
    }
    eprintln!("{n} texts");
    assert!(
        wrong.is_empty(),
        "{} of {n} differ:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(12)].join("\n")
    );
}

/// `file` with the value at a JSON pointer replaced.
fn changed(file: &str, pointer: &str, value: Value) -> Vec<u8> {
    let mut json: Value = serde_json::from_slice(&golden(file)).unwrap();
    *json
        .pointer_mut(pointer)
        .unwrap_or_else(|| panic!("{pointer} in {file}")) = value;
    json.to_string().into_bytes()
}

#[test]
#[expect(clippy::too_many_lines, reason = "a list of refusals")]
fn what_is_not_supported_is_refused_by_name() {
    let cases = [
        (
            "/model/type",
            json!("Unigram"),
            "model.type: \"Unigram\" is not supported",
        ),
        ("/model/dropout", json!(0.1), "model.dropout"),
        (
            "/model/continuing_subword_prefix",
            json!("##"),
            "model.continuing_subword_prefix: \"##\"",
        ),
        (
            "/model/end_of_word_suffix",
            json!("</w>"),
            "model.end_of_word_suffix",
        ),
        (
            "/normalizer",
            json!({"type": "Precompiled"}),
            "normalizer: \"Precompiled\"",
        ),
        (
            "/pre_tokenizer",
            json!({"type": "Sequence", "pretokenizers": [{"type": "BertPreTokenizer"}, {"type": "ByteLevel"}]}),
            "pre_tokenizer: \"BertPreTokenizer\"",
        ),
        (
            "/post_processor",
            json!({"type": "BertProcessing"}),
            "post_processor: \"BertProcessing\"",
        ),
        ("/decoder", json!({"type": "WordPiece"}), "decoder: \"WordPiece\""),
        (
            "/pre_tokenizer/pretokenizers/0/pattern",
            json!({"Regex": "a(?=b)"}),
            "look-around",
        ),
        (
            "/pre_tokenizer/pretokenizers/0/pattern",
            json!({"Regex": "("}),
            "pre_tokenizer: the expression",
        ),
        ("/model/merges/0", json!("nospace"), "model.merges: entry 0"),
        (
            "/model/merges/0",
            json!(["\u{1f389}", "b"]),
            "model.merges: entry 0",
        ),
        (
            "/added_tokens/0/id",
            json!(4_000_000_000u32),
            "model.vocab: the largest id",
        ),
        ("/model/unk_token", json!("gone"), "model.unk_token: \"gone\""),
    ];
    for (pointer, value, message) in cases {
        let error = Tokenizer::from_hf(&changed("qwen.json", pointer, value.clone()), None)
            .unwrap_err()
            .to_string();
        assert!(error.contains(message), "{pointer} = {value}: {error}");
    }
}

#[test]
fn an_expression_that_reads_a_text_over_and_over_is_stopped() {
    let pattern = json!({"Regex": "[^x]*x|[^x]"});
    let step = json!({"type": "Replace", "pattern": pattern, "content": "a"});
    let files = [
        changed("qwen.json", "/pre_tokenizer/pretokenizers/0/pattern", pattern),
        changed("qwen.json", "/normalizer", step),
    ];
    for file in files {
        let tokenizer = Tokenizer::from_hf(&file, None).unwrap();
        assert!(tokenizer.encode(&"a".repeat(100), Specials::AsText).is_ok());
        assert!(tokenizer.encode(&"ax".repeat(500_000), Specials::AsText).is_ok());
        let error = tokenizer
            .encode(&"a".repeat(1_000_000), Specials::AsText)
            .unwrap_err();
        assert!(matches!(error, TokenizerError::ReadsTooMuch), "{error}");
    }
}

#[test]
fn the_config_says_which_tokens_begin_and_end() {
    let config = json!({"bos_token": "<s>", "eos_token": {"content": "<|end|>"}, "add_bos_token": true});
    let config = config.to_string();
    let tokenizer = Tokenizer::from_hf(&golden("qwen.json"), Some(config.as_bytes())).unwrap();
    assert_eq!(tokenizer.bos(), tokenizer.token_id("<s>"));
    assert_eq!(tokenizer.eos(), tokenizer.token_id("<|end|>"));
    let ids = tokenizer
        .encode_prompt(&RenderedPrompt::trusted("a".into()))
        .unwrap();
    assert_eq!(ids.first().copied(), tokenizer.bos());
    // Without a config, the post-processor tells.
    let tokenizer = Tokenizer::from_hf(&golden("llama3.json"), None).unwrap();
    assert_eq!(tokenizer.bos(), tokenizer.token_id("<s>"));
    let ids = tokenizer
        .encode_prompt(&RenderedPrompt::trusted("a".into()))
        .unwrap();
    assert_eq!(ids.first().copied(), tokenizer.bos());
}
