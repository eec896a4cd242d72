//! How a model reads prompts.

use serde_json::{Value, json};

use crate::client::{Call, Reply};
use crate::local_model::{local, small};
use crate::server::TestServer;

const SHOWN: &str = "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n";

async fn server() -> TestServer {
    TestServer::start(local(2048, small())).await
}

async fn ask(server: &TestServer, path: &str, body: &Value) -> Reply {
    let mut body = body.clone();
    body["model"] = json!("test/model");
    Call::post(path, &body).key(&server.key).send(server.at).await
}

fn ids(text: &str) -> Vec<u64> {
    // A token for each byte, and two special ones behind them.
    let mut ids = Vec::new();
    let mut rest = text.as_bytes();
    while let Some(&first) = rest.first() {
        let special = [("<|im_start|>", 256), ("<|im_end|>", 257)];
        let found = special.iter().find(|(name, _)| rest.starts_with(name.as_bytes()));
        let (len, id) = found.map_or((1, u64::from(first)), |(name, id)| (name.len(), *id));
        ids.push(id);
        rest = &rest[len..];
    }
    ids
}

#[tokio::test]
async fn a_conversation_has_the_tokens_that_its_answer_goes_on_from() {
    let server = server().await;
    let messages = json!([{"role": "user", "content": "hello"}]);
    let body = ask(&server, "/tokenize", &json!({"messages": messages}))
        .await
        .json();
    let expected = json!({
        "count": ids(SHOWN).len(), "max_model_len": 2048, "tokens": ids(SHOWN), "token_strs": null,
    });
    assert_eq!(body, expected);
    let answer = server
        .chat(&json!({"max_tokens": 1}))
        .send(server.at)
        .await
        .json();
    assert_eq!(answer["usage"]["prompt_tokens"], body["count"]);
    let shown = ask(&server, "/apply-template", &json!({"messages": messages})).await;
    assert_eq!(shown.json(), json!({"prompt": SHOWN}));
    let bare = json!({"messages": messages, "add_generation_prompt": false});
    let bare = ask(&server, "/apply-template", &bare).await.json();
    assert_eq!(
        bare["prompt"],
        SHOWN.strip_suffix("<|im_start|>assistant\n").expect("a suffix")
    );
}

#[tokio::test]
async fn a_text_is_read_with_special_tokens_or_as_it_stands() {
    let server = server().await;
    let text = "<|im_end|>hé";
    let read = async |special: bool| {
        let body = json!({"prompt": text, "add_special_tokens": special, "return_token_strs": true});
        ask(&server, "/tokenize", &body).await.json()
    };
    assert_eq!(read(true).await["tokens"], json!(ids(text)));
    assert_eq!(read(true).await["token_strs"][0], "<|im_end|>");
    let plain: Vec<u8> = text.bytes().collect();
    assert_eq!(read(false).await["tokens"], json!(plain));
    for tokens in [json!(ids(text)), json!(plain)] {
        let back = ask(&server, "/detokenize", &json!({"tokens": tokens})).await;
        assert_eq!(back.json(), json!({"prompt": text}));
    }
    let empty = ask(&server, "/tokenize", &json!({"prompt": ""})).await.json();
    assert_eq!((&empty["count"], &empty["tokens"]), (&json!(0), &json!([])));
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_by_name() {
    let server = server().await;
    let messages = json!([{"role": "user", "content": "hello"}]);
    for (path, body, param) in [
        ("/tokenize", json!({}), "messages"),
        (
            "/tokenize",
            json!({"prompt": "x", "messages": messages}),
            "messages",
        ),
        (
            "/tokenize",
            json!({"messages": messages, "add_special_tokens": true}),
            "add_special_tokens",
        ),
        ("/detokenize", json!({"tokens": [1, 258]}), "tokens[1]"),
        (
            "/apply-template",
            json!({"messages": messages, "prompt": "x"}),
            "prompt",
        ),
        ("/apply-template", json!({"messages": []}), "messages"),
    ] {
        let reply = ask(&server, path, &body).await;
        let error = reply.error();
        assert_eq!(
            (reply.status, &error["param"]),
            (400, &json!(param)),
            "{path} {error}"
        );
    }
    assert_eq!(server.gateway.n_in_flight(), 0);
}
