//! Rows on a terminal, in columns as wide as what is in them.

use serde_json::{Value, json};

use super::Output;
use crate::failure::Failure;

/// A list that is shown as a table or as JSON.
pub(super) struct Table {
    columns: &'static [&'static str],
    rows: Vec<Vec<Value>>,
}

impl Table {
    /// Without rows; the names of the columns are those of the JSON objects, too.
    pub(super) fn new(columns: &'static [&'static str]) -> Table {
        Table {
            columns,
            rows: Vec::new(),
        }
    }

    pub(super) fn row(&mut self, values: Vec<Value>) {
        self.rows.push(values);
    }

    pub(super) fn write(&self, is_json: bool, out: Output<'_>) -> Result<(), Failure> {
        if is_json {
            let object = |row: &Vec<Value>| {
                let fields = self.columns.iter().zip(row);
                Value::Object(
                    fields
                        .map(|(name, value)| ((*name).to_owned(), value.clone()))
                        .collect(),
                )
            };
            let rows: Vec<Value> = self.rows.iter().map(object).collect();
            return Ok(writeln!(out, "{:#}", json!(rows))?);
        }
        let header = self
            .columns
            .iter()
            .map(|name| name.to_uppercase().replace('_', " "));
        let mut lines: Vec<Vec<String>> = vec![header.collect()];
        lines.extend(self.rows.iter().map(|row| row.iter().map(shown).collect()));
        let width = |idx: usize| {
            lines
                .iter()
                .filter_map(|line| line.get(idx))
                .map(|cell| cell.chars().count())
                .max()
        };
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|idx| width(idx).unwrap_or(0))
            .collect();
        for line in &lines {
            let cells = line
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!("{cell:<width$}"));
            let line = cells.collect::<Vec<_>>().join("  ");
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        // What others have named things must not steer the terminal.
        Value::String(text) => text
            .chars()
            .map(|c| if c.is_control() { '\u{fffd}' } else { c })
            .collect(),
        Value::Array(list) => list.iter().map(shown).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_is_in_them() {
        let mut table = Table::new(&["name", "limit_usd"]);
        table.row(vec![json!("a longer name"), json!("1.00")]);
        table.row(vec![json!("x\u{1b}[2J"), Value::Null]);
        let mut out = Vec::new();
        table.write(false, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let expected = "NAME           LIMIT USD\na longer name  1.00\nx\u{fffd}[2J          -\n";
        assert_eq!(text, expected);
        let mut out = Vec::new();
        table.write(true, &mut out).unwrap();
        let rows: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(rows[0], json!({"name": "a longer name", "limit_usd": "1.00"}));
    }
}
