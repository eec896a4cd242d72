//! The steps that `tokenizer.json` lists around the model: normalizer, pre-tokenizer, post-processor, decoder.

use regex_automata::meta::Regex;
use serde_json::Value;

use super::{invalid, unsupported};
use crate::tokenizer::meter::Meter;
use crate::tokenizer::normalize::Normalizer;
use crate::tokenizer::pretokenizers;
use crate::tokenizer::split::{Behavior, MAX_PATTERN_BYTES, Split};
use crate::tokenizer::vocab::Vocab;
use crate::tokenizer::{Pipeline, Prefix, SPACE_SIGN, TokenizerError};

/// Longer sequences of steps are refused; real ones have less than ten.
const MAX_STEPS: usize = 32;

/// The split that `ByteLevel` does itself.
const BYTE_LEVEL: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
const PUNCTUATION: &str = r"[\p{P}!-/:-@\[-`{-~]";

fn kind_of(step: &Value) -> &str {
    step.get("type").and_then(Value::as_str).unwrap_or_default()
}

fn flag(step: &Value, key: &str, default: bool) -> bool {
    step.get(key).and_then(Value::as_bool).unwrap_or(default)
}

fn text<'s>(step: &'s Value, key: &str, place: &str) -> Result<&'s str, TokenizerError> {
    let place = format!("{place}.{key}");
    step.get(key)
        .and_then(Value::as_str)
        .ok_or_else(|| invalid(&place, "missing, or not a string"))
}

/// A step, or the steps of a `Sequence`, flattened. `null` is none.
fn flatten<'s>(step: &'s Value, list_key: &str, place: &str) -> Result<Vec<&'s Value>, TokenizerError> {
    if step.is_null() {
        return Ok(Vec::new());
    }
    if kind_of(step) != "Sequence" {
        return Ok(vec![step]);
    }
    let list = step.get(list_key).and_then(Value::as_array);
    let list = list.ok_or_else(|| invalid(&format!("{place}.{list_key}"), "missing, or not a list"))?;
    let mut steps = Vec::new();
    for step in list {
        steps.extend(flatten(step, list_key, place)?);
    }
    if steps.len() > MAX_STEPS {
        return Err(unsupported(
            place,
            format!("a sequence of more than {MAX_STEPS} steps"),
        ));
    }
    Ok(steps)
}

/// Whether tokens are spelled in the byte alphabet.
pub(super) fn is_byte_level(pre_tokenizer: &Value) -> bool {
    flatten(pre_tokenizer, "pretokenizers", "pre_tokenizer")
        .is_ok_and(|steps| steps.iter().any(|step| kind_of(step) == "ByteLevel"))
}

pub(super) fn pipeline(normalizer: &Value, pre_tokenizer: &Value) -> Result<Pipeline, TokenizerError> {
    let mut normalizers = Vec::new();
    for step in flatten(normalizer, "normalizers", "normalizer")? {
        normalizers.push(read_normalizer(step)?);
    }
    let place = "pre_tokenizer";
    let mut pipeline = Pipeline {
        prefix: Prefix::None,
        normalizers,
        splits: Vec::new(),
    };
    let steps = flatten(pre_tokenizer, "pretokenizers", place)?;
    let n_steps = steps.len();
    for (idx, step) in steps.into_iter().enumerate() {
        match kind_of(step) {
            "ByteLevel" if idx + 1 != n_steps => {
                return Err(unsupported(place, "ByteLevel before another step"));
            }
            "ByteLevel" => {
                if flag(step, "add_prefix_space", true) {
                    add_prefix(&mut pipeline, Prefix::SpaceIfMissing, idx)?;
                }
                if flag(step, "use_regex", true) {
                    pipeline
                        .splits
                        .push(compile(BYTE_LEVEL, Behavior::Isolated, false)?);
                }
            }
            "Metaspace" => metaspace(&mut pipeline, step, idx)?,
            _ => pipeline.splits.push(read_split(step)?),
        }
    }
    Ok(pipeline)
}

