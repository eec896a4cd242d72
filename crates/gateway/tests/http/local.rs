//! The gateway in front of the real engine.

use std::time::Duration;

use futures::StreamExt;
use serde_json::{Value, json};
use tokenmill_engine::Options as EngineOptions;
use tokenmill_inference::{Draft, Event, EventStream, Message, Role, Upstream};
use tokio::io::AsyncReadExt;

use crate::client::Reply;
use crate::local_model::{local, small};
use crate::scripted::Scripted;
use crate::server::{TestServer, eventually};

async fn server() -> TestServer {
    TestServer::start(local(2048, small())).await
}

/// The joined text of each choice of a stream.
fn joined(reply: &Reply, n_choices: usize) -> Vec<String> {
    let mut texts = vec![String::new(); n_choices];
    for chunk in reply.chunks() {
        for part in chunk["choices"].as_array().expect("choices") {
            let index = part["index"].as_u64().expect("an index") as usize;
            texts[index].push_str(part["delta"]["content"].as_str().unwrap_or(""));
        }
    }
    texts
}

fn texts(reply: &Reply) -> Vec<String> {
    let body = reply.json();
    let content = |choice: &Value| choice["message"]["content"].as_str().expect("text").to_owned();
    body["choices"]
        .as_array()
        .unwrap_or_else(|| panic!("{body}"))
        .iter()
        .map(content)
        .collect()
}

#[tokio::test]
async fn usage_is_exact_and_the_fingerprint_names_weights_build_and_isa() {
    let server = server().await;
    let body = server
        .chat(&json!({"max_tokens": 5, "ignore_eos": true, "seed": 1}))
        .send(server.at)
        .await
        .json();
    // "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n": 3 special tokens, the other bytes one each.
    let n_prompt = 3 + "user\nhello\nassistant\n".len();
    let usage = json!({
        "prompt_tokens": n_prompt, "completion_tokens": 5, "total_tokens": n_prompt + 5,
        "prompt_tokens_details": {"cached_tokens": 0},
    });
    assert_eq!(body["usage"], usage);
    assert_eq!(body["system_fingerprint"], "fp_0123456789abcdef_test_scalar");
    assert_eq!(body["choices"][0]["finish_reason"], "length");
}

#[tokio::test]
async fn streamed_equals_whole_and_seeds_repeat() {
    let server = server().await;
    let changes = json!({"max_tokens": 200, "ignore_eos": true, "seed": 7, "n": 3, "temperature": 1.5});
    let whole = server.chat(&changes).send(server.at).await;
    let mut streamed = changes.clone();
    streamed["stream"] = json!(true);
    let stream = server.chat(&streamed).send(server.at).await;
    assert_eq!(texts(&whole), joined(&stream, 3));
    assert_eq!(texts(&whole), texts(&server.chat(&changes).send(server.at).await));
    // Choice i runs with seed + i.
    let mut single = changes;
    single["n"] = json!(1);
    single["seed"] = json!(9);
    let single = server.chat(&single).send(server.at).await;
    assert_eq!(texts(&single)[0], texts(&whole)[2]);
}

#[tokio::test]
async fn a_stop_string_never_leaks_and_its_tokens_count() {
    let server = server().await;
    let changes = json!({"max_tokens": 300, "ignore_eos": true, "seed": 3});
    let full = texts(&server.chat(&changes).send(server.at).await).remove(0);
    // A stop string from the middle of what this seed says.
    let chars: Vec<char> = full.chars().collect();
    let stop: String = chars[chars.len() / 2..chars.len() / 2 + 6].iter().collect();
    let expected = full.split(&stop).next().expect("a beginning");
    for stream in [false, true] {
        let mut changes = changes.clone();
        changes["stop"] = json!([stop, "never said \u{1F600}"]);
        changes["stream"] = json!(stream);
        if stream {
            changes["stream_options"] = json!({"include_usage": true});
        }
        let reply = server.chat(&changes).send(server.at).await;
        let text = if stream { joined(&reply, 1) } else { texts(&reply) };
        assert_eq!(text[0], expected);
        let last = if stream {
            reply.chunks().pop().expect("chunks")
        } else {
            reply.json()
        };
        let n_completion = last["usage"]["completion_tokens"].as_u64().expect("a number");
        assert!(n_completion < 300 && n_completion as usize >= expected.chars().count());
        if !stream {
            assert_eq!(last["choices"][0]["finish_reason"], "stop");
        }
    }
}

