//! Streams under bad conditions: text that comes at odd times, readers that are slow, readers that leave.

#![allow(clippy::print_stdout, reason = "what was measured is printed")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use tokenmill_inference::{
    Event, EventStream, FinishReason, InferenceError, ModelCard, NotAdmitted, Request, Started, Upstream,
    UpstreamStats, Usage, WorstCase,
};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::client::Reply;
use crate::local_model::{local, small};
use crate::server::{TestServer, eventually};

/// Bytes of this process that a reader who stands still may hold, whatever the answer's length.
const MAX_HELD_BYTES: usize = 512 << 10;

/// A generator whose numbers depend on the seed only.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ (mixed >> 31)) % end
    }
}

/// Says words of odd lengths at odd times; counts what it has said and who still listens.
struct Odd {
    n_events: u64,
    /// Up to so many milliseconds before each.
    pause_ms: u64,
    n_said: Arc<AtomicUsize>,
    n_live: Arc<AtomicUsize>,
}

impl Odd {
    fn new(n_events: u64, pause_ms: u64) -> Arc<Odd> {
        Arc::new(Odd {
            n_events,
            pause_ms,
            n_said: Arc::default(),
            n_live: Arc::default(),
        })
    }

    /// The words of an answer, which depend on the request's seed alone.
    fn word(seed: u64, idx: u64) -> String {
        let mut dice = Dice(seed ^ idx.wrapping_mul(0x1234_5677));
        let letters = ['a', ' ', 'é', '\u{1F600}', '\n', '"', '\\', '\u{2028}'];
        (0..=dice.below(40))
            .map(|_| letters[dice.below(8) as usize])
            .collect()
    }
}

struct Live(Arc<AtomicUsize>);

impl Drop for Live {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Upstream for Odd {
    fn kind(&self) -> &'static str {
        "odd"
    }

    fn models(&self) -> Vec<ModelCard> {
        vec![ModelCard {
            id: "test/model".into(),
            created: 0,
            owned_by: "test".into(),
            root: "root".into(),
            n_context: 4096,
            n_params: None,
            quantization: None,
        }]
    }

