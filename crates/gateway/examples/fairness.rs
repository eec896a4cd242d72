//! How long a project with few requests waits for its first token: alone, and while another project asks fifty times as much.
//!
//! ```sh
//! cargo build --release -p tokenmill && cargo build --release -p tokenmill-gateway --example fairness
//! target/release/examples/fairness target/release/tokenmill MODEL.gguf [SECONDS [WORDS]]
//! ```
//!
//! Starts a server of its own with the limits that it has by itself. The light project asks once a second, at fixed moments; the
//! heavy one fifty times a second, whether it is answered or refused. Both ask the same kind of thing. The light project asks
//! for the same in both halves, so that the answers can be compared; a salt keeps the second half from the first one's cache.
//! The generator is one thread that looks at bytes and no more, for it shares the processors with what it measures.

#[path = "fairness/ask.rs"]
mod ask;
#[path = "fairness/server.rs"]
mod server;

use std::time::Duration;

use ask::{Answer, Asker};
use server::Server;
use tokio::time::Instant;

/// The light project asks so often.
const EVERY: Duration = Duration::from_secs(1);
/// How many times as often the heavy one does.
const TIMES: u32 = 50;
/// Before the light project's requests beside the flood are counted, for it to rise.
const RISE: Duration = Duration::from_secs(3);

#[allow(clippy::print_stdout)]
fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [binary, model, rest @ ..] = args.as_slice() else {
        println!("fairness TOKENMILL MODEL.gguf [SECONDS [WORDS]]");
        return;
    };
    let number = |idx: usize, default: u32| rest.get(idx).and_then(|n| n.parse().ok()).unwrap_or(default);
    let (seconds, n_words) = (number(0, 24), number(1, 180));
    let server = Server::start(binary, model);
    let (light, heavy) = (
        Asker::new(&server, "light", n_words),
        Asker::new(&server, "heavy", n_words),
    );
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        at_fixed_moments(&light, "warm", 3, EVERY).await;
        let alone = at_fixed_moments(&light, "alone", seconds, EVERY).await;
        tell("alone", &alone);
        let flood = tokio::spawn({
            let n_all = (seconds + 60) * TIMES;
            async move { at_fixed_moments(&heavy, "flood", n_all, EVERY / TIMES).await }
        });
        tokio::time::sleep(RISE).await;
        let (steps, begun) = (server.counted("steps_total"), Instant::now());
        let decoded = server.counted("generated_tokens_total");
        let beside = at_fixed_moments(&light, "beside", seconds, EVERY).await;
        let passed = begun.elapsed().as_secs_f64();
        tell("beside the flood", &beside);
        println!(
            "time to the first token, p99: {:.2} times that alone; p50: {:.2} times; {} of {} answers are the same text",
            part(&beside, 0.99) / part(&alone, 0.99),
            part(&beside, 0.5) / part(&alone, 0.5),
            alone.iter().zip(&beside).filter(|(a, b)| !a.text.is_empty() && a.text == b.text).count(),
            beside.len(),
        );
        println!(
            "meanwhile {:.1} steps and {:.0} generated tokens a second",
            (server.counted("steps_total") - steps) / passed,
            (server.counted("generated_tokens_total") - decoded) / passed,
        );
        flood.abort();
    });
}

/// Asks `n` times, each when its moment has come, and waits for all answers.
async fn at_fixed_moments(asker: &Asker, salt: &str, n: u32, every: Duration) -> Vec<Answer> {
    let begun = Instant::now();
    let mut asked = Vec::new();
    for idx in 0..n {
        let due = begun + every * idx;
        tokio::time::sleep_until(due).await;
        asked.push(tokio::spawn(asker.ask(salt, idx, due)));
    }
    let mut answers = Vec::new();
    for answer in asked {
        answers.push(answer.await.expect("it does not panic"));
    }
    answers
}

/// The time to the first token that so many of a hundred do not exceed, in milliseconds.
fn part(answers: &[Answer], part: f64) -> f64 {
    let mut sorted: Vec<f64> = answers.iter().filter_map(|answer| answer.first_ms).collect();
    sorted.sort_by(f64::total_cmp);
    let idx = (sorted.len() as f64 * part) as usize;
    sorted[idx.min(sorted.len() - 1)]
}

#[allow(clippy::print_stdout)]
fn tell(what: &str, answers: &[Answer]) {
    let n_refused = answers.iter().filter(|answer| answer.first_ms.is_none()).count();
    println!(
        "{what}: {} requests of {} tokens, {n_refused} refused; time to the first token p50 {:.0} ms, p90 {:.0} ms, p99 {:.0} ms",
        answers.len(),
        answers[0].n_prompt,
        part(answers, 0.5),
        part(answers, 0.9),
        part(answers, 0.99),
    );
}
