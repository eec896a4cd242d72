//! A gateway on a socket of its own, with accounts of its own.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokenmill_accounts::artifacts::CheckedFiles;
use tokenmill_accounts::{Accounts, ArtifactPath, KeyRequest, KeyScope, KeyTerms, Ledger};
use tokenmill_gateway::{Gateway, Options, ServeOptions, serve};
use tokenmill_inference::{Router, Upstream};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::client::{Call, Reply};

pub(crate) const CHAT: &str = "/v1/chat/completions";

pub(crate) struct TestServer {
    pub(crate) at: SocketAddr,
    pub(crate) key: String,
    pub(crate) team: String,
    pub(crate) gateway: Gateway,
    pub(crate) accounts: Accounts,
    pub(crate) ledger: Ledger,
    end: Option<oneshot::Sender<()>>,
    serving: JoinHandle<usize>,
    data: TempDir,
}

impl TestServer {
    pub(crate) async fn start(upstream: Arc<dyn Upstream>) -> TestServer {
        TestServer::start_with(upstream, Options::default(), ServeOptions::default()).await
    }

    pub(crate) async fn start_with(
        upstream: Arc<dyn Upstream>,
        options: Options,
        serve_options: ServeOptions,
    ) -> TestServer {
        let data = tempfile::tempdir().expect("a folder");
        let accounts = Accounts::open(data.path()).await.expect("accounts open");
        let first = accounts.ensure_first().await.expect("a first start");
        let key = first.key.expect("made now").expose().to_owned();
        let models = Router::new(vec![upstream]).expect("names are unique");
        let ledger = accounts
            .start_ledger()
            .await
            .expect("nobody else uses the folder");
        let gateway =
            Gateway::new(accounts.clone(), ledger.clone(), models, options).expect("rules that can be kept");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let at = listener.local_addr().expect("bound");
        let (end, ended) = oneshot::channel::<()>();
        let served = gateway.clone();
        let serving = tokio::spawn(async move {
            let until = async {
                let _ = ended.await;
            };
            serve(listener, &served, &serve_options, until).await
        });
        TestServer {
            at,
            key,
            team: first.team,
            gateway,
            accounts,
            ledger,
            end: Some(end),
            serving,
            data,
        }
    }

    /// A chat call with a key and a good body, `changes` laid over it.
    pub(crate) fn chat(&self, changes: &Value) -> Call {
        let mut body = json!({"model": "test/model", "messages": [{"role": "user", "content": "hello"}]});
        let fields = body.as_object_mut().expect("an object");
        fields.extend(changes.as_object().expect("an object").clone());
        Call::post(CHAT, &body).key(&self.key)
    }

    /// A new key of the first person, for all that there is.
    pub(crate) async fn admin_key(&self) -> String {
        let request = KeyRequest {
            name: "admin".to_owned(),
            person: None,
            expires_at: None,
            terms: KeyTerms {
                scopes: KeyScope::ALL.to_vec(),
                ..KeyTerms::default()
            },
        };
        let created = self.accounts.create_key("test", &request).await.expect("made");
        created.secret.expose().to_owned()
    }

    /// An adapter of a team, of whose files nothing is asked.
    pub(crate) async fn keep_adapter(&self, team: &str, name: &str) {
        let artifacts = self.gateway.artifacts();
        let path = ArtifactPath::parse(&format!("{team}/inference/{name}")).expect("a path");
        let files = CheckedFiles {
            digest: [7; 32],
            n_bytes: 0,
            rank: 1,
            targets: vec!["q_proj".to_owned()],
        };
        let incoming = artifacts.incoming().expect("a folder");
        let added = artifacts.add("test", &path, "test/model", &[], (files, incoming));
        added.await.expect("added");
    }

    /// Where its data lies.
    pub(crate) fn data(&self) -> &Path {
        self.data.path()
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        Call::new("GET", path).key(&self.key).send(self.at).await
    }

    /// Tells it that it is time to end.
    pub(crate) fn end(&mut self) {
        let _ = self.end.take().expect("not told yet").send(());
    }

    /// Waits until it has ended; how many requests were cut off.
    pub(crate) async fn ended(self) -> usize {
        self.serving.await.expect("serving does not panic")
    }
}

/// Waits until `is_so`; the other side of a socket hears of things when it is told, not at once.
pub(crate) async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(tokio::time::Instant::now() < deadline, "still not so: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
