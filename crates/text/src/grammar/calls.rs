//! A format's calls as rules: the same description that the parser reads by.

use serde_json::{Value, json};

use super::lark::{Lark, Layout, escaped, quoted, text_without};
use super::literals::{Literals, up_to};
use super::schema::{Unenforced, enforceable};
use super::{GrammarCompiler, GrammarError};
use crate::tool_calls::{Between, Dialect, Form, IdStyle, Parameters, Section, Step, ToolFormat, ValueKind};

/// A function that may be called, as far as the grammar goes.
#[derive(Debug, Clone)]
pub struct ToolRule {
    /// Its name.
    pub name: String,
    /// The schema of its arguments.
    pub parameters: Value,
    /// Whether every keyword of the schema must be enforced.
    pub is_strict: bool,
    /// How the caller named the schema, for messages.
    pub param: String,
}

/// The calls that an answer may hold.
#[derive(Debug, Clone)]
pub struct CallRules {
    /// The model's own form.
    pub format: &'static ToolFormat,
    /// What may be called.
    pub tools: Vec<ToolRule>,
    /// Whether there must be a call; then there is nothing else.
    pub is_required: bool,
    /// Whether there may be several.
    pub is_parallel: bool,
}

const SPACE: &str = "/[ \\t\\r\\n]{1,8}/";

/// Writes the rules of one format.
pub(super) struct CallWriter<'w> {
    pub(super) lark: &'w mut Lark,
    pub(super) compiler: &'w GrammarCompiler,
    pub(super) rules: &'w CallRules,
    /// Whether schemas of functions that are not strict are given up, because they did not compile.
    pub(super) is_lenient: bool,
}

/// The rules of a format's calls.
pub(super) struct CallParts {
    /// Calls from their first character on, where nothing precedes them.
    pub(super) from_start: String,
    /// Text up to calls, and the calls.
    pub(super) after_text: String,
    /// Text that holds no call.
    pub(super) text: String,
}

