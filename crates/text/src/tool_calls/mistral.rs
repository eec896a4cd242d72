//! `[TOOL_CALLS][{"name": "f", "arguments": {…}}, …]`.

use super::{Between, Form, IdStyle, Section, Step, ToolFormat};

pub(super) const FORMAT: ToolFormat = ToolFormat {
    name: "mistral",
    summary: "a JSON list after `[TOOL_CALLS]`: Mistral 7B v0.3, Nemo, Large 2",
    marks: &[&["[TOOL_CALLS]"]],
    form: Form::Sections(Section {
        open: "[TOOL_CALLS]",
        bare: None,
        head: &["["],
        call: &[Step::Object(&["arguments"])],
        between: Some(Between::Separators(&[","])),
        tail: &["]"],
    }),
    ids: IdStyle::Nine,
};
