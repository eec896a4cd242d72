//! What a model's chat template can do, found out by trying it: no field of a template says so.
//!
//! A template that has no place for something drops it in silence, and an answer would be given to a conversation that
//! nobody held. So each ability is tried once with words that occur nowhere else, and looked for in what is rendered.

use serde_json::{Map, Value as Json, json};

use crate::reasoning::ThinkingMarks;
use crate::template::{ChatTemplate, TemplateInput, Timestamp};
use crate::tool_calls::ToolFormat;

/// A word that no template has.
const WORD: &str = "zq7probe";

/// What a chat template takes, and how its model answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatForm {
    /// How the model writes tool calls; `None` where it has no known way to.
    pub tools: Option<&'static str>,
    /// Whether tools are put into the prompt.
    pub takes_tools: bool,
    /// Whether calls of earlier turns are.
    pub takes_tool_calls: bool,
    /// Whether results of calls are.
    pub takes_tool_results: bool,
    /// Whether names of speakers are.
    pub takes_names: bool,
    /// Whether a call's arguments must be given as text, not as an object.
    pub wants_arguments_as_text: bool,
    /// How the model thinks.
    pub thinking: Thinking,
    /// What stands between the closing mark of thinking and the answer.
    pub after_thinking: &'static str,
    /// The variables that the template reads: each word of its source.
    words: Vec<String>,
}

/// Whether a model thinks before it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Thinking {
    /// Never.
    None,
    /// In channels of its own, always.
    Channels,
    /// Between marks.
    Marked {
        /// The marks.
        marks: &'static ThinkingMarks,
        /// Whether it can be turned over.
        switch: ThinkingSwitch,
    },
}

/// Whether thinking can be turned on and off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThinkingSwitch {
    /// It is always on.
    AlwaysOn,
    /// On unless `enable_thinking` is false.
    DefaultOn,
    /// Off unless `enable_thinking` is true.
    DefaultOff,
}

impl ChatForm {
    /// Tries a template out. `source` is its text.
    #[must_use]
    pub fn of(template: &ChatTemplate, source: &str) -> ChatForm {
        let tools = ToolFormat::recognise(source);
        let mut words: Vec<String> = source
            .split(|c: char| !(c.is_alphanumeric() || c == '_'))
            .filter(|word| word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_'))
            .map(str::to_owned)
            .collect();
        words.sort_unstable();
        words.dedup();
        let probe = Probe { template };
        let takes_calls_as = |as_text: bool| probe.shows(probe.with_call(as_text));
        let takes_objects = takes_calls_as(false);
        ChatForm {
            tools: tools.map(|format| format.name),
            takes_tools: probe.shows(probe.with_tools()),
            takes_tool_calls: takes_objects || takes_calls_as(true),
            takes_tool_results: probe.shows(probe.with_result(takes_objects)),
            takes_names: probe.shows(probe.with_name()),
            wants_arguments_as_text: !takes_objects && takes_calls_as(true),
            thinking: probe.thinking(tools, source),
            after_thinking: after_thinking(source),
            words,
        }
    }

    /// Whether the template reads a variable of this name. It may be another's word, so a "yes" is only likely.
    #[must_use]
    pub fn may_read(&self, variable: &str) -> bool {
        self.words
            .binary_search_by(|word| word.as_str().cmp(variable))
            .is_ok()
    }
}

/// The line feeds that a template writes after the closing mark.
fn after_thinking(source: &str) -> &'static str {
    let Some(marks) = ThinkingMarks::recognise(source) else {
        return "";
    };
    let written = |gap: &str| source.contains(&format!("{}{gap}", marks.close));
    if written("\\n\\n") {
        "\n\n"
    } else if written("\\n") {
        "\n"
    } else {
        ""
    }
}

struct Probe<'t> {
    template: &'t ChatTemplate,
}

