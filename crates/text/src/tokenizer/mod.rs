//! Text to token ids and back, from `tokenizer.json` or from a GGUF file's metadata.

mod added;
mod alphabet;
mod decode;
mod gguf;
mod hf;
mod merge;
mod meter;
mod model;
mod normalize;
mod pretokenizers;
mod split;
mod vocab;

pub use decode::StreamDecoder;

use crate::template::{RenderedPrompt, TemplateTokens};
use added::{Matcher, Segment};
use model::{Model, Scratch};
use normalize::Normalizer;
use split::Split;
use std::borrow::Cow;
use std::ops::Range;
use vocab::{Kind, Vocab};

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
    /// The file's normalizer makes the text many times longer.
    #[error("normalizer: makes the text longer than {limit} bytes")]
    GrowsTooMuch {
        /// The bytes that it may have.
        limit: usize,
    },
    /// An expression of the file's normalizer or pre-tokenizer reads the text over and over.
    #[error("an expression in the tokenizer's file takes more work on this text than allowed")]
    ReadsTooMuch,
}

/// Longest text (bytes) that is encoded in one call. A text that is one long word takes up to eighty bytes of memory
/// for each of its own.
pub const MAX_TEXT_BYTES: usize = 8 << 20;

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
pub struct Tokenizer {
    vocab: Vocab,
    model: Model,
    pipeline: Pipeline,
    /// Special and user-defined tokens.
    all_added: Matcher,
    /// User-defined tokens only.
    user_defined: Matcher,
    /// User-defined tokens that are looked for after normalizing.
    normalized_added: Matcher,
    special: SpecialIds,
    /// The first token of a text begins with a space that is none of the text's.
    strip_space: bool,
}

/// What happens to text on its way to words.
#[derive(Debug)]
struct Pipeline {
    prefix: Prefix,
    normalizers: Vec<Normalizer>,
    splits: Vec<Split>,
}

/// What is put before a stretch of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Prefix {
    None,
    /// A space before every stretch between special tokens, before normalizing.
    Space,
    /// A space, after normalizing, unless one is there.
    SpaceIfMissing,
    /// Spaces become `▁`, after normalizing, and one is put before every stretch that has none.
    SignAlways,
    /// As before, but only at the beginning of the whole text.
    SignFirst,
    /// Spaces become `▁`, and none is added.
    SignNever,
}

/// Ids with a role.
#[derive(Debug, Default)]
struct SpecialIds {
    bos: Option<u32>,
    eos: Option<u32>,
    unk: Option<u32>,
    pad: Option<u32>,
    add_bos: bool,
}

/// SentencePiece's sign for a space.
const SPACE_SIGN: &str = "▁";

