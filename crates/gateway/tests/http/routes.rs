//! Every route in the list keeps the same rules, whichever it is.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};
use tokenmill_gateway::{Access, ROUTES, Route};
use tokenmill_inference::InferenceError;

use crate::client::Call;
use crate::doors::{answering, pieces, streamed, whole};
use crate::scripted::{Scripted, Step, started};
use crate::server::{TestServer, eventually};

/// The path with something in the place of its wildcard.
fn path(route: &Route) -> String {
    route.path.replace("{*id}", "test/model")
}

fn call(route: &Route) -> Call {
    match route.example {
        Some(example) => Call::post(&path(route), &body(example)),
        None => Call::new(route.method, &path(route)),
    }
}

fn body(example: &str) -> Value {
    serde_json::from_str(&example.replace("MODEL", "test/model")).expect("the example is JSON")
}

/// Routes that take a body.
fn with_body() -> impl Iterator<Item = (&'static Route, Value)> {
    ROUTES
        .iter()
        .filter_map(|route| Some((route, body(route.example?))))
}

#[tokio::test]
async fn every_route_answers_its_example() {
    let server = TestServer::start(Scripted::saying(&["x"])).await;
    for route in ROUTES {
        let reply = call(route).key(&server.key).send(server.at).await;
        assert_eq!(reply.status, 200, "{}: {}", route.path, reply.text());
        assert!(
            reply
                .header("x-request-id")
                .is_some_and(|id| id.starts_with("req_")),
            "{}",
            route.path
        );
    }
}

