//! Whether the answer comes whole or as it is made.

use super::ending::flag;
use super::{Group, Origin, Parameter, Rule};
use crate::error::ApiError;
use crate::json::Fields;

/// Whether it is streamed.
pub(crate) const STREAM: Group = &[Parameter {
    name: "stream",
    origin: Origin::OpenAi,
    rule: Rule::Applied,
    schema: r#"{"type":"boolean"}"#,
    about: "`true` for server-sent events",
    default: "`false`",
    taken: "[true, false]",
    refused: r#"["true", 1]"#,
}];

/// What only older doors have beside it.
pub(crate) const OPTIONS: Group = &[Parameter {
    name: "stream_options",
    origin: Origin::OpenAi,
    rule: Rule::Applied,
    schema: r#"{"type":"object","properties":{"include_usage":{"type":["boolean","null"]}},"additionalProperties":false}"#,
    about: "only with `stream`; `include_usage` for a last chunk with the usage",
    default: "no usage",
    taken: r#"[{"include_usage": true}, {}]"#,
    refused: r#"[{"foo": 1}, {"include_usage": 1}, {"include_obfuscation": true}, true]"#,
}];

/// What other servers know in `stream_options`. Sorted.
const OPTIONS_NOT_SUPPORTED: &[&str] = &["continuous_usage_stats", "include_obfuscation"];

/// How the caller wants the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AnswerForm {
    /// One JSON object.
    Whole,
    /// Server-sent events.
    Stream {
        /// With a last chunk for the usage.
        include_usage: bool,
    },
}

/// Reads the group.
pub(crate) fn read(fields: &mut Fields) -> Result<AnswerForm, ApiError> {
    let stream = flag(fields, "stream", false)?;
    let options = fields.take("stream_options");
    if options.is_some() && !stream {
        let message = "'stream_options' is only allowed when 'stream' is true";
        return Err(ApiError::parameter("invalid_value", "stream_options", message));
    }
    let include_usage = match options {
        Some(options) => {
            let mut options = options.fields("stream_options")?;
            let include_usage = flag(&mut options, "include_usage", false)?;
            options.finish(OPTIONS_NOT_SUPPORTED)?;
            include_usage
        }
        None => false,
    };
    Ok(if stream {
        AnswerForm::Stream { include_usage }
    } else {
        AnswerForm::Whole
    })
}
