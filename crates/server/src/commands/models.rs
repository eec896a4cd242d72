//! `tokenmill models`: what `tokenmill serve` with the same options would serve.

use std::path::Path;

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::{Value, json};

use super::{Output, resolve};
use crate::builtin;
use crate::config::{Group, flags};
use crate::failure::Failure;
use crate::model_spec::{ModelSpec, Weights, model_specs};

const LONG_ABOUT: &str = "\
Lists the models that `tokenmill serve` with the same flags and config would serve, without loading them. A running \
server lists its own at GET /v1/models.";

pub(super) fn cli() -> Command {
    Command::new("models")
        .about("List the models that would be served")
        .long_about(LONG_ABOUT)
        .arg(
            Arg::new("json")
                .long("json")
                .action(ArgAction::SetTrue)
                .help("Print JSON instead of a table"),
        )
        .args(flags(&[Group::Model]))
}

/// One line of the list.
struct Row {
    id: String,
    from: String,
    /// What is in the files, or what is wrong with them.
    found: Result<Found, String>,
}

struct Found {
    architecture: String,
    n_params: u64,
    n_bytes: u64,
}

pub(super) fn run(matches: &ArgMatches, out: Output<'_>) -> Result<(), Failure> {
    let specs = model_specs(&resolve(matches)?)?;
    let rows: Vec<_> = specs.iter().map(row).collect();
    if matches.get_flag("json") {
        writeln!(
            out,
            "{:#}",
            Value::from(rows.iter().map(to_json).collect::<Vec<_>>())
        )?;
    } else {
        write_table(&rows, out)?;
    }
    let fault = rows.iter().find_map(|row| row.found.as_ref().err());
    fault.map_or(Ok(()), |fault| Err(Failure::new(fault.clone())))
}

fn row(spec: &ModelSpec) -> Row {
    let (from, found) = match &spec.weights {
        Weights::At(path) => (path.display().to_string(), inspect(path)),
        Weights::BuiltIn => {
            let n_bytes = builtin::GGUF.len() as u64;
            (
                "built in".to_owned(),
                builtin::summary().map(|(architecture, n_params)| Found {
                    architecture,
                    n_params,
                    n_bytes,
                }),
            )
        }
    };
    Row {
        id: spec.id.clone(),
        from,
        found,
    }
}

fn inspect(path: &Path) -> Result<Found, String> {
    let inspection = tokenmill_model::inspect(path).map_err(|error| error.to_string())?;
    Ok(Found {
        architecture: inspection.architecture.unwrap_or_else(|| "not named".to_owned()),
        n_params: inspection.n_params,
        n_bytes: inspection.file_bytes,
    })
}

fn write_table(rows: &[Row], out: Output<'_>) -> Result<(), Failure> {
    let width = rows
        .iter()
        .map(|row| row.id.chars().count())
        .chain([2])
        .max()
        .unwrap_or(2);
    writeln!(
        out,
        "{:<width$}  {:<18}  {:>10}  {:>9}  FROM",
        "ID", "ARCHITECTURE", "PARAMETERS", "SIZE"
    )?;
    for row in rows {
        match &row.found {
            Ok(found) => writeln!(
                out,
                "{:<width$}  {:<18}  {:>10}  {:>9}  {}",
                row.id,
                found.architecture,
                rounded(
                    found.n_params,
                    &[("", 1), (" M", 1_000_000), (" G", 1_000_000_000)]
                ),
                rounded(
                    found.n_bytes,
                    &[(" B", 1), (" MB", 1_000_000), (" GB", 1_000_000_000)]
                ),
                row.from
            )?,
            Err(_) => writeln!(
                out,
                "{:<width$}  {:<18}  {:>10}  {:>9}  {}",
                row.id, "unreadable", "", "", row.from
            )?,
        }
    }
    Ok(())
}

fn to_json(row: &Row) -> Value {
    let found = row.found.as_ref().ok();
    json!({
        "id": row.id,
        "from": row.from,
        "architecture": found.map(|found| &found.architecture),
        "parameters": found.map(|found| found.n_params),
        "bytes": found.map(|found| found.n_bytes),
        "fault": row.found.as_ref().err(),
    })
}

/// A number in the largest of `units` that it reaches, with one decimal.
fn rounded(number: u64, units: &[(&str, u64)]) -> String {
    let unit = units.iter().rev().find(|(_, size)| number >= *size);
    match unit {
        Some((name, size)) if *size > 1 => {
            let tenths = (u128::from(number) * 10 + u128::from(*size) / 2) / u128::from(*size);
            format!("{}.{}{name}", tenths / 10, tenths % 10)
        }
        _ => format!("{number}{}", units.first().map_or("", |(name, _)| name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_rounded_to_one_decimal() {
        let units = [("", 1), (" M", 1_000_000), (" G", 1_000_000_000)];
        assert_eq!(rounded(999, &units), "999");
        assert_eq!(rounded(7_449_600, &units), "7.4 M");
        assert_eq!(rounded(8_030_261_248, &units), "8.0 G");
        assert_eq!(rounded(0, &units), "0");
    }
}
