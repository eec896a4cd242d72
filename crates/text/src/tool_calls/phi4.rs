//! `<|tool_call|>[{"name": "f", "arguments": {…}}]<|/tool_call|>`.

use super::{Between, Form, IdStyle, Section, Step, ToolFormat};

pub(super) const FORMAT: ToolFormat = ToolFormat {
    name: "phi4",
    summary: "a JSON list between `<|tool_call|>` marks: Phi-4-mini",
    marks: &[&["<|tool_call|>"], &["<|tool|>", "<|/tool|>"]],
    form: Form::Sections(Section {
        open: "<|tool_call|>",
        bare: None,
        head: &["["],
        call: &[Step::Object(&["arguments", "parameters"])],
        between: Some(Between::Separators(&[","])),
        tail: &["]", "<|/tool_call|>"],
    }),
    ids: IdStyle::Call,
};
