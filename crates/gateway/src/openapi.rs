//! The OpenAPI 3.1 document of everything that is served, made from [`ROUTES`], [`MANAGE_ROUTES`], the tables of
//! parameters and the types that are written and read, so that it cannot say what is not so.
//!
//! Response types derive [`JsonSchema`]; bodies are described by their rows, or, in the management API, by the type that
//! reads them. Tests check every answer that they see against the document.

pub(crate) mod page;

use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::endpoints::{Access, MANAGE_ROUTES, Operation, ROUTES, Route};
use crate::error::ErrorBody;
use crate::parameters::{Parameter, Rule};

/// The schema of a type, written where others can refer to it.
pub(crate) type Shape = fn(&mut SchemaGenerator) -> Schema;

/// The schema of `T`.
pub(crate) fn schema<T: JsonSchema>(schemas: &mut SchemaGenerator) -> Schema {
    schemas.subschema_for::<T>()
}

/// One form of a good answer.
#[derive(Clone, Copy)]
pub struct Reply {
    status: u16,
    media_type: &'static str,
    shape: Option<Shape>,
    /// What is to be said of events besides what each of them holds.
    events: Option<&'static str>,
}

impl Reply {
    const fn new(status: u16, media_type: &'static str, shape: Option<Shape>) -> Reply {
        Reply {
            status,
            media_type,
            shape,
            events: None,
        }
    }

    /// One JSON value.
    pub(crate) const fn json(shape: Shape) -> Reply {
        Reply::new(200, "application/json", Some(shape))
    }

    /// A text of this type.
    pub(crate) const fn text(media_type: &'static str) -> Reply {
        Reply::new(200, media_type, None)
    }

    /// Server-sent events, the data of each of this shape; with what else is to be said of them.
    pub(crate) const fn events(shape: Shape, more: &'static str) -> Reply {
        Reply {
            events: Some(more),
            ..Reply::new(200, "text/event-stream", Some(shape))
        }
    }

    /// No content.
    pub(crate) const fn nothing() -> Reply {
        Reply::new(204, "", None)
    }
}

/// The document, as it is served.
pub(crate) fn text() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| document().to_string());
    &TEXT
}

/// The document.
#[must_use]
pub fn document() -> Value {
    let mut writer = Writer::new();
    let mut paths = Map::new();
    for route in ROUTES {
        let path = entry(&mut paths, route.path);
        path[&route.method.to_lowercase()] = writer.route(route);
    }
    for route in MANAGE_ROUTES {
        let path = entry(&mut paths, route.path);
        for operation in route.operations {
            path[&operation.method.to_lowercase()] = writer.operation(route.path, operation);
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Tokenmill", "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "description": "Inference with an OpenAI-compatible interface, and the management of who may use it. \
                Every field of a request is applied, or refused with an error that names it.",
        },
        "security": [{"key": []}],
        "tags": [
            {"name": "inference", "description": "Asking models"},
            {"name": "service", "description": "The service itself; no key is needed"},
            {"name": "management", "description": "Teams, people, keys, money and the catalogue"},
        ],
        "paths": paths,
        "components": {
            "schemas": writer.schemas(),
            "parameters": {"project": project_header(), "idempotency": idempotency_header()},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "description": "A key of this server"}},
        },
    })
}

fn project_header() -> Value {
    json!({
        "name": "OpenAI-Project", "in": "header", "required": false, "schema": {"type": "string"},
        "description": "Who pays: `team/project`. Without it the default team, and its project `inference`",
        "example": "acme/inference",
    })
}

fn idempotency_header() -> Value {
    json!({
        "name": "Idempotency-Key", "in": "header", "required": false,
        "schema": {"type": "string", "minLength": 1, "maxLength": 255},
        "description": "Sent again within 24 hours, the request is answered with what came of it and not charged again",
        "example": "3f0c6d3e-6f8a-4f0e-9a55-0d5f2c1f7f0e",
    })
}

/// The entry of a path, with its parameters.
fn entry<'p>(paths: &'p mut Map<String, Value>, path: &str) -> &'p mut Value {
    // axum marks a parameter that may hold slashes; OpenAPI has no word for it.
    let path = path.replace("{*", "{");
    let names = path.split('{').skip(1).filter_map(|part| part.split_once('}'));
    let parameter = |(name, _): (&str, &str)| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string", "minLength": 1}});
    let parameters: Vec<Value> = names.map(parameter).collect();
    let fresh = || match parameters.is_empty() {
        true => json!({}),
        false => json!({ "parameters": parameters }),
    };
    paths.entry(path.clone()).or_insert_with(fresh)
}

