//! Text to token ids and back, from `tokenizer.json` or from a GGUF file's metadata.

mod decode;

pub use decode::StreamDecoder;

use crate::template::{RenderedPrompt, TemplateTokens};

/// Tokenizer data as a GGUF file carries it (`tokenizer.ggml.*`), already read by someone else.
#[derive(Debug, Clone, Default)]
pub struct GgufVocab {
    /// `tokenizer.ggml.model`: `gpt2`, `llama` or `gemma4`.
    pub model: String,
    /// `tokenizer.ggml.pre`: the name of the pre-tokenizer.
    pub pre: Option<String>,
    /// `tokenizer.ggml.tokens`, one per id.
    pub tokens: Vec<String>,
    /// `tokenizer.ggml.scores`, empty or one per id.
    pub scores: Vec<f32>,
    /// `tokenizer.ggml.token_type`, empty (all normal) or one per id: 1 normal, 2 unknown, 3 control, 4 user defined,
    /// 5 unused, 6 byte.
    pub token_types: Vec<i32>,
    /// `tokenizer.ggml.merges`, each two tokens with a space between.
    pub merges: Vec<String>,
    /// `tokenizer.ggml.bos_token_id`.
    pub bos: Option<u32>,
    /// `tokenizer.ggml.eos_token_id`.
    pub eos: Option<u32>,
    /// `tokenizer.ggml.unknown_token_id`.
    pub unk: Option<u32>,
    /// `tokenizer.ggml.padding_token_id`.
    pub pad: Option<u32>,
    /// `tokenizer.ggml.add_bos_token`.
    pub add_bos: Option<bool>,
    /// `tokenizer.ggml.add_eos_token`.
    pub add_eos: Option<bool>,
    /// `tokenizer.ggml.add_space_prefix`.
    pub add_space_prefix: Option<bool>,
}

/// Why a tokenizer cannot be built, or a text not encoded.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// The file asks for something that we do not do; doing it differently would give silently wrong ids.
    #[error("{place}: {what} is not supported")]
    Unsupported {
        /// Where it stands, as a path of keys.
        place: String,
        /// What is asked for.
        what: String,
    },
    /// The file contradicts itself or its format.
    #[error("{place}: {fault}")]
    Invalid {
        /// Where, as a path of keys.
        place: String,
        /// What is wrong there.
        fault: String,
    },
    /// The text is longer than [`MAX_TEXT_BYTES`].
    #[error("the text has {len} bytes, more than the {MAX_TEXT_BYTES} that can be encoded at once")]
    TextTooLong {
        /// Its length in bytes.
        len: usize,
    },
}

/// Longest text (bytes) that is encoded in one call.
pub const MAX_TEXT_BYTES: usize = 64 << 20;

/// What special tokens' text in the input means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Specials {
    /// It becomes the special token. For text that we wrote ourselves.
    Parse,
    /// It is ordinary text. For everything that came from outside.
    AsText,
}

/// Text to ids and back for one model.
#[derive(Debug)]
pub struct Tokenizer {}

impl Tokenizer {
    /// From the metadata of a GGUF file.
    pub fn from_gguf(vocab: GgufVocab) -> Result<Tokenizer, TokenizerError> {
        let _ = vocab;
        Err(TokenizerError::Unsupported {
            place: "tokenizer.ggml.model".into(),
            what: "every model".into(),
        })
    }

    /// From a `tokenizer.json` and, where there is one, the `tokenizer_config.json` beside it.
    pub fn from_hf(
        tokenizer_json: &[u8],
        tokenizer_config_json: Option<&[u8]>,
    ) -> Result<Tokenizer, TokenizerError> {
        let _ = (tokenizer_json, tokenizer_config_json);
        Err(TokenizerError::Unsupported {
            place: "model".into(),
            what: "every model".into(),
        })
    }

    /// Number of ids; every id is below it.
    pub fn n_vocab(&self) -> usize {
        0
    }

    /// The ids of a text. Never adds a beginning-of-sequence token.
    pub fn encode(&self, text: &str, specials: Specials) -> Result<Vec<u32>, TokenizerError> {
        let _ = (text, specials);
        Ok(Vec::new())
    }

    /// The ids of a rendered template: special tokens where the template wrote them, never where user text did.
    /// Begins with a beginning-of-sequence token if the model wants one and the template did not write it.
    pub fn encode_prompt(&self, prompt: &RenderedPrompt) -> Result<Vec<u32>, TokenizerError> {
        self.encode(prompt.text(), Specials::Parse)
    }

    /// The raw bytes of a token as they appear in text; `None` outside the vocabulary.
    pub fn token_bytes(&self, id: u32) -> Option<&[u8]> {
        let _ = id;
        None
    }

    /// Whether an id is a special (control) token, whose text is not shown.
    pub fn is_special(&self, id: u32) -> bool {
        let _ = id;
        false
    }

    /// The beginning-of-sequence token.
    pub fn bos(&self) -> Option<u32> {
        None
    }

    /// The end-of-sequence token.
    pub fn eos(&self) -> Option<u32> {
        None
    }

    /// The id whose text is exactly this, special or not.
    pub fn token_id(&self, text: &str) -> Option<u32> {
        let _ = text;
        None
    }

    /// What a chat template needs to know of this tokenizer.
    pub fn template_tokens(&self) -> TemplateTokens {
        TemplateTokens::default()
    }

    /// A decoder for one answer.
    pub fn decoder(&self) -> StreamDecoder<'_> {
        StreamDecoder::new(self, false)
    }
}
