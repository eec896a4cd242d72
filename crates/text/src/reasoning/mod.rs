//! Thinking before the answer: which marks a model puts around it, and taking the two apart while they arrive.
//!
//! Formats with channels of their own (gpt-oss) are not here: their messages are read by
//! [`crate::tool_calls::ToolCallParser`], thinking and all.

use crate::tool_calls::Piece;

/// The marks around a model's thinking.
#[derive(Debug, PartialEq, Eq)]
pub struct ThinkingMarks {
    /// Before it.
    pub open: &'static str,
    /// After it.
    pub close: &'static str,
}

/// Every pair of marks.
pub const THINKING_MARKS: &[&ThinkingMarks] = &[
    &ThinkingMarks {
        open: "<think>",
        close: "</think>",
    },
    &ThinkingMarks {
        open: "<|channel>thought",
        close: "<channel|>",
    },
    &ThinkingMarks {
        open: "[THINK]",
        close: "[/THINK]",
    },
    &ThinkingMarks {
        open: "<seed:think>",
        close: "</seed:think>",
    },
];

impl ThinkingMarks {
    /// The marks that a chat template speaks of, if it does.
    #[must_use]
    pub fn recognise(template: &str) -> Option<&'static ThinkingMarks> {
        let speaks_of =
            |marks: &&&ThinkingMarks| template.contains(marks.open) && template.contains(marks.close);
        THINKING_MARKS.iter().find(speaks_of).copied()
    }

    /// Whether a prompt ends within thinking, so that the answer begins there.
    #[must_use]
    pub fn is_open_at_end_of(&self, prompt: &str) -> bool {
        prompt.trim_end().ends_with(self.open)
    }
}

/// Takes thinking and answer apart while they arrive. Joined pieces do not depend on how the text was cut.
///
/// Whitespace around the thinking, and line feeds between it and the answer, are layout and left out.
#[derive(Debug, Clone)]
pub struct ThinkingSplitter {
    marks: &'static ThinkingMarks,
    at: At,
    /// What may be the beginning of a mark, or whitespace before one.
    held: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// Nothing but whitespace so far: thinking may open.
    Start,
    /// Behind the opening mark, before the first word.
    Opened,
    Thinking,
    /// Behind the closing mark, before the first word.
    Closed,
    Answer,
}

impl ThinkingSplitter {
    /// `is_open`: the prompt has opened the thinking.
    #[must_use]
    pub fn new(marks: &'static ThinkingMarks, is_open: bool) -> ThinkingSplitter {
        ThinkingSplitter {
            marks,
            at: if is_open { At::Opened } else { At::Start },
            held: String::new(),
        }
    }

    /// Whether the answer has not begun.
    #[must_use]
    pub fn is_thinking(&self) -> bool {
        matches!(self.at, At::Opened | At::Thinking)
    }

    /// Takes more; gives [`Piece::Reasoning`] and [`Piece::Text`] only.
    pub fn push(&mut self, text: &str) -> Vec<Piece> {
        let (mut reasoning, mut answer) = (String::new(), String::new());
        for c in text.chars() {
            self.feed(c, &mut reasoning, &mut answer);
        }
        pieces(reasoning, answer)
    }

    /// All has come.
    pub fn finish(&mut self) -> Vec<Piece> {
        let held = std::mem::take(&mut self.held);
        match self.at {
            At::Opened | At::Closed => Vec::new(),
            At::Thinking => pieces(held.trim_end().to_owned(), String::new()),
            At::Start | At::Answer => pieces(String::new(), held),
        }
    }

    fn feed(&mut self, c: char, reasoning: &mut String, answer: &mut String) {
        match self.at {
            At::Answer => answer.push(c),
            At::Closed if c == '\n' => {}
            At::Closed => {
                self.at = At::Answer;
                answer.push(c);
            }
            At::Start => {
                self.held.push(c);
                let mark = self.held.trim_start();
                if mark == self.marks.open {
                    self.held.clear();
                    self.at = At::Opened;
                } else if !self.marks.open.starts_with(mark) {
                    self.at = At::Answer;
                    answer.push_str(&std::mem::take(&mut self.held));
                }
            }
            At::Opened if c.is_whitespace() && self.held.is_empty() => {}
            At::Opened | At::Thinking => {
                self.held.push(c);
                if let Some(thought) = self.held.strip_suffix(self.marks.close) {
                    reasoning.push_str(thought.trim_end());
                    self.held.clear();
                    self.at = At::Closed;
                    return;
                }
                let n_free = self.n_free();
                if n_free > 0 {
                    self.at = At::Thinking;
                    reasoning.extend(self.held.drain(..n_free));
                }
            }
        }
    }

