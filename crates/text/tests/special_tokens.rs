//! Special tokens are made where a template wrote them and never by what a conversation says.
#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helper functions too"
)]

mod support;

use serde_json::{Map, Value, json};
use tokenmill_text::{
    ChatTemplate, GgufVocab, RenderedPrompt, Specials, TemplateInput, Timestamp, Tokenizer,
};

const NOW: Timestamp = Timestamp {
    unix_seconds: 1_785_000_000,
};

/// Texts of special tokens of many families, all of them in the vocabulary below.
const SPECIALS: [&str; 22] = [
    "<s>",
    "</s>",
    "<|im_start|>",
    "<|im_end|>",
    "<|endoftext|>",
    "<|eot_id|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|begin_of_text|>",
    "<|user|>",
    "<|assistant|>",
    "<|system|>",
    "<|end|>",
    "<|start|>",
    "<|message|>",
    "<|channel|>",
    "[INST]",
    "[/INST]",
    "<start_of_turn>",
    "<end_of_turn>",
    "<｜User｜>",
    "<｜Assistant｜>",
];

/// A byte-level vocabulary without merges, with special tokens and two that any text may make.
fn tokenizer() -> Tokenizer {
    let printable = |byte: u32| matches!(byte, 0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF);
    let others = (0..256u32).filter(|&byte| !printable(byte));
    let mut tokens: Vec<String> = (0..256u32)
        .map(|byte| {
            let code = if printable(byte) {
                byte
            } else {
                256 + others.clone().position(|other| other == byte).unwrap() as u32
            };
            char::from_u32(code).unwrap().to_string()
        })
        .collect();
    tokens.extend(SPECIALS.iter().map(ToString::to_string));
    tokens.extend(["<think>".to_owned(), "</think>".to_owned()]);
    let mut token_types = vec![1; 256];
    token_types.extend([3; SPECIALS.len()]);
    token_types.extend([4, 4]);
    let vocab = GgufVocab {
        model: "gpt2".into(),
        pre: Some("qwen2".into()),
        bos: Some(256),
        eos: Some(257),
        tokens,
        token_types,
        ..GgufVocab::default()
    };
    Tokenizer::from_gguf(vocab).unwrap()
}

fn input(messages: Vec<Value>) -> TemplateInput {
    TemplateInput {
        messages,
        // Some templates loop over the tools without asking whether there are any.
        tools: Some(Vec::new()),
        add_generation_prompt: true,
        extra: Map::new(),
        now: NOW,
    }
}

fn specials_in(tokenizer: &Tokenizer, prompt: &RenderedPrompt) -> Vec<u32> {
    let ids = tokenizer.encode_prompt(prompt).unwrap();
    let text: Vec<u8> = ids
        .iter()
        .flat_map(|&id| tokenizer.token_bytes(id).unwrap().to_vec())
        .collect();
    assert_eq!(
        String::from_utf8(text).unwrap(),
        prompt.text(),
        "no byte is lost or added"
    );
    ids.into_iter().filter(|&id| tokenizer.is_special(id)).collect()
}

/// What an attacker would put into a message: every special token, whole, cut, doubled and inside others.
fn nasty() -> Vec<String> {
    let mut texts: Vec<String> = SPECIALS.iter().map(ToString::to_string).collect();
    texts.push(SPECIALS.concat());
    texts.extend(
        SPECIALS
            .iter()
            .map(|special| format!("{special}{special}x{special} ")),
    );
    texts.extend(
        SPECIALS
            .iter()
            .map(|special| special[..special.len() - 1].to_owned()),
    );
    texts.extend(SPECIALS.iter().map(|special| special[1..].to_owned()));
    texts.extend(
        SPECIALS
            .iter()
            .map(|special| format!("<</think>{special}<|im_<think>end|>")),
    );
    texts.push("\u{fdd0}\u{e000}<|im_\u{fdd0}end|>\u{20000}".into());
    texts
}

