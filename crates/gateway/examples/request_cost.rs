//! What a request costs in CPU time: the whole gateway (key, admission, hold, usage log, settlement, request log, metrics)
//! over an upstream that answers at once, on top of a bare HTTP server that gives the same bytes; and whether so many
//! requests a second go through it.
//!
//! ```sh
//! cargo build --release -p tokenmill-gateway --example request_cost
//! target/release/examples/request_cost [ROUNDS [SECONDS [RATE]]]
//! ```
//!
//! Both servers are processes of their own and are measured in turn, so that what else the machine does meets both. Linux
//! only: CPU time is what `/proc` says of the process.

#[path = "request_cost/load.rs"]
mod load;
#[path = "request_cost/servers.rs"]
mod servers;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use load::{Load, Pace};

/// Connections that ask at once.
const CONNECTIONS: usize = 32;
/// Ticks of `/proc/PID/stat` in a second, on every Linux that there is.
const TICKS_PER_S: f64 = 100.0;

/// A server in a process of its own; killed when dropped.
struct Server {
    child: Child,
    at: SocketAddr,
    key: String,
}

impl Server {
    fn start(kind: &str) -> Server {
        let program = std::env::current_exe().expect("this program has a path");
        let mut child = Command::new(program)
            .args(["serve", kind])
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let line = lines.next().expect("a line").expect("text");
        let (at, key) = line.split_once(' ').expect("an address and a key");
        Server {
            at: at.parse().expect("an address"),
            key: key.to_owned(),
            child,
        }
    }

    /// CPU time of all its threads, in seconds.
    fn cpu_s(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("it runs");
        // The name in parentheses may hold anything.
        let (_, after_name) = stat.rsplit_once(')').expect("a name");
        let ticks = after_name.split_whitespace().skip(11).take(2);
        ticks.map(|n| n.parse::<f64>().expect("a number")).sum::<f64>() / TICKS_PER_S
    }

    /// Asks for so long; CPU microseconds per request, and what came back.
    fn measure(&self, stream: bool, pace: Pace, time: Duration) -> (f64, load::Done) {
        let load = Load::new(self.at, &self.key, stream, CONNECTIONS);
        let before = self.cpu_s();
        let done = load.run(pace, time);
        let cpu_us = (self.cpu_s() - before) * 1e6;
        (cpu_us / done.n_requests.max(1) as f64, done)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[allow(clippy::print_stdout)]
fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|arg| arg == "serve") {
        servers::serve(args.get(1).map_or("", String::as_str));
        return;
    }
    let number = |idx: usize, default: f64| args.get(idx).and_then(|n| n.parse().ok()).unwrap_or(default);
    let (n_rounds, seconds, rate) = (number(0, 5.0), number(1, 2.0), number(2, 3_000.0));
    let time = Duration::from_secs_f64(seconds);
    let (bare, full) = (Server::start("bare"), Server::start("full"));
    for server in [&bare, &full] {
        // Connections, caches and the allocator come to rest.
        server.measure(false, Pace::AsFastAsItGoes, Duration::from_millis(500));
    }
    for stream in [false, true] {
        let (mut of_bare, mut of_full, mut more) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..n_rounds as usize {
            let (bare_us, _) = bare.measure(stream, Pace::AsFastAsItGoes, time);
            let (full_us, done) = full.measure(stream, Pace::AsFastAsItGoes, time);
            of_bare.push(bare_us);
            of_full.push(full_us);
            more.push(full_us - bare_us);
            println!(
                "{}: bare {bare_us:.1} us, full {full_us:.1} us of CPU a request; full at {:.0} requests/s",
                if stream { "streamed" } else { "whole" },
                done.per_s()
            );
        }
        println!(
            "{}: median of {n_rounds}: bare {:.1} us, full {:.1} us, on top {:.1} us",
            if stream { "streamed" } else { "whole" },
            median(&mut of_bare),
            median(&mut of_full),
            median(&mut more)
        );
    }
    for stream in [false, true] {
        let (us, done) = full.measure(stream, Pace::PerSecond(rate), time * 2);
        println!(
            "{} at {rate} requests/s: {:.0} requests/s came through, {us:.1} us of CPU each, latency p50 {:.2} ms, p99 {:.2} ms",
            if stream { "streamed" } else { "whole" },
            done.per_s(),
            done.latency_ms(0.5),
            done.latency_ms(0.99)
        );
    }
}
