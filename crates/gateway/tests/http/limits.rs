//! Limits: of the body, of headers, of requests in flight; and the end of service.

use std::time::Duration;

use serde_json::json;
use tokenmill_gateway::{Options, ServeOptions};
use tokenmill_inference::InferenceError;
use tokio::io::AsyncReadExt;

use crate::client::{Call, read_until};
use crate::scripted::{Scripted, Step, answer, started, text};
use crate::server::{CHAT, TestServer, eventually};

#[tokio::test]
async fn a_body_over_the_limit_is_refused_with_the_limit() {
    let options = Options {
        max_body_bytes: 1000,
        ..Options::default()
    };
    let server = TestServer::start_with(Scripted::saying(&["x"]), options, ServeOptions::default()).await;
    let call = Call::new("POST", CHAT)
        .header("content-type", "application/json")
        .key(&server.key);
    let reply = call.clone().body("x".repeat(1001)).send(server.at).await;
    assert_eq!(
        (reply.status, &reply.error()["code"]),
        (413, &json!("body_too_large"))
    );
    assert!(
        reply.error()["message"]
            .as_str()
            .expect("text")
            .contains("1000 bytes")
    );
    // By length alone: not a byte of it comes.
    let reply = call
        .clone()
        .header("content-length", "4000000000")
        .send(server.at)
        .await;
    assert_eq!(reply.status, 413);
    // And without a length.
    let chunks = format!("258\r\n{0}\r\n258\r\n{0}\r\n0\r\n\r\n", "x".repeat(600));
    let reply = call
        .header("transfer-encoding", "chunked")
        .body(chunks)
        .send(server.at)
        .await;
    assert_eq!(reply.status, 413);
}

#[tokio::test]
async fn headers_over_the_limit_are_refused() {
    let server = TestServer::start(Scripted::saying(&["x"])).await;
    let at_limit = server.chat(&json!({})).header("x-long", &"x".repeat(32_000));
    assert_eq!(at_limit.send(server.at).await.status, 200);
    let reply = server
        .chat(&json!({}))
        .header("x-long", &"x".repeat(33_000))
        .send(server.at)
        .await;
    assert_eq!(
        (reply.status, &reply.error()["code"]),
        (431, &json!("headers_too_large"))
    );
    let mut call = server.chat(&json!({}));
    for idx in 0..101 {
        call = call.header(&format!("x-{idx}"), "1");
    }
    assert_eq!(call.send(server.at).await.status, 431);
    // Far over it, the connection does not even wait for the end.
    let huge = server.chat(&json!({})).header("x-long", &"x".repeat(500_000));
    assert_eq!(huge.send(server.at).await.status, 431);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let options = Options {
        body_timeout_s: 1,
        ..Options::default()
    };
    let server = TestServer::start_with(Scripted::saying(&["x"]), options, ServeOptions::default()).await;
    let call = server.chat(&json!({})).header("content-length", "100000");
    let reply = call.send(server.at).await;
    assert_eq!(
        (reply.status, &reply.error()["code"]),
        (408, &json!("body_timeout"))
    );
}

#[tokio::test]
async fn requests_in_flight_are_limited_by_project_and_model() {
    let upstream = Scripted::new(|request| {
        Ok(if request.stop.is_empty() {
            answer(request, &["x"])
        } else {
            vec![started(), text("x"), Step::Hang]
        })
    });
    let options = Options {
        max_in_flight: 2,
        ..Options::default()
    };
    let server = TestServer::start_with(upstream, options, ServeOptions::default()).await;
    let reply = server.chat(&json!({})).send(server.at).await;
    assert_eq!(reply.header("x-ratelimit-limit-concurrency"), Some("2"));
    assert_eq!(reply.header("x-ratelimit-remaining-concurrency"), Some("1"));
    eventually("the first is over", || server.gateway.n_in_flight() == 0).await;
    let hanging = server.chat(&json!({"stop": "hang", "stream": true}));
    let mut first = hanging.open(server.at).await;
    let mut second = hanging.open(server.at).await;
    read_until(&mut first, "\"x\"").await;
    read_until(&mut second, "\"x\"").await;
    let reply = server.chat(&json!({})).send(server.at).await;
    assert_eq!(
        (reply.status, &reply.error()["code"]),
        (429, &json!("concurrency_limit_reached"))
    );
    assert_eq!(reply.error()["message"], "Concurrency limit reached for requests");
    assert_eq!(reply.header("x-ratelimit-limit-concurrency"), Some("2"));
    assert_eq!(reply.header("x-ratelimit-remaining-concurrency"), Some("0"));
    // One answer was measured, so there is a number.
    assert!(
        reply
            .header("retry-after")
            .is_some_and(|seconds| seconds.parse::<u64>().is_ok())
    );
    let reply = server.chat(&json!({"model": "other"})).send(server.at).await;
    assert_eq!(reply.status, 200, "another model has places of its own");
    drop(first);
    eventually("a place is free", || server.gateway.n_in_flight() == 1).await;
    assert_eq!(server.chat(&json!({})).send(server.at).await.status, 200);
}

