//! `[f(a=1, b="x"), g()]`: a Python list of calls, perhaps between `<|python_start|>` and `<|python_end|>`.

use super::literal::Dialect;
use super::{Between, Form, IdStyle, Section, Step, ToolFormat};

pub(super) const FORMAT: ToolFormat = ToolFormat {
    name: "llama4_pythonic",
    summary: "a Python list of calls: Llama 4, Llama 3.2 with its pythonic prompt",
    marks: &[
        &["<|header_start|>", "python"],
        &["func_name1(params_name1"],
        &["<|python_start|>"],
    ],
    form: Form::Sections(Section {
        open: "<|python_start|>",
        bare: Some('['),
        head: &["["],
        call: &[Step::Name(&["("]), Step::Literal(Dialect::Python)],
        between: Some(Between::Separators(&[","])),
        tail: &["]", "<|python_end|>"],
    }),
    ids: IdStyle::Call,
};