impl CallWriter<'_> {
    /// # Errors
    /// A schema that cannot be enforced, by the name of its parameter.
    pub(super) fn sections(
        &mut self,
        section: &'static Section,
    ) -> Result<CallParts, (String, GrammarError)> {
        let mut calls = Vec::with_capacity(self.rules.tools.len());
        for tool in &self.rules.tools {
            calls.push(
                self.call(section, tool)
                    .map_err(|error| (tool.param.clone(), error))?,
            );
        }
        let space = self.lark.terminal(SPACE);
        let call = self.lark.rule(&calls.join(" | "));
        let call = self.list(section, &call, &space);
        let head: String = section
            .head
            .iter()
            .map(|text| format!("{} {space}? ", self.mark(text)))
            .collect();
        let tail: String = section
            .tail
            .iter()
            .map(|text| format!(" {space}? {}", self.mark(text)))
            .collect();
        // Where a section may begin bare, its last mark belongs to the other way to begin it.
        let bare_tail: String = match (section.bare, section.tail) {
            (Some(_), [first, ..]) => format!(" {}", self.mark(first)),
            _ => tail.clone(),
        };
        let repeat = section.between.is_none() && self.rules.is_parallel;
        let rest = self.lark.rule(&format!("{head}{call}{tail}"));
        let open = self.compiler.mark(section.open);
        let one = self.lark.rule(&format!("{open} {space}? {rest}"));
        let from_start = match section.bare {
            Some(_) => self.lark.rule(&format!("{head}{call}{bare_tail}")),
            None if repeat => self.lark.rule(&format!("{one} ({space}? {one})*")),
            None => one,
        };
        let (to_open, text) = self.text_around(section);
        let once = self.lark.rule(&format!("{to_open} {space}? {rest}"));
        let after_text = if repeat {
            self.lark.rule(&format!("{once}+"))
        } else {
            once
        };
        let after_text = match section.bare {
            Some(_) => self.lark.rule(&format!("{from_start} | {after_text}")),
            None => after_text,
        };
        Ok(CallParts {
            from_start,
            after_text,
            text,
        })
    }

    fn mark(&self, text: &str) -> String {
        self.compiler.mark(text)
    }

    /// One call, or where a section has several, more after it.
    fn list(&mut self, section: &Section, call: &str, space: &str) -> String {
        let lead = match section.between {
            Some(Between::Separators(separators)) => {
                let first = separators.first().copied().unwrap_or_default();
                format!("{} {space}?", self.mark(first))
            }
            Some(Between::FirstText) => format!("{space}?"),
            None => return call.to_owned(),
        };
        if !self.rules.is_parallel {
            return call.to_owned();
        }
        self.lark.rule(&format!("{call} ({lead} {call})*"))
    }

    /// Text up to the opening, the opening included, and text without one.
    fn text_around(&mut self, section: &Section) -> (String, String) {
        let open = section.open;
        let bare = section
            .bare
            .map(|c| format!(" & ~/[ \\t\\r\\n]*{}(?s:.*)/", escaped(&c.to_string())));
        let bare = bare.unwrap_or_default();
        if self.compiler.is_special_mark(open) {
            let text = self.lark.terminal(&format!("/(?s:.+)/{bare}"));
            let to_open = self.lark.rule(&format!("{text}? {}", self.compiler.mark(open)));
            return (to_open, text);
        }
        let text = self.lark.terminal(&format!("{}{bare}", text_without(&[open])));
        let to_open = up_to(self.lark, "", open);
        (to_open, text)
    }

    fn call(&mut self, section: &Section, tool: &ToolRule) -> Result<String, GrammarError> {
        let schema = self.schema(tool)?;
        let mut body = Vec::new();
        for step in section.call {
            body.push(match step {
                Step::Text(text) => self.mark(text),
                Step::Name(ends) => {
                    let (before, after) = match self.rules.format.ids {
                        IdStyle::Indexed => ("functions.", " \":\" /[0-9]{1,3}/"),
                        IdStyle::Call | IdStyle::Nine => ("", ""),
                    };
                    let name = quoted(&format!("{before}{}", tool.name));
                    let end = ends.first().copied().unwrap_or_default();
                    format!("{name}{after} {}", self.mark(end))
                }
                Step::BareName => quoted(&tool.name),
                Step::Object(keys) => {
                    let key = keys.first().copied().unwrap_or("arguments");
                    let name = Value::from(tool.name.as_str());
                    let before = quoted(&format!("{{\"name\": {name}, \"{key}\": "));
                    format!("{before} {} \"}}\"", self.lark.json(&schema, Layout::Dumps))
                }
                Step::Arguments => self.lark.json(&schema, Layout::Dumps),
                Step::Parameters(form) => self.parameters(form, &schema, tool)?,
                Step::Literal(dialect) => {
                    unenforced_in_literals(&schema, tool)?;
                    let quote = self.compiler.mark("<|\"|>");
                    Literals::new(self.lark, *dialect, quote).arguments(&schema)
                }
            });
        }
        let is_tight = matches!(
            section.call,
            [.., Step::Literal(Dialect::Python | Dialect::Gemma)]
        );
        let space = if is_tight { " " } else { " /[ \\t\\r\\n]{1,8}/? " };
        let name_first = matches!(section.call.first(), Some(Step::Text(_)))
            && matches!(section.call.get(1), Some(Step::Name(_)));
        if name_first {
            // The name follows its mark at once.
            let rest = body.split_off(1);
            return Ok(self.lark.rule(&format!("{} {}", body[0], rest.join(space))));
        }
        Ok(self.lark.rule(&body.join(space)))
    }

    /// The schema of a function's arguments, as the grammar takes it.
    fn schema(&self, tool: &ToolRule) -> Result<Value, GrammarError> {
        if self.is_lenient && !tool.is_strict {
            return Ok(json!({"type": "object"}));
        }
        let unenforced = match tool.is_strict {
            true => Unenforced::Refused,
            false => Unenforced::LeftToTheModel,
        };
        let mut schema = enforceable(&tool.parameters, unenforced)?;
        if let Value::Object(keywords) = &mut schema {
            // Arguments are an object, whatever else the schema says.
            keywords.entry("type").or_insert_with(|| json!("object"));
        }
        Ok(schema)
    }

    fn parameters(
        &mut self,
        form: &'static Parameters,
        schema: &Value,
        tool: &ToolRule,
    ) -> Result<String, GrammarError> {
        let required = schema.get("required").and_then(Value::as_array);
        let properties = schema.get("properties").and_then(Value::as_object);
        let mut body = String::new();
        for (name, property) in properties.into_iter().flatten() {
            let is_required = required.is_some_and(|names| names.iter().any(|other| other == name));
            let rule = self.parameter(form, name, property, schema, tool)?;
            let optional = if is_required { "" } else { "?" };
            body.push_str(&format!("({rule} /[ \\t\\r\\n]{{1,8}}/?){optional} "));
        }
        body.push_str(&self.mark(form.end));
        Ok(self.lark.rule(&body))
    }

    fn parameter(
        &mut self,
        form: &'static Parameters,
        name: &str,
        property: &Value,
        root: &Value,
        tool: &ToolRule,
    ) -> Result<String, GrammarError> {
        let is_text = crate::tool_calls::takes_text(Some(property));
        let kind = if is_text { ValueKind::Text } else { ValueKind::Json };
        let end = form
            .name_ends
            .iter()
            .find(|(_, own)| *own == kind || *own == ValueKind::BySchema);
        let name_end = end.map_or("", |(end, _)| *end);
        let line = if form.on_own_lines { "\n" } else { "" };
        let mut lead = format!("{} {}", self.mark(form.open), quoted(name));
        lead.push_str(&format!(" {}", self.mark(name_end)));
        if !form.value_open.is_empty() {
            lead.push_str(&format!(" /[ \\t\\r\\n]{{1,8}}/? {}", self.mark(form.value_open)));
        }
        let values = property.get("enum").and_then(Value::as_array);
        let values = values
            .cloned()
            .or_else(|| Some(vec![property.get("const")?.clone()]));
        let value = match values {
            Some(values) if is_text => {
                let texts: Vec<String> = values.iter().filter_map(Value::as_str).map(quoted).collect();
                let value = self.lark.rule(&texts.join(" | "));
                self.on_lines(&value, line, form.close)
            }
            _ if is_text => {
                unenforced_in_text(property, name, tool)?;
                if self.compiler.is_special_mark(form.close) {
                    self.on_lines("/(?s:.+)/?", line, form.close)
                } else {
                    // The mark alone ends the value, as it does for whoever reads it: the line feed that should stand
                    // before it is the value's own text to the grammar.
                    up_to(self.lark, line, form.close)
                }
            }
            _ => {
                let value = self.lark.json(&with_definitions(property, root), Layout::Dumps);
                self.on_lines(&value, line, form.close)
            }
        };
        Ok(self.lark.rule(&format!("{lead} {value}")))
    }

    fn on_lines(&self, value: &str, line: &str, close: &str) -> String {
        let close = self.mark(close);
        if line.is_empty() {
            format!("{value} {close}")
        } else {
            format!("\"\\n\" {value} \"\\n\" {close}")
        }
    }
}

