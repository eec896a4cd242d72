//! The shape of `tokenizer.json` and `tokenizer_config.json`.

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use std::fmt;

#[derive(Deserialize)]
pub(super) struct TokenizerJson {
    #[serde(default)]
    pub(super) added_tokens: Vec<AddedJson>,
    #[serde(default)]
    pub(super) normalizer: Value,
    #[serde(default)]
    pub(super) pre_tokenizer: Value,
    #[serde(default)]
    pub(super) post_processor: Value,
    #[serde(default)]
    pub(super) decoder: Value,
    pub(super) model: ModelJson,
}

#[derive(Deserialize)]
pub(super) struct AddedJson {
    pub(super) id: u32,
    pub(super) content: String,
    #[serde(default)]
    pub(super) single_word: bool,
    #[serde(default)]
    pub(super) lstrip: bool,
    #[serde(default)]
    pub(super) rstrip: bool,
    #[serde(default)]
    pub(super) normalized: bool,
    #[serde(default)]
    pub(super) special: bool,
}

#[derive(Deserialize)]
pub(super) struct ModelJson {
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) dropout: Option<f64>,
    pub(super) unk_token: Option<String>,
    pub(super) continuing_subword_prefix: Option<String>,
    pub(super) end_of_word_suffix: Option<String>,
    #[serde(default)]
    pub(super) fuse_unk: bool,
    #[serde(default)]
    pub(super) byte_fallback: bool,
    #[serde(default)]
    pub(super) ignore_merges: bool,
    #[serde(default)]
    pub(super) vocab: VocabJson,
    #[serde(default)]
    pub(super) merges: Vec<MergeJson>,
}

#[derive(Deserialize, Default)]
pub(super) struct ConfigJson {
    pub(super) bos_token: Option<TokenText>,
    pub(super) eos_token: Option<TokenText>,
    pub(super) unk_token: Option<TokenText>,
    pub(super) pad_token: Option<TokenText>,
    pub(super) add_bos_token: Option<bool>,
}

/// A token in `tokenizer_config.json`: its text, or an object with it.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum TokenText {
    Text(String),
    Object { content: String },
}

impl TokenText {
    pub(super) fn text(&self) -> &str {
        match self {
            TokenText::Text(text) | TokenText::Object { content: text } => text,
        }
    }
}

/// Text to id in file order. A list (Unigram models have one) reads as empty; the model's type is refused later.
#[derive(Default)]
pub(super) struct VocabJson(pub(super) Vec<(String, u32)>);

impl<'de> Deserialize<'de> for VocabJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<VocabJson, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = VocabJson;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object from token to id")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<VocabJson, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(VocabJson(pairs))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<VocabJson, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(VocabJson::default())
            }
        }
        deserializer.deserialize_any(Pairs)
    }
}

/// A merge: `"left right"` or `["left", "right"]`.
pub(super) enum MergeJson {
    Joined(String),
    Pair(String, String),
}

impl MergeJson {
    pub(super) fn pair(&self) -> Option<(&str, &str)> {
        match self {
            MergeJson::Pair(left, right) => Some((left, right)),
            MergeJson::Joined(text) => text.split_once(' ').filter(|(_, right)| !right.contains(' ')),
        }
    }
}

impl<'de> Deserialize<'de> for MergeJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<MergeJson, D::Error> {
        struct Merge;
        impl<'de> Visitor<'de> for Merge {
            type Value = MergeJson;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a merge: \"left right\" or [\"left\", \"right\"]")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<MergeJson, E> {
                Ok(MergeJson::Joined(text.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<MergeJson, A::Error> {
                let missing = |idx| serde::de::Error::invalid_length(idx, &"two tokens");
                let left = seq.next_element()?.ok_or_else(|| missing(0))?;
                let right = seq.next_element()?.ok_or_else(|| missing(1))?;
                match seq.next_element::<IgnoredAny>()? {
                    None => Ok(MergeJson::Pair(left, right)),
                    Some(_) => Err(missing(3)),
                }
            }
        }
        deserializer.deserialize_any(Merge)
    }
}
