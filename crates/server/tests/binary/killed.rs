//! The server is killed again and again under streams, as by a power cut, and no answer is lost, counted twice, or charged
//! for more or less than was delivered.
//!
//! ```sh
//! TOKENMILL_KILL_S=600 TOKENMILL_KILL_STREAMS=100 cargo test --release -p tokenmill --test binary killed -- --nocapture
//! ```
//!
//! for ten minutes under a hundred streams a second; without them, a few seconds under twenty.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::http;
use crate::process::{Server, chat_body, succeeds};

/// Tokens between two notes in the log: what a killed server may have delivered beyond what it charges.
const TICK_TOKENS: u64 = 32;
/// Streams that run at once; with more, the machine is too slow for what is asked of it, and the rest waits.
const MAX_AT_ONCE: usize = 96;

/// What a caller saw of one answer.
struct Seen {
    usage_id: String,
    n_delivered: u64,
    /// What the answer said of itself in its last chunk.
    n_completion: Option<u64>,
    is_done: bool,
}

/// Numbers that are the same for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

/// Callers, and where they find the server now.
struct Callers {
    address: Mutex<SocketAddr>,
    key: String,
    /// The token of one letter.
    letter: u64,
    seen: Mutex<Vec<Seen>>,
    n_running: AtomicUsize,
    /// Answers that have begun and not ended: what a kill interrupts.
    n_midway: AtomicUsize,
    n_failed: AtomicUsize,
    is_over: AtomicBool,
}

impl Callers {
    /// Asks once and reads as far as the answer comes.
    fn ask(&self, max_tokens: u64) {
        // The same letter over and over, so that each token is a piece of text: only those can be counted here.
        let changes = json!({
            "stream": true, "max_tokens": max_tokens, "ignore_eos": true, "stream_options": {"include_usage": true},
            "temperature": 0, "logit_bias": {self.letter.to_string(): 100},
        });
        let body = chat_body("Tell me a joke.", &changes);
        let address = *self.address.lock().expect("no panic held it");
        let asked = http::request(address, "/v1/chat/completions", Some(&self.key), Some(&body));
        let answer = asked.ok().filter(|answer| answer.status == 200);
        let usage_id = answer
            .as_ref()
            .and_then(|answer| answer.header("x-usage-id"))
            .map(str::to_owned);
        let (Some(mut answer), Some(usage_id)) = (answer, usage_id) else {
            self.n_failed.fetch_add(1, Ordering::SeqCst);
            return;
        };
        let mut seen = Seen {
            usage_id,
            n_delivered: 0,
            n_completion: None,
            is_done: false,
        };
        self.n_midway.fetch_add(1, Ordering::SeqCst);
        while let Some(piece) = answer.chunk() {
            for data in piece.lines().filter_map(|line| line.strip_prefix("data: ")) {
                seen.note(data);
            }
        }
        self.n_midway.fetch_sub(1, Ordering::SeqCst);
        self.seen.lock().expect("no panic held it").push(seen);
    }

