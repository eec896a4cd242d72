//! What a text of each `format` looks like: expressions that all hold for it.
//!
//! The grammar library knows expressions of its own, some wider than the specifications: a leap second at any minute, 29
//! February in any year, host names longer than names may be. Ours are narrower where readers differ, so that what a model
//! writes is read by all of them: no second 60, `T` and `Z` as capitals, years from 1, a mail address of a domain with a
//! dot. What is valid and rare is given up for that.

use std::sync::LazyLock;

use serde_json::{Map, Value, json};

/// A format and the expressions that a text of it matches from end to end.
struct Format {
    name: &'static str,
    patterns: Vec<String>,
}

/// Sorted.
static FORMATS: LazyLock<Vec<Format>> = LazyLock::new(|| {
    let of = |name, patterns: &[String]| Format {
        name,
        patterns: patterns
            .iter()
            .map(|pattern| format!("^(?:{pattern})$"))
            .collect(),
    };
    let within = |max: usize| format!("[^\\n]{{1,{max}}}");
    vec![
        of("date", &[date()]),
        of("date-time", &[format!("(?:{})T{}", date(), time())]),
        of("duration", &[duration()]),
        of("email", &[email(), "[^@]{1,64}@[^@]{1,189}".into()]),
        of("hostname", &[host_name(), within(253)]),
        of("ipv4", &[ipv4()]),
        of("ipv6", &[ipv6()]),
        of("time", &[time()]),
        of("uri", &[uri()]),
        of(
            "uuid",
            &["[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}".into()],
        ),
    ]
});

/// Whether texts of this format can be enforced.
pub(super) fn is_known(name: &str) -> bool {
    FORMATS.binary_search_by_key(&name, |format| format.name).is_ok()
}

/// The names of all that can be.
pub(super) fn names() -> String {
    let names: Vec<&str> = FORMATS.iter().map(|format| format.name).collect();
    names.join(", ")
}

/// Writes a schema's `format` as patterns, which say the same of texts and nothing of other values. An unknown one stays.
pub(super) fn write_as_patterns(keywords: &mut Map<String, Value>) {
    let name = keywords.get("format").and_then(Value::as_str).unwrap_or_default();
    let Ok(idx) = FORMATS.binary_search_by_key(&name, |format| format.name) else {
        return;
    };
    keywords.shift_remove("format");
    let mut patterns = FORMATS[idx].patterns.iter();
    if !keywords.contains_key("pattern") {
        keywords.extend(
            patterns
                .next()
                .map(|pattern| ("pattern".to_owned(), json!(pattern))),
        );
    }
    let others: Vec<Value> = patterns.map(|pattern| json!({"pattern": pattern})).collect();
    if !others.is_empty() {
        let all = keywords.entry("allOf").or_insert_with(|| json!([]));
        if let Value::Array(all) = all {
            all.extend(others);
        }
    }
}

/// A day of the Gregorian calendar, of a year from 0001 on.
fn date() -> String {
    let year = "(?:[0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)";
    let leap_year = "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)";
    let day_of_any_year = [
        "(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])",
        "(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)",
        "02-(?:0[1-9]|1[0-9]|2[0-8])",
    ]
    .join("|");
    format!("{year}-(?:{day_of_any_year})|{leap_year}-02-29")
}

/// A time with its offset. Fractions end at nanoseconds, which is what most readers keep.
fn time() -> String {
    let hour_and_minute = "(?:[01][0-9]|2[0-3]):[0-5][0-9]";
    format!(r"{hour_and_minute}:[0-5][0-9](?:\.[0-9]{{1,9}})?(?:Z|[+-]{hour_and_minute})")
}

