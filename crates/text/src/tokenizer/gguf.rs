//! A tokenizer from the metadata of a GGUF file.

use hashbrown::HashMap;

use super::added::{Added, Matcher};
use super::alphabet::{CHAR_OF_BYTE, bytes_of_surface};
use super::merge::{Merge, NO_TOKEN};
use super::model::{Model, Rules, Start, WholeWords, priority_of_score};
use super::normalize::Normalizer;
use super::pretokenizers::{self, Named};
use super::split::Split;
use super::vocab::{Kind, Vocab, byte_of_surface};
use super::{GgufVocab, Pipeline, Prefix, SPACE_SIGN, SpecialIds, Tokenizer, TokenizerError};

/// Numbers in `tokenizer.ggml.token_type`.
const TYPE_UNKNOWN: i32 = 2;
const TYPE_CONTROL: i32 = 3;
const TYPE_USER_DEFINED: i32 = 4;
const TYPE_BYTE: i32 = 6;

fn invalid(key: &str, fault: String) -> TokenizerError {
    TokenizerError::Invalid {
        place: format!("tokenizer.ggml.{key}"),
        fault,
    }
}

/// The families of `tokenizer.ggml.model` that we know.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    /// `gpt2`: byte-level, merges, a named pre-tokenizer.
    ByteLevel,
    /// `llama`: SentencePiece-style, scores.
    Scored,
    /// `gemma4`: SentencePiece-style text, merges.
    SpacedMerges,
}

pub(super) fn build(vocab: &GgufVocab) -> Result<Tokenizer, TokenizerError> {
    let family = family_of(&vocab.model)?;
    check(vocab)?;
    let named = match family {
        Family::ByteLevel => Some(pretokenizers::named(vocab.pre.as_deref().unwrap_or("default"))?),
        _ => None,
    };
    let tokens = read_tokens(vocab, family)?;
    let model = build_model(vocab, family, named, &tokens)?;
    let spaced = family != Family::ByteLevel;
    let add_space = vocab.add_space_prefix.unwrap_or(family == Family::Scored) && spaced;
    let patterns = match (family, named) {
        (_, Some(named)) => named.patterns,
        // Merges never cross a line break, as the files' makers assume.
        (Family::SpacedMerges, _) => &[r"[^\n]+|\n+"],
        _ => &[],
    };
    let splits = patterns
        .iter()
        .map(|pattern| Split::isolate(pattern))
        .collect::<Result<Vec<_>, _>>();
    let pipeline = Pipeline {
        prefix: if add_space { Prefix::Space } else { Prefix::None },
        normalizers: if spaced {
            vec![Normalizer::Replace {
                from: " ".into(),
                to: SPACE_SIGN.into(),
            }]
        } else {
            Vec::new()
        },
        splits: splits.map_err(|fault| invalid("pre", fault))?,
    };
    let by_family = named.map_or(spaced, |named| named.add_bos);
    let special = SpecialIds {
        bos: vocab.bos,
        eos: vocab.eos,
        unk: vocab.unk,
        pad: vocab.pad,
        add_bos: vocab.add_bos.unwrap_or(by_family) && vocab.bos.is_some(),
    };
    let is_user_defined = |added: &Added| tokens.kind(added.id) == Some(Kind::UserDefined);
    let all = added_tokens(vocab, &tokens);
    let user_defined = all
        .iter()
        .filter(|added| is_user_defined(added))
        .cloned()
        .collect();
    Ok(Tokenizer {
        all_added: Matcher::new(all)?,
        user_defined: Matcher::new(user_defined)?,
        normalized_added: Matcher::new(Vec::new())?,
        vocab: tokens,
        model,
        pipeline,
        special,
        strip_space: add_space,
    })
}

fn family_of(model: &str) -> Result<Family, TokenizerError> {
    match model {
        "gpt2" => Ok(Family::ByteLevel),
        "llama" => Ok(Family::Scored),
        "gemma4" => Ok(Family::SpacedMerges),
        other => Err(TokenizerError::Unsupported {
            place: "tokenizer.ggml.model".into(),
            what: format!("model {other:?}"),
        }),
    }
}

fn check(vocab: &GgufVocab) -> Result<(), TokenizerError> {
    let n = vocab.tokens.len();
    for (key, len) in [
        ("scores", vocab.scores.len()),
        ("token_type", vocab.token_types.len()),
    ] {
        if len != 0 && len != n {
            return Err(invalid(key, format!("{len} entries for {n} tokens")));
        }
    }
    let ids = [
        ("bos_token_id", vocab.bos),
        ("eos_token_id", vocab.eos),
        ("unknown_token_id", vocab.unk),
        ("padding_token_id", vocab.pad),
    ];
    for (key, id) in ids {
        if let Some(id) = id.filter(|&id| id as usize >= n) {
            return Err(invalid(
                key,
                format!("id {id} is outside the vocabulary of {n} tokens"),
            ));
        }
    }
    if vocab.add_bos == Some(true) && vocab.bos.is_none() {
        return Err(invalid(
            "add_bos_token",
            "is true, and bos_token_id is missing".into(),
        ));
    }
    if let Some(idx) = vocab.scores.iter().position(|score| score.is_nan()) {
        return Err(invalid("scores", format!("entry {idx} is not a number")));
    }
    Ok(())
}

