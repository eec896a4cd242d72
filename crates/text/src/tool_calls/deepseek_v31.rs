//! `<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{…}<｜tool▁call▁end｜><｜tool▁calls▁end｜>`.

use super::{Between, Form, IdStyle, Section, Step, ToolFormat};

pub(super) const FORMAT: ToolFormat = ToolFormat {
    name: "deepseek_v31",
    summary: "name and JSON between marks: DeepSeek V3.1 and V3.2-Exp",
    marks: &[&["<｜tool▁calls▁begin｜>", "<｜tool▁sep｜>"]],
    form: Form::Sections(Section {
        open: "<｜tool▁calls▁begin｜>",
        bare: None,
        head: &[],
        call: &[
            Step::Text("<｜tool▁call▁begin｜>"),
            Step::Name(&["<｜tool▁sep｜>"]),
            Step::Arguments,
            Step::Text("<｜tool▁call▁end｜>"),
        ],
        between: Some(Between::FirstText),
        tail: &["<｜tool▁calls▁end｜>"],
    }),
    ids: IdStyle::Call,
};