fn add_prefix(pipeline: &mut Pipeline, prefix: Prefix, idx: usize) -> Result<(), TokenizerError> {
    if idx > 0 {
        return Err(unsupported(
            "pre_tokenizer",
            "a step that adds a space after another step",
        ));
    }
    pipeline.prefix = prefix;
    Ok(())
}

fn metaspace(pipeline: &mut Pipeline, step: &Value, idx: usize) -> Result<(), TokenizerError> {
    let place = "pre_tokenizer.Metaspace";
    if step.get("replacement").and_then(Value::as_str) != Some(SPACE_SIGN) {
        return Err(unsupported(place, "a replacement other than ▁"));
    }
    let default = if flag(step, "add_prefix_space", true) {
        "always"
    } else {
        "never"
    };
    let prefix = match step
        .get("prepend_scheme")
        .and_then(Value::as_str)
        .unwrap_or(default)
    {
        "always" => Prefix::SignAlways,
        "first" => Prefix::SignFirst,
        "never" => Prefix::SignNever,
        other => return Err(unsupported(place, format!("prepend_scheme {other:?}"))),
    };
    add_prefix(pipeline, prefix, idx)?;
    if flag(step, "split", true) {
        pipeline
            .splits
            .push(compile(SPACE_SIGN, Behavior::MergedWithNext, false)?);
    }
    Ok(())
}

fn compile(pattern: &str, behavior: Behavior, invert: bool) -> Result<Split, TokenizerError> {
    Split::new(pattern, behavior, invert).map_err(|fault| refused(pattern, &fault))
}

fn refused(pattern: &str, fault: &str) -> TokenizerError {
    unsupported(
        "pre_tokenizer",
        format!("the expression {} ({fault})", shown(pattern)),
    )
}

/// The beginning of a text from a file, short enough for a message.
fn shown(text: &str) -> String {
    let short: String = text.chars().take(80).collect();
    format!("{short:?}")
}

fn read_split(step: &Value) -> Result<Split, TokenizerError> {
    let place = "pre_tokenizer";
    match kind_of(step) {
        "Split" => {
            let (behavior, invert) = (behavior(step)?, flag(step, "invert", false));
            match step.get("pattern") {
                Some(pattern) if pattern.get("Regex").is_some() => {
                    let pattern = text(pattern, "Regex", place)?;
                    if pretokenizers::is_known(pattern) {
                        compile(pattern, behavior, invert)
                    } else {
                        Split::metered(pattern, behavior, invert).map_err(|fault| refused(pattern, &fault))
                    }
                }
                Some(pattern) => compile(&escape(text(pattern, "String", place)?), behavior, invert),
                None => Err(invalid("pre_tokenizer.pattern", "missing")),
            }
        }
        "Digits" if flag(step, "individual_digits", false) => compile(r"\p{N}", Behavior::Isolated, false),
        "Digits" => compile(r"\p{N}", Behavior::Contiguous, false),
        "Punctuation" => compile(PUNCTUATION, behavior(step)?, false),
        "Whitespace" => compile(r"\w+|[^\w\s]+", Behavior::Removed, true),
        "WhitespaceSplit" => compile(r"\s", Behavior::Removed, false),
        other => Err(unsupported(place, shown(other))),
    }
}

/// A pattern that matches exactly this text.
fn escape(text: &str) -> String {
    text.chars()
        .map(|char| format!("\\x{{{:X}}}", char as u32))
        .collect()
}

fn behavior(step: &Value) -> Result<Behavior, TokenizerError> {
    match step.get("behavior").and_then(Value::as_str) {
        Some("Isolated") | None => Ok(Behavior::Isolated),
        Some("Removed") => Ok(Behavior::Removed),
        Some("MergedWithPrevious") => Ok(Behavior::MergedWithPrevious),
        Some("MergedWithNext") => Ok(Behavior::MergedWithNext),
        Some("Contiguous") => Ok(Behavior::Contiguous),
        Some(other) => Err(unsupported("pre_tokenizer.behavior", shown(other))),
    }
}

