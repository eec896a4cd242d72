//! What answers look like, whole and streamed.

use std::time::Duration;

use serde_json::{Value, json};
use tokenmill_inference::{Event, FinishReason, InferenceError, Usage};

use crate::client::{Reply, read_until};
use crate::scripted::{Scripted, Step, started, text};
use crate::server::{TestServer, eventually};

/// With what differs between runs replaced.
fn settled(mut body: Value) -> Value {
    assert!(body["id"].as_str().expect("an id").starts_with("chatcmpl-"));
    assert!(body["created"].as_u64().expect("a time") > 1_700_000_000);
    body["id"] = json!("chatcmpl-ID");
    body["created"] = json!(0);
    body
}

/// All chunks, one a line, in the order of their fields.
fn settled_chunks(reply: &Reply) -> String {
    let lines = reply.chunks().into_iter().map(|chunk| settled(chunk).to_string());
    lines.collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn a_whole_answer_is_a_chat_completion() {
    let server = TestServer::start(Scripted::saying(&["Hel", "lo"])).await;
    let reply = server.chat(&json!({})).send(server.at).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    insta::assert_snapshot!(serde_json::to_string_pretty(&settled(reply.json())).expect("JSON"));
}

#[tokio::test]
async fn a_streamed_answer_is_chunks_and_done() {
    let server = TestServer::start(Scripted::saying(&["Hel", "lo"])).await;
    let reply = server.chat(&json!({"stream": true})).send(server.at).await;
    assert_eq!(reply.status, 200);
    assert_eq!(
        reply.header("content-type"),
        Some("text/event-stream; charset=utf-8")
    );
    assert_eq!(reply.header("cache-control"), Some("no-cache"));
    insta::assert_snapshot!(settled_chunks(&reply));
}

#[tokio::test]
async fn the_usage_chunk_is_last_and_the_others_say_null() {
    let server = TestServer::start(Scripted::saying(&["Hello"])).await;
    let changes = json!({"stream": true, "stream_options": {"include_usage": true}, "n": 2});
    let reply = server.chat(&changes).send(server.at).await;
    insta::assert_snapshot!(settled_chunks(&reply));
}

#[tokio::test]
async fn what_the_upstream_does_not_say_is_absent_and_not_zero() {
    let script = Scripted::new(|_| {
        let usage = Usage {
            n_prompt: 7,
            n_cached: None,
            n_completion: 0,
            n_reasoning: None,
        };
        let end = Event::ChoiceFinished {
            choice: 0,
            reason: FinishReason::Length,
        };
        Ok(vec![started(), Step::Say(end), Step::Say(Event::Finished(usage))])
    });
    let server = TestServer::start(script).await;
    let body = server.chat(&json!({})).send(server.at).await.json();
    assert_eq!(
        body["usage"],
        json!({"prompt_tokens": 7, "completion_tokens": 0, "total_tokens": 7})
    );
    assert_eq!(body["choices"][0]["finish_reason"], "length");
    assert_eq!(body["choices"][0]["message"]["content"], "");
}

#[tokio::test]
async fn joined_deltas_equal_the_whole_answer_for_every_choice() {
    let words = &["a", "é", "\u{1F600}", "\n\ndata: x", "\"quoted\"", " end"];
    let server = TestServer::start(Scripted::saying(words)).await;
    let whole = server.chat(&json!({"n": 3})).send(server.at).await.json();
    let stream = server
        .chat(&json!({"n": 3, "stream": true}))
        .send(server.at)
        .await;
    for choice in 0..3 {
        let of_choice = |chunk: &Value| {
            let part = &chunk["choices"][0];
            (part["index"] == choice).then(|| part["delta"]["content"].as_str().unwrap_or("").to_owned())
        };
        let joined: String = stream.chunks().iter().filter_map(of_choice).collect();
        assert_eq!(whole["choices"][choice]["message"]["content"], joined.as_str());
        assert_eq!(joined, words.concat());
    }
}

#[tokio::test]
async fn a_fault_before_the_first_byte_has_a_status() {
    for stream in [false, true] {
        let fault = || Step::Fail(InferenceError::Fault("secret detail".into()));
        let server = TestServer::start(Scripted::new(move |_| Ok(vec![started(), fault()]))).await;
        let reply = server.chat(&json!({"stream": stream})).send(server.at).await;
        assert_eq!(reply.status, 500);
        let message = "The server had an error while processing your request";
        assert_eq!(reply.error()["message"], message);
        assert!(!reply.text().contains("secret"));
    }
}

#[tokio::test]
async fn a_fault_inside_a_stream_is_one_error_event_and_the_end() {
    let fault = || Step::Fail(InferenceError::Fault("secret detail".into()));
    for steps in [
        vec![started(), text("Hel"), fault()],
        vec![started(), text("Hel"), Step::Stop],
    ] {
        let server = TestServer::start(Scripted::new(move |_| Ok(steps.clone()))).await;
        let reply = server.chat(&json!({"stream": true})).send(server.at).await;
        assert_eq!(reply.status, 200);
        let data = reply.data();
        let last: Value = serde_json::from_str(data.last().expect("an event")).expect("JSON, not [DONE]");
        assert_eq!(last["error"]["code"], "server_error");
        assert_eq!(
            last["error"]["message"],
            "The server had an error while processing your request"
        );
        assert!(!reply.text().contains("secret"));
        let n_errors = data.iter().filter(|line| line.contains("\"error\"")).count();
        assert_eq!((n_errors, data.len()), (1, 3));
    }
}

#[tokio::test]
async fn a_fault_inside_a_whole_answer_is_a_500() {
    let steps = vec![started(), text("Hel"), Step::Stop];
    let server = TestServer::start(Scripted::new(move |_| Ok(steps.clone()))).await;
    assert_eq!(server.chat(&json!({})).send(server.at).await.status, 500);
}

#[tokio::test]
async fn leaving_cancels_whole_and_streamed_requests_alike() {
    for (stream, is_begun) in [(false, false), (true, false), (true, true)] {
        let upstream = Scripted::new(move |_| {
            Ok(if is_begun {
                vec![started(), text("Hel"), Step::Hang]
            } else {
                vec![started(), Step::Hang]
            })
        });
        let server = TestServer::start(upstream.clone()).await;
        let mut connection = server.chat(&json!({"stream": stream})).open(server.at).await;
        eventually("the upstream has it", || upstream.n_live() == 1).await;
        assert_eq!(server.gateway.n_in_flight(), 1);
        if is_begun {
            read_until(&mut connection, "Hel").await;
        }
        drop(connection);
        eventually("the upstream's stream is dropped", || upstream.n_live() == 0).await;
        eventually("the permit is back", || server.gateway.n_in_flight() == 0).await;
    }
}

#[tokio::test]
async fn the_permit_lives_until_the_last_byte() {
    let upstream = Scripted::new(|_| Ok(vec![started(), text("Hel"), Step::Hang]));
    let server = TestServer::start(upstream.clone()).await;
    let mut connection = server.chat(&json!({"stream": true})).open(server.at).await;
    read_until(&mut connection, "Hel").await;
    // The head is long out.
    assert_eq!(server.gateway.n_in_flight(), 1);
    drop(connection);
    eventually("the permit is back", || server.gateway.n_in_flight() == 0).await;
}

#[tokio::test]
async fn parameters_reach_the_upstream() {
    let upstream = Scripted::saying(&["x"]);
    let server = TestServer::start(upstream.clone()).await;
    let changes = json!({"temperature": 0.5, "seed": 7, "max_tokens": 9, "stop": "END", "top_p": null});
    let call = server.chat(&changes).header("x-request-id", "mine-1");
    assert_eq!(call.send(server.at).await.status, 200);
    let other_key = server.accounts.create_key("test", &Default::default()).await;
    assert!(other_key.is_err(), "a key needs a name");
    let requests = upstream.requests.lock().expect("not poisoned");
    let request = &requests[0];
    assert_eq!(
        (request.sampling.temperature, request.sampling.seed),
        (Some(0.5), Some(7))
    );
    assert_eq!(
        (request.max_tokens, request.stop.as_slice()),
        (Some(9), &["END".to_owned()][..])
    );
    assert_eq!((request.id.as_str(), request.sampling.top_p), ("mine-1", None));
    assert_ne!(
        request.cache_scope.0, [0; 32],
        "prompts of a project are cached in its own scope"
    );
}

#[tokio::test]
async fn a_head_does_not_wait_longer_than_the_keep_alive() {
    let upstream = Scripted::new(|_| Ok(vec![started(), Step::Hang]));
    let options = tokenmill_gateway::Options {
        keep_alive_s: 1,
        ..Default::default()
    };
    let server = TestServer::start_with(upstream, options, Default::default()).await;
    let mut connection = server.chat(&json!({"stream": true})).open(server.at).await;
    let waited = tokio::time::timeout(
        Duration::from_secs(20),
        read_until(&mut connection, ": keep-alive"),
    );
    let seen = waited.await.expect("a comment came");
    assert!(
        seen.contains("200 OK") && seen.contains("\"role\":\"assistant\""),
        "{seen}"
    );
}
