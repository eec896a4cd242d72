//! Walks [`FORMATS`]: the same conversations written in every format, cut at every place.

use serde_json::{Value, json};
use tokenmill_text::tool_calls::{FORMATS, Piece, ToolCallParser, ToolFormat, ToolSignature, Unfinished};
use writers::written;

mod writers;

/// What a sample says.
enum Part {
    Text(&'static str),
    Calls(Vec<(&'static str, Value)>),
}
use Part::{Calls, Text};

fn tools() -> Vec<ToolSignature> {
    let parameters = json!({"type": "object", "properties": {
        "city": {"type": "string"}, "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "unit": {"enum": ["C", "F"]}, "days": {"type": "integer"}, "lat": {"type": "number"},
        "flag": {"type": "boolean"}, "items": {"type": "array", "items": {}}, "detail": {"type": "object"},
        "nothing": {"type": "null"},
    }});
    ["get_weather", "search-web", "a"]
        .map(|name| ToolSignature {
            name: name.into(),
            parameters: parameters.clone(),
        })
        .into()
}

fn samples() -> Vec<Vec<Part>> {
    let paris = || ("get_weather", json!({"city": "Paris"}));
    let one = |arguments: Value| vec![Calls(vec![("get_weather", arguments)])];
    vec![
        vec![Text("Hello, how are you?")],
        vec![Text("")],
        vec![Text(" \n ")],
        vec![Text(
            "A < b, [1, 2], {\"x\": 1} and <tool, <| [TOOL <TOOLC <min end <",
        )],
        vec![Text("{not a call} at all")],
        vec![Text("[not, a, call]")],
        vec![Calls(vec![paris()])],
        one(json!({})),
        vec![Text("Let me see."), Calls(vec![paris()])],
        vec![Text("Über den Wolken …\n\n"), Calls(vec![paris()])],
        vec![Calls(vec![paris()]), Text("That was it.")],
        vec![Text("First this."), Calls(vec![paris()]), Text("Then that.")],
        vec![Calls(vec![paris(), ("search-web", json!({"note": "two"}))])],
        vec![Calls(vec![
            paris(),
            ("a", json!({})),
            ("search-web", json!({"days": 3})),
        ])],
        vec![
            Text("one"),
            Calls(vec![paris()]),
            Text("two"),
            Calls(vec![("a", json!({"days": 0}))]),
            Text("three"),
        ],
        one(json!({"detail": {"a": {"b": [1, {"c": null}]}, "d": "e"}})),
        one(json!({"items": [], "detail": {}})),
        one(json!({"items": [1, -2.5, "three", [true, false], null, {"k": "v"}]})),
        one(json!({"city": "São Paulo 東京 🌦", "note": "naïve"})),
        one(json!({"city": "say \"hi\" \\ 'there'", "note": "tab\tline\nend"})),
        one(json!({"note": "<b>a & b</b> </para ]{}[ <| |> ; , ("})),
        one(json!({"days": -7, "lat": -1.25e-3})),
        one(json!({"flag": true, "nothing": null, "unit": "C"})),
        one(json!({"city": "", "note": " "})),
        one(json!({"city": "123", "note": "true"})),
        one(
            json!({"city": "x", "note": "y", "unit": "F", "days": 1, "lat": 0.5, "flag": false, "items": ["z"]}),
        ),
        one(json!({"note": "line one\nline two\n\nline four"})),
        one(json!({"note": "long ".repeat(15)})),
    ]
}

fn sample_text(format: &str, parts: &[Part]) -> String {
    let mut text = String::new();
    for part in parts {
        match part {
            Text(words) if format == "harmony" => {
                text.push_str(&format!(
                    "<|start|>assistant<|channel|>final<|message|>{words}<|end|>"
                ));
            }
            Text(words) => text.push_str(words),
            Calls(calls) => text.push_str(&written(format, calls, text.is_empty())),
        }
    }
    // The prompt has the first of these.
    text.strip_prefix("<|start|>assistant")
        .map(str::to_owned)
        .unwrap_or(text)
}

/// An answer, put together.
#[derive(Debug, Default, PartialEq)]
struct Answer {
    text: String,
    reasoning: String,
    calls: Vec<(String, String)>,
}

impl Answer {
    fn add(&mut self, pieces: Vec<Piece>) {
        for piece in pieces {
            match piece {
                Piece::Text(text) => self.text.push_str(&text),
                Piece::Reasoning(text) => self.reasoning.push_str(&text),
                Piece::Call { index, name } => {
                    assert_eq!(index, self.calls.len(), "calls are counted from 0");
                    self.calls.push((name, String::new()));
                }
                Piece::Arguments { index, text } => {
                    assert_eq!(index + 1, self.calls.len(), "arguments belong to the last call");
                    self.calls[index].1.push_str(&text);
                }
            }
        }
    }
}

fn read<'t>(
    format: &'static ToolFormat,
    unfinished: Unfinished,
    chunks: impl IntoIterator<Item = &'t str>,
) -> Answer {
    let mut parser = ToolCallParser::new(format, tools(), unfinished);
    let mut answer = Answer::default();
    for chunk in chunks {
        answer.add(parser.push(chunk));
    }
    answer.add(parser.finish());
    answer
}

fn whole(format: &'static ToolFormat, text: &str) -> Answer {
    read(format, Unfinished::Held, [text])
}

/// Cuts at every byte; where that is inside a character, the rest of it waits, as in the decoder.
fn check_every_split(format: &'static ToolFormat, text: &str) {
    for unfinished in [Unfinished::Held, Unfinished::Streamed] {
        let expected = read(format, unfinished, [text]);
        for at in 0..=text.len() {
            let (one, other) = text.split_at(text.floor_char_boundary(at));
            let split = read(format, unfinished, [one, other]);
            assert_eq!(split, expected, "{}: {text:?} cut at {at}", format.name);
        }
        let ends: Vec<usize> = text
            .char_indices()
            .map(|(start, c)| start + c.len_utf8())
            .collect();
        let starts = std::iter::once(0).chain(ends.iter().copied());
        let single = read(
            format,
            unfinished,
            starts.zip(&ends).map(|(start, &end)| &text[start..end]),
        );
        assert_eq!(single, expected, "{}: {text:?} in single characters", format.name);
    }
}

#[test]
fn every_sample_in_every_format_is_read_and_does_not_depend_on_cuts() {
    assert!(samples().len() >= 20);
    for format in FORMATS {
        for parts in samples() {
            let text = sample_text(format.name, &parts);
            let answer = whole(format, &text);
            let mut expected_calls = Vec::new();
            let mut expected_text = String::new();
            for part in &parts {
                match part {
                    Text(words) => expected_text.push_str(words),
                    Calls(calls) => {
                        expected_text.truncate(expected_text.trim_end().len());
                        expected_calls
                            .extend(calls.iter().map(|(name, arguments)| (*name, arguments.clone())));
                    }
                }
            }
            let calls: Vec<(&str, Value)> = answer
                .calls
                .iter()
                .map(|(name, arguments)| {
                    let arguments = serde_json::from_str(arguments)
                        .unwrap_or_else(|error| panic!("{text}: {error}: {arguments}"));
                    (name.as_str(), arguments)
                })
                .collect();
            assert_eq!(calls, expected_calls, "{}: {text}", format.name);
            let is_layout_kept = format.name == "harmony";
            if is_layout_kept {
                assert_eq!(
                    answer.text.split_whitespace().collect::<String>(),
                    expected_text.split_whitespace().collect::<String>()
                );
            } else {
                assert_eq!(answer.text, expected_text, "{}: {text}", format.name);
            }
            check_every_split(format, &text);
        }
    }
}

#[test]
fn a_call_that_is_cut_anywhere_comes_back_as_text_or_is_complete() {
    let calls = [
        ("get_weather", json!({"city": "Paris", "days": 3})),
        ("a", json!({})),
    ];
    for format in FORMATS {
        let text = sample_text(format.name, &[Calls(calls.to_vec())]);
        for (at, _) in text.char_indices() {
            let cut = &text[..at];
            let answer = whole(format, cut);
            for (idx, (name, arguments)) in answer.calls.iter().enumerate() {
                let arguments: Value = serde_json::from_str(arguments).expect("complete calls only");
                assert_eq!(
                    (name.as_str(), &arguments),
                    (calls[idx].0, &calls[idx].1),
                    "{}: {cut}",
                    format.name
                );
            }
            if answer.calls.is_empty() && !format.has_channels() {
                assert_eq!(answer.text, cut, "{}: nothing may be lost", format.name);
            }
            if at % 29 == 0 {
                check_every_split(format, cut);
            }
        }
    }
}

#[test]
fn a_call_of_a_function_that_was_not_offered_is_text() {
    for format in FORMATS {
        let text = sample_text(
            format.name,
            &[Calls(vec![("launch_rockets", json!({"city": "Paris"}))])],
        );
        let answer = whole(format, &text);
        assert_eq!(answer.calls, [], "{}: {text}", format.name);
        assert!(
            answer.text.contains("launch_rockets"),
            "{}: {answer:?}",
            format.name
        );
        check_every_split(format, &text);
    }
}

#[test]
fn garbage_after_an_opening_is_text_and_the_next_call_is_found() {
    for format in FORMATS.iter().filter(|format| !format.has_channels()) {
        let call = sample_text(
            format.name,
            &[Text("x"), Calls(vec![("get_weather", json!({"city": "Paris"}))])],
        );
        let opening = format.opening().expect("sections");
        for garbage in ["garbage! ", "{\"name\": 7} ", "[] ", "{7: ", "§"] {
            let text = format!("{}{garbage}{call}", opening);
            let answer = whole(format, &text);
            assert_eq!(answer.calls.len(), 1, "{}: {text}: {answer:?}", format.name);
            assert!(answer.text.starts_with(opening), "{}: {answer:?}", format.name);
            assert!(
                answer.text.contains(garbage.trim()),
                "{}: {answer:?}",
                format.name
            );
            check_every_split(format, &text);
        }
    }
}

#[test]
fn arguments_stream_where_calls_cannot_break() {
    for format in FORMATS {
        let text = sample_text(
            format.name,
            &[Calls(vec![("get_weather", json!({"note": "word ".repeat(50)}))])],
        );
        let mut parser = ToolCallParser::new(format, tools(), Unfinished::Streamed);
        let half = text.floor_char_boundary(text.len() - 150);
        let mut answer = Answer::default();
        answer.add(parser.push(&text[..half]));
        assert_eq!(answer.calls.len(), 1, "{}", format.name);
        assert!(answer.calls[0].1.len() > 40, "{}: {answer:?}", format.name);
    }
}

#[test]
fn harmony_keeps_thinking_apart() {
    let text = "<|channel|>analysis<|message|>Let me think.<|end|><|start|>assistant<|channel|>commentary<|message|>I will look.<|end|>\
                <|start|>assistant to=functions.a<|channel|>commentary json<|message|>{\"days\": 1}<|call|>";
    let harmony = ToolFormat::named("harmony").expect("known");
    let answer = whole(harmony, text);
    assert_eq!(answer.reasoning, "Let me think.");
    assert_eq!(answer.text, "I will look.");
    assert_eq!(answer.calls, [("a".to_owned(), "{\"days\": 1}".to_owned())]);
    check_every_split(harmony, text);
}

#[expect(clippy::too_many_lines, reason = "a table")]
#[test]
fn oddities_that_models_write_are_understood() {
    let read = |name: &str, text: &str| {
        let answer = whole(ToolFormat::named(name).expect("known"), text);
        assert_eq!(answer.calls.len(), 1, "{name}: {text}: {answer:?}");
        check_every_split(ToolFormat::named(name).expect("known"), text);
        serde_json::from_str::<Value>(&answer.calls[0].1).expect("JSON")
    };
    let paris = json!({"city": "Paris"});
    assert_eq!(
        read(
            "hermes",
            r#"<tool_call>{"arguments":{"city":"Paris"},"name":"get_weather"}</tool_call>"#
        ),
        paris
    );
    assert_eq!(
        read(
            "hermes",
            r#"<tool_call>{"name":"get_weather","arguments":"{\"city\":\"Paris\"}"}</tool_call>"#
        ),
        paris
    );
    assert_eq!(
        read(
            "hermes",
            r#"<tool_call>{"name":"get_weather","arguments":null}</tool_call>"#
        ),
        json!({})
    );
    assert_eq!(read("hermes", r#"<tool_call>{"name":"get_weather"}"#), json!({}));
    assert_eq!(
        read(
            "mistral",
            r#"[TOOL_CALLS] [{"name":"get_weather","arguments":{"city":"Paris"},"id":"abcdefghi"}]"#
        ),
        paris
    );
    assert_eq!(
        read(
            "llama3_json",
            r#"{"type":"function","name":"get_weather","parameters":{"city":"Paris"}}"#
        ),
        paris
    );
    assert_eq!(
        read("llama4_pythonic", "[get_weather(city=\"Pa\\x72is\",)]"),
        paris
    );
    assert_eq!(
        read(
            "qwen3_coder",
            "<tool_call><function=get_weather><parameter=days>three</parameter></function>"
        ),
        json!({"days": "three"})
    );
    assert_eq!(
        read(
            "qwen3_coder",
            "<tool_call><function=get_weather><parameter=flag>True</parameter></function>"
        ),
        json!({"flag": true})
    );
    assert_eq!(
        read(
            "gemma4",
            "<|tool_call>call:get_weather{<|\"|>city<|\"|>:<|\"|>Paris<|\"|>}<tool_call|>"
        ),
        paris
    );
}

#[test]
fn formats_are_recognised_by_their_templates() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/templates");
    if !folder.is_dir() {
        eprintln!("skipped: {} is not there", folder.display());
        return;
    }
    for (template, format) in [
        ("GLM-4.6", Some("glm4")),
        ("HuggingFaceTB-SmolLM3-3B", None),
        ("Kimi-K2-Thinking", Some("kimi_k2")),
        ("MiniMax-M2", Some("minimax_m2")),
        ("Mistral-Small-3.2-24B-Instruct-2506", Some("mistral_named")),
        ("NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", Some("qwen3_coder")),
        ("NousResearch-Hermes-3-Llama-3.1-8B-tool_use", Some("hermes")),
        ("Qwen-Qwen2.5-7B-Instruct", Some("hermes")),
        ("Qwen-Qwen3-0.6B", Some("hermes")),
        ("Qwen3-Coder", Some("qwen3_coder")),
        ("Qwen3.5-4B", Some("qwen3_coder")),
        ("deepseek-ai-DeepSeek-V3.1", Some("deepseek_v31")),
        ("deepseek-ai-DeepSeek-V4", Some("deepseek_v4")),
        ("google-gemma-2-2b-it", None),
        ("google-gemma-4-31B-it", Some("gemma4")),
        ("meta-llama-Llama-3.1-8B-Instruct", Some("llama3_json")),
        ("meta-llama-Llama-3.2-3B-Instruct", Some("llama3_json")),
        ("meta-llama-Llama-3.3-70B-Instruct", Some("llama3_json")),
        ("microsoft-Phi-3.5-mini-instruct", None),
        ("mistralai-Mistral-Nemo-Instruct-2407", Some("mistral")),
        ("moonshotai-Kimi-K2", Some("kimi_k2")),
        ("openai-gpt-oss-120b", Some("harmony")),
    ] {
        let Ok(source) = std::fs::read_to_string(folder.join(format!("{template}.jinja"))) else {
            eprintln!("skipped: {template} is not there");
            continue;
        };
        assert_eq!(
            ToolFormat::recognise(&source).map(|format| format.name),
            format,
            "{template}"
        );
    }
}

#[test]
fn names_are_sorted_and_marks_are_not_empty() {
    assert!(FORMATS.is_sorted_by_key(|format| format.name));
    for format in FORMATS {
        assert!(!format.marks().is_empty(), "{}", format.name);
        assert_eq!(
            ToolFormat::named(format.name).map(|found| found.name),
            Some(format.name)
        );
    }
}
