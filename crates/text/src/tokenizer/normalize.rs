//! Changing text before it is split: Unicode forms, replacements, prefixes.

use regex_automata::meta::Regex;
use std::borrow::Cow;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick, is_nfd_quick, is_nfkc_quick};

use super::TokenizerError;
use super::meter::{Allowance, Meter};

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
        meter: Box<Meter>,
        to: String,
    },
    Strip {
        left: bool,
        right: bool,
    },
}

impl Normalizer {
    /// The changed text. Errors if it has more than `limit` bytes.
    pub(super) fn apply<'t>(&self, text: Cow<'t, str>, limit: usize) -> Result<Cow<'t, str>, TokenizerError> {
        Ok(match self {
            Normalizer::Nfc if is_nfc_quick(text.chars()) == IsNormalized::Yes => text,
            Normalizer::Nfc => bounded(text.nfc(), limit)?,
            Normalizer::Nfd if is_nfd_quick(text.chars()) == IsNormalized::Yes => text,
            Normalizer::Nfd => bounded(text.nfd(), limit)?,
            Normalizer::Nfkc if is_nfkc_quick(text.chars()) == IsNormalized::Yes => text,
            Normalizer::Nfkc => bounded(text.nfkc(), limit)?,
            Normalizer::Nfkd => bounded(text.nfkd(), limit)?,
            Normalizer::Lowercase => bounded(text.chars().flat_map(char::to_lowercase), limit)?,
            Normalizer::Prepend(_) if text.is_empty() => text,
            Normalizer::Prepend(prefix) => {
                check(prefix.len() + text.len(), limit)?;
                Cow::Owned(format!("{prefix}{text}"))
            }
            Normalizer::Replace { from, .. } if from.is_empty() || !text.contains(from.as_str()) => text,
            Normalizer::Replace { from, to } => {
                let matches = text
                    .match_indices(from.as_str())
                    .map(|(start, found)| start..start + found.len());
                replace(&text, matches, to, limit)?
            }
            Normalizer::ReplaceRegex { from, meter, to } => {
                let mut allowance = Allowance::of(text.len());
                let mut at = 0;
                let mut searches = from.find_iter(text.as_bytes());
                let mut paid = Ok(());
                let matches = std::iter::from_fn(|| {
                    paid = meter.pay(&text, at, &mut allowance);
                    let found = if paid.is_ok() {
                        searches.next()?
                    } else {
                        return None;
                    };
                    at = found.end();
                    Some(found.range())
                });
                let replaced = replace(&text, matches, to, limit)?;
                paid?;
                replaced
            }
            Normalizer::Strip { left, right } => {
                let mut kept = text.as_ref();
                kept = if *left { kept.trim_start() } else { kept };
                kept = if *right { kept.trim_end() } else { kept };
                Cow::Owned(kept.to_owned())
            }
        })
    }
}

fn bounded<'t>(chars: impl Iterator<Item = char>, limit: usize) -> Result<Cow<'t, str>, TokenizerError> {
    let mut out = String::new();
    for char in chars {
        out.push(char);
        check(out.len(), limit)?;
    }
    Ok(Cow::Owned(out))
}

fn replace<'t>(
    text: &str,
    matches: impl Iterator<Item = std::ops::Range<usize>>,
    to: &str,
    limit: usize,
) -> Result<Cow<'t, str>, TokenizerError> {
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for found in matches {
        out.push_str(text.get(done..found.start).unwrap_or_default());
        check(out.len() + to.len(), limit)?;
        out.push_str(to);
        done = found.end;
    }
    let rest = &text[done..];
    check(out.len() + rest.len(), limit)?;
    out.push_str(rest);
    Ok(Cow::Owned(out))
}

fn check(len: usize, limit: usize) -> Result<(), TokenizerError> {
    if len > limit {
        Err(TokenizerError::GrowsTooMuch { limit })
    } else {
        Ok(())
    }
}

/// How long a text of `len` bytes may become: Unicode's own forms make at most 11 bytes of one.
pub(super) fn limit(len: usize) -> usize {
    16 * len + (64 << 10)
}
