//! `{"name": "f", "parameters": {…}}` as the whole answer, perhaps after `<|python_tag|>`, several with `;` between.

use super::{Between, Form, IdStyle, Section, Step, ToolFormat};

pub(super) const FORMAT: ToolFormat = ToolFormat {
    name: "llama3_json",
    summary: "a bare JSON object: Llama 3.1, 3.2 and 3.3",
    marks: &[
        &["<|start_header_id|>", "respond with JSON for a function call"],
        &["<|python_tag|>"],
    ],
    form: Form::Sections(Section {
        open: "<|python_tag|>",
        bare: Some('{'),
        head: &[],
        call: &[Step::Object(&["parameters", "arguments"])],
        between: Some(Between::Separators(&[";", ","])),
        tail: &[],
    }),
    ids: IdStyle::Call,
};
