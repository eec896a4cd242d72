//! OpenAI's Responses.

use serde_json::{Value, json};
use tokenmill_inference::{Event, FinishReason, InferenceError, Prompt, Role, Usage};

use crate::client::{Call, Reply};
use crate::local_model::{local, small};
use crate::scripted::{Scripted, Step, started, text};
use crate::server::TestServer;

const PATH: &str = "/v1/responses";

async fn ask(server: &TestServer, changes: &Value) -> Reply {
    let mut body = json!({"model": "test/model", "input": "hello"});
    let fields = body.as_object_mut().expect("an object");
    fields.extend(changes.as_object().expect("an object").clone());
    Call::post(PATH, &body).key(&server.key).send(server.at).await
}

/// With what differs between runs replaced.
fn settled(mut response: Value) -> Value {
    assert!(response["id"].as_str().expect("an id").starts_with("resp_"));
    response["id"] = json!("resp_ID");
    response["created_at"] = json!(0);
    if response["completed_at"].is_number() {
        response["completed_at"] = json!(0);
    }
    for item in response["output"].as_array_mut().expect("a list") {
        let id = item["id"].as_str().expect("an id");
        let (prefix, _) = id.split_once('_').expect("a prefix");
        item["id"] = json!(format!("{prefix}_ID"));
    }
    response
}

/// Follows a stream and checks each event against those before it; the last response.
fn followed(reply: &Reply) -> Value {
    let events = reply.events();
    let names: Vec<&str> = reply
        .text()
        .lines()
        .filter_map(|line| line.strip_prefix("event: "))
        .collect();
    let mut items: Vec<Value> = Vec::new();
    let mut grown = String::new();
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], number);
        assert_eq!(event["type"], names[number], "each event has its name twice");
        let idx = event["output_index"].as_u64().unwrap_or(0) as usize;
        let kind = names[number];
        if !event["item_id"].is_null() {
            assert_eq!(event["item_id"], items[idx]["id"], "{event}");
        }
        match kind {
            "response.output_item.added" => {
                assert_eq!(
                    (items.len(), &event["item"]["status"]),
                    (idx, &json!("in_progress"))
                );
                items.push(event["item"].clone());
                grown.clear();
            }
            "response.content_part.added" => assert_eq!(event["part"]["text"], ""),
            "response.output_item.done" => items[idx] = event["item"].clone(),
            _ if kind.ends_with(".delta") => grown.push_str(event["delta"].as_str().expect("text")),
            "response.content_part.done" => assert_eq!(event["part"]["text"], grown.as_str()),
            "response.function_call_arguments.done" => assert_eq!(event["arguments"], grown.as_str()),
            _ if kind.ends_with("_text.done") => assert_eq!(event["text"], grown.as_str()),
            _ => {}
        }
    }
    assert_eq!(names[..2], ["response.created", "response.in_progress"]);
    let last = events.last().expect("an event")["response"].clone();
    assert_eq!(
        last["output"],
        json!(items),
        "the items are those that were told of"
    );
    last
}

#[tokio::test]
async fn a_whole_response_has_its_items_in_order_and_a_stream_the_same_ones() {
    let server = TestServer::start(Scripted::busy()).await;
    let changes = json!({
        "instructions": "Be brief.", "metadata": {"a": "b"}, "temperature": 0.5, "parallel_tool_calls": false,
        "tools": [{"type": "function", "name": "time", "parameters": {"type": "object"}}],
        "reasoning": {"effort": "low", "summary": "auto"}, "include": ["reasoning.encrypted_content"],
        "text": {"format": {"type": "text"}, "verbosity": "medium"}, "store": false,
    });
    let whole = ask(&server, &changes).await.json();
    let mut streamed = changes;
    streamed["stream"] = json!(true);
    let stream = ask(&server, &streamed).await;
    assert_eq!(settled(whole.clone()), settled(followed(&stream)));
    insta::assert_snapshot!(serde_json::to_string_pretty(&settled(whole)).expect("JSON"));
}

