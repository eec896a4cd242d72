//! Where a model's tokenizer comes from, as plain data: this crate reads it, `text` makes a tokenizer of it.

/// A model's tokenizer as its files give it.
#[derive(Clone, Debug, PartialEq)]
pub enum TokenizerSource {
    /// The `tokenizer.ggml.*` fields of a GGUF file.
    Gguf(Box<GgufTokenizer>),
    /// The files of a Hugging Face folder, unparsed.
    HuggingFace {
        /// The bytes of `tokenizer.json`.
        tokenizer_json: Vec<u8>,
        /// The bytes of `tokenizer_config.json`, where there is one.
        tokenizer_config_json: Option<Vec<u8>>,
    },
}

/// All `tokenizer.ggml.*` fields of a GGUF file. Checked here: that the arrays fit each other in length and that
/// every id is below the number of tokens; what the fields mean is for the reader of this struct to decide.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GgufTokenizer {
    /// `tokenizer.ggml.model`: the kind, such as `gpt2` (byte-level BPE) or `llama` (SentencePiece).
    pub model: String,
    /// `tokenizer.ggml.pre`: the name of the pre-tokenizer, such as `qwen2` or `llama-bpe`.
    pub pre: Option<String>,
    /// `tokenizer.ggml.tokens`: one text per id.
    pub tokens: Vec<String>,
    /// `tokenizer.ggml.scores`: one per id, or empty.
    pub scores: Vec<f32>,
    /// `tokenizer.ggml.token_type`: one per id, or empty. 1 normal, 2 unknown, 3 control, 4 user defined, 5 unused, 6 byte.
    pub token_types: Vec<i32>,
    /// `tokenizer.ggml.merges`: pairs written `left right`, first in rank first; empty where there are none.
    pub merges: Vec<String>,
    /// `tokenizer.ggml.bos_token_id`.
    pub bos_token_id: Option<u32>,
    /// `tokenizer.ggml.eos_token_id`.
    pub eos_token_id: Option<u32>,
    /// `tokenizer.ggml.eot_token_id`: end of turn.
    pub eot_token_id: Option<u32>,
    /// `tokenizer.ggml.eom_token_id`: end of message.
    pub eom_token_id: Option<u32>,
    /// `tokenizer.ggml.unknown_token_id`.
    pub unknown_token_id: Option<u32>,
    /// `tokenizer.ggml.seperator_token_id` (spelled so in the format) or `tokenizer.ggml.separator_token_id`.
    pub separator_token_id: Option<u32>,
    /// `tokenizer.ggml.padding_token_id`.
    pub padding_token_id: Option<u32>,
    /// `tokenizer.ggml.add_bos_token`.
    pub add_bos_token: Option<bool>,
    /// `tokenizer.ggml.add_eos_token`.
    pub add_eos_token: Option<bool>,
    /// `tokenizer.ggml.add_sep_token`.
    pub add_sep_token: Option<bool>,
    /// `tokenizer.ggml.add_space_prefix`.
    pub add_space_prefix: Option<bool>,
    /// `tokenizer.ggml.remove_extra_whitespaces`.
    pub remove_extra_whitespaces: Option<bool>,
    /// `tokenizer.ggml.precompiled_charsmap`: the normaliser of a SentencePiece unigram model.
    pub precompiled_charsmap: Option<Vec<u8>>,
}
