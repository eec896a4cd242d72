//! The config file: TOML, in which every key must be an option, the catalogue or an identity provider.

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::options::{OPTIONS, Opt};
use super::{Config, Given, catalogue, oidc};

/// What is wrong with a line.
pub(crate) struct Fault {
    /// Counted from 1.
    pub(crate) line: usize,
    pub(crate) fault: String,
}

/// Puts every option of a config file into `config`.
pub(crate) fn apply(config: &mut Config, text: &str) -> Result<(), Fault> {
    let at = |offset: usize, fault: String| Fault {
        line: line_of(text, offset),
        fault,
    };
    let table = DeTable::parse(text).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start);
        at(offset, error.message().replace('\n', " "))
    })?;
    for (key, value) in in_order(table.get_ref()) {
        let name = key.get_ref().as_ref();
        match value.get_ref() {
            _ if name == catalogue::SECTION => {
                config.catalogue = catalogue::read(value).map_err(|(offset, fault)| at(offset, fault))?;
            }
            _ if name == oidc::SECTION => {
                config.identity_providers = oidc::read(value).map_err(|(offset, fault)| at(offset, fault))?;
            }
            DeValue::Table(section) if is_section(name) => {
                for (key, value) in in_order(section) {
                    let name = format!("{name}.{}", key.get_ref());
                    apply_value(config, &name, value).map_err(|fault| at(key.span().start, fault))?;
                }
            }
            DeValue::Table(_) => return Err(at(key.span().start, unknown("section", name, &sections()))),
            _ if is_section(name) => {
                return Err(at(
                    key.span().start,
                    format!("`{name}` is a section, written as `[{name}]`"),
                ));
            }
            _ => apply_value(config, name, value).map_err(|fault| at(key.span().start, fault))?,
        }
    }
    Ok(())
}

fn apply_value(config: &mut Config, name: &str, value: &Spanned<DeValue<'_>>) -> Result<(), String> {
    let option = OPTIONS.iter().find(|option| option.key == name);
    let Some(option) = option else {
        let keys: Vec<_> = OPTIONS.iter().map(|option| option.key).collect();
        return Err(unknown("option", name, &keys));
    };
    let given = match value.get_ref() {
        DeValue::String(text) => Given::Text(text.to_string()),
        DeValue::Boolean(value) => Given::Switch(*value),
        DeValue::Integer(number) => {
            let parsed = i64::from_str_radix(&number.as_str().replace('_', ""), number.radix());
            Given::Integer(parsed.map_err(|_| format!("`{name}` is too large a number"))?)
        }
        DeValue::Array(items) => Given::List(texts(items).ok_or_else(|| wrong_kind(option, "another list"))?),
        DeValue::Float(_) => return Err(wrong_kind(option, "a number with a fraction")),
        DeValue::Datetime(_) => return Err(wrong_kind(option, "a date")),
        DeValue::Table(_) => return Err(wrong_kind(option, "a table")),
    };
    option
        .setting
        .set(config, given)
        .map_err(|fault| format!("`{name}` {fault}"))
}

fn texts(items: &[Spanned<DeValue<'_>>]) -> Option<Vec<String>> {
    let text = |item: &Spanned<DeValue<'_>>| match item.get_ref() {
        DeValue::String(text) => Some(text.to_string()),
        _ => None,
    };
    items.iter().map(text).collect()
}

fn wrong_kind(option: &Opt, is: &str) -> String {
    format!("`{}` must be {}, and is {is}", option.key, option.setting.form())
}

type Entry<'a, 'i> = (&'a Spanned<DeString<'i>>, &'a Spanned<DeValue<'i>>);

/// A table's entries as they stand in the file, so that the first fault is the one that is told.
fn in_order<'a, 'i>(table: &'a DeTable<'i>) -> Vec<Entry<'a, 'i>> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}

fn sections() -> Vec<&'static str> {
    let mut names: Vec<_> = OPTIONS.iter().filter_map(Opt::section).collect();
    names.dedup();
    names
}

fn is_section(name: &str) -> bool {
    sections().contains(&name)
}

fn unknown(what: &str, name: &str, known: &[&str]) -> String {
    let nearest = known
        .iter()
        .map(|known| (edit_distance(known, name), known))
        .min();
    match nearest {
        Some((distance, nearest)) if distance <= 3 => {
            format!("unknown {what} `{name}`; did you mean `{nearest}`?")
        }
        _ => format!("unknown {what} `{name}`; `tokenmill config` lists them all"),
    }
}

/// How many characters must be added, dropped or changed to make one text of the other.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let changed = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text
        .as_bytes()
        .iter()
        .take(offset)
        .filter(|&&byte| byte == b'\n')
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        assert_eq!(edit_distance("", "abc"), 3);
        assert_eq!(edit_distance("kitten", "sitting"), 3);
        assert_eq!(edit_distance("same", "same"), 0);
    }
}
