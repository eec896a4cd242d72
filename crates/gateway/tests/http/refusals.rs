//! What is refused, and how it is said.

use serde_json::{Value, json};
use tokenmill_inference::{InferenceError, InvalidRequest};

use crate::client::Call;
use crate::scripted::Scripted;
use crate::server::{CHAT, TestServer};

async fn server() -> TestServer {
    TestServer::start(Scripted::saying(&["x"])).await
}

/// Bodies, with GOOD for the fields of a good one and DEEP for 65 nested arrays; the code; words of the message.
const BAD_BODIES: &str = r#"
     | invalid_json | empty
    [] | invalid_json | must be a JSON object, and is an array
    null | invalid_json | must be a JSON object
    {GOOD} trailing | invalid_json | trailing characters
    {GOOD,"n":1,"n":2} | invalid_json | 'n' comes twice
    {GOOD,"temperature":1e999} | invalid_json | number out of range
    {GOOD,"temperature":NaN} | invalid_json | expected value
    {GOOD,"x":DEEP} | invalid_json | deeper than 64
    {GOOD,"temperature":2.5} | invalid_value | 'temperature' must be from 0 to 2
    {GOOD,"n":17} | invalid_value | 'n' must be from 1 to 16
    {GOOD,"temperature":"1"} | invalid_type | 'temperature' must be a number, and is a string
"#;

#[tokio::test]
async fn a_bad_body_is_a_400_that_names_the_fault() {
    let server = server().await;
    let good = r#""model":"test/model","messages":[{"role":"user","content":"hi"}]"#;
    let deep = "[".repeat(65) + &"]".repeat(65);
    let call = Call::new("POST", CHAT)
        .header("content-type", "application/json")
        .key(&server.key);
    for line in BAD_BODIES.lines().filter(|line| !line.is_empty()) {
        let [body, code, fault] = line.split(" | ").collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let body = body.trim().replace("GOOD", good).replace("DEEP", &deep);
        let reply = call.clone().body(body).send(server.at).await;
        let error = reply.error();
        assert_eq!((reply.status, &error["code"]), (400, &json!(code)), "{line}");
        assert_eq!(error["type"], "invalid_request_error");
        assert!(
            error["message"].as_str().expect("text").contains(fault),
            "{error}"
        );
    }
    let reply = call.body(b"{\"model\":\"\xff\"}".to_vec()).send(server.at).await;
    assert_eq!(
        (reply.status, &reply.error()["code"]),
        (400, &json!("invalid_utf8"))
    );
}

#[tokio::test]
async fn a_body_must_say_that_it_is_json() {
    let server = server().await;
    for content_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json; charset=latin1",
    ] {
        let call = server
            .chat(&json!({}))
            .without("content-type")
            .header("content-type", content_type);
        let reply = call.send(server.at).await;
        assert_eq!(
            (reply.status, &reply.error()["code"]),
            (400, &json!("invalid_content_type"))
        );
    }
    for content_type in ["application/json", "Application/JSON; charset=UTF-8"] {
        let call = server
            .chat(&json!({}))
            .without("content-type")
            .header("content-type", content_type);
        assert_eq!(call.send(server.at).await.status, 200);
    }
    let reply = server
        .chat(&json!({}))
        .without("content-type")
        .send(server.at)
        .await;
    assert_eq!(reply.status, 400);
    let reply = server
        .chat(&json!({}))
        .header("content-encoding", "gzip")
        .send(server.at)
        .await;
    assert_eq!(reply.error()["param"], "Content-Encoding");
}

#[tokio::test]
async fn keys_are_told_apart_by_code_alone() {
    let server = server().await;
    let mut wrong = server.key.clone();
    let last = if wrong.pop() == Some('x') { 'y' } else { 'x' };
    wrong.push(last);
    for authorization in [
        &format!("Bearer {wrong}"),
        "Bearer sk-foreign",
        "Basic abc",
        "Bearer",
        "x",
    ] {
        let call = server
            .chat(&json!({}))
            .without("authorization")
            .header("authorization", authorization);
        let reply = call.send(server.at).await;
        let error = reply.error();
        assert_eq!(
            (reply.status, &error["code"]),
            (401, &json!("invalid_api_key")),
            "{authorization}"
        );
        assert_eq!(error["message"], "Authentication failed");
        let challenge = "Bearer realm=\"tokenmill\", error=\"invalid_token\"";
        assert_eq!(reply.header("www-authenticate"), Some(challenge));
    }
    let empty = server
        .chat(&json!({}))
        .without("authorization")
        .header("authorization", "Bearer ");
    assert_eq!(empty.send(server.at).await.status, 401);
    server
        .accounts
        .revoke_key("test", &server.key, false)
        .await
        .expect("revoked");
    let reply = server.chat(&json!({})).send(server.at).await;
    assert_eq!(
        (reply.status, &reply.error()["code"]),
        (401, &json!("revoked_api_key"))
    );
}