/// A part of a schema with what its references may point to.
fn with_definitions(property: &Value, root: &Value) -> Value {
    let mut property = property.clone();
    if let Value::Object(keywords) = &mut property {
        for name in ["$defs", "definitions"] {
            if let Some(definitions) = root.get(name) {
                keywords.entry(name).or_insert_with(|| definitions.clone());
            }
        }
    }
    property
}

/// Text between tags is written as it stands, and is not looked at.
fn unenforced_in_text(property: &Value, name: &str, tool: &ToolRule) -> Result<(), GrammarError> {
    let keyword = ["pattern", "format", "minLength", "maxLength"]
        .into_iter()
        .find(|keyword| property.get(keyword).is_some());
    match keyword {
        Some(keyword) if tool.is_strict => Err(GrammarError::Keyword {
            keyword: keyword.to_owned(),
            path: format!("#/properties/{name}"),
            hint: " in the form in which this model writes calls".to_owned(),
        }),
        _ => Ok(()),
    }
}

/// Literals know types, enumerations and properties, and no more.
fn unenforced_in_literals(schema: &Value, tool: &ToolRule) -> Result<(), GrammarError> {
    const KNOWN: &[&str] = &[
        "$schema",
        "additionalProperties",
        "anyOf",
        "const",
        "default",
        "description",
        "enum",
        "examples",
        "items",
        "oneOf",
        "properties",
        "required",
        "title",
        "type",
    ];
    if !tool.is_strict {
        return Ok(());
    }
    let mut open = vec![("#".to_owned(), schema)];
    while let Some((path, schema)) = open.pop() {
        for (keyword, value) in schema.as_object().into_iter().flatten() {
            if !KNOWN.contains(&keyword.as_str()) {
                return Err(GrammarError::Keyword {
                    keyword: keyword.clone(),
                    path,
                    hint: " in the form in which this model writes calls".to_owned(),
                });
            }
            match (keyword.as_str(), value) {
                ("properties", Value::Object(properties)) => open.extend(
                    properties
                        .iter()
                        .map(|(name, schema)| (format!("{path}/properties/{name}"), schema)),
                ),
                ("anyOf" | "oneOf", Value::Array(options)) => open.extend(
                    options
                        .iter()
                        .enumerate()
                        .map(|(idx, schema)| (format!("{path}/{keyword}/{idx}"), schema)),
                ),
                ("items", schema) => open.push((format!("{path}/items"), schema)),
                _ => {}
            }
        }
    }
    Ok(())
}

impl CallRules {
    /// The description of the format's sections; none where calls are messages of their own.
    pub(super) fn section(&self) -> Option<&'static Section> {
        match &self.format.form {
            Form::Sections(section) => Some(section),
            Form::Channels => None,
        }
    }
}

/// Calls and answers of a model that writes messages in channels, from behind `<|start|>assistant` on.
impl CallWriter<'_> {
    /// A message that is a call.
    ///
    /// # Errors
    /// A schema that cannot be enforced, by the name of its parameter.
    pub(super) fn channel_call(&mut self) -> Result<String, (String, GrammarError)> {
        let (channel, message) = (self.mark("<|channel|>"), self.mark("<|message|>"));
        let constrain = self.mark("<|constrain|>");
        let mut calls = Vec::with_capacity(self.rules.tools.len());
        for tool in &self.rules.tools {
            let schema = self.schema(tool).map_err(|error| (tool.param.clone(), error))?;
            let to = quoted(&format!("commentary to=functions.{} ", tool.name));
            let arguments = self.lark.json(&schema, Layout::Dumps);
            calls.push(self.lark.rule(&format!(
                "{channel} {to} {constrain} \"json\" {message} {arguments}"
            )));
        }
        Ok(self.lark.rule(&calls.join(" | ")))
    }
}