#[tokio::test]
async fn a_response_that_the_limit_cut_is_incomplete() {
    let script = Scripted::new(|_| {
        let usage = Usage {
            n_prompt: 7,
            n_cached: None,
            n_completion: 1,
            n_reasoning: None,
        };
        let reason = FinishReason::Length;
        let end = Event::ChoiceFinished { choice: 0, reason };
        Ok(vec![
            started(),
            text("x"),
            Step::Say(end),
            Step::Say(Event::Finished(usage)),
        ])
    });
    let server = TestServer::start(script).await;
    let whole = ask(&server, &json!({})).await.json();
    let stream = ask(&server, &json!({"stream": true})).await;
    assert!(stream.text().contains("event: response.incomplete\n"));
    for response in [whole, followed(&stream)] {
        assert_eq!(response["status"], "incomplete");
        assert_eq!(response["incomplete_details"]["reason"], "max_output_tokens");
        assert_eq!(response["output"][0]["status"], "incomplete");
    }
}

#[tokio::test]
async fn a_fault_inside_a_stream_is_a_failed_response() {
    let fault = || Step::Fail(InferenceError::Fault("secret detail".into()));
    let server = TestServer::start(Scripted::new(move |_| Ok(vec![started(), text("x"), fault()]))).await;
    let reply = ask(&server, &json!({"stream": true})).await;
    let last = reply.events().pop().expect("an event");
    assert_eq!(last["type"], "response.failed");
    assert_eq!(last["response"]["error"]["code"], "server_error");
    assert_eq!(last["response"]["output"][0]["content"][0]["text"], "x");
    assert!(!reply.text().contains("secret"));
}

#[tokio::test]
async fn what_coding_agents_send_is_taken() {
    let upstream = Scripted::saying(&["x"]);
    let server = TestServer::start(upstream.clone()).await;
    let sent = json!({
        "instructions": "You are a coding agent.", "stream": true, "store": false, "tool_choice": "auto",
        "parallel_tool_calls": true, "prompt_cache_key": "0199", "include": ["reasoning.encrypted_content"],
        "reasoning": {"effort": "medium", "summary": "auto"},
        "input": [
            {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "<permissions>"}]},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "<environment_context>"}]},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "List files."}]},
            {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "ls"}],
             "encrypted_content": null},
            {"type": "function_call", "name": "shell", "arguments": "{\"command\":[\"ls\"]}", "call_id": "call_1"},
            {"type": "function_call_output", "call_id": "call_1", "output": "a.txt"},
            {"type": "function_call", "namespace": "agents", "name": "close", "arguments": "{}", "call_id": "call_2"},
            {"type": "function_call_output", "call_id": "call_2", "output": "closed"}],
        "client_metadata": {"turn_id": "1"},
        "tools": [{"type": "function", "name": "shell", "description": "Runs.", "strict": false,
                   "parameters": {"type": "object", "properties": {"command": {"type": "array", "items": {"type": "string"}}},
                                  "required": ["command"], "additionalProperties": false}},
                  {"type": "namespace", "name": "agents", "description": "Agents.", "tools": [
                      {"type": "function", "name": "close", "description": "Closes one.", "strict": false,
                       "parameters": {"type": "object"}}]}],
    });
    let reply = ask(&server, &sent).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let requests = upstream.requests.lock().expect("not poisoned");
    let Prompt::Conversation(conversation) = &requests[0].prompt else {
        panic!("a conversation")
    };
    let roles: Vec<Role> = conversation.messages.iter().map(|message| message.role).collect();
    assert_eq!(
        roles,
        [
            Role::System,
            Role::User,
            Role::Assistant,
            Role::Tool,
            Role::Assistant,
            Role::Tool
        ]
    );
    assert_eq!(conversation.messages[4].tool_calls[0].name, "agents__close");
    let told = &requests[0].form.tools[1];
    assert_eq!(
        (told.name.as_str(), told.description.as_deref()),
        ("agents__close", Some("Agents. Closes one."))
    );
    assert_eq!(conversation.messages[2].reasoning.as_deref(), Some("ls"));
    assert_eq!(conversation.messages[3].name.as_deref(), Some("shell"));
}

