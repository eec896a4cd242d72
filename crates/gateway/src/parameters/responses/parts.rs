//! Parts of an item's content.

use crate::error::ApiError;
use crate::json::{Fields, Json, clip};

/// Parts that exist and are not taken. Sorted.
const TYPES_NOT_SUPPORTED: &[&str] = &["input_audio", "input_file", "input_image", "refusal"];

/// A text, or text parts joined by line feeds.
pub(super) fn text(value: Json, path: &str) -> Result<String, ApiError> {
    match value {
        Json::String(text) => Ok(text),
        Json::Array(_) => parts(value, path, &["input_text", "output_text", "text"]),
        other => Err(other.wrong_type(path, "a string or an array of parts")),
    }
}

/// Parts of a thought, joined by line feeds.
pub(super) fn reasoning_text(value: Json, path: &str) -> Result<String, ApiError> {
    parts(value, path, &["reasoning_text", "summary_text", "text"])
}

fn parts(value: Json, path: &str, allowed: &[&str]) -> Result<String, ApiError> {
    let items = value.array(path)?.into_iter().enumerate();
    let texts: Result<Vec<String>, ApiError> = items
        .map(|(idx, item)| part(item, &format!("{path}[{idx}]"), allowed))
        .collect();
    Ok(texts?.join("\n"))
}

fn part(value: Json, path: &str, allowed: &[&str]) -> Result<String, ApiError> {
    let mut fields = value.fields(path)?;
    let type_path = fields.path_of("type");
    let kind = fields.require("type")?.string(&type_path, "a string")?;
    if !allowed.contains(&kind.as_str()) {
        let (code, fault) = if TYPES_NOT_SUPPORTED.contains(&kind.as_str()) {
            (
                "unsupported_value",
                format!(": parts of type '{kind}' are not supported by this server"),
            )
        } else {
            let known = allowed.join("', '");
            (
                "invalid_value",
                format!(" must be one of '{known}', and is '{}'", clip(&kind)),
            )
        };
        let message = format!("'{type_path}'{fault}");
        return Err(ApiError::parameter(code, type_path, message));
    }
    let text_path = fields.path_of("text");
    let text = fields.require("text")?.string(&text_path, "a string")?;
    answered(&mut fields)?;
    fields.finish(&["parsed", "prompt_cache_breakpoint"])?;
    Ok(text)
}

/// What a part has that came from here.
fn answered(fields: &mut Fields) -> Result<(), ApiError> {
    fields.optional("annotations", |value, path| match value {
        Json::Array(items) if items.is_empty() => Ok(()),
        _ => {
            let message = format!("'{path}' must be empty: nothing is annotated here");
            Err(ApiError::parameter("unsupported_value", path, message))
        }
    })?;
    // They were told to the caller, and the model does not hear of them.
    fields.optional("logprobs", Json::array)?;
    Ok(())
}
