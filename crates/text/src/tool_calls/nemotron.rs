//! `<TOOLCALL>[{"name": "f", "arguments": {…}}]</TOOLCALL>`.

use super::{Between, Form, IdStyle, Section, Step, ToolFormat};

pub(super) const FORMAT: ToolFormat = ToolFormat {
    name: "nemotron",
    summary: "a JSON list between `<TOOLCALL>` tags: Llama Nemotron, Nemotron Nano 2",
    marks: &[&["<TOOLCALL>"]],
    form: Form::Sections(Section {
        open: "<TOOLCALL>",
        bare: None,
        head: &["["],
        call: &[Step::Object(&["arguments", "parameters"])],
        between: Some(Between::Separators(&[","])),
        tail: &["]", "</TOOLCALL>"],
    }),
    ids: IdStyle::Call,
};
