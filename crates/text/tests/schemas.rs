//! Schemas of our own and of the JSON Schema Test Suite: what their grammars allow is valid, what cannot be enforced is
//! refused by keyword and path, none hangs, and none takes more than 200 ms or 64 MB to compile.
//!
//! The suite is no part of this repository: `TOKENMILL_SCHEMA_SUITE` names its folder of a draft, which the source package
//! of `jsonschema` on PyPI holds (`json/tests/draft2020-12`); `cargo xtask test rust` gets it. Where it is not named, the
//! test of it says so and passes.

#![allow(clippy::print_stdout, reason = "a test says how long things took")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jsonschema::Validator;
use rustix::time::{ClockId, clock_gettime};
use serde_json::Value;
use tokenmill_text::grammar::{
    Allowed, AnswerForm, AnswerRules, GrammarCompiler, GrammarError, GrammarMatcher,
};
use tokenmill_text::{Specials, Tokenizer};

#[global_allocator]
static MEMORY: peak_alloc::PeakAlloc = peak_alloc::PeakAlloc;

const MAX_COMPILE_MS: f64 = 200.0;
const MAX_COMPILE_BYTES: usize = 64 << 20;
/// Answers that are walked for each schema.
const N_WALKS: u64 = 4;

/// Time that this thread has had, whatever else the machine does.
fn thread_ms() -> f64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as f64 * 1e3 + now.tv_nsec as f64 / 1e6
}

struct Bench {
    tokenizer: Arc<Tokenizer>,
    compiler: GrammarCompiler,
    end: u32,
    slowest: (f64, String),
    largest: (usize, String),
    n_compiled: usize,
    n_walked: usize,
    /// Invalid ones.
    n_instances: usize,
    /// Valid ones, and of these the ones that a model may write just so.
    n_valid: usize,
    n_valid_allowed: usize,
}

impl Bench {
    fn new() -> Bench {
        let json = include_bytes!("../../../models/tokenizer.json");
        let tokenizer = Arc::new(Tokenizer::from_hf(json, None).expect("the built-in model's tokenizer"));
        let mut ids = 0..tokenizer.n_vocab() as u32;
        let end = ids.find(|&id| tokenizer.is_special(id)).expect("a special token");
        let compiler = GrammarCompiler::new(tokenizer.clone(), &[end]).expect("a vocabulary");
        Bench {
            tokenizer,
            compiler,
            end,
            slowest: (0.0, String::new()),
            largest: (0, String::new()),
            n_compiled: 0,
            n_walked: 0,
            n_instances: 0,
            n_valid: 0,
            n_valid_allowed: 0,
        }
    }

    /// Compiles within the limits; the second time shows that nothing is worked out twice.
    fn compile(&mut self, schema: &Value) -> Result<GrammarMatcher, GrammarError> {
        let rules = AnswerRules {
            form: AnswerForm::JsonSchema(schema.clone()),
            form_param: "response_format".into(),
            calls: None,
            in_channels: false,
        };
        let (before, start) = (MEMORY.current_usage(), thread_ms());
        MEMORY.reset_peak_usage();
        let compiled = rules.compile(&self.compiler);
        let (took_ms, bytes) = (thread_ms() - start, MEMORY.peak_usage() - before);
        let beginning = || schema.to_string().chars().take(120).collect();
        if took_ms > self.slowest.0 {
            self.slowest = (took_ms, beginning());
        }
        if bytes > self.largest.0 {
            self.largest = (bytes, beginning());
        }
        assert!(took_ms < MAX_COMPILE_MS, "{took_ms:.0} ms for {schema}");
        assert!(bytes < MAX_COMPILE_BYTES, "{bytes} bytes for {schema}");
        compiled.map_err(|error| error.1)
    }

