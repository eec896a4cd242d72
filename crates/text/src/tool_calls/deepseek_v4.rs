//! `<｜DSML｜tool_calls><｜DSML｜invoke name="f"><｜DSML｜parameter name="k" string="true">v</｜DSML｜parameter>…`.

use super::parameters::{Parameters, ValueKind};
use super::{Between, Form, IdStyle, Section, Step, ToolFormat};

pub(super) const FORMAT: ToolFormat = ToolFormat {
    name: "deepseek_v4",
    summary: "DSML tags that say which values are text: DeepSeek V4",
    marks: &[&["｜DSML｜", "tool_calls", "invoke name="]],
    form: Form::Sections(Section {
        open: "<｜DSML｜tool_calls>",
        bare: None,
        head: &[],
        call: &[
            Step::Text("<｜DSML｜invoke name=\""),
            Step::Name(&["\">"]),
            Step::Parameters(&Parameters {
                open: "<｜DSML｜parameter name=\"",
                name_ends: &[
                    ("\" string=\"true\">", ValueKind::Text),
                    ("\" string=\"false\">", ValueKind::Json),
                ],
                value_open: "",
                close: "</｜DSML｜parameter>",
                on_own_lines: false,
                end: "</｜DSML｜invoke>",
            }),
        ],
        between: Some(Between::FirstText),
        tail: &["</｜DSML｜tool_calls>"],
    }),
    ids: IdStyle::Call,
};
