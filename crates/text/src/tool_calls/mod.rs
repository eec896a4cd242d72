//! Tool calls in a model's answer: one file per format, [`FORMATS`], and one parser that they share.
//!
//! A format is data: which text opens the calls, how each call is written, what closes them. From it follow the
//! [`ToolCallParser`], which reads an answer while it arrives, and the grammar that makes a model write calls in its
//! own form. Which format a model speaks is recognised by its chat template.
//!
//! The parser works character by character, so what it gives does not depend on how the text was cut into pieces.

mod calls;
mod channels;
mod json;
mod literal;
mod object;
mod parameters;
mod parser;

mod deepseek_v31;
mod deepseek_v4;
mod gemma4;
mod glm4;
mod harmony;
mod hermes;
mod kimi_k2;
mod llama3_json;
mod llama4_pythonic;
mod minimax_m2;
mod mistral;
mod mistral_named;
mod nemotron;
mod phi4;
mod qwen3_coder;

pub use calls::{Piece, ToolSignature, Unfinished};
pub(crate) use literal::Dialect;
pub(crate) use parameters::{Parameters, ValueKind, takes_text};
pub use parser::ToolCallParser;

/// How a family of models writes tool calls.
#[derive(Debug)]
pub struct ToolFormat {
    /// Its name, as configured.
    pub name: &'static str,
    /// One line for the reference page.
    pub summary: &'static str,
    /// A template that has all texts of one of these groups is of this format.
    marks: &'static [&'static [&'static str]],
    pub(crate) form: Form,
    /// What ids of calls look like.
    pub ids: IdStyle,
}

/// What ids of calls look like; some templates refuse others than their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdStyle {
    /// `call_` and 24 letters and digits.
    Call,
    /// Nine letters and digits.
    Nine,
    /// `functions.NAME:INDEX`.
    Indexed,
}

#[derive(Debug)]
pub(crate) enum Form {
    Sections(Section),
    /// Messages in channels, of which some are calls.
    Channels,
}

/// A stretch of an answer that holds calls: `open head call (between call)* tail`.
#[derive(Debug)]
pub(crate) struct Section {
    /// Begins it anywhere in the answer; whitespace may follow.
    pub(crate) open: &'static str,
    /// Begins it without `open`, but only as the first character of the answer; it is not used up.
    pub(crate) bare: Option<char>,
    /// Texts before the first call, whitespace between.
    pub(crate) head: &'static [&'static str],
    pub(crate) call: &'static [Step],
    /// What leads to another call; `None` where a section has one call only.
    pub(crate) between: Option<Between>,
    /// Texts after the last call, whitespace between. Calls count without them.
    pub(crate) tail: &'static [&'static str],
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Between {
    /// One of these.
    Separators(&'static [&'static str]),
    /// Nothing: the next call's first text.
    FirstText,
}

/// A part of a call; whitespace may stand between any two.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    /// Exactly this.
    Text(&'static str),
    /// The function's name, up to one of these, which is used up.
    Name(&'static [&'static str]),
    /// The function's name, up to whitespace or `<`.
    BareName,
    /// `{"name": …, "arguments": …}`, the arguments under one of these keys.
    Object(&'static [&'static str]),
    /// A JSON object, which is the arguments.
    Arguments,
    /// Each argument between marks of its own.
    Parameters(&'static Parameters),
    /// Arguments in a language of their own, up to the character that closes them.
    Literal(Dialect),
}

/// Every format, sorted by name.
pub const FORMATS: &[&ToolFormat] = &[
    &deepseek_v31::FORMAT,
    &deepseek_v4::FORMAT,
    &gemma4::FORMAT,
    &glm4::FORMAT,
    &harmony::FORMAT,
    &hermes::FORMAT,
    &kimi_k2::FORMAT,
    &llama3_json::FORMAT,
    &llama4_pythonic::FORMAT,
    &minimax_m2::FORMAT,
    &mistral::FORMAT,
    &mistral_named::FORMAT,
    &nemotron::FORMAT,
    &phi4::FORMAT,
    &qwen3_coder::FORMAT,
];

impl ToolFormat {
    /// The format with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static ToolFormat> {
        FORMATS.iter().copied().find(|format| format.name == name)
    }

    /// The format that a chat template speaks of, if one does. Where several do, the one with the longest mark: it
    /// says most.
    #[must_use]
    pub fn recognise(template: &str) -> Option<&'static ToolFormat> {
        let weight = |format: &ToolFormat| {
            let present = format
                .marks
                .iter()
                .filter(|group| group.iter().all(|mark| template.contains(mark)));
            present
                .map(|group| group.iter().map(|mark| mark.len()).sum::<usize>())
                .max()
        };
        let weighed = FORMATS
            .iter()
            .filter_map(|format| Some((weight(format)?, *format)));
        weighed
            .max_by_key(|(weight, _)| *weight)
            .map(|(_, format)| format)
    }

    /// Texts that a parser of this format must see even where they are special tokens, which a decoder leaves out
    /// otherwise.
    #[must_use]
    pub fn marks(&self) -> Vec<&'static str> {
        let mut marks = match &self.form {
            Form::Channels => channels::MARKS.to_vec(),
            Form::Sections(section) => {
                let mut marks = vec![section.open];
                marks.extend(section.head);
                marks.extend(section.tail);
                if let Some(Between::Separators(separators)) = section.between {
                    marks.extend(separators);
                }
                marks.extend(section.call.iter().flat_map(Step::marks));
                marks
            }
        };
        marks.retain(|mark| !mark.is_empty());
        marks.sort_unstable();
        marks.dedup();
        marks
    }

    /// The text that begins calls anywhere in an answer; none where they are messages of their own.
    #[must_use]
    pub fn opening(&self) -> Option<&'static str> {
        match &self.form {
            Form::Sections(section) => Some(section.open),
            Form::Channels => None,
        }
    }

    /// Whether the format itself keeps thinking and answer apart.
    #[must_use]
    pub fn has_channels(&self) -> bool {
        matches!(self.form, Form::Channels)
    }
}

impl Step {
    fn marks(&self) -> Vec<&'static str> {
        match self {
            Step::Text(text) => vec![text],
            Step::Name(ends) => ends.to_vec(),
            Step::Parameters(parameters) => parameters.marks(),
            Step::Literal(dialect) => dialect.marks(),
            Step::BareName | Step::Object(_) | Step::Arguments => Vec::new(),
        }
    }
}
