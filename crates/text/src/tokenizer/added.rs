//! Tokens that are matched whole in the text before it is split: `<|im_end|>`, `<think>`.

use aho_corasick::{AhoCorasick, AhoCorasickKind, Input, MatchKind};
use regex_automata::meta::Regex;
use std::ops::Range;
use std::sync::LazyLock;

use super::TokenizerError;

/// Texts of all added tokens together may have this many bytes.
const MAX_BYTES: usize = 2 << 20;
/// The text of one may have this many bytes; real ones have less than a hundred. A search that may not take a token
/// where it found one starts again a character later, so this also bounds how often a character is read.
const MAX_TOKEN_BYTES: usize = 1 << 10;

/// A token that is matched whole.
#[derive(Debug, Clone)]
pub(super) struct Added {
    pub(super) id: u32,
    pub(super) text: String,
    /// Never matched where the text came from outside.
    pub(super) special: bool,
    /// Swallow white space before it, after it.
    pub(super) lstrip: bool,
    pub(super) rstrip: bool,
    /// Only between characters that belong to no word.
    pub(super) single_word: bool,
}

/// A stretch of text: a token, or text still to be split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Segment {
    Token(u32),
    Text(Range<usize>),
}

/// Finds added tokens, leftmost first and the longest of those that begin together.
#[derive(Debug)]
pub(super) struct Matcher {
    tokens: Vec<Added>,
    automaton: Option<AhoCorasick>,
}

impl Matcher {
    pub(super) fn new(mut tokens: Vec<Added>) -> Result<Matcher, TokenizerError> {
        tokens.retain(|token| !token.text.is_empty());
        let invalid = |fault: String| TokenizerError::Invalid {
            place: "added_tokens".into(),
            fault,
        };
        if let Some(long) = tokens.iter().find(|token| token.text.len() > MAX_TOKEN_BYTES) {
            return Err(invalid(format!(
                "the text of token {} has {} bytes, more than the {MAX_TOKEN_BYTES} allowed",
                long.id,
                long.text.len()
            )));
        }
        let total: usize = tokens.iter().map(|token| token.text.len()).sum();
        if total > MAX_BYTES {
            return Err(invalid(format!(
                "{total} bytes of text, more than the {MAX_BYTES} allowed"
            )));
        }
        let automaton = if tokens.is_empty() {
            None
        } else {
            let built = AhoCorasick::builder()
                .match_kind(MatchKind::LeftmostLongest)
                // The faster automaton takes a kilobyte for every byte of text.
                .kind(Some(AhoCorasickKind::ContiguousNFA))
                .build(tokens.iter().map(|token| token.text.as_bytes()));
            Some(built.map_err(|error| invalid(error.to_string()))?)
        };
        Ok(Matcher { tokens, automaton })
    }

    /// Splits `text` into tokens and the text between. No special token is matched where it touches a range of
    /// `outside` (ascending).
    pub(super) fn segments(&self, text: &str, outside: &[Range<usize>]) -> Vec<Segment> {
        let Some(automaton) = &self.automaton else {
            return if text.is_empty() {
                Vec::new()
            } else {
                vec![Segment::Text(0..text.len())]
            };
        };
        let mut segments = Vec::new();
        let mut done = 0;
        let mut at = 0;
        while let Some(found) = automaton.find(Input::new(text).range(at..)) {
            let token = &self.tokens[found.pattern().as_usize()];
            let forbidden = token.special && touches(outside, &found.range());
            let span = if forbidden {
                None
            } else {
                extend(token, text, found.range(), done)
            };
            let Some(span) = span else {
                // Another token may begin within this one.
                at = found.start() + text[found.start()..].chars().next().map_or(1, char::len_utf8);
                continue;
            };
            if span.start > done {
                segments.push(Segment::Text(done..span.start));
            }
            segments.push(Segment::Token(token.id));
            done = span.end;
            at = found.end();
        }
        if done < text.len() {
            segments.push(Segment::Text(done..text.len()));
        }
        segments
    }
}

