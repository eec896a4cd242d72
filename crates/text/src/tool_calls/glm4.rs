//! `<tool_call>f<arg_key>key</arg_key><arg_value>value</arg_value></tool_call>`.

use super::parameters::{Parameters, ValueKind};
use super::{Form, IdStyle, Section, Step, ToolFormat};

pub(super) const FORMAT: ToolFormat = ToolFormat {
    name: "glm4",
    summary: "tags for keys and values: GLM 4.5, 4.6, 4.7 and 5",
    marks: &[&["<tool_call>", "<arg_key>"]],
    form: Form::Sections(Section {
        open: "<tool_call>",
        bare: None,
        head: &[],
        call: &[
            Step::BareName,
            Step::Parameters(&Parameters {
                open: "<arg_key>",
                name_ends: &[("</arg_key>", ValueKind::BySchema)],
                value_open: "<arg_value>",
                close: "</arg_value>",
                on_own_lines: false,
                end: "</tool_call>",
            }),
        ],
        between: None,
        tail: &[],
    }),
    ids: IdStyle::Call,
};
