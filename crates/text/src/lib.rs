//! Between messages and token ids.
//!
//! Down: [`template`] turns a conversation into a [`RenderedPrompt`], [`tokenizer`] turns that into token ids. Up:
//! [`StreamDecoder`] turns ids into text that never splits a character, [`stop`] ends it at a stop string. Nothing
//! here knows a model, an engine or a server.

pub mod template;
pub mod tokenizer;

pub mod stop;

mod chat_form;
pub mod grammar;
pub mod reasoning;
pub mod tool_calls;

pub use chat_form::{ChatForm, Thinking, ThinkingSwitch};
pub use stop::{StopError, StopMatcher, Stopped};
pub use template::{ChatTemplate, RenderedPrompt, TemplateError, TemplateInput, TemplateTokens, Timestamp};
pub use tokenizer::{GgufVocab, Specials, StreamDecoder, Tokenizer, TokenizerError};