#[tokio::test]
async fn a_second_turn_finds_the_first_in_the_cache() {
    let server = server().await;
    let long = "x".repeat(300);
    let changes = json!({"messages": [{"role": "user", "content": long}], "max_tokens": 1});
    let cached = |reply: Reply| reply.json()["usage"]["prompt_tokens_details"]["cached_tokens"].as_u64();
    assert_eq!(cached(server.chat(&changes).send(server.at).await), Some(0));
    assert!(cached(server.chat(&changes).send(server.at).await).is_some_and(|n_cached| n_cached >= 256));
}

#[tokio::test]
async fn what_does_not_fit_is_refused_with_both_numbers() {
    let server = TestServer::start(local(128, small())).await;
    let long = json!({"messages": [{"role": "user", "content": "x".repeat(500)}]});
    let error = server.chat(&long).send(server.at).await.error();
    assert_eq!(
        (&error["code"], &error["param"]),
        (&json!("context_length_exceeded"), &json!("messages"))
    );
    let n_prompt = 3 + "user\n\nassistant\n".len() + 500;
    let message = error["message"].as_str().expect("text");
    assert!(
        message.contains("128") && message.contains(&n_prompt.to_string()),
        "{message}"
    );
    let error = server
        .chat(&json!({"max_tokens": 1000}))
        .send(server.at)
        .await
        .error();
    assert_eq!(error["code"], "context_length_exceeded");
    // Without a maximum it goes on to the end of the context.
    let body = server
        .chat(&json!({"ignore_eos": true}))
        .send(server.at)
        .await
        .json();
    assert_eq!(body["usage"]["total_tokens"], 128);
    assert_eq!(body["choices"][0]["finish_reason"], "length");
}

#[tokio::test]
async fn a_bias_for_no_token_is_refused_by_its_id() {
    let server = server().await;
    let error = server
        .chat(&json!({"logit_bias": {"5": 1, "258": 1}}))
        .send(server.at)
        .await
        .error();
    assert_eq!(error["param"], "logit_bias.258");
    let bias = json!({"logit_bias": {"65": 100}, "max_tokens": 4, "temperature": 0});
    assert_eq!(texts(&server.chat(&bias).send(server.at).await), ["AAAA"]);
}

#[tokio::test]
async fn user_text_makes_no_special_tokens() {
    let server = server().await;
    let plain = json!({"messages": [{"role": "user", "content": "<|im_end|>"}], "max_tokens": 1});
    let body = server.chat(&plain).send(server.at).await.json();
    let n_prompt = 3 + "user\n<|im_end|>\nassistant\n".len();
    assert_eq!(body["usage"]["prompt_tokens"], n_prompt);
}

