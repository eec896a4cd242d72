//! Templates render byte for byte as Jinja2 with transformers' settings renders them.
#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helper functions too"
)]

mod support;

use serde_json::{Map, Value, json};
use std::io::Write;
use std::process::{Command, Stdio};
use tokenmill_text::{ChatTemplate, TemplateInput, TemplateTokens, Timestamp};

const NOW: i64 = 1_785_000_000;

/// A Python that has jinja2: the one in TOKENMILL_PYTHON, which must, or `python3`, which may.
fn python() -> Option<String> {
    if let Ok(python) = std::env::var("TOKENMILL_PYTHON") {
        return Some(python);
    }
    let probe = Command::new("python3")
        .args(["-c", "import jinja2"])
        .stderr(Stdio::null())
        .status();
    if probe.is_ok_and(|status| status.success()) {
        return Some("python3".into());
    }
    eprintln!("skipped: no python3 with jinja2; name one in TOKENMILL_PYTHON");
    None
}

/// What Jinja2 makes of each (source, variables).
fn oracle(cases: &[(String, Value)]) -> Option<Vec<Result<String, String>>> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/render_oracle.py");
    let mut child = Command::new(python()?)
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python starts");
    let mut input = child.stdin.take().unwrap();
    let lines: Vec<String> = cases
        .iter()
        .map(|(source, variables)| json!({"source": source, "variables": variables, "now": NOW}).to_string())
        .collect();
    let writer = std::thread::spawn(move || lines.iter().try_for_each(|line| writeln!(input, "{line}")));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success());
    let answers = String::from_utf8(output.stdout).unwrap();
    let answers = answers.lines().map(|line| {
        let answer: Value = serde_json::from_str(line).unwrap();
        match answer.get("text") {
            Some(text) => Ok(text.as_str().unwrap().to_owned()),
            None => Err(answer["error"].as_str().unwrap().to_owned()),
        }
    });
    Some(answers.collect())
}

fn tokens() -> TemplateTokens {
    TemplateTokens {
        bos_token: Some("<s>".into()),
        eos_token: Some("</s>".into()),
        ..TemplateTokens::default()
    }
}

fn input(variables: &Map<String, Value>) -> TemplateInput {
    let mut extra = variables.clone();
    let list = |value: Option<Value>| value.and_then(|value| value.as_array().cloned());
    TemplateInput {
        messages: list(extra.shift_remove("messages")).unwrap_or_default(),
        tools: list(extra.shift_remove("tools")),
        add_generation_prompt: extra.shift_remove("add_generation_prompt") == Some(json!(true)),
        extra,
        now: Timestamp { unix_seconds: NOW },
    }
}

/// Variables as transformers passes them.
fn variables(messages: &Value, tools: &Value, add_generation_prompt: bool) -> Value {
    json!({
        "messages": messages, "tools": tools, "documents": null,
        "add_generation_prompt": add_generation_prompt, "bos_token": "<s>", "eos_token": "</s>",
    })
}

fn ours(source: &str, variables: &Value) -> Result<String, String> {
    let template = ChatTemplate::compile(source, tokens()).map_err(|error| error.to_string())?;
    let rendered = template.render(&input(variables.as_object().unwrap()));
    rendered
        .map(|prompt| prompt.text().to_owned())
        .map_err(|error| error.to_string())
}

