//! What parameters do to the answers of the real engine.

use serde_json::{Value, json};

use crate::client::Reply;
use crate::local_model::{local, small};
use crate::server::TestServer;

async fn server() -> TestServer {
    TestServer::start(local(2048, small())).await
}

async fn ask(server: &TestServer, changes: Value) -> Reply {
    let mut all = json!({"max_tokens": 60, "ignore_eos": true, "seed": 5, "temperature": 0});
    let fields = all.as_object_mut().expect("an object");
    fields.extend(changes.as_object().expect("an object").clone());
    server.chat(&all).send(server.at).await
}

async fn text(server: &TestServer, changes: Value) -> String {
    let reply = ask(server, changes).await;
    let body = reply.json();
    body["choices"][0]["message"]["content"]
        .as_str()
        .unwrap_or_else(|| panic!("{body}"))
        .to_owned()
}

/// The ids of an answer, which the byte tokenizer makes its bytes: only where it is plain ASCII.
async fn ids(server: &TestServer, changes: Value) -> Vec<u64> {
    let mut changes = changes;
    changes["logprobs"] = json!(true);
    let body = ask(server, changes).await.json();
    let content = body["choices"][0]["logprobs"]["content"]
        .as_array()
        .expect("logprobs");
    let byte = |token: &Value| token["bytes"][0].as_u64().expect("a byte");
    content.iter().map(byte).collect()
}

#[tokio::test]
async fn logprobs_have_bytes_and_are_the_same_whole_and_streamed() {
    let server = server().await;
    let changes = json!({"logprobs": true, "top_logprobs": 2, "n": 2, "temperature": 1, "max_tokens": 80});
    let whole = ask(&server, changes.clone()).await.json();
    let mut streamed = changes;
    streamed["stream"] = json!(true);
    let chunks = ask(&server, streamed).await.chunks();
    for choice in 0..2 {
        let content = whole["choices"][choice]["logprobs"]["content"]
            .as_array()
            .expect("a list");
        let parts = chunks
            .iter()
            .flat_map(|chunk| chunk["choices"].as_array().expect("choices"));
        let of_choice = parts.filter(|part| part["index"] == choice);
        let joined: Vec<Value> = of_choice
            .flat_map(|part| {
                part["logprobs"]["content"]
                    .as_array()
                    .cloned()
                    .unwrap_or_default()
            })
            .collect();
        assert_eq!(content, &joined);
        let bytes: Vec<u8> = content
            .iter()
            .flat_map(|token| token["bytes"].as_array().expect("bytes"))
            .map(|byte| byte.as_u64().expect("a byte") as u8)
            .collect();
        // Special tokens show in the list by their names, and not in the text.
        let said = whole["choices"][choice]["message"]["content"]
            .as_str()
            .expect("text");
        let listed = String::from_utf8_lossy(&bytes)
            .replace("<|im_start|>", "")
            .replace("<|im_end|>", "");
        assert!(
            listed.starts_with(said) || said.starts_with(&listed),
            "{said:?} {listed:?}"
        );
        for token in content {
            assert!(token["logprob"].as_f64().expect("a number") <= 0.0);
            assert_eq!(token["top_logprobs"].as_array().map(Vec::len), Some(2));
        }
    }
    assert_eq!(
        ask(&server, json!({})).await.json()["choices"][0]["logprobs"],
        Value::Null
    );
}

#[tokio::test]
async fn logprobs_do_not_depend_on_sampling_parameters() {
    let server = server().await;
    let first = |body: Value| body["choices"][0]["logprobs"]["content"][0]["top_logprobs"].clone();
    let asked = json!({"logprobs": true, "top_logprobs": 20});
    let plain = first(ask(&server, asked.clone()).await.json());
    for (name, value) in [
        ("temperature", json!(1.7)),
        ("logit_bias", json!({"65": 100})),
        ("top_k", json!(1)),
    ] {
        let mut changed = asked.clone();
        changed[name] = value;
        assert_eq!(first(ask(&server, changed).await.json()), plain, "{name}");
    }
}

#[tokio::test]
async fn a_stop_token_ends_the_answer_and_a_least_length_comes_before_it() {
    let server = server().await;
    let all = ids(&server, json!({"max_tokens": 40})).await;
    let stop = all[7];
    let first = all.iter().position(|&id| id == stop).expect("it is there");
    let body = |changes: Value| ask(&server, changes);
    let stopped = body(json!({"stop_token_ids": [stop]})).await.json();
    assert_eq!(stopped["choices"][0]["finish_reason"], "stop");
    assert_eq!(stopped["usage"]["completion_tokens"], first + 1);
    let longer = body(json!({"stop_token_ids": [stop], "min_tokens": 30}))
        .await
        .json();
    assert!(
        longer["usage"]["completion_tokens"].as_u64() >= Some(30),
        "{longer}"
    );
    let unknown = body(json!({"stop_token_ids": [3, 258]})).await;
    assert_eq!(
        (unknown.status, &unknown.error()["param"]),
        (400, &json!("stop_token_ids[1]"))
    );
    let too_many = body(json!({"min_tokens": 61})).await;
    assert_eq!(
        (too_many.status, &too_many.error()["param"]),
        (400, &json!("min_tokens"))
    );
}