fn kind_of(vocab: &GgufVocab, idx: usize) -> Kind {
    match vocab.token_types.get(idx).copied() {
        Some(TYPE_CONTROL | TYPE_UNKNOWN) => Kind::Special,
        Some(TYPE_USER_DEFINED) => Kind::UserDefined,
        Some(TYPE_BYTE) => Kind::Byte,
        _ => Kind::Normal,
    }
}

fn read_tokens(vocab: &GgufVocab, family: Family) -> Result<Vocab, TokenizerError> {
    let mut tokens = Vocab::with_capacity(vocab.tokens.len());
    let mut bytes = Vec::new();
    for (idx, surface) in vocab.tokens.iter().enumerate() {
        let kind = kind_of(vocab, idx);
        bytes.clear();
        match (kind, family) {
            (Kind::Byte, _) => match byte_of_surface(surface) {
                Some(byte) => bytes.push(byte),
                None => {
                    return Err(invalid(
                        "tokens",
                        format!("byte token {idx} is {surface:?}, not like <0x0A>"),
                    ));
                }
            },
            (Kind::Normal, Family::ByteLevel) if bytes_of_surface(surface, &mut bytes).is_some() => {}
            (Kind::Normal | Kind::UserDefined, Family::Scored | Family::SpacedMerges) => {
                bytes.extend_from_slice(surface.replace(SPACE_SIGN, " ").as_bytes());
            }
            _ => {
                bytes.clear();
                bytes.extend_from_slice(surface.as_bytes());
            }
        }
        tokens.push(surface, &bytes, kind)?;
    }
    Ok(tokens)
}

fn build_model(
    vocab: &GgufVocab,
    family: Family,
    named: Option<&Named>,
    tokens: &Vocab,
) -> Result<Model, TokenizerError> {
    let rules = match family {
        Family::Scored if vocab.scores.is_empty() && !vocab.tokens.is_empty() => {
            return Err(invalid(
                "scores",
                "missing, and model \"llama\" needs them".into(),
            ));
        }
        Family::Scored => Rules::Scores(vocab.scores.iter().copied().map(priority_of_score).collect()),
        _ => Rules::Ranks(read_merges(&vocab.merges, tokens)?),
    };
    Ok(Model {
        start: if family == Family::ByteLevel {
            byte_start(tokens)
        } else {
            Start::Chars
        },
        rules,
        whole_words: match (family, named) {
            (Family::SpacedMerges, _) => WholeWords::Newlines,
            (_, Some(named)) if named.ignore_merges => WholeWords::All,
            _ => WholeWords::None,
        },
        byte_fallback: if family == Family::ByteLevel {
            None
        } else {
            tokens.byte_tokens()
        },
        unk: vocab.unk,
        fuse_unk: false,
    })
}

/// The ids of the 256 bytes in a byte-level vocabulary.
pub(super) fn byte_start(tokens: &Vocab) -> Start {
    let mut buffer = [0; 4];
    let ids = std::array::from_fn(|byte| {
        tokens
            .id(CHAR_OF_BYTE[byte].encode_utf8(&mut buffer))
            .unwrap_or(NO_TOKEN)
    });
    Start::Bytes(Box::new(ids))
}

fn read_merges(merges: &[String], tokens: &Vocab) -> Result<HashMap<(u32, u32), Merge>, TokenizerError> {
    let mut ranks = HashMap::with_capacity(merges.len());
    let mut joined = String::new();
    for (rank, merge) in merges.iter().enumerate() {
        let fault = |what: &str| invalid("merges", format!("entry {rank} ({merge:?}) {what}"));
        // A token may itself be a space, so the separator is the first space after the first character.
        let first = merge.chars().next().map_or(0, char::len_utf8);
        let Some(at) = merge[first..].find(' ').map(|at| at + first) else {
            return Err(fault("is not two tokens with a space between"));
        };
        let (left, right) = (&merge[..at], &merge[at + 1..]);
        joined.clear();
        joined.extend([left, right]);
        let (Some(left), Some(right), Some(id)) = (tokens.id(left), tokens.id(right), tokens.id(&joined))
        else {
            return Err(fault("names a token that the vocabulary lacks"));
        };
        ranks.entry((left, right)).or_insert(Merge {
            priority: rank as u32,
            id,
        });
    }
    Ok(ranks)
}

/// Control and user-defined tokens, which are matched whole. The unknown token is only ever a last resort.
fn added_tokens(vocab: &GgufVocab, tokens: &Vocab) -> Vec<Added> {
    (0..tokens.len() as u32)
        .filter(|&id| matches!(tokens.kind(id), Some(Kind::Special | Kind::UserDefined)))
        .filter(|&id| vocab.token_types.get(id as usize) != Some(&TYPE_UNKNOWN))
        .filter_map(|id| {
            let text = tokens.surface(id)?.to_owned();
            let special = tokens.kind(id) == Some(Kind::Special);
            Some(Added {
                id,
                text,
                special,
                lstrip: false,
                rstrip: false,
                single_word: false,
            })
        })
        .collect()
}
