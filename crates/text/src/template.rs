//! Chat templates: a conversation to the text that a model was trained on, under limits.
//!
//! Templates come with model files, which anyone may write, so rendering one is running a stranger's program. This is
//! Jinja as transformers sets it up (`trim_blocks`, `lstrip_blocks`, loop controls, its own `tojson`; values cannot be
//! changed), interpreted by us for two reasons: every step and every byte is paid for in advance, and every character
//! is known to be the template's or the conversation's, so that user text never becomes a special token.

mod access;
mod arithmetic;
mod call;
mod checks;
mod clock;
mod fault;
mod filters;
mod lex;
mod methods;
mod parse;
mod print;
mod render;
mod syntax;
mod text;
mod value;

use serde_json::{Map, Value as Json};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use fault::{Budget, Fault};
use render::Renderer;
use text::Text;
use value::Value;

/// What a template may refer to of the tokenizer.
#[derive(Debug, Clone, Default)]
pub struct TemplateTokens {
    /// Text of the beginning-of-sequence token.
    pub bos_token: Option<String>,
    /// Text of the end-of-sequence token.
    pub eos_token: Option<String>,
    /// Text of the unknown token.
    pub unk_token: Option<String>,
    /// Text of the padding token.
    pub pad_token: Option<String>,
}

/// Local time for `strftime_now`; the caller reads the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timestamp {
    /// Seconds since 1970-01-01 00:00:00 in the zone that the template should see.
    pub unix_seconds: i64,
}

/// A conversation, in the shape that templates expect.
#[derive(Debug, Clone)]
pub struct TemplateInput {
    /// The messages: a list of objects with `role` and `content`.
    pub messages: Vec<Json>,
    /// Tool definitions; `None` leaves `tools` undefined-like (`none`), as transformers does.
    pub tools: Option<Vec<Json>>,
    /// Whether to end with the opening of the assistant's turn.
    pub add_generation_prompt: bool,
    /// Further variables (`chat_template_kwargs`), e.g. `enable_thinking`.
    pub extra: Map<String, Json>,
    /// The time for `strftime_now`.
    pub now: Timestamp,
}

/// A rendered prompt that still knows which parts came from outside and must not become special tokens.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RenderedPrompt {
    text: String,
    outside: Vec<Range<usize>>,
}

impl RenderedPrompt {
    /// A prompt written by the caller itself, special tokens and all.
    pub fn trusted(text: String) -> RenderedPrompt {
        RenderedPrompt {
            text,
            outside: Vec::new(),
        }
    }

    /// Goes on with a text that we wrote ourselves, special tokens and all.
    pub fn push_trusted(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// The text, exactly as Jinja would have rendered it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The same up to a byte, which must be where a character begins.
    #[must_use]
    pub fn cut(mut self, end: usize) -> RenderedPrompt {
        self.text.truncate(end);
        self.outside.retain(|range| range.start < end);
        if let Some(last) = self.outside.last_mut() {
            last.end = last.end.min(end);
        }
        self
    }

    /// The byte ranges that the conversation brought in, ascending: no special token may touch them.
    pub fn outside(&self) -> &[Range<usize>] {
        &self.outside
    }
}

/// Why a template does not compile or a conversation not render.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// The template's source is over [`MAX_SOURCE_BYTES`].
    #[error("chat template: {len} bytes of source, more than the {MAX_SOURCE_BYTES} allowed")]
    SourceTooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// The source is not a template that we understand.
    #[error("chat template: {message}")]
    Syntax {
        /// What and where.
        message: String,
    },
    /// The template itself refused the conversation with `raise_exception`.
    #[error("chat template: {message}")]
    Raised {
        /// The template's own words.
        message: String,
    },
    /// The rendering took more work or memory than allowed.
    #[error("chat template: rendering took more work or memory than allowed")]
    OverLimit,
    /// The rendering failed.
    #[error("chat template: {message}")]
    Render {
        /// What and where.
        message: String,
    },
}

/// Longest template source in bytes.
pub const MAX_SOURCE_BYTES: usize = 256 << 10;

/// The steps that any rendering may take; longer conversations get more.
const BASE_WORK: u64 = 3_000_000;
/// The bytes that any rendering may allocate in all.
const BASE_MEMORY: u64 = 64 << 20;
/// Further bytes for each byte of the conversation.
const MEMORY_PER_BYTE: u64 = 32;

/// A compiled chat template. Rendering needs no more stack than a thread has (2 MiB).
#[derive(Debug)]
pub struct ChatTemplate {
    template: syntax::Template,
    tokens: TemplateTokens,
}

impl ChatTemplate {
    /// Compiles a template's source.
    pub fn compile(source: &str, tokens: TemplateTokens) -> Result<ChatTemplate, TemplateError> {
        if source.len() > MAX_SOURCE_BYTES {
            return Err(TemplateError::SourceTooLong { len: source.len() });
        }
        let template = parse::parse(source).map_err(|error| TemplateError::Syntax {
            message: format!("line {}: {}", error.line, error.message),
        })?;
        Ok(ChatTemplate { template, tokens })
    }

