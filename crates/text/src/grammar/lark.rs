//! Writing grammars: rules with names of their own, texts and expressions quoted.

use serde_json::Value;

/// A grammar that grows.
#[derive(Debug, Default)]
pub(super) struct Lark {
    text: String,
    n_names: usize,
}

impl Lark {
    /// Adds a rule and gives its name.
    pub(super) fn rule(&mut self, body: &str) -> String {
        self.add("r", "", body)
    }

    /// Adds a rule that takes as little text as it can.
    pub(super) fn lazy_rule(&mut self, regex: &str) -> String {
        self.add("r", "[lazy]", &format!("/{regex}/"))
    }

    /// Adds a terminal and gives its name.
    pub(super) fn terminal(&mut self, body: &str) -> String {
        self.add("T", "", body)
    }

    /// Adds a rule for JSON text of a schema, laid out as Python's `json.dumps` does, or freely within bounds.
    pub(super) fn json(&mut self, schema: &Value, layout: Layout) -> String {
        let options = match layout {
            Layout::Dumps => serde_json::json!({
                "whitespace_flexible": false, "item_separator": ", ", "key_separator": ": ",
            }),
            Layout::Free => serde_json::json!({
                "whitespace_pattern": r"\x20{1,2}|\x20?\r?\n[\x20\t]{0,64}",
            }),
        };
        let mut schema = match schema {
            Value::Object(_) => schema.clone(),
            Value::Bool(false) => serde_json::json!({"not": {}}),
            _ => serde_json::json!({}),
        };
        if let Value::Object(keywords) = &mut schema {
            keywords.insert("x-guidance".to_owned(), options);
        }
        self.rule(&format!("%json {schema}"))
    }

    /// Adds a rule whose name is known already.
    pub(super) fn named_rule(&mut self, name: &str, body: &str) {
        self.text.push_str(&format!("{name}: {body}\n"));
    }

    /// All of it, with this body of the rule that it starts with.
    pub(super) fn finish(self, start: &str) -> String {
        format!("start: {start}\n{}", self.text)
    }

    fn add(&mut self, prefix: &str, attributes: &str, body: &str) -> String {
        let name = format!("{prefix}{}", self.n_names);
        self.n_names += 1;
        self.text.push_str(&format!("{name}{attributes}: {body}\n"));
        name
    }
}

/// Where JSON may have whitespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// One space after each comma and colon.
    Dumps,
    /// Line feeds and indentation, too.
    Free,
}

/// A text as a literal.
pub(super) fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// A text inside an expression between slashes.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            c if r"\.+*?()|[]{}^$#&-~/".contains(c) => {
                escaped.push('\\');
                escaped.push(c);
            }
            c => escaped.push(c),
        }
    }
    escaped
}

/// A caller's expression between slashes.
pub(super) fn slashed(regex: &str) -> String {
    let mut slashed = String::new();
    let mut is_escaped = false;
    for c in regex.chars() {
        match c {
            '/' if !is_escaped => slashed.push_str("\\/"),
            '\n' => slashed.push_str(if is_escaped { "n" } else { "\\n" }),
            '\r' => slashed.push_str(if is_escaped { "r" } else { "\\r" }),
            c => slashed.push(c),
        }
        is_escaped = c == '\\' && !is_escaped;
    }
    slashed
}

/// Any text that does not hold any of these.
pub(super) fn text_without(texts: &[&str]) -> String {
    let held = texts
        .iter()
        .map(|text| format!(" & ~/(?s:.*){}(?s:.*)/", escaped(text)));
    format!("/(?s:.+)/{}", held.collect::<String>())
}

/// Repetitions that a regular expression asks for at most: the product of the bounds of all of them, as if each stood
/// within all others. What the library spends on an expression grows with it.
pub(super) fn repetitions(regex: &str) -> u64 {
    let mut product = 1_u64;
    let mut rest = regex;
    while let Some((_, after)) = rest.split_once('{') {
        let Some((bounds, _)) = after.split_once('}') else {
            break;
        };
        let highest = bounds
            .split(',')
            .filter_map(|bound| bound.trim().parse::<u64>().ok())
            .max();
        product = product.saturating_mul(highest.unwrap_or(1).max(1));
        rest = after;
    }
    product
}

/// At most so many, over all expressions of a grammar.
pub(super) const MAX_REPETITIONS: u64 = 50_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitions_multiply() {
        for (regex, n) in [
            ("a*", 1),
            ("a{3}", 3),
            ("(a{2,10}b){100}", 1_000),
            ("{x}", 1),
            ("a{5,}", 5),
            ("a{", 1),
        ] {
            assert_eq!(repetitions(regex), n, "{regex}");
        }
    }

    #[test]
    fn texts_and_expressions_keep_their_meaning_between_slashes() {
        assert_eq!(escaped("<a.b>/\n"), r"<a\.b>\/\n");
        assert_eq!(slashed(r"a/b\/c"), r"a\/b\/c");
    }
}
