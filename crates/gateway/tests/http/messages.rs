//! Anthropic's Messages.

use serde_json::{Value, json};
use tokenmill_inference::{Event, FinishReason, InferenceError, Prompt, PromptEnding, Usage};

use crate::client::{Call, Reply};
use crate::local_model::{local, small};
use crate::scripted::{Scripted, Step, started, text};
use crate::server::TestServer;

const PATH: &str = "/v1/messages";

fn body(changes: &Value) -> Value {
    let mut body = json!({
        "model": "test/model", "max_tokens": 64, "messages": [{"role": "user", "content": "hello"}],
    });
    let fields = body.as_object_mut().expect("an object");
    fields.extend(changes.as_object().expect("an object").clone());
    body
}

async fn ask(server: &TestServer, changes: &Value) -> Reply {
    let call = Call::post(PATH, &body(changes)).header("x-api-key", &server.key);
    call.send(server.at).await
}

/// The events of a stream put together as Anthropic's clients do.
fn accumulated(reply: &Reply) -> Value {
    let events = reply.events();
    let mut message = events[0]["message"].clone();
    assert_eq!(events[0]["type"], "message_start");
    assert_eq!(events.last().expect("an event")["type"], "message_stop");
    let mut json = String::new();
    for event in &events {
        let index = event["index"].as_u64().unwrap_or(0) as usize;
        match event["type"].as_str().expect("a type") {
            "content_block_start" => {
                let content = message["content"].as_array_mut().expect("a list");
                assert_eq!(content.len(), index, "one block after the other");
                content.push(event["content_block"].clone());
                json.clear();
            }
            "content_block_delta" => {
                let block = &mut message["content"][index];
                for name in ["text", "thinking", "signature"] {
                    if let Some(more) = event["delta"][name].as_str() {
                        block[name] = json!(format!("{}{more}", block[name].as_str().expect("text")));
                    }
                }
                json.push_str(event["delta"]["partial_json"].as_str().unwrap_or(""));
            }
            "content_block_stop" if !json.is_empty() => {
                message["content"][index]["input"] = serde_json::from_str(&json).expect("JSON");
            }
            "message_delta" => {
                for name in ["stop_reason", "stop_sequence"] {
                    message[name] = event["delta"][name].clone();
                }
                message["usage"] = event["usage"].clone();
            }
            _ => {}
        }
    }
    message
}