/// Requests of many shapes: `idx` decides which.
fn varied(idx: usize) -> Value {
    let temperature = [0.0, 0.7, 1.3][idx % 3];
    json!({
        "messages": [{"role": "user", "content": "tell me about it ".repeat(1 + idx % 7) + &idx.to_string()}],
        "max_tokens": 20 + idx % 50, "ignore_eos": idx.is_multiple_of(3), "seed": idx, "n": 1 + idx % 2,
        "temperature": temperature, "stream": true,
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_streams_at_once_are_each_as_if_alone() {
    let server = server().await;
    let mut alone = Vec::new();
    for idx in 0..64 {
        alone.push(joined(
            &server.chat(&varied(idx)).send(server.at).await,
            1 + idx % 2,
        ));
    }
    let together = futures::future::join_all((0..64).map(|idx| {
        let call = server.chat(&varied(idx));
        async move { call.send(server.at).await }
    }));
    for (idx, reply) in together.await.iter().enumerate() {
        assert_eq!(joined(reply, 1 + idx % 2), alone[idx], "request {idx}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_requests_dropped_anywhere_leave_nothing_behind() {
    let upstream = local(2048, small());
    let server = TestServer::start(upstream.clone()).await;
    let seed = 20_260_131_u64;
    eprintln!("seed {seed}");
    let drop_one = |idx: usize| {
        let (server, mut random) = (&server, Random(seed + idx as u64));
        async move {
            let messages = json!([{"role": "user", "content": "x".repeat(1 + random.below(150))}]);
            let (stream, n, max_tokens) = (random.below(4) > 0, 1 + random.below(2), 1 + random.below(60));
            let changes = json!({
                "messages": messages, "stream": stream, "n": n, "max_tokens": max_tokens, "seed": idx,
                "ignore_eos": true,
            });
            let mut connection = server.chat(&changes).open(server.at).await;
            // Some leave at once, some in the middle, and some see the end.
            let mut left: usize = [0, 1, 600, 3_000, 1_000_000][random.below(5)];
            let mut buffer = [0; 512];
            while left > 0 {
                match connection.read(&mut buffer).await {
                    Ok(n_read) if n_read > 0 => left = left.saturating_sub(n_read),
                    _ => break,
                }
            }
        }
    };
    for wave in 0..20 {
        futures::future::join_all((0..50).map(|idx| drop_one(wave * 50 + idx))).await;
    }
    let is_idle = || {
        let stats = upstream.engine().stats();
        stats.running == 0 && stats.waiting == 0 && stats.pages_used == 0 && server.gateway.n_in_flight() == 0
    };
    eventually("slots, queue, pages and permits are free", is_idle).await;
    upstream.engine().check_integrity().expect("the books add up");
    assert_eq!(
        server
            .chat(&json!({"max_tokens": 1}))
            .send(server.at)
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn a_reader_that_stops_reading_pauses_its_sequence_and_nobody_else() {
    let upstream = local(2048, small());
    let mut draft = Draft::new("test/model", vec![Message::new(Role::User, "hello")]);
    draft.max_tokens = Some(300);
    draft.ignore_eos = true;
    draft.sampling.seed = Some(1);
    let request = draft.check().expect("in range");
    let read = |events: EventStream| events.map(|event| event.expect("no fault")).collect::<Vec<_>>();
    let expected = read(upstream.start(request.clone()).await.expect("taken")).await;
    let n_before = upstream.engine().stats().tokens_decoded;
    let unread = {
        let mut events = upstream.start(request.clone()).await.expect("taken");
        assert!(matches!(events.next().await, Some(Ok(Event::Started(_)))));
        events
    };
    let n_ahead = || upstream.engine().stats().tokens_decoded - n_before;
    eventually("the engine is ahead of its reader", || n_ahead() >= 64).await;
    let other = read(upstream.start(request).await.expect("taken")).await;
    assert!(n_ahead() < 300 + 100, "the unread one went on: {}", n_ahead());
    let late = read(unread).await;
    // All but what they took from the cache is the same.
    assert_eq!(late[..late.len() - 1], expected[1..expected.len() - 1]);
    assert_eq!(other[..other.len() - 1], expected[..expected.len() - 1]);
    eventually("all is free", || upstream.engine().stats().pages_used == 0).await;
}

#[tokio::test]
async fn a_full_queue_is_a_503() {
    let engine = EngineOptions {
        max_running: 1,
        max_waiting: 1,
        ..small()
    };
    let upstream = local(2048, engine);
    let server = TestServer::start(upstream.clone()).await;
    // Long enough that none ends before the last is submitted.
    let reply = server
        .chat(&json!({"n": 3, "max_tokens": 200, "ignore_eos": true}))
        .send(server.at)
        .await;
    assert_eq!(
        (reply.status, &reply.error()["code"]),
        (503, &json!("engine_overloaded"))
    );
    // The choices that had a place were cancelled, and give it back within a step.
    let one = server.chat(&json!({"max_tokens": 1}));
    let again = async { while one.send(server.at).await.status != 200 {} };
    tokio::time::timeout(Duration::from_secs(30), again)
        .await
        .expect("the places come back");
}

/// A small generator, so that a failure can be repeated from its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((mixed ^ (mixed >> 31)) % end as u64) as usize
    }
}

/// The scripted upstream and the real one keep the same contract.
#[tokio::test]
async fn both_upstreams_begin_alike() {
    for server in [server().await, TestServer::start(Scripted::saying(&["x"])).await] {
        let reply = server
            .chat(&json!({"stream": true, "max_tokens": 3}))
            .send(server.at)
            .await;
        assert_eq!(reply.chunks()[0]["choices"][0]["delta"]["role"], "assistant");
    }
}
