//! The document as one page of HTML: no script, nothing from elsewhere.

use std::fmt::Write;
use std::sync::LazyLock;

use serde_json::{Map, Value};

/// Schemas are shown in full down to here.
const MAX_DEPTH: usize = 12;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a;\
background:#fff}code,pre{font:0.875rem/1.5 ui-monospace,monospace}pre{overflow:auto;background:#8881;padding:.75rem;\
border-radius:.375rem}details{border:1px solid #8884;border-radius:.375rem;margin:.5rem 0;padding:.5rem .75rem}\
summary{cursor:pointer}summary b{display:inline-block;min-width:4.5rem}table{border-collapse:collapse;width:100%}\
td,th{border-top:1px solid #8884;padding:.375rem .5rem;text-align:left;vertical-align:top}\
@media(prefers-color-scheme:dark){body{background:#161616;color:#eee}a{color:#8ab4ff}}";

/// The page.
pub(crate) fn text() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| page(&super::document()));
    &TEXT
}

fn page(document: &Value) -> String {
    let info = &document["info"];
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>{title} API</title><style>{STYLE}</style><h1>{title} API {version}</h1>\
         <p>{about}</p><p>For programs: <a href=\"/openapi.json\">openapi.json</a></p>",
        title = shown(&info["title"]),
        version = shown(&info["version"]),
        about = shown(&info["description"]),
    );
    for tag in array(&document["tags"]) {
        let _ = write!(page, "<h2>{}</h2>", shown(&tag["description"]));
        for (path, entry) in object(&document["paths"]) {
            for (method, operation) in object(entry) {
                if operation["tags"][0] == tag["name"] {
                    write_operation(
                        &mut page,
                        document,
                        &format!("{} {path}", method.to_uppercase()),
                        operation,
                    );
                }
            }
        }
    }
    page.push_str("<h2>Schemas</h2>");
    for (name, schema) in object(&document["components"]["schemas"]) {
        let _ = write!(
            page,
            "<details id=\"{name}\"><summary><code>{name}</code></summary>",
            name = escaped(name)
        );
        write_schema(&mut page, schema);
        page.push_str("</details>");
    }
    page
}

fn write_operation(page: &mut String, document: &Value, name: &str, operation: &Value) {
    let (method, path) = name.split_once(' ').unwrap_or_default();
    let _ = write!(
        page,
        "<details><summary><b>{method}</b> <code>{}</code> {}</summary>",
        escaped(path),
        shown(&operation["summary"])
    );
    if operation["security"].is_array() {
        page.push_str("<p>No key is needed.</p>");
    }
    let parameters: Vec<&Value> = array(&operation["parameters"])
        .map(|parameter| match parameter["$ref"].as_str() {
            Some(path) => document.pointer(&path[1..]).unwrap_or(parameter),
            None => parameter,
        })
        .collect();
    if !parameters.is_empty() {
        page.push_str("<h4>Parameters</h4><table>");
        for parameter in parameters {
            let about = [&parameter["description"], &parameter["schema"]["description"]];
            let about = about.into_iter().map(shown).collect::<Vec<_>>().concat();
            let _ = write!(
                page,
                "<tr><td><code>{}</code><td>{}<td>{about}",
                shown(&parameter["name"]),
                shown(&parameter["in"]),
            );
        }
        page.push_str("</table>");
    }
    let body = &operation["requestBody"]["content"]["application/json"];
    if body.is_object() {
        page.push_str("<h4>Body</h4>");
        write_schema(page, &body["schema"]);
        if body["example"].is_object() {
            let _ = write!(page, "<pre>{}</pre>", pretty(&body["example"]));
        }
    }
    page.push_str("<h4>Answers</h4><table>");
    for (status, response) in object(&operation["responses"]) {
        let _ = write!(
            page,
            "<tr><td>{}<td>{}<td>",
            escaped(status),
            shown(&response["description"])
        );
        for (media_type, media) in object(&response["content"]) {
            let schema = media.get("x-event-schema").unwrap_or(&media["schema"]);
            let _ = write!(page, "<code>{}</code> {} ", escaped(media_type), kind(schema, 0));
        }
    }
    page.push_str("</table></details>");
}

/// A table of an object's fields, or what else it is.
fn write_schema(page: &mut String, schema: &Value) {
    let _ = write!(page, "<p>{}</p>", shown(&schema["description"]));
    if !schema["properties"].is_object() {
        let _ = write!(page, "<p>{}</p>", kind(schema, 0));
        return;
    }
    page.push_str("<table>");
    for (name, field) in object(&schema["properties"]) {
        let is_required = array(&schema["required"]).any(|other| other == name.as_str());
        let _ = write!(
            page,
            "<tr><td><code>{}</code>{}<td>{}<td>{}",
            escaped(name),
            if is_required { " *" } else { "" },
            kind(field, 0),
            shown(&field["description"])
        );
    }
    page.push_str("</table>");
}

/// What a schema allows, in a few words.
fn kind(schema: &Value, depth: usize) -> String {
    if depth > MAX_DEPTH {
        return "…".into();
    }
    if let Some(path) = schema["$ref"].as_str() {
        let name = escaped(path.rsplit('/').next().unwrap_or_default());
        return format!("<a href=\"#{name}\">{name}</a>");
    }
    for keyword in ["const", "enum"] {
        if let Some(values) = schema.get(keyword) {
            let values = values.as_array().cloned().unwrap_or_else(|| vec![values.clone()]);
            let values: Vec<String> = values
                .iter()
                .map(|value| format!("<code>{}</code>", shown(value)))
                .collect();
            return values.join(", ");
        }
    }
    for keyword in ["anyOf", "oneOf"] {
        if schema[keyword].is_array() {
            let kinds: Vec<String> = array(&schema[keyword]).map(|one| kind(one, depth + 1)).collect();
            return kinds.join(" or ");
        }
    }
    let types: Vec<String> = match &schema["type"] {
        Value::Array(types) => types.iter().map(shown).collect(),
        one => vec![shown(one)],
    };
    let mut text = types.join(" or ");
    if schema["items"].is_object() {
        let _ = write!(text, " of {}", kind(&schema["items"], depth + 1));
    }
    for (keyword, word) in [
        ("minimum", "at least"),
        ("exclusiveMinimum", "over"),
        ("maximum", "at most"),
        ("maxLength", "characters at most:"),
        ("maxItems", "items at most:"),
        ("format", ""),
    ] {
        if let Some(bound) = schema.get(keyword) {
            let _ = write!(text, ", {word} {}", shown(bound));
        }
    }
    let fields = object(&schema["properties"])
        .map(|(name, field)| format!("{}: {}", escaped(name), kind(field, depth + 1)));
    let fields: Vec<String> = fields.collect();
    if !fields.is_empty() {
        let _ = write!(text, " {{ {} }}", fields.join(", "));
    }
    text
}

fn pretty(value: &Value) -> String {
    escaped(&serde_json::to_string_pretty(value).unwrap_or_default())
}

/// A value as it is read: texts without quotes, with what stands between backticks as code.
fn shown(value: &Value) -> String {
    let text = match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let parts = text.split('`').enumerate().map(|(idx, part)| match idx % 2 {
        0 => escaped(part),
        _ => format!("<code>{}</code>", escaped(part)),
    });
    parts.collect()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn object(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_every_path_and_every_link_leads_somewhere() {
        let page = text();
        for (path, _) in object(&super::super::document()["paths"]) {
            assert!(page.contains(&format!("<code>{path}</code>")), "{path}");
        }
        for link in page.split("href=\"#").skip(1) {
            let (name, _) = link.split_once('"').expect("an end");
            assert!(page.contains(&format!("id=\"{name}\"")), "{name}");
        }
        assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("<script"));
    }

    #[test]
    fn what_could_be_markup_is_text() {
        assert_eq!(shown(&Value::from("a<b `c&d`")), "a&lt;b <code>c&amp;d</code>");
    }
}
