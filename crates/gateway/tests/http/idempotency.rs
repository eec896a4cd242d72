//! `Idempotency-Key`: sent twice, run once.

use std::time::Duration;

use serde_json::json;
use tokenmill_gateway::{Options, ServeOptions};
use tokenmill_inference::InferenceError;
use tokio::sync::watch;

use crate::client::Call;
use crate::scripted::{Scripted, Step, answer};
use crate::server::{TestServer, eventually};

const KEY: &str = "Idempotency-Key";

fn n_run(upstream: &Scripted) -> usize {
    upstream.requests.lock().expect("no panic held it").len()
}

fn with_key(call: Call, key: &str) -> Call {
    call.header(KEY, key)
}

#[tokio::test]
async fn the_second_sending_gets_the_first_ones_answer_and_costs_nothing() {
    let upstream = Scripted::saying(&["a", "b"]);
    let server = TestServer::start(upstream.clone()).await;
    for (n, changes) in [json!({}), json!({"stream": true})].iter().enumerate() {
        let call = with_key(server.chat(changes), &format!("key {n}"));
        let first = call.send(server.at).await;
        let second = call.send(server.at).await;
        assert_eq!((first.status, second.status), (200, 200));
        assert_eq!(first.text(), second.text(), "byte for byte");
        for name in ["content-type", "x-usage-id"] {
            assert!(first.header(name).is_some());
            assert_eq!(first.header(name), second.header(name), "{name}");
        }
        let told = (
            first.header("idempotent-replayed"),
            second.header("idempotent-replayed"),
        );
        assert_eq!(told, (None, Some("true")));
        assert_eq!(n_run(&upstream), n + 1);
        let other = with_key(server.chat(&json!({"max_tokens": 3})), &format!("key {n}"));
        let refusal = other.send(server.at).await;
        assert_eq!(refusal.status, 422);
        assert_eq!(refusal.error()["code"], "idempotency_key_reused");
        assert_eq!(refusal.error()["param"], KEY);
    }
    server.ledger.flush().await;
    let found = server.accounts.verify().await.expect("readable");
    assert_eq!((found.n_usage, found.n_faults), (2, 0));
}

#[tokio::test]
async fn while_the_first_runs_the_second_is_told_so_and_leaving_ends_nothing() {
    let (go, waits) = watch::channel(false);
    let upstream = Scripted::new(move |request| {
        let mut steps = answer(request, &["a", "b"]);
        steps.insert(1, Step::Wait(waits.clone()));
        Ok(steps)
    });
    let server = TestServer::start(upstream.clone()).await;
    let call = with_key(server.chat(&json!({})), "k");
    let first = call.open(server.at).await;
    eventually("it runs", || n_run(&upstream) == 1).await;
    let second = call.send(server.at).await;
    assert_eq!(second.status, 409);
    assert_eq!(second.error()["code"], "idempotency_key_in_use");
    assert_eq!(second.header("retry-after"), Some("1"));
    // The caller's connection breaks; the request goes on.
    drop(first);
    go.send(true).expect("it waits");
    let mut third = call.send(server.at).await;
    while third.status == 409 {
        tokio::task::yield_now().await;
        third = call.send(server.at).await;
    }
    assert_eq!(
        (third.status, third.header("idempotent-replayed")),
        (200, Some("true"))
    );
    assert_eq!(n_run(&upstream), 1);
    assert_eq!(server.ledger.n_open(), 0);
}

#[tokio::test]
async fn what_failed_cost_nothing_and_runs_again() {
    let upstream = Scripted::new(|request| {
        let mut steps = answer(request, &["a"]);
        steps.insert(2, Step::Fail(InferenceError::Fault("broken".into())));
        if request.n == 2 {
            Err(InferenceError::Overloaded)
        } else {
            Ok(steps)
        }
    });
    let server = TestServer::start(upstream.clone()).await;
    for (n, changes) in [json!({}), json!({"stream": true}), json!({"n": 2})]
        .iter()
        .enumerate()
    {
        let call = with_key(server.chat(changes), &format!("key {n}"));
        for sending in 1..=2 {
            let mut reply = call.send(server.at).await;
            while reply.status == 409 {
                tokio::task::yield_now().await;
                reply = call.send(server.at).await;
            }
            assert_eq!(reply.header("idempotent-replayed"), None);
            assert_eq!(n_run(&upstream), 2 * n + sending);
        }
    }
}

#[tokio::test]
async fn another_api_key_does_not_get_the_answer() {
    let server = TestServer::start(Scripted::saying(&["a"])).await;
    let call = with_key(server.chat(&json!({})), "k");
    assert_eq!(call.send(server.at).await.status, 200);
    let rotated = server
        .accounts
        .rotate_key("test", &server.key, Duration::from_secs(60));
    let rotated = rotated.await.expect("rotated");
    let theirs = call.clone().without("authorization").key(rotated.expose());
    let refusal = theirs.send(server.at).await;
    assert_eq!(refusal.status, 422);
    assert_eq!(refusal.error()["code"], "idempotency_key_reused");
    assert_eq!(
        call.send(server.at).await.header("idempotent-replayed"),
        Some("true")
    );
}

#[tokio::test]
async fn a_project_has_so_many_keys_a_day() {
    let upstream = Scripted::saying(&["a"]);
    let options = Options {
        idempotency_keys: 2,
        ..Options::default()
    };
    let server = TestServer::start_with(upstream.clone(), options, ServeOptions::default()).await;
    for key in ["1", "2"] {
        assert_eq!(
            with_key(server.chat(&json!({})), key)
                .send(server.at)
                .await
                .status,
            200
        );
    }
    let refusal = with_key(server.chat(&json!({})), "3").send(server.at).await;
    assert_eq!(refusal.status, 429);
    assert_eq!(refusal.error()["code"], "too_many_idempotency_keys");
    let wait_s: u64 = refusal
        .header("retry-after")
        .expect("told")
        .parse()
        .expect("seconds");
    assert!((86_000..=86_400).contains(&wait_s), "{wait_s}");
    assert_eq!(n_run(&upstream), 2);
    let again = with_key(server.chat(&json!({})), "1").send(server.at).await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(
        server.chat(&json!({})).send(server.at).await.status,
        200,
        "without a key"
    );
}

#[tokio::test]
async fn a_key_is_one_short_line() {
    let server = TestServer::start(Scripted::saying(&["a"])).await;
    for key in [String::new(), " ".into(), "a".repeat(256)] {
        let reply = with_key(server.chat(&json!({})), &key).send(server.at).await;
        assert_eq!(reply.status, 400);
        assert_eq!(reply.error()["code"], "invalid_idempotency_key");
    }
    let twice = with_key(with_key(server.chat(&json!({})), "a"), "a");
    assert_eq!(twice.send(server.at).await.status, 400);
}
