//! The body of `POST /v1/chat/completions` to an inference [`Draft`]: every field honoured, or refused by name.

use tokenmill_inference::{Draft, LIMITS, Message, RequestSampling, Role};

use crate::error::ApiError;
use crate::json::{Fields, Json, clip};

/// What OpenAI's or vLLM's servers know and this one does not yet. Sorted.
const NOT_SUPPORTED: &[&str] = &[
    "add_generation_prompt",
    "add_special_tokens",
    "allowed_token_ids",
    "audio",
    "bad_words",
    "best_of",
    "cache_salt",
    "chat_template",
    "chat_template_kwargs",
    "choice",
    "continue_final_message",
    "detokenize",
    "documents",
    "echo",
    "enable_thinking",
    "function_call",
    "functions",
    "grammar",
    "guided_choice",
    "guided_decoding_backend",
    "guided_grammar",
    "guided_json",
    "guided_regex",
    "include_reasoning",
    "include_stop_str_in_output",
    "kv_transfer_params",
    "length_penalty",
    "logprobs",
    "metadata",
    "min_tokens",
    "modalities",
    "parallel_tool_calls",
    "prediction",
    "priority",
    "prompt_cache_key",
    "prompt_cache_retention",
    "prompt_logprobs",
    "reasoning",
    "reasoning_effort",
    "regex",
    "request_id",
    "response_format",
    "return_token_ids",
    "return_tokens_as_token_ids",
    "safety_identifier",
    "service_tier",
    "skip_special_tokens",
    "spaces_between_special_tokens",
    "stop_token_ids",
    "store",
    "structured_outputs",
    "thinking",
    "tool_choice",
    "tools",
    "top_logprobs",
    "truncate_prompt_tokens",
    "use_beam_search",
    "verbosity",
    "vllm_xargs",
    "web_search_options",
];

/// The same for a message. Sorted.
const MESSAGE_NOT_SUPPORTED: &[&str] = &[
    "annotations",
    "audio",
    "function_call",
    "name",
    "prefix",
    "reasoning",
    "reasoning_content",
    "refusal",
    "tool_call_id",
    "tool_calls",
];

/// The same for a text part. Sorted.
const PART_NOT_SUPPORTED: &[&str] = &["cache_control"];

/// The same for `stream_options`. Sorted.
const STREAM_NOT_SUPPORTED: &[&str] = &["continuous_usage_stats", "include_obfuscation"];

/// Part types that exist elsewhere.
const PART_TYPES_NOT_SUPPORTED: &[&str] = &[
    "audio_url",
    "document",
    "file",
    "image",
    "image_url",
    "input_audio",
    "input_file",
    "input_image",
    "refusal",
    "thinking",
    "video",
    "video_url",
];

/// Bytes of `model` and `user`.
const MAX_NAME_BYTES: usize = 512;

/// A body that has been read; its ranges are checked by [`Draft::check`].
#[derive(Debug)]
pub(super) struct ChatRequest {
    pub(super) draft: Draft,
    pub(super) answer: AnswerForm,
}

/// How the caller wants the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AnswerForm {
    /// One JSON object.
    Whole,
    /// Server-sent events.
    Stream {
        /// With a last chunk for the usage.
        include_usage: bool,
    },
}

impl ChatRequest {
    /// Reads a body.
    pub(super) fn parse(body: &[u8]) -> Result<ChatRequest, ApiError> {
        let mut fields = Json::parse(body)?.fields("")?;
        let model = name("model", fields.require("model")?)?;
        let messages = messages(fields.require("messages")?)?;
        let mut draft = Draft::new(model, messages);
        draft.sampling = sampling(&mut fields)?;
        draft.max_tokens = max_tokens(&mut fields)?;
        draft.stop = fields.optional("stop", stop)?.unwrap_or_default();
        if let Some(n) = fields.optional("n", |value, path| value.integer(path, 1, LIMITS.n_choices))? {
            draft.n = n;
        }
        draft.ignore_eos = fields
            .optional("ignore_eos", |value, path| value.bool(path))?
            .unwrap_or(false);
        let answer = answer_form(&mut fields)?;
        // Names the caller's own end user. It changes nothing in the answer and is kept nowhere.
        fields.optional("user", |value, path| short_text(path, value))?;
        fields.finish(NOT_SUPPORTED)?;
        Ok(ChatRequest { draft, answer })
    }
}

