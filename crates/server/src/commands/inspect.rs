//! `tokenmill inspect`: what is in a model file or folder, without loading it.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::{Map, Value, json};
use tokenmill_model::Inspection;

use super::Output;
use crate::failure::Failure;

const LONG_ABOUT: &str = "\
Lists the metadata and the tensors of a GGUF file (of all parts, given the first), of a safetensors file or of a Hugging \
Face folder. Reads no weights, so it takes no time and no memory, and works for models that Tokenmill cannot run.";

/// Widest column of names, in characters.
const MAX_COLUMN_WIDTH: usize = 60;

pub(super) fn cli() -> Command {
    Command::new("inspect")
        .about("Show what is in a model file or folder")
        .long_about(LONG_ABOUT)
        .arg(
            Arg::new("file")
                .value_name("FILE")
                .required(true)
                .value_parser(value_parser!(PathBuf))
                .help("A .gguf or .safetensors file, or a Hugging Face folder"),
        )
        .arg(
            Arg::new("json")
                .long("json")
                .action(ArgAction::SetTrue)
                .help("Print JSON instead of tables"),
        )
}

pub(super) fn run(matches: &ArgMatches, out: Output<'_>) -> Result<(), Failure> {
    let Some(path) = matches.get_one::<PathBuf>("file") else {
        return Err(Failure::usage("no file was named"));
    };
    let inspection = tokenmill_model::inspect(path).map_err(|error| Failure::new(error.to_string()))?;
    if matches.get_flag("json") {
        return Ok(writeln!(out, "{:#}", to_json(&inspection))?);
    }
    write_tables(&inspection, out)
}

fn write_tables(inspection: &Inspection, out: Output<'_>) -> Result<(), Failure> {
    writeln!(out, "kind          {}", inspection.kind)?;
    writeln!(
        out,
        "architecture  {}",
        inspection.architecture.as_deref().unwrap_or("not named")
    )?;
    writeln!(out, "parameters    {}", inspection.n_params)?;
    writeln!(out, "bytes         {}", inspection.file_bytes)?;
    for file in &inspection.files {
        writeln!(out, "file          {file}")?;
    }
    let key_width = column_width(inspection.keys.iter().map(|(name, _)| name.as_str()));
    writeln!(out, "\n{} metadata keys", inspection.keys.len())?;
    for (name, value) in &inspection.keys {
        writeln!(out, "  {name:<key_width$}  {}", value.replace('\n', "\\n"))?;
    }
    let name_width = column_width(inspection.tensors.iter().map(|tensor| tensor.name.as_str()));
    writeln!(out, "\n{} tensors", inspection.tensors.len())?;
    for tensor in &inspection.tensors {
        let shape: Vec<_> = tensor.shape.iter().map(u64::to_string).collect();
        let shape = shape.join(" x ");
        writeln!(
            out,
            "  {:<name_width$}  {:<6}  {shape:<16}  {:>12}",
            tensor.name, tensor.format, tensor.n_bytes
        )?;
    }
    Ok(())
}

/// The width of a column of names. A longer name reaches over it, so that one such name does not push all values away.
fn column_width<'a>(names: impl Iterator<Item = &'a str>) -> usize {
    names
        .map(|name| name.chars().count())
        .max()
        .unwrap_or(0)
        .min(MAX_COLUMN_WIDTH)
}

fn to_json(inspection: &Inspection) -> Value {
    let keys: Map<_, _> = inspection
        .keys
        .iter()
        .map(|(name, value)| (name.clone(), json!(value)))
        .collect();
    let tensor = |tensor: &tokenmill_model::TensorSummary| {
        json!({
            "name": tensor.name,
            "type": tensor.format,
            "shape": tensor.shape,
            "bytes": tensor.n_bytes,
        })
    };
    json!({
        "kind": inspection.kind,
        "architecture": inspection.architecture,
        "parameters": inspection.n_params,
        "bytes": inspection.file_bytes,
        "files": inspection.files,
        "metadata": keys,
        "tensors": inspection.tensors.iter().map(tensor).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use tokenmill_model::TensorSummary;

    use super::*;

    #[test]
    fn a_long_name_neither_panics_nor_widens_the_table() {
        let tensor = |name: String| TensorSummary {
            name,
            format: "F32",
            shape: vec![2, 3],
            n_bytes: 24,
        };
        let inspection = Inspection {
            kind: "GGUF 3".to_owned(),
            architecture: None,
            files: Vec::new(),
            file_bytes: 24,
            keys: vec![("k".repeat(70_000), "1".to_owned())],
            tensors: vec![tensor("t".repeat(70_000)), tensor("short".to_owned())],
            n_params: 6,
        };
        let mut table = Vec::new();
        assert!(write_tables(&inspection, &mut table).is_ok());
        let table = String::from_utf8(table).unwrap();
        let last = table.lines().last().unwrap();
        assert!(last.starts_with("  short ") && last.len() < 120, "{last}");
    }
}