    /// Waits until an answer is on its way, for at most two seconds. On an idle machine most answers are over so soon that a kill at
    /// any moment would meet none.
    fn wait_for_one_midway(&self) {
        let end = Instant::now() + Duration::from_secs(2);
        while self.n_midway.load(Ordering::SeqCst) == 0 && Instant::now() < end {
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// Begins so many streams a second until it is told to stop.
    fn run(self: &Arc<Self>, per_second: u64, mut random: Random) {
        let mut due = Instant::now();
        let mut threads = Vec::new();
        while !self.is_over.load(Ordering::SeqCst) {
            due += Duration::from_micros(1_000_000 / per_second);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if self.n_running.load(Ordering::SeqCst) >= MAX_AT_ONCE {
                continue;
            }
            self.n_running.fetch_add(1, Ordering::SeqCst);
            // Most are short; some pass several notes of the log.
            let max_tokens = if random.below(10) == 0 {
                100
            } else {
                4 + random.below(12)
            };
            let callers = self.clone();
            threads.push(std::thread::spawn(move || {
                callers.ask(max_tokens);
                callers.n_running.fetch_sub(1, Ordering::SeqCst);
            }));
            threads.retain(|thread| !thread.is_finished());
        }
        for thread in threads {
            thread.join().expect("no panic");
        }
    }
}

impl Seen {
    fn note(&mut self, data: &str) {
        if data == "[DONE]" {
            self.is_done = true;
            return;
        }
        let chunk: Value = serde_json::from_str(data).expect("a chunk is JSON");
        if let Some(n) = chunk["usage"]["completion_tokens"].as_u64() {
            self.n_completion = Some(n);
        }
        let text = chunk["choices"][0]["delta"]["content"]
            .as_str()
            .unwrap_or_default();
        self.n_delivered += u64::from(!text.is_empty());
    }
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// The rows of the ledger, by their ids: status and generated tokens.
fn rows(data_dir: &str) -> BTreeMap<String, (String, u64)> {
    let text = succeeds(&["ledger", "rows", "default", "--json", "--data-dir", data_dir]);
    let mut rows = BTreeMap::new();
    for line in text.lines() {
        let row: Value = serde_json::from_str(line).expect("a row is JSON");
        let of = |name: &str| row[name].as_str().expect("text").to_owned();
        let n = row["completion_tokens"].as_u64().expect("a number");
        let before = rows.insert(of("id"), (of("status"), n));
        assert!(before.is_none(), "{} is there twice", of("id"));
    }
    rows
}

fn letter(server: &Server) -> u64 {
    let body = json!({"model": "tokenmill/demo", "prompt": "a"});
    let asked = http::request(server.address, "/tokenize", Some(&server.key()), Some(&body));
    let answer: Value = serde_json::from_str(&asked.expect("it answers").text()).expect("JSON");
    answer["tokens"][0].as_u64().expect("a token")
}

fn prepare(data_dir: &str) {
    for command in [
        &["price", "set", "tokenmill/demo", "--input", "1", "--output", "2"][..],
        &["team", "set", "default", "--tier", "unlimited"],
        &["credit", "add", "default", "1000", "--reference", "test"],
    ] {
        succeeds(&[command, &["--data-dir", data_dir][..]].concat());
    }
}

fn check_rows(seen: &[Seen], rows: &BTreeMap<String, (String, u64)>) -> (usize, u64) {
    let (mut n_done, mut most) = (0, 0);
    for seen in seen {
        let id = &seen.usage_id;
        let (status, n_charged) = rows.get(id).unwrap_or_else(|| panic!("{id} is lost"));
        if seen.is_done {
            n_done += 1;
            assert_eq!(
                (status.as_str(), Some(*n_charged)),
                ("done", seen.n_completion),
                "{id}: a complete answer costs what it said"
            );
            assert_eq!(
                *n_charged, seen.n_delivered,
                "{id}: each token is a piece of text"
            );
        } else {
            let difference = n_charged.abs_diff(seen.n_delivered);
            most = most.max(difference);
            assert!(
                difference <= TICK_TOKENS,
                "{id} ({status}): {n_charged} tokens are charged, and {} were delivered",
                seen.n_delivered
            );
        }
    }
    (n_done, most)
}

fn n_running(server: &Server) -> u64 {
    let metrics = server.get("/metrics", None).text();
    let values = metrics.lines().filter_map(|line| {
        line.strip_prefix("tokenmill_engine_running{")?
            .rsplit(' ')
            .next()?
            .parse::<u64>()
            .ok()
    });
    values.sum()
}

/// What callers saw against what the ledger has.
fn check_all(callers: &Callers, data_dir: &str, n_kills: usize) {
    let rows = rows(data_dir);
    let seen = callers.seen.lock().expect("no panic held it");
    let (n_done, most) = check_rows(&seen, &rows);
    let n_interrupted = rows
        .values()
        .filter(|(status, _)| status == "interrupted")
        .count();
    eprintln!(
        "{n_kills} kills: {} answers begun, {n_done} complete, {} refused or cut before their head; {} rows, {n_interrupted} \
         interrupted; at most {most} tokens between charged and delivered",
        seen.len(),
        callers.n_failed.load(Ordering::SeqCst),
        rows.len(),
    );
    assert!(
        n_kills >= 2 && n_done > 20 && n_interrupted > 0,
        "too little happened to prove anything"
    );
    succeeds(&["ledger", "verify", "--data-dir", data_dir]);
    let credit = succeeds(&["credit", "show", "default", "--json", "--data-dir", data_dir]);
    let credit: Value = serde_json::from_str(&credit).expect("JSON");
    assert_eq!(credit["held_usd"], "0.00", "what was held is back: {credit}");
}

#[test]
fn a_server_that_is_killed_under_streams_loses_and_doubles_nothing() {
    let (seconds, per_second) = (
        variable("TOKENMILL_KILL_S").unwrap_or(6),
        variable("TOKENMILL_KILL_STREAMS"),
    );
    let seed = variable("TOKENMILL_KILL_SEED").unwrap_or(1);
    eprintln!("seed {seed}");
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let dir = tempfile::tempdir().unwrap();
    let data_dir = dir.path().to_str().unwrap();
    let start = || Server::start(Path::new(data_dir), &["--max-waiting", "4096"]);
    let mut server = start();
    prepare(data_dir);
    let callers = Arc::new(Callers {
        address: Mutex::new(server.address),
        letter: letter(&server),
        key: server.key(),
        seen: Mutex::default(),
        n_running: AtomicUsize::new(0),
        n_midway: AtomicUsize::new(0),
        n_failed: AtomicUsize::new(0),
        is_over: AtomicBool::new(false),
    });
    let (running, of_callers) = (callers.clone(), Random(random.below(u64::MAX) | 1));
    let running = std::thread::spawn(move || running.run(per_second.unwrap_or(20), of_callers));
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut n_kills = 0;
    while Instant::now() < end {
        std::thread::sleep(Duration::from_millis(
            500 + random.below((seconds * 100).min(8_000)),
        ));
        if n_kills % 2 == 0 {
            callers.wait_for_one_midway();
        }
        server.kill();
        n_kills += 1;
        server = start();
        *callers.address.lock().expect("no panic held it") = server.address;
    }
    callers.is_over.store(true, Ordering::SeqCst);
    running.join().expect("no panic");
    assert_eq!(n_running(&server), 0, "all places are free");
    server.signal("TERM");
    assert!(server.wait().0.success());
    check_all(&callers, data_dir, n_kills);
}
