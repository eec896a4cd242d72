//! The server that is measured, in a process of its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

/// A server with two projects; killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) at: SocketAddr,
    pub(crate) key: String,
    _data: tempfile::TempDir,
}

impl Server {
    pub(crate) fn start(binary: &str, model: &str) -> Server {
        let data = tempfile::tempdir().expect("a folder");
        let folder = data.path().to_str().expect("a plain name").to_owned();
        let mut child = Command::new(binary)
            .args(["serve", "--listen", "127.0.0.1:0", "--log-level", "warn"])
            .args(["--data-dir", &folder, "--model", &format!("bench={model}")])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let (mut at, mut key) = (None, None);
        for line in lines.map_while(Result::ok) {
            if let Some(url) = line.trim().strip_prefix("Base URL") {
                let host = url.trim().trim_start_matches("http://").trim_end_matches("/v1");
                at = host.parse().ok();
            }
            if let Some(text) = line.trim().strip_prefix("API key") {
                key = Some(text.trim().to_owned());
            }
            if at.is_some() && key.is_some() {
                break;
            }
        }
        for project in ["default/light", "default/heavy"] {
            let made = Command::new(binary)
                .args(["project", "create", project, "--data-dir", &folder])
                .stdout(Stdio::null())
                .status();
            assert!(made.is_ok_and(|status| status.success()), "{project}");
        }
        Server {
            child,
            at: at.expect("an address"),
            key: key.expect("a key"),
            _data: data,
        }
    }

    /// The sum of all counters of the engine's whose name has this word in it.
    pub(crate) fn counted(&self, word: &str) -> f64 {
        let mut stream = TcpStream::connect(self.at).expect("it listens");
        let request = format!(
            "GET /metrics HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n",
            self.at
        );
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("it answers");
        let of_engine = text
            .lines()
            .filter(|line| line.starts_with("tokenmill_engine") && line.contains(word));
        of_engine
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
