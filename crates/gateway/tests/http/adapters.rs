//! Adapters from the upload to the answer, on a tiny real model.

use std::num::NonZeroUsize;
use std::sync::Arc;

use serde_json::{Value, json};
use tokenmill_accounts::ModelEntry;
use tokenmill_engine::Options as EngineOptions;
use tokenmill_gateway::{Options, ServeOptions};
use tokenmill_inference::upstream::local::{LocalModel, LocalOptions, LocalUpstream};
use tokenmill_kernels::isa::Isa;
use tokenmill_kernels::pool::Pool;
use tokenmill_model::LoadOptions;
use tokenmill_testkit::{TinyAdapter, TinyModel};

use crate::client::{Call, Reply};
use crate::server::TestServer;

const BASE: &str = "test/model";
const BOUNDARY: &str = "----a-boundary-that-is-nowhere-else";

fn tiny() -> TinyModel {
    TinyModel::new("qwen3", 5)
}

async fn server() -> TestServer {
    server_with(Options::default()).await
}

async fn server_with(options: Options) -> TestServer {
    let pool = Arc::new(Pool::new(NonZeroUsize::MIN, Isa::detect()));
    let bytes = tiny().gguf().bytes();
    let loaded = tokenmill_model::load_from_bytes(&pool, "tiny", &bytes, &LoadOptions::default());
    let model = LocalModel::new(loaded.expect("a model that loads")).expect("a tokenizer");
    let options_of_model = LocalOptions {
        served_name: BASE.into(),
        owned_by: "test".into(),
        created: 0,
        build: "test".into(),
        engine: EngineOptions {
            kv_bytes: 8 << 20,
            ..EngineOptions::default()
        },
        adapter_bytes: 64 << 20,
    };
    let upstream = LocalUpstream::start(model, pool, options_of_model).expect("it starts");
    TestServer::start_with(Arc::new(upstream), options, ServeOptions::default()).await
}

fn adapter(seed: u64) -> TinyAdapter {
    TinyAdapter::new(&tiny(), seed)
}

/// A form of these parts: names, file names where they are files, and contents.
fn form(path: &str, parts: &[(&str, &[u8])]) -> Call {
    let mut body = Vec::new();
    for (name, content) in parts {
        let file = match name.starts_with("adapter_") {
            true => format!("; filename=\"{name}\""),
            false => String::new(),
        };
        body.extend(
            format!("--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"{name}\"{file}\r\n\r\n").bytes(),
        );
        body.extend(*content);
        body.extend(b"\r\n");
    }
    body.extend(format!("--{BOUNDARY}--\r\n").bytes());
    Call::new("POST", path)
        .header(
            "content-type",
            &format!("multipart/form-data; boundary={BOUNDARY}"),
        )
        .body(body)
}

async fn uploaded(server: &TestServer, name: &str, adapter: &TinyAdapter, aliases: &[&str]) -> Reply {
    let (config, weights) = (adapter.config().to_string(), adapter.weights().bytes());
    let mut parts: Vec<(&str, &[u8])> = vec![("base_model", BASE.as_bytes())];
    parts.extend(aliases.iter().map(|alias| ("alias", alias.as_bytes())));
    parts.extend([
        ("adapter_config.json", config.as_bytes()),
        ("adapter_model.safetensors", &weights),
    ]);
    let path = format!("/api/v1/artifacts/default/inference/{name}");
    form(&path, &parts)
        .key(&server.admin_key().await)
        .send(server.at)
        .await
}

async fn ask(server: &TestServer, method: &str, path: &str, body: &Value) -> Reply {
    let path = format!("/api/v1/artifacts/default{path}");
    let call = Call::post(&path, body).key(&server.admin_key().await);
    call.method(method).send(server.at).await
}

/// What a chat says, and the model that it says it is from.
async fn said(server: &TestServer, model: &str) -> (String, String) {
    let body = json!({"model": model, "max_tokens": 12, "temperature": 0, "ignore_eos": true});
    let reply = server.chat(&body).send(server.at).await;
    assert_eq!(reply.status, 200, "{model}: {}", reply.text());
    let body = reply.json();
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    (
        text(&body["choices"][0]["message"]["content"]),
        text(&body["model"]),
    )
}

