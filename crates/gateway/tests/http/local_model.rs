//! The real engine and the real text side, on a model without weights: each token depends on everything before it.

use std::num::NonZeroUsize;
use std::sync::Arc;

use tokenmill_engine::Options;
use tokenmill_inference::upstream::local::{LocalModel, LocalOptions, LocalUpstream};
use tokenmill_kernels::isa::Isa;
use tokenmill_kernels::pool::Pool;
use tokenmill_model::{GenerationDefaults, Model, ModelInfo};
use tokenmill_testkit::RecallModel;
use tokenmill_text::{ChatForm, ChatTemplate, GgufVocab, Tokenizer};

const TEMPLATE: &str = "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n\
                        {% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

/// Special tokens behind the 256 bytes.
const SPECIALS: [&str; 2] = ["<|im_start|>", "<|im_end|>"];

/// An upstream that serves `test/model`.
pub(crate) fn local(n_context: usize, engine: Options) -> Arc<LocalUpstream> {
    let tokenizer = bytes_tokenizer();
    let model = RecallModel::new(tokenizer.n_vocab(), n_context);
    let template = ChatTemplate::compile(TEMPLATE, tokenizer.template_tokens()).expect("it compiles");
    let info = ModelInfo {
        name: "recall".into(),
        architecture: "recall".into(),
        n_params: 0,
        n_context: model.shape().n_context,
        quantization: "F32".into(),
        fingerprint: "0123456789abcdef0123".into(),
        file_bytes: 0,
    };
    let generation = GenerationDefaults {
        eos_token_ids: vec![257],
        ..GenerationDefaults::default()
    };
    let model = LocalModel {
        model: Arc::new(model),
        draft_model: None,
        info,
        tokenizer,
        form: ChatForm::of(&template, TEMPLATE),
        template,
        generation,
        adapter_shape: None,
    };
    let options = LocalOptions {
        served_name: "test/model".into(),
        owned_by: "test".into(),
        created: 0,
        build: "test".into(),
        engine,
        adapter_bytes: 64 << 20,
    };
    let pool = Arc::new(Pool::new(NonZeroUsize::MIN, Isa::Scalar));
    Arc::new(LocalUpstream::start(model, pool, options).expect("it starts"))
}

/// Limits under which tests are quick.
pub(crate) fn small() -> Options {
    Options {
        max_running: 16,
        max_waiting: 256,
        step_tokens: 64,
        kv_bytes: 4 << 20,
        ..Options::default()
    }
}

/// One token for each byte, as GPT-2 writes bytes, and the special ones.
fn bytes_tokenizer() -> Tokenizer {
    let is_plain = |byte: u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let mut n_others = 0;
    let mut surface = |byte: u8| {
        if is_plain(byte) {
            return char::from(byte).to_string();
        }
        n_others += 1;
        char::from_u32(255 + n_others).expect("a character").to_string()
    };
    let mut tokens: Vec<String> = (0..=255).map(&mut surface).collect();
    tokens.extend(SPECIALS.map(str::to_owned));
    let mut token_types = vec![1; 256];
    token_types.extend([3; SPECIALS.len()]);
    let vocab = GgufVocab {
        model: "gpt2".into(),
        pre: Some("gpt-2".into()),
        tokens,
        token_types,
        eos: Some(257),
        ..GgufVocab::default()
    };
    Tokenizer::from_gguf(vocab).expect("a good vocabulary")
}