#[test]
fn no_template_lets_a_message_make_a_special_token() {
    let tokenizer = tokenizer();
    let mut sources = vec![
        "{{ bos_token }}{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>' }}{% endfor %}".to_owned(),
        "{% for m in messages %}{{ '<|' ~ m['role'] ~ '|>' ~ m['content']|trim ~ '<|end|>' }}{% endfor %}".to_owned(),
        "{% for m in messages %}<{{ m.content }}>{{ m.content.split('</think>')[-1]|upper }}{{ m|tojson }}{% endfor %}".to_owned(),
        "{% for m in messages %}{{ m.content.replace('<think>', '').split('x')|join('') }}{{ m }}{% endfor %}".to_owned(),
        "{% for m in messages %}{% for c in m.content %}{{ c }}{% endfor %}{{ m.content[::-1][::-1] }}{% endfor %}".to_owned(),
    ];
    if let Some(folder) = support::shared("data/templates") {
        sources.extend(
            std::fs::read_dir(folder)
                .unwrap()
                .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap()),
        );
    }
    let mut n_checked = 0;
    for source in sources {
        let template = ChatTemplate::compile(&source, tokenizer.template_tokens()).unwrap();
        let conversation = |user: &str, assistant: &str| {
            input(vec![
                json!({"role": "user", "content": user}),
                json!({"role": "assistant", "content": assistant}),
                json!({"role": "user", "content": user}),
            ])
        };
        let harmless = specials_in(&tokenizer, &template.render(&conversation("x", "y")).unwrap());
        for text in nasty() {
            let prompt = template.render(&conversation(&text, &text)).unwrap();
            assert_eq!(
                specials_in(&tokenizer, &prompt),
                harmless,
                "{text:?} in\n{source}"
            );
            n_checked += 1;
        }
    }
    eprintln!("{n_checked} conversations");
}

#[test]
fn tokens_that_any_text_may_make_still_work_in_messages() {
    let tokenizer = tokenizer();
    let source = "{% for m in messages %}{{ m.content.split('</think>')[0] + '</think>' }}{% endfor %}";
    let template = ChatTemplate::compile(source, tokenizer.template_tokens()).unwrap();
    let prompt = template
        .render(&input(vec![
            json!({"role": "assistant", "content": "<think>a</think>b"}),
        ]))
        .unwrap();
    let ids = tokenizer.encode_prompt(&prompt).unwrap();
    let id = |text: &str| tokenizer.token_id(text).unwrap();
    assert_eq!(ids, [id("<think>"), id("a"), id("</think>")]);
}

#[test]
fn specials_in_plain_text_are_parsed_only_when_asked() {
    let tokenizer = tokenizer();
    let end = tokenizer.token_id("<|im_end|>").unwrap();
    assert_eq!(tokenizer.encode("<|im_end|>", Specials::Parse).unwrap(), [end]);
    assert_eq!(
        tokenizer.encode("<|im_end|>", Specials::AsText).unwrap().len(),
        "<|im_end|>".len()
    );
    assert_eq!(
        tokenizer
            .encode_prompt(&RenderedPrompt::trusted("<|im_end|>".into()))
            .unwrap(),
        [end]
    );
}

#[test]
fn a_beginning_is_added_once() {
    let with = |add_bos| {
        let mut tokens: Vec<String> = vec!["<s>".into(), "a".into()];
        tokens.push("b".into());
        let vocab = GgufVocab {
            model: "gpt2".into(),
            pre: Some("gpt-2".into()),
            tokens,
            token_types: vec![3, 1, 1],
            bos: Some(0),
            add_bos: Some(add_bos),
            ..GgufVocab::default()
        };
        Tokenizer::from_gguf(vocab).unwrap()
    };
    let ids = |add_bos, text: &str| {
        with(add_bos)
            .encode_prompt(&RenderedPrompt::trusted(text.into()))
            .unwrap()
    };
    assert_eq!(ids(true, "ab"), [0, 1, 2]);
    assert_eq!(ids(true, "<s>ab"), [0, 1, 2]);
    assert_eq!(ids(false, "ab"), [1, 2]);
    assert_eq!(with(true).encode("ab", Specials::Parse).unwrap(), [1, 2]);
}
