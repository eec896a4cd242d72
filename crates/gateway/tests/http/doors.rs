//! How each door that makes answers tells them: enough to compare one that came whole with one that came in pieces.

use serde_json::{Value, json};
use tokenmill_gateway::{ROUTES, Route, Rule};

use crate::client::Reply;

/// What an answer says, whatever its form.
#[derive(Debug, PartialEq)]
pub(crate) struct Told {
    pub(crate) text: String,
    pub(crate) reason: Value,
    pub(crate) usage: Value,
}

/// The doors that make answers.
pub(crate) fn answering() -> impl Iterator<Item = &'static Route> {
    let streams = |route: &&Route| {
        let mut rows = route.parameters.iter().flat_map(|group| group.iter());
        rows.any(|row| row.name == "stream")
    };
    ROUTES.iter().filter(streams)
}

/// Asks for a stream, with the usage where that must be asked for.
pub(crate) fn streamed(route: &Route, mut body: Value) -> Value {
    body["stream"] = json!(true);
    let mut rows = route.parameters.iter().flat_map(|group| group.iter());
    if rows.any(|row| row.name == "stream_options" && row.rule == Rule::Applied) {
        body["stream_options"] = json!({"include_usage": true});
    }
    body
}

/// A whole answer.
pub(crate) fn whole(route: &Route, body: &Value) -> Told {
    let (text, reason) = match route.path {
        "/v1/chat/completions" => {
            let choice = &body["choices"][0];
            (text(&choice["message"]["content"]), &choice["finish_reason"])
        }
        "/v1/completions" => {
            let choice = &body["choices"][0];
            (text(&choice["text"]), &choice["finish_reason"])
        }
        "/v1/messages" => (joined(&body["content"], "text"), &body["stop_reason"]),
        "/v1/responses" => (joined(&body["output"][0]["content"], "text"), &body["status"]),
        other => panic!("nothing is known of the answers of {other}"),
    };
    Told {
        text,
        reason: reason.clone(),
        usage: body["usage"].clone(),
    }
}

/// A streamed one.
pub(crate) fn pieces(route: &Route, reply: &Reply) -> Told {
    match route.path {
        "/v1/chat/completions" => chunks(reply, |choice| text(&choice["delta"]["content"])),
        "/v1/completions" => chunks(reply, |choice| text(&choice["text"])),
        "/v1/messages" => {
            let events = reply.events();
            let last = events.iter().rev().find(|event| event["type"] == "message_delta");
            let last = last.expect("a message_delta");
            Told {
                text: events.iter().map(|event| text(&event["delta"]["text"])).collect(),
                reason: last["delta"]["stop_reason"].clone(),
                usage: last["usage"].clone(),
            }
        }
        "/v1/responses" => {
            let events = reply.events();
            let deltas = events
                .iter()
                .filter(|event| event["type"] == "response.output_text.delta");
            let last = &events.last().expect("an event")["response"];
            Told {
                text: deltas.map(|event| text(&event["delta"])).collect(),
                reason: last["status"].clone(),
                usage: last["usage"].clone(),
            }
        }
        other => panic!("nothing is known of the streams of {other}"),
    }
}

/// The chunks of OpenAI's older doors, of which exactly one has a reason.
fn chunks(reply: &Reply, of_choice: impl Fn(&Value) -> String) -> Told {
    let chunks = reply.chunks();
    let reasons: Vec<&Value> = chunks
        .iter()
        .map(|chunk| &chunk["choices"][0]["finish_reason"])
        .filter(|reason| reason.is_string())
        .collect();
    assert_eq!(reasons.len(), 1, "exactly one finish chunk");
    Told {
        text: chunks
            .iter()
            .map(|chunk| of_choice(&chunk["choices"][0]))
            .collect(),
        reason: reasons[0].clone(),
        usage: chunks.last().expect("a chunk")["usage"].clone(),
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or("").to_owned()
}

fn joined(parts: &Value, name: &str) -> String {
    let parts = parts.as_array().expect("a list").iter();
    parts.map(|part| text(&part[name])).collect()
}