fn name(path: &str, value: Json) -> Result<String, ApiError> {
    let name = short_text(path, value)?;
    if name.is_empty() {
        let message = format!("'{path}' must have 1 to {MAX_NAME_BYTES} bytes, and has none");
        return Err(ApiError::parameter("invalid_value", path, message));
    }
    Ok(name)
}

fn short_text(path: &str, value: Json) -> Result<String, ApiError> {
    let name = value.string(path, "a string")?;
    if name.len() > MAX_NAME_BYTES {
        let message = format!(
            "'{path}' must have at most {MAX_NAME_BYTES} bytes, and has {}",
            name.len()
        );
        return Err(ApiError::parameter("invalid_value", path, message));
    }
    Ok(name)
}

fn messages(value: Json) -> Result<Vec<Message>, ApiError> {
    let items = value.array("messages")?;
    if items.len() > LIMITS.n_messages {
        let message = format!(
            "'messages' holds {} messages; at most {} fit",
            items.len(),
            LIMITS.n_messages
        );
        return Err(ApiError::parameter("invalid_value", "messages", message));
    }
    items
        .into_iter()
        .enumerate()
        .map(|(idx, item)| message(&format!("messages[{idx}]"), item))
        .collect()
}

fn message(path: &str, value: Json) -> Result<Message, ApiError> {
    let mut fields = value.fields(path)?;
    let role = role(&fields.path_of("role"), fields.require("role")?)?;
    let content_path = fields.path_of("content");
    // Before the content: an assistant message with `tool_calls` often has none, and the calls are the reason.
    let content = fields.take("content");
    fields.finish(MESSAGE_NOT_SUPPORTED)?;
    match content {
        Some(content) => Ok(Message {
            role,
            content: text(&content_path, content)?,
        }),
        None => {
            let message = format!("'{content_path}' is missing, and is required");
            Err(ApiError::parameter(
                "missing_required_parameter",
                content_path,
                message,
            ))
        }
    }
}

/// Messages of the role `tool` come with tools, which are refused as a whole: a template that does not know the role
/// would drop them in silence.
fn role(path: &str, value: Json) -> Result<Role, ApiError> {
    let role = value.string(path, "a string")?;
    match role.as_str() {
        "system" => Ok(Role::System),
        "developer" => Ok(Role::Developer),
        "user" => Ok(Role::User),
        "assistant" => Ok(Role::Assistant),
        "tool" | "function" => {
            let message = format!("'{path}': the role '{role}' is not supported by this server");
            Err(ApiError::parameter("unsupported_value", path, message))
        }
        other => {
            let known = "'system', 'developer', 'user' or 'assistant'";
            let message = format!("'{path}' must be {known}, and is '{}'", clip(other));
            Err(ApiError::parameter("invalid_value", path, message))
        }
    }
}

/// A string, or text parts joined by line feeds.
fn text(path: &str, value: Json) -> Result<String, ApiError> {
    match value {
        Json::String(text) => Ok(text),
        Json::Array(parts) if parts.is_empty() => {
            let message = format!("'{path}' must hold at least one part");
            Err(ApiError::parameter("invalid_value", path, message))
        }
        Json::Array(parts) => {
            let part = |(idx, value)| text_part(&format!("{path}[{idx}]"), value);
            let texts: Result<Vec<String>, ApiError> = parts.into_iter().enumerate().map(part).collect();
            Ok(texts?.join("\n"))
        }
        other => Err(other.wrong_type(path, "a string or an array of text parts")),
    }
}

fn text_part(path: &str, value: Json) -> Result<String, ApiError> {
    let mut fields = value.fields(path)?;
    let type_path = fields.path_of("type");
    let kind = fields.require("type")?.string(&type_path, "a string")?;
    if PART_TYPES_NOT_SUPPORTED.contains(&kind.as_str()) {
        let message =
            format!("'{type_path}': parts of type '{kind}' are not supported by this server; send 'text'");
        return Err(ApiError::parameter("unsupported_value", type_path, message));
    }
    if kind != "text" {
        let message = format!("'{type_path}' must be 'text', and is '{}'", clip(&kind));
        return Err(ApiError::parameter("invalid_value", type_path, message));
    }
    let text = fields
        .require("text")?
        .string(&fields.path_of("text"), "a string")?;
    fields.finish(PART_NOT_SUPPORTED)?;
    Ok(text)
}

