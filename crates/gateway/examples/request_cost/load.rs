//! Requests over connections that stay open, written and read with as little work as can be: the generator shares the
//! processors with what it measures.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// When the next request goes out.
#[derive(Clone, Copy)]
pub(crate) enum Pace {
    /// Once the answer before it is there.
    AsFastAsItGoes,
    /// At moments fixed beforehand, or at once where they have passed; latency counts from the fixed moment.
    PerSecond(f64),
}

/// What to ask, and whom.
pub(crate) struct Load {
    at: SocketAddr,
    request: Arc<[u8]>,
    n_connections: usize,
}

/// What came back.
pub(crate) struct Done {
    pub(crate) n_requests: u64,
    time: Duration,
    latencies_us: Vec<u32>,
}

impl Done {
    pub(crate) fn per_s(&self) -> f64 {
        self.n_requests as f64 / self.time.as_secs_f64()
    }

    pub(crate) fn latency_ms(&self, part: f64) -> f64 {
        let mut sorted = self.latencies_us.clone();
        sorted.sort_unstable();
        let idx = (sorted.len() as f64 * part) as usize;
        sorted
            .get(idx.min(sorted.len().saturating_sub(1)))
            .copied()
            .unwrap_or(0) as f64
            / 1e3
    }
}

impl Load {
    pub(crate) fn new(at: SocketAddr, key: &str, stream: bool, n_connections: usize) -> Load {
        let body = format!(
            r#"{{"model":"test/model","messages":[{{"role":"system","content":"You are a helpful assistant."}},{{"role":"user","content":"Tell me a joke about a gateway."}}],"max_tokens":64,"temperature":0.7,"stream":{stream}}}"#
        );
        let request = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: {at}\r\nauthorization: Bearer {key}\r\naccept: application/json\r\n\
             content-type: application/json\r\nuser-agent: OpenAI/Python 2.9.0\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        Load {
            at,
            request: request.into_bytes().into(),
            n_connections,
        }
    }

    pub(crate) fn run(&self, pace: Pace, time: Duration) -> Done {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(self.ask(pace, time))
    }

    async fn ask(&self, pace: Pace, time: Duration) -> Done {
        let begun = Instant::now();
        let connections = (0..self.n_connections).map(|idx| {
            let schedule = Schedule::of(pace, begun, idx, self.n_connections);
            tokio::spawn(one_connection(
                self.at,
                self.request.clone(),
                schedule,
                begun + time,
            ))
        });
        let mut latencies_us = Vec::new();
        for connection in connections.collect::<Vec<_>>() {
            latencies_us.extend(connection.await.expect("it does not panic"));
        }
        Done {
            n_requests: latencies_us.len() as u64,
            time: begun.elapsed(),
            latencies_us,
        }
    }
}

/// The moments at which one connection asks.
struct Schedule {
    next: Instant,
    every: Option<Duration>,
}

impl Schedule {
    fn of(pace: Pace, begun: Instant, idx: usize, n: usize) -> Schedule {
        match pace {
            Pace::AsFastAsItGoes => Schedule {
                next: begun,
                every: None,
            },
            Pace::PerSecond(rate) => Schedule {
                next: begun + Duration::from_secs_f64(idx as f64 / rate),
                every: Some(Duration::from_secs_f64(n as f64 / rate)),
            },
        }
    }

    async fn wait(&mut self) -> Instant {
        let Some(every) = self.every else {
            return Instant::now();
        };
        let due = self.next;
        self.next += every;
        tokio::time::sleep_until(due).await;
        due
    }
}

async fn one_connection(
    at: SocketAddr,
    request: Arc<[u8]>,
    mut schedule: Schedule,
    until: Instant,
) -> Vec<u32> {
    let mut stream = TcpStream::connect(at).await.expect("it listens");
    stream.set_nodelay(true).expect("a socket");
    let (mut latencies_us, mut bytes) = (Vec::new(), Vec::with_capacity(16 << 10));
    loop {
        let due = schedule.wait().await;
        if due >= until || Instant::now() >= until {
            return latencies_us;
        }
        stream.write_all(&request).await.expect("it reads");
        bytes.clear();
        while !is_whole(&bytes) {
            let n = stream.read_buf(&mut bytes).await.expect("it answers");
            assert!(n > 0, "the connection ended: {}", String::from_utf8_lossy(&bytes));
        }
        assert!(
            bytes.starts_with(b"HTTP/1.1 200"),
            "{}",
            String::from_utf8_lossy(&bytes)
        );
        latencies_us.push(due.elapsed().as_micros() as u32);
    }
}

/// Whether an answer is complete: its length is there, or its last chunk.
fn is_whole(bytes: &[u8]) -> bool {
    if bytes.ends_with(b"\r\n0\r\n\r\n") {
        return true;
    }
    let Some(head) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return false;
    };
    let text = std::str::from_utf8(&bytes[..head]).unwrap_or_default();
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    length
        .and_then(|length| length.parse::<usize>().ok())
        .is_some_and(|length| bytes.len() == head + 4 + length)
}
