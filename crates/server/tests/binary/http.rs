//! As much HTTP as the tests need, over a plain socket.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

/// An answer whose head has been read.
pub(crate) struct Response {
    pub(crate) status: u16,
    is_chunked: bool,
    /// Names in lower case.
    headers: Vec<(String, String)>,
    body: BufReader<TcpStream>,
}

/// Sends a request; `body` makes it a POST.
pub(crate) fn request(
    address: SocketAddr,
    path: &str,
    key: Option<&str>,
    body: Option<&Value>,
) -> std::io::Result<Response> {
    let mut stream = TcpStream::connect(address)?;
    let (method, body) = match body {
        Some(body) => ("POST", body.to_string()),
        None => ("GET", String::new()),
    };
    let key = key
        .map(|key| format!("authorization: Bearer {key}\r\n"))
        .unwrap_or_default();
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{key}content-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    )?;
    let mut reader = BufReader::new(stream);
    let status = line(&mut reader)?;
    let status = status
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap_or_default();
    let (mut is_chunked, mut headers) = (false, Vec::new());
    loop {
        let header = line(&mut reader)?;
        if header.is_empty() {
            return Ok(Response {
                status,
                is_chunked,
                headers,
                body: reader,
            });
        }
        let (name, value) = header.split_once(": ").unwrap_or((&header, ""));
        let name = name.to_ascii_lowercase();
        is_chunked |= name == "transfer-encoding" && value == "chunked";
        headers.push((name, value.to_owned()));
    }
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let header = self.headers.iter().find(|(other, _)| other == name);
        header.map(|(_, value)| value.as_str())
    }

    /// The rest of the body.
    pub(crate) fn text(mut self) -> String {
        let mut text = String::new();
        if self.is_chunked {
            while let Some(chunk) = self.chunk() {
                text.push_str(&chunk);
            }
        } else {
            self.body.read_to_string(&mut text).expect("the body is text");
        }
        text
    }

    pub(crate) fn json(self) -> Value {
        let text = self.text();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// The next piece of a streamed body; `None` at its end, and where the connection was cut.
    pub(crate) fn chunk(&mut self) -> Option<String> {
        let size = line(&mut self.body).ok()?;
        let size = usize::from_str_radix(&size, 16).ok().filter(|size| *size > 0)?;
        let mut chunk = vec![0; size + 2];
        self.body.read_exact(&mut chunk).ok()?;
        chunk.truncate(size);
        Some(String::from_utf8(chunk).expect("the body is text"))
    }
}

fn line(reader: &mut impl BufRead) -> std::io::Result<String> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}