fn sampling(fields: &mut Fields) -> Result<RequestSampling, ApiError> {
    let mut number = |name| fields.optional(name, |value, path| value.number(path));
    Ok(RequestSampling {
        temperature: number("temperature")?,
        top_p: number("top_p")?,
        min_p: number("min_p")?,
        presence_penalty: number("presence_penalty")?,
        frequency_penalty: number("frequency_penalty")?,
        repetition_penalty: number("repetition_penalty")?,
        top_k: fields.optional("top_k", |value, path| top_k(&value, path))?,
        logit_bias: fields.optional("logit_bias", logit_bias)?.unwrap_or_default(),
        seed: fields.optional("seed", |value, path| seed(&value, path))?,
    })
}

/// vLLM and Hugging Face write "keep all" as -1; 0 means the same.
fn top_k(value: &Json, path: &str) -> Result<u32, ApiError> {
    match value {
        Json::Number(number) if number.as_i64() == Some(-1) => Ok(0),
        _ => value.integer(path, 0, u32::MAX),
    }
}

/// Any 64-bit integer; a negative one counts as the unsigned one with the same bits.
fn seed(value: &Json, path: &str) -> Result<u64, ApiError> {
    match value {
        Json::Number(number) => number
            .as_u64()
            .or_else(|| number.as_i64().map(i64::cast_unsigned))
            .ok_or_else(|| value.wrong_type(path, "an integer of at most 64 bits")),
        other => Err(other.wrong_type(path, "an integer of at most 64 bits")),
    }
}

fn logit_bias(value: Json, path: &str) -> Result<Vec<(u32, f32)>, ApiError> {
    let Json::Object(entries) = value else {
        return Err(value.wrong_type(path, "an object from token id to number"));
    };
    let entry = |(token, bias): (String, Json)| {
        let entry_path = format!("{path}.{}", clip(&token));
        // "+7" and "007" are not how a token id is written.
        let id = token.parse::<u32>().ok().filter(|id| id.to_string() == token);
        let id = id.ok_or_else(|| {
            let message = format!("'{entry_path}': the key must be a token id, a decimal number as a string");
            ApiError::parameter("invalid_value", entry_path.clone(), message)
        })?;
        Ok((id, bias.number(&entry_path)?))
    };
    entries.into_iter().map(entry).collect()
}

/// `max_tokens` is the old name of `max_completion_tokens`; both may be given when they agree.
fn max_tokens(fields: &mut Fields) -> Result<Option<u32>, ApiError> {
    let mut limit = |name| fields.optional(name, |value, path| value.integer(path, 1, u32::MAX));
    match (limit("max_completion_tokens")?, limit("max_tokens")?) {
        (Some(new), Some(old)) if new != old => {
            let message = format!(
                "'max_tokens' is {old} and 'max_completion_tokens' is {new}; give one, or the same in both"
            );
            Err(ApiError::parameter("invalid_value", "max_tokens", message))
        }
        (new, old) => Ok(new.or(old)),
    }
}

fn stop(value: Json, path: &str) -> Result<Vec<String>, ApiError> {
    match value {
        Json::String(stop) => Ok(vec![stop]),
        Json::Array(items) => {
            let item = |(idx, item): (usize, Json)| item.string(&format!("{path}[{idx}]"), "a string");
            items.into_iter().enumerate().map(item).collect()
        }
        other => Err(other.wrong_type(path, "a string or an array of strings")),
    }
}