#[tokio::test]
async fn without_a_key_only_open_routes_answer() {
    let server = TestServer::start(Scripted::saying(&["x"])).await;
    for route in ROUTES {
        let reply = call(route).send(server.at).await;
        match route.access {
            Access::Open => assert_eq!(reply.status, 200, "{}", route.path),
            Access::Key => {
                assert_eq!(reply.status, 401, "{}", route.path);
                assert_eq!(reply.error()["message"], "Authentication failed");
                assert_eq!(reply.error()["code"], "missing_api_key");
                assert_eq!(
                    reply.header("www-authenticate"),
                    Some("Bearer realm=\"tokenmill\"")
                );
            }
        }
    }
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_one() {
    let server = TestServer::start(Scripted::saying(&["x"])).await;
    for route in ROUTES {
        let reply = Call::new("DELETE", &path(route))
            .key(&server.key)
            .send(server.at)
            .await;
        assert_eq!(reply.status, 405, "{}", route.path);
        assert_eq!(reply.error()["code"], "method_not_allowed");
        let allow = reply.header("allow").unwrap_or_default();
        assert!(
            allow.split(',').any(|method| method == route.method),
            "{}: {allow:?}",
            route.path
        );
    }
}

#[tokio::test]
async fn an_unknown_field_is_refused_by_name() {
    let server = TestServer::start(Scripted::saying(&["x"])).await;
    for (route, mut body) in with_body() {
        body["no_such_field"] = json!(1);
        let reply = Call::post(route.path, &body)
            .key(&server.key)
            .send(server.at)
            .await;
        assert_eq!(reply.status, 400, "{}", route.path);
        assert_eq!(reply.error()["param"], "no_such_field");
        assert_eq!(reply.error()["code"], "unknown_parameter");
    }
}

#[tokio::test]
async fn folded_equals_streamed() {
    let server = TestServer::start(Scripted::saying(&["one ", "two ", "three"])).await;
    for route in answering() {
        let body = body(route.example.expect("an example"));
        let ask = async |body: Value| {
            Call::post(route.path, &body)
                .key(&server.key)
                .send(server.at)
                .await
        };
        let folded = whole(route, &ask(body.clone()).await.json());
        let stream = ask(streamed(route, body)).await;
        assert_eq!(folded, pieces(route, &stream), "{}", route.path);
        assert_eq!(folded.text, "one two three", "{}", route.path);
        assert!(folded.usage.is_object(), "{}", route.path);
    }
}

#[tokio::test]
async fn a_failed_engine_is_not_ready() {
    let upstream = Scripted::new(|_| Err(InferenceError::Failed("a secret reason".into())));
    let server = TestServer::start(upstream.clone()).await;
    assert_eq!(server.get("/ready").await.status, 200);
    upstream.is_up.store(false, Ordering::SeqCst);
    for reply in [
        server.get("/ready").await,
        server.chat(&json!({})).send(server.at).await,
    ] {
        assert_eq!(
            (reply.status, &reply.error()["code"]),
            (503, &json!("engine_failed"))
        );
        assert!(!reply.text().contains("secret"), "that is for the log");
        assert_eq!(reply.header("retry-after"), None, "it does not pass by itself");
    }
    assert_eq!(server.get("/health").await.status, 200);
}

#[tokio::test]
async fn leaving_cancels() {
    let upstream = Scripted::new(|_| Ok(vec![started(), Step::Hang]));
    let server = TestServer::start(upstream.clone()).await;
    for route in answering() {
        let body = body(route.example.expect("an example"));
        let connection = Call::post(route.path, &body)
            .key(&server.key)
            .open(server.at)
            .await;
        eventually("the upstream has it", || upstream.n_live() == 1).await;
        drop(connection);
        eventually("cancelled", || {
            upstream.n_live() == 0 && server.gateway.n_in_flight() == 0
        })
        .await;
    }
}

#[tokio::test]
async fn an_unknown_route_is_a_404_in_the_error_shape() {
    let server = TestServer::start(Scripted::saying(&["x"])).await;
    for path in [
        "/v1",
        "/v1/chat",
        "/v1/chat/completions/",
        "/v2/models",
        "/v1/../health",
        "//health",
    ] {
        let reply = server.get(path).await;
        assert_eq!(reply.status, 404, "{path}");
        assert_eq!(reply.error()["message"], "The requested resource was not found");
        assert_eq!(reply.error()["code"], "unknown_route");
    }
}

#[tokio::test]
async fn models_are_listed_and_found_by_ids_with_slashes() {
    let server = TestServer::start(Scripted::saying(&["x"])).await;
    insta::assert_snapshot!(
        serde_json::to_string_pretty(&server.get("/v1/models").await.json()).expect("JSON")
    );
    for path in ["/v1/models/test/model", "/v1/models/test%2Fmodel"] {
        let reply = server.get(path).await;
        assert_eq!(
            (reply.status, &reply.json()["id"]),
            (200, &json!("test/model")),
            "{path}"
        );
    }
    for path in [
        "/v1/models/none",
        "/v1/models/Test/model",
        "/v1/models/test/model/",
        "/v1/models/%FF",
    ] {
        let reply = server.get(path).await;
        assert_eq!(
            (reply.status, &reply.error()["code"]),
            (404, &json!("model_not_found")),
            "{path}"
        );
    }
}

#[tokio::test]
async fn metrics_count_requests_and_tokens_and_name_no_strangers() {
    let server = TestServer::start(Scripted::saying(&["Hel", "lo"])).await;
    server.chat(&json!({})).send(server.at).await;
    server.chat(&json!({"stream": true})).send(server.at).await;
    server
        .chat(&json!({"model": "made-up-name"}))
        .send(server.at)
        .await;
    server.get("/made-up-path").await;
    let page = server.get("/metrics").await.text().to_owned();
    for line in [
        "tokenmill_http_requests_total{route=\"/v1/chat/completions\",model=\"test/model\",status=\"200\"} 2",
        "tokenmill_http_requests_total{route=\"/v1/chat/completions\",model=\"\",status=\"404\"} 1",
        "tokenmill_http_requests_total{route=\"\",model=\"\",status=\"404\"} 1",
        "tokenmill_prompt_tokens_total{model=\"test/model\"} 14",
        "tokenmill_cached_prompt_tokens_total{model=\"test/model\"} 6",
        "tokenmill_completion_tokens_total{model=\"test/model\"} 4",
        "tokenmill_time_to_first_text_seconds_count{model=\"test/model\"} 2",
        "tokenmill_time_between_texts_seconds_count{model=\"test/model\"} 2",
        "tokenmill_request_duration_seconds_count{model=\"test/model\"} 2",
        "tokenmill_engine_running{model=\"test/model\"} 2",
        "tokenmill_http_requests_in_flight 1",
    ] {
        assert!(
            page.lines().any(|other| other == line),
            "{line} is not in\n{page}"
        );
    }
    assert!(!page.contains("made-up"));
    assert!(!page.contains(&server.key));
}