fn touches(outside: &[Range<usize>], found: &Range<usize>) -> bool {
    let first = outside.partition_point(|range| range.end <= found.start);
    outside.get(first).is_some_and(|range| range.start < found.end)
}

/// The span that a token at `found` takes with the white space it swallows, `None` inside a word where it must be
/// one. The token before it may already have swallowed its beginning, up to `done`.
fn extend(token: &Added, text: &str, found: Range<usize>, done: usize) -> Option<Range<usize>> {
    let mut start = found.start.max(done);
    let mut end = found.end.max(done);
    if token.single_word {
        let before = text.get(..found.start)?.chars().next_back();
        let after = text.get(found.end..)?.chars().next();
        if before.is_some_and(is_word) || after.is_some_and(is_word) {
            return None;
        }
    }
    if token.lstrip {
        let before = text.get(done..start)?;
        start -= before.len() - before.trim_end().len();
    }
    if token.rstrip {
        let after = text.get(end..)?;
        end += after.len() - after.trim_start().len();
    }
    Some(start..end)
}

/// Whether an expression's `\w` matches the character.
fn is_word(char: char) -> bool {
    static WORD: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\w").ok());
    let mut buffer = [0; 4];
    let text: &str = char.encode_utf8(&mut buffer);
    WORD.as_ref().is_some_and(|word| word.is_match(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(id: u32, text: &str) -> Added {
        Added {
            id,
            text: text.into(),
            special: true,
            lstrip: false,
            rstrip: false,
            single_word: false,
        }
    }

    #[test]
    fn the_longest_token_wins_and_special_ones_keep_out_of_outside_text() {
        let matcher = Matcher::new(vec![added(1, "<a>"), added(2, "<a><b>")]).unwrap();
        let whole = [Segment::Text(0..1), Segment::Token(2), Segment::Token(1)];
        assert_eq!(matcher.segments("x<a><b><a>", &[]), whole);
        assert_eq!(
            matcher.segments("x<a><b><a>", std::slice::from_ref(&(0..1))),
            whole
        );
        assert_eq!(
            matcher.segments("x<a><b><a>", &[2..3, 9..10]),
            [Segment::Text(0..10)]
        );
        assert_eq!(
            matcher.segments("<a><b><a>", std::slice::from_ref(&(3..4))),
            [Segment::Text(0..6), Segment::Token(1)]
        );
        let open = Matcher::new(vec![Added {
            special: false,
            ..added(1, "<a>")
        }])
        .unwrap();
        assert_eq!(
            open.segments("<a>", std::slice::from_ref(&(0..3))),
            [Segment::Token(1)]
        );
    }

    #[test]
    fn a_text_too_long_is_refused_by_its_token() {
        assert!(Matcher::new(vec![added(1, &"x".repeat(MAX_TOKEN_BYTES))]).is_ok());
        let error =
            Matcher::new(vec![added(1, "<a>"), added(7, &"x".repeat(MAX_TOKEN_BYTES + 1))]).unwrap_err();
        let want = "added_tokens: the text of token 7 has 1025 bytes, more than the 1024 allowed";
        assert_eq!(error.to_string(), want);
        let many = (0..3000).map(|id| added(id, &format!("{id:>1024}"))).collect();
        let error = Matcher::new(many).unwrap_err().to_string();
        assert!(error.contains("more than the 2097152 allowed"), "{error}");
    }

    #[test]
    fn strips_and_single_words_follow_the_flags() {
        let strip = Added {
            lstrip: true,
            rstrip: true,
            ..added(1, "<m>")
        };
        let word = Added {
            single_word: true,
            ..added(2, "ab")
        };
        let matcher = Matcher::new(vec![strip, word]).unwrap();
        assert_eq!(
            matcher.segments("x  <m>\n\n<m> y", &[]),
            [
                Segment::Text(0..1),
                Segment::Token(1),
                Segment::Token(1),
                Segment::Text(12..13)
            ]
        );
        assert_eq!(
            matcher.segments("cab ab,ab_", &[]),
            [Segment::Text(0..4), Segment::Token(2), Segment::Text(6..10)]
        );
    }
}
