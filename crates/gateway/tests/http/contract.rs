//! Every answer that any test here sees, held against two descriptions: the OpenAPI document that the server gives of
//! itself, and OpenAI's shapes (`openai/schemas.json`).

use std::collections::HashMap;
use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::{Map, Value, json};

use crate::client::Reply;

/// What an operation may answer: for each status and type of content the schema, and where it is a stream that of its
/// events.
type Operation = HashMap<(String, String), Option<Validator>>;

/// By method and path, the path's parts between slashes.
static OPERATIONS: LazyLock<Vec<(String, Vec<String>, Operation)>> = LazyLock::new(operations);

static OPENAI: LazyLock<HashMap<&str, Validator>> = LazyLock::new(|| {
    let all: Value = serde_json::from_str(include_str!("openai/schemas.json")).expect("JSON");
    let validator = |name| {
        let schema = json!({"$ref": format!("#/$defs/{name}"), "$defs": all["$defs"]});
        (name, jsonschema::validator_for(&schema).expect("a schema"))
    };
    let names = [
        "ChatCompletion",
        "ChatCompletionChunk",
        "ListModelsResponse",
        "Model",
        "ErrorResponse",
    ];
    names.into_iter().map(validator).collect()
});

fn operations() -> Vec<(String, Vec<String>, Operation)> {
    let document = tokenmill_gateway::openapi_document();
    let mut all = Vec::new();
    for (path, entry) in document["paths"].as_object().expect("paths") {
        for (method, operation) in entry.as_object().expect("an entry") {
            if let Some(responses) = operation["responses"].as_object() {
                let parts = path.split('/').map(str::to_owned).collect();
                all.push((method.to_uppercase(), parts, described(&document, responses)));
            }
        }
    }
    all
}

fn described(document: &Value, responses: &Map<String, Value>) -> Operation {
    let mut operation = Operation::new();
    for (status, response) in responses {
        let none = Map::new();
        let content = response["content"].as_object().unwrap_or(&none);
        if content.is_empty() {
            operation.insert((status.clone(), String::new()), None);
        }
        for (media_type, media) in content {
            let schema = media.get("x-event-schema").unwrap_or(&media["schema"]);
            let schema = json!({"allOf": [closed(schema.clone())], "components": closed(document["components"].clone())});
            let validator = jsonschema::validator_for(&schema).expect("a schema");
            let is_text = media["schema"]["type"] == "string" && media.get("x-event-schema").is_none();
            let media_type = media_type.split(';').next().expect("a type").to_owned();
            operation.insert((status.clone(), media_type), (!is_text).then_some(validator));
        }
    }
    operation
}

/// With every object closed that names its fields, so that a field that no description has is a fault.
fn closed(mut schema: Value) -> Value {
    match &mut schema {
        Value::Object(fields) => {
            let is_open = fields.contains_key("properties") && !fields.contains_key("additionalProperties");
            let is_joined = ["oneOf", "anyOf", "allOf", "$ref"]
                .iter()
                .any(|name| fields.contains_key(*name));
            for (name, value) in fields.iter_mut() {
                // Of an object that is put together only the whole is closed.
                let is_part = is_open && is_joined && ["oneOf", "anyOf", "allOf"].contains(&name.as_str());
                *value = match value.take() {
                    Value::Array(parts) if is_part => {
                        parts.into_iter().map(|part| open(closed(part))).collect()
                    }
                    other => closed(other),
                };
            }
            if is_open && is_joined {
                fields.insert("unevaluatedProperties".into(), false.into());
            } else if is_open && fields.get("type").is_some_and(|kind| kind == "object") {
                fields.insert("additionalProperties".into(), false.into());
            }
        }
        Value::Array(items) => {
            for item in items {
                *item = closed(item.take());
            }
        }
        _ => {}
    }
    schema
}

/// The same, open again at its top.
fn open(mut schema: Value) -> Value {
    if let Some(fields) = schema.as_object_mut() {
        fields.shift_remove("additionalProperties");
        fields.shift_remove("unevaluatedProperties");
    }
    schema
}

