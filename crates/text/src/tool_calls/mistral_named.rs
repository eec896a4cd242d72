//! `[TOOL_CALLS]f[ARGS]{…}`, the marker again before each call; some models put `[CALL_ID]id` after the name.

use super::{Between, Form, IdStyle, Section, Step, ToolFormat};

pub(super) const FORMAT: ToolFormat = ToolFormat {
    name: "mistral_named",
    summary: "name and JSON after `[TOOL_CALLS]`: Mistral Small 3.2, Magistral, Devstral",
    marks: &[&["[TOOL_CALLS]", "[ARGS]"]],
    form: Form::Sections(Section {
        open: "[TOOL_CALLS]",
        bare: None,
        head: &[],
        call: &[Step::Name(&["[ARGS]"]), Step::Arguments],
        between: Some(Between::Separators(&["[TOOL_CALLS]"])),
        tail: &[],
    }),
    ids: IdStyle::Nine,
};
