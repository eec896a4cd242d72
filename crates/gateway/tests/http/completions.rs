//! Plain completions, by the real engine.

use serde_json::{Value, json};

use crate::client::{Call, Reply};
use crate::local_model::{local, small};
use crate::server::TestServer;

async fn server() -> TestServer {
    TestServer::start(local(2048, small())).await
}

async fn ask(server: &TestServer, changes: &Value) -> Reply {
    let mut body = json!({
        "model": "test/model", "prompt": "Once", "max_tokens": 30, "temperature": 0, "ignore_eos": true,
    });
    let fields = body.as_object_mut().expect("an object");
    fields.extend(changes.as_object().expect("an object").clone());
    Call::post("/v1/completions", &body)
        .key(&server.key)
        .send(server.at)
        .await
}

fn text(reply: &Reply) -> String {
    let body = reply.json();
    let text = body["choices"][0]["text"].as_str();
    text.unwrap_or_else(|| panic!("{body}")).to_owned()
}

#[tokio::test]
async fn a_text_and_its_tokens_are_one_prompt() {
    let server = server().await;
    let ids: Vec<u8> = b"Once".to_vec();
    let reply = ask(&server, &json!({})).await;
    let body = reply.json();
    assert!(body["id"].as_str().expect("an id").starts_with("cmpl-"));
    assert_eq!(
        (&body["object"], &body["usage"]["prompt_tokens"]),
        (&json!("text_completion"), &json!(4))
    );
    for prompt in [json!(["Once"]), json!(ids), json!([ids])] {
        assert_eq!(
            text(&ask(&server, &json!({"prompt": prompt})).await),
            text(&reply)
        );
    }
    let default = ask(&server, &json!({"max_tokens": null})).await.json();
    assert_eq!(default["usage"]["completion_tokens"], 16);
}

#[tokio::test]
async fn an_echo_comes_before_each_answer_whole_and_streamed() {
    let server = server().await;
    let plain = text(&ask(&server, &json!({})).await);
    for prompt in [json!("Once"), json!(b"Once".to_vec())] {
        let changes = json!({"echo": true, "n": 2, "prompt": prompt});
        let body = ask(&server, &changes).await.json();
        for choice in 0..2 {
            assert_eq!(body["choices"][choice]["text"], format!("Once{plain}"));
        }
        let mut streamed = changes;
        streamed["stream"] = json!(true);
        let chunks = ask(&server, &streamed).await.chunks();
        for index in 0..2 {
            let of_choice = chunks
                .iter()
                .filter(|chunk| chunk["choices"][0]["index"] == index)
                .map(|chunk| chunk["choices"][0]["text"].as_str().expect("text"));
            assert_eq!(of_choice.collect::<String>(), format!("Once{plain}"));
        }
    }
}

#[tokio::test]
async fn logprobs_have_the_older_shape_and_are_the_same_in_pieces() {
    let server = server().await;
    let changes = json!({"logprobs": 2});
    let whole = ask(&server, &changes).await.json()["choices"][0].clone();
    let mut streamed = changes;
    streamed["stream"] = json!(true);
    let chunks = ask(&server, &streamed).await.chunks();
    for name in ["tokens", "token_logprobs", "top_logprobs", "text_offset"] {
        let pieces = chunks.iter().map(|chunk| &chunk["choices"][0]["logprobs"][name]);
        let joined: Vec<Value> = pieces
            .flat_map(|piece| piece.as_array().cloned().unwrap_or_default())
            .collect();
        assert_eq!(whole["logprobs"][name], json!(joined), "{name}");
    }
    let logprobs = &whole["logprobs"];
    assert_eq!(logprobs["text_offset"][0], 0);
    let tops = logprobs["top_logprobs"].as_array().expect("a list");
    for (top, token) in tops.iter().zip(logprobs["tokens"].as_array().expect("a list")) {
        assert!(
            !top[token.as_str().expect("text")].is_null(),
            "the chosen token is among them"
        );
    }
    assert_eq!(
        ask(&server, &json!({})).await.json()["choices"][0]["logprobs"],
        Value::Null
    );
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_by_name() {
    let server = server().await;
    for (changes, param) in [
        (json!({"prompt": ["a", "b"]}), "prompt"),
        (json!({"prompt": [5, 258]}), "prompt[1]"),
        (json!({"prompt": [5, 258], "echo": true}), "prompt[1]"),
        (json!({"suffix": "x"}), "suffix"),
        (json!({"n": 2, "best_of": 3}), "best_of"),
        (json!({"echo": true, "logprobs": 1}), "echo"),
        (json!({"max_tokens": 0}), "max_tokens"),
        (json!({"max_tokens": 5000}), "prompt"),
        (json!({"messages": []}), "messages"),
    ] {
        let reply = ask(&server, &changes).await;
        assert_eq!(
            (reply.status, &reply.error()["param"]),
            (400, &json!(param)),
            "{changes} {}",
            reply.text()
        );
    }
    let ok = ask(&server, &json!({"n": 2, "best_of": 2})).await;
    assert_eq!(ok.json()["choices"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn what_does_not_fit_is_told_by_the_name_of_the_body() {
    let server = TestServer::start(local(256, small())).await;
    let error = ask(&server, &json!({"prompt": "x".repeat(300)})).await.error();
    assert_eq!(
        (&error["code"], &error["param"]),
        (&json!("context_length_exceeded"), &json!("prompt"))
    );
    let message = error["message"].as_str().expect("text");
    assert!(message.contains("300 in 'prompt'"), "{message}");
}

#[tokio::test]
async fn an_answer_may_be_held_to_a_form() {
    let server = server().await;
    let body = ask(
        &server,
        &json!({"guided_choice": ["yes", "no"], "ignore_eos": false}),
    )
    .await;
    assert!(["yes", "no"].contains(&text(&body).as_str()), "{}", body.text());
}