/// RFC 3339, appendix A: units in order, none left out between the first and the last of a part.
fn duration() -> String {
    let n = "[0-9]{1,9}";
    let chain = |units: &[char]| {
        let tails = (0..units.len()).map(|first| {
            let rest = units[first + 1..].iter().rev();
            let optional = rest.fold(String::new(), |after, unit| format!("(?:{n}{unit}{after})?"));
            format!("{n}{}{optional}", units[first])
        });
        format!("(?:{})", tails.collect::<Vec<_>>().join("|"))
    };
    let (days, times) = (chain(&['Y', 'M', 'D']), chain(&['H', 'M', 'S']));
    format!("P(?:{days}(?:T{times})?|T{times}|{n}W)")
}

/// A label: up to 63 letters, digits and hyphens; no hyphen at an end, nor two at the place where an encoded name has them.
fn label() -> String {
    let (end, any) = ("[a-zA-Z0-9]", "[a-zA-Z0-9-]");
    format!("{end}(?:{any}{{0,2}}{end}|{any}(?:{end}{any}|-{end}){any}{{0,58}}{end})?")
}

fn host_name() -> String {
    format!(r"{label}(?:\.{label})*", label = label())
}

/// A host name whose last label is letters, as that of a public name is.
fn domain() -> String {
    format!(r"(?:{}\.)+[a-zA-Z]{{2,63}}", label())
}

/// Words between dots, of the characters that each reader takes.
fn email() -> String {
    let word = "[a-zA-Z0-9_+'-]*[a-zA-Z0-9_+-]";
    format!(r"{word}(?:\.{word})*@{}", domain())
}

fn ipv4() -> String {
    let byte = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
    format!(r"(?:{byte}\.){{3}}{byte}")
}

/// Eight groups, or fewer around one `::`.
fn ipv6() -> String {
    let group = "[0-9a-fA-F]{1,4}";
    let groups = |n: usize| match n {
        0 => String::new(),
        n => format!("(?:{group}(?::{group}){{0,{}}})?", n - 1),
    };
    let exactly = |n: usize| match n {
        0 => String::new(),
        n => format!("{group}(?::{group}){{{}}}", n - 1),
    };
    let shortened = (0..=7).map(|before| format!("{}::{}", exactly(before), groups(7 - before)));
    let forms: Vec<String> = std::iter::once(exactly(8)).chain(shortened).collect();
    forms.join("|")
}

/// RFC 3986 with a scheme, without user names, and with hosts that are names or addresses.
fn uri() -> String {
    let character = "(?:[a-zA-Z0-9._~!$&'()*+,;=:@-]|%[0-9a-fA-F]{2})";
    let port = "(?:[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])";
    let last_label = "[a-zA-Z](?:[a-zA-Z0-9]{0,62})";
    let host = format!(
        r"(?:(?:{label}\.)*{last_label}|{ipv4}|\[(?:{ipv6})\])",
        label = label(),
        ipv4 = ipv4(),
        ipv6 = ipv6()
    );
    let path = format!("(?:/{character}*)*");
    let with_host = format!("//{host}(?::{port})?{path}");
    let without_host = format!("/?{character}+{path}");
    let rest = format!(r"(?:\?(?:{character}|[/?])*)?(?:#(?:{character}|[/?])*)?");
    format!("[a-zA-Z][a-zA-Z0-9+.-]*:(?:{with_host}|{without_host}){rest}")
}

#[cfg(test)]
mod tests {
    use regex_automata::meta::Regex;

    use super::*;