#[tokio::test]
async fn an_adapter_is_uploaded_and_asked_by_number_and_name() {
    let server = server().await;
    let first = uploaded(&server, "style", &adapter(1), &["good"]).await;
    assert_eq!(first.status, 200, "{}", first.text());
    let first = first.json();
    assert_eq!(first["version"], "v0");
    assert_eq!(first["model"], "wandb-artifact:///default/inference/style:v0");
    assert_eq!(
        (&first["rank"], &first["aliases"]),
        (&json!(4), &json!(["latest", "good"]))
    );
    let second = uploaded(&server, "style", &adapter(2), &[]).await.json();
    assert_eq!(second["version"], "v1");

    let base = said(&server, BASE).await;
    assert_eq!(base.1, BASE);
    let v0 = said(&server, "wandb-artifact:///default/inference/style:v0").await;
    let v1 = said(&server, "tokenmill-artifact:///default/inference/style:v1").await;
    assert_eq!(v0.1, "wandb-artifact:///default/inference/style:v0");
    assert_eq!(v1.1, "tokenmill-artifact:///default/inference/style:v1");
    assert!(
        v0.0 != base.0 && v1.0 != base.0 && v0.0 != v1.0,
        "{base:?} {v0:?} {v1:?}"
    );
    // Names and the last version lead to the same answers, and the answer tells which version it was.
    for (alias, version) in [(":good", &v0), ("", &v1), (":latest", &v1)] {
        let named = said(
            &server,
            &format!("wandb-artifact:///default/inference/style{alias}"),
        )
        .await;
        assert_eq!(named.0, version.0, "{alias}");
        assert!(
            named.1.ends_with(&version.1[version.1.len() - 3..]),
            "{alias}: {named:?}"
        );
    }
}

#[tokio::test]
async fn a_name_is_moved_to_another_version() {
    let server = server().await;
    uploaded(&server, "style", &adapter(1), &["good"]).await;
    uploaded(&server, "style", &adapter(2), &[]).await;
    let v1 = said(&server, "wandb-artifact:///default/inference/style:v1").await;
    let body = json!({"version": "v1"});
    let moved = ask(&server, "PUT", "/inference/style/aliases/good", &body).await;
    assert_eq!(moved.status, 204, "{}", moved.text());
    let good = said(&server, "wandb-artifact:///default/inference/style:good").await;
    assert_eq!(good.0, v1.0);
    for (alias, version, status) in [
        ("latest", "v0", 400),
        ("v7", "v0", 400),
        ("x", "v9", 404),
        ("x", "9", 400),
    ] {
        let path = format!("/inference/style/aliases/{alias}");
        let refused = ask(&server, "PUT", &path, &json!({ "version": version })).await;
        assert_eq!(refused.status, status, "{alias} {version}: {}", refused.text());
    }

    let listed = ask(&server, "GET", "", &Value::Null).await.json();
    assert_eq!(
        listed["data"][0]["versions"][0]["aliases"],
        json!(["latest", "good"]),
        "{listed}"
    );
}

#[tokio::test]
async fn a_version_and_an_adapter_are_deleted_and_no_number_comes_again() {
    let server = server().await;
    uploaded(&server, "style", &adapter(1), &[]).await;
    let v0 = said(&server, "wandb-artifact:///default/inference/style").await;
    uploaded(&server, "style", &adapter(2), &["good"]).await;
    let gone = ask(&server, "DELETE", "/inference/style/versions/v1", &Value::Null).await;
    assert_eq!(gone.status, 204, "{}", gone.text());
    let reply = server
        .chat(&json!({"model": "wandb-artifact:///default/inference/style:good"}))
        .send(server.at)
        .await;
    assert_eq!(
        (reply.status, &reply.error()["code"]),
        (404, &json!("model_not_found"))
    );
    assert_eq!(
        said(&server, "wandb-artifact:///default/inference/style").await.0,
        v0.0
    );
    // A number is never used again.
    let third = uploaded(&server, "style", &adapter(3), &[]).await.json();
    assert_eq!(third["version"], "v2");
    assert_eq!(
        ask(&server, "DELETE", "/inference/style", &Value::Null)
            .await
            .status,
        204
    );
    assert_eq!(
        ask(&server, "GET", "/inference/style", &Value::Null).await.status,
        404
    );
    assert_eq!(
        uploaded(&server, "style", &adapter(3), &[]).await.json()["version"],
        "v3"
    );
    let verified = server.accounts.verify().await.expect("readable");
    assert!(verified.faults.is_empty(), "{:?}", verified.faults);
}

