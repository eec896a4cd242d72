//! Wishes that answers be kept, cut or made elsewhere: each is taken only as what is done anyway, or refused.

use crate::error::ApiError;
use crate::json::{Fields, Json, clip};
use crate::parameters::without_effect::one_of;
use crate::parameters::{Group, Origin, Parameter, Rule};

const fn row(
    name: &'static str,
    schema: &'static str,
    about: &'static str,
    examples: [&'static str; 2],
) -> Parameter {
    Parameter {
        name,
        origin: Origin::OpenAi,
        rule: Rule::WithoutEffect,
        schema,
        about,
        default: "",
        taken: examples[0],
        refused: examples[1],
    }
}

/// The rows.
pub(crate) const ROWS: Group = &[
    row(
        "truncation",
        r#"{"const":"disabled"}"#,
        "only `disabled`: a prompt is never cut",
        [r#"["disabled"]"#, r#"["auto"]"#],
    ),
    row(
        "client_metadata",
        r#"{"type":"object","maxProperties":64,"additionalProperties":{"type":"string"}}"#,
        "texts of the client's own; they are not kept",
        [r#"[{"turn_id": "1"}, {}]"#, r#"[7, {"a": 1}]"#],
    ),
    row(
        "background",
        r#"{"const":false}"#,
        "only `false`: no answer is kept",
        ["[false]", "[true]"],
    ),
    row(
        "stream_options",
        r#"{"type":"object","properties":{"include_obfuscation":{"enum":[false,null]}},"additionalProperties":false}"#,
        "only `include_obfuscation: false`; the usage always comes",
        [
            r#"[{}, {"include_obfuscation": false}]"#,
            r#"[{"include_obfuscation": true}, {"include_usage": true}, 1]"#,
        ],
    ),
    Parameter::refused("access_programs", Origin::OpenAi, "[1]", "there are none"),
    Parameter::refused("background_options", Origin::OpenAi, "[1]", "no answer is kept"),
    Parameter::refused(
        "context_management",
        Origin::OpenAi,
        "[1]",
        "a prompt is never changed",
    ),
    Parameter::refused(
        "conversation",
        Origin::OpenAi,
        "[1]",
        "no conversation is kept: send all of `input`",
    ),
    Parameter::refused("image", Origin::OpenAi, "[1]", "no images are made"),
    Parameter::refused(
        "max_tool_calls",
        Origin::OpenAi,
        "[1]",
        "it is about tools that OpenAI runs",
    ),
    Parameter::refused("moderation", Origin::OpenAi, "[1]", "nothing is moderated"),
    Parameter::refused(
        "previous_response_id",
        Origin::OpenAi,
        r#"["resp_1"]"#,
        "no answer is kept: send all of `input`",
    ),
    Parameter::refused("prompt", Origin::OpenAi, "[1]", "no prompts are kept"),
    Parameter::refused(
        "prompt_cache_options",
        Origin::OpenAi,
        "[1]",
        "equal beginnings are found by themselves",
    ),
];

/// Checks the rows.
pub(crate) fn check(fields: &mut Fields) -> Result<(), ApiError> {
    fields.optional("truncation", |value, path| {
        one_of(&value, path, &[r#""disabled""#])
    })?;
    fields.optional("client_metadata", client_metadata)?;
    fields.optional("background", |value, path| one_of(&value, path, &["false"]))?;
    fields.optional("stream_options", |value, path| {
        let mut options = value.fields(path)?;
        options.optional("include_obfuscation", |value, path| {
            one_of(&value, path, &["false"])
        })?;
        options.finish(&["include_usage"])
    })?;
    Ok(())
}

/// Entries of `client_metadata`; its bytes are bounded by the body's.
const MAX_CLIENT_METADATA: usize = 64;

fn client_metadata(value: Json, path: &str) -> Result<(), ApiError> {
    let Json::Object(entries) = value else {
        return Err(value.wrong_type(path, "an object"));
    };
    if entries.len() > MAX_CLIENT_METADATA {
        let message = format!(
            "'{path}' has {} entries; at most {MAX_CLIENT_METADATA} fit",
            entries.len()
        );
        return Err(ApiError::parameter("invalid_value", path, message));
    }
    for (key, value) in entries {
        value.string(&format!("{path}.{}", clip(&key)), "a string")?;
    }
    Ok(())
}
