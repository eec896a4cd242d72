//! What is in a model file or folder, without reading its weights.

use std::path::Path;

use crate::error::LoadError;
use crate::file::folder::{Folder, WeightFile};
use crate::file::gguf::{Array, Gguf, Value};
use crate::file::gguf_files::{GgufFiles, parse_parts};

/// Longest value or name that is shown whole, in characters; longer ones are cut.
const MAX_VALUE_CHARS: usize = 200;
/// Elements of an array that are shown.
const SHOWN_ELEMENTS: usize = 4;

/// What is in a model file or folder, for reading: names and values are shortened, and have no control characters but
/// line breaks in values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// The kind of file, such as `GGUF 3`.
    pub kind: String,
    /// The architecture that the files name, supported or not.
    pub architecture: Option<String>,
    /// The weight files.
    pub files: Vec<String>,
    /// Bytes of the weight files.
    pub file_bytes: u64,
    /// Metadata keys with their values, shortened for reading, in the order of the file.
    pub keys: Vec<(String, String)>,
    /// All tensors in the order of the files.
    pub tensors: Vec<TensorSummary>,
    /// Numbers in all tensors.
    pub n_params: u64,
}

/// One tensor of an [`Inspection`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSummary {
    /// Its name in the file.
    pub name: String,
    /// The name of its type, such as `Q4_K`.
    pub format: &'static str,
    /// Dimensions, slowest first.
    pub shape: Vec<u64>,
    /// Bytes in the file.
    pub n_bytes: u64,
}

/// Lists what is in a GGUF file (all parts, if split), a safetensors file or a Hugging Face folder.
///
/// # Errors
/// A file cannot be read or is damaged. A model that is sound but not supported is no error.
pub fn inspect(path: &Path) -> Result<Inspection, LoadError> {
    if path.is_dir() {
        return inspect_folder(path);
    }
    if path
        .extension()
        .is_some_and(|extension| extension == "safetensors")
    {
        let file = WeightFile::open(path)?;
        return Ok(from_weight_files("safetensors", std::slice::from_ref(&file)));
    }
    inspect_gguf(path)
}

fn inspect_gguf(path: &Path) -> Result<Inspection, LoadError> {
    let files = GgufFiles::open(path)?;
    let parts = files.parts();
    let parsed = parse_parts(&parts)?;
    let mut inspection = Inspection {
        kind: parsed
            .first()
            .map_or_else(|| "GGUF".to_owned(), |gguf| format!("GGUF {}", gguf.version())),
        architecture: None,
        files: parts.iter().map(|part| cleaned(&part.file)).collect(),
        file_bytes: parts.iter().map(|part| part.source.bytes().len() as u64).sum(),
        keys: Vec::new(),
        tensors: Vec::new(),
        n_params: 0,
    };
    if let Some(first) = parsed.first() {
        inspection.keys = first
            .keys()
            .iter()
            .map(|(name, value)| (shown_name(name), shown(value)))
            .collect();
        if let Some(Value::String(architecture)) = first.get("general.architecture") {
            inspection.architecture = Some(shown_name(architecture));
        }
    }
    for tensor in parsed.iter().flat_map(Gguf::tensors) {
        inspection.add(tensor.name, tensor.format.name, &tensor.shape, tensor.range.len());
    }
    Ok(inspection)
}

fn inspect_folder(path: &Path) -> Result<Inspection, LoadError> {
    let folder = Folder::open(path)?;
    let fields = folder.config_fields()?;
    let mut inspection = from_weight_files("Hugging Face folder", folder.files());
    let class = fields
        .get("architectures")
        .and_then(|list| list.get(0))
        .and_then(|class| class.as_str());
    inspection.architecture = class.map(shown_name);
    inspection.keys = fields
        .iter()
        .map(|(name, value)| (shown_name(name), shortened(&value.to_string())))
        .collect();
    Ok(inspection)
}

fn from_weight_files(kind: &str, files: &[WeightFile]) -> Inspection {
    let mut inspection = Inspection {
        kind: kind.to_owned(),
        architecture: None,
        files: files.iter().map(|file| cleaned(&file.file)).collect(),
        file_bytes: files.iter().map(WeightFile::n_bytes).sum(),
        keys: Vec::new(),
        tensors: Vec::new(),
        n_params: 0,
    };
    for tensor in files.iter().flat_map(|file| &file.tensors) {
        inspection.add(
            &tensor.name,
            tensor.dtype.name(),
            &tensor.shape,
            tensor.range.len(),
        );
    }
    inspection
}

impl Inspection {
    fn add(&mut self, name: &str, format: &'static str, shape: &[u64], n_bytes: usize) {
        // Both parsers have checked that the product fits.
        self.n_params = self.n_params.saturating_add(shape.iter().product::<u64>());
        let summary = TensorSummary {
            name: shown_name(name),
            format,
            shape: shape.to_vec(),
            n_bytes: n_bytes as u64,
        };
        self.tensors.push(summary);
    }
}

fn shown(value: &Value<'_>) -> String {
    match value {
        Value::U8(number) => number.to_string(),
        Value::I8(number) => number.to_string(),
        Value::U16(number) => number.to_string(),
        Value::I16(number) => number.to_string(),
        Value::U32(number) => number.to_string(),
        Value::I32(number) => number.to_string(),
        Value::U64(number) => number.to_string(),
        Value::I64(number) => number.to_string(),
        Value::F32(number) => number.to_string(),
        Value::F64(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        Value::String(text) => shortened(text),
        Value::Array(array) => shown_array(array),
    }
}

fn shown_array(array: &Array<'_>) -> String {
    let elements: Vec<String> = array
        .iter()
        .take(SHOWN_ELEMENTS)
        .map(|value| match value {
            Value::String(text) => format!("{:?}", shortened(text)),
            other => shown(&other),
        })
        .collect();
    let more = if array.len() > SHOWN_ELEMENTS { ", ..." } else { "" };
    format!(
        "[{}{more}] ({} of {})",
        elements.join(", "),
        array.len(),
        array.element_type()
    )
}

/// A name that stays on its line.
fn shown_name(name: &str) -> String {
    cleaned(&shortened(name))
}

/// Also keeps control characters of a file away from the terminal.
fn shortened(text: &str) -> String {
    let mut chars = text.chars();
    let mut shown: String = chars
        .by_ref()
        .take(MAX_VALUE_CHARS)
        .map(|character| {
            if character == '\n' {
                character
            } else {
                clean(character)
            }
        })
        .collect();
    if chars.next().is_some() {
        shown.push_str("...");
    }
    shown
}

/// The text on one line, whole.
fn cleaned(text: &str) -> String {
    text.chars().map(clean).collect()
}

/// Control characters, and those that reverse the order in which text is shown, must not reach a terminal.
fn clean(character: char) -> char {
    match character {
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => char::REPLACEMENT_CHARACTER,
        character if character.is_control() => char::REPLACEMENT_CHARACTER,
        character => character,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_cannot_command_a_terminal() {
        assert_eq!(
            shown_name("a\u{1b}[2J\n\u{9b}\u{202e}b"),
            "a\u{fffd}[2J\u{fffd}\u{fffd}\u{fffd}b"
        );
        assert_eq!(shortened("a\nb\r"), "a\nb\u{fffd}");
        assert_eq!(
            shown_name(&"n".repeat(MAX_VALUE_CHARS)),
            "n".repeat(MAX_VALUE_CHARS)
        );
        let cut = format!("{}...", "n".repeat(MAX_VALUE_CHARS));
        assert_eq!(shown_name(&"n".repeat(70_000)), cut);
    }
}
