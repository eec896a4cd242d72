//! What a model is to one caller: there or not, at which price, and what is to be said about the rest of its life.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use tokenmill_accounts::{Caller, ModelEntry, Price, Stage, Timestamp};

use crate::App;
use crate::error::ApiError;

/// A model that a caller may ask now.
pub(crate) struct Offer {
    pub(crate) price: Price,
    /// Its entry, where it is on its way out.
    deprecated: Option<ModelEntry>,
}

impl Offer {
    /// What `model` is to `caller`. One that is not for them does not exist for them.
    pub(crate) async fn find(app: &App, caller: &Caller, model: &str) -> Result<Offer, ApiError> {
        let catalogue = app.accounts.catalogue_of_caller().await;
        let catalogue = catalogue.map_err(|error| ApiError::server_error(error.to_string()))?;
        let now = app.accounts.now();
        if !caller.terms.allows_model(model) {
            return Err(ApiError::unknown_model());
        }
        let entry = catalogue.model(model);
        let stage = entry.map(|entry| entry.stage(now));
        if stage == Some(Stage::Retired) {
            return Err(ApiError::retired_model(catalogue.living_replacement(model, now)));
        }
        if app.models.model(model).is_none() {
            return Err(ApiError::unknown_model());
        }
        Ok(Offer {
            price: catalogue.price(model, now),
            deprecated: entry.filter(|_| stage == Some(Stage::Deprecated)).cloned(),
        })
    }

    /// Tells of the model's end, where it is known: RFC 9745, RFC 8594 and RFC 5829.
    pub(crate) fn describe(&self, headers: &mut HeaderMap) {
        let Some(entry) = &self.deprecated else { return };
        let date = |at: Timestamp| HeaderValue::from_str(&format!("@{}", at.as_secs())).ok();
        let deprecation = entry.deprecated_from.and_then(|day| date(day.begins()));
        let sunset = entry.retired_from.map(|day| http_date(day.begins()));
        let sunset = sunset.and_then(|date| HeaderValue::from_str(&date).ok());
        let link = entry.replacement.as_deref().and_then(successor_link);
        for (name, value) in [
            (HeaderName::from_static("deprecation"), deprecation),
            (HeaderName::from_static("sunset"), sunset),
            (header::LINK, link),
        ] {
            headers.extend(value.map(|value| (name, value)));
        }
    }
}

/// A link to the model that takes another's place.
pub(crate) fn successor_link(model: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(&format!("</v1/models/{model}>; rel=\"successor-version\"")).ok()
}

/// A day's beginning as HTTP writes moments: `Sun, 06 Nov 1994 00:00:00 GMT`.
fn http_date(at: Timestamp) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let date = at.date();
    let mut parts = date.split('-');
    let (year, month, day) = (parts.next(), parts.next(), parts.next());
    let month = month.and_then(|month| month.parse::<usize>().ok()).unwrap_or(1);
    let weekday = at.day().rem_euclid(7) as usize;
    format!(
        "{}, {} {} {} 00:00:00 GMT",
        DAYS[weekday],
        day.unwrap_or_default(),
        MONTHS[(month - 1) % 12],
        year.unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_written_as_http_writes_it() {
        let date = |day| http_date(Timestamp::parse_day(day).expect("a day"));
        assert_eq!(date("1994-11-06"), "Sun, 06 Nov 1994 00:00:00 GMT");
        assert_eq!(date("2026-02-28"), "Sat, 28 Feb 2026 00:00:00 GMT");
    }
}