#[tokio::test]
async fn a_call_of_a_function_in_a_namespace_has_both_names() {
    let server = TestServer::start(Scripted::new(|_| {
        let call = Event::ToolCall {
            choice: 0,
            index: 0,
            id: "call_0".into(),
            name: "agents__close".into(),
        };
        let end = Event::ChoiceFinished {
            choice: 0,
            reason: FinishReason::ToolCalls,
        };
        let usage = Usage {
            n_prompt: 7,
            n_cached: None,
            n_completion: 1,
            n_reasoning: None,
        };
        let steps = [call, end, Event::Finished(usage)].map(Step::Say);
        Ok([started()].into_iter().chain(steps).collect())
    }))
    .await;
    let close = json!({"type": "function", "name": "close"});
    let tools = json!([{"type": "namespace", "name": "agents", "tools": [close]}]);
    let whole = ask(&server, &json!({"tools": tools})).await.json();
    let stream = ask(&server, &json!({"tools": tools, "stream": true})).await;
    for response in [whole, followed(&stream)] {
        let call = &response["output"][0];
        assert_eq!(
            (&call["namespace"], &call["name"]),
            (&json!("agents"), &json!("close"))
        );
        assert_eq!(response["tools"], tools);
    }
    let twice = json!([{"type": "namespace", "name": "agents", "tools": [close, close]}]);
    let error = ask(&server, &json!({"tools": twice})).await.error();
    assert_eq!(error["param"], "tools[0].tools[1].name");
}

#[tokio::test]
async fn faults_have_the_names_of_the_body() {
    let script = Scripted::new(|_| {
        let invalid =
            tokenmill_inference::InvalidRequest::new("messages[1].tool_calls", "cannot be honoured");
        Err(InferenceError::Invalid(invalid))
    });
    let server = TestServer::start(script).await;
    let tool = |name: &str| json!({"type": "function", "name": name});
    let item = |item: Value| json!({"input": [{"role": "user", "content": "x"}, item]});
    for (changes, param) in [
        (json!({"tools": [tool("f"), tool("f")]}), "tools[1].name"),
        (json!({"tool_choice": "required"}), "tool_choice"),
        (json!({"previous_response_id": "resp_1"}), "previous_response_id"),
        (json!({"store": true}), "store"),
        (json!({"max_output_tokens": 0}), "max_output_tokens"),
        (json!({"reasoning": {"summary": "detailed"}}), "reasoning.summary"),
        (item(json!({"type": "web_search_call"})), "input[1].type"),
        (
            item(json!({"type": "reasoning", "encrypted_content": "gAAA"})),
            "input[1].encrypted_content",
        ),
        (
            item(json!({"role": "user", "content": [{"type": "input_image"}]})),
            "input[1].content[0].type",
        ),
        (item(json!({"role": "assistant", "content": "y"})), "input[1]"),
        (json!({"instructions": "s"}), "input"),
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
async fn logprobs_are_the_same_whole_and_streamed() {
    let server = TestServer::start(local(2048, small())).await;
    let changes = json!({
        "include": ["message.output_text.logprobs"], "top_logprobs": 2, "max_output_tokens": 40, "temperature": 0,
    });
    let whole = ask(&server, &changes).await.json();
    let mut streamed = changes;
    streamed["stream"] = json!(true);
    let stream = ask(&server, &streamed).await;
    let part = &whole["output"][0]["content"][0];
    let n_tokens = part["logprobs"].as_array().expect("a list").len();
    assert!(n_tokens > 0);
    assert_eq!(part, &followed(&stream)["output"][0]["content"][0]);
    let deltas = stream.events().into_iter();
    let in_deltas = deltas.filter_map(|event| Some(event["logprobs"].as_array()?.len()));
    assert_eq!(
        in_deltas.sum::<usize>(),
        2 * n_tokens,
        "once as they come, and once when the text is done"
    );
}

#[tokio::test]
async fn what_does_not_fit_is_told_by_the_name_of_the_body() {
    let server = TestServer::start(local(256, small())).await;
    let reply = ask(&server, &json!({"input": "x".repeat(300)})).await;
    let error = reply.error();
    assert_eq!(
        (&error["code"], &error["param"]),
        (&json!("context_length_exceeded"), &json!("input"))
    );
    let message = error["message"].as_str().expect("text");
    assert!(
        message.contains("in 'input'") && !message.contains("messages"),
        "{message}"
    );
}