#[tokio::test]
async fn a_whole_message_has_its_blocks_in_order_and_a_stream_the_same_ones() {
    let server = TestServer::start(Scripted::busy()).await;
    let mut whole = ask(&server, &json!({})).await.json();
    let stream = ask(&server, &json!({"stream": true})).await;
    let mut streamed = accumulated(&stream);
    for message in [&mut whole, &mut streamed] {
        assert!(message["id"].as_str().expect("an id").starts_with("msg_"));
        message["id"] = json!("msg_ID");
    }
    assert_eq!(whole, streamed);
    insta::assert_snapshot!(serde_json::to_string_pretty(&whole).expect("JSON"));
    let names = |prefix: &str| {
        let lines = stream.text().lines().filter_map(|line| line.strip_prefix(prefix));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let types: Vec<String> = stream
        .events()
        .iter()
        .map(|event| event["type"].as_str().expect("a type").to_owned())
        .collect();
    assert_eq!(names("event: "), types, "each event has its name twice");
    assert_eq!(types[1], "ping");
}

#[tokio::test]
async fn thoughts_are_left_out_where_that_is_asked() {
    let server = TestServer::start(Scripted::busy()).await;
    let changes = json!({"thinking": {"type": "adaptive", "display": "omitted"}});
    let whole = ask(&server, &changes).await.json();
    let mut streamed = changes;
    streamed["stream"] = json!(true);
    let streamed = accumulated(&ask(&server, &streamed).await);
    for message in [whole, streamed] {
        let expected = json!({"type": "thinking", "thinking": "", "signature": "unsigned"});
        assert_eq!(message["content"][0], expected);
    }
}

#[tokio::test]
async fn the_reason_says_how_it_ended() {
    for (reason, changes, expected) in [
        (FinishReason::Stop, json!({}), json!(["end_turn", null])),
        (
            FinishReason::StopString(1),
            json!({"stop_sequences": ["a", "b"]}),
            json!(["stop_sequence", "b"]),
        ),
        (
            FinishReason::Length,
            json!({"max_tokens": 2}),
            json!(["max_tokens", null]),
        ),
        (
            FinishReason::Length,
            json!({"max_tokens": 3}),
            json!(["model_context_window_exceeded", null]),
        ),
    ] {
        let script = Scripted::new(move |_| {
            let usage = Usage {
                n_prompt: 7,
                n_cached: None,
                n_completion: 2,
                n_reasoning: None,
            };
            let end = Event::ChoiceFinished { choice: 0, reason };
            Ok(vec![
                started(),
                text("x"),
                Step::Say(end),
                Step::Say(Event::Finished(usage)),
            ])
        });
        let server = TestServer::start(script).await;
        let mut streamed = changes.clone();
        streamed["stream"] = json!(true);
        let streamed = accumulated(&ask(&server, &streamed).await);
        for message in [ask(&server, &changes).await.json(), streamed] {
            assert_eq!(
                json!([message["stop_reason"], message["stop_sequence"]]),
                expected
            );
        }
    }
}

#[tokio::test]
async fn errors_have_anthropics_form_from_every_layer() {
    let server = TestServer::start(Scripted::saying(&["x"])).await;
    let cases = [
        (Call::post(PATH, &body(&json!({}))), 401, "authentication_error"),
        (
            Call::post(PATH, &body(&json!({"temprature": 1}))).key(&server.key),
            400,
            "invalid_request_error",
        ),
        (
            Call::post(PATH, &body(&json!({"model": "none"}))).key(&server.key),
            404,
            "not_found_error",
        ),
        (
            Call::new("GET", PATH).key(&server.key),
            405,
            "invalid_request_error",
        ),
        (
            Call::new("GET", "/v1/messages/batches").key(&server.key),
            404,
            "not_found_error",
        ),
        (
            Call::post(PATH, &body(&json!({}))).header("x-large", &"x".repeat(40_000)),
            431,
            "request_too_large",
        ),
        (
            Call::post(PATH, &body(&json!({})))
                .key(&server.key)
                .header("anthropic-version", "2022-01-01"),
            400,
            "invalid_request_error",
        ),
    ];
    for (call, status, kind) in cases {
        let reply = call.send(server.at).await;
        assert_eq!(reply.status, status, "{}", reply.text());
        assert_eq!(reply.json()["type"], "error");
        assert_eq!(reply.error()["type"], kind);
        assert_eq!(
            reply.json()["request_id"].as_str(),
            reply.header("request-id"),
            "clients show it"
        );
        assert_eq!(reply.header("request-id"), reply.header("x-request-id"));
    }
}

#[tokio::test]
async fn a_fault_inside_a_stream_is_an_error_event() {
    let fault = || Step::Fail(InferenceError::Fault("secret detail".into()));
    let server = TestServer::start(Scripted::new(move |_| Ok(vec![started(), text("x"), fault()]))).await;
    let reply = ask(&server, &json!({"stream": true})).await;
    let last = reply.events().pop().expect("an event");
    assert_eq!(
        (&last["type"], &last["error"]["type"]),
        (&json!("error"), &json!("api_error"))
    );
    assert!(reply.text().contains("event: error\n") && !reply.text().contains("secret"));
}

#[tokio::test]
async fn what_coding_agents_send_is_taken() {
    let upstream = Scripted::saying(&["x"]);
    let server = TestServer::start(upstream.clone()).await;
    let marked = json!({"type": "ephemeral", "ttl": "1h", "scope": "global"});
    let sent = json!({
        "model": "test/model", "max_tokens": 32_000, "temperature": 1, "stream": true,
        "system": [{"type": "text", "text": "You are an agent.", "cache_control": marked}],
        "messages": [
            {"role": "user", "content": [
                {"type": "text", "text": "<system-reminder>x</system-reminder>"},
                {"type": "text", "text": "List files.", "cache_control": {"type": "ephemeral"}}]},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "ls", "signature": "unsigned"},
                {"type": "tool_use", "id": "call_1", "name": "Bash", "input": {"command": "ls"}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "call_1", "content": "a.txt", "is_error": false,
                 "cache_control": {"type": "ephemeral"}}]}],
        "tools": [{"name": "Bash", "description": "Runs.", "eager_input_streaming": true,
                   "input_schema": {"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object",
                                    "properties": {"command": {"type": "string"}}, "required": ["command"],
                                    "additionalProperties": false}}],
        "tool_choice": {"type": "auto"},
        "thinking": {"type": "enabled", "budget_tokens": 31_999},
        "metadata": {"user_id": "user_0123_account__session_4567"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "output_config": {"effort": "high"},
    });
    let call = Call::post("/v1/messages?beta=true", &sent)
        .key(&server.key)
        .header("x-api-key", &server.key)
        .header("anthropic-version", "2023-06-01")
        .header(
            "anthropic-beta",
            "claude-code-20250219,interleaved-thinking-2025-05-14",
        );
    let reply = call.send(server.at).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let mut counted = sent;
    for name in ["max_tokens", "temperature", "stream"] {
        counted.as_object_mut().expect("an object").remove(name);
    }
    let count = Call::post("/v1/messages/count_tokens?beta=true", &counted);
    let count = count.key(&server.key).send(server.at).await;
    assert_eq!(count.status, 200, "{}", count.text());
    let requests = upstream.requests.lock().expect("not poisoned");
    let draft = &requests[0];
    assert_eq!(requests.len(), 1, "a count asks nobody");
    assert_eq!(draft.form.max_thinking_tokens, Some(31_999));
    assert_eq!(
        (draft.form.thinks, draft.form.is_thinking_optional),
        (Some(true), true)
    );
    assert!(draft.may_end_with_context);
    let Prompt::Conversation(conversation) = &draft.prompt else {
        panic!("a conversation")
    };
    assert_eq!(conversation.messages.len(), 4);
    assert_eq!(conversation.ending, PromptEnding::Reply);
}

