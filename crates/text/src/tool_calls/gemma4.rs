//! `<|tool_call>call:f{key:<|"|>text<|"|>,other:1}<tool_call|>`.

use super::literal::Dialect;
use super::{Form, IdStyle, Section, Step, ToolFormat};

pub(super) const FORMAT: ToolFormat = ToolFormat {
    name: "gemma4",
    summary: "arguments in braces with marks for quotes: Gemma 4",
    marks: &[&["<|tool_call>", "<tool_call|>"]],
    form: Form::Sections(Section {
        open: "<|tool_call>",
        bare: None,
        head: &[],
        call: &[
            Step::Text("call:"),
            Step::Name(&["{"]),
            Step::Literal(Dialect::Gemma),
        ],
        between: None,
        tail: &["<tool_call|>"],
    }),
    ids: IdStyle::Call,
};
