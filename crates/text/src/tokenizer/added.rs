//! Tokens that are matched whole in the text before it is split: `<|im_end|>`, `<think>`.

use aho_corasick::{AhoCorasick, MatchKind};
use std::ops::Range;

use super::TokenizerError;

/// Texts of all added tokens together may have this many bytes.
const MAX_BYTES: usize = 8 << 20;

/// A token that is matched whole.
#[derive(Debug, Clone)]
pub(super) struct Added {
    pub(super) id: u32,
    pub(super) text: String,
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
                .build(tokens.iter().map(|token| token.text.as_bytes()));
            Some(built.map_err(|error| invalid(error.to_string()))?)
        };
        Ok(Matcher { tokens, automaton })
    }

    /// Splits `text` into tokens and the text between. No token is matched across a guard, a byte position in `text`.
    pub(super) fn segments(&self, text: &str, guards: &[usize]) -> Vec<Segment> {
        let Some(automaton) = &self.automaton else {
            return if text.is_empty() {
                Vec::new()
            } else {
                vec![Segment::Text(0..text.len())]
            };
        };
        let mut segments = Vec::new();
        let mut done = 0;
        let mut from = 0;
        for &to in guards.iter().chain([&text.len()]) {
            let to = to.min(text.len());
            for found in automaton.find_iter(text.as_bytes().get(from..to).unwrap_or_default()) {
                let token = &self.tokens[found.pattern().as_usize()];
                let Some(span) = extend(token, text, from + found.start()..from + found.end(), done) else {
                    continue;
                };
                if span.start > done {
                    segments.push(Segment::Text(done..span.start));
                }
                segments.push(Segment::Token(token.id));
                done = span.end;
            }
            from = to;
        }
        if done < text.len() {
            segments.push(Segment::Text(done..text.len()));
        }
        segments
    }
}

/// The span that a token at `found` takes with the white space it swallows, `None` where it does not count: inside
/// a word, or within what the token before it swallowed (up to `done`).
fn extend(token: &Added, text: &str, found: Range<usize>, done: usize) -> Option<Range<usize>> {
    let Range { mut start, mut end } = found;
    if start < done {
        return None;
    }
    let (before, after) = (text.get(done..start)?, text.get(end..)?);
    if token.single_word {
        let in_word = |char: Option<char>| char.is_some_and(|char| char.is_alphanumeric() || char == '_');
        if in_word(text.get(..start)?.chars().next_back()) || in_word(after.chars().next()) {
            return None;
        }
    }
    if token.lstrip {
        start -= before.len() - before.trim_end().len();
    }
    if token.rstrip {
        end += after.len() - after.trim_start().len();
    }
    Some(start..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(id: u32, text: &str) -> Added {
        Added {
            id,
            text: text.into(),
            lstrip: false,
            rstrip: false,
            single_word: false,
        }
    }

    #[test]
    fn the_longest_token_wins_and_guards_break_tokens() {
        let matcher = Matcher::new(vec![added(1, "<a>"), added(2, "<a><b>")]).unwrap();
        assert_eq!(
            matcher.segments("x<a><b><a>", &[]),
            [Segment::Text(0..1), Segment::Token(2), Segment::Token(1)]
        );
        assert_eq!(
            matcher.segments("x<a><b><a>", &[2, 8]),
            [Segment::Text(0..10)],
            "both are broken by a guard, and the text stays in one piece"
        );
        assert_eq!(
            matcher.segments("<a><b>", &[3]),
            [Segment::Token(1), Segment::Text(3..6)]
        );
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
