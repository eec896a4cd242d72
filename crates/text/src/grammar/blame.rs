//! Which part of a schema the grammar library refuses: its message says why and not where.

use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use super::lark::{Lark, Layout};
use super::schema::{malformed, pointer_part};
use super::{GrammarCompiler, GrammarError};

/// Parts that are tried. Each takes about a millisecond.
const MAX_TRIES: usize = 100;
/// And this long at most, for parts may be large: then the library's own message has to do.
const PATIENCE: Duration = Duration::from_millis(100);
/// What the library writes before it comes to the point; before that stands a place in a grammar of ours.
const PREFIX: &str = "failed to compile JSON schema: ";

/// Names the keyword and the path, if the schema is refused for itself and not for what stands around it.
pub(super) fn blame(compiler: &GrammarCompiler, schema: &Value) -> Option<GrammarError> {
    let mut search = Search {
        compiler,
        root: schema,
        n_left: MAX_TRIES,
        end: Instant::now() + PATIENCE,
    };
    let fault = search.fault(schema)?;
    let mut path = "#".to_owned();
    let mut part = schema;
    while let Some((name, within)) =
        children(part).find(|(_, child)| search.fault(child).as_ref() == Some(&fault))
    {
        path = format!("{path}/{name}");
        part = within;
    }
    Some(told(&fault, &path))
}

struct Search<'s> {
    compiler: &'s GrammarCompiler,
    root: &'s Value,
    n_left: usize,
    end: Instant,
}

impl Search<'_> {
    /// Why the library refuses this part alone.
    fn fault(&mut self, part: &Value) -> Option<String> {
        self.n_left = self.n_left.checked_sub(1).filter(|_| Instant::now() < self.end)?;
        let mut keywords = match part {
            Value::Object(keywords) => keywords.clone(),
            Value::Bool(false) => return Some("schema is false".to_owned()),
            _ => Map::new(),
        };
        for name in ["$defs", "definitions"] {
            if let Some(definitions) = self.root.get(name) {
                keywords.entry(name).or_insert_with(|| definitions.clone());
            }
        }
        let mut lark = Lark::default();
        let rule = lark.json(&Value::Object(keywords), Layout::Free);
        match self.compiler.compile(&lark.finish(&rule)) {
            Err(GrammarError::Compile(message)) => {
                let fault = message
                    .split_once(PREFIX)
                    .map_or(message.as_str(), |(_, fault)| fault);
                Some(fault.to_owned())
            }
            _ => None,
        }
    }
}

/// The schemas right within one, each with its path from there.
fn children(schema: &Value) -> impl Iterator<Item = (String, &Value)> {
    let keywords = schema.as_object().into_iter().flatten();
    keywords.flat_map(|(name, value)| -> Vec<(String, &Value)> {
        match (name.as_str(), value) {
            ("properties" | "patternProperties" | "$defs" | "definitions", Value::Object(schemas)) => schemas
                .iter()
                .map(|(key, schema)| (format!("{name}/{}", pointer_part(key)), schema))
                .collect(),
            ("allOf" | "anyOf" | "oneOf" | "prefixItems" | "items", Value::Array(schemas)) => schemas
                .iter()
                .enumerate()
                .map(|(idx, schema)| (format!("{name}/{idx}"), schema))
                .collect(),
            ("items" | "additionalItems" | "additionalProperties", Value::Object(_)) => {
                vec![(name.clone(), value)]
            }
            _ => Vec::new(),
        }
    })
}

/// The library's fault in our words.
fn told(fault: &str, path: &str) -> GrammarError {
    let keyword = |keyword: &str, hint: &str| GrammarError::Keyword {
        keyword: keyword.to_owned(),
        path: path.to_owned(),
        hint: hint.to_owned(),
    };
    if fault.starts_with("oneOf ") {
        let hint = ": a value may fit more than one of its schemas; use 'anyOf', or tell them apart by type or by a constant";
        return keyword("oneOf", hint);
    }
    if fault.starts_with("patternProperty ") {
        return keyword(
            "patternProperties",
            ": a name may match more than one of the expressions",
        );
    }
    if fault.contains("'multipleOf'") {
        return keyword("multipleOf", " with so many digits");
    }
    if fault.contains("schema is false") || fault.starts_with("Unsatisfiable schema") {
        return malformed("allows nothing", path);
    }
    malformed(format!("cannot be used: {fault}"), path)
}