    /// Bytes of what is held that are certainly neither whitespace before the closing mark nor its beginning.
    fn n_free(&self) -> usize {
        let may_end = |tail: &str| self.marks.close.starts_with(tail.trim_start());
        let mut starts = self.held.char_indices().map(|(start, _)| start);
        starts
            .find(|&start| may_end(&self.held[start..]))
            .unwrap_or(self.held.len())
    }
}

fn pieces(reasoning: String, answer: String) -> Vec<Piece> {
    let reasoning = Some(reasoning).filter(|text| !text.is_empty());
    let answer = Some(answer).filter(|text| !text.is_empty());
    let reasoning = reasoning.map(Piece::Reasoning).into_iter();
    reasoning.chain(answer.map(Piece::Text)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<'t>(is_open: bool, chunks: impl IntoIterator<Item = &'t str>) -> (String, String) {
        let mut splitter = ThinkingSplitter::new(THINKING_MARKS[0], is_open);
        let (mut reasoning, mut answer) = (String::new(), String::new());
        let mut add = |pieces: Vec<Piece>| {
            for piece in pieces {
                match piece {
                    Piece::Reasoning(text) => reasoning.push_str(&text),
                    Piece::Text(text) => answer.push_str(&text),
                    other => panic!("{other:?}"),
                }
            }
        };
        for chunk in chunks {
            add(splitter.push(chunk));
        }
        add(splitter.finish());
        (reasoning, answer)
    }

    #[test]
    fn thinking_and_answer_are_taken_apart_however_they_are_cut() {
        for (is_open, text, reasoning, answer) in [
            (
                false,
                "<think>\nHm, 2 < 3.\n\nSo.\n</think>\n\nYes.\n",
                "Hm, 2 < 3.\n\nSo.",
                "Yes.\n",
            ),
            (
                true,
                "\nHm </thin k> é\n</think>\n\nJa, <b> 東京",
                "Hm </thin k> é",
                "Ja, <b> 東京",
            ),
            (false, "Just an answer.", "", "Just an answer."),
            (false, "  <thinking> aloud", "", "  <thinking> aloud"),
            (false, "<think></think>yes", "", "yes"),
            (true, "</think>yes", "", "yes"),
            (false, "<think>\n\n</think>\n\nyes", "", "yes"),
            (true, "cut in the mid", "cut in the mid", ""),
            (true, "cut at </thi", "cut at </thi", ""),
            (true, "a</think>b</think>c<think>d", "a", "b</think>c<think>d"),
            (true, "a </</think> b", "a </", " b"),
            (false, " ", "", " "),
            (false, "<thi", "", "<thi"),
        ] {
            assert_eq!(
                read(is_open, [text]),
                (reasoning.into(), answer.into()),
                "{text:?}"
            );
            for (at, _) in text.char_indices() {
                let (one, other) = text.split_at(at);
                assert_eq!(
                    read(is_open, [one, other]),
                    (reasoning.into(), answer.into()),
                    "{text:?} at {at}"
                );
            }
            let ends = text
                .char_indices()
                .map(|(start, c)| (start, start + c.len_utf8()));
            let single = read(is_open, ends.map(|(start, end)| &text[start..end]));
            assert_eq!(
                single,
                (reasoning.into(), answer.into()),
                "{text:?} in single characters"
            );
        }
    }

    #[test]
    fn text_that_cannot_be_a_mark_is_not_held_back() {
        let mut splitter = ThinkingSplitter::new(THINKING_MARKS[0], true);
        assert_eq!(splitter.push("so it is <"), [Piece::Reasoning("so it is".into())]);
        assert_eq!(splitter.push("b"), [Piece::Reasoning(" <b".into())]);
        assert!(splitter.is_thinking());
        assert_eq!(splitter.push("</think>x"), [Piece::Text("x".into())]);
        assert!(!splitter.is_thinking());
    }
}
