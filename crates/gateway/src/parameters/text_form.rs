//! What the text of an answer must be: OpenAI's `response_format`, and what vLLM has for it.

use tokenmill_inference::{AnswerForm, TextForm};

use super::{Group, Origin, Parameter, Rule};
use crate::error::ApiError;
use crate::json::{Fields, Json, clip};

/// The rows.
pub(crate) const ROWS: Group = &[
    Parameter {
        name: "response_format",
        origin: Origin::OpenAi,
        rule: Rule::Applied,
        schema: r#"{"type":"object","required":["type"],"properties":{"type":{"enum":["text","json_object","json_schema"]},"json_schema":{"type":"object","required":["name","schema"],"properties":{"name":{"type":"string","pattern":"^[A-Za-z0-9_-]{1,64}$"},"description":{"type":["string","null"]},"schema":{"type":["object","boolean"]},"strict":{"type":["boolean","null"]}},"additionalProperties":false}},"additionalProperties":false}"#,
        about: "`text`, `json_object`, or `json_schema`, each keyword of which is enforced or refused",
        default: "`text`",
        taken: r#"[{"type":"text"}, {"type":"json_object"}, {"type":"json_schema","json_schema":{"name":"a","schema":{"type":"boolean"}}}]"#,
        refused: r#"["json", {}, {"type":"xml"}, {"type":"json_schema"}]"#,
    },
    Parameter {
        name: "structured_outputs",
        origin: Origin::Vllm,
        rule: Rule::Applied,
        schema: r#"{"type":"object","properties":{"json":{"type":["object","boolean","string"]},"regex":{"type":"string"},"choice":{"type":"array","items":{"type":"string"}},"grammar":{"type":"string"},"json_object":{"type":"boolean"}},"additionalProperties":false}"#,
        about: "one of `json` (a schema), `regex`, `choice`, `grammar` (Lark), `json_object`",
        default: "none",
        taken: r#"[{"choice":["yes","no"]}, {"regex":"[a-z]{1,5}"}]"#,
        refused: r#"[{}, {"choice":[]}, {"regex":"a","choice":["b"]}, {"structural_tag":"x"}, 1]"#,
    },
    guided(
        "guided_json",
        r#"{"type":["object","boolean","string"]}"#,
        "a JSON schema",
        r#"[{"type":"boolean"}]"#,
        r#"[1, "x"]"#,
    ),
    guided(
        "guided_regex",
        r#"{"type":"string"}"#,
        "a regular expression that all of the answer matches",
        r#"["[a-z]{1,5}"]"#,
        r#"["", 1]"#,
    ),
    guided(
        "guided_choice",
        r#"{"type":"array","items":{"type":"string"}}"#,
        "texts of which the answer is one",
        r#"[["yes","no"]]"#,
        r#"[[], [1], [""], "yes"]"#,
    ),
    guided(
        "guided_grammar",
        r#"{"type":"string"}"#,
        "a grammar in Lark, from its rule `start`",
        r#"["start: \"a\""]"#,
        r#"["", 1]"#,
    ),
];

const fn guided(
    name: &'static str,
    schema: &'static str,
    about: &'static str,
    taken: &'static str,
    refused: &'static str,
) -> Parameter {
    Parameter {
        name,
        origin: Origin::Vllm,
        rule: Rule::Applied,
        schema,
        about,
        default: "none",
        taken,
        refused,
    }
}

/// Longest expression or grammar (bytes).
const MAX_TEXT_BYTES: usize = 64 << 10;

/// Reads the group. At most one form may be given.
pub(crate) fn read(fields: &mut Fields, form: &mut AnswerForm) -> Result<(), ApiError> {
    let found = [
        (
            "response_format",
            fields.optional("response_format", response_format)?.flatten(),
        ),
        (
            "structured_outputs",
            fields.optional("structured_outputs", structured)?,
        ),
        ("guided_json", fields.optional("guided_json", schema)?),
        ("guided_regex", fields.optional("guided_regex", regex)?),
        ("guided_choice", fields.optional("guided_choice", choice)?),
        ("guided_grammar", fields.optional("guided_grammar", grammar)?),
    ];
    let mut given = found.into_iter().filter_map(|(name, text)| Some((name, text?)));
    if let Some((name, text)) = given.next() {
        form.text = text;
        form.text_param = name;
    }
    match given.next() {
        Some((name, _)) => {
            let message = format!(
                "'{name}' and '{}' both say what the text must be; give one",
                form.text_param
            );
            Err(ApiError::parameter("invalid_value", name, message))
        }
        None => Ok(()),
    }
}

fn response_format(value: Json, path: &str) -> Result<Option<TextForm>, ApiError> {
    let mut fields = value.fields(path)?;
    let type_path = fields.path_of("type");
    let kind = fields.require("type")?.string(&type_path, "a string")?;
    let form = match kind.as_str() {
        "text" => None,
        "json_object" => Some(TextForm::JsonObject),
        "json_schema" => {
            let inner_path = fields.path_of("json_schema");
            let mut inner = fields.require("json_schema")?.fields(&inner_path)?;
            let form = named_schema(&mut inner)?;
            inner.finish(&[])?;
            Some(form)
        }
        other => return Err(unknown_format(type_path, other)),
    };
    fields.finish(&[])?;
    Ok(form)
}

