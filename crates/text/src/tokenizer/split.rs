//! Splitting text into words before merging: the regular expressions and rules of pre-tokenizers.
//!
//! Expressions run on automata, so that a search needs time linear in the text that it reads whatever the expression.
//! How often searches read the same text is bounded for expressions from files ([`Meter`]). Automata know no look-ahead;
//! the one that tokenizers use, `\s+(?!\S)` at the end, is done by giving back the last character.

use regex_automata::Input;
use regex_automata::meta::Regex;
use regex_automata::util::syntax;
use std::ops::Range;

use super::TokenizerError;
use super::meter::{Allowance, Meter};

/// A compiled expression may take this much memory (bytes).
const REGEX_SIZE_LIMIT: usize = 16 << 20;
/// A longer expression (bytes) is refused; real ones have less than a thousand.
pub(super) const MAX_PATTERN_BYTES: usize = 16 << 10;

/// What to do with what an expression matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Behavior {
    Isolated,
    Removed,
    MergedWithPrevious,
    MergedWithNext,
    Contiguous,
}

/// One splitting step; steps run one after the other, each on the pieces of the one before.
#[derive(Debug)]
pub(super) struct Split {
    regex: Regex,
    /// The expression ends in `\s+(?!\S)` (its pattern 1): a run of white space before other text is one shorter.
    white_space_tail: bool,
    behavior: Behavior,
    invert: bool,
    /// For an expression that a file brought.
    meter: Option<Meter>,
}

/// The ways to write "white space up to the last before a word, then any" at the end of an expression.
const TAILS: [&str; 2] = [r"|\s+(?!\S)|\s+", r"|\s+(?!\S)"];

impl Split {
    /// A step that makes each match a piece of its own.
    pub(super) fn isolate(pattern: &str) -> Result<Split, String> {
        Split::new(pattern, Behavior::Isolated, false)
    }

    /// A step by an expression that a file brought: what it reads of a text is bounded.
    pub(super) fn metered(pattern: &str, behavior: Behavior, invert: bool) -> Result<Split, String> {
        let split = Split::new(pattern, behavior, invert)?;
        Ok(Split {
            meter: Some(Meter::new(&patterns(pattern, behavior))?),
            ..split
        })
    }

    pub(super) fn new(pattern: &str, behavior: Behavior, invert: bool) -> Result<Split, String> {
        if pattern.len() > MAX_PATTERN_BYTES {
            return Err(format!("longer than {MAX_PATTERN_BYTES} bytes"));
        }
        let patterns = patterns(pattern, behavior);
        let regex = Regex::builder()
            .syntax(syntax::Config::new().nest_limit(64))
            .configure(
                Regex::config()
                    .nfa_size_limit(Some(REGEX_SIZE_LIMIT))
                    .onepass_size_limit(Some(REGEX_SIZE_LIMIT))
                    .hybrid_cache_capacity(REGEX_SIZE_LIMIT)
                    .utf8_empty(true),
            )
            .build_many(&patterns)
            .map_err(|error| describe(&error))?;
        Ok(Split {
            regex,
            white_space_tail: patterns.len() == 2,
            behavior,
            invert,
            meter: None,
        })
    }

    /// Splits each of `pieces`, ranges of `text`. Errors if a file's expression reads them too often.
    pub(super) fn apply(
        &self,
        text: &str,
        pieces: &[Range<usize>],
        out: &mut Vec<Range<usize>>,
    ) -> Result<(), TokenizerError> {
        let mut allowance = Allowance::of(text.len());
        let mut runs = Vec::new();
        for piece in pieces {
            if self.behavior == Behavior::Isolated {
                // The common case needs no list of runs.
                self.runs(text, piece.clone(), &mut allowance, &mut |range, _| {
                    out.push(range);
                })?;
            } else {
                runs.clear();
                self.runs(text, piece.clone(), &mut allowance, &mut |range, matched| {
                    runs.push((range, matched != self.invert));
                })?;
                self.join(&runs, out);
            }
        }
        Ok(())
    }

    /// Tells of every match and every gap in `piece`, in order; empty matches are skipped.
    fn runs(
        &self,
        text: &str,
        piece: Range<usize>,
        allowance: &mut Allowance,
        tell: &mut impl FnMut(Range<usize>, bool),
    ) -> Result<(), TokenizerError> {
        // The expression must see the piece alone: `$` is its end.
        let haystack = &text[piece.clone()];
        let mut told = 0;
        let mut at = 0;
        while at < haystack.len() {
            if let Some(meter) = &self.meter {
                meter.pay(haystack, at, allowance)?;
            }
            let Some(found) = self.regex.search(&Input::new(haystack).range(at..)) else {
                break;
            };
            let mut range = found.range();
            if range.is_empty() {
                at = range.end + haystack[range.end..].chars().next().map_or(1, char::len_utf8);
                continue;
            }
            if self.white_space_tail && found.pattern().as_usize() == 1 {
                range.end = give_back(haystack, &range);
            }
            if range.start > told {
                tell(piece.start + told..piece.start + range.start, false);
            }
            tell(piece.start + range.start..piece.start + range.end, true);
            (at, told) = (range.end, range.end);
        }
        if told < haystack.len() {
            tell(piece.start + told..piece.end, false);
        }
        Ok(())
    }