impl Probe<'_> {
    fn render(&self, messages: Json, tools: Option<Vec<Json>>, extra: Map<String, Json>) -> Option<String> {
        let Json::Array(messages) = messages else {
            return None;
        };
        let input = TemplateInput {
            messages,
            tools,
            add_generation_prompt: true,
            extra,
            now: Timestamp { unix_seconds: 0 },
        };
        let prompt = self.template.render(&input).ok()?;
        Some(prompt.text().to_owned())
    }

    fn shows(&self, rendered: Option<String>) -> bool {
        rendered.is_some_and(|text| text.contains(WORD))
    }

    fn with_tools(&self) -> Option<String> {
        let messages = json!([{"role": "user", "content": "hello"}]);
        let tool = json!({"type": "function", "function": {
            "name": WORD, "description": "d", "parameters": {"type": "object", "properties": {}},
        }});
        self.render(messages, Some(vec![tool]), Map::new())
    }

    fn with_call(&self, as_text: bool) -> Option<String> {
        let messages = json!([
            {"role": "user", "content": "hello"}, call(WORD, as_text),
            {"role": "tool", "tool_call_id": format!("{WORD}0"), "name": "f", "content": "result"},
        ]);
        // Also shown where only the result's id is: it stands for the call.
        self.render(messages, None, Map::new())
    }

    fn with_result(&self, takes_objects: bool) -> Option<String> {
        let messages = json!([
            {"role": "user", "content": "hello"}, call("f", !takes_objects),
            {"role": "tool", "tool_call_id": "abcdefghi", "name": "f", "content": WORD},
        ]);
        self.render(messages, None, Map::new())
    }

    fn with_name(&self) -> Option<String> {
        let messages = json!([{"role": "user", "name": WORD, "content": "hello"}]);
        self.render(messages, None, Map::new())
    }

    fn thinking(&self, tools: Option<&ToolFormat>, source: &str) -> Thinking {
        if tools.is_some_and(ToolFormat::has_channels) {
            return Thinking::Channels;
        }
        let Some(marks) = ThinkingMarks::recognise(source) else {
            return Thinking::None;
        };
        let prompt = |switch: Option<bool>| {
            let messages = json!([{"role": "user", "content": "hello"}]);
            let mut extra = Map::new();
            for name in ["enable_thinking", "thinking"] {
                extra.extend(switch.map(|on| (name.to_owned(), Json::Bool(on))));
            }
            self.render(messages, None, extra)
        };
        let (default, on, off) = (prompt(None), prompt(Some(true)), prompt(Some(false)));
        let switch = if on == off {
            ThinkingSwitch::AlwaysOn
        } else if default == off {
            ThinkingSwitch::DefaultOff
        } else {
            ThinkingSwitch::DefaultOn
        };
        Thinking::Marked { marks, switch }
    }
}

fn call(name: &str, as_text: bool) -> Json {
    let arguments = if as_text { json!("{}") } else { json!({}) };
    // Some write the id instead of the name.
    let id = if name == WORD {
        format!("{WORD}0")
    } else {
        "abcdefghi".to_owned()
    };
    json!({"role": "assistant", "content": "", "tool_calls": [
        {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}},
    ]})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::TemplateTokens;

    fn form(source: &str) -> ChatForm {
        let template = ChatTemplate::compile(source, TemplateTokens::default()).expect("a good template");
        ChatForm::of(&template, source)
    }

    #[test]
    fn a_plain_template_takes_nothing_more() {
        let form =
            form("{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}");
        assert!(!form.takes_tools && !form.takes_tool_calls && !form.takes_names);
        assert_eq!((form.tools, form.thinking), (None, Thinking::None));
        assert!(form.may_read("messages") && !form.may_read("enable_thinking"));
    }

    #[test]
    fn well_known_templates_are_found_out() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/templates");
        if !folder.is_dir() {
            eprintln!("skipped: {} is not there", folder.display());
            return;
        }
        use ThinkingSwitch::{AlwaysOn, DefaultOff, DefaultOn};
        for (name, takes_tools, as_text, switch) in [
            ("Qwen-Qwen2.5-7B-Instruct", true, false, None),
            ("Qwen-Qwen3-0.6B", true, false, Some(DefaultOn)),
            ("Qwen3-Coder", true, false, None),
            ("Qwen3.5-4B", true, false, Some(DefaultOn)),
            ("GLM-4.6", true, false, Some(DefaultOn)),
            ("MiniMax-M2", true, false, Some(AlwaysOn)),
            ("deepseek-ai-DeepSeek-V3.1", false, false, Some(DefaultOff)),
            ("deepseek-ai-DeepSeek-V4", true, false, Some(DefaultOff)),
            (
                "NVIDIA-Nemotron-3-Nano-30B-A3B-BF16",
                true,
                false,
                Some(DefaultOn),
            ),
            ("Kimi-K2-Thinking", true, false, Some(AlwaysOn)),
            ("google-gemma-2-2b-it", false, false, None),
            ("meta-llama-Llama-3.1-8B-Instruct", true, false, None),
        ] {
            let Ok(source) = std::fs::read_to_string(folder.join(format!("{name}.jinja"))) else {
                eprintln!("skipped: {name} is not there");
                continue;
            };
            let form = form(&source);
            let found = match form.thinking {
                Thinking::Marked { switch, .. } => Some(switch),
                Thinking::None | Thinking::Channels => None,
            };
            assert_eq!(
                (form.takes_tools, form.wants_arguments_as_text, found),
                (takes_tools, as_text, switch),
                "{name}"
            );
            // Its template changes a list, which neither we nor transformers' sandbox allow.
            let cannot_render_results = name == "Kimi-K2-Thinking";
            if takes_tools && !cannot_render_results {
                assert!(form.takes_tool_calls && form.takes_tool_results, "{name}");
            }
        }
    }
}
