//! A GGUF model in one file or split over several, and what [`crate::load`] needs of it.

use std::path::{Path, PathBuf};

use tokenmill_kernels::mapped::MappedFile;
use tokenmill_kernels::pool::Pool;

use crate::error::LoadError;
use crate::file::gguf::{Gguf, GgufError, GgufFault, Place};
use crate::file::{self, Description, gguf_model, gguf_tokenizer};
use crate::tokenizer_source::TokenizerSource;
use crate::weights::{Source, Tensor, Weights};

/// Most parts of a split file.
const MAX_PARTS: usize = 1024;

/// One file's bytes, and its name for messages.
pub(crate) struct Part<'a> {
    pub(crate) file: String,
    pub(crate) source: Source<'a>,
}

/// The mapped files of a model, all parts of it.
pub(crate) struct GgufFiles {
    files: Vec<(String, MappedFile)>,
}

impl GgufFiles {
    /// Maps a file and, where its name is that of the first of several, all of them.
    pub(crate) fn open(path: &Path) -> Result<GgufFiles, LoadError> {
        let paths = part_paths(path)?;
        let files = paths.into_iter().map(|path| {
            let mapped = file::map(&path)?;
            Ok((path.display().to_string(), mapped))
        });
        Ok(GgufFiles {
            files: files.collect::<Result<_, _>>()?,
        })
    }

    pub(crate) fn parts(&self) -> Vec<Part<'_>> {
        self.files
            .iter()
            .map(|(file, mapped)| Part {
                file: file.clone(),
                source: Source::Mapped(mapped),
            })
            .collect()
    }
}

/// The paths of all parts: `NAME-00001-of-00003.gguf` and so on, or just the one.
fn part_paths(path: &Path) -> Result<Vec<PathBuf>, LoadError> {
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    let Some(SplitName {
        stem,
        number,
        n_parts,
    }) = split_name(name)
    else {
        return Ok(vec![path.to_owned()]);
    };
    let part = |number: usize| path.with_file_name(format!("{stem}-{number:05}-of-{n_parts:05}.gguf"));
    let fault = if number != 1 {
        format!(
            "it is part {number} of {n_parts} of a split model; give the first, {}",
            part(1).display()
        )
    } else if n_parts > MAX_PARTS {
        format!("it is split into {n_parts} parts, more than {MAX_PARTS}")
    } else {
        return Ok((1..=n_parts).map(part).collect());
    };
    Err(LoadError::Split {
        file: path.display().to_string(),
        fault,
    })
}

struct SplitName<'a> {
    stem: &'a str,
    number: usize,
    n_parts: usize,
}

fn split_name(name: &str) -> Option<SplitName<'_>> {
    let (rest, n_parts) = name.strip_suffix(".gguf")?.rsplit_once("-of-")?;
    let (stem, number) = rest.rsplit_once('-')?;
    let digits = |text: &str| {
        (text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit()))
            .then(|| text.parse::<usize>().ok())?
    };
    let (number, n_parts) = (digits(number)?, digits(n_parts)?);
    (n_parts >= 1).then_some(SplitName {
        stem,
        number,
        n_parts,
    })
}

/// Reads all parts' metadata and checks that they belong together.
pub(crate) fn parse_parts<'a>(parts: &[Part<'a>]) -> Result<Vec<Gguf<'a>>, LoadError> {
    let mut parsed = Vec::with_capacity(parts.len());
    for (idx, part) in parts.iter().enumerate() {
        let gguf = Gguf::parse(part.source.bytes()).map_err(|fault| gguf_fault(part, fault))?;
        check_split_keys(&gguf, idx, parts.len()).map_err(|fault| match fault {
            SplitFault::Gguf(fault) => gguf_fault(part, fault),
            SplitFault::Mismatch(fault) => LoadError::Split {
                file: part.file.clone(),
                fault,
            },
        })?;
        parsed.push(gguf);
    }
    let (Some(first), Some(gguf)) = (parts.first(), parsed.first()) else {
        return Ok(parsed);
    };
    let key = "split.tensors.count";
    if let Some(expected) = gguf.unsigned(key).map_err(|fault| gguf_fault(first, fault))?
        && parts.len() > 1
    {
        let found: usize = parsed.iter().map(|gguf| gguf.tensors().len()).sum();
        if found as u64 != expected {
            let fault = format!("its parts have {found} tensors in all, but {key} says {expected}");
            return Err(LoadError::Split {
                file: first.file.clone(),
                fault,
            });
        }
    }
    Ok(parsed)
}

enum SplitFault {
    Gguf(GgufError),
    Mismatch(String),
}

