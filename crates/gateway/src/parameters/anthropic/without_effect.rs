//! What is taken and changes nothing, and what is known and refused.

use crate::error::ApiError;
use crate::json::{Fields, Json};
use crate::parameters::{Group, Origin, Parameter, Rule, short_text};

const fn row(
    name: &'static str,
    schema: &'static str,
    about: &'static str,
    examples: [&'static str; 2],
) -> Parameter {
    Parameter {
        name,
        origin: Origin::Anthropic,
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
        "metadata",
        r#"{"type":"object","properties":{"user_id":{"type":["string","null"],"maxLength":512}},"additionalProperties":false}"#,
        "`user_id`, a name for your own end user; it is not kept",
        [
            r#"[{"user_id":"someone"}, {}]"#,
            r#"[7, {"user_id":7}, {"name":"x"}]"#,
        ],
    ),
    row(
        "cache_control",
        r#"{"type":"object","required":["type"],"properties":{"type":{"const":"ephemeral"}}}"#,
        "here and on blocks and tools, a hint for caches that need one: equal beginnings are found without it",
        [
            r#"[{"type":"ephemeral"}, {"type":"ephemeral","ttl":"1h"}]"#,
            r#"[{"type":"for_ever"}, {"type":"ephemeral","ttl":"1y"}]"#,
        ],
    ),
    row(
        "service_tier",
        r#"{"enum":["auto","standard_only"]}"#,
        "only `auto` and `standard_only`: there is one tier",
        [r#"["auto", "standard_only"]"#, r#"["priority", 1]"#],
    ),
    row(
        "speed",
        r#"{"const":"standard"}"#,
        "only `standard`",
        [r#"["standard"]"#, r#"["fast"]"#],
    ),
    row(
        "context_management",
        r#"{"type":"object","properties":{"edits":{"type":["array","null"],"items":{"type":"object","required":["type"],"properties":{"type":{"const":"clear_thinking_20251015"},"keep":{}},"additionalProperties":false}}},"additionalProperties":false}"#,
        "only `edits` that change nothing: `clear_thinking_20251015` that keeps `all`",
        [
            r#"[{}, {"edits":[]}, {"edits":[{"type":"clear_thinking_20251015","keep":"all"}]}]"#,
            r#"[{"edits":[{"type":"clear_tool_uses_20250919"}]}, {"edits":[{"type":"clear_thinking_20251015","keep":{"type":"thinking_turns","value":1}}]}, 1]"#,
        ],
    ),
    row(
        "diagnostics",
        r#"{"type":"object","properties":{"previous_message_id":{"type":["string","null"],"maxLength":512}},"additionalProperties":false}"#,
        "`previous_message_id`, for a report on the cache that is never made here",
        [r#"[{"previous_message_id":"msg_1"}, {}]"#, r#"[{"x":1}, 7]"#],
    ),
    row(
        "mcp_servers",
        r#"{"type":"array","maxItems":0}"#,
        "only an empty list: this server calls no others",
        [r#"[[]]"#, r#"[[{"type":"url"}]]"#],
    ),
    Parameter::refused(
        "billing_policy",
        Origin::Anthropic,
        "[1]",
        "who pays is the key's project",
    ),
    Parameter::refused(
        "compaction",
        Origin::Anthropic,
        "[1]",
        "a prompt is never changed",
    ),
    Parameter::refused("container", Origin::Anthropic, "[1]", "no code is run here"),
    Parameter::refused(
        "fallback_credit_token",
        Origin::Anthropic,
        "[1]",
        "there are no fallbacks",
    ),
    Parameter::refused(
        "fallbacks",
        Origin::Anthropic,
        "[1]",
        "ask another model yourself",
    ),
    Parameter::refused(
        "inference_geo",
        Origin::Anthropic,
        "[1]",
        "inference is where this server is",
    ),
    Parameter::refused("thread", Origin::Anthropic, "[1]", "no conversation is kept"),
    Parameter::refused(
        "user_profile_id",
        Origin::Anthropic,
        "[1]",
        "use `metadata.user_id`",
    ),
    Parameter::refused(
        "workspace_id",
        Origin::Anthropic,
        "[1]",
        "use the header `OpenAI-Project`",
    ),
];

/// Checks the rows.
pub(crate) fn check(fields: &mut Fields) -> Result<(), ApiError> {
    fields.optional("metadata", |value, path| names(value, path, "user_id"))?;
    fields.optional("cache_control", cache_control)?;
    fields.optional("service_tier", |value, path| {
        only(&value, path, &[r#""auto""#, r#""standard_only""#])
    })?;
    fields.optional("speed", |value, path| only(&value, path, &[r#""standard""#]))?;
    fields.optional("context_management", context_management)?;
    fields.optional("diagnostics", |value, path| {
        names(value, path, "previous_message_id")
    })?;
    fields.optional("mcp_servers", |value, path| only(&value, path, &["[]"]))?;
    Ok(())
}

/// An object that may have one name.
fn names(value: Json, path: &str, name: &str) -> Result<(), ApiError> {
    let mut fields = value.fields(path)?;
    fields.optional(name, short_text)?;
    fields.finish(&[])
}

/// Checks a mark for the cache.
pub(super) fn cache_control(value: Json, path: &str) -> Result<(), ApiError> {
    let mut fields = value.fields(path)?;
    let type_path = fields.path_of("type");
    only(&fields.require("type")?, &type_path, &[r#""ephemeral""#])?;
    fields.optional("ttl", |value, path| only(&value, path, &[r#""5m""#, r#""1h""#]))?;
    // Among whom a prompt may be shared: never beyond a project here.
    fields.optional("scope", short_text)?;
    fields.finish(&[])
}

fn context_management(value: Json, path: &str) -> Result<(), ApiError> {
    let mut fields = value.fields(path)?;
    let edits_path = fields.path_of("edits");
    let edits = fields.optional("edits", Json::array)?;
    for (idx, edit) in edits.unwrap_or_default().into_iter().enumerate() {
        let mut edit = edit.fields(&format!("{edits_path}[{idx}]"))?;
        let (type_path, keep_path) = (edit.path_of("type"), edit.path_of("keep"));
        only(
            &edit.require("type")?,
            &type_path,
            &[r#""clear_thinking_20251015""#],
        )?;
        only(
            &edit.require("keep")?,
            &keep_path,
            &[r#""all""#, r#"{"type":"all"}"#],
        )?;
        edit.finish(&[])?;
    }
    fields.finish(&[])
}

/// One of these values, each a JSON text.
pub(super) fn only(value: &Json, path: &str, values: &[&str]) -> Result<(), ApiError> {
    crate::parameters::without_effect::one_of(value, path, values)
}
