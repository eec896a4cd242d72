//! `<tool_call>{"name": "f", "arguments": {…}}</tool_call>`, a pair of tags for each call.

use super::{Form, IdStyle, Section, Step, ToolFormat};

pub(super) const FORMAT: ToolFormat = ToolFormat {
    name: "hermes",
    summary: "a JSON object between `<tool_call>` tags: Hermes, Qwen2.5, Qwen3",
    marks: &[&["<tool_call>"]],
    form: Form::Sections(Section {
        open: "<tool_call>",
        bare: None,
        head: &[],
        call: &[Step::Object(&["arguments", "parameters"])],
        between: None,
        tail: &["</tool_call>"],
    }),
    ids: IdStyle::Call,
};
