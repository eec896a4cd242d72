//! The part of the config file that is no option: `[[catalogue]]`, what is said of each model and what it costs.

use std::borrow::Cow;
use std::ops::Range;

use serde::Deserialize;
use tokenmill_accounts::{ConfiguredModel, ModelEntry, Nanos, Price};
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

/// The name of the section.
pub(super) const SECTION: &str = "catalogue";
const PRICE: &str = "price";

/// What is wrong, and where it stands in the file.
type Fault = (usize, String);

/// A model as the example file and the reference show it.
pub(super) const EXAMPLE: &str = r#"[[catalogue]]
id = "acme/chat"
title = "Acme Chat"
kind = "text"
context_window = 32768
parameters = 7_600_000_000
active_parameters = 7_600_000_000
description = "Answers questions about Acme"
reasoning = "none"
lora_rank = 16
available_from = "2026-01-15"
deprecated_from = "2027-01-15"
retired_from = "2027-03-01"
replacement = "acme/chat-2"

[catalogue.price]
input_usd = "0.15"
cached_input_usd = "0.05"
output_usd = "0.60"
"#;

/// Dollars for a million tokens.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PriceInDollars {
    input_usd: String,
    /// Without it, as the others.
    cached_input_usd: Option<String>,
    output_usd: String,
}

impl PriceInDollars {
    fn price(&self) -> Result<Price, String> {
        let dollars = |key: &str, text: &str| {
            let fault =
                || format!("`{key}` must be dollars in quotes, as in \"0.15\", with up to nine places");
            Nanos::parse_dollars(text).ok_or_else(fault)
        };
        let input = dollars("input_usd", &self.input_usd)?;
        let cached = self.cached_input_usd.as_deref();
        let price = Price {
            version: 0,
            input,
            cached_input: cached.map_or(Ok(input), |text| dollars("cached_input_usd", text))?,
            output: dollars("output_usd", &self.output_usd)?,
        };
        price.fault().map_or(Ok(price), |fault| Err(fault.to_owned()))
    }
}

/// Reads the list of models.
pub(super) fn read(value: &Spanned<DeValue<'_>>) -> Result<Vec<ConfiguredModel>, Fault> {
    let DeValue::Array(items) = value.get_ref() else {
        return Err((
            value.span().start,
            format!("`{SECTION}` is a list of models, each written as `[[{SECTION}]]`"),
        ));
    };
    let mut models: Vec<ConfiguredModel> = Vec::new();
    for item in items {
        let model = read_one(item)?;
        let id = &model.entry.id;
        if models.iter().any(|other| other.entry.id == *id) {
            return Err((item.span().start, format!("the model {id:?} is listed twice")));
        }
        models.push(model);
    }
    Ok(models)
}

fn read_one(item: &Spanned<DeValue<'_>>) -> Result<ConfiguredModel, Fault> {
    let span = item.span();
    let DeValue::Table(table) = item.get_ref() else {
        let fault = format!("a model is a table, written as `[[{SECTION}]]`");
        return Err((span.start, fault));
    };
    let mut table = table.clone();
    let price = table.remove(PRICE);
    let entry: ModelEntry = deserialized(DeValue::Table(with_days_as_text(table)), span.clone())?;
    if let Some(fault) = entry.fault() {
        return Err((span.start, fault));
    }
    let Some(price) = price else {
        return Ok(ConfiguredModel { entry, price: None });
    };
    let span = price.span();
    let dollars: PriceInDollars = deserialized(price.into_inner(), span.clone())?;
    let price = dollars.price().map_err(|fault| (span.start, fault))?;
    Ok(ConfiguredModel {
        entry,
        price: Some(price),
    })
}

/// A day may stand without quotes, for TOML knows days.
fn with_days_as_text(mut table: DeTable<'_>) -> DeTable<'_> {
    for (_, value) in &mut table {
        if let DeValue::Datetime(day) = value.get_ref() {
            let text = DeValue::String(Cow::Owned(day.to_string()));
            *value = Spanned::new(value.span(), text);
        }
    }
    table
}

fn deserialized<T: for<'de> Deserialize<'de>>(value: DeValue<'_>, span: Range<usize>) -> Result<T, Fault> {
    let start = span.start;
    let deserializer = ValueDeserializer::from(Spanned::new(span, value));
    T::deserialize(deserializer).map_err(|error| {
        let at = error.span().map_or(start, |span| span.start);
        (at, error.message().replace('\n', " "))
    })
}
