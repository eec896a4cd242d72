//! `<tool_call><function=f><parameter=key>value</parameter></function></tool_call>`.

use super::parameters::{Parameters, ValueKind};
use super::{Form, IdStyle, Section, Step, ToolFormat};

pub(super) const FORMAT: ToolFormat = ToolFormat {
    name: "qwen3_coder",
    summary: "tags for the function and each parameter: Qwen3-Coder, Qwen3.5, Nemotron 3",
    marks: &[&["<tool_call>", "<function="]],
    form: Form::Sections(Section {
        open: "<tool_call>",
        bare: None,
        head: &[],
        call: &[
            Step::Text("<function="),
            Step::Name(&[">"]),
            Step::Parameters(&Parameters {
                open: "<parameter=",
                name_ends: &[(">", ValueKind::BySchema)],
                value_open: "",
                close: "</parameter>",
                on_own_lines: true,
                end: "</function>",
            }),
        ],
        between: None,
        tail: &["</tool_call>"],
    }),
    ids: IdStyle::Call,
};