#[tokio::test]
async fn faults_have_the_names_of_the_body() {
    let script = Scripted::new(|_| {
        let invalid =
            tokenmill_inference::InvalidRequest::new("messages[1].tool_calls", "cannot be honoured");
        Err(InferenceError::Invalid(invalid))
    });
    let server = TestServer::start(script).await;
    let tool = |name: &str| json!({"name": name, "input_schema": {}});
    for (changes, param) in [
        (
            json!({"stop_sequences": ["a", "x".repeat(2000)]}),
            "stop_sequences[1]",
        ),
        (json!({"tools": [tool("f"), tool("f")]}), "tools[1].name"),
        (
            json!({"messages": [{"role": "user", "content": [{"type": "image"}]}]}),
            "messages[0].content[0].type",
        ),
        (json!({"thinking": {"type": "enabled"}}), "thinking.budget_tokens"),
        (json!({"max_tokens": null}), "max_tokens"),
        (json!({"system": "s"}), "messages[0].content"),
    ] {
        let reply = ask(&server, &changes).await;
        let error = reply.error();
        assert_eq!((reply.status, &error["param"]), (400, &json!(param)), "{error}");
        assert!(
            error["message"].as_str().expect("text").contains(param),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_count_is_what_the_answer_has() {
    let server = TestServer::start(local(2048, small())).await;
    let changes = json!({"system": "Be brief.", "max_tokens": 1});
    let answer = ask(&server, &changes).await.json();
    let mut counted = body(&changes);
    counted.as_object_mut().expect("an object").remove("max_tokens");
    let call = Call::post("/v1/messages/count_tokens", &counted).key(&server.key);
    let count = call.send(server.at).await;
    assert_eq!(
        count.json(),
        json!({"input_tokens": answer["usage"]["input_tokens"]})
    );
    let text = "system\nBe brief.\nuser\nhello\nassistant\n";
    assert_eq!(count.json()["input_tokens"], text.len() + 5);
}

#[tokio::test]
async fn more_than_the_context_holds_may_be_asked_for() {
    let server = TestServer::start(local(256, small())).await;
    let changes = json!({"max_tokens": 32_000, "temperature": 0, "stop_sequences": ["never said"]});
    let answer = ask(&server, &changes).await.json();
    let reason = &answer["stop_reason"];
    assert!(
        reason == "model_context_window_exceeded" || reason == "end_turn",
        "{answer}"
    );
    let long = json!({"messages": [{"role": "user", "content": "x".repeat(300)}]});
    let reply = ask(&server, &long).await;
    assert_eq!(reply.error()["code"], "context_length_exceeded");
}

#[tokio::test]
async fn a_last_turn_of_the_assistants_is_gone_on_with() {
    let server = TestServer::start(local(2048, small())).await;
    let turns = json!([{"role": "user", "content": "hi"}, {"role": "assistant", "content": "So "}]);
    let answer = ask(&server, &json!({"messages": turns, "max_tokens": 1}))
        .await
        .json();
    assert_eq!(
        answer["usage"]["input_tokens"],
        "user\nhi\nassistant\nSo ".len() + 3
    );
}
