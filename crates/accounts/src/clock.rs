//! The time of day, as something that is passed in.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970-01-01 00:00 UTC. Displays as `2026-01-31 23:59:59Z`.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The moment `millis` milliseconds after 1970-01-01 00:00 UTC.
    pub fn from_millis(millis: i64) -> Timestamp {
        Timestamp(millis)
    }

    /// Milliseconds since 1970-01-01 00:00 UTC.
    pub fn as_millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since 1970-01-01 00:00 UTC, rounded down.
    pub fn as_secs(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Whole days since 1970-01-01, in UTC.
    pub fn day(self) -> i64 {
        self.0.div_euclid(86_400_000)
    }

    /// The beginning of a day counted from 1970-01-01; the ends of time where that does not fit.
    pub fn of_day(day: i64) -> Timestamp {
        Timestamp(day.saturating_mul(86_400_000))
    }

    /// The beginning of a day written `2026-01-31`, in UTC.
    pub fn parse_day(text: &str) -> Option<Timestamp> {
        let mut parts = text.splitn(3, '-').map(|part| part.parse::<i64>().ok());
        let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
        let days = days_from_civil(year, month, day);
        let is_date = (0..=9999).contains(&year) && civil_from_days(days) == (year, month, day);
        is_date.then(|| Timestamp::of_day(days))
    }

    /// The day alone: `2026-01-31`.
    pub fn date(self) -> String {
        let (year, month, day) = civil_from_days(self.day());
        format!("{year:04}-{month:02}-{day:02}")
    }

    /// This moment plus `duration`; the end of time where that does not fit.
    pub fn after(self, duration: Duration) -> Timestamp {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Timestamp(self.0.saturating_add(millis))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil_from_days(self.as_secs().div_euclid(86_400));
        let second = self.as_secs().rem_euclid(86_400);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}Z"
        )
    }
}

/// Year, month and day of a day counted from 1970-01-01, in the proleptic Gregorian calendar:
/// years are counted from March, so that the leap day is the last of its year.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// The inverse of [`civil_from_days`]; days and months outside their range run on.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Over how long a cap counts.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Debug,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Period {
    /// A calendar month in UTC.
    Month,
    /// A calendar year in UTC.
    Year,
}

impl Period {
    /// Both.
    pub const ALL: [Period; 2] = [Period::Month, Period::Year];

    /// `month` or `year`.
    pub fn name(self) -> &'static str {
        match self {
            Period::Month => "month",
            Period::Year => "year",
        }
    }

    /// The period called `name`.
    pub fn from_name(name: &str) -> Option<Period> {
        Period::ALL.into_iter().find(|period| period.name() == name)
    }

    /// The month or year that `at` lies in: `2026-01` or `2026`.
    pub fn window(self, at: Timestamp) -> String {
        let (year, month, _) = civil_from_days(at.day());
        match self {
            Period::Month => format!("{year:04}-{month:02}"),
            Period::Year => format!("{year:04}"),
        }
    }

    /// First day and the day after the last of a window, counted from 1970-01-01; `None` where it names no window of
    /// this period.
    pub fn days(self, window: &str) -> Option<(i64, i64)> {
        let (year, month) = match (self, window.split_once('-')) {
            (Period::Month, Some((year, month))) => (year, month.parse().ok()?),
            (Period::Year, None) => (window, 1),
            _ => return None,
        };
        let year: i64 = year.parse().ok()?;
        if !(0..=9999).contains(&year) || !(1..=12).contains(&month) {
            return None;
        }
        let next = match self {
            Period::Month if month < 12 => (year, month + 1),
            _ if self == Period::Year || month == 12 => (year + 1, 1),
            _ => return None,
        };
        Some((
            days_from_civil(year, month, 1),
            days_from_civil(next.0, next.1, 1),
        ))
    }
}

/// Where the time comes from.
pub trait Clock: Send + Sync {
    /// The time now.
    fn now(&self) -> Timestamp;
}

/// The machine's own clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_dates_turn_into_each_other() {
        for day in (-800_000..800_000).step_by(97) {
            let (year, month, of_month) = civil_from_days(day);
            assert_eq!(days_from_civil(year, month, of_month), day);
        }
        assert_eq!(
            Timestamp::parse_day("2026-11-22").unwrap().to_string(),
            "2026-11-22 00:00:00Z"
        );
        for wrong in [
            "2026-02-30",
            "2026-13-01",
            "2026-1",
            "x-1-1",
            "2026-11-22Z",
            "99999-01-01",
        ] {
            assert_eq!(Timestamp::parse_day(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_window_is_a_month_or_year_in_utc() {
        let at = Timestamp::parse_day("2024-02-29").unwrap();
        let last = Timestamp::from_millis(Timestamp::parse_day("2025-01-01").unwrap().as_millis() - 1);
        assert_eq!(Period::Month.window(at), "2024-02");
        assert_eq!(
            (Period::Month.window(last), Period::Year.window(last)),
            ("2024-12".into(), "2024".into())
        );
        let days = |period: Period, window| period.days(window).map(|(from, to)| to - from);
        assert_eq!(days(Period::Month, "2024-02"), Some(29));
        assert_eq!(days(Period::Month, "2023-12"), Some(31));
        assert_eq!(days(Period::Year, "2024"), Some(366));
        for (period, window) in [
            (Period::Month, "2024"),
            (Period::Year, "2024-01"),
            (Period::Month, "2024-13"),
        ] {
            assert_eq!(days(period, window), None);
        }
    }

    #[test]
    fn timestamps_display_as_dates() {
        let shown = |secs: i64| Timestamp::from_millis(secs * 1000).to_string();
        assert_eq!(shown(0), "1970-01-01 00:00:00Z");
        assert_eq!(shown(-1), "1969-12-31 23:59:59Z");
        assert_eq!(shown(951_782_400), "2000-02-29 00:00:00Z");
        assert_eq!(shown(1_709_251_199), "2024-02-29 23:59:59Z");
        assert_eq!(shown(4_107_542_400), "2100-03-01 00:00:00Z");
    }
}
