//! `<|channel|>commentary to=functions.f <|constrain|>json<|message|>{…}<|call|>`: a call is a message of its own.

use super::{Form, IdStyle, ToolFormat};

pub(super) const FORMAT: ToolFormat = ToolFormat {
    name: "harmony",
    summary: "messages in channels: gpt-oss",
    marks: &[&["<|channel|>", "<|start|>", "<|message|>"]],
    form: Form::Channels,
    ids: IdStyle::Call,
};