fn check_split_keys(gguf: &Gguf<'_>, idx: usize, n_parts: usize) -> Result<(), SplitFault> {
    let count = gguf.unsigned("split.count").map_err(SplitFault::Gguf)?;
    let number = gguf.unsigned("split.no").map_err(SplitFault::Gguf)?;
    match count {
        // A file that was never split may carry no keys, or a count of 0 or 1.
        None | Some(0 | 1) if n_parts == 1 => return Ok(()),
        Some(count) if count == n_parts as u64 => {}
        Some(count) if n_parts == 1 => {
            let fault = format!(
                "it is part of a model split into {count} files; keep their names NAME-00001-of-{count:05}.gguf and give the first"
            );
            return Err(SplitFault::Mismatch(fault));
        }
        count => {
            let count = count.map_or("is missing".to_owned(), |count| format!("is {count}"));
            return Err(SplitFault::Mismatch(format!(
                "split.count {count}, but the name says {n_parts} parts"
            )));
        }
    }
    if number != Some(idx as u64) {
        let number = number.map_or("is missing".to_owned(), |number| format!("is {number}"));
        return Err(SplitFault::Mismatch(format!(
            "split.no {number}, but the name says {idx}"
        )));
    }
    Ok(())
}

/// What is in a model's parts: shape, tokenizer, defaults, and the weights ready to be taken.
pub(crate) fn describe<'a>(
    pool: &'a Pool,
    parts: &[Part<'a>],
    fallback_name: &str,
) -> Result<Description<'a>, LoadError> {
    let parsed = parse_parts(parts)?;
    let (Some(first), Some(gguf)) = (parts.first(), parsed.first()) else {
        return Err(LoadError::NotAModel {
            file: fallback_name.to_owned(),
            fault: "it has no parts".to_owned(),
        });
    };
    gguf_model::check_architecture(gguf, &first.file)?;
    let weights = weights(pool, parts, &parsed)?;
    let n_vocab = weights
        .shape("token_embd.weight")
        .and_then(|shape| shape.first())
        .copied();
    let n_vocab = n_vocab.ok_or_else(|| {
        let place = Place::Tensor("token_embd.weight".to_owned());
        gguf_fault(
            first,
            GgufError {
                place,
                fault: GgufFault::Missing,
            },
        )
    })?;
    let n_vocab = usize::try_from(n_vocab).unwrap_or(usize::MAX);
    let config = gguf_model::config(gguf, &first.file, n_vocab, !weights.contains("output.weight"))?;
    let fail = |fault| gguf_fault(first, fault);
    let tokenizer = gguf_tokenizer::tokenizer(gguf).map_err(fail)?;
    if tokenizer.tokens.len() > n_vocab {
        return Err(LoadError::Field {
            file: first.file.clone(),
            key: "tokenizer.ggml.tokens".to_owned(),
            fault: format!(
                "has {} tokens, but the model knows only {n_vocab}",
                tokenizer.tokens.len()
            ),
        });
    }
    let generation = gguf_tokenizer::generation(gguf, &tokenizer).map_err(fail)?;
    let name = gguf
        .string("general.name")
        .map_err(fail)?
        .filter(|name| !name.is_empty());
    Ok(Description {
        file: first.file.clone(),
        name: name.unwrap_or(fallback_name).to_owned(),
        config,
        chat_template: gguf
            .string("tokenizer.chat_template")
            .map_err(fail)?
            .map(str::to_owned),
        generation,
        tokenizer: TokenizerSource::Gguf(Box::new(tokenizer)),
        weights,
        file_bytes: parts.iter().map(|part| part.source.bytes().len() as u64).sum(),
    })
}

fn weights<'a>(pool: &'a Pool, parts: &[Part<'a>], parsed: &[Gguf<'a>]) -> Result<Weights<'a>, LoadError> {
    let mut weights = Weights::new(pool);
    for (part, gguf) in parts.iter().zip(parsed) {
        for tensor in gguf.tensors() {
            if gguf_model::IGNORED_TENSOR_ENDINGS
                .iter()
                .any(|ending| tensor.name.ends_with(ending))
            {
                continue;
            }
            let entry = Tensor::plain(
                tensor.name.to_owned(),
                tensor.shape.clone(),
                tensor.format,
                part.source,
                tensor.range.clone(),
            );
            weights
                .insert(tensor.name.to_owned(), entry)
                .map_err(|fault| LoadError::Weights {
                    file: part.file.clone(),
                    fault,
                })?;
        }
    }
    Ok(weights)
}

fn gguf_fault(part: &Part<'_>, fault: GgufError) -> LoadError {
    LoadError::Gguf {
        file: part.file.clone(),
        fault,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_usual_form_names_a_part() {
        let name = split_name("a-00001-of-00002.b-00002-of-00013.gguf").unwrap();
        assert_eq!(
            (name.stem, name.number, name.n_parts),
            ("a-00001-of-00002.b", 2, 13)
        );
        for other in [
            "model.gguf",
            "a-0001-of-0002.gguf",
            "a-00001-of-00000.gguf",
            "a-+0001-of-00002.gguf",
            "x",
        ] {
            assert!(split_name(other).is_none(), "{other}");
        }
    }
}
