//! Chat templates: a conversation to the text that a model was trained on, under limits.

use serde_json::{Map, Value};

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
    pub messages: Vec<Value>,
    /// Tool definitions; `None` leaves `tools` undefined-like (`none`), as transformers does.
    pub tools: Option<Vec<Value>>,
    /// Whether to end with the opening of the assistant's turn.
    pub add_generation_prompt: bool,
    /// Further variables (`chat_template_kwargs`), e.g. `enable_thinking`.
    pub extra: Map<String, Value>,
    /// The time for `strftime_now`.
    pub now: Timestamp,
}

/// A rendered prompt that still knows which parts must not become special tokens.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RenderedPrompt {
    text: String,
    /// Byte positions across which no special token may be matched, ascending.
    guards: Vec<usize>,
}

impl RenderedPrompt {
    /// A prompt written by the caller itself, special tokens and all: nothing in it is guarded.
    pub fn trusted(text: String) -> RenderedPrompt {
        RenderedPrompt {
            text,
            guards: Vec::new(),
        }
    }

    /// The text, exactly as Jinja would have rendered it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Byte positions across which no special token may be matched, ascending.
    pub fn guards(&self) -> &[usize] {
        &self.guards
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

/// A compiled chat template.
#[derive(Debug)]
pub struct ChatTemplate {}

impl ChatTemplate {
    /// Compiles a template's source.
    pub fn compile(source: &str, tokens: TemplateTokens) -> Result<ChatTemplate, TemplateError> {
        let _ = (source, tokens);
        Ok(ChatTemplate {})
    }

    /// Renders a conversation.
    pub fn render(&self, conversation: &TemplateInput) -> Result<RenderedPrompt, TemplateError> {
        let _ = conversation;
        Ok(RenderedPrompt::default())
    }
}