    /// Whether the grammar allows just this text.
    fn allows(&self, matcher: &GrammarMatcher, text: &str) -> bool {
        let mut matcher = matcher.copy();
        for id in self.tokenizer.encode(text, Specials::AsText).expect("short") {
            let Allowed::Among(words) = matcher.allowed() else {
                return false;
            };
            if words[id as usize / 32] >> (id % 32) & 1 == 0 || !matcher.accept(id) {
                return false;
            }
        }
        match matcher.allowed() {
            Allowed::Among(words) => words[self.end as usize / 32] >> (self.end % 32) & 1 == 1,
            Allowed::End => true,
            Allowed::Failed(fault) => panic!("{fault}"),
        }
    }

    /// Walks at random; every text that ends must be valid.
    fn walk_all(&mut self, schema: &Value, validator: &Validator, matcher: &GrammarMatcher) {
        for seed in 1..=N_WALKS {
            if let Some(text) = self.walk(matcher.copy(), seed) {
                self.n_walked += 1;
                let value =
                    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{schema}: {error}: {text}"));
                assert!(
                    is_valid(validator, &value),
                    "seed {seed}: {text} is not valid for {schema}"
                );
            }
        }
    }

    fn walk(&self, mut matcher: GrammarMatcher, seed: u64) -> Option<String> {
        let (mut dice, mut bytes) = (Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1), Vec::new());
        for step in 0..250 {
            for id in matcher.forced() {
                bytes.extend(self.tokenizer.token_bytes(id).expect("a token"));
            }
            let words = match matcher.allowed() {
                Allowed::Among(words) => words.to_vec(),
                Allowed::End => return String::from_utf8(bytes).ok(),
                Allowed::Failed(fault) => panic!("{fault}"),
            };
            let is_allowed = |id: &u32| words[*id as usize / 32] >> (id % 32) & 1 == 1;
            let allowed: Vec<u32> = (0..self.tokenizer.n_vocab() as u32).filter(is_allowed).collect();
            if allowed.is_empty() || is_allowed(&self.end) && (step > 15 || dice.below(3) == 0) {
                return String::from_utf8(bytes).ok();
            }
            let closes = |id: &u32| {
                let bytes = self.tokenizer.token_bytes(*id).unwrap_or_default();
                *id != self.end && bytes.first().is_some_and(|byte| b"\"}]".contains(byte))
            };
            let closing: Vec<u32> = allowed.iter().copied().filter(closes).collect();
            let is_late = step > 15 && dice.below(8) > 0 && !closing.is_empty();
            let choices = if is_late { &closing } else { &allowed };
            let token = choices[dice.below(choices.len())];
            if token != self.end {
                assert!(matcher.accept(token), "an allowed token is accepted");
                bytes.extend(self.tokenizer.token_bytes(token).expect("a token"));
            }
        }
        None
    }

    fn report(&self, of: &str) {
        println!(
            "{of}: {} compiled, {} answers valid, {} invalid instances shut out, {} of {} valid ones written just so",
            self.n_compiled, self.n_walked, self.n_instances, self.n_valid_allowed, self.n_valid
        );
        println!("  at most {:.1} ms, for {}", self.slowest.0, self.slowest.1);
        println!(
            "  at most {:.2} MB, for {}",
            self.largest.0 as f64 / 1e6,
            self.largest.1
        );
    }
}

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

fn validator(schema: &Value) -> Validator {
    let options = jsonschema::draft202012::options().should_validate_formats(true);
    options
        .build(schema)
        .unwrap_or_else(|error| panic!("{error}: {schema}"))
}

fn is_valid(validator: &Validator, value: &Value) -> bool {
    validator.is_valid(value)
}

/// Whether a value has a whole number of so many digits that this validator, which reads it as a float, sees another.
fn is_beyond_floats(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.as_f64().is_some_and(|number| number.abs() > 9e15),
        Value::Array(values) => values.iter().any(is_beyond_floats),
        Value::Object(entries) => entries.values().any(is_beyond_floats),
        _ => false,
    }
}

fn check_ours() {
    let mut bench = Bench::new();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/sdk/python/schemas.json");
    let text = std::fs::read_to_string(path).expect("ours");
    let schemas: Vec<Value> = serde_json::from_str(&text).expect("JSON");
    assert!(schemas.len() >= 60);
    for schema in &schemas {
        let matcher = bench
            .compile(schema)
            .unwrap_or_else(|error| panic!("{error}: {schema}"));
        bench.n_compiled += 1;
        bench.walk_all(schema, &validator(schema), &matcher);
    }
    bench.report("ours");
    assert!(bench.n_walked > schemas.len(), "walks end");
}