/// Writes operations, and gathers the schemas that they refer to: of what is written and of what is read apart, for a
/// field may be left out in one and not in the other.
struct Writer {
    written: SchemaGenerator,
    read: SchemaGenerator,
}

impl Writer {
    fn new() -> Writer {
        let settings = || {
            SchemaSettings::draft2020_12().with(|settings| {
                settings.definitions_path = "/components/schemas".into();
                settings.meta_schema = None;
            })
        };
        Writer {
            written: settings().for_serialize().into_generator(),
            read: settings().for_deserialize().into_generator(),
        }
    }

    fn schemas(mut self) -> Map<String, Value> {
        let mut all = self.written.take_definitions(true);
        for (name, schema) in self.read.take_definitions(true) {
            let other = all.insert(name.clone(), schema.clone());
            debug_assert!(
                other.is_none_or(|other| other == schema),
                "two schemas are called {name}"
            );
        }
        all
    }

    fn route(&mut self, route: &Route) -> Value {
        let is_open = route.access == Access::Open;
        let mut operation = json!({
            "operationId": operation_id(route.method, route.path), "summary": route.summary,
            "tags": [if is_open { "service" } else { "inference" }],
        });
        if is_open {
            operation["security"] = json!([]);
        } else {
            operation["parameters"] = json!([{"$ref": "#/components/parameters/project"}]);
        }
        if let Some(example) = route.example {
            if let Some(parameters) = operation["parameters"].as_array_mut() {
                parameters.push(json!({"$ref": "#/components/parameters/idempotency"}));
            }
            operation["requestBody"] = json!({
                "required": true, "content": {"application/json": {"schema": body(route), "example": parsed(example)}},
            });
        }
        let errors: &[u16] = match (route.access, route.example) {
            (Access::Open, _) => &[431, 503],
            (Access::Key, None) => &[400, 401, 403, 404, 429, 431, 500, 503],
            (Access::Key, Some(_)) => &[400, 401, 402, 403, 404, 408, 409, 413, 422, 429, 431, 500, 503],
        };
        operation["responses"] = self.responses(route.replies, errors);
        operation
    }

    fn operation(&mut self, path: &str, operation: &Operation) -> Value {
        let mut parameters = vec![json!({"$ref": "#/components/parameters/project"})];
        parameters.extend(operation.query.map(|shape| self.query(shape)).unwrap_or_default());
        let mut described = json!({
            "operationId": operation_id(operation.method, path), "summary": operation.summary, "tags": ["management"],
            "parameters": parameters,
        });
        if let Some(shape) = operation.body {
            let media_type = match operation.is_form {
                true => "multipart/form-data",
                false => "application/json",
            };
            described["requestBody"] = json!({
                "required": true, "content": {media_type: {"schema": shape(&mut self.read)}},
            });
        }
        let errors: &[u16] = match operation.body {
            None => &[400, 401, 403, 404, 431, 500, 503],
            Some(_) => &[400, 401, 403, 404, 408, 409, 413, 431, 500, 503],
        };
        described["responses"] = self.responses(operation.replies, errors);
        described
    }

    /// The fields of a type as parts of the question after the path.
    fn query(&mut self, shape: Shape) -> Vec<Value> {
        let fields = shape(&mut self.read);
        let name = fields.get("$ref").and_then(Value::as_str).unwrap_or_default();
        let name = name.rsplit('/').next().unwrap_or_default().to_owned();
        let fields = self.read.definitions_mut().remove(&name).unwrap_or_default();
        let properties = fields["properties"].as_object().cloned().unwrap_or_default();
        let parameter =
            |(name, schema)| json!({"name": name, "in": "query", "required": false, "schema": schema});
        properties.into_iter().map(parameter).collect()
    }

    fn responses(&mut self, replies: &[Reply], errors: &[u16]) -> Value {
        let mut responses = Map::new();
        for reply in replies {
            let status = reply.status.to_string();
            let response = responses
                .entry(status)
                .or_insert_with(|| json!({"description": "Done", "headers": headers()}));
            if reply.status != 204 {
                response["content"][reply.media_type] = self.media(reply);
            }
        }
        for status in errors {
            let error = schema::<ErrorBody<'static>>(&mut self.written);
            let response = json!({
                "description": meaning(*status), "headers": headers(),
                "content": {"application/json": {"schema": error}},
            });
            responses.insert(status.to_string(), response);
        }
        responses.into()
    }

