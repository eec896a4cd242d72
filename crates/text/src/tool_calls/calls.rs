//! What a parser gives, and how calls get there: at once, or not before they are complete.

use serde_json::Value;

/// A piece of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Text of the answer.
    Text(String),
    /// Thinking before the answer; only formats with channels of their own give it.
    Reasoning(String),
    /// A call begins.
    Call {
        /// Which one, from 0.
        index: usize,
        /// The function's name.
        name: String,
    },
    /// More of a call's arguments.
    Arguments {
        /// Which call.
        index: usize,
        /// What it adds to the JSON text.
        text: String,
    },
}

/// A function that may be called.
#[derive(Debug, Clone)]
pub struct ToolSignature {
    /// Its name.
    pub name: String,
    /// The JSON schema of its arguments.
    pub parameters: Value,
}

/// What becomes of a call while it is not complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfinished {
    /// It is held back, and one that breaks off or makes no sense comes back as the text that it is.
    Held,
    /// Its pieces go out as they come. For answers that a grammar keeps in form: they may be cut, but never broken.
    Streamed,
}

/// Collects pieces.
#[derive(Debug)]
pub(super) struct Calls {
    pieces: Vec<Piece>,
    tools: Vec<ToolSignature>,
    unfinished: Unfinished,
    n_calls: usize,
    /// The call that is being read: its name and, where held, its arguments.
    current: Option<(String, String)>,
}

impl Calls {
    pub(super) fn new(tools: Vec<ToolSignature>, unfinished: Unfinished) -> Calls {
        Calls {
            pieces: Vec::new(),
            tools,
            unfinished,
            n_calls: 0,
            current: None,
        }
    }

    pub(super) fn take(&mut self) -> Vec<Piece> {
        std::mem::take(&mut self.pieces)
    }

    pub(super) fn text(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        match self.pieces.last_mut() {
            Some(Piece::Text(last)) => last.push_str(text),
            _ => self.pieces.push(Piece::Text(text.to_owned())),
        }
    }

    pub(super) fn reasoning(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        match self.pieces.last_mut() {
            Some(Piece::Reasoning(last)) => last.push_str(text),
            _ => self.pieces.push(Piece::Reasoning(text.to_owned())),
        }
    }

    /// A function's name is known. False where no such function was offered: then this is no call.
    #[must_use]
    pub(super) fn begin(&mut self, name: &str) -> bool {
        let is_known = !name.is_empty() && self.tools.iter().any(|tool| tool.name == name);
        if is_known {
            if self.unfinished == Unfinished::Streamed {
                self.pieces.push(Piece::Call {
                    index: self.n_calls,
                    name: name.to_owned(),
                });
            }
            self.current = Some((name.to_owned(), String::new()));
        }
        is_known
    }

    /// More of the arguments.
    pub(super) fn arguments(&mut self, text: &str) {
        match self.unfinished {
            Unfinished::Held => {
                if let Some((_, arguments)) = &mut self.current {
                    arguments.push_str(text);
                }
            }
            Unfinished::Streamed => self.push_arguments(text),
        }
    }

    /// The call is complete.
    pub(super) fn end(&mut self) {
        let Some((name, arguments)) = self.current.take() else {
            return;
        };
        if self.unfinished == Unfinished::Held {
            self.pieces.push(Piece::Call {
                index: self.n_calls,
                name,
            });
            self.push_arguments(&arguments);
        }
        self.n_calls += 1;
    }

    /// The call breaks off. True where nothing of it has gone out, so that its text must.
    #[must_use]
    pub(super) fn abandon(&mut self) -> bool {
        let is_out = self.current.take().is_some() && self.unfinished == Unfinished::Streamed;
        if is_out {
            self.n_calls += 1;
        }
        !is_out
    }

    /// The schema of an argument of the current call.
    pub(super) fn schema(&self, argument: &str) -> Option<&Value> {
        let (name, _) = self.current.as_ref()?;
        let tool = self.tools.iter().find(|tool| tool.name == *name)?;
        tool.parameters.get("properties")?.get(argument)
    }

    fn push_arguments(&mut self, text: &str) {
        if let Some(Piece::Arguments { index, text: last }) = self.pieces.last_mut()
            && *index == self.n_calls
        {
            last.push_str(text);
            return;
        }
        if !text.is_empty() {
            self.pieces.push(Piece::Arguments {
                index: self.n_calls,
                text: text.to_owned(),
            });
        }
    }
}