/// The same with the schema's fields beside `type`, as OpenAI's Responses have it.
pub(crate) fn flat_format(value: Json, path: &str) -> Result<Option<TextForm>, ApiError> {
    let mut fields = value.fields(path)?;
    let type_path = fields.path_of("type");
    let kind = fields.require("type")?.string(&type_path, "a string")?;
    let form = match kind.as_str() {
        "text" => None,
        "json_object" => Some(TextForm::JsonObject),
        "json_schema" => Some(named_schema(&mut fields)?),
        other => return Err(unknown_format(type_path, other)),
    };
    fields.finish(&[])?;
    Ok(form)
}

fn unknown_format(type_path: String, found: &str) -> ApiError {
    let known = "'text', 'json_object' or 'json_schema'";
    let message = format!("'{type_path}' must be {known}, and is '{}'", clip(found));
    ApiError::parameter("invalid_value", type_path, message)
}

/// `name`, `description`, `strict` and `schema`, wherever they stand.
fn named_schema(fields: &mut Fields) -> Result<TextForm, ApiError> {
    let (name_path, schema_path) = (fields.path_of("name"), fields.path_of("schema"));
    schema_name(fields.require("name")?, &name_path)?;
    fields.optional("description", |value, path| value.string(path, "a string"))?;
    // Enforced either way.
    fields.optional("strict", |value, path| value.bool(path))?;
    schema(fields.require("schema")?, &schema_path)
}

fn schema_name(value: Json, path: &str) -> Result<(), ApiError> {
    let name = value.string(path, "a string")?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    if (1..=64).contains(&name.len()) && name.chars().all(is_plain) {
        return Ok(());
    }
    let message = format!("'{path}' must be 1 to 64 letters, digits, underscores or hyphens");
    Err(ApiError::parameter("invalid_value", path, message))
}

/// What vLLM knows beside. Sorted.
const STRUCTURED_NOT_SUPPORTED: &[&str] = &[
    "disable_additional_properties",
    "disable_any_whitespace",
    "disable_fallback",
    "structural_tag",
    "whitespace_pattern",
];

fn structured(value: Json, path: &str) -> Result<TextForm, ApiError> {
    let mut fields = value.fields(path)?;
    let is_object = fields.optional("json_object", |value, path| value.bool(path))?;
    let found = [
        fields.optional("json", schema)?,
        fields.optional("regex", regex)?,
        fields.optional("choice", choice)?,
        fields.optional("grammar", grammar)?,
        is_object.filter(|is| *is).map(|_| TextForm::JsonObject),
    ];
    fields.finish(STRUCTURED_NOT_SUPPORTED)?;
    let mut given = found.into_iter().flatten();
    match (given.next(), given.next()) {
        (Some(form), None) => Ok(form),
        _ => {
            let message = format!(
                "'{path}' must have exactly one of 'json', 'regex', 'choice', 'grammar' and 'json_object'"
            );
            Err(ApiError::parameter("invalid_value", path, message))
        }
    }
}

/// A schema, or its JSON as text, as vLLM takes it, too.
fn schema(value: Json, path: &str) -> Result<TextForm, ApiError> {
    match value {
        Json::Object(_) | Json::Bool(_) => Ok(TextForm::JsonSchema(value.into_value())),
        Json::String(text) => match Json::parse(text.as_bytes()) {
            Ok(inner @ (Json::Object(_) | Json::Bool(_))) => Ok(TextForm::JsonSchema(inner.into_value())),
            _ => {
                let message = format!("'{path}' must be a JSON schema, and is a text that holds none");
                Err(ApiError::parameter("invalid_value", path, message))
            }
        },
        other => Err(other.wrong_type(path, "a JSON schema")),
    }
}

fn text(value: Json, path: &str) -> Result<String, ApiError> {
    let text = value.string(path, "a string")?;
    if text.is_empty() || text.len() > MAX_TEXT_BYTES {
        let message = format!(
            "'{path}' must have 1 to {MAX_TEXT_BYTES} bytes, and has {}",
            text.len()
        );
        return Err(ApiError::parameter("invalid_value", path, message));
    }
    Ok(text)
}

fn regex(value: Json, path: &str) -> Result<TextForm, ApiError> {
    Ok(TextForm::Regex(text(value, path)?))
}

fn grammar(value: Json, path: &str) -> Result<TextForm, ApiError> {
    Ok(TextForm::Lark(text(value, path)?))
}

fn choice(value: Json, path: &str) -> Result<TextForm, ApiError> {
    let items = value.array(path)?;
    let texts: Result<Vec<String>, ApiError> = items
        .into_iter()
        .enumerate()
        .map(|(idx, item)| text(item, &format!("{path}[{idx}]")))
        .collect();
    let texts = texts?;
    if texts.is_empty() {
        let message = format!("'{path}' must have at least one text");
        return Err(ApiError::parameter("invalid_value", path, message));
    }
    Ok(TextForm::Choice(texts))
}
