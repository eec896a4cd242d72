//! `<|tool_calls_section_begin|><|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>{…}<|tool_call_end|>…`.

use super::{Between, Form, IdStyle, Section, Step, ToolFormat};

pub(super) const FORMAT: ToolFormat = ToolFormat {
    name: "kimi_k2",
    summary: "numbered names and JSON between marks: Kimi K2",
    marks: &[&["<|tool_calls_section_begin|>"]],
    form: Form::Sections(Section {
        open: "<|tool_calls_section_begin|>",
        bare: None,
        head: &[],
        call: &[
            Step::Text("<|tool_call_begin|>"),
            Step::Name(&["<|tool_call_argument_begin|>"]),
            Step::Arguments,
            Step::Text("<|tool_call_end|>"),
        ],
        between: Some(Between::FirstText),
        tail: &["<|tool_calls_section_end|>"],
    }),
    ids: IdStyle::Indexed,
};
