//! Text that remembers which of its bytes came from outside.
//!
//! Template literals may spell special tokens; what a conversation brings in may not. Every string operation keeps
//! that apart, so the tokenizer can be told exactly where special tokens are allowed.

use std::ops::Range;

/// A string and the byte ranges of it that came from outside: ascending, not empty, not touching.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Text {
    chars: String,
    outside: Vec<Range<usize>>,
}

impl Text {
    /// Text that the template itself wrote.
    pub(super) fn inside(chars: impl Into<String>) -> Text {
        Text {
            chars: chars.into(),
            outside: Vec::new(),
        }
    }

    /// Text that the conversation brought in.
    pub(super) fn outside(chars: impl Into<String>) -> Text {
        let mut text = Text::inside(chars);
        text.mark(0..text.chars.len());
        text
    }

    pub(super) fn as_str(&self) -> &str {
        &self.chars
    }

    pub(super) fn len(&self) -> usize {
        self.chars.len()
    }

    /// The bytes that a copy takes, for the budget.
    pub(super) fn cost(&self) -> usize {
        self.chars.len() + self.outside.len() * size_of::<Range<usize>>()
    }

    /// What it is made of: the string and the ranges from outside.
    pub(super) fn into_parts(self) -> (String, Vec<Range<usize>>) {
        (self.chars, self.outside)
    }

    fn mark(&mut self, range: Range<usize>) {
        if range.is_empty() {
            return;
        }
        match self.outside.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => self.outside.push(range),
        }
    }

    pub(super) fn push_inside(&mut self, chars: &str) {
        self.chars.push_str(chars);
    }

    pub(super) fn push(&mut self, other: &Text) {
        self.push_slice(other, 0..other.len());
    }

    /// Appends bytes `range` of `other`, which must lie on character borders.
    pub(super) fn push_slice(&mut self, other: &Text, range: Range<usize>) {
        let shift = self.chars.len();
        self.chars.push_str(&other.chars[range.clone()]);
        let first = other.outside.partition_point(|span| span.end <= range.start);
        for span in other.outside[first..]
            .iter()
            .take_while(|span| span.start < range.end)
        {
            let (start, end) = (span.start.max(range.start), span.end.min(range.end));
            self.mark(start - range.start + shift..end - range.start + shift);
        }
    }

    pub(super) fn slice(&self, range: Range<usize>) -> Text {
        let mut text = Text::default();
        text.push_slice(self, range);
        text
    }

    /// Each character replaced by what `change` appends for it, from where the character came.
    pub(super) fn map_chars(&self, mut change: impl FnMut(char, &mut String)) -> Text {
        let mut text = Text {
            chars: String::with_capacity(self.len()),
            outside: Vec::new(),
        };
        let mut spans = self.outside.iter().peekable();
        for (at, char) in self.chars.char_indices() {
            while spans.next_if(|span| span.end <= at).is_some() {}
            let start = text.chars.len();
            change(char, &mut text.chars);
            if spans.peek().is_some_and(|span| span.start <= at) {
                text.mark(start..text.chars.len());
            }
        }
        text
    }

    /// Matches of `from` replaced by `to`, at most `limit`; an empty `from` matches between all characters.
    pub(super) fn replace(&self, from: &str, to: &Text, limit: usize) -> Text {
        let mut text = Text::default();
        let mut done = 0;
        for (start, found) in self.chars.match_indices(from).take(limit) {
            text.push_slice(self, done..start);
            text.push(to);
            done = start + found.len();
        }
        text.push_slice(self, done..self.len());
        text
    }

    /// The part that `pick` keeps, a slice of the string it is given.
    pub(super) fn part(&self, pick: impl FnOnce(&str) -> &str) -> Text {
        let kept = pick(&self.chars);
        let start = kept.as_ptr() as usize - self.chars.as_ptr() as usize;
        self.slice(start..start + kept.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_keeps_where_bytes_came_from() {
        let mut text = Text::inside("<a>");
        text.push(&Text::outside("bé"));
        text.push(&Text::outside("c"));
        text.push_inside("<d>");
        assert_eq!(text.outside, std::slice::from_ref(&(3..7)));
        assert_eq!(text.slice(4..8), {
            let mut want = Text::outside("éc");
            want.push_inside("<");
            want
        });
        let upper = text.map_chars(|char, out| out.extend(char.to_uppercase()));
        assert_eq!((upper.as_str(), &upper.outside), ("<A>BÉC<D>", &text.outside));
        let replaced = text.replace("é", &Text::inside("eee"), usize::MAX);
        assert_eq!(
            (replaced.as_str(), &replaced.outside),
            ("<a>beeec<d>", &vec![3..4, 7..8])
        );
        let part = Text::outside("  x ").part(str::trim);
        assert_eq!(part, Text::outside("x"));
    }
}
