//! One option's value: how it is written, read and checked.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use tokenmill_engine::KvChoice;

use super::Config;

/// Where an option's value is kept, and with that what it may be. Gives both directions: a text or a file's value into
/// the [`Config`], and the [`Config`]'s value as text.
pub(crate) enum Setting {
    Text(fn(&mut Config) -> &mut String),
    Path(fn(&mut Config) -> &mut PathBuf),
    Switch(fn(&mut Config) -> &mut bool),
    /// One of these words.
    Choice(&'static [&'static str], fn(&mut Config) -> &mut String),
    /// How keys and values are kept.
    KvType(fn(&mut Config) -> &mut KvChoice),
    /// A whole number from the first to the second.
    Count(usize, usize, fn(&mut Config) -> &mut usize),
    /// The same, or left to the program.
    OptionalCount(usize, usize, fn(&mut Config) -> &mut Option<NonZeroUsize>),
    /// Bytes from the first to the second, written as `1048576` or `"1 MiB"`.
    Bytes(usize, usize, fn(&mut Config) -> &mut usize),
    /// The same, or left to the program.
    OptionalBytes(u64, u64, fn(&mut Config) -> &mut Option<u64>),
    /// Seconds from the first to the second, written as `90`, `"90s"` or `"1m 30s"`.
    Seconds(u64, u64, fn(&mut Config) -> &mut u64),
    /// Several texts.
    List(fn(&mut Config) -> &mut Vec<String>),
}

/// A value as somebody gave it.
pub(crate) enum Given {
    /// From a flag or a variable: its form is not known yet. In a file: text in quotes.
    Text(String),
    Integer(i64),
    Switch(bool),
    List(Vec<String>),
}

impl Setting {
    /// Puts a value into `config`. An error completes "this option …".
    pub(crate) fn set(&self, config: &mut Config, given: Given) -> Result<(), String> {
        match (self, given) {
            (Setting::Text(field), Given::Text(text)) => *field(config) = text,
            (Setting::Path(field), Given::Text(text)) => *field(config) = not_empty(text)?.into(),
            (Setting::Switch(field), Given::Switch(value)) => *field(config) = value,
            (Setting::Switch(field), Given::Text(text)) => *field(config) = switch(&text)?,
            (Setting::Choice(words, field), Given::Text(text)) => *field(config) = choice(words, text)?,
            (Setting::KvType(field), Given::Text(text)) => {
                let name = choice(KvChoice::NAMES, text)?;
                *field(config) = KvChoice::from_name(&name).unwrap_or_default();
            }
            (Setting::Count(low, high, field), given) => {
                *field(config) = within(whole_number(given)?, *low as u64, *high as u64)? as usize;
            }
            (Setting::OptionalCount(_, _, field), Given::Text(text)) if text == "auto" => {
                *field(config) = None;
            }
            (Setting::OptionalCount(low, high, field), given) => {
                let number = within(whole_number(given)?, *low as u64, *high as u64)?;
                *field(config) = NonZeroUsize::new(number as usize);
            }
            (Setting::Bytes(low, high, field), given) => {
                *field(config) = within(bytes(given)?, *low as u64, *high as u64)? as usize;
            }
            (Setting::OptionalBytes(_, _, field), Given::Text(text)) if text == "auto" => {
                *field(config) = None;
            }
            (Setting::OptionalBytes(low, high, field), given) => {
                *field(config) = Some(within(bytes(given)?, *low, *high)?);
            }
            (Setting::Seconds(low, high, field), given) => {
                *field(config) = within(seconds(given)?, *low, *high)?;
            }
            (Setting::List(field), Given::List(texts)) => *field(config) = texts,
            (Setting::List(field), Given::Text(text)) => *field(config) = vec![text],
            (setting, given) => return Err(setting.wrong_form(&given)),
        }
        Ok(())
    }

    fn wrong_form(&self, given: &Given) -> String {
        format!("must be {}, and is {}", self.form(), given.form())
    }

    /// What a value must be, in words.
    pub(crate) fn form(&self) -> String {
        match self {
            Setting::Text(_) => "text in quotes".to_owned(),
            Setting::Path(_) => "a path in quotes".to_owned(),
            Setting::Switch(_) => "true or false".to_owned(),
            Setting::Choice(words, _) => format!("one of {}", words.join(", ")),
            Setting::KvType(_) => format!("one of {}", KvChoice::NAMES.join(", ")),
            Setting::Count(low, high, _) => format!("a whole number from {low} to {high}"),
            Setting::OptionalCount(low, high, _) => {
                format!("\"auto\" or a whole number from {low} to {high}")
            }
            Setting::Bytes(low, high, _) => {
                format!(
                    "bytes from {} to {}",
                    show_bytes(*low as u64),
                    show_bytes(*high as u64)
                )
            }
            Setting::OptionalBytes(low, high, _) => {
                format!(
                    "\"auto\" or bytes from {} to {}",
                    show_bytes(*low),
                    show_bytes(*high)
                )
            }
            Setting::Seconds(low, high, _) => {
                format!("a time from {} to {}", show_seconds(*low), show_seconds(*high))
            }
            Setting::List(_) => "a list of texts in quotes".to_owned(),
        }
    }

