//! `strftime` in the proleptic Gregorian calendar, in English.

use super::Timestamp;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

/// A moment taken apart.
struct Parts {
    year: i64,
    /// From 1.
    month: usize,
    day: i64,
    /// From 1.
    day_of_year: i64,
    /// From Sunday, which is 0.
    weekday: usize,
    hour: i64,
    minute: i64,
    second: i64,
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

impl Parts {
    fn of(now: Timestamp) -> Parts {
        let days = now.unix_seconds.div_euclid(86_400);
        let seconds = now.unix_seconds.rem_euclid(86_400);
        let weekday = (days + 4).rem_euclid(7) as usize;
        // 400 years have 146,097 days; from there year by year.
        let mut year = 1970 + days.div_euclid(146_097) * 400;
        let mut rest = days.rem_euclid(146_097);
        loop {
            let len = 365 + i64::from(is_leap(year));
            if rest < len {
                break;
            }
            rest -= len;
            year += 1;
        }
        let day_of_year = rest + 1;
        let february = 28 + i64::from(is_leap(year));
        let mut month = 1;
        for len in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
            if rest < len {
                break;
            }
            rest -= len;
            month += 1;
        }
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        Parts {
            year,
            month,
            day: rest + 1,
            day_of_year,
            weekday,
            hour,
            minute,
            second,
        }
    }
}

/// The moment by a Python format. An unknown directive is an error that names it.
pub(super) fn strftime(now: Timestamp, format: &str) -> Result<String, String> {
    // Beyond this the year has more digits than anyone wants, and sums could overflow.
    if now.unix_seconds.unsigned_abs() > 1 << 40 {
        return Err("strftime_now: the time is out of range".into());
    }
    let parts = Parts::of(now);
    let mut out = String::new();
    let mut chars = format.chars();
    while let Some(char) = chars.next() {
        if char != '%' {
            out.push(char);
            continue;
        }
        let mut directive = chars.next();
        let padded = directive != Some('-');
        if !padded {
            directive = chars.next();
        }
        let text = directive.and_then(|directive| expand(&parts, directive));
        let Some(text) = text else {
            return Err(format!(
                "strftime_now: the directive %{} is not known",
                directive.unwrap_or(' ')
            ));
        };
        let unpadded = text.trim_start_matches('0');
        out.push_str(if padded || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            &text
        } else if unpadded.is_empty() {
            "0"
        } else {
            unpadded
        });
    }
    Ok(out)
}

fn expand(parts: &Parts, directive: char) -> Option<String> {
    let hour12 = (parts.hour + 11) % 12 + 1;
    let (month, day) = (MONTHS[parts.month - 1], DAYS[parts.weekday]);
    Some(match directive {
        'Y' => parts.year.to_string(),
        'y' => format!("{:02}", parts.year.rem_euclid(100)),
        'm' => format!("{:02}", parts.month),
        'd' => format!("{:02}", parts.day),
        'e' => format!("{:2}", parts.day),
        'j' => format!("{:03}", parts.day_of_year),
        'H' => format!("{:02}", parts.hour),
        'I' => format!("{hour12:02}"),
        'M' => format!("{:02}", parts.minute),
        'S' => format!("{:02}", parts.second),
        'p' => if parts.hour < 12 { "AM" } else { "PM" }.to_owned(),
        'B' => month.to_owned(),
        'b' | 'h' => month[..3].to_owned(),
        'A' => day.to_owned(),
        'a' => day[..3].to_owned(),
        'w' => parts.weekday.to_string(),
        'F' => format!("{}-{:02}-{:02}", parts.year, parts.month, parts.day),
        'T' => format!("{:02}:{:02}:{:02}", parts.hour, parts.minute, parts.second),
        'R' => format!("{:02}:{:02}", parts.hour, parts.minute),
        'f' => "000000".to_owned(),
        'n' => "\n".to_owned(),
        't' => "\t".to_owned(),
        '%' => "%".to_owned(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(unix_seconds: i64, format: &str) -> String {
        strftime(Timestamp { unix_seconds }, format).unwrap()
    }

    #[test]
    fn known_moments() {
        assert_eq!(at(0, "%Y-%m-%d %H:%M:%S %a %j"), "1970-01-01 00:00:00 Thu 001");
        assert_eq!(at(951_782_399, "%d %b %Y %T"), "28 Feb 2000 23:59:59");
        assert_eq!(
            at(951_782_400, "%A %-d %B %y %-I%p"),
            "Tuesday 29 February 00 12AM"
        );
        assert_eq!(at(1_798_761_599, "%F %j"), "2026-12-31 365");
        assert_eq!(at(-1, "%F"), "1969-12-31");
        assert!(
            strftime(Timestamp { unix_seconds: 0 }, "%Q")
                .unwrap_err()
                .contains("%Q")
        );
    }
}