fn read_normalizer(step: &Value) -> Result<Normalizer, TokenizerError> {
    let place = "normalizer";
    Ok(match kind_of(step) {
        "NFC" => Normalizer::Nfc,
        "NFD" => Normalizer::Nfd,
        "NFKC" => Normalizer::Nfkc,
        "NFKD" => Normalizer::Nfkd,
        "Lowercase" => Normalizer::Lowercase,
        "Prepend" => Normalizer::Prepend(text(step, "prepend", place)?.to_owned()),
        "Strip" => Normalizer::Strip {
            left: flag(step, "strip_left", true),
            right: flag(step, "strip_right", true),
        },
        "Replace" => {
            let to = text(step, "content", place)?.to_owned();
            match step.get("pattern") {
                Some(pattern) if pattern.get("Regex").is_some() => {
                    let pattern = text(pattern, "Regex", place)?;
                    if pattern.len() > MAX_PATTERN_BYTES {
                        return Err(unsupported(place, format!("the expression {}", shown(pattern))));
                    }
                    let regex = Regex::builder()
                        .configure(Regex::config().nfa_size_limit(Some(16 << 20)))
                        .build(pattern)
                        .map_err(|_| unsupported(place, format!("the expression {}", shown(pattern))))?;
                    let meter = Meter::new(&[pattern])
                        .map_err(|_| unsupported(place, format!("the expression {}", shown(pattern))))?;
                    Normalizer::ReplaceRegex {
                        from: Box::new(regex),
                        meter: Box::new(meter),
                        to,
                    }
                }
                Some(pattern) => Normalizer::Replace {
                    from: text(pattern, "String", place)?.to_owned(),
                    to,
                },
                None => return Err(invalid("normalizer.pattern", "missing")),
            }
        }
        other => return Err(unsupported(place, shown(other))),
    })
}

/// The token that a `TemplateProcessing` post-processor puts before a single text.
pub(super) fn leading_special(post: &Value, vocab: &Vocab) -> Result<Option<u32>, TokenizerError> {
    let place = "post_processor";
    let mut lead = None;
    for step in flatten(post, "processors", place)? {
        match kind_of(step) {
            "ByteLevel" => {}
            "TemplateProcessing" => {
                let first = step.get("single").and_then(|single| single.get(0));
                let token = first.and_then(|piece| piece.get("SpecialToken"));
                if let Some(token) = token {
                    let name = text(token, "id", place)?;
                    let id = vocab.id(name);
                    lead = Some(id.ok_or_else(|| invalid(place, format!("{} is no token", shown(name))))?);
                }
            }
            other => return Err(unsupported(place, shown(other))),
        }
    }
    Ok(lead)
}

/// How ids become text.
pub(super) struct Decoding {
    pub(super) strip_space: bool,
}

pub(super) fn decoding(decoder: &Value, byte_level: bool) -> Result<Decoding, TokenizerError> {
    let place = "decoder";
    let mut strip_space = false;
    for step in flatten(decoder, "decoders", place)? {
        match kind_of(step) {
            "ByteLevel" if byte_level => {}
            "ByteFallback" | "Fuse" => {}
            "Replace" if !byte_level => {
                let from = step
                    .get("pattern")
                    .and_then(|pattern| pattern.get("String"))
                    .and_then(Value::as_str);
                if from != Some(SPACE_SIGN) || text(step, "content", place)? != " " {
                    return Err(unsupported(place, "a Replace other than ▁ by a space"));
                }
            }
            "Metaspace" if !byte_level => {
                let scheme = step
                    .get("prepend_scheme")
                    .and_then(Value::as_str)
                    .unwrap_or("always");
                strip_space = scheme != "never" && flag(step, "add_prefix_space", true);
            }
            "Strip" if !byte_level => {
                let count = |key| step.get(key).and_then(Value::as_u64).unwrap_or(0);
                if text(step, "content", place)? != " " || count("start") > 1 || count("stop") != 0 {
                    return Err(unsupported(place, "a Strip other than of one leading space"));
                }
                strip_space = count("start") == 1;
            }
            other => return Err(unsupported(place, format!("{} here", shown(other)))),
        }
    }
    Ok(Decoding { strip_space })
}
