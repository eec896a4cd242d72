//! Text of an answer to its pieces: thinking, text, calls.

use tokenmill_text::reasoning::{ThinkingMarks, ThinkingSplitter};
use tokenmill_text::tool_calls::{Piece, ToolCallParser, ToolFormat, ToolSignature, Unfinished};

/// How an answer is to be read.
#[derive(Debug, Clone, Default)]
pub(super) struct Reading {
    /// Thinking comes between these marks; and whether the prompt has opened it.
    pub(super) thinking: Option<(&'static ThinkingMarks, bool)>,
    /// Calls come in this form.
    pub(super) calls: Option<&'static ToolFormat>,
    /// The functions that may be called.
    pub(super) tools: Vec<ToolSignature>,
    /// Special tokens whose text must be seen.
    pub(super) shown: Vec<u32>,
}

/// Reads one answer while it arrives.
pub(super) struct AnswerReader {
    thinking: Option<ThinkingSplitter>,
    calls: Option<ToolCallParser>,
    in_channels: bool,
    has_answered: bool,
    /// Tokens of thinking so far.
    pub(super) n_thinking: u64,
    /// Whether a call has come.
    pub(super) has_called: bool,
}

impl Reading {
    pub(super) fn reader(&self) -> AnswerReader {
        let calls = self.calls.map(|format| {
            // A grammar keeps the calls in form, so their pieces may go out as they come.
            ToolCallParser::new(format, self.tools.clone(), Unfinished::Streamed)
        });
        AnswerReader {
            thinking: self
                .thinking
                .map(|(marks, is_open)| ThinkingSplitter::new(marks, is_open)),
            calls,
            in_channels: self.calls.is_some_and(ToolFormat::has_channels),
            has_answered: false,
            n_thinking: 0,
            has_called: false,
        }
    }

    /// Whether the answer is anything but plain text.
    pub(super) fn is_plain(&self) -> bool {
        self.thinking.is_none() && self.calls.is_none()
    }
}

impl AnswerReader {
    /// The text of one more token.
    pub(super) fn push(&mut self, text: &str) -> Vec<Piece> {
        let was_thinking = self.is_thinking();
        let pieces = self.rest(text);
        if self.is_thinking() || was_thinking {
            self.n_thinking += 1;
        }
        pieces
    }

    /// Text that is no token's of its own.
    pub(super) fn rest(&mut self, text: &str) -> Vec<Piece> {
        let pieces = match &mut self.thinking {
            Some(splitter) => splitter.push(text),
            None if text.is_empty() => Vec::new(),
            None => vec![Piece::Text(text.to_owned())],
        };
        self.read_calls(pieces)
    }

    /// No more text comes.
    pub(super) fn finish(&mut self) -> Vec<Piece> {
        let pieces = self
            .thinking
            .as_mut()
            .map(ThinkingSplitter::finish)
            .unwrap_or_default();
        let mut pieces = self.read_calls(pieces);
        if let Some(calls) = &mut self.calls {
            pieces.extend(calls.finish());
        }
        self.note(&pieces);
        pieces
    }

    /// Whether the model may think at all.
    pub(super) fn thinks(&self) -> bool {
        self.in_channels || self.thinking.is_some()
    }

    fn is_thinking(&self) -> bool {
        if self.in_channels {
            return !self.has_answered;
        }
        self.thinking.as_ref().is_some_and(ThinkingSplitter::is_thinking)
    }

    fn read_calls(&mut self, pieces: Vec<Piece>) -> Vec<Piece> {
        let Some(calls) = &mut self.calls else {
            return pieces;
        };
        let mut read = Vec::new();
        for piece in pieces {
            match piece {
                Piece::Text(text) => read.extend(calls.push(&text)),
                other => read.push(other),
            }
        }
        self.note(&read);
        read
    }

    fn note(&mut self, pieces: &[Piece]) {
        for piece in pieces {
            self.has_called |= matches!(piece, Piece::Call { .. });
            self.has_answered |= !matches!(piece, Piece::Reasoning(_));
        }
    }
}
