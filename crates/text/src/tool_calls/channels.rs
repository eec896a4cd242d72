//! Messages in channels, as gpt-oss writes them: `<|channel|>analysis<|message|>…<|end|><|start|>assistant…`.
//!
//! A message for `functions.NAME` is a call, the channel `analysis` is thinking, all else is the answer.

use super::calls::Calls;
use super::json::{Fed, JsonScan};

const CHANNEL: &str = "<|channel|>";
const MESSAGE: &str = "<|message|>";
const START: &str = "<|start|>";
const ENDS: [&str; 3] = ["<|end|>", "<|return|>", "<|call|>"];

/// Texts that begin and end messages and their parts.
pub(super) const MARKS: &[&str] = &[
    CHANNEL,
    MESSAGE,
    START,
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|constrain|>",
];

/// No header is longer (bytes).
const MAX_HEADER_BYTES: usize = 512;

/// Reads an answer that begins after `<|start|>assistant`.
#[derive(Debug)]
pub(super) struct ChannelReader {
    at: At,
}

#[derive(Debug)]
enum At {
    /// In a header: what has been read of it.
    Header(String),
    /// In a message; what may be the beginning of a mark.
    Body { kind: Kind, mark: String },
    /// After a message; what may be a mark.
    After(String),
}

#[derive(Debug)]
enum Kind {
    Thinking,
    Answer,
    Call {
        scan: JsonScan,
        is_over: bool,
        source: String,
    },
}

impl Default for ChannelReader {
    fn default() -> ChannelReader {
        ChannelReader {
            at: At::Header(String::new()),
        }
    }
}

impl ChannelReader {
    pub(super) fn feed(&mut self, c: char, calls: &mut Calls) {
        match &mut self.at {
            At::Header(header) => {
                header.push(c);
                if let Some(header) = header.strip_suffix(MESSAGE) {
                    let source = format!("{header}{MESSAGE}");
                    let kind = Kind::of(header, source, calls);
                    self.at = At::Body {
                        kind,
                        mark: String::new(),
                    };
                } else if !may_be_header(header) {
                    // A model that writes no channels: all of it is the answer.
                    let text = std::mem::take(header);
                    self.at = At::Body {
                        kind: Kind::Answer,
                        mark: String::new(),
                    };
                    for c in text.chars() {
                        self.feed(c, calls);
                    }
                }
            }
            At::Body { kind, mark } => {
                mark.push(c);
                loop {
                    let begins_next = mark == START;
                    if begins_next || ENDS.contains(&mark.as_str()) {
                        kind.end(calls);
                        self.at = if begins_next {
                            At::Header(String::new())
                        } else {
                            At::After(String::new())
                        };
                        return;
                    }
                    if mark.is_empty() || is_beginning(mark) {
                        return;
                    }
                    let first = mark.remove(0);
                    kind.pass(first, calls);
                }
            }
            At::After(mark) => {
                mark.push(c);
                if mark == START {
                    self.at = At::Header(String::new());
                } else if !START.starts_with(mark.as_str()) {
                    if mark.trim().is_empty() {
                        mark.clear();
                        return;
                    }
                    let text = std::mem::take(mark);
                    self.at = At::Header(String::new());
                    for c in text.chars() {
                        self.feed(c, calls);
                    }
                }
            }
        }
    }

    pub(super) fn finish(&mut self, calls: &mut Calls) {
        match &mut self.at {
            At::Header(header) => {
                // The beginning of a message that never came.
                if !header.contains(CHANNEL) && !header.starts_with("assistant") {
                    calls.text(header);
                }
            }
            At::Body { kind, mark } => {
                for c in std::mem::take(mark).chars() {
                    kind.pass(c, calls);
                }
                kind.end(calls);
            }
            At::After(mark) => calls.text(mark),
        }
    }
}

/// Whether a text may still be a header: a role, a recipient, a channel.
fn may_be_header(header: &str) -> bool {
    let role = header.strip_prefix("assistant").unwrap_or(header).trim_start();
    let begins = |mark: &str| role.starts_with(mark) || mark.starts_with(role);
    header.len() <= MAX_HEADER_BYTES
        && (begins(CHANNEL) || begins("to=") || begins(MESSAGE) || "assistant".starts_with(header))
}

fn is_beginning(text: &str) -> bool {
    START.starts_with(text) || ENDS.iter().any(|end| end.starts_with(text))
}

impl Kind {
    fn of(header: &str, source: String, calls: &mut Calls) -> Kind {
        if let Some((_, recipient)) = header.split_once("to=functions.") {
            let end = recipient
                .find(|c: char| c.is_whitespace() || c == '<')
                .unwrap_or(recipient.len());
            if calls.begin(&recipient[..end]) {
                return Kind::Call {
                    scan: JsonScan::new(),
                    is_over: false,
                    source,
                };
            }
            calls.text(&source);
            return Kind::Answer;
        }
        let channel = header.split_once(CHANNEL).map_or("", |(_, channel)| channel);
        if channel.trim_start().starts_with("analysis") {
            Kind::Thinking
        } else {
            Kind::Answer
        }
    }

    fn pass(&mut self, c: char, calls: &mut Calls) {
        let mut bytes = [0; 4];
        let text: &str = c.encode_utf8(&mut bytes);
        match self {
            Kind::Thinking => calls.reasoning(text),
            Kind::Answer => calls.text(text),
            Kind::Call {
                scan,
                is_over,
                source,
            } => {
                source.push(c);
                if *is_over && c.is_ascii_whitespace() {
                    return;
                }
                let fed = if *is_over { Fed::Broken } else { scan.feed(c) };
                match fed {
                    Fed::More | Fed::DoneBefore => calls.arguments(text),
                    Fed::Done => {
                        calls.arguments(text);
                        *is_over = true;
                    }
                    Fed::Broken => {
                        if calls.abandon() {
                            calls.text(source);
                        }
                        *self = Kind::Answer;
                    }
                }
            }
        }
    }

    fn end(&mut self, calls: &mut Calls) {
        if let Kind::Call { is_over, source, .. } = self {
            if *is_over {
                calls.end();
            } else if calls.abandon() {
                calls.text(source);
            }
            *self = Kind::Answer;
        }
    }
}