    /// The value in `config`, as the config file has it.
    pub(crate) fn show(&self, config: &Config) -> String {
        // The fields are reached through `&mut` so that one function per option serves both directions.
        let config = &mut config.clone();
        let quoted = |text: &str| format!("{text:?}");
        match self {
            Setting::Text(field) | Setting::Choice(_, field) => quoted(field(config)),
            Setting::Path(field) => quoted(&field(config).to_string_lossy()),
            Setting::Switch(field) => field(config).to_string(),
            Setting::KvType(field) => quoted(field(config).name()),
            Setting::Count(_, _, field) => field(config).to_string(),
            Setting::OptionalCount(_, _, field) => match field(config) {
                Some(number) => number.to_string(),
                None => quoted("auto"),
            },
            Setting::Bytes(_, _, field) => quoted(&show_bytes(*field(config) as u64)),
            Setting::OptionalBytes(_, _, field) => {
                quoted(&field(config).map_or("auto".to_owned(), show_bytes))
            }
            Setting::Seconds(_, _, field) => quoted(&show_seconds(*field(config))),
            Setting::List(field) => format!("{:?}", field(config)),
        }
    }
}

impl Given {
    fn form(&self) -> String {
        match self {
            Given::Text(text) => format!("{text:?}"),
            Given::Integer(_) => "an integer".to_owned(),
            Given::Switch(value) => value.to_string(),
            Given::List(_) => "a list".to_owned(),
        }
    }
}

fn not_empty(text: String) -> Result<String, String> {
    if text.is_empty() {
        Err("must not be empty".to_owned())
    } else {
        Ok(text)
    }
}

fn switch(text: &str) -> Result<bool, String> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(format!("must be true or false, and is {text:?}")),
    }
}

fn choice(words: &[&str], text: String) -> Result<String, String> {
    if words.contains(&text.as_str()) {
        Ok(text)
    } else {
        Err(format!("must be one of {}, and is {text:?}", words.join(", ")))
    }
}

fn whole_number(given: Given) -> Result<u64, String> {
    match given {
        Given::Integer(number) => {
            u64::try_from(number).map_err(|_| format!("must not be negative, and is {number}"))
        }
        Given::Text(text) => text
            .parse()
            .map_err(|_| format!("must be a whole number, and is {text:?}")),
        given => Err(format!("must be a whole number, and is {}", given.form())),
    }
}

fn within(number: u64, low: u64, high: u64) -> Result<u64, String> {
    if (low..=high).contains(&number) {
        Ok(number)
    } else {
        Err(format!("must be from {low} to {high}, and is {number}"))
    }
}

const BYTE_UNITS: &[(&str, u64)] = &[
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("B", 1),
];

fn bytes(given: Given) -> Result<u64, String> {
    match given {
        Given::Text(text) => parse_bytes(&text),
        given => whole_number(given),
    }
}

fn parse_bytes(text: &str) -> Result<u64, String> {
    let fault = || format!("must be bytes such as 1048576, \"512 MiB\" or \"2 GiB\", and is {text:?}");
    let unit = BYTE_UNITS
        .iter()
        .find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, *bytes)));
    let (number, bytes_per_unit) = unit.unwrap_or((text, 1));
    let number: u64 = number.trim().parse().map_err(|_| fault())?;
    number.checked_mul(bytes_per_unit).ok_or_else(fault)
}

fn show_bytes(bytes: u64) -> String {
    let binary = BYTE_UNITS.iter().filter(|(unit, _)| unit.ends_with("iB"));
    let mut fitting = binary.filter(|(_, size)| bytes > 0 && bytes.is_multiple_of(*size));
    match fitting.next() {
        Some((unit, size)) => format!("{} {unit}", bytes / size),
        None => format!("{bytes} B"),
    }
}

const TIME_UNITS: &[(char, u64)] = &[('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

fn seconds(given: Given) -> Result<u64, String> {
    match given {
        Given::Text(text) => parse_seconds(&text),
        given => whole_number(given),
    }
}

/// Seconds of a time such as `90`, `90s`, `1m 30s` or `7d`.
pub(crate) fn parse_seconds(text: &str) -> Result<u64, String> {
    let fault = || format!("must be a time such as 90, \"90s\", \"1m 30s\" or \"7d\", and is {text:?}");
    if let Ok(seconds) = text.parse() {
        return Ok(seconds);
    }
    let mut total: u64 = 0;
    let mut parts = text.split_whitespace().peekable();
    parts.peek().ok_or_else(fault)?;
    for part in parts {
        let unit = part.chars().next_back().ok_or_else(fault)?;
        let (_, size) = TIME_UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .ok_or_else(fault)?;
        let number: u64 = part[..part.len() - unit.len_utf8()]
            .parse()
            .map_err(|_| fault())?;
        total = number
            .checked_mul(*size)
            .and_then(|part| total.checked_add(part))
            .ok_or_else(fault)?;
    }
    Ok(total)
}

fn show_seconds(seconds: u64) -> String {
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (unit, size) in TIME_UNITS {
        if rest >= *size {
            parts.push(format!("{}{unit}", rest / size));
            rest %= size;
        }
    }
    if parts.is_empty() {
        "0s".to_owned()
    } else {
        parts.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_as_they_are_shown() {
        for bytes in [0, 1, 1000, 1024, 1536, 4 << 20, 1 << 30, (1 << 30) + 1] {
            assert_eq!(parse_bytes(&show_bytes(bytes)).unwrap(), bytes);
        }
        assert_eq!(parse_bytes("2GB").unwrap(), 2_000_000_000);
        for text in ["", "B", "-1", "1.5 GiB", "99999999999 GiB", "1 TiB"] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_read_as_they_are_shown() {
        for seconds in [0, 1, 59, 60, 61, 3_600, 86_400 * 90 + 3] {
            assert_eq!(parse_seconds(&show_seconds(seconds)).unwrap(), seconds);
        }
        for text in ["", "s", "1x", "1.5s", "-1s", "99999999999999999999d", "1 é"] {
            assert!(parse_seconds(text).is_err(), "{text}");
        }
    }
}