/// Compares all cases; where Jinja2 fails we must fail too.
fn compare(cases: &[(String, Value)], name: impl Fn(usize) -> String) {
    let Some(answers) = oracle(cases) else { return };
    assert_eq!(answers.len(), cases.len());
    let mut n_texts = 0;
    let mut wrong = Vec::new();
    let mut failures = std::collections::BTreeSet::new();
    for (idx, ((source, variables), want)) in cases.iter().zip(&answers).enumerate() {
        match (ours(source, variables), want) {
            (Ok(got), Ok(want)) if got == *want => n_texts += 1,
            (Err(got), Err(want)) => {
                failures.insert(format!("ours: {got:.150} / jinja2: {want:.150}"));
            }
            (got, want) => wrong.push(format!("{}\n  ours   {got:?}\n  jinja2 {want:?}", name(idx))),
        }
    }
    eprintln!(
        "{n_texts} of {} cases render, and alike; {} fail alike",
        cases.len(),
        cases.len() - n_texts - wrong.len()
    );
    failures.iter().for_each(|failure| eprintln!("  {failure}"));
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

fn conversations() -> Vec<(&'static str, Value)> {
    let system = json!({"role": "system", "content": "Be brief. "});
    let user = json!({"role": "user", "content": "  Hi there, \"é\" <b>!\n"});
    let assistant = json!({"role": "assistant", "content": "Hello.\n\nHow are you?"});
    let again = json!({"role": "user", "content": "Fine: 1 < 2 & 'x' {{ y }} {% z %}\n\n"});
    let thinking = json!({"role": "assistant", "content": "<think>\nwell\n</think>\n\nSo."});
    let call = json!({"role": "assistant", "content": "", "tool_calls": [{"id": "call_abc12", "type": "function",
        "function": {"name": "weather", "arguments": {"city": "Zürich", "days": 2, "wet": true, "at": null}}}]});
    let answer =
        json!({"role": "tool", "tool_call_id": "call_abc12", "name": "weather", "content": "{\"t\": 20.5}"});
    vec![
        ("two turns", json!([user, assistant, again])),
        ("two turns with system", json!([system, user, assistant, again])),
        ("one turn", json!([user])),
        ("thinking", json!([user, thinking, again])),
        ("a tool called", json!([user, call, answer])),
        (
            "a tool called with system",
            json!([system, user, call, answer, assistant, again]),
        ),
    ]
}

fn tools() -> Value {
    json!([{"type": "function", "function": {"name": "weather", "description": "The weather in a \"city\".",
        "parameters": {"type": "object", "required": ["city"], "properties": {
            "city": {"type": "string", "description": "Which <city>"},
            "days": {"type": "integer", "default": 1},
            "unit": {"type": "string", "enum": ["C", "F"]},
            "at": {"type": ["number", "null"]},
            "tags": {"type": "array", "items": {"type": "string"}}}}}}])
}

#[test]
fn every_shipped_template_renders_as_jinja2_renders_it() {
    let Some(folder) = support::shared("data/templates") else {
        return;
    };
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let (mut cases, mut names) = (Vec::new(), Vec::new());
    for path in &paths {
        let source = std::fs::read_to_string(path).unwrap();
        for (what, messages) in conversations() {
            for tools in [Value::Null, tools()] {
                for prompt in [true, false] {
                    cases.push((source.clone(), variables(&messages, &tools, prompt)));
                    let file = path.file_name().unwrap().to_string_lossy();
                    names.push(format!(
                        "{file}: {what}, tools {}, prompt {prompt}",
                        !tools.is_null()
                    ));
                }
            }
        }
    }
    compare(&cases, |idx| names[idx].clone());
}

/// One construct a line; `x` and the like are variables below.
const CONSTRUCTS: &str = include_str!("constructs.jinja");

#[test]
fn every_construct_gives_what_jinja2_gives() {
    let variables = json!({
        "messages": [], "tools": null, "documents": null, "add_generation_prompt": false,
        "bos_token": "<s>", "eos_token": "</s>",
        "s": "  Hello, World  ", "e": "", "u": "Grüße 你好 🎉\u{7f}\u{a0}\u{200b}", "q": "it's \"q\"\\ \t\u{1}",
        "l": [3, 1, 2], "m": ["b", "A", "c", "a"], "n": null, "t": true, "f": 1.5, "i": 42, "neg": -7,
        "d": {"b": 1, "a": {"x": [1, 2, {"y": "z"}]}, "items": 5, "C": null},
        "o": [{"k": "x", "v": 1}, {"k": "y", "v": 2}, {"k": "x"}], "big": 1e300, "small": 1.0e-7, "deep": [[[[1]]]],
    });
    let sources: Vec<String> = CONSTRUCTS
        .split("\n---\n")
        .flat_map(|part| match part.strip_prefix("LINES\n") {
            Some(lines) => lines.lines().map(str::to_owned).collect(),
            None => vec![part.to_owned()],
        })
        .collect();
    let cases: Vec<_> = sources
        .iter()
        .map(|source| (source.clone(), variables.clone()))
        .collect();
    compare(&cases, |idx| sources[idx].clone());
}