    fn media(&mut self, reply: &Reply) -> Value {
        let Some(shape) = reply.shape else {
            return json!({"schema": {"type": "string"}});
        };
        let shape = shape(&mut self.written);
        let Some(more) = reply.events else {
            return json!({ "schema": shape });
        };
        let about = format!("Server-sent events with JSON as their data{more}");
        // OpenAPI 3.2 has `itemSchema` for the events of a stream; 3.1 has no word for it, and tools take the schema for that
        // of the whole text or of an event. So it names no type.
        json!({"schema": {"description": about}, "x-event-schema": shape})
    }
}

fn headers() -> Value {
    json!({"x-request-id": {"description": "Names the request in the server's log", "schema": {"type": "string"}}})
}

/// What an error's status says; its `code` says more.
fn meaning(status: u16) -> &'static str {
    match status {
        400 => "The request cannot be read, or one of its fields cannot be honoured: `param` names it",
        401 => "Who asks is not known, or may not",
        402 => "Credit or a cap does not reach",
        403 => "The caller may not do this here",
        404 => "There is no such thing, or not for this caller",
        408 => "The body did not arrive in time",
        409 => {
            "There is one already; or the first request with this idempotency key runs, or its answer is not there"
        }
        413 => "The body is too large",
        422 => "The idempotency key belongs to another request, or to another API key",
        429 => "Too much at once, or within a minute",
        431 => "The headers are too large",
        500 => "A fault of the server",
        _ => "Overloaded, ending, or without what is needed; try again later",
    }
}

fn operation_id(method: &str, path: &str) -> String {
    let parts = path.split(|c: char| !c.is_ascii_alphanumeric());
    let parts: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
    format!("{}_{}", method.to_lowercase(), parts.join("_"))
}

/// The schema of a body that is described by rows.
fn body(route: &Route) -> Value {
    let rows = || route.parameters.iter().flat_map(|group| group.iter());
    let example = parsed(route.example.unwrap_or_default());
    // Of several that stand for each other the example has one; then only the model is always asked for.
    let has_choice = rows().any(|row| row.default == "required" && example.get(row.name).is_none());
    let is_required = |row: &&Parameter| row.default == "required" && (row.name == "model" || !has_choice);
    let property = |row: &Parameter| (row.name.to_owned(), property(row));
    json!({
        "type": "object",
        "required": rows().filter(is_required).map(|row| row.name).collect::<Vec<_>>(),
        "properties": rows().filter(|row| row.rule != Rule::Refused).map(property).collect::<Map<_, _>>(),
        "additionalProperties": false,
    })
}

fn property(row: &Parameter) -> Value {
    let schema = parsed(row.schema);
    let default = match row.default {
        "" | "required" => String::new(),
        default => format!(". Without it: {default}"),
    };
    let effect = match row.rule {
        Rule::WithoutEffect => "Without effect: ",
        Rule::Applied | Rule::Refused => "",
    };
    let description = format!("{effect}{}{default}", row.about);
    if row.default == "required" {
        let mut schema = schema;
        schema["description"] = description.into();
        return schema;
    }
    // `null` is the same as leaving it out.
    json!({"anyOf": [schema, {"type": "null"}], "description": description})
}

/// Texts in the tables are JSON; tests parse each of them.
fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_says_what_it_is_for_and_what_comes_back() {
        let document = document();
        let mut ids = std::collections::HashSet::new();
        for (path, entry) in document["paths"].as_object().expect("paths") {
            let operations = entry.as_object().expect("an entry").iter();
            for (method, operation) in operations.filter(|(name, _)| *name != "parameters") {
                let place = format!("{method} {path}");
                let id = operation["operationId"].as_str().expect("an id").to_owned();
                assert!(ids.insert(id), "{place}: its id is used twice");
                assert!(
                    operation["summary"].as_str().is_some_and(|text| text.len() > 5),
                    "{place}: no summary"
                );
                let responses = operation["responses"].as_object().expect("responses");
                assert!(
                    responses.keys().any(|status| status.starts_with('2')),
                    "{place}: no good answer"
                );
                if let Some(body) = operation["requestBody"]["content"]["application/json"].as_object() {
                    described(&document, &body["schema"], &place);
                }
            }
        }
    }

    /// Every field of a body that is described by rows says what it does, and every reference leads somewhere.
    fn described(document: &Value, schema: &Value, place: &str) {
        let schema = match schema["$ref"].as_str() {
            Some(path) => document
                .pointer(&path[1..])
                .unwrap_or_else(|| panic!("{place}: {path}")),
            None => schema,
        };
        assert_eq!(schema["additionalProperties"], false, "{place} takes anything");
        if place.contains("/v1/chat") {
            for (name, property) in schema["properties"].as_object().expect("properties") {
                assert!(property["description"].is_string(), "{place}: {name}");
            }
        }
    }
}