    fn join(&self, runs: &[(Range<usize>, bool)], out: &mut Vec<Range<usize>>) {
        let first = out.len();
        let mut previous = false;
        match self.behavior {
            Behavior::Isolated => out.extend(runs.iter().map(|(range, _)| range.clone())),
            Behavior::Removed => {
                out.extend(
                    runs.iter()
                        .filter(|(_, matched)| !matched)
                        .map(|(range, _)| range.clone()),
                );
            }
            Behavior::MergedWithPrevious | Behavior::Contiguous => {
                let same = self.behavior == Behavior::Contiguous;
                for (range, matched) in runs {
                    let extends = if same {
                        *matched == previous
                    } else {
                        *matched && !previous
                    };
                    let has_earlier = out.len() > first;
                    match out.last_mut() {
                        Some(earlier) if extends && has_earlier => earlier.end = range.end,
                        _ => out.push(range.clone()),
                    }
                    previous = *matched;
                }
            }
            Behavior::MergedWithNext => {
                for (range, matched) in runs.iter().rev() {
                    let has_later = out.len() > first;
                    match out.last_mut() {
                        Some(later) if *matched && !previous && has_later => later.start = range.start,
                        _ => out.push(range.clone()),
                    }
                    previous = *matched;
                }
                out[first..].reverse();
            }
        }
    }
}

/// The expressions to search for: the look-ahead at the end of `pattern`, if any, becomes one of its own.
fn patterns(pattern: &str, behavior: Behavior) -> Vec<&str> {
    let head = TAILS.iter().find_map(|tail| pattern.strip_suffix(tail));
    // White space that the shorter tail leaves unmatched is a piece of its own either way, but only if isolated.
    let exact = behavior == Behavior::Isolated || pattern.ends_with(TAILS[0]);
    match head {
        Some(head) if exact => vec![head, r"\s+"],
        _ => vec![pattern],
    }
}

/// Where a run of white space ends if the last character before other text is not taken (unless it is the only one).
fn give_back(haystack: &str, run: &Range<usize>) -> usize {
    if run.end == haystack.len() {
        return run.end;
    }
    let last = haystack[run.clone()]
        .chars()
        .next_back()
        .map_or(0, char::len_utf8);
    if run.len() > last { run.end - last } else { run.end }
}

fn describe(error: &regex_automata::meta::BuildError) -> String {
    if let Some(size) = error.size_limit() {
        return format!("the expression takes more than the {size} bytes allowed");
    }
    match error.syntax_error() {
        Some(syntax) => {
            let text = syntax.to_string();
            text.lines()
                .next_back()
                .unwrap_or("syntax error")
                .trim_start_matches("error: ")
                .to_owned()
        }
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces<'t>(split: &Split, text: &'t str) -> Vec<&'t str> {
        let mut out = Vec::new();
        split
            .apply(text, std::slice::from_ref(&(0..text.len())), &mut out)
            .unwrap();
        out.into_iter().map(|range| &text[range]).collect()
    }

    #[test]
    fn white_space_gives_its_last_character_to_the_word() {
        let split = Split::isolate(r" ?\p{L}+|\s+(?!\S)|\s+").unwrap();
        assert_eq!(pieces(&split, "a   b  "), ["a", "  ", " b", "  "]);
        assert_eq!(pieces(&split, "\t\tx\t1"), ["\t", "\t", "x", "\t", "1"]);
        assert_eq!(pieces(&split, "\u{3000}\u{3000}1"), ["\u{3000}", "\u{3000}", "1"]);
    }

    #[test]
    fn behaviors_join_matches_and_gaps() {
        let of = |behavior, invert| Split::new(r"\d", behavior, invert).unwrap();
        assert_eq!(
            pieces(&of(Behavior::Isolated, false), "a12b"),
            ["a", "1", "2", "b"]
        );
        assert_eq!(pieces(&of(Behavior::Removed, false), "a12b"), ["a", "b"]);
        assert_eq!(pieces(&of(Behavior::Removed, true), "a12b"), ["1", "2"]);
        assert_eq!(
            pieces(&of(Behavior::MergedWithPrevious, false), "a12b"),
            ["a1", "2", "b"]
        );
        assert_eq!(
            pieces(&of(Behavior::MergedWithNext, false), "a12b"),
            ["a", "1", "2b"]
        );
        assert_eq!(pieces(&of(Behavior::Contiguous, false), "a12b"), ["a", "12", "b"]);
    }

    #[test]
    fn what_an_automaton_cannot_do_is_refused() {
        let error = Split::isolate(r"(?=a)b").unwrap_err();
        assert!(error.contains("look-around"), "{error}");
        assert!(
            Split::isolate(&r"(\p{L}{1,900}){1,900}".repeat(4))
                .unwrap_err()
                .contains("more than")
        );
    }
}
