//! What is said of each model, from which day on it is in which stage of its life, and what it costs.
//!
//! An entry here does not make a model answer: that is for deployments. It says what callers are told, and a model whose
//! life is over answers nobody even if a deployment could.

use std::collections::{BTreeMap, HashMap};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::money::Price;

/// Days between the first word of a model's end and the end.
const NOTICE_DAYS: i64 = 14;
/// A chain of replacements is followed so far.
const MAX_CHAIN: usize = 32;
const MAX_ID_BYTES: usize = 256;
const MAX_TEXT_BYTES: usize = 8 << 10;
/// The largest rank of an adapter where nothing is said.
const LORA_RANK: u32 = 64;

/// A day in UTC, written `2026-01-31`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, JsonSchema)]
#[schemars(extend("format" = "date"))]
pub struct Day(#[schemars(with = "String")] i64);

impl Day {
    /// The day that `at` lies in.
    pub fn of(at: Timestamp) -> Day {
        Day(at.day())
    }

    /// Its beginning.
    pub fn begins(self) -> Timestamp {
        Timestamp::of_day(self.0)
    }
}

impl Serialize for Day {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.begins().date())
    }
}

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Day, D::Error> {
        let text = String::deserialize(deserializer)?;
        let day = Timestamp::parse_day(&text);
        day.map(Day::of)
            .ok_or_else(|| serde::de::Error::custom(format!("{text:?} is no day: write it as 2026-01-31")))
    }
}

/// What a model takes besides text.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ModelKind {
    /// Nothing.
    #[default]
    Text,
    /// Images.
    Vision,
}

/// Whether a model thinks before it answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Reasoning {
    /// It does not.
    #[default]
    None,
    /// It always does.
    Always,
    /// It does unless asked not to.
    On,
    /// It does where asked to.
    Off,
}

/// Where a model is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Nothing is promised.
    Experimental,
    /// Generally available.
    Available,
    /// Answers, and its end is known.
    Deprecated,
    /// Answers nobody any more.
    Retired,
}

/// What the catalogue says of one model. Fields that are left out are not known.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ModelEntry {
    /// As requests name it; case matters.
    pub id: String,
    /// For people.
    pub title: String,
    /// What it takes.
    pub kind: ModelKind,
    /// Tokens, prompt and answer together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_window: Option<u64>,
    /// How many parameters it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameters: Option<u64>,
    /// How many of them work on one token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active_parameters: Option<u64>,
    /// For people, in a few sentences.
    pub description: String,
    /// Whether it thinks.
    pub reasoning: Reasoning,
    /// The largest rank of an adapter; 0 takes none, and where it is left out it is 64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lora_rank: Option<u32>,
    /// Still an experiment before this day; without one it is generally available from the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub available_from: Option<Day>,
    /// Deprecated from this day on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deprecated_from: Option<Day>,
    /// Retired from this day on: at least two weeks after it was deprecated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retired_from: Option<Day>,
    /// What to use instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replacement: Option<String>,
}

impl ModelEntry {
    /// Where it is in its life at a moment.
    pub fn stage(&self, at: Timestamp) -> Stage {
        let has_come = |day: Option<Day>| day.is_some_and(|day| day.begins() <= at);
        if has_come(self.retired_from) {
            Stage::Retired
        } else if has_come(self.deprecated_from) {
            Stage::Deprecated
        } else if self.available_from.is_none() || has_come(self.available_from) {
            Stage::Available
        } else {
            Stage::Experimental
        }
    }

    /// What is wrong with it, if anything is.
    pub fn fault(&self) -> Option<String> {
        let is_id = !self.id.is_empty()
            && self.id.len() <= MAX_ID_BYTES
            && !self.id.chars().any(|c| c.is_control() || c.is_whitespace());
        if !is_id {
            return Some(format!(
                "'id' must have 1 to {MAX_ID_BYTES} bytes and no space: it is what requests name"
            ));
        }
        if self.title.len().max(self.description.len()) > MAX_TEXT_BYTES {
            return Some(format!(
                "'title' and 'description' may have {MAX_TEXT_BYTES} bytes each"
            ));
        }
        if self.replacement.as_deref() == Some(&self.id) {
            return Some("'replacement' must name another model".to_owned());
        }
        match (self.deprecated_from, self.retired_from) {
            (None, Some(_)) => Some(
                "'retired_from' needs 'deprecated_from': callers must be told before a model ends".to_owned(),
            ),
            (Some(Day(from)), Some(Day(until))) if until - from < NOTICE_DAYS => Some(format!(
                "'retired_from' must be at least {NOTICE_DAYS} days after 'deprecated_from'"
            )),
            _ => None,
        }
    }
}

/// The catalogue as it stands: the last version of each entry, and every version of each price.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    pub(crate) models: BTreeMap<String, ModelEntry>,
    /// By model; oldest first.
    pub(crate) prices: HashMap<String, Vec<(Timestamp, Price)>>,
}

impl Catalogue {
    /// The largest rank of an adapter of a model; 0 where it takes none.
    pub fn lora_rank(&self, model: &str) -> u32 {
        let said = self.model(model).and_then(|entry| entry.lora_rank);
        said.unwrap_or(LORA_RANK)
    }

