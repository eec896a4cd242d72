//! What is taken and changes nothing: names that only the caller has a use for, and wishes for what is done anyway.

use super::{Group, Origin, Parameter, Rule, short_text};
use crate::error::ApiError;
use crate::json::{Fields, Json, clip};

/// A row of a parameter that is taken without effect; `examples` are those taken and those refused.
const fn row(
    name: &'static str,
    origin: Origin,
    schema: &'static str,
    about: &'static str,
    examples: [&'static str; 2],
) -> Parameter {
    Parameter {
        name,
        origin,
        rule: Rule::WithoutEffect,
        schema,
        about,
        default: "",
        taken: examples[0],
        refused: examples[1],
    }
}

/// Your own end user, of every door of OpenAI's.
pub(crate) const USER: Group = &[row(
    "user",
    Origin::OpenAi,
    r#"{"type":"string","maxLength":512}"#,
    "a name for your own end user; it is not kept",
    [r#"["", "someone"]"#, r#"[7]"#],
)];

/// OpenAI's, of more than one door.
pub(crate) const OPENAI: Group = &[
    row(
        "safety_identifier",
        Origin::OpenAi,
        r#"{"type":"string","maxLength":512}"#,
        "the same under its newer name",
        [r#"["someone"]"#, r#"[7]"#],
    ),
    row(
        "prompt_cache_key",
        Origin::OpenAi,
        r#"{"type":"string","maxLength":512}"#,
        "a hint for caches that need one; here equal beginnings are found without it",
        [r#"["key"]"#, r#"[7]"#],
    ),
    row(
        "prompt_cache_retention",
        Origin::OpenAi,
        r#"{"enum":["in_memory","in-memory"]}"#,
        "only `in_memory`, which is where prompts are kept here",
        [r#"["in_memory"]"#, r#"["24h", 7]"#],
    ),
    row(
        "store",
        Origin::OpenAi,
        r#"{"const":false}"#,
        "only `false`: no answer is kept",
        [r#"[false]"#, r#"[true, "no"]"#],
    ),
    row(
        "service_tier",
        Origin::OpenAi,
        r#"{"enum":["auto","default"]}"#,
        "only `auto` and `default`: there is one tier",
        [r#"["auto", "default"]"#, r#"["priority", "flex", 1]"#],
    ),
];

/// What the caller keeps with an answer.
pub(crate) const METADATA: Group = &[row(
    "metadata",
    Origin::OpenAi,
    r#"{"type":"object","maxProperties":16,"propertyNames":{"maxLength":64},"additionalProperties":{"type":"string","maxLength":512}}"#,
    "up to 16 texts of your own; they are not kept",
    [r#"[{"a": "b"}, {}]"#, r#"[{"a": 1}, [], "x"]"#],
)];

/// OpenAI's, of chats only.
pub(crate) const OPENAI_CHAT: Group = &[
    row(
        "modalities",
        Origin::OpenAi,
        r#"{"const":["text"]}"#,
        "only a list of `text`",
        [r#"[["text"]]"#, r#"[["text", "audio"], [], "text"]"#],
    ),
    row(
        "verbosity",
        Origin::OpenAi,
        r#"{"const":"medium"}"#,
        "only `medium`, which asks for nothing",
        [r#"["medium"]"#, r#"["low", "high"]"#],
    ),
];

/// vLLM's, of chats only: each with the one value that asks for what is done anyway.
pub(crate) const VLLM_CHAT: Group = &[
    row(
        "best_of",
        Origin::Vllm,
        r#"{"const":1}"#,
        "only 1",
        [r#"[1]"#, r#"[2, 0]"#],
    ),
    row(
        "echo",
        Origin::Vllm,
        r#"{"const":false}"#,
        "only `false`",
        [r#"[false]"#, r#"[true]"#],
    ),
    row(
        "add_special_tokens",
        Origin::Vllm,
        r#"{"const":false}"#,
        "only `false`: a chat template writes its own special tokens",
        [r#"[false]"#, r#"[true]"#],
    ),
    row(
        "include_reasoning",
        Origin::Vllm,
        r#"{"const":true}"#,
        "only `true`: thoughts come in `reasoning`",
        [r#"[true]"#, r#"[false]"#],
    ),
    row(
        "return_prompt_text",
        Origin::Vllm,
        r#"{"const":false}"#,
        "only `false`; `/apply-template` gives it",
        [r#"[false]"#, r#"[true]"#],
    ),
    row(
        "return_token_offsets",
        Origin::Vllm,
        r#"{"const":false}"#,
        "only `false`",
        [r#"[false]"#, r#"[true]"#],
    ),
    row(
        "return_mm_kwargs",
        Origin::Vllm,
        r#"{"const":true}"#,
        "only `true`: there are no images or sounds to tell of",
        [r#"[true]"#, r#"[false]"#],
    ),
    row(
        "routed_experts_prompt_start",
        Origin::Vllm,
        r#"{"const":0}"#,
        "only 0: which experts computed is not told",
        [r#"[0]"#, r#"[1]"#],
    ),
    row(
        "watermarking",
        Origin::Vllm,
        r#"{"const":false}"#,
        "only `false`",
        [r#"[false]"#, r#"[true]"#],
    ),
];

/// vLLM's, of more than one door, each with the one value that asks for what is done anyway.
pub(crate) const VLLM: Group = &[
    row(
        "use_beam_search",
        Origin::Vllm,
        r#"{"const":false}"#,
        "only `false`",
        [r#"[false]"#, r#"[true]"#],
    ),
    row(
        "length_penalty",
        Origin::Vllm,
        r#"{"const":1}"#,
        "only 1; it belongs to beam search",
        [r#"[1, 1.0]"#, r#"[0.5]"#],
    ),
    row(
        "skip_special_tokens",
        Origin::Vllm,
        r#"{"const":true}"#,
        "only `true`",
        [r#"[true]"#, r#"[false]"#],
    ),
    row(
        "spaces_between_special_tokens",
        Origin::Vllm,
        r#"{"const":true}"#,
        "only `true`: there are no special tokens in the answer",
        [r#"[true]"#, r#"[false]"#],
    ),
    row(
        "detokenize",
        Origin::Vllm,
        r#"{"const":true}"#,
        "only `true`",
        [r#"[true]"#, r#"[false]"#],
    ),
    row(
        "return_token_ids",
        Origin::Vllm,
        r#"{"const":false}"#,
        "only `false`",
        [r#"[false]"#, r#"[true]"#],
    ),
    row(
        "return_tokens_as_token_ids",
        Origin::Vllm,
        r#"{"const":false}"#,
        "only `false`",
        [r#"[false]"#, r#"[true]"#],
    ),
    row(
        "priority",
        Origin::Vllm,
        r#"{"const":0}"#,
        "only 0: everyone waits alike",
        [r#"[0]"#, r#"[1, -1]"#],
    ),
];

/// Names of the caller's own: texts that are read and dropped.
const NAMES: &[&str] = &["user", "safety_identifier", "prompt_cache_key"];

/// Parameters with the few values that are taken, each a JSON text.
const VALUES: &[(&str, &[&str])] = &[
    ("prompt_cache_retention", &[r#""in_memory""#, r#""in-memory""#]),
    ("store", &["false"]),
    ("service_tier", &[r#""auto""#, r#""default""#]),
    ("modalities", &[r#"["text"]"#]),
    ("verbosity", &[r#""medium""#]),
    ("best_of", &["1"]),
    ("use_beam_search", &["false"]),
    ("length_penalty", &["1", "1.0"]),
    ("echo", &["false"]),
    ("add_special_tokens", &["false"]),
    ("skip_special_tokens", &["true"]),
    ("spaces_between_special_tokens", &["true"]),
    ("detokenize", &["true"]),
    ("return_token_ids", &["false"]),
    ("return_tokens_as_token_ids", &["false"]),
    ("priority", &["0"]),
    ("include_reasoning", &["true"]),
    ("return_prompt_text", &["false"]),
    ("return_token_offsets", &["false"]),
    ("return_mm_kwargs", &["true"]),
    ("routed_experts_prompt_start", &["0"]),
    ("watermarking", &["false"]),
];

/// Entries of `metadata`, and bytes of its keys and values.
const METADATA_LIMITS: (usize, usize, usize) = (16, 64, 512);

/// Checks those of these parameters that have rows in the body's table.
pub(crate) fn check(fields: &mut Fields) -> Result<(), ApiError> {
    for name in NAMES {
        if fields.has_row(name) {
            fields.optional(name, short_text)?;
        }
    }
    if fields.has_row("metadata") {
        fields.optional("metadata", metadata)?;
    }
    for (name, values) in VALUES {
        if fields.has_row(name) {
            fields.optional(name, |value, path| one_of(&value, path, values))?;
        }
    }
    Ok(())
}

/// One of these values, each a JSON text.
pub(crate) fn one_of(value: &Json, path: &str, values: &[&str]) -> Result<(), ApiError> {
    let is_taken = |text: &&str| Json::parse(text.as_bytes()).is_ok_and(|taken| taken == *value);
    if values.iter().any(is_taken) {
        return Ok(());
    }
    let message = format!("'{path}' may only be {} here. Remove it", values[0]);
    Err(ApiError::parameter("unsupported_value", path, message))
}

/// Checks `metadata`.
pub(crate) fn metadata(value: Json, path: &str) -> Result<(), ApiError> {
    let (n_entries, key_bytes, value_bytes) = METADATA_LIMITS;
    let Json::Object(entries) = value else {
        return Err(value.wrong_type(path, "an object"));
    };
    if entries.len() > n_entries {
        let message = format!("'{path}' has {} entries; at most {n_entries} fit", entries.len());
        return Err(ApiError::parameter("invalid_value", path, message));
    }
    for (key, value) in entries {
        let entry = format!("{path}.{}", clip(&key));
        let value = value.string(&entry, "a string")?;
        if key.len() > key_bytes || value.len() > value_bytes {
            let message =
                format!("'{entry}': a key has at most {key_bytes} bytes, and a value {value_bytes}");
            return Err(ApiError::parameter("invalid_value", entry, message));
        }
    }
    Ok(())
}
