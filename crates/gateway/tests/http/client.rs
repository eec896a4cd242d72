//! A client that shows every byte: no retries, no pooling, no leniency.

use std::collections::HashMap;
use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::contract;

/// A response, its body put together.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// Names in lower case; the last of equal ones.
    pub(crate) headers: HashMap<String, String>,
    /// What `Set-Cookie` says, each time.
    pub(crate) cookies: Vec<String>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// What came over a connection, to its end.
    pub(crate) fn read(bytes: &[u8]) -> Reply {
        read_reply(bytes)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is UTF-8")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {:?}", self.text()))
    }

    /// The `error` object, after checking its shape.
    pub(crate) fn error(&self) -> Value {
        let body = self.json();
        let error = &body["error"];
        let names: Vec<&str> = error
            .as_object()
            .expect("an error object")
            .keys()
            .map(String::as_str)
            .collect();
        let (always, more) = names.split_at(names.len().min(4));
        assert_eq!(always, ["message", "type", "param", "code"], "{body}");
        let may_have = error["code"] == "model_retired";
        assert!(more.is_empty() || may_have && more == ["replacement"], "{body}");
        assert_eq!(self.header("content-type"), Some("application/json"));
        assert!(self.header("x-request-id").is_some());
        error.clone()
    }

    /// The `data:` lines of a stream, `[DONE]` included.
    pub(crate) fn data(&self) -> Vec<String> {
        self.text()
            .lines()
            .filter_map(|line| line.strip_prefix("data: "))
            .map(str::to_owned)
            .collect()
    }

    /// The events of a stream that has no `[DONE]`.
    pub(crate) fn events(&self) -> Vec<Value> {
        let event = |line: &String| serde_json::from_str(line).expect("an event is JSON");
        self.data().iter().map(event).collect()
    }

    /// The chunks of a stream that ended with `[DONE]`.
    pub(crate) fn chunks(&self) -> Vec<Value> {
        let mut data = self.data();
        assert_eq!(data.pop().as_deref(), Some("[DONE]"), "{}", self.text());
        data.iter()
            .map(|line| serde_json::from_str(line).expect("a chunk is JSON"))
            .collect()
    }
}

/// A request to be sent as it stands.
#[derive(Clone)]
pub(crate) struct Call {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Call {
    pub(crate) fn new(method: &str, path: &str) -> Call {
        Call {
            method: method.into(),
            path: path.into(),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// With another method.
    pub(crate) fn method(mut self, method: &str) -> Call {
        self.method = method.into();
        self
    }

    /// With the beginning of the body alone, as one that broke off.
    pub(crate) fn cut(mut self, n_bytes: usize) -> Call {
        self.body.truncate(n_bytes);
        self
    }

    pub(crate) fn post(path: &str, body: &Value) -> Call {
        Call::new("POST", path)
            .header("content-type", "application/json")
            .body(body.to_string())
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Call {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Without this header, if it was set.
    pub(crate) fn without(mut self, name: &str) -> Call {
        self.headers.retain(|(other, _)| other != name);
        self
    }

    pub(crate) fn key(self, key: &str) -> Call {
        self.header("authorization", &format!("Bearer {key}"))
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Call {
        self.body = body.into();
        self
    }

    /// As it goes over the wire.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut head = format!(
            "{} {} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n",
            self.method, self.path
        );
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !self
            .headers
            .iter()
            .any(|(name, _)| name == "content-length" || name == "transfer-encoding")
        {
            head.push_str(&format!("content-length: {}\r\n", self.body.len()));
        }
        let mut bytes = (head + "\r\n").into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// Sends it and waits for the whole answer.
    pub(crate) async fn send(&self, to: SocketAddr) -> Reply {
        let mut bytes = Vec::new();
        // A server that refuses early may close before it has read everything; what it said still counts.
        let _ = self.open(to).await.read_to_end(&mut bytes).await;
        let reply = read_reply(&bytes);
        contract::check(&self.method, &self.path, &reply);
        reply
    }

    /// Sends it and leaves the answer to be read.
    pub(crate) async fn open(&self, to: SocketAddr) -> TcpStream {
        let mut stream = TcpStream::connect(to).await.expect("the server listens");
        let _ = stream.write_all(&self.bytes()).await;
        stream
    }
}

/// Reads until `text` has come.
pub(crate) async fn read_until(stream: &mut TcpStream, text: &str) -> String {
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    while !String::from_utf8_lossy(&seen).contains(text) {
        let n_read = stream.read(&mut buffer).await.expect("readable");
        assert!(
            n_read > 0,
            "ended without {text:?}: {:?}",
            String::from_utf8_lossy(&seen)
        );
        seen.extend_from_slice(&buffer[..n_read]);
    }
    String::from_utf8_lossy(&seen).into_owned()
}

fn read_reply(bytes: &[u8]) -> Reply {
    let head_end = find(bytes, b"\r\n\r\n").unwrap_or_else(|| panic!("no head in {bytes:?}"));
    let head = std::str::from_utf8(&bytes[..head_end]).expect("an ASCII head");
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1))
        .expect("a status line");
    let header = |line: &str| {
        line.split_once(": ")
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
    };
    let headers: Vec<(String, String)> = lines.filter_map(header).collect();
    let cookies = headers.iter().filter(|(name, _)| name == "set-cookie");
    let cookies = cookies.map(|(_, value)| value.clone()).collect();
    let headers: HashMap<String, String> = headers.into_iter().collect();
    let rest = &bytes[head_end + 4..];
    let is_chunked = headers
        .get("transfer-encoding")
        .is_some_and(|value| value == "chunked");
    let body = if is_chunked { unchunk(rest) } else { rest.to_vec() };
    if let Some(length) = headers.get("content-length") {
        assert_eq!(length.parse(), Ok(body.len()), "the body is as long as announced");
    }
    Reply {
        status: status.parse().expect("a number"),
        headers,
        cookies,
        body,
    }
}

fn unchunk(mut bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(line_end) = find(bytes, b"\r\n") {
        let size = std::str::from_utf8(&bytes[..line_end]).expect("a size");
        let size = usize::from_str_radix(size, 16).expect("a hexadecimal size");
        if size == 0 {
            return body;
        }
        body.extend_from_slice(&bytes[line_end + 2..line_end + 2 + size]);
        bytes = &bytes[line_end + 4 + size..];
    }
    panic!("the body broke off after {:?}", String::from_utf8_lossy(&body));
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