#[tokio::test]
async fn a_project_is_named_by_header() {
    let server = server().await;
    let good = format!("{}/inference", server.team);
    let unknown_project = format!("{}/nothing", server.team);
    for (project, status, code) in [
        (good.as_str(), 200, ""),
        (unknown_project.as_str(), 401, "project_not_found"),
        ("nobody/inference", 401, "team_not_accessible"),
        ("no-slash", 400, "invalid_project"),
        ("a/b/c", 400, "invalid_project"),
        ("", 400, "invalid_project"),
    ] {
        let reply = server
            .chat(&json!({}))
            .header("openai-project", project)
            .send(server.at)
            .await;
        assert_eq!(reply.status, status, "{project}");
        if status != 200 {
            assert_eq!(reply.error()["code"], code, "{project}");
        }
    }
    let twice = server
        .chat(&json!({}))
        .header("openai-project", &good)
        .header("openai-project", &good);
    assert_eq!(twice.send(server.at).await.error()["code"], "invalid_project");
}

#[tokio::test]
async fn nothing_is_read_before_the_key_is_known() {
    let server = server().await;
    // The announced body never comes: the answer must not wait for it.
    let call = Call::new("POST", CHAT)
        .header("content-type", "application/json")
        .header("content-length", "1000");
    assert_eq!(call.send(server.at).await.status, 401);
}

#[tokio::test]
async fn an_unknown_model_is_a_404() {
    let server = server().await;
    let reply = server
        .chat(&json!({"model": "nobody/nothing"}))
        .send(server.at)
        .await;
    let error = reply.error();
    assert_eq!(
        (reply.status, &error["param"], &error["code"]),
        (404, &json!("model"), &json!("model_not_found"))
    );
    assert_eq!(error["message"], "The requested resource was not found");
}

#[tokio::test]
async fn what_the_upstream_refuses_has_its_own_status() {
    let refusals: [(InferenceError, u16, &str, Value); 5] = [
        (
            InferenceError::ContextLengthExceeded {
                n_prompt: 5000,
                n_completion: 1,
                n_context: 4096,
            },
            400,
            "context_length_exceeded",
            json!("messages"),
        ),
        (InferenceError::Overloaded, 503, "engine_overloaded", Value::Null),
        (InferenceError::ShuttingDown, 503, "shutting_down", Value::Null),
        (
            InferenceError::Fault("x".into()),
            500,
            "server_error",
            Value::Null,
        ),
        (
            InvalidRequest::new("logit_bias.9", "names no token").into(),
            400,
            "invalid_value",
            json!("logit_bias.9"),
        ),
    ];
    for (refusal, status, code, param) in refusals {
        let error = refusal.clone();
        let server = TestServer::start(Scripted::new(move |_| Err(error.clone()))).await;
        let reply = server.chat(&json!({"stream": true})).send(server.at).await;
        assert_eq!((reply.status, &reply.error()["code"]), (status, &json!(code)));
        assert_eq!(reply.error()["param"], param);
        if code == "context_length_exceeded" {
            let message = reply.error()["message"].as_str().expect("text").to_owned();
            assert!(
                message.contains("5000 in 'messages'") && message.contains("4096"),
                "{message}"
            );
        }
        if status == 503 {
            let message = "The engine is currently overloaded, please try again later";
            assert_eq!(reply.error()["message"], message);
            assert_eq!(reply.header("retry-after"), None, "nothing has been measured yet");
        }
        assert_eq!(server.gateway.n_in_flight(), 0);
    }
}

#[tokio::test]
async fn a_well_formed_request_id_is_kept_and_another_is_not() {
    let server = server().await;
    let long = "x".repeat(129);
    for (given, is_kept) in [
        ("abc-1.2:3_4", true),
        ("with space", false),
        ("a\"b", false),
        (long.as_str(), false),
    ] {
        let reply = server
            .chat(&json!({"n": 0}))
            .header("x-request-id", given)
            .send(server.at)
            .await;
        assert_eq!(reply.status, 400);
        assert_eq!(reply.header("x-request-id") == Some(given), is_kept, "{given}");
    }
}
