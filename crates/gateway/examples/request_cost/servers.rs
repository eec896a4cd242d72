//! What is measured: the gateway over an upstream that answers at once, and a server that knows the answer beforehand.

use std::convert::Infallible;
use std::io::Write;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use futures::future::BoxFuture;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokenmill_accounts::{Accounts, CreditKind, CreditRequest, Nanos, Price};
use tokenmill_gateway::{Gateway, Options, ServeOptions};
use tokenmill_inference::{
    Event, EventStream, FinishReason, InferenceError, ModelCard, NotAdmitted, Request, Router, Started,
    Upstream, UpstreamStats, Usage, WorstCase,
};
use tokio::net::TcpListener;

/// What every answer says, a token each.
const WORDS: [&str; 8] = ["The", " gate", "way", " walks", " into", " a", " bar", "."];
const N_PROMPT: u64 = 24;

const PRICE: Price = Price {
    version: 0,
    input: Nanos::dollars(1),
    cached_input: Nanos(500_000_000),
    output: Nanos::dollars(2),
};

/// Serves until it is killed.
pub(crate) fn serve(kind: &str) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("threads").block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        match kind {
            "bare" => bare(listener).await,
            "full" => full(listener).await,
            _ => panic!("serve bare, or serve full"),
        }
    });
}

fn announce(listener: &TcpListener, key: &str) {
    let at = listener.local_addr().expect("bound");
    let mut out = std::io::stdout();
    writeln!(out, "{at} {key}").expect("somebody reads");
    out.flush().expect("somebody reads");
}

async fn full(listener: TcpListener) {
    let data = tempfile::tempdir().expect("a folder");
    // Lines of requests are written as the binary writes them, to a file.
    let log = std::fs::File::create(data.path().join("log")).expect("a file");
    let lines = tracing_subscriber::fmt()
        .with_writer(log)
        .with_target(false)
        .json()
        .flatten_event(true);
    tracing::subscriber::set_global_default(lines.finish()).expect("the first");
    let accounts = Accounts::open(data.path()).await.expect("a new folder");
    let first = accounts.ensure_first().await.expect("a first start");
    accounts
        .set_price("cost", "test/model", PRICE, None)
        .await
        .expect("a good price");
    let credit = CreditRequest {
        kind: CreditKind::Purchase,
        amount: Nanos::dollars(100_000),
        reference: "cost".into(),
        note: String::new(),
        expires_at: None,
    };
    accounts
        .add_credit("cost", &first.team, &credit)
        .await
        .expect("a good amount");
    let ledger = accounts.start_ledger().await.expect("nobody else is here");
    let models = Router::new(vec![Arc::new(AtOnce)]).expect("one name");
    let gateway = Gateway::new(accounts, ledger, models, Options::default()).expect("no rules");
    announce(&listener, first.key.expect("a first start").expose());
    tokenmill_gateway::serve(
        listener,
        &gateway,
        &ServeOptions::default(),
        std::future::pending(),
    )
    .await;
}

/// Answers every request at once.
struct AtOnce;

impl Upstream for AtOnce {
    fn kind(&self) -> &'static str {
        "at once"
    }

    fn models(&self) -> Vec<ModelCard> {
        vec![ModelCard {
            id: "test/model".into(),
            created: 1_700_000_000,
            owned_by: "test".into(),
            root: "test/model".into(),
            n_context: 4096,
            n_params: None,
            quantization: None,
        }]
    }

    fn start(&self, request: Request) -> BoxFuture<'_, Result<EventStream, InferenceError>> {
        Box::pin(async move {
            let worst = WorstCase {
                n_prompt: N_PROMPT,
                max_tokens: request.max_tokens.map_or(64, u64::from),
                n_choices: 1,
                is_max_set: true,
            };
            let paid_by = request.paid_by.clone();
            paid_by
                .admit(worst)
                .await
                .map_err(|NotAdmitted| InferenceError::NotAdmitted)?;
            let text = |text: &&str| Event::Text {
                choice: 0,
                text: (*text).to_owned(),
            };
            let started = Event::Started(Started {
                system_fingerprint: Some("fp_test".into()),
                n_prompt: Some(N_PROMPT),
            });
            let end = [
                Event::ChoiceFinished {
                    choice: 0,
                    reason: FinishReason::Stop,
                },
                Event::Finished(Usage {
                    n_prompt: N_PROMPT,
                    n_cached: Some(0),
                    n_completion: WORDS.len() as u64,
                    n_reasoning: None,
                }),
            ];
            let events = std::iter::once(started).chain(WORDS.iter().map(text)).chain(end);
            let events = events.map(move |event| {
                if matches!(event, Event::Text { .. }) {
                    paid_by.generated(1);
                }
                Ok(event)
            });
            Ok(EventStream::new(futures::stream::iter(
                events.collect::<Vec<_>>(),
            )))
        })
    }

    fn is_up(&self) -> bool {
        true
    }

    fn stats(&self, _model: &str) -> Option<UpstreamStats> {
        None
    }
}

const WHOLE: &str = r#"{"id":"chatcmpl-0123456789abcdef0123456789abcdef","object":"chat.completion","created":1764000000,"model":"test/model","system_fingerprint":"fp_test","choices":[{"index":0,"message":{"role":"assistant","content":"The gateway walks into a bar.","refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":24,"completion_tokens":8,"total_tokens":32,"prompt_tokens_details":{"cached_tokens":0}}}"#;

async fn bare(listener: TcpListener) {
    announce(&listener, "none");
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        stream.set_nodelay(true).expect("a socket");
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer));
        tokio::spawn(async move {
            // The generator closes its connections; nobody needs to hear of that.
            let _ = connection.await;
        });
    }
}

async fn answer(request: hyper::Request<Incoming>) -> Result<hyper::Response<Body>, Infallible> {
    let body = request
        .into_body()
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes);
    let is_streamed = body.unwrap_or_default().ends_with(b"true}");
    let (kind, body) = if is_streamed {
        let chunk = |word: &str| {
            format!(
                r#"data: {{"id":"chatcmpl-0123456789abcdef0123456789abcdef","object":"chat.completion.chunk","created":1764000000,"model":"test/model","system_fingerprint":"fp_test","choices":[{{"index":0,"delta":{{"content":"{word}"}},"logprobs":null,"finish_reason":null}}]}}{}"#,
                "\n\n"
            )
        };
        let text: String = WORDS.iter().map(|word| chunk(word)).collect();
        let parts = [text, "data: [DONE]\n\n".to_owned()].map(|part| Ok::<_, Infallible>(Bytes::from(part)));
        (
            "text/event-stream; charset=utf-8",
            Body::from_stream(futures::stream::iter(parts)),
        )
    } else {
        ("application/json", Body::from(WHOLE))
    };
    let response = hyper::Response::builder().header("content-type", kind).body(body);
    Ok(response.expect("good headers"))
}