    /// A format, what it allows and what it does not.
    type Case = (&'static str, &'static [&'static str], &'static [&'static str]);

    const CASES: &[Case] = &[
        (
            "date",
            &["2024-02-29", "2000-02-29", "0001-01-01", "2023-12-31"],
            &[
                "2023-02-29",
                "1900-02-29",
                "0000-01-01",
                "2023-04-31",
                "2023-13-01",
            ],
        ),
        (
            "date-time",
            &["1990-12-31T15:59:50.123-08:00", "2024-02-29T00:00:00Z"],
            &[
                "1990-12-31T23:59:60Z",
                "2022-05-01T10:20:60Z",
                "2023-02-29T00:00:00Z",
                "1990-12-31t15:59:50z",
            ],
        ),
        (
            "time",
            &["23:59:59Z", "00:00:00+01:30"],
            &["24:00:00Z", "12:00:00", "12:00:60Z"],
        ),
        (
            "duration",
            &["P1Y2M3DT4H5M6S", "P3W", "PT36H", "P1DT12H"],
            &["P", "PT", "P1Y2D", "P1D2H", "P1W2D", "PT1H2S"],
        ),
        (
            "email",
            &["ann@example.com", "o'neil+x@mail.example.org", "a.b-c@x.y.dev"],
            &[
                "ann@localhost",
                "a..b@example.com",
                ".a@example.com",
                "a@-b.com",
                "a@b.1",
                "a b@example.com",
            ],
        ),
        (
            "hostname",
            &["example.com", "localhost", "a-b.c1", "a--b", "ab-c--d"],
            &["-a", "a-", "a..b", "ab--c", "xn--X", "", "a_b"],
        ),
        (
            "ipv4",
            &["0.0.0.0", "255.249.10.1"],
            &["256.0.0.1", "01.0.0.1", "1.2.3"],
        ),
        (
            "ipv6",
            &[
                "::",
                "::1",
                "1::",
                "1:2:3:4:5:6:7:8",
                "1::3:4:5:6:7:8",
                "fe80::1:2",
            ],
            &[
                "1:2:3:4:5:6:7",
                "1::2::3",
                "12345::",
                "1:2:3:4:5:6:7:8:9",
                ":1",
                "1:2:3:4:5:6:7::8:9",
            ],
        ),
        (
            "uri",
            &[
                "https://example.com",
                "http://[::1]:8080/a/b?c=d#e",
                "mailto:ann@example.com",
                "urn:isbn:1",
                "file:/a/b",
            ],
            &[
                "example.com",
                "//example.com",
                "http://a b",
                "http://1.2.3.999/",
                "http://a:65536/",
                "http://a/%zz",
                "http:",
            ],
        ),
        (
            "uuid",
            &["2eb8aa08-AA98-11ea-b4aa-73b441d16380"],
            &[
                "2eb8aa08aa9811eab4aa73b441d16380",
                "2eb8aa08-aa98-11ea-b4aa-73b441d1638",
            ],
        ),
    ];

    fn matches(name: &str, text: &str) -> bool {
        let idx = FORMATS
            .binary_search_by_key(&name, |format| format.name)
            .expect("known");
        let is_match = |pattern: &String| Regex::new(pattern).expect("an expression").is_match(text);
        FORMATS[idx].patterns.iter().all(is_match)
    }

    #[test]
    fn the_list_is_sorted() {
        assert!(FORMATS.is_sorted_by_key(|format| format.name));
    }

    #[test]
    fn what_all_readers_take_is_allowed_and_the_rest_is_not() {
        for (name, right, wrong) in CASES {
            for text in *right {
                assert!(matches(name, text), "{text} is a {name}");
            }
            for text in *wrong {
                assert!(!matches(name, text), "{text} is no {name}");
            }
        }
        assert!(matches("hostname", &"a".repeat(63)) && !matches("hostname", &"a".repeat(64)));
        assert!(!matches("hostname", &"a.".repeat(127)), "254 characters");
    }

    #[test]
    fn a_format_joins_what_is_there_already() {
        let mut keywords = json!({"type": "string", "pattern": "^a", "format": "email", "allOf": [{}]});
        write_as_patterns(keywords.as_object_mut().expect("an object"));
        let patterns = &FORMATS
            .iter()
            .find(|format| format.name == "email")
            .expect("known")
            .patterns;
        assert_eq!(
            keywords,
            json!({"type": "string", "pattern": "^a", "allOf": [{}, {"pattern": patterns[0]}, {"pattern": patterns[1]}]})
        );
    }
}
