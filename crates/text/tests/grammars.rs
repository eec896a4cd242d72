//! Grammars over a real vocabulary, walked at random: whatever they allow is in form.

#![allow(
    clippy::print_stdout,
    clippy::too_many_lines,
    reason = "a test says how long things took"
)]

use serde_json::{Value, json};
use std::sync::Arc;
use tokenmill_text::grammar::{
    Allowed, AnswerForm, AnswerRules, CallRules, GrammarCompiler, GrammarError, GrammarMatcher, ToolRule,
};
use tokenmill_text::tool_calls::{FORMATS, Piece, ToolCallParser, ToolFormat, ToolSignature, Unfinished};
use tokenmill_text::{Specials, Tokenizer};

fn tokenizer() -> Arc<Tokenizer> {
    let json = include_bytes!("../../../models/tokenizer.json");
    Arc::new(Tokenizer::from_hf(json, None).expect("the built-in model's tokenizer"))
}

fn end_token(tokenizer: &Tokenizer) -> u32 {
    (0..tokenizer.n_vocab() as u32)
        .find(|&id| tokenizer.is_special(id))
        .expect("a special token")
}

fn compiler() -> (Arc<Tokenizer>, GrammarCompiler, u32) {
    let tokenizer = tokenizer();
    let end = end_token(&tokenizer);
    let compiler = GrammarCompiler::new(tokenizer.clone(), &[end]).expect("a vocabulary");
    (tokenizer, compiler, end)
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

/// What ends free text inside a call; no walk spells one by chance.
const ENDS: [&str; 4] = ["</arg_value>", "</parameter>", "</｜DSML｜parameter>", "<|\"|>"];

/// Of the tokens that may follow `text`, those that go on with the mark of [`ENDS`] that is furthest spelt, or begin one.
fn towards_an_end(tokenizer: &Tokenizer, text: &[u8], allowed: &[u32]) -> Vec<u32> {
    let spelt = |end: &str| {
        (0..end.len())
            .rev()
            .find(|&n| text.ends_with(&end.as_bytes()[..n]))
    };
    let missing = ENDS.map(|end| &end.as_bytes()[spelt(end).unwrap_or(0)..]);
    let furthest = ENDS.map(|end| spelt(end).unwrap_or(0)).into_iter().max();
    let goes_on = |id: &u32| {
        let bytes = tokenizer.token_bytes(*id).unwrap_or_default();
        !bytes.is_empty()
            && ENDS.iter().zip(missing).any(|(end, missing)| {
                Some(end.len() - missing.len()) == furthest && missing.starts_with(bytes)
            })
    };
    allowed.iter().copied().filter(goes_on).collect()
}

/// Some text that a grammar allows, in at most so many tokens; `None` where it did not end.
fn walk(tokenizer: &Tokenizer, mut matcher: GrammarMatcher, end: u32, seed: u64) -> Option<String> {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut bytes = Vec::new();
    for step in 0..600 {
        let forced = matcher.forced();
        for id in &forced {
            bytes.extend(tokenizer.token_bytes(*id).expect("a token"));
        }
        let allowed: Vec<u32> = match matcher.allowed() {
            Allowed::Among(words) => (0..tokenizer.n_vocab() as u32)
                .filter(|id| words[*id as usize / 32] >> (id % 32) & 1 == 1)
                .collect(),
            Allowed::End => break,
            Allowed::Failed(fault) => panic!("seed {seed}: {fault}"),
        };
        if allowed.is_empty() || allowed == [end] || step > 60 && allowed.contains(&end) {
            break;
        }
        // Later on what closes things is preferred, so that walks end.
        let closes = |id: &u32| {
            let bytes = tokenizer.token_bytes(*id).unwrap_or_default();
            bytes.first().is_some_and(|byte| b"\"'}])</>|".contains(byte))
        };
        let closing: Vec<u32> = allowed
            .iter()
            .copied()
            .filter(|id| closes(id) && *id != end)
            .collect();
        let ending = towards_an_end(tokenizer, &bytes, &allowed);
        let is_late = step > 40 && dice.below(8) > 0;
        let choices = match (is_late, ending.is_empty(), closing.is_empty()) {
            (true, false, _) if dice.below(8) > 0 => &ending,
            (true, _, false) => &closing,
            _ => &allowed,
        };
        let token = choices[dice.below(choices.len())];
        if token == end {
            break;
        }
        assert!(matcher.accept(token), "seed {seed}: an allowed token is accepted");
        bytes.extend(tokenizer.token_bytes(token).expect("a token"));
        if step == 599 {
            return None;
        }
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn rules(form: AnswerForm, calls: Option<CallRules>) -> AnswerRules {
    let in_channels = calls.as_ref().is_some_and(|calls| calls.format.has_channels());
    AnswerRules {
        form,
        form_param: "response_format".into(),
        calls,
        in_channels,
    }
}

fn parameters() -> Value {
    json!({"type": "object", "properties": {
        "city": {"type": "string"}, "unit": {"enum": ["C", "F"]}, "days": {"type": "integer", "minimum": 0, "maximum": 9},
        "flag": {"type": "boolean"}, "list": {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 99}, "maxItems": 3},
    }, "required": ["city", "days"], "additionalProperties": false})
}

fn call_rules(format: &'static ToolFormat, is_required: bool, is_parallel: bool) -> CallRules {
    let tool = |name: &str, parameters: Value| ToolRule {
        name: name.into(),
        parameters,
        is_strict: false,
        param: "tools[0]".into(),
    };
    CallRules {
        format,
        tools: vec![
            tool("get_weather", parameters()),
            tool(
                "stop",
                json!({"type": "object", "properties": {}, "additionalProperties": false}),
            ),
        ],
        is_required,
        is_parallel,
    }
}

fn read(format: &'static ToolFormat, text: &str) -> (String, Vec<(String, Value)>) {
    let tools = ["get_weather", "stop"].map(|name| ToolSignature {
        name: name.into(),
        parameters: parameters(),
    });
    let mut parser = ToolCallParser::new(format, tools.into(), Unfinished::Streamed);
    let mut pieces = parser.push(text);
    pieces.extend(parser.finish());
    let (mut words, mut calls) = (String::new(), Vec::<(String, String)>::new());
    for piece in pieces {
        match piece {
            Piece::Text(text) => words.push_str(&text),
            Piece::Reasoning(_) => {}
            Piece::Call { name, .. } => calls.push((name, String::new())),
            Piece::Arguments { index, text } => calls[index].1.push_str(&text),
        }
    }
    let parsed = |(name, arguments): (String, String)| {
        let value =
            serde_json::from_str(&arguments).unwrap_or_else(|error| panic!("{text}: {arguments}: {error}"));
        (name, value)
    };
    (words, calls.into_iter().map(parsed).collect())
}

fn check_call(name: &str, arguments: &Value) {
    match name {
        "get_weather" => {
            assert!(arguments["city"].is_string(), "{arguments}");
            assert!(
                (0..=9).contains(&arguments["days"].as_i64().expect("an integer")),
                "{arguments}"
            );
            assert!(
                ["null", "\"C\"", "\"F\""].contains(&arguments["unit"].to_string().as_str()),
                "{arguments}"
            );
        }
        "stop" => assert_eq!(*arguments, json!({})),
        other => panic!("{other} was not offered"),
    }
}

#[test]
fn required_calls_are_calls_in_every_format() {
    let (tokenizer, compiler, end) = compiler();
    for format in FORMATS {
        let is_literal = ["gemma4", "llama4_pythonic"].contains(&format.name);
        let matcher = rules(AnswerForm::Free, Some(call_rules(format, true, true)))
            .compile(&compiler)
            .unwrap_or_else(|error| panic!("{}: {error:?}", format.name));
        let mut n_ended = 0;
        for seed in 1..=12 {
            let Some(text) = walk(&tokenizer, matcher.copy(), end, seed) else {
                continue;
            };
            n_ended += 1;
            let (words, calls) = read(format, &text);
            assert!(!calls.is_empty(), "{}: {text}", format.name);
            assert_eq!(words.trim(), "", "{}: {text}", format.name);
            if !is_literal {
                calls
                    .iter()
                    .for_each(|(name, arguments)| check_call(name, arguments));
            }
        }
        assert!(n_ended > 6, "{}: only {n_ended} walks ended", format.name);
    }
}

#[test]
fn one_call_only_where_they_may_not_be_parallel() {
    let (tokenizer, compiler, end) = compiler();
    for format in FORMATS {
        let matcher = rules(AnswerForm::Free, Some(call_rules(format, true, false)))
            .compile(&compiler)
            .expect("compiles");
        for seed in 1..=6 {
            let Some(text) = walk(&tokenizer, matcher.copy(), end, seed) else {
                continue;
            };
            assert_eq!(read(format, &text).1.len(), 1, "{}: {text}", format.name);
        }
    }
}

/// Whether a grammar allows just this text, token by token.
fn allows(tokenizer: &Tokenizer, matcher: &GrammarMatcher, text: &str, end: u32) -> bool {
    let mut matcher = matcher.copy();
    let ids = tokenizer.encode(text, Specials::AsText).expect("short");
    for id in ids {
        let Allowed::Among(words) = matcher.allowed() else {
            return false;
        };
        if words[id as usize / 32] >> (id % 32) & 1 == 0 || !matcher.accept(id) {
            return false;
        }
    }
    match matcher.allowed() {
        Allowed::Among(words) => words[end as usize / 32] >> (end % 32) & 1 == 1,
        Allowed::End => true,
        Allowed::Failed(fault) => panic!("{fault}"),
    }
}

#[test]
fn with_auto_text_is_free_and_calls_are_in_form_from_their_first_character() {
    let (tokenizer, compiler, end) = compiler();
    let hermes = ToolFormat::named("hermes").expect("known");
    let matcher = rules(AnswerForm::Free, Some(call_rules(hermes, false, true)))
        .compile(&compiler)
        .expect("compiles");
    let allows = |text: &str| allows(&tokenizer, &matcher, text, end);
    assert!(allows("Just text, with <b> and <tool_cal."));
    assert!(allows(""));
    assert!(allows(
        "Let me see.\n<tool_call>\n{\"name\": \"stop\", \"arguments\": {}}\n</tool_call>"
    ));
    assert!(allows(
        "<tool_call>\n{\"name\": \"stop\", \"arguments\": {}}\n</tool_call>\n<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"x\", \"days\": 3}}\n</tool_call> done"
    ));
    assert!(!allows(
        "<tool_call>\n{\"name\": \"other\", \"arguments\": {}}\n</tool_call>"
    ));
    assert!(!allows(
        "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"x\"}}\n</tool_call>"
    ));
    assert!(!allows("<tool_call> I forgot"));
    assert!(!allows("<tool_call>\n{\"name\": \"stop\", \"arguments\": {}}"));
}

#[test]
fn forms_of_text_are_enforced() {
    let (tokenizer, compiler, end) = compiler();
    let check = |form: AnswerForm, good: &[&str], bad: &[&str]| {
        let matcher = rules(form.clone(), None)
            .compile(&compiler)
            .unwrap_or_else(|error| panic!("{form:?}: {error:?}"));
        for text in good {
            assert!(
                allows(&tokenizer, &matcher, text, end),
                "{form:?} should allow {text:?}"
            );
        }
        for text in bad {
            assert!(
                !allows(&tokenizer, &matcher, text, end),
                "{form:?} should not allow {text:?}"
            );
        }
    };
    check(
        AnswerForm::JsonObject,
        &["{}", "{\"a\": [1, {\"b\": null}]}", "{\n  \"a\": 1\n}"],
        &["[]", "{", "{} x", ""],
    );
    check(
        AnswerForm::Choice(vec!["yes".into(), "no".into(), "a \"b\" {c}".into()]),
        &["yes", "no", "a \"b\" {c}"],
        &["maybe", "ye", "yes "],
    );
    check(
        AnswerForm::Regex(r"^[a-z]+/\d{2}$".into()),
        &["abc/12"],
        &["abc/1", "/12", "abc/123"],
    );
    let schema = json!({"type": "object", "properties": {"name": {"type": "string", "maxLength": 4}, "age": {"type": "integer", "minimum": 18}},
        "required": ["name", "age"], "additionalProperties": false});
    check(
        AnswerForm::JsonSchema(schema),
        &["{\"name\": \"Ann\", \"age\": 40}"],
        &[
            "{\"name\": \"Ann\"}",
            "{\"name\": \"Annabelle\", \"age\": 40}",
            "{\"name\": \"Ann\", \"age\": 4}",
        ],
    );
    let tree = json!({"$defs": {"node": {"type": "object", "properties": {"v": {"type": "integer"}, "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}},
        "required": ["v", "next"], "additionalProperties": false}}, "$ref": "#/$defs/node"});
    check(
        AnswerForm::JsonSchema(tree),
        &["{\"v\": 1, \"next\": {\"v\": 2, \"next\": null}}"],
        &["{\"v\": 1, \"next\": {\"v\": 2}}"],
    );
    check(
        AnswerForm::Lark("start: \"a\" NUM \"!\"\nNUM: /[0-9]+/".into()),
        &["a12!"],
        &["a!", "b1!"],
    );
}

#[test]
fn calls_and_a_form_go_together() {
    let (tokenizer, compiler, end) = compiler();
    let hermes = ToolFormat::named("hermes").expect("known");
    let matcher = rules(
        AnswerForm::Choice(vec!["yes".into(), "no".into()]),
        Some(call_rules(hermes, false, true)),
    )
    .compile(&compiler)
    .expect("compiles");
    let allows = |text: &str| allows(&tokenizer, &matcher, text, end);
    assert!(allows("yes") && !allows("perhaps"));
    assert!(allows(
        "<tool_call>\n{\"name\": \"stop\", \"arguments\": {}}\n</tool_call>"
    ));
}

#[test]
fn what_cannot_be_enforced_is_refused_for_strict_functions_and_left_to_the_model_for_others() {
    let (_, compiler, _) = compiler();
    for format in FORMATS {
        let mut calls = call_rules(format, true, true);
        calls.tools[0].parameters = json!({"type": "object", "properties": {"a": {"type": "array", "uniqueItems": true, "items": {"type": "string"}}}});
        rules(AnswerForm::Free, Some(calls.clone()))
            .compile(&compiler)
            .unwrap_or_else(|error| panic!("{}: {error:?}", format.name));
        calls.tools[0].is_strict = true;
        let (param, error) = rules(AnswerForm::Free, Some(calls))
            .compile(&compiler)
            .expect_err("refused");
        assert_eq!(param, "tools[0]");
        assert!(
            matches!(&error, GrammarError::Keyword { keyword, path, .. } if keyword == "uniqueItems" && path == "#/properties/a"),
            "{error}"
        );
    }
}

#[test]
fn hostile_grammars_are_refused_soon() {
    let (_, compiler, _) = compiler();
    let nested = "(".repeat(5000) + "a" + &")".repeat(5000);
    let deep = (0..2000).fold(
        json!({"type": "string"}),
        |inner, _| json!({"type": "array", "items": inner}),
    );
    let wide = json!({"type": "object", "properties": (0..5000).map(|idx| (format!("k{idx}"), json!({"type": "string", "pattern": format!("(a|b){{{idx}}}")}))).collect::<serde_json::Map<_, _>>()});
    for form in [
        AnswerForm::Regex(nested),
        AnswerForm::Regex("(a{1000}){1000}".into()),
        AnswerForm::Regex("((a|b)*c){500}((x|y)*z){500}".into()),
        AnswerForm::Regex("(".into()),
        AnswerForm::Regex("(?=a)b".into()),
        AnswerForm::JsonSchema(deep),
        AnswerForm::JsonSchema(wide),
        AnswerForm::JsonSchema(json!({"type": "array", "minItems": 1_000_000, "items": {}})),
        AnswerForm::JsonSchema(json!({"type": "string", "minLength": 100_000_000})),
        AnswerForm::JsonSchema(json!({"allOf": [{"$ref": "#"}]})),
        AnswerForm::Lark("start: start".into()),
        AnswerForm::Lark("".into()),
        AnswerForm::Lark("start: a\na: a a | \"x\"".into()),
    ] {
        let begin = std::time::Instant::now();
        let outcome = rules(form.clone(), None).compile(&compiler).map(|_| ());
        let text: String = format!("{form:?}").chars().take(60).collect();
        println!(
            "{text}: {:?} {}",
            begin.elapsed(),
            outcome.map_or_else(|(_, error)| error.to_string(), |()| "compiles".into())
        );
    }
}