    /// Renders a conversation.
    pub fn render(&self, conversation: &TemplateInput) -> Result<RenderedPrompt, TemplateError> {
        let size = conversation.size() as u64;
        let budget = Budget::new(
            BASE_WORK.saturating_add(size),
            BASE_MEMORY.saturating_add(size * MEMORY_PER_BYTE),
        );
        let failed = |line: u32, fault: Fault| match fault {
            Fault::OverLimit => TemplateError::OverLimit,
            Fault::Raised(message) => TemplateError::Raised { message },
            Fault::Failed(message) => TemplateError::Render {
                message: format!("line {line}: {message}"),
            },
        };
        let globals = self
            .globals(conversation, &budget)
            .map_err(|fault| failed(0, fault))?;
        let mut renderer = Renderer::new(&self.template, &budget, conversation.now, globals);
        let text = renderer
            .render(&self.template.body)
            .map_err(|fault| failed(renderer.line, fault))?;
        let (text, outside) = text.into_parts();
        Ok(RenderedPrompt { text, outside })
    }

    fn globals<'i>(
        &self,
        conversation: &'i TemplateInput,
        budget: &Budget,
    ) -> Result<HashMap<&'i str, Value>, Fault> {
        let mut globals = HashMap::new();
        for (name, value) in &conversation.extra {
            globals.insert(name.as_str(), from_json(value, budget)?);
        }
        let tokens = [
            ("bos_token", &self.tokens.bos_token),
            ("eos_token", &self.tokens.eos_token),
            ("unk_token", &self.tokens.unk_token),
            ("pad_token", &self.tokens.pad_token),
        ];
        for (name, text) in tokens {
            if let Some(text) = text {
                globals.insert(name, Value::inside(text.as_str()));
            }
        }
        let messages = conversation
            .messages
            .iter()
            .map(|message| message_from_json(message, budget));
        let messages = messages.collect::<Result<Vec<_>, _>>()?;
        globals.insert("messages", Value::list(messages, budget)?);
        let tools = match &conversation.tools {
            Some(tools) => {
                let tools = tools
                    .iter()
                    .map(|tool| from_json(tool, budget))
                    .collect::<Result<Vec<_>, _>>()?;
                Value::list(tools, budget)?
            }
            None => Value::None,
        };
        globals.insert("tools", tools);
        globals.insert("documents", Value::None);
        globals.insert(
            "add_generation_prompt",
            Value::Bool(conversation.add_generation_prompt),
        );
        Ok(globals)
    }
}

impl TemplateInput {
    /// Roughly the bytes in it.
    fn size(&self) -> usize {
        let tools = self.tools.iter().flatten();
        self.messages
            .iter()
            .chain(tools)
            .chain(self.extra.values())
            .map(size_of_json)
            .sum()
    }
}

fn size_of_json(value: &Json) -> usize {
    match value {
        Json::String(text) => text.len() + 16,
        Json::Array(items) => 16 + items.iter().map(size_of_json).sum::<usize>(),
        Json::Object(entries) => {
            16 + entries
                .iter()
                .map(|(key, value)| key.len() + 16 + size_of_json(value))
                .sum::<usize>()
        }
        _ => 16,
    }
}

fn outside(text: &str, budget: &Budget) -> Result<Value, Fault> {
    budget.hold(text.len())?;
    Ok(Value::Str(Arc::new(Text::outside(text))))
}

/// A value that the conversation brought in.
fn from_json(value: &Json, budget: &Budget) -> Result<Value, Fault> {
    budget.work(1)?;
    Ok(match value {
        Json::Null => Value::None,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(int), _) => Value::Int(int.into()),
            (_, Some(int)) => Value::Int(int.into()),
            _ => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => outside(text, budget)?,
        Json::Array(items) => {
            let items = items
                .iter()
                .map(|item| from_json(item, budget))
                .collect::<Result<Vec<_>, _>>()?;
            Value::list(items, budget)?
        }
        Json::Object(entries) => {
            let mut built = Vec::with_capacity(entries.len());
            for (key, value) in entries {
                built.push((outside(key, budget)?, from_json(value, budget)?));
            }
            Value::dict(built, budget)?
        }
    })
}

/// A message. Its role counts as the template's own text if it is a plain word: templates build special tokens from
/// it (`<|user|>`), and a plain word alone is none.
fn message_from_json(message: &Json, budget: &Budget) -> Result<Value, Fault> {
    let Json::Object(entries) = message else {
        return from_json(message, budget);
    };
    let mut built = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        let value = match value {
            Json::String(role) if key == "role" && is_plain_word(role) => Value::inside(role.as_str()),
            _ => from_json(value, budget)?,
        };
        built.push((outside(key, budget)?, value));
    }
    Value::dict(built, budget)
}

fn is_plain_word(text: &str) -> bool {
    (1..=32).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphabetic() || byte == b'_')
}
