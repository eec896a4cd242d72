//! Requests of random bodies against the real engine: each is a 2xx that honours what can be seen of its fields, or a 4xx
//! that names one of them.
//!
//! A thousand by default; `TOKENMILL_LONG=1 cargo test -p tokenmill-gateway random_bodies` sends ten thousand.

#![allow(clippy::print_stdout, reason = "seeds are printed")]

use std::time::Duration;

use serde_json::{Map, Value, json};
use tokenmill_gateway::{Parameter, ROUTES, Route, Rule};

use crate::client::{Call, Reply};
use crate::local_model::{local, small};
use crate::server::{CHAT, TestServer};

/// No request may take longer, however it ends.
const PATIENCE: Duration = Duration::from_secs(60);
const N_AT_ONCE: u64 = 8;

/// A generator whose numbers depend on the seed only.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % end as u64) as usize
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    /// Any JSON.
    fn json(&mut self, depth: usize) -> Value {
        const TEXTS: [&str; 8] = [
            "",
            "a",
            "auto",
            "none",
            "\u{0}",
            "é\u{1F600}",
            "{\"a\":1}",
            "1e999",
        ];
        const NUMBERS: [f64; 8] = [0.0, -1.0, 0.5, 1e300, 4_294_967_296.0, -0.0, 2.0, 1e-300];
        match self.below(if depth == 0 { 6 } else { 8 }) {
            0 => Value::Null,
            1 => json!(self.below(2) == 0),
            2 => json!(*self.pick(&NUMBERS)),
            3 => json!(self.below(300) as i64 - 100),
            4 => json!(*self.pick(&TEXTS)),
            5 => json!("x".repeat(self.below(2000))),
            6 => (0..self.below(4)).map(|_| self.json(depth - 1)).collect(),
            _ => {
                let names = ["type", "name", "function", "a", "content", "role", "schema"];
                let field = |_| ((*self.pick(&names)).to_owned(), self.json(depth - 1));
                Value::Object((0..3).map(field).collect())
            }
        }
    }

    /// A value for a row: mostly one of its examples.
    fn value(&mut self, row: &Parameter) -> Value {
        let examples = |text: &str| {
            let text = text.replace("MODEL", "test/model");
            serde_json::from_str::<Vec<Value>>(&text).expect("examples")
        };
        let (taken, refused) = (examples(row.taken), examples(row.refused));
        match self.below(20) {
            0 => self.json(3),
            1 if !refused.is_empty() => self.pick(&refused).clone(),
            2 if !taken.is_empty() => {
                let value = self.pick(&taken).clone();
                self.changed(value)
            }
            _ if !taken.is_empty() => self.pick(&taken).clone(),
            _ => Value::Null,
        }
    }

    /// With one thing within it replaced.
    fn changed(&mut self, mut value: Value) -> Value {
        match &mut value {
            Value::Array(items) if !items.is_empty() => {
                let idx = self.below(items.len());
                items[idx] = self.changed(items[idx].take());
            }
            Value::Object(fields) if !fields.is_empty() => {
                let idx = self.below(fields.len());
                let field = fields.values_mut().nth(idx).expect("it is there");
                *field = self.changed(field.take());
            }
            _ => return self.json(2),
        }
        value
    }

    fn body(&mut self, route: &Route) -> Map<String, Value> {
        let example = route
            .example
            .expect("a route with a body")
            .replace("MODEL", "test/model");
        let mut body: Map<String, Value> = serde_json::from_str(&example).expect("an example");
        let rows: Vec<&Parameter> = route.parameters.iter().flat_map(|group| group.iter()).collect();
        for _ in 0..self.below(7) {
            let row = *self.pick(&rows);
            // Parameters that are refused whatever they hold, and faults, are the few, so that many bodies are good.
            if row.rule != Rule::Refused || self.below(12) == 0 {
                let value = self.value(row);
                body.insert(row.name.to_owned(), value);
            }
        }
        if self.below(40) == 0 {
            body.insert("no_such_field".into(), self.json(1));
        }
        for limit in ["max_completion_tokens", "max_output_tokens"] {
            let has_row = rows.iter().any(|row| row.name == limit);
            let is_limited = ["max_tokens", limit]
                .iter()
                .any(|name| body.get(*name).is_some_and(|value| !value.is_null()));
            if has_row && !is_limited {
                body.insert(limit.into(), json!(1 + self.below(12)));
            }
        }
        body
    }

    /// As bytes, now and then broken.
    fn bytes(&mut self, body: &Map<String, Value>) -> Vec<u8> {
        let mut bytes = Value::Object(body.clone()).to_string().into_bytes();
        if self.below(25) == 0 {
            match self.below(3) {
                0 => bytes.truncate(self.below(bytes.len())),
                1 => {
                    let idx = self.below(bytes.len());
                    bytes[idx] ^= 1 << self.below(8);
                }
                _ => bytes.extend_from_slice(b"{}"),
            }
        }
        bytes
    }
}

