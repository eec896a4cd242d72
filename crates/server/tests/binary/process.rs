//! Starting the binary, reading what it prints, ending it.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};

use serde_json::{Value, json};

use crate::http::{self, Response};

/// The binary, without any option that the surroundings may set.
pub(crate) fn tokenmill(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tokenmill"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TOKENMILL_") {
            command.env_remove(name);
        }
    }
    command.args(args).stdin(Stdio::null());
    command
}

/// Runs a command to its end.
pub(crate) fn run(args: &[&str]) -> Output {
    tokenmill(args).output().expect("the binary starts")
}

/// Runs a command that must fail; gives its exit code and the one line on standard error.
pub(crate) fn fails(args: &[&str]) -> (i32, String) {
    let output = run(args);
    let message = String::from_utf8(output.stderr).expect("text");
    assert!(!output.status.success(), "{args:?} should fail");
    assert_eq!(message.trim_end().lines().count(), 1, "one line: {message}");
    (
        output.status.code().expect("it ended by itself"),
        message.trim_end().to_owned(),
    )
}

/// Runs a command that must succeed; gives its standard output.
pub(crate) fn succeeds(args: &[&str]) -> String {
    let output = run(args);
    assert!(
        output.status.success(),
        "{args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("text")
}

/// A running server; killed when dropped.
pub(crate) struct Server {
    child: Child,
    stdout: BufReader<ChildStdout>,
    pub(crate) address: SocketAddr,
    /// What it printed until it was ready.
    pub(crate) banner: String,
}

impl Server {
    /// Starts a server of the built-in model on a free port and waits until it says that it is ready.
    pub(crate) fn start(data_dir: &Path, more: &[&str]) -> Server {
        let data_dir = data_dir.to_str().expect("text");
        let mut args = vec!["serve", "--listen", "127.0.0.1:0", "--data-dir", data_dir];
        args.extend(["--log-level", "warn", "--kv-bytes", "64 MiB"]);
        args.extend(more);
        Server::from_command(tokenmill(&args))
    }

    /// The same for a command that is complete.
    pub(crate) fn from_command(mut command: Command) -> Server {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the binary starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut banner = String::new();
        let address = loop {
            let begin = banner.len();
            let n_bytes = stdout.read_line(&mut banner).expect("text");
            assert!(n_bytes > 0, "the server ended: {banner}");
            if let Some(url) = banner[begin..].trim().strip_prefix("Base URL") {
                let address = url
                    .trim()
                    .strip_prefix("http://")
                    .and_then(|url| url.strip_suffix("/v1"));
                break address
                    .and_then(|address| address.parse().ok())
                    .expect("a base URL");
            }
        };
        let mut server = Server {
            child,
            stdout,
            address,
            banner,
        };
        // The banner is one write, so that its rest is there too.
        let rest = server.stdout.buffer().to_vec();
        server.banner.push_str(&String::from_utf8(rest).expect("text"));
        server
    }

    /// The key that a first start prints.
    pub(crate) fn key(&self) -> String {
        let line = self
            .banner
            .lines()
            .find_map(|line| line.trim().strip_prefix("API key"));
        line.expect("the banner has a line for the key").trim().to_owned()
    }

    pub(crate) fn get(&self, path: &str, key: Option<&str>) -> Response {
        http::request(self.address, path, key, None).expect("the server answers")
    }

    pub(crate) fn chat(&self, key: &str, body: &Value) -> Response {
        http::request(self.address, "/v1/chat/completions", Some(key), Some(body))
            .expect("the server answers")
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &pid])
            .status()
            .expect("kill runs");
        assert!(sent.success());
    }

    /// Waits for the end; gives how it ended and what else it printed.
    pub(crate) fn wait(mut self) -> (ExitStatus, String) {
        let status = self.child.wait().expect("it was started");
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).expect("text");
        (status, rest)
    }

    /// Ends it as a power cut would.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it was started");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Ended already is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A request of the built-in model.
pub(crate) fn chat_body(content: &str, changes: &Value) -> Value {
    let mut body = json!({"model": "tokenmill/demo", "messages": [{"role": "user", "content": content}]});
    for (name, value) in changes.as_object().expect("an object") {
        body[name] = value.clone();
    }
    body
}