/// Schemas that say nothing of their texts' order or blanks are one thing, a grammar's another: only what it shuts out is
/// checked, for it may be stricter in what it lets a model write.
fn check_suite(folder: &Path) {
    let mut bench = Bench::new();
    let mut refused = std::collections::BTreeMap::<String, usize>::new();
    let folders = [folder.to_owned(), folder.join("optional/format")];
    let mut files: Vec<PathBuf> = folders
        .iter()
        .flat_map(|folder| std::fs::read_dir(folder).expect("the suite"))
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    files.sort();
    let mut faults = Vec::new();
    for file in &files {
        let groups: Vec<Value> =
            serde_json::from_slice(&std::fs::read(file).expect("readable")).expect("JSON");
        for group in &groups {
            let schema = &group["schema"];
            let place = format!(
                "{}: {}",
                file.file_stem().expect("a name").display(),
                group["description"]
            );
            match bench.compile(schema) {
                Ok(matcher) => {
                    bench.n_compiled += 1;
                    check_group(&mut bench, &place, group, &matcher, &mut faults);
                }
                Err(GrammarError::Keyword { keyword, path, .. }) => {
                    let holder = schema.pointer(&path[1..]);
                    if holder.is_none_or(|holder| holder.get(&keyword).is_none()) {
                        faults.push(format!("{place}: {keyword} is not at {path} in {schema}"));
                    }
                    *refused.entry(keyword).or_default() += 1;
                }
                Err(GrammarError::Malformed { fault, path }) if schema.pointer(&path[1..]).is_some() => {
                    *refused.entry(format!("({fault})")).or_default() += 1;
                }
                Err(error) => faults.push(format!("{place}: {error}, says nothing of where in {schema}")),
            }
        }
    }
    println!("refused: {refused:#?}");
    bench.report("the suite");
    assert!(
        faults.is_empty(),
        "{} faults:\n{}",
        faults.len(),
        faults.join("\n")
    );
    assert!(
        bench.n_compiled > 100 && bench.n_instances > 200,
        "the suite is there"
    );
}

fn check_group(
    bench: &mut Bench,
    place: &str,
    group: &Value,
    matcher: &GrammarMatcher,
    faults: &mut Vec<String>,
) {
    let schema = &group["schema"];
    for test in group["tests"].as_array().expect("tests") {
        let text = test["data"].to_string();
        let is_allowed = bench.allows(matcher, &text);
        if test["valid"] == true {
            bench.n_valid += 1;
            bench.n_valid_allowed += usize::from(is_allowed);
        } else {
            bench.n_instances += 1;
            if is_allowed {
                faults.push(format!(
                    "{place}: {text} is allowed, and is not valid for {schema}"
                ));
            }
        }
    }
    let options = jsonschema::draft202012::options().should_validate_formats(true);
    let Ok(validator) = options.build(schema) else {
        return;
    };
    for seed in 1..=N_WALKS {
        let Some(text) = bench.walk(matcher.copy(), seed) else {
            continue;
        };
        bench.n_walked += 1;
        match serde_json::from_str(&text) {
            Ok(value) if is_valid(&validator, &value) || is_beyond_floats(&value) => {}
            Ok(_) => faults.push(format!(
                "{place}: {text} was walked, and is not valid for {schema}"
            )),
            Err(error) => faults.push(format!("{place}: {error} in {text}")),
        }
    }
}

/// One test, for what is measured is the whole process.
#[test]
fn schemas_are_enforced_or_refused_within_the_limits() {
    check_ours();
    match std::env::var_os("TOKENMILL_SCHEMA_SUITE") {
        Some(folder) => check_suite(Path::new(&folder)),
        None => println!("TOKENMILL_SCHEMA_SUITE is not set: the suite is passed over"),
    }
}