#[tokio::test]
async fn a_stop_text_waits_for_the_least_length_and_stays_when_asked() {
    let server = server().await;
    let all = text(&server, json!({"max_tokens": 200})).await;
    let chars: Vec<char> = all.chars().collect();
    let stop: String = chars[20..22].iter().collect();
    let before = all.split(&stop).next().expect("a beginning").to_owned();
    assert_eq!(
        text(&server, json!({"stop": stop, "max_tokens": 200})).await,
        before
    );
    let kept = text(
        &server,
        json!({"stop": stop, "max_tokens": 200, "include_stop_str_in_output": true}),
    )
    .await;
    assert_eq!(kept, before + &stop);
    let waited = text(
        &server,
        json!({"stop": stop, "max_tokens": 200, "min_tokens": 100}),
    )
    .await;
    assert!(waited.len() > kept.len() && all.starts_with(&waited));
}

#[tokio::test]
async fn a_bad_word_never_comes() {
    let server = server().await;
    let all = text(&server, json!({"max_tokens": 100})).await;
    let word: String = all.chars().filter(char::is_ascii_graphic).take(1).collect();
    let without = text(&server, json!({"max_tokens": 100, "bad_words": [word]})).await;
    assert!(
        all.contains(&word) && !without.contains(&word),
        "{word:?} {without:?}"
    );
}

#[tokio::test]
async fn the_last_message_is_gone_on_with() {
    let server = server().await;
    let messages = json!([{"role": "user", "content": "hi"}, {"role": "assistant", "content": "So "}]);
    let prompt_tokens = |changes: Value| {
        let changes = json!({"messages": messages, "max_tokens": 1, "continue_final_message": changes["continue_final_message"], "add_generation_prompt": changes["add_generation_prompt"]});
        let reply = ask(&server, changes);
        async move { reply.await.json()["usage"]["prompt_tokens"].as_u64() }
    };
    let said = "user\nhi\nassistant\nSo ".len() as u64 + 3;
    assert_eq!(
        prompt_tokens(json!({"continue_final_message": true})).await,
        Some(said)
    );
    let bare = said + "\n".len() as u64 + 1;
    assert_eq!(
        prompt_tokens(json!({"add_generation_prompt": false})).await,
        Some(bare)
    );
    assert_eq!(
        prompt_tokens(json!({})).await,
        Some(bare + 1 + "assistant\n".len() as u64)
    );
}

#[tokio::test]
async fn a_salt_parts_the_cache() {
    let server = server().await;
    let cached = async |salt: Value| {
        let messages = json!([{"role": "user", "content": "x".repeat(300)}]);
        let body = ask(
            &server,
            json!({"messages": messages, "max_tokens": 1, "cache_salt": salt}),
        )
        .await
        .json();
        body["usage"]["prompt_tokens_details"]["cached_tokens"].as_u64()
    };
    assert_eq!(cached(json!("a")).await, Some(0));
    assert_eq!(
        cached(json!("b")).await,
        Some(0),
        "another salt knows nothing of it"
    );
    assert_eq!(cached(Value::Null).await, Some(0), "nor does none");
    assert!(cached(json!("a")).await.is_some_and(|n_cached| n_cached >= 256));
}

#[tokio::test]
async fn choices_share_one_reading_of_the_prompt() {
    let upstream = local(2048, small());
    let server = TestServer::start(upstream.clone()).await;
    let messages = json!([{"role": "user", "content": "x".repeat(640)}]);
    let body = ask(&server, json!({"messages": messages, "n": 8, "max_tokens": 2}))
        .await
        .json();
    let n_prompt = body["usage"]["prompt_tokens"].as_u64().expect("a number");
    let n_read = upstream.engine().stats().tokens_prefilled;
    // Each choice reads what is left over behind the last full page itself.
    assert!(
        n_read < n_prompt + 8 * 64,
        "{n_read} tokens were read for a prompt of {n_prompt}"
    );
    assert_eq!(
        body["usage"]["prompt_tokens_details"]["cached_tokens"], 0,
        "that is no hit"
    );
}
