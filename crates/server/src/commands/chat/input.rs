//! Where the turns of a conversation come from: a line editor on a terminal, plain lines elsewhere.

use std::io::{self, BufRead};

use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;

use crate::failure::Failure;

/// The longest line that is taken from a pipe, in bytes.
const MAX_LINE_BYTES: u64 = 1 << 20;

/// One of the two.
pub(super) enum Input {
    Terminal(Box<DefaultEditor>),
    Piped,
}

/// What was given.
pub(super) enum Line {
    Text(String),
    /// Another conversation is wanted.
    New,
    Help,
    /// An empty line, or one that was taken back.
    Nothing,
    End,
}

impl Input {
    /// Lines can be edited, and the arrow keys bring earlier ones back. They are kept in memory only.
    pub(super) fn terminal() -> Result<Input, Failure> {
        let editor = DefaultEditor::new()
            .map_err(|error| Failure::new(format!("cannot use the terminal: {error}")))?;
        Ok(Input::Terminal(Box::new(editor)))
    }

    pub(super) fn piped() -> Input {
        Input::Piped
    }

    pub(super) fn is_terminal(&self) -> bool {
        matches!(self, Input::Terminal(_))
    }

    /// Waits for the next line.
    pub(super) fn read(&mut self) -> Result<Line, Failure> {
        match self {
            Input::Terminal(editor) => read_terminal(editor),
            Input::Piped => read_pipe(&mut io::stdin().lock()),
        }
    }
}

fn read_terminal(editor: &mut DefaultEditor) -> Result<Line, Failure> {
    match editor.readline("> ") {
        Ok(line) => {
            let text = line.trim();
            if !text.is_empty() {
                // Only fails where the history has no room: then this line cannot be brought back.
                let _ = editor.add_history_entry(text);
            }
            Ok(match text {
                "" => Line::Nothing,
                "/new" => Line::New,
                "/help" => Line::Help,
                "/exit" | "/quit" => Line::End,
                text => Line::Text(text.to_owned()),
            })
        }
        Err(ReadlineError::Interrupted) => Ok(Line::Nothing),
        Err(ReadlineError::Eof) => Ok(Line::End),
        Err(error) => Err(Failure::new(format!("cannot read from the terminal: {error}"))),
    }
}

fn read_pipe(input: &mut impl BufRead) -> Result<Line, Failure> {
    let mut line = String::new();
    let n_bytes = io::Read::take(&mut *input, MAX_LINE_BYTES + 1).read_line(&mut line);
    let n_bytes = n_bytes.map_err(|error| Failure::new(format!("standard input cannot be read: {error}")))?;
    if n_bytes as u64 > MAX_LINE_BYTES {
        return Err(Failure::usage(format!(
            "a line of standard input is longer than {MAX_LINE_BYTES} bytes"
        )));
    }
    Ok(match line.trim() {
        _ if n_bytes == 0 => Line::End,
        "" => Line::Nothing,
        text => Line::Text(text.to_owned()),
    })
}