fn answer_form(fields: &mut Fields) -> Result<AnswerForm, ApiError> {
    let stream = fields
        .optional("stream", |value, path| value.bool(path))?
        .unwrap_or(false);
    let options = fields.take("stream_options");
    if options.is_some() && !stream {
        let message = "'stream_options' is only allowed when 'stream' is true";
        return Err(ApiError::parameter("invalid_value", "stream_options", message));
    }
    let include_usage = match options {
        Some(options) => {
            let mut options = options.fields("stream_options")?;
            let include_usage = options.optional("include_usage", |value, path| value.bool(path))?;
            options.finish(STREAM_NOT_SUPPORTED)?;
            include_usage.unwrap_or(false)
        }
        None => false,
    };
    Ok(if stream {
        AnswerForm::Stream { include_usage }
    } else {
        AnswerForm::Whole
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A good body with `changes` laid over it.
    fn body(changes: &serde_json::Value) -> Vec<u8> {
        let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "hello"}]});
        let fields = body.as_object_mut().expect("an object");
        fields.extend(changes.as_object().expect("an object").clone());
        body.to_string().into_bytes()
    }

    fn accepted(changes: &serde_json::Value) -> ChatRequest {
        ChatRequest::parse(&body(changes)).expect("must be accepted")
    }

    #[test]
    fn the_lists_of_names_are_sorted() {
        for list in [
            NOT_SUPPORTED,
            MESSAGE_NOT_SUPPORTED,
            PART_NOT_SUPPORTED,
            STREAM_NOT_SUPPORTED,
        ] {
            assert!(list.is_sorted(), "{list:?}");
        }
    }

    #[test]
    fn every_parameter_arrives() {
        let request = accepted(&json!({
            "temperature": 0.5, "top_p": 0.25, "top_k": 7, "min_p": 0.125, "presence_penalty": -1.5,
            "frequency_penalty": 1.5, "repetition_penalty": 1.25, "logit_bias": {"3": -100, "9": 2.5},
            "seed": -1, "max_completion_tokens": 11, "max_tokens": 11, "stop": ["a", "b"], "n": 3,
            "ignore_eos": true, "stream": true, "stream_options": {"include_usage": true}, "user": "someone",
        }));
        let sampling = RequestSampling {
            temperature: Some(0.5),
            top_p: Some(0.25),
            top_k: Some(7),
            min_p: Some(0.125),
            presence_penalty: Some(-1.5),
            frequency_penalty: Some(1.5),
            repetition_penalty: Some(1.25),
            logit_bias: vec![(3, -100.0), (9, 2.5)],
            seed: Some(u64::MAX),
        };
        assert_eq!(request.draft.sampling, sampling);
        assert_eq!(request.draft.max_tokens, Some(11));
        assert_eq!(request.draft.stop, ["a", "b"]);
        assert_eq!((request.draft.n, request.draft.ignore_eos), (3, true));
        assert_eq!(request.answer, AnswerForm::Stream { include_usage: true });
        request.draft.check().expect("all in range");
    }

    #[test]
    fn null_is_absent() {
        let names = [
            "temperature",
            "stop",
            "seed",
            "n",
            "max_tokens",
            "stream",
            "stream_options",
            "tools",
            "user",
        ];
        for name in names {
            let request = accepted(&json!({ name: null }));
            assert_eq!(request.draft.sampling, RequestSampling::default(), "{name}");
        }
    }

    #[test]
    fn an_empty_user_is_nobody_and_a_long_one_is_refused() {
        accepted(&json!({"user": ""}));
        let long = body(&json!({"user": "x".repeat(MAX_NAME_BYTES + 1)}));
        let error = ChatRequest::parse(&long).expect_err("over the limit");
        assert_eq!(error.param.as_deref(), Some("user"));
    }

    #[test]
    fn a_single_stop_string_and_text_parts_are_read() {
        assert_eq!(accepted(&json!({"stop": "END"})).draft.stop, ["END"]);
        let parts = json!([{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]);
        let request = accepted(&json!({"messages": [{"role": "developer", "content": parts}]}));
        let message = Message {
            role: Role::Developer,
            content: "one\ntwo".into(),
        };
        assert_eq!(request.draft.messages, [message]);
    }

    /// What is laid over a good body, the parameter that is named, and the code.
    const REFUSED: &str = r#"
        {"tools": []} | tools | unsupported_parameter
        {"logprobs": false} | logprobs | unsupported_parameter
        {"temprature": 1} | temprature | unknown_parameter
        {"temprature": null} | temprature | unknown_parameter
        {"model": null} | model | missing_required_parameter
        {"model": ""} | model | invalid_value
        {"messages": {}} | messages | invalid_type
        {"messages": ["hello"]} | messages[0] | invalid_type
        {"messages": [{"content": "x"}]} | messages[0].role | missing_required_parameter
        {"messages": [{"role": "user"}]} | messages[0].content | missing_required_parameter
        {"messages": [{"role": "robot", "content": "x"}]} | messages[0].role | invalid_value
        {"messages": [{"role": "tool", "content": "x"}]} | messages[0].role | unsupported_value
        {"messages": [{"role": "assistant", "tool_calls": [1]}]} | messages[0].tool_calls | unsupported_parameter
        {"messages": [{"role": "user", "content": "x", "name": "Ann"}]} | messages[0].name | unsupported_parameter
        {"messages": [{"role": "user", "content": "x", "nme": "Ann"}]} | messages[0].nme | unknown_parameter
        {"messages": [{"role": "user", "content": 7}]} | messages[0].content | invalid_type
        {"messages": [{"role": "user", "content": []}]} | messages[0].content | invalid_value
        {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]} | messages[0].content[0].type | unsupported_value
        {"messages": [{"role": "user", "content": [{"type": "txt"}]}]} | messages[0].content[0].type | invalid_value
        {"messages": [{"role": "user", "content": [{"type": "text"}]}]} | messages[0].content[0].text | missing_required_parameter
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "x", "y": 1}]}]} | messages[0].content[0].y | unknown_parameter
        {"temperature": "hot"} | temperature | invalid_type
        {"n": 0} | n | invalid_value
        {"n": 1.0} | n | invalid_type
        {"max_tokens": 0} | max_tokens | invalid_value
        {"max_tokens": -5} | max_tokens | invalid_value
        {"max_tokens": 5000000000} | max_tokens | invalid_value
        {"max_tokens": 5, "max_completion_tokens": 6} | max_tokens | invalid_value
        {"seed": 0.5} | seed | invalid_type
        {"stop": 3} | stop | invalid_type
        {"stop": ["a", 3]} | stop[1] | invalid_type
        {"logit_bias": [1]} | logit_bias | invalid_type
        {"logit_bias": {"x": 1}} | logit_bias.x | invalid_value
        {"logit_bias": {"+7": 1}} | logit_bias.+7 | invalid_value
        {"logit_bias": {"7": "1"}} | logit_bias.7 | invalid_type
        {"stream": "true"} | stream | invalid_type
        {"stream_options": {}} | stream_options | invalid_value
        {"stream": true, "stream_options": {"foo": 1}} | stream_options.foo | unknown_parameter
        {"stream": true, "stream_options": {"include_usage": 1}} | stream_options.include_usage | invalid_type
        {"stream": true, "stream_options": {"include_obfuscation": true}} | stream_options.include_obfuscation | unsupported_parameter
    "#;

    #[test]
    fn a_field_is_refused_by_its_full_name() {
        for line in REFUSED.trim().lines() {
            let [changes, param, code] = line.split(" | ").collect::<Vec<_>>()[..] else {
                panic!("{line}")
            };
            let changes = serde_json::from_str(changes.trim()).expect(line);
            let error = ChatRequest::parse(&body(&changes)).expect_err(line);
            assert_eq!(
                (error.param.as_deref(), error.code),
                (Some(param), code),
                "{line}"
            );
        }
    }

    #[test]
    fn too_many_messages_are_refused_with_the_limit() {
        let one = json!({"role": "user", "content": "x"});
        let error =
            ChatRequest::parse(&body(&json!({"messages": vec![one; 10_001]}))).expect_err("over the limit");
        assert!(
            error.message.contains("10001 messages; at most 10000"),
            "{}",
            error.message
        );
    }

    #[test]
    fn a_huge_name_is_not_thrown_back() {
        let name = "x".repeat(100_000);
        let error = ChatRequest::parse(&body(&json!({ name: 1 }))).expect_err("unknown");
        assert!(error.message.len() < 300 && error.param.expect("named").len() < 100);
    }
}
