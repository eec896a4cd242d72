//! What form an answer must have: functions that may be called, what its text must be, and thinking before it.

use std::fmt;

use serde_json::{Map, Value};

use crate::request::InvalidRequest;

/// Functions in one request.
pub const MAX_TOOLS: usize = 256;
/// Texts of one choice.
const MAX_CHOICES: usize = 4_096;
/// Bytes of a function's name.
const MAX_TOOL_NAME_BYTES: usize = 64;

/// A function that the model may call; the caller runs it.
#[derive(Clone, PartialEq, Eq)]
pub struct Tool {
    /// 1 to 64 letters, digits, underscores, hyphens and dots.
    pub name: String,
    /// What it does, for the model.
    pub description: Option<String>,
    /// The JSON schema of its arguments; `None` takes none.
    pub parameters: Option<Map<String, Value>>,
    /// Whether each keyword of the schema is enforced, or the request refused.
    pub is_strict: bool,
}

impl fmt::Debug for Tool {
    /// Leaves words and schema out, which may quote the caller's business.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tool({})", self.name)
    }
}

/// A call of a function, in an earlier turn of the conversation.
#[derive(Clone, PartialEq, Eq)]
pub struct ToolCall {
    /// The name of the call itself.
    pub id: String,
    /// The function's name.
    pub name: String,
    /// JSON text of an object.
    pub arguments: String,
}

impl fmt::Debug for ToolCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ToolCall({}, {} bytes)", self.name, self.arguments.len())
    }
}

/// Whether functions are to be called.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ToolChoice {
    /// The model decides; where there are no functions, nothing is called.
    #[default]
    Auto,
    /// Nothing is called, and the model is not told of the functions.
    None,
    /// At least one is called.
    Required,
    /// This one is called.
    Named(String),
}

/// What an answer's text must be.
#[derive(Clone, PartialEq, Default)]
pub enum TextForm {
    /// Anything.
    #[default]
    Free,
    /// A JSON object.
    JsonObject,
    /// JSON of this schema, each of whose keywords is enforced.
    JsonSchema(Value),
    /// All of it matches this regular expression.
    Regex(String),
    /// One of these.
    Choice(Vec<String>),
    /// What this grammar in Lark allows.
    Lark(String),
}

impl fmt::Debug for TextForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TextForm::Free => "Free",
            TextForm::JsonObject => "JsonObject",
            TextForm::JsonSchema(_) => "JsonSchema(..)",
            TextForm::Regex(_) => "Regex(..)",
            TextForm::Choice(_) => "Choice(..)",
            TextForm::Lark(_) => "Lark(..)",
        })
    }
}

/// How hard the model is to think.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// Not at all.
    None,
    /// As little as it can.
    Minimal,
    /// Little.
    Low,
    /// In between.
    Medium,
    /// Much.
    High,
    /// As much as it can.
    XHigh,
}

impl Effort {
    /// Every level by its name on the wire.
    pub const NAMES: &[(&str, Effort)] = &[
        ("none", Effort::None),
        ("minimal", Effort::Minimal),
        ("low", Effort::Low),
        ("medium", Effort::Medium),
        ("high", Effort::High),
        ("xhigh", Effort::XHigh),
    ];

    /// Its name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        let named = Effort::NAMES.iter().find(|(_, effort)| *effort == self);
        named.map_or("none", |(name, _)| name)
    }

    /// The bound of thinking where a model has no levels of its own; `None` is no bound.
    #[must_use]
    pub fn max_thinking_tokens(self) -> Option<u32> {
        match self {
            Effort::None => Some(0),
            Effort::Minimal => Some(512),
            Effort::Low => Some(2_048),
            Effort::Medium => Some(8_192),
            Effort::High | Effort::XHigh => None,
        }
    }
}

/// The form of an answer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AnswerForm {
    /// The functions that the caller offers.
    pub tools: Vec<Tool>,
    /// Whether they are to be called.
    pub tool_choice: ToolChoice,
    /// Of the functions, those that may be called this time; `None` is all. The model is told of all.
    pub allowed_tools: Option<Vec<String>>,
    /// Whether several may be called at once.
    pub one_call_only: bool,
    /// What the text must be.
    pub text: TextForm,
    /// How the caller named that, for messages.
    pub text_param: &'static str,
    /// How hard to think.
    pub effort: Option<Effort>,
    /// At most so many tokens of thinking.
    pub max_thinking_tokens: Option<u32>,
    /// Whether to think.
    pub thinks: Option<bool>,
    /// Wishes for thinking are leave to think: a model that cannot just answers, instead of refusing them.
    pub is_thinking_optional: bool,
}

impl AnswerForm {
    /// The functions that may be called this time.
    #[must_use]
    pub fn callable(&self) -> Vec<&Tool> {
        let is_callable = |tool: &&Tool| match &self.tool_choice {
            ToolChoice::None => false,
            ToolChoice::Named(name) => tool.name == *name,
            ToolChoice::Auto | ToolChoice::Required => self
                .allowed_tools
                .as_ref()
                .is_none_or(|names| names.contains(&tool.name)),
        };
        self.tools.iter().filter(is_callable).collect()
    }

    /// Checks every field against its range.
    pub(crate) fn check(&self) -> Result<(), InvalidRequest> {
        if self.tools.len() > MAX_TOOLS {
            let fault = format!("has {} functions; at most {MAX_TOOLS} fit", self.tools.len());
            return Err(InvalidRequest::new("tools", fault));
        }
        for (idx, tool) in self.tools.iter().enumerate() {
            let param = || format!("tools[{idx}].function.name");
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
            if !(1..=MAX_TOOL_NAME_BYTES).contains(&tool.name.len()) || !tool.name.chars().all(is_plain) {
                let fault = "must be 1 to 64 letters, digits, underscores, hyphens or dots";
                return Err(InvalidRequest::new(param(), fault));
            }
            if self.tools[..idx].iter().any(|other| other.name == tool.name) {
                return Err(InvalidRequest::new(
                    param(),
                    "is the name of an earlier function, too",
                ));
            }
        }
        self.check_choice()?;
        match &self.text {
            TextForm::Choice(texts) if texts.is_empty() || texts.len() > MAX_CHOICES => {
                let fault = format!("must have 1 to {MAX_CHOICES} texts");
                Err(InvalidRequest::new(self.text_param, fault))
            }
            TextForm::Choice(texts) if texts.iter().any(String::is_empty) => Err(InvalidRequest::new(
                self.text_param,
                "must not have an empty text",
            )),
            _ => Ok(()),
        }
    }

    fn check_choice(&self) -> Result<(), InvalidRequest> {
        let is_offered = |name: &String| self.tools.iter().any(|tool| tool.name == *name);
        let names = self.allowed_tools.iter().flatten();
        for name in names.chain(match &self.tool_choice {
            ToolChoice::Named(name) => Some(name),
            _ => None,
        }) {
            if !is_offered(name) {
                let short: String = name.chars().take(64).collect();
                let fault = format!("names '{short}', which is none of 'tools'");
                return Err(InvalidRequest::new("tool_choice", fault));
            }
        }
        if self.tool_choice == ToolChoice::Required && self.callable().is_empty() {
            return Err(InvalidRequest::new(
                "tool_choice",
                "requires a call, and there is no function to call; set 'tools'",
            ));
        }
        Ok(())
    }
}
