//! `<minimax:tool_call><invoke name="f"><parameter name="k">v</parameter></invoke></minimax:tool_call>`.

use super::parameters::{Parameters, ValueKind};
use super::{Between, Form, IdStyle, Section, Step, ToolFormat};

pub(super) const FORMAT: ToolFormat = ToolFormat {
    name: "minimax_m2",
    summary: "tags for the invocation and each parameter: MiniMax M2",
    marks: &[&["<minimax:tool_call>"]],
    form: Form::Sections(Section {
        open: "<minimax:tool_call>",
        bare: None,
        head: &[],
        call: &[
            Step::Text("<invoke name=\""),
            Step::Name(&["\">"]),
            Step::Parameters(&Parameters {
                open: "<parameter name=\"",
                name_ends: &[("\">", ValueKind::BySchema)],
                value_open: "",
                close: "</parameter>",
                on_own_lines: false,
                end: "</invoke>",
            }),
        ],
        between: Some(Between::FirstText),
        tail: &["</minimax:tool_call>"],
    }),
    ids: IdStyle::Call,
};
