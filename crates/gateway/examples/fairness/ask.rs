//! One request: written, and read to its end with a look for the first text.

use std::future::Future;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::server::Server;

const WORDS: [&str; 16] = [
    "stone", "river", "cloud", "paper", "lamp", "wheel", "garden", "bridge", "window", "clock", "harbour",
    "engine", "copper", "meadow", "signal", "thread",
];
const MAX_TOKENS: usize = 16;

/// What came of a request.
pub(crate) struct Answer {
    /// From the moment when it was due; `None` where it was refused.
    pub(crate) first_ms: Option<f64>,
    pub(crate) text: String,
    pub(crate) n_prompt: u64,
}

/// Asks in the name of a project.
pub(crate) struct Asker {
    at: SocketAddr,
    head: String,
    n_words: u32,
    seed: u64,
}

impl Asker {
    pub(crate) fn new(server: &Server, project: &str, n_words: u32) -> Asker {
        let head = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\nopenai-project: default/{project}\r\n\
             content-type: application/json\r\nconnection: close\r\n",
            server.at, server.key
        );
        let seed = project
            .bytes()
            .fold(7, |seed: u64, byte| seed * 31 + u64::from(byte));
        Asker {
            at: server.at,
            head,
            n_words,
            seed,
        }
    }

    /// Asks now what is due at `due`; the same text for the same number.
    pub(crate) fn ask(
        &self,
        salt: &str,
        idx: u32,
        due: Instant,
    ) -> impl Future<Output = Answer> + Send + use<> {
        let text = self.text(idx);
        let body = format!(
            r#"{{"model":"bench","messages":[{{"role":"user","content":"{text}"}}],"max_tokens":{MAX_TOKENS},"ignore_eos":true,"temperature":0,"stream":true,"stream_options":{{"include_usage":true}},"cache_salt":"{salt}"}}"#
        );
        let request = format!("{}content-length: {}\r\n\r\n{body}", self.head, body.len());
        let at = self.at;
        async move {
            let mut stream = TcpStream::connect(at).await.expect("it listens");
            stream.set_nodelay(true).expect("a socket");
            stream.write_all(request.as_bytes()).await.expect("it reads");
            let (mut bytes, mut first_ms) = (Vec::with_capacity(16 << 10), None);
            while stream.read_buf(&mut bytes).await.is_ok_and(|n| n > 0) {
                if first_ms.is_none() && has_text(&bytes) {
                    first_ms = Some(due.elapsed().as_secs_f64() * 1e3);
                }
            }
            let all = String::from_utf8_lossy(&bytes);
            Answer {
                first_ms,
                text: contents(&all),
                n_prompt: number_after(&all, r#""prompt_tokens":"#).unwrap_or(0),
            }
        }
    }

    /// Words that no other prompt has in this order. A xorshift generator, for no draw needs to be good.
    fn text(&self, idx: u32) -> String {
        let mut state = self.seed ^ (u64::from(idx) + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let words = (0..self.n_words).map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            WORDS[(state >> 33) as usize % WORDS.len()]
        });
        words.collect::<Vec<_>>().join(" ")
    }
}

const CONTENT: &str = r#""content":""#;

fn has_text(bytes: &[u8]) -> bool {
    let mut windows = bytes.windows(CONTENT.len() + 1);
    windows.any(|window| window.starts_with(CONTENT.as_bytes()) && !window.ends_with(b"\""))
}

/// The pieces of text, each up to its first quotation mark: enough to tell whether two answers are the same.
fn contents(all: &str) -> String {
    let pieces = all.split(CONTENT).skip(1);
    pieces
        .map(|piece| piece.split('"').next().unwrap_or_default())
        .collect()
}

fn number_after(all: &str, name: &str) -> Option<u64> {
    let (_, rest) = all.split_once(name)?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}
