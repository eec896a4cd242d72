//! A tokenizer from a Hugging Face `tokenizer.json`. What we do not do exactly as that format means is refused by name.

mod json;
mod steps;

use hashbrown::HashMap;

use super::added::{Added, Matcher};
use super::alphabet::bytes_of_surface;
use super::gguf::byte_start;
use super::merge::Merge;
use super::model::{Model, Rules, Start, WholeWords};
use super::normalize::limit;
use super::vocab::{Kind, MAX_TOKENS, Vocab, byte_of_surface};
use super::{SPACE_SIGN, SpecialIds, Tokenizer, TokenizerError};
use json::{AddedJson, ConfigJson, ModelJson, TokenizerJson};

pub(super) fn invalid(place: &str, fault: impl Into<String>) -> TokenizerError {
    TokenizerError::Invalid {
        place: place.to_owned(),
        fault: fault.into(),
    }
}

pub(super) fn unsupported(place: &str, what: impl Into<String>) -> TokenizerError {
    TokenizerError::Unsupported {
        place: place.to_owned(),
        what: what.into(),
    }
}

pub(super) fn build(tokenizer: &[u8], config: Option<&[u8]>) -> Result<Tokenizer, TokenizerError> {
    let file: TokenizerJson =
        serde_json::from_slice(tokenizer).map_err(|error| invalid("tokenizer.json", error.to_string()))?;
    let config: ConfigJson = match config {
        Some(bytes) => serde_json::from_slice(bytes)
            .map_err(|error| invalid("tokenizer_config.json", error.to_string()))?,
        None => ConfigJson::default(),
    };
    check_model(&file.model)?;
    let byte_level = steps::is_byte_level(&file.pre_tokenizer);
    let decoding = steps::decoding(&file.decoder, byte_level)?;
    let pipeline = steps::pipeline(&file.normalizer, &file.pre_tokenizer)?;
    let vocab = read_tokens(&file, byte_level)?;
    let model = build_model(&file.model, byte_level, &vocab)?;
    let special = special_ids(&file, &config, &vocab)?;
    let raw = |added: &&AddedJson| added.special || !added.normalized || pipeline.normalizers.is_empty();
    let all: Vec<&AddedJson> = file.added_tokens.iter().filter(raw).collect();
    let later: Vec<&AddedJson> = file.added_tokens.iter().filter(|added| !raw(added)).collect();
    let mut normalized = Vec::new();
    for added in later {
        let mut text = std::borrow::Cow::Borrowed(added.content.as_str());
        for normalizer in &pipeline.normalizers {
            text = normalizer.apply(text, limit(added.content.len()))?;
        }
        normalized.push(Added {
            text: text.into_owned(),
            ..added.to_added()
        });
    }
    Ok(Tokenizer {
        all_added: Matcher::new(all.iter().map(|added| added.to_added()).collect())?,
        user_defined: Matcher::new(
            all.iter()
                .filter(|added| !added.special)
                .map(|added| added.to_added())
                .collect(),
        )?,
        normalized_added: Matcher::new(normalized)?,
        vocab,
        model,
        pipeline,
        special,
        strip_space: decoding.strip_space,
    })
}

impl AddedJson {
    fn to_added(&self) -> Added {
        Added {
            id: self.id,
            text: self.content.clone(),
            special: self.special,
            lstrip: self.lstrip,
            rstrip: self.rstrip,
            single_word: self.single_word,
        }
    }
}

fn check_model(model: &ModelJson) -> Result<(), TokenizerError> {
    match model.kind.as_deref() {
        Some("BPE") => {}
        None if !model.merges.is_empty() => {}
        Some(other) => return Err(unsupported("model.type", format!("{other:?}"))),
        None => return Err(invalid("model.type", "missing")),
    }
    if model.dropout.is_some_and(|dropout| dropout != 0.0) {
        return Err(unsupported("model.dropout", "random merging"));
    }
    for (key, value) in [
        (
            "model.continuing_subword_prefix",
            &model.continuing_subword_prefix,
        ),
        ("model.end_of_word_suffix", &model.end_of_word_suffix),
    ] {
        if let Some(value) = value.as_ref().filter(|value| !value.is_empty()) {
            return Err(unsupported(key, format!("{value:?}")));
        }
    }
    Ok(())
}

/// One token as the file lists it, before ids are put in order.
#[derive(Clone, Default)]
struct Listed<'f> {
    surface: &'f str,
    added: Option<Kind>,
}

