//! What it takes to work out which tokens a form allows, over a large vocabulary.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement says how long things took; a helper of tests fails by panicking"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokenmill_text::Tokenizer;
use tokenmill_text::grammar::{Allowed, GrammarCompiler, GrammarMatcher};

mod support;

/// Tokens that are written in each form.
const N_TOKENS: usize = 200;

const FORMS: [(&str, &str); 9] = [
    ("letters, digits, some marks", "start: /[a-zA-Z0-9 ,.]{9000}/"),
    ("the same without bounds", "start: /[a-zA-Z0-9 ,.]+/"),
    ("words", r"start: /[\w ]{9000}/"),
    ("small letters", "start: /[a-z]{9000}/"),
    ("numbers", r"start: /([0-9]{1,9}[ ,.]){900}/"),
    ("anything but a line feed", r"start: /.{9000}/"),
    ("lines", r"start: /([^\n]{1,200}\n){100}/"),
    ("anything but a bracket", r"start: /[^<>]{9000}/"),
    (
        "JSON",
        r#"start: %json {"type":"array","minItems":900,"items":{"type":"object","properties":{"a":{"type":"string"},"b":{"type":"integer"}},"required":["a","b"],"additionalProperties":false}}"#,
    ),
];

/// A generator whose numbers depend on the seed only.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }
}

/// How long each mask took of an answer whose tokens are drawn from those allowed.
fn walk(mut matcher: GrammarMatcher, dice: &mut Dice) -> (Vec<Duration>, usize) {
    let mut times = Vec::new();
    let mut n_allowed = 0;
    for _ in 0..N_TOKENS {
        let begin = Instant::now();
        matcher.prepare();
        times.push(begin.elapsed());
        let Allowed::Among(words) = matcher.allowed() else {
            break;
        };
        let bits = |(word, bits): (usize, &u32)| {
            let bits = *bits;
            (0..32)
                .filter(move |bit| bits >> bit & 1 == 1)
                .map(move |bit| word as u32 * 32 + bit)
        };
        let allowed: Vec<u32> = words.iter().enumerate().flat_map(bits).collect();
        n_allowed += allowed.len();
        let token = allowed[dice.below(allowed.len())];
        assert!(matcher.accept(token));
    }
    let n_allowed = n_allowed / times.len();
    (times, n_allowed)
}

/// Built for speed: `cargo test --release -p tokenmill-text --test mask_cost -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn masks_over_a_large_vocabulary() {
    let Some(folder) = support::shared("data/vocab") else {
        return;
    };
    let file = std::fs::read(folder.join("ggml-vocab-qwen2.gguf")).expect("the vocabulary");
    let tokenizer = Arc::new(Tokenizer::from_gguf(support::gguf_vocab(&file)).expect("a tokenizer"));
    let end = tokenizer.eos().expect("an end token");
    let begin = Instant::now();
    let compiler = GrammarCompiler::new(tokenizer, &[end]).expect("a vocabulary");
    println!("{} ms to lay out the vocabulary", begin.elapsed().as_millis());
    println!("| form | tokens allowed | first mask | median of the others | mean | longest |");
    for (name, lark) in FORMS {
        let begin = Instant::now();
        let matcher = compiler.compile(lark).expect(name);
        let first = begin.elapsed().as_micros();
        let (mut times, n_allowed) = walk(matcher, &mut Dice(7));
        let mean = times.iter().sum::<Duration>().as_micros() / times.len() as u128;
        times.sort();
        let [median, longest] = [times.len() / 2, times.len() - 1].map(|at| times[at].as_micros());
        println!("| {name} | {n_allowed} | {first} µs | {median} µs | {mean} µs | {longest} µs |");
    }
}