fn find(method: &str, path: &str) -> Option<&'static Operation> {
    let path = path.split('?').next().expect("a part");
    let parts: Vec<&str> = path.split('/').collect();
    let is_it = |template: &[String]| {
        let mut pairs = template.iter().zip(&parts);
        let is_alike = pairs.all(|(one, other)| one.starts_with('{') && !other.is_empty() || one == other);
        // The last part of one path may hold slashes.
        let is_long = template.last().is_some_and(|part| part == "{id}") && template.len() < parts.len();
        is_alike && (template.len() == parts.len() || is_long)
    };
    let mut found = OPERATIONS
        .iter()
        .filter(|(other, template, _)| other == method && is_it(template));
    found.next().map(|(_, _, operation)| operation)
}

/// Panics unless the answer is as the document says.
pub(crate) fn check(method: &str, path: &str, reply: &Reply) {
    let Some(operation) = find(method, path) else {
        let is_for_browsers = ["/console", "/docs", "/api/v1/session"]
            .iter()
            .any(|own| path.starts_with(own));
        if path == "/" || is_for_browsers {
            return;
        }
        // No such path, or not this method: an error all the same.
        assert!(
            reply.status >= 400,
            "{method} {path} is not described, and answers {}",
            reply.status
        );
        return;
    };
    if reply.body.is_empty() && matches!(reply.status, 400 | 431) && reply.header("content-type").is_none() {
        // The HTTP parser's own refusals are bare.
        return;
    }
    let media_type = reply.header("content-type").unwrap_or_default();
    let media_type = media_type.split(';').next().expect("a part").to_owned();
    let place = format!("{method} {path} {} {media_type}", reply.status);
    let key = (reply.status.to_string(), media_type.clone());
    let Some(shape) = operation.get(&key) else {
        panic!("{place} is not described: {}", reply.text());
    };
    let Some(shape) = shape else { return };
    if media_type == "text/event-stream" {
        for line in reply.data().iter().filter(|line| *line != "[DONE]") {
            let event: Value =
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{place}: {error} in {line}"));
            if event.get("error").is_some() {
                if !path.starts_with("/v1/messages") {
                    holds(&OPENAI["ErrorResponse"], &event, &place);
                }
                continue;
            }
            holds(shape, &event, &place);
            if path.starts_with("/v1/chat/completions") {
                holds(&OPENAI["ChatCompletionChunk"], &event, &place);
            }
        }
        return;
    }
    let body = reply.json();
    holds(shape, &body, &place);
    let name = match (reply.status, path) {
        (200, "/v1/chat/completions") => "ChatCompletion",
        (200, "/v1/models") => "ListModelsResponse",
        (200, path) if path.starts_with("/v1/models/") => "Model",
        // Anthropic's door has an error shape of its own.
        (400.., path) if !path.starts_with("/v1/messages") => "ErrorResponse",
        _ => return,
    };
    holds(&OPENAI[name], &body, &place);
}

fn holds(shape: &Validator, value: &Value, place: &str) {
    if let Err(error) = shape.validate(value) {
        panic!("{place}: {error} at {} in {value}", error.instance_path());
    }
}

#[test]
fn what_is_not_described_is_a_fault() {
    let reply = |status, body: Value| Reply {
        status,
        headers: HashMap::from([("content-type".to_owned(), "application/json".to_owned())]),
        cookies: Vec::new(),
        body: body.to_string().into_bytes(),
    };
    let good = json!({"object": "list", "data": []});
    check("GET", "/v1/models", &reply(200, good.clone()));
    let mut more = good.clone();
    more["total"] = json!(0);
    for (path, wrong) in [
        ("/v1/models", reply(200, more)),
        ("/v1/models", reply(200, json!({"object": "list"}))),
        ("/v1/models", reply(418, good.clone())),
        ("/v1/nothing", reply(200, good)),
    ] {
        let checked = std::panic::catch_unwind(|| check("GET", path, &wrong));
        assert!(checked.is_err(), "{path} {} {}", wrong.status, wrong.text());
    }
}