fn read_tokens(file: &TokenizerJson, byte_level: bool) -> Result<Vocab, TokenizerError> {
    let ids = file.model.vocab.0.iter().map(|(_, id)| *id);
    let n_listed = file.model.vocab.0.len() + file.added_tokens.len();
    let n = ids
        .chain(file.added_tokens.iter().map(|added| added.id))
        .max()
        .map_or(0, |id| id as usize + 1);
    // Files leave gaps between ids, but never far more than they have tokens.
    if n > MAX_TOKENS || n > 4 * n_listed + 4096 {
        return Err(invalid(
            "model.vocab",
            format!("the largest id is {} for {n_listed} tokens", n - 1),
        ));
    }
    let mut listed = vec![Listed::default(); n];
    for (surface, id) in &file.model.vocab.0 {
        let slot = &mut listed[*id as usize];
        if !slot.surface.is_empty() {
            return Err(invalid(
                "model.vocab",
                format!("{:?} and {surface:?} share id {id}", slot.surface),
            ));
        }
        slot.surface = surface;
    }
    for added in &file.added_tokens {
        let kind = if added.special {
            Kind::Special
        } else {
            Kind::UserDefined
        };
        listed[added.id as usize] = Listed {
            surface: &added.content,
            added: Some(kind),
        };
    }
    let mut vocab = Vocab::with_capacity(n);
    let mut bytes = Vec::new();
    for Listed { surface, added } in listed {
        bytes.clear();
        let byte = byte_of_surface(surface).filter(|_| file.model.byte_fallback && added.is_none());
        let kind = added.unwrap_or(if byte.is_some() { Kind::Byte } else { Kind::Normal });
        if let Some(byte) = byte {
            bytes.push(byte);
        } else if byte_level {
            if added.is_some() || bytes_of_surface(surface, &mut bytes).is_none() {
                bytes.clear();
                bytes.extend_from_slice(surface.as_bytes());
            }
        } else if kind == Kind::Special {
            bytes.extend_from_slice(surface.as_bytes());
        } else {
            bytes.extend_from_slice(surface.replace(SPACE_SIGN, " ").as_bytes());
        }
        vocab.push(surface, &bytes, kind)?;
    }
    Ok(vocab)
}

fn build_model(model: &ModelJson, byte_level: bool, vocab: &Vocab) -> Result<Model, TokenizerError> {
    let mut ranks = HashMap::with_capacity(model.merges.len());
    for (rank, merge) in model.merges.iter().enumerate() {
        let (left, right) = merge.pair().ok_or_else(|| {
            invalid(
                "model.merges",
                format!("entry {rank} is not two tokens with a space between"),
            )
        })?;
        let ids = (
            vocab.id(left),
            vocab.id(right),
            vocab.id(&format!("{left}{right}")),
        );
        let (Some(left), Some(right), Some(id)) = ids else {
            let what = format!("entry {rank} ({left:?}, {right:?}) names a token that the vocabulary lacks");
            return Err(invalid("model.merges", what));
        };
        ranks.insert(
            (left, right),
            Merge {
                priority: rank as u32,
                id,
            },
        );
    }
    let unk = match &model.unk_token {
        Some(text) => Some(
            vocab
                .id(text)
                .ok_or_else(|| invalid("model.unk_token", format!("{text:?} is not in the vocabulary")))?,
        ),
        None => None,
    };
    Ok(Model {
        start: if byte_level {
            byte_start(vocab)
        } else {
            Start::Chars
        },
        rules: Rules::Ranks(ranks),
        whole_words: if model.ignore_merges {
            WholeWords::All
        } else {
            WholeWords::None
        },
        byte_fallback: if model.byte_fallback {
            vocab.byte_tokens()
        } else {
            None
        },
        unk,
        fuse_unk: model.fuse_unk,
    })
}

fn special_ids(
    file: &TokenizerJson,
    config: &ConfigJson,
    vocab: &Vocab,
) -> Result<SpecialIds, TokenizerError> {
    let lead = steps::leading_special(&file.post_processor, vocab)?;
    let id = |token: &Option<json::TokenText>| token.as_ref().and_then(|token| vocab.id(token.text()));
    let bos = id(&config.bos_token).or(lead);
    Ok(SpecialIds {
        bos,
        eos: id(&config.eos_token),
        unk: id(&config.unk_token).or(file.model.unk_token.as_deref().and_then(|text| vocab.id(text))),
        pad: id(&config.pad_token),
        add_bos: bos.is_some() && config.add_bos_token.unwrap_or(lead.is_some()),
    })
}
