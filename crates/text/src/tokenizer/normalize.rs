//! Changing text before it is split: Unicode forms, replacements, prefixes.

use regex_automata::meta::Regex;
use std::borrow::Cow;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick, is_nfd_quick, is_nfkc_quick};

use super::{MAX_TEXT_BYTES, TokenizerError};

/// One change.
#[derive(Debug)]
pub(super) enum Normalizer {
    Nfc,
    Nfd,
    Nfkc,
    Nfkd,
    Lowercase,
    /// Put before any text that is not empty.
    Prepend(String),
    Replace {
        from: String,
        to: String,
    },
    ReplaceRegex {
        from: Box<Regex>,
        to: String,
    },
    Strip {
        left: bool,
        right: bool,
    },
}

impl Normalizer {
    /// The changed text. Errors if it grows beyond what may be encoded at once.
    pub(super) fn apply<'t>(&self, text: Cow<'t, str>) -> Result<Cow<'t, str>, TokenizerError> {
        Ok(match self {
            Normalizer::Nfc if is_nfc_quick(text.chars()) == IsNormalized::Yes => text,
            Normalizer::Nfc => bounded(text.nfc())?,
            Normalizer::Nfd if is_nfd_quick(text.chars()) == IsNormalized::Yes => text,
            Normalizer::Nfd => bounded(text.nfd())?,
            Normalizer::Nfkc if is_nfkc_quick(text.chars()) == IsNormalized::Yes => text,
            Normalizer::Nfkc => bounded(text.nfkc())?,
            Normalizer::Nfkd => bounded(text.nfkd())?,
            Normalizer::Lowercase => bounded(text.chars().flat_map(char::to_lowercase))?,
            Normalizer::Prepend(_) if text.is_empty() => text,
            Normalizer::Prepend(prefix) => Cow::Owned(format!("{prefix}{text}")),
            Normalizer::Replace { from, .. } if from.is_empty() || !text.contains(from.as_str()) => text,
            Normalizer::Replace { from, to } => {
                let matches = text
                    .match_indices(from.as_str())
                    .map(|(start, found)| start..start + found.len());
                replace(&text, matches, to)?
            }
            Normalizer::ReplaceRegex { from, to } => replace(
                &text,
                from.find_iter(text.as_bytes()).map(|found| found.range()),
                to,
            )?,
            Normalizer::Strip { left, right } => {
                let mut kept = text.as_ref();
                kept = if *left { kept.trim_start() } else { kept };
                kept = if *right { kept.trim_end() } else { kept };
                Cow::Owned(kept.to_owned())
            }
        })
    }
}

fn bounded<'t>(chars: impl Iterator<Item = char>) -> Result<Cow<'t, str>, TokenizerError> {
    let mut out = String::new();
    for char in chars {
        out.push(char);
        check(out.len())?;
    }
    Ok(Cow::Owned(out))
}

fn replace<'t>(
    text: &str,
    matches: impl Iterator<Item = std::ops::Range<usize>>,
    to: &str,
) -> Result<Cow<'t, str>, TokenizerError> {
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for found in matches {
        out.push_str(text.get(done..found.start).unwrap_or_default());
        check(out.len() + to.len())?;
        out.push_str(to);
        done = found.end;
    }
    out.push_str(&text[done..]);
    Ok(Cow::Owned(out))
}

fn check(len: usize) -> Result<(), TokenizerError> {
    if len > 2 * MAX_TEXT_BYTES {
        Err(TokenizerError::TextTooLong { len })
    } else {
        Ok(())
    }
}