/// The choices of a chat answer, its parts joined where it was streamed.
fn choices(reply: &Reply) -> Vec<Value> {
    if reply.header("content-type") == Some("application/json") {
        return reply.json()["choices"].as_array().expect("choices").clone();
    }
    let mut joined: Vec<Value> = Vec::new();
    for chunk in reply.chunks() {
        for part in chunk["choices"].as_array().expect("choices") {
            let idx = part["index"].as_u64().expect("an index") as usize;
            while joined.len() <= idx {
                joined.push(json!({"message": {"content": ""}, "finish_reason": null, "logprobs": null}));
            }
            let choice = &mut joined[idx];
            let text = choice["message"]["content"].as_str().expect("text").to_owned();
            choice["message"]["content"] = json!(text + part["delta"]["content"].as_str().unwrap_or(""));
            if !part["finish_reason"].is_null() {
                assert!(choice["finish_reason"].is_null(), "finished twice");
                choice["finish_reason"] = part["finish_reason"].clone();
            }
            if !part["logprobs"].is_null() {
                choice["logprobs"] = part["logprobs"].clone();
            }
        }
    }
    joined
}

/// What of the fields can be seen in a good chat answer.
fn check_honoured(body: &Map<String, Value>, reply: &Reply) {
    let field = |name: &str| body.get(name).unwrap_or(&Value::Null);
    let is_set = |name: &str| field(name) == &json!(true);
    let is_stream = reply.header("content-type") != Some("application/json");
    assert_eq!(is_stream, is_set("stream"));
    let choices = choices(reply);
    assert_eq!(choices.len() as u64, field("n").as_u64().unwrap_or(1), "n");
    let usage = if is_stream {
        let chunks = reply.chunks();
        let last = chunks.last().expect("a chunk")["usage"].clone();
        assert_eq!(
            last.is_object(),
            field("stream_options")["include_usage"] == true,
            "include_usage"
        );
        last
    } else {
        reply.json()["usage"].clone()
    };
    let max = field("max_completion_tokens")
        .as_u64()
        .or(field("max_tokens").as_u64())
        .expect("a limit");
    let n_least = field("min_tokens").as_u64().unwrap_or(0);
    if let Some(n_tokens) = usage["completion_tokens"].as_u64() {
        assert!(n_tokens <= max * choices.len() as u64, "max_tokens");
        assert!(n_tokens >= n_least * choices.len() as u64, "min_tokens");
    }
    for choice in &choices {
        let reason = choice["finish_reason"].as_str().expect("a reason");
        let text = choice["message"]["content"].as_str().unwrap_or_default();
        check_logprobs(body, choice, text);
        let stops = match field("stop") {
            Value::String(stop) => vec![stop.as_str()],
            Value::Array(stops) => stops.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        if !is_set("include_stop_str_in_output") && n_least == 0 {
            assert!(!stops.iter().any(|stop| text.contains(stop)), "stop");
        }
        let has_stop_tokens = field("stop_token_ids")
            .as_array()
            .is_some_and(|ids| !ids.is_empty());
        if reason == "stop" && stops.is_empty() && !has_stop_tokens {
            check_form(body, text);
        }
    }
}

/// There are logprobs where they were asked for, with as many alternatives.
fn check_logprobs(body: &Map<String, Value>, choice: &Value, text: &str) {
    let is_asked = body.get("logprobs") == Some(&json!(true));
    let Some(tokens) = choice["logprobs"]["content"].as_array() else {
        assert!(!is_asked || text.is_empty(), "logprobs");
        return;
    };
    assert!(is_asked, "logprobs that nobody asked for");
    let n_top = body.get("top_logprobs").and_then(Value::as_u64).unwrap_or(0);
    for token in tokens {
        assert_eq!(
            token["top_logprobs"].as_array().map(Vec::len),
            Some(n_top as usize),
            "top_logprobs"
        );
    }
}

/// An answer that was not cut is of the form that was asked for.
fn check_form(body: &Map<String, Value>, text: &str) {
    let is_json = || serde_json::from_str::<Value>(text).is_ok();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let choices = [
        body.get("guided_choice"),
        body.get("structured_outputs").map(|form| &form["choice"]),
    ];
    for choices in choices.into_iter().flatten().filter(|value| value.is_array()) {
        assert!(
            list(choices).contains(&json!(text)),
            "a choice: {text:?} is not among {choices}"
        );
    }
    let form = body.get("response_format").map(|form| form["type"].clone());
    if form.is_some_and(|form| form == "json_object" || form == "json_schema") {
        assert!(is_json(), "response_format: {text:?}");
    }
    if body.get("guided_json").is_some_and(|schema| !schema.is_null()) {
        assert!(is_json(), "guided_json: {text:?}");
    }
}

/// A refusal names a field of the body, or says that the body as a whole cannot be read.
fn check_refused(sent: &[u8], reply: &Reply) {
    let body = reply.json();
    let error = &body["error"];
    let code = error["code"].as_str().unwrap_or_default();
    let Some(param) = error["param"].as_str() else {
        assert!(
            ["invalid_json", "invalid_utf8"].contains(&code),
            "names nothing: {error}"
        );
        return;
    };
    let first = param.split(['.', '[']).next().expect("a part");
    let is_missing = code == "missing_required_parameter";
    let names_it = serde_json::from_slice::<Value>(sent).is_ok_and(|body| body.get(first).is_some());
    // A broken body may hold a name with characters that end the first part.
    assert!(
        names_it || is_missing || sent.len() < 100_000 && code == "unknown_parameter",
        "{error}"
    );
    let message = error["message"].as_str().unwrap_or_default();
    // These two speak of the thing, and not of the field that holds it.
    let is_of_the_thing = ["model_not_found", "context_length_exceeded"].contains(&code);
    assert!(message.contains(first) || is_of_the_thing, "{error}");
}

async fn ask(server: &TestServer, seed: u64) -> u16 {
    let mut dice = Dice(seed);
    let routes: Vec<&Route> = ROUTES.iter().filter(|route| route.example.is_some()).collect();
    let chat = routes.iter().find(|route| route.path == CHAT).expect("chat");
    let route = if dice.below(2) == 0 {
        *chat
    } else {
        *dice.pick(&routes)
    };
    let body = dice.body(route);
    let sent = dice.bytes(&body);
    let call = Call::new("POST", route.path)
        .header("content-type", "application/json")
        .key(&server.key)
        .body(sent.clone());
    let said = format!("seed {seed}: {} {}", route.path, String::from_utf8_lossy(&sent));
    let reply = tokio::time::timeout(PATIENCE, call.send(server.at)).await;
    let reply = reply.unwrap_or_else(|_| panic!("hangs; {said}"));
    let checked = std::panic::catch_unwind(|| match reply.status {
        200 if route.path == CHAT
            && serde_json::from_slice::<Map<_, _>>(&sent).is_ok_and(|sent| sent == body) =>
        {
            assert!(!body.contains_key("no_such_field"));
            check_honoured(&body, &reply);
        }
        200 => {}
        400 | 404 if route.path.starts_with("/v1/messages") => {}
        400 | 404 => check_refused(&sent, &reply),
        status => panic!("{status}"),
    });
    assert!(checked.is_ok(), "{said}\n{}", reply.text());
    reply.status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_is_honoured_or_refused_by_name() {
    let is_long = std::env::var_os("TOKENMILL_LONG").is_some();
    let n_requests = if is_long { 10_000 } else { 1_000 };
    let first = match std::env::var("TOKENMILL_SEED") {
        Ok(seed) => seed.parse().expect("a number"),
        Err(_) => 1,
    };
    println!("seeds {first} to {}", first + n_requests - 1);
    let server = TestServer::start(local(512, small())).await;
    let seeds: Vec<u64> = (first..first + n_requests).collect();
    let parts = seeds
        .chunks(seeds.len().div_ceil(N_AT_ONCE as usize))
        .map(async |seeds| {
            let mut n_taken = 0;
            for seed in seeds {
                n_taken += usize::from(ask(&server, *seed).await == 200);
            }
            n_taken
        });
    let n_taken: usize = futures::future::join_all(parts).await.into_iter().sum();
    println!("{n_taken} of {n_requests} were taken, the others refused by name");
    let share = n_taken as f64 / n_requests as f64;
    assert!(
        (0.2..0.8).contains(&share),
        "both kinds must be there: {n_taken} of {n_requests}"
    );
}