    fn start(&self, request: Request) -> BoxFuture<'_, Result<EventStream, InferenceError>> {
        self.n_live.fetch_add(1, Ordering::SeqCst);
        let live = Live(self.n_live.clone());
        let (n_events, pause_ms, n_said) = (self.n_events, self.pause_ms, self.n_said.clone());
        let (seed, paid_by) = (request.sampling.seed.unwrap_or(0), request.paid_by.clone());
        let worst = WorstCase {
            n_prompt: 1,
            max_tokens: 4000,
            n_choices: 1,
            is_max_set: true,
        };
        Box::pin(async move {
            paid_by
                .admit(worst)
                .await
                .map_err(|NotAdmitted| InferenceError::NotAdmitted)?;
            let event = move |idx: u64| match idx {
                0 => Event::Started(Started {
                    system_fingerprint: None,
                    n_prompt: Some(1),
                }),
                idx if idx <= n_events => Event::Text {
                    choice: 0,
                    text: Odd::word(seed, idx),
                },
                idx if idx == n_events + 1 => Event::ChoiceFinished {
                    choice: 0,
                    reason: FinishReason::Stop,
                },
                _ => Event::Finished(Usage {
                    n_prompt: 1,
                    n_cached: None,
                    n_completion: n_events.min(4000),
                    n_reasoning: None,
                }),
            };
            let mut dice = Dice(seed);
            Ok(EventStream::new(futures::stream::iter(0..n_events + 3).then(
                move |idx| {
                    let _ = &live;
                    n_said.fetch_add(1, Ordering::SeqCst);
                    let pause = if pause_ms == 0 {
                        0
                    } else {
                        dice.below(pause_ms * 2).saturating_sub(pause_ms)
                    };
                    async move {
                        if pause > 0 {
                            tokio::time::sleep(Duration::from_millis(pause)).await;
                        }
                        Ok(event(idx))
                    }
                },
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

fn joined(reply: &Reply) -> String {
    let text = |chunk: &Value| {
        chunk["choices"][0]["delta"]["content"]
            .as_str()
            .unwrap_or("")
            .to_owned()
    };
    reply.chunks().iter().map(text).collect()
}

/// Reads to the end in small odd pieces, with pauses.
async fn read_slowly(mut stream: TcpStream, dice: &mut Dice) -> Reply {
    let mut bytes = Vec::new();
    loop {
        let mut piece = vec![0; 1 + dice.below(700) as usize];
        let n_read = stream.read(&mut piece).await.expect("readable");
        if n_read == 0 {
            return Reply::read(&bytes);
        }
        bytes.extend_from_slice(&piece[..n_read]);
        if dice.below(20) == 0 {
            tokio::time::sleep(Duration::from_millis(dice.below(4))).await;
        }
    }
}

#[tokio::test]
async fn whatever_the_timing_the_joined_stream_is_the_whole_answer() {
    let upstream = Odd::new(60, 3);
    let server = TestServer::start(upstream.clone()).await;
    let asking = (0..24_u64).map(async |seed| {
        let whole = server.chat(&json!({"seed": seed})).send(server.at).await.json();
        let call = server.chat(&json!({"seed": seed, "stream": true}));
        let stream = read_slowly(call.open(server.at).await, &mut Dice(seed)).await;
        assert_eq!(
            whole["choices"][0]["message"]["content"],
            joined(&stream).as_str(),
            "seed {seed}"
        );
    });
    futures::future::join_all(asking).await;
    assert_eq!(upstream.n_live.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn slow_readers_and_leavers_of_the_real_engine_change_nobodys_answer() {
    let upstream = local(2048, small());
    let server = TestServer::start(upstream.clone()).await;
    let body = |seed: u64, stream: bool| {
        server.chat(&json!({"seed": seed, "stream": stream, "max_tokens": 150, "ignore_eos": true, "temperature": 1.2}))
    };
    let mut whole = Vec::new();
    for seed in 0..12 {
        let reply = body(seed, false).send(server.at).await.json();
        whole.push(
            reply["choices"][0]["message"]["content"]
                .as_str()
                .expect("text")
                .to_owned(),
        );
    }
    let asking = (0..36_u64).map(async |idx| {
        let (seed, mut dice) = (idx % 12, Dice(idx));
        let mut stream = body(seed, true).open(server.at).await;
        if idx % 3 == 2 {
            // Leaves somewhere in the middle.
            let mut piece = vec![0; 1 + dice.below(4000) as usize];
            let _ = stream.read_exact(&mut piece).await;
            return;
        }
        let reply = read_slowly(stream, &mut dice).await;
        assert_eq!(joined(&reply), whole[seed as usize], "seed {seed}");
    });
    futures::future::join_all(asking).await;
    eventually("all is free", || {
        upstream.engine().stats().pages_used == 0 && server.gateway.n_in_flight() == 0
    })
    .await;
}

/// Runs the measurement below in a process of its own, where nothing else takes memory.
#[test]
fn memory_per_slow_reader_is_bounded() {
    let program = std::env::current_exe().expect("a test");
    let measured = std::process::Command::new(program)
        .args([
            "--exact",
            "streams::a_reader_that_stands_still_holds_little",
            "--ignored",
            "--nocapture",
        ])
        .output()
        .expect("it starts");
    let said = String::from_utf8_lossy(&measured.stdout);
    println!("{said}");
    assert!(
        measured.status.success(),
        "{said}\n{}",
        String::from_utf8_lossy(&measured.stderr)
    );
    assert!(said.contains("1 passed"), "{said}");
}

#[tokio::test]
#[ignore = "measures this process's memory; run by the test above in a process of its own"]
async fn a_reader_that_stands_still_holds_little() {
    const N_READERS: usize = 32;
    // Some 80 MB of events for each reader, if nothing held them back.
    let upstream = Odd::new(400_000, 0);
    let server = TestServer::start(upstream.clone()).await;
    // The first request fills what is filled once.
    let mut warm = server.chat(&json!({"stream": true})).open(server.at).await;
    warm.read_exact(&mut [0; 4096]).await.expect("readable");
    drop(warm);
    eventually("the first has left", || server.gateway.n_in_flight() == 0).await;
    let before = crate::MEMORY.current_usage();
    let mut readers = Vec::new();
    for seed in 0..N_READERS {
        let mut stream = server
            .chat(&json!({"seed": seed, "stream": true}))
            .open(server.at)
            .await;
        stream.read_exact(&mut [0; 4096]).await.expect("readable");
        readers.push(stream);
    }
    // Nobody reads on: it must come to a stand by itself.
    let (mut n_said, mut n_same) = (0, 0);
    while n_same < 20 {
        tokio::time::sleep(Duration::from_millis(25)).await;
        let now = upstream.n_said.load(Ordering::SeqCst);
        n_same = if now == n_said { n_same + 1 } else { 0 };
        n_said = now;
    }
    let held = (crate::MEMORY.current_usage() - before) / N_READERS;
    println!(
        "{held} bytes are held for each of {N_READERS} readers who stand still; {} events each were said",
        n_said / N_READERS
    );
    assert!(held < MAX_HELD_BYTES, "{held} bytes");
    assert!(n_said / N_READERS < 200_000, "nothing held the events back");
    drop(readers);
    eventually("all have left", || upstream.n_live.load(Ordering::SeqCst) == 0).await;
}