#[tokio::test]
async fn adapters_beside_each_other_answer_as_alone_and_share_no_prefix() {
    let server = server().await;
    for seed in 1..4 {
        let reply = uploaded(&server, &format!("a{seed}"), &adapter(seed), &[]).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    let models = [1, 2, 3, 0, 1, 2, 0].map(|seed| match seed {
        0 => BASE.to_owned(),
        seed => format!("wandb-artifact:///default/inference/a{seed}"),
    });
    let prompt = "the same long beginning, again and again and again. ".repeat(8);
    let asked = |model: &str, salt: &str| {
        server.chat(&json!({
            "model": model, "max_tokens": 10, "temperature": 0, "ignore_eos": true, "cache_salt": salt,
            "messages": [{"role": "user", "content": prompt}],
        }))
    };
    let mut alone = Vec::new();
    for (idx, model) in models.iter().enumerate() {
        // A salt of its own, so that nothing is cached.
        let reply = asked(model, &format!("alone {idx}")).send(server.at).await.json();
        alone.push(reply["choices"][0]["message"]["content"].clone());
    }
    let calls: Vec<Call> = models.iter().map(|model| asked(model, "together")).collect();
    let replies = futures::future::join_all(calls.iter().map(|call| call.send(server.at))).await;
    for (idx, reply) in replies.iter().enumerate() {
        assert_eq!(
            reply.json()["choices"][0]["message"]["content"],
            alone[idx],
            "{}",
            models[idx]
        );
    }
    // Now all is cached, each under its adapter.
    for (idx, model) in models.iter().enumerate() {
        let reply = asked(model, "together").send(server.at).await.json();
        assert_eq!(reply["choices"][0]["message"]["content"], alone[idx], "{model}");
        let cached = reply["usage"]["prompt_tokens_details"]["cached_tokens"].as_u64();
        assert!(cached > Some(300), "{model}: {}", reply["usage"]);
    }
    assert_ne!(alone[0], alone[1]);
    assert_ne!(alone[0], alone[3]);
    assert_eq!(alone[0], alone[4]);
}

#[tokio::test]
async fn every_door_takes_an_adapter_and_names_it() {
    let server = server().await;
    uploaded(&server, "style", &adapter(1), &[]).await;
    let model = "wandb-artifact:///default/inference/style";
    let version = format!("{model}:v0");
    let message = json!([{"role": "user", "content": "hello"}]);
    for (path, body) in [
        (
            "/v1/messages",
            json!({"model": model, "max_tokens": 5, "messages": message}),
        ),
        (
            "/v1/responses",
            json!({"model": model, "max_output_tokens": 16, "input": "hello"}),
        ),
        (
            "/v1/completions",
            json!({"model": model, "max_tokens": 5, "prompt": "hello", "echo": true}),
        ),
        (
            "/v1/completions",
            json!({"model": model, "max_tokens": 5, "prompt": [104, 105], "echo": true}),
        ),
    ] {
        let reply = Call::post(path, &body).key(&server.key).send(server.at).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        assert_eq!(reply.json()["model"], version, "{path}");
        if body["prompt"].is_array() {
            let text = reply.json()["choices"][0]["text"]
                .as_str()
                .expect("a text")
                .to_owned();
            assert!(text.starts_with("hi"), "{text:?}");
        }
    }
    for (path, body) in [
        ("/tokenize", json!({"model": model, "prompt": "hello"})),
        (
            "/v1/messages/count_tokens",
            json!({"model": model, "messages": message}),
        ),
    ] {
        let reply = Call::post(path, &body).key(&server.key).send(server.at).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
    }
    let streamed = json!({"model": model, "max_tokens": 5, "stream": true});
    let chunks = server.chat(&streamed).send(server.at).await.chunks();
    assert!(
        chunks.iter().all(|chunk| chunk["model"] == version.as_str()),
        "{chunks:?}"
    );
}

#[tokio::test]
async fn usage_tells_the_base_model_and_the_adapter() {
    let server = server().await;
    uploaded(&server, "style", &adapter(1), &[]).await;
    said(&server, "wandb-artifact:///default/inference/style").await;
    said(&server, BASE).await;
    server.ledger.flush().await;
    let path = "/api/v1/teams/default/usage?by=model,adapter";
    let rows = Call::new("GET", path)
        .key(&server.admin_key().await)
        .send(server.at)
        .await;
    let rows = rows.json()["data"].clone();
    let row = |adapter: &str| {
        let mut rows = rows.as_array().expect("rows").iter();
        rows.find(|row| row["adapter"] == adapter)
            .unwrap_or_else(|| panic!("{rows:?}"))
            .clone()
    };
    for adapter in ["", "default/inference/style:v0"] {
        assert_eq!(row(adapter)["model"], BASE);
        assert_eq!(row(adapter)["completion_tokens"], 12);
    }
    let verified = server.accounts.verify().await.expect("readable");
    assert!(verified.faults.is_empty(), "{:?}", verified.faults);
}

/// A server that takes small files, and what an upload of parts there is refused with.
struct Refusing {
    server: TestServer,
    key: String,
}

impl Refusing {
    async fn new() -> Refusing {
        let options = Options {
            max_artifact_bytes: 100_000,
            ..Options::default()
        };
        let server = server_with(options).await;
        let key = server.admin_key().await;
        Refusing { server, key }
    }

    async fn code(&self, parts: &[(&str, &[u8])]) -> (u16, String) {
        self.code_of(&form("/api/v1/artifacts/default/inference/style", parts))
            .await
    }

    async fn code_of(&self, call: &Call) -> (u16, String) {
        let reply = call.clone().key(&self.key).send(self.server.at).await;
        let code = reply.error()["code"].as_str().expect("a code").to_owned();
        (reply.status, code)
    }

    async fn limit_rank(&self, lora_rank: u32) {
        let entry = ModelEntry {
            id: BASE.into(),
            lora_rank: Some(lora_rank),
            ..ModelEntry::default()
        };
        self.server.accounts.set_model("test", &entry).await.expect("set");
    }
}

fn refusal(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[tokio::test]
async fn uploads_are_refused_each_with_its_code() {
    let rig = Refusing::new().await;
    let (config, weights) = (adapter(1).config().to_string(), adapter(1).weights().bytes());
    let large = TinyAdapter {
        rank: 40,
        ..adapter(1)
    }
    .weights()
    .bytes();
    assert!(weights.len() < 100_000 && large.len() > 100_000);
    let base: (&str, &[u8]) = ("base_model", BASE.as_bytes());
    let file = ("adapter_config.json", config.as_bytes());
    let matrices = ("adapter_model.safetensors", &weights[..]);
    let too_large = ("adapter_model.safetensors", &large[..]);
    let broken = ("adapter_config.json", &b"{"[..]);
    type Parts<'a> = &'a [(&'a str, &'a [u8])];
    let cases: [(Parts<'_>, _, _); 8] = [
        (&[file, matrices], 400, "missing_required_parameter"),
        (&[base, file], 400, "missing_required_parameter"),
        (&[base, base, file, matrices], 400, "unknown_parameter"),
        (&[("x", b"y")], 400, "unknown_parameter"),
        (
            &[("base_model", b"no/model"), file, matrices],
            400,
            "unknown_base_model",
        ),
        (&[base, file, too_large], 413, "artifact_too_large"),
        (&[base, broken, matrices], 400, "adapter_config_invalid"),
        (&[base, ("alias", b"v1"), file, matrices], 400, "invalid_value"),
    ];
    for (parts, status, code) in cases {
        assert_eq!(rig.code(parts).await, refusal(status, code));
    }
    let path = "/api/v1/artifacts/default/inference/style";
    let half = form(path, &[base, file, matrices]).cut(1000);
    assert_eq!(rig.code_of(&half).await, refusal(400, "incomplete_body"));
    let json = Call::post(path, &json!({}));
    assert_eq!(rig.code_of(&json).await, refusal(400, "invalid_content_type"));
    rig.limit_rank(2).await;
    assert_eq!(
        rig.code(&[base, file, matrices]).await,
        refusal(400, "adapter_rank_too_large")
    );
    rig.limit_rank(0).await;
    assert_eq!(
        rig.code(&[base, file, matrices]).await,
        refusal(400, "base_model_takes_no_adapters")
    );
    // Nothing of all that is left.
    let listed = Call::new("GET", "/api/v1/artifacts/default").key(&rig.key);
    assert_eq!(listed.send(rig.server.at).await.json()["data"], json!([]));
    let folders = std::fs::read_dir(rig.server.data().join("artifacts")).expect("the folder");
    assert_eq!(folders.count(), 0, "files of refused uploads are gone");
}

#[tokio::test]
async fn only_the_owning_team_can_ask_or_see_an_adapter() {
    let server = server().await;
    uploaded(&server, "style", &adapter(1), &[]).await;
    let accounts = &server.accounts;
    accounts
        .create_team("test", "blue", tokenmill_accounts::Tier::Free)
        .await
        .expect("made");
    // The same person in another team: the team that pays must own the adapter.
    accounts
        .add_member("test", "blue", "admin", true)
        .await
        .expect("added");
    let call = server
        .chat(&json!({"model": "wandb-artifact:///default/inference/style"}))
        .header("openai-project", "blue/inference");
    let reply = call.send(server.at).await;
    assert_eq!(
        (reply.status, &reply.error()["code"]),
        (404, &json!("model_not_found"))
    );
    for name in [
        "wandb-artifact:///blue/inference/style",
        "wandb-artifact:///default/other/style",
        "wandb-artifact:///default/inference/other",
        "wandb-artifact:///default/inference/style:v1",
        "wandb-artifact:///default/inference/style:nope",
        "wandb-artifact:///../../etc/passwd",
        "wandb-artifact:///",
    ] {
        let reply = server.chat(&json!({ "model": name })).send(server.at).await;
        assert_eq!(
            (reply.status, &reply.error()["code"]),
            (404, &json!("model_not_found")),
            "{name}"
        );
    }
}