    /// The entry of a model.
    pub fn model(&self, id: &str) -> Option<&ModelEntry> {
        self.models.get(id)
    }

    /// Every entry, by id.
    pub fn models(&self) -> impl Iterator<Item = &ModelEntry> {
        self.models.values()
    }

    /// What a model costs at a moment: the last price that has begun; nothing where none has.
    pub fn price(&self, model: &str, at: Timestamp) -> Price {
        let versions = self.prices.get(model).map_or(&[][..], Vec::as_slice);
        let begun = versions.iter().rev().find(|(from, _)| *from <= at);
        begun.map_or_else(Price::default, |(_, price)| *price)
    }

    /// The end of the chain of replacements that begins with `id`: the first that is not retired. `None` where there is
    /// none, or the chain goes in a circle.
    pub fn living_replacement(&self, id: &str, at: Timestamp) -> Option<&str> {
        let mut next = self.models.get(id)?.replacement.as_deref()?;
        for _ in 0..MAX_CHAIN {
            match self.models.get(next) {
                Some(entry) if entry.stage(at) == Stage::Retired => next = entry.replacement.as_deref()?,
                _ => return Some(next),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::Nanos;

    fn day(text: &str) -> Timestamp {
        Timestamp::parse_day(text).unwrap()
    }

    fn entry(id: &str, retired: &str, replacement: Option<&str>) -> ModelEntry {
        ModelEntry {
            id: id.into(),
            available_from: Some(Day::of(day("2026-01-10"))),
            deprecated_from: Some(Day::of(day("2026-02-01"))),
            retired_from: Some(Day::of(day(retired))),
            replacement: replacement.map(str::to_owned),
            ..ModelEntry::default()
        }
    }

    #[test]
    fn a_stage_begins_with_its_day_by_itself() {
        let model = entry("a", "2026-02-15", None);
        let before = |text: &str| Timestamp::from_millis(day(text).as_millis() - 1);
        assert_eq!(model.stage(before("2026-01-10")), Stage::Experimental);
        assert_eq!(model.stage(day("2026-01-10")), Stage::Available);
        assert_eq!(model.stage(before("2026-02-01")), Stage::Available);
        assert_eq!(model.stage(day("2026-02-01")), Stage::Deprecated);
        assert_eq!(model.stage(before("2026-02-15")), Stage::Deprecated);
        assert_eq!(model.stage(day("2026-02-15")), Stage::Retired);
        assert_eq!(ModelEntry::default().stage(day("2026-01-01")), Stage::Available);
    }

    #[test]
    fn two_weeks_of_notice_are_the_least() {
        assert_eq!(entry("a", "2026-02-15", None).fault(), None);
        assert!(entry("a", "2026-02-14", None).fault().is_some());
        assert!(entry("a", "2026-03-14", Some("a")).fault().is_some());
        assert!(entry("a b", "2026-03-14", None).fault().is_some());
    }

    #[test]
    fn the_replacement_is_the_living_end_of_the_chain() {
        let entries = [
            entry("a", "2026-03-01", Some("b")),
            entry("b", "2026-04-01", Some("c")),
            entry("x", "2026-03-01", Some("y")),
            entry("y", "2026-03-01", Some("x")),
            entry("z", "2026-03-01", None),
        ];
        let models = entries
            .into_iter()
            .map(|entry| (entry.id.clone(), entry))
            .collect();
        let catalogue = Catalogue {
            models,
            ..Catalogue::default()
        };
        assert_eq!(catalogue.living_replacement("a", day("2026-03-02")), Some("b"));
        assert_eq!(catalogue.living_replacement("a", day("2026-05-01")), Some("c"));
        assert_eq!(catalogue.living_replacement("x", day("2026-05-01")), None);
        assert_eq!(catalogue.living_replacement("z", day("2026-05-01")), None);
    }

    #[test]
    fn the_price_is_the_last_that_has_begun() {
        let version = |version| Price {
            version,
            input: Nanos(version),
            ..Price::default()
        };
        let prices = vec![(day("2026-01-01"), version(1)), (day("2026-02-01"), version(2))];
        let catalogue = Catalogue {
            prices: HashMap::from([("a".to_owned(), prices)]),
            ..Catalogue::default()
        };
        assert_eq!(catalogue.price("a", day("2025-12-31")), Price::default());
        assert_eq!(catalogue.price("a", day("2026-01-31")).version, 1);
        assert_eq!(catalogue.price("a", day("2026-02-01")).version, 2);
        assert_eq!(catalogue.price("b", day("2026-02-01")), Price::default());
    }

    #[test]
    fn an_entry_is_read_back_as_it_was_written() {
        let model = entry("a", "2026-02-15", Some("b"));
        let text = serde_json::to_string(&model).unwrap();
        assert!(text.contains(r#""retired_from":"2026-02-15""#), "{text}");
        assert_eq!(serde_json::from_str::<ModelEntry>(&text).unwrap(), model);
        assert!(serde_json::from_str::<ModelEntry>(r#"{"id":"a","retired":"2026-02-15"}"#).is_err());
    }
}
