//! Which models were asked for: `PATH`, `ID=PATH`, or the id of the built-in one.

use std::path::{Path, PathBuf};

use crate::builtin;
use crate::config::Config;
use crate::failure::Failure;

/// The longest id of a model.
const MAX_ID_LEN: usize = 200;

/// A model to serve.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ModelSpec {
    /// The name that requests give.
    pub(crate) id: String,
    pub(crate) weights: Weights,
}

/// Where a model's weights are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Weights {
    /// In the program.
    BuiltIn,
    /// A file or folder.
    At(PathBuf),
}

/// The models that were chosen, or the built-in one where none were.
pub(crate) fn model_specs(config: &Config) -> Result<Vec<ModelSpec>, Failure> {
    if config.models.is_empty() {
        return Ok(vec![ModelSpec::parse(builtin::ID)?]);
    }
    let specs: Vec<_> = config
        .models
        .iter()
        .map(|text| ModelSpec::parse(text))
        .collect::<Result<_, _>>()?;
    for (idx, spec) in specs.iter().enumerate() {
        if specs[..idx].iter().any(|earlier| earlier.id == spec.id) {
            let message = format!(
                "two models would be served as `{}`; name one with --model ID=PATH",
                spec.id
            );
            return Err(Failure::usage(message));
        }
    }
    Ok(specs)
}

impl ModelSpec {
    /// Reads one model as it was named. A path must be there; what is in it shows when it is loaded.
    pub(crate) fn parse(text: &str) -> Result<ModelSpec, Failure> {
        if text == builtin::ID {
            return Ok(ModelSpec {
                id: text.to_owned(),
                weights: Weights::BuiltIn,
            });
        }
        // A path may have an equals sign in it: one that is there is taken whole.
        let named = text.split_once('=').filter(|_| !Path::new(text).exists());
        let (id, path) = match named {
            Some((id, path)) => (id.to_owned(), Path::new(path)),
            None => (default_id(Path::new(text)), Path::new(text)),
        };
        if !path.exists() {
            let message = format!(
                "model {text:?}: there is no file or folder {}, and {} is the only model known by name",
                path.display(),
                builtin::ID
            );
            return Err(Failure::new(message));
        }
        if id.is_empty() || id.len() > MAX_ID_LEN || id.chars().any(|c| c.is_control() || c.is_whitespace()) {
            let message = format!(
                "model {text:?}: its id {id:?} must have 1 to {MAX_ID_LEN} characters and no spaces; \
                 give it another with ID=PATH"
            );
            return Err(Failure::usage(message));
        }
        Ok(ModelSpec {
            id,
            weights: Weights::At(path.to_owned()),
        })
    }
}

/// The name of a file without its ending and, if it is one of several parts, without its number; the name of a folder.
fn default_id(path: &Path) -> String {
    // `.` and `..` have no name of their own.
    let resolved = if path.file_name().is_none() {
        path.canonicalize().ok()
    } else {
        None
    };
    let path = resolved.as_deref().unwrap_or(path);
    let is_file = path
        .extension()
        .is_some_and(|end| end.eq_ignore_ascii_case("gguf"));
    let name = if is_file {
        path.file_stem()
    } else {
        path.file_name()
    };
    let name = name
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    without_part_number(&name).to_owned()
}

/// `NAME` of `NAME-00001-of-00003`.
fn without_part_number(name: &str) -> &str {
    let is_number = |text: &str| text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    let parts = name
        .rsplit_once("-of-")
        .and_then(|(rest, count)| Some((rest.rsplit_once('-')?, count)));
    match parts {
        Some(((stem, number), count)) if is_number(number) && is_number(count) => stem,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_id_is_the_files_name() {
        let id = |path: &str| default_id(Path::new(path));
        assert_eq!(id("/models/qwen3-0.6b-q4_k_m.gguf"), "qwen3-0.6b-q4_k_m");
        assert_eq!(id("big-00001-of-00003.gguf"), "big");
        assert_eq!(id("one-of-a-kind.gguf"), "one-of-a-kind");
        assert_eq!(id("./Qwen3-0.6B/"), "Qwen3-0.6B");
        assert!(!id(".").is_empty());
    }

    #[test]
    fn a_model_may_be_given_an_id() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a=b.gguf");
        std::fs::write(&path, b"").unwrap();
        let path = path.to_str().unwrap();
        let named = ModelSpec::parse(&format!("acme/small={path}")).unwrap();
        assert_eq!(
            named,
            ModelSpec {
                id: "acme/small".into(),
                weights: Weights::At(path.into())
            }
        );
        assert_eq!(ModelSpec::parse(path).unwrap().id, "a=b");
    }

    #[test]
    fn what_is_not_there_is_said_to_be_missing() {
        let error = ModelSpec::parse("/nowhere/x.gguf").unwrap_err();
        assert!(
            error.message.contains("no file or folder /nowhere/x.gguf"),
            "{}",
            error.message
        );
        let dir = tempfile::tempdir().unwrap();
        for id in ["", "a b"] {
            assert!(
                ModelSpec::parse(&format!("{id}={}", dir.path().display())).is_err(),
                "{id:?}"
            );
        }
    }
}