impl Tokenizer {
    /// From the metadata of a GGUF file.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "the caller has no further use for megabytes of strings"
    )]
    pub fn from_gguf(vocab: GgufVocab) -> Result<Tokenizer, TokenizerError> {
        gguf::build(&vocab)
    }

    /// From a `tokenizer.json` and, where there is one, the `tokenizer_config.json` beside it.
    pub fn from_hf(
        tokenizer_json: &[u8],
        tokenizer_config_json: Option<&[u8]>,
    ) -> Result<Tokenizer, TokenizerError> {
        hf::build(tokenizer_json, tokenizer_config_json)
    }

    /// Number of ids; every id is below it.
    pub fn n_vocab(&self) -> usize {
        self.vocab.len()
    }

    /// The ids of a text. Never adds a beginning-of-sequence token.
    pub fn encode(&self, text: &str, specials: Specials) -> Result<Vec<u32>, TokenizerError> {
        self.encode_apart(text, specials, &[])
    }

    /// The ids of a rendered template: special tokens where the template wrote them, never where user text did.
    /// Begins with a beginning-of-sequence token if the model wants one and the template did not write it.
    pub fn encode_prompt(&self, prompt: &RenderedPrompt) -> Result<Vec<u32>, TokenizerError> {
        let mut ids = self.encode_apart(prompt.text(), Specials::Parse, prompt.outside())?;
        if let Some(bos) = self.special.bos.filter(|_| self.special.add_bos)
            && ids.first() != Some(&bos)
        {
            ids.insert(0, bos);
        }
        Ok(ids)
    }

    fn encode_apart(
        &self,
        text: &str,
        specials: Specials,
        outside: &[Range<usize>],
    ) -> Result<Vec<u32>, TokenizerError> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(TokenizerError::TextTooLong { len: text.len() });
        }
        let matcher = match specials {
            Specials::Parse => &self.all_added,
            Specials::AsText => &self.user_defined,
        };
        let mut ids = Vec::with_capacity(text.len() / 3);
        let mut scratch = Scratch::default();
        for segment in matcher.segments(text, outside) {
            match segment {
                Segment::Token(id) => ids.push(id),
                Segment::Text(range) => {
                    let first = range.start == 0;
                    self.encode_stretch(&text[range], first, &mut scratch, &mut ids)?;
                }
            }
        }
        Ok(ids)
    }

    /// One stretch of text between added tokens.
    fn encode_stretch(
        &self,
        text: &str,
        first: bool,
        scratch: &mut Scratch,
        ids: &mut Vec<u32>,
    ) -> Result<(), TokenizerError> {
        let mut text = match self.pipeline.prefix {
            Prefix::Space => Cow::Owned(format!(" {text}")),
            _ => Cow::Borrowed(text),
        };
        let limit = normalize::limit(text.len());
        for normalizer in &self.pipeline.normalizers {
            text = normalizer.apply(text, limit)?;
        }
        for segment in self.normalized_added.segments(&text, &[]) {
            match segment {
                Segment::Token(id) => ids.push(id),
                Segment::Text(range) => {
                    let first = first && range.start == 0;
                    self.encode_normalized(&text[range], first, scratch, ids)?;
                }
            }
        }
        Ok(())
    }

    fn encode_normalized(
        &self,
        text: &str,
        first: bool,
        scratch: &mut Scratch,
        ids: &mut Vec<u32>,
    ) -> Result<(), TokenizerError> {
        let text = self.pipeline.prefixed(text, first);
        let mut pieces: Vec<Range<usize>> = std::iter::once(0..text.len()).collect();
        for split in &self.pipeline.splits {
            let mut smaller = Vec::with_capacity(pieces.len());
            split.apply(&text, &pieces, &mut smaller)?;
            pieces = smaller;
        }
        for piece in pieces {
            self.model.encode_word(&self.vocab, &text[piece], scratch, ids);
        }
        Ok(())
    }

    /// The raw bytes of a token as they appear in text, a special token's too; `None` outside the vocabulary.
    pub fn token_bytes(&self, id: u32) -> Option<&[u8]> {
        self.vocab.bytes(id)
    }

    /// Whether an id is a special (control) token, whose text is not shown.
    pub fn is_special(&self, id: u32) -> bool {
        self.vocab.kind(id) == Some(Kind::Special)
    }

    /// The beginning-of-sequence token.
    pub fn bos(&self) -> Option<u32> {
        self.special.bos
    }

    /// The end-of-sequence token.
    pub fn eos(&self) -> Option<u32> {
        self.special.eos
    }

    /// The id whose text, as the file spells it, is exactly this, special or not.
    pub fn token_id(&self, text: &str) -> Option<u32> {
        self.vocab.id(text)
    }

    /// What a chat template needs to know of this tokenizer.
    pub fn template_tokens(&self) -> TemplateTokens {
        let text = |id: Option<u32>| id.and_then(|id| self.vocab.surface(id)).map(str::to_owned);
        TemplateTokens {
            bos_token: text(self.special.bos),
            eos_token: text(self.special.eos),
            unk_token: text(self.special.unk),
            pad_token: text(self.special.pad),
        }
    }

    /// A decoder for what goes on with a text: a space that its first token begins with is part of it.
    pub fn continuing_decoder(&self) -> StreamDecoder<'_> {
        StreamDecoder::new(self, false)
    }

    /// A decoder for one answer.
    pub fn decoder(&self) -> StreamDecoder<'_> {
        StreamDecoder::new(self, self.strip_space)
    }
}

impl Pipeline {
    /// Normalized text with the prefix that it gets then. `first`: it begins the whole text.
    fn prefixed<'t>(&self, text: &'t str, first: bool) -> Cow<'t, str> {
        let prefix = match self.prefix {
            Prefix::None | Prefix::Space => return Cow::Borrowed(text),
            Prefix::SpaceIfMissing if text.starts_with(' ') => return Cow::Borrowed(text),
            Prefix::SpaceIfMissing => return Cow::Owned(format!(" {text}")),
            Prefix::SignAlways => SPACE_SIGN,
            Prefix::SignFirst if first => SPACE_SIGN,
            Prefix::SignFirst | Prefix::SignNever => "",
        };
        let signed = text.replace(' ', SPACE_SIGN);
        if signed.starts_with(SPACE_SIGN) {
            Cow::Owned(signed)
        } else {
            Cow::Owned(format!("{prefix}{signed}"))
        }
    }
}
