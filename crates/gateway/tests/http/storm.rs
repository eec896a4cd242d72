//! Callers that leave at any point, upstreams that reset and panic: what is in flight comes back to nothing and is never above
//! its limit, and every answer is paid for once.
//!
//! `TOKENMILL_STORM=100000 cargo test --release -p tokenmill-gateway --test http storm -- --nocapture` sends as many
//! requests; without it 2,000.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use tokenmill_accounts::{CreditKind, CreditRequest, Nanos, Price, ProjectLimits, Rates};
use tokenmill_inference::{InferenceError, Request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::scripted::{Scripted, Step, answer, started, text};
use crate::server::{TestServer, eventually};

const LIMIT: u32 = 24;
const CLIENTS: usize = 32;

/// Numbers that are the same for the same seed.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Random {
        Random((seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

#[derive(Default)]
struct Counts {
    whole: AtomicUsize,
    left: AtomicUsize,
    broken: AtomicUsize,
    refused: AtomicUsize,
}

/// What the upstream does, which the request's seed decides.
fn script(request: &Request) -> Result<Vec<Step>, InferenceError> {
    let mut random = Random::new(request.sampling.seed.unwrap_or_default());
    let fault = random.below(100);
    let n_words = 1 + random.below(6) as usize;
    let mut steps = vec![started()];
    steps.extend((0..n_words).map(|_| text("word ")));
    match fault {
        0..10 => steps.push(Step::Fail(InferenceError::Failed("connection reset".into()))),
        10..13 => steps.push(Step::Panic),
        13..15 => return Err(InferenceError::Failed("connection refused".into())),
        15 => panic!("injected"),
        16..18 => steps.push(Step::Stop),
        _ => return Ok(answer(request, &["word "; 6][..n_words])),
    }
    Ok(steps)
}

/// One request; some leave before they have asked, some before the answer, some in it.
async fn ask(server: &TestServer, number: u64, counts: &Counts) {
    let mut random = Random::new(number ^ 0x5eed);
    let call = server.chat(&json!({"seed": number, "stream": random.below(4) > 0, "max_tokens": 50}));
    let leaves = random.below(100) < 30;
    let bytes = call.bytes();
    let mut stream = TcpStream::connect(server.at).await.expect("it listens");
    let n_sent = match leaves && random.below(3) == 0 {
        true => random.below(bytes.len() as u64) as usize,
        false => bytes.len(),
    };
    let sent = stream.write_all(&bytes[..n_sent]).await;
    if n_sent < bytes.len() || sent.is_err() {
        counts.left.fetch_add(1, Ordering::SeqCst);
        return;
    }
    let n_wanted = if leaves {
        random.below(1_200) as usize
    } else {
        usize::MAX
    };
    let (mut seen, mut buffer) = (Vec::new(), [0; 1024]);
    while seen.len() < n_wanted {
        match stream.read(&mut buffer).await {
            Ok(n) if n > 0 => seen.extend_from_slice(&buffer[..n]),
            _ => break,
        }
    }
    let seen = String::from_utf8_lossy(&seen);
    let count = if leaves {
        &counts.left
    } else if seen.starts_with("HTTP/1.1 429") {
        &counts.refused
    } else if seen.contains("[DONE]") || seen.starts_with("HTTP/1.1 200") && seen.contains("\"usage\":{") {
        &counts.whole
    } else {
        &counts.broken
    };
    count.fetch_add(1, Ordering::SeqCst);
}

async fn limited(upstream: Arc<Scripted>) -> TestServer {
    let server = TestServer::start(upstream).await;
    let price = Price {
        version: 0,
        input: Nanos::dollars(1),
        cached_input: Nanos::dollars(1),
        output: Nanos::dollars(2),
    };
    let accounts = &server.accounts;
    accounts
        .set_price("test", "test/model", price, None)
        .await
        .expect("a good price");
    let credit = CreditRequest {
        kind: CreditKind::Purchase,
        amount: Nanos::dollars(90),
        reference: "storm".into(),
        note: String::new(),
        expires_at: None,
    };
    accounts
        .add_credit("test", &server.team, &credit)
        .await
        .expect("added");
    let limits = ProjectLimits {
        concurrency: Some(LIMIT),
        rates: Rates::default(),
    };
    let limited = accounts.limit_project("test", &server.team, "inference", limits);
    limited.await.expect("limited");
    server
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_of_a_storm() {
    let n_requests: u64 = std::env::var("TOKENMILL_STORM")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(2_000);
    let most = Arc::new(AtomicUsize::new(0));
    let n_live = Arc::new(std::sync::OnceLock::<Arc<AtomicUsize>>::new());
    let (of_script, n_most) = (n_live.clone(), most.clone());
    let upstream = Scripted::new(move |request| {
        // This one is not among them yet.
        let n = of_script.get().map_or(0, |n| n.load(Ordering::SeqCst)) + 1;
        n_most.fetch_max(n, Ordering::SeqCst);
        script(request)
    });
    n_live.get_or_init(|| upstream.n_live.clone());
    let server = Arc::new(limited(upstream.clone()).await);
    let (counts, next) = (Arc::new(Counts::default()), Arc::new(AtomicUsize::new(0)));
    let clients = (0..CLIENTS).map(|_| {
        let (server, counts, next) = (server.clone(), counts.clone(), next.clone());
        tokio::spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::SeqCst) as u64;
                if number >= n_requests {
                    return;
                }
                ask(&server, number, &counts).await;
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.expect("callers do not panic");
    }
    eventually("nothing is in flight", || {
        server.gateway.n_in_flight() == 0 && server.ledger.n_open() == 0 && upstream.n_live() == 0
    })
    .await;
    let of = |count: &AtomicUsize| count.load(Ordering::SeqCst);
    let most = of(&most);
    eprintln!(
        "{n_requests} requests: {} whole, {} left, {} broken, {} refused; at most {most} of {LIMIT} in flight",
        of(&counts.whole),
        of(&counts.left),
        of(&counts.broken),
        of(&counts.refused)
    );
    assert!(most <= LIMIT as usize, "{most} of {LIMIT} in flight");
    assert!(of(&counts.whole) > n_requests as usize / 4 && of(&counts.broken) > n_requests as usize / 20);
    server.ledger.flush().await;
    let found = server.accounts.verify().await.expect("readable");
    assert_eq!(found.faults, Vec::<String>::new());
    // All places are there again.
    let again = server.chat(&json!({"seed": 77})).send(server.at).await;
    assert!(again.status == 200 || again.status >= 500, "{}", again.status);
}