#[tokio::test]
async fn every_choice_takes_a_place() {
    let upstream = Scripted::new(|_| Ok(vec![started(), text("x"), Step::Hang]));
    let options = Options {
        max_in_flight: 3,
        ..Options::default()
    };
    let server = TestServer::start_with(upstream, options, ServeOptions::default()).await;
    let mut two = server
        .chat(&json!({"n": 2, "stream": true}))
        .open(server.at)
        .await;
    let head = read_until(&mut two, "\"x\"").await;
    assert!(
        head.contains("x-ratelimit-remaining-concurrency: 1\r\n"),
        "{head}"
    );
    let reply = server.chat(&json!({"n": 2})).send(server.at).await;
    assert_eq!(
        (reply.status, &reply.error()["code"]),
        (429, &json!("concurrency_limit_reached"))
    );
    assert_eq!(reply.header("x-ratelimit-remaining-concurrency"), Some("1"));
    // One that could never fit is no matter of waiting.
    let reply = server.chat(&json!({"n": 4})).send(server.at).await;
    assert_eq!((reply.status, &reply.error()["param"]), (400, &json!("n")));
    let mut one = server.chat(&json!({"stream": true})).open(server.at).await;
    read_until(&mut one, "\"x\"").await;
    assert_eq!(server.gateway.n_in_flight(), 2, "requests, not choices");
}

#[tokio::test]
async fn bodies_on_their_way_are_limited_and_waited_for() {
    let options = Options {
        max_in_flight: 1,
        ..Options::default()
    };
    let mut server = TestServer::start_with(Scripted::saying(&["x"]), options, ServeOptions::default()).await;
    let unfinished = server.chat(&json!({})).header("content-length", "100000");
    let slow = unfinished.open(server.at).await;
    eventually("it is being read", || server.gateway.n_in_flight() == 1).await;
    let reply = server.chat(&json!({})).send(server.at).await;
    assert_eq!(
        (reply.status, &reply.error()["code"]),
        (429, &json!("concurrency_limit_reached"))
    );
    assert_eq!(reply.header("x-ratelimit-remaining-concurrency"), Some("0"));
    server.end();
    while server.get("/ready").await.status != 503 {}
    assert_eq!(server.gateway.n_in_flight(), 1, "the end waits for it");
    drop(slow);
    let cut = tokio::time::timeout(Duration::from_secs(20), server.ended())
        .await
        .expect("it ends");
    assert_eq!(cut, 0);
}

#[tokio::test]
async fn a_full_queue_tells_when_to_come_back_once_that_is_known() {
    let upstream = Scripted::new(|request| {
        if request.stop.is_empty() {
            Ok(answer(request, &["x"]))
        } else {
            Err(InferenceError::Overloaded)
        }
    });
    let server = TestServer::start(upstream).await;
    assert_eq!(server.chat(&json!({})).send(server.at).await.status, 200);
    // The answer counts when its last byte has gone, which its reader may see first.
    let page = "tokenmill_request_duration_seconds_count{model=\"test/model\"} 1";
    while !server.get("/metrics").await.text().contains(page) {}
    let reply = server.chat(&json!({"stop": "full"})).send(server.at).await;
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")));
}

#[tokio::test]
async fn draining_refuses_the_new_and_finishes_the_old() {
    let (go, gone) = tokio::sync::watch::channel(false);
    let upstream = Scripted::new(move |request| {
        let mut steps = answer(request, &["before", "after"]);
        steps.insert(2, Step::Wait(gone.clone()));
        Ok(steps)
    });
    let mut server = TestServer::start(upstream).await;
    assert_eq!(server.get("/ready").await.status, 200);
    let mut running = server.chat(&json!({"stream": true})).open(server.at).await;
    read_until(&mut running, "before").await;
    server.end();
    while server.get("/ready").await.status != 503 {}
    let reply = server.chat(&json!({})).send(server.at).await;
    assert_eq!(
        (reply.status, &reply.error()["code"]),
        (503, &json!("shutting_down"))
    );
    assert_eq!(server.get("/health").await.status, 200, "alive to the end");
    go.send(true).expect("somebody waits");
    let mut rest = String::new();
    running.read_to_string(&mut rest).await.expect("readable");
    assert!(rest.contains("after") && rest.contains("[DONE]"), "{rest}");
    let cut = tokio::time::timeout(Duration::from_secs(20), server.ended())
        .await
        .expect("it ends");
    assert_eq!(cut, 0);
}

#[tokio::test]
async fn draining_does_not_wait_for_ever() {
    let upstream = Scripted::new(|_| Ok(vec![started(), text("x"), Step::Hang]));
    let serve_options = ServeOptions {
        drain_s: 1,
        ..ServeOptions::default()
    };
    let mut server = TestServer::start_with(upstream, Options::default(), serve_options).await;
    let mut running = server.chat(&json!({"stream": true})).open(server.at).await;
    read_until(&mut running, "\"x\"").await;
    server.end();
    let cut = tokio::time::timeout(Duration::from_secs(20), server.ended())
        .await
        .expect("it ends");
    assert_eq!(cut, 1);
}
