//! The body of `POST /v1/chat/completions` to an inference [`Draft`]: every field honoured, or refused by name.

use tokenmill_inference::{Draft, Prompt};

use crate::error::ApiError;
use crate::json::Json;
use crate::parameters::{
    Group, MODEL, caching, conversation, ending, logprobs, messages, name, sampling, streaming,
    streaming::AnswerForm, text_form, thinking, tools, unsupported, without_effect,
};

/// What the body may hold.
pub(in crate::endpoints) const PARAMETERS: &[Group] = &[
    MODEL,
    messages::ROWS,
    conversation::ROWS,
    ending::MAX_TOKENS,
    sampling::ROWS,
    tools::ROWS,
    text_form::ROWS,
    thinking::ROWS,
    ending::ROWS,
    logprobs::ROWS,
    caching::ROWS,
    streaming::STREAM,
    streaming::OPTIONS,
    without_effect::USER,
    without_effect::OPENAI,
    without_effect::METADATA,
    without_effect::OPENAI_CHAT,
    without_effect::VLLM_CHAT,
    without_effect::VLLM,
    unsupported::CHAT,
];

/// A body that has been read; its ranges are checked by [`Draft::check`].
#[derive(Debug)]
pub(super) struct ChatRequest {
    pub(super) draft: Draft,
    pub(super) answer: AnswerForm,
    /// Parts cached prompts further than projects do.
    pub(super) cache_salt: Option<String>,
}

impl ChatRequest {
    /// Reads a body.
    pub(super) fn parse(body: &[u8]) -> Result<ChatRequest, ApiError> {
        let mut fields = Json::body(body, PARAMETERS)?;
        let model = name(fields.require("model")?, "model")?;
        let messages = messages::read(fields.require("messages")?)?;
        let mut conversation = conversation::read(&mut fields, messages)?;
        let mut form = tokenmill_inference::AnswerForm::default();
        tools::read(&mut fields, &mut form)?;
        text_form::read(&mut fields, &mut form)?;
        conversation.variables = thinking::read(&mut fields, &mut form)?;
        let mut draft = Draft::on(model, Prompt::Conversation(conversation));
        draft.form = form;
        draft.sampling = sampling::read(&mut fields)?;
        draft.max_tokens = ending::max_tokens(&mut fields)?;
        ending::read(&mut fields, &mut draft)?;
        draft.top_logprobs = logprobs::read(&mut fields)?;
        let cache_salt = caching::read(&mut fields)?;
        let answer = streaming::read(&mut fields)?;
        without_effect::check(&mut fields)?;
        fields.finish_body()?;
        Ok(ChatRequest {
            draft,
            answer,
            cache_salt,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parameters::MAX_NAME_BYTES;
    use serde_json::json;
    use tokenmill_inference::{Conversation, Message, RequestSampling, Role};

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
        let message = Message::new(Role::Developer, "one\ntwo");
        assert_eq!(
            request.draft.prompt,
            Prompt::Conversation(Conversation::new(vec![message]))
        );
    }

    /// What is laid over a good body, the parameter that is named, and the code.
    const REFUSED: &str = r#"
        {"tools": {}} | tools | invalid_type
        {"tools": [{"type": "function", "function": {}}]} | tools[0].function.name | missing_required_parameter
        {"tools": [{"type": "function", "function": {"name": "f", "x": 1}}]} | tools[0].function.x | unknown_parameter
        {"tool_choice": {"type": "function", "function": {"name": 1}}} | tool_choice.function.name | invalid_type
        {"response_format": {"type": "json_schema", "json_schema": {"name": "a"}}} | response_format.json_schema.schema | missing_required_parameter
        {"structured_outputs": {"regex": "a", "choice": ["b"]}} | structured_outputs | invalid_value
        {"guided_regex": "a", "guided_choice": ["b"]} | guided_choice | invalid_value
        {"chat_template_kwargs": [1]} | chat_template_kwargs | invalid_type
        {"top_logprobs": 3} | top_logprobs | invalid_value
        {"logprobs": true, "top_logprobs": 21} | top_logprobs | invalid_value
        {"continue_final_message": true, "add_generation_prompt": true} | continue_final_message | invalid_value
        {"store": true} | store | unsupported_value
        {"metadata": {"k": 1}} | metadata.k | invalid_type
        {"temprature": 1} | temprature | unknown_parameter
        {"temprature": null} | temprature | unknown_parameter
        {"model": null} | model | missing_required_parameter
        {"model": ""} | model | invalid_value
        {"messages": {}} | messages | invalid_type
        {"messages": ["hello"]} | messages[0] | invalid_type
        {"messages": [{"content": "x"}]} | messages[0].role | missing_required_parameter
        {"messages": [{"role": "user"}]} | messages[0].content | missing_required_parameter
        {"messages": [{"role": "robot", "content": "x"}]} | messages[0].role | invalid_value
        {"messages": [{"role": "tool", "content": "x"}]} | messages[0].tool_call_id | missing_required_parameter
        {"messages": [{"role": "assistant", "tool_calls": [1]}]} | messages[0].tool_calls[0] | invalid_type
        {"messages": [{"role": "user", "content": "x", "name": 7}]} | messages[0].name | invalid_type
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
