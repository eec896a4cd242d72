//! Conversations to token ids.

use std::time::{SystemTime, UNIX_EPOCH};

use tokenmill_text::{ChatTemplate, RenderedPrompt, TemplateInput, Timestamp, Tokenizer, TokenizerError};

use crate::event::InferenceError;
use crate::request::{Conversation, InvalidRequest, Message, Prompt, PromptEnding, Role};

/// What turns conversations into tokens and tokens into text.
pub(super) struct TextSide {
    pub(super) tokenizer: Tokenizer,
    pub(super) template: ChatTemplate,
}

impl TextSide {
    /// The ids of a prompt. A plain text gets the beginning-of-sequence token that the model wants, as a conversation
    /// does; token ids stay as they are.
    pub(super) fn tokens(&self, prompt: Prompt) -> Result<Vec<u32>, InferenceError> {
        let (param, tokens) = match prompt {
            Prompt::Conversation(conversation) => {
                let prompt = self.render(&conversation)?;
                ("messages", self.tokenizer.encode_prompt(&prompt))
            }
            Prompt::Text(text) => {
                let prompt = RenderedPrompt::trusted(text);
                ("prompt", self.tokenizer.encode_prompt(&prompt))
            }
            Prompt::Tokens(tokens) => ("prompt", Ok(self.known(tokens)?)),
        };
        let tokens = tokens.map_err(|error| unreadable(param, error))?;
        if tokens.is_empty() {
            return Err(InvalidRequest::new(param, "gives an empty prompt; say something").into());
        }
        Ok(tokens)
    }

    fn known(&self, tokens: Vec<u32>) -> Result<Vec<u32>, InvalidRequest> {
        let n_vocab = self.tokenizer.n_vocab();
        match tokens.iter().position(|&id| id as usize >= n_vocab) {
            Some(idx) => {
                let fault = format!("names no token of this model; ids are below {n_vocab}");
                Err(InvalidRequest::new(format!("prompt[{idx}]"), fault))
            }
            None => Ok(tokens),
        }
    }

    /// Puts a conversation into the model's form, cut within the last message where that is to be continued.
    pub(super) fn render(&self, conversation: &Conversation) -> Result<RenderedPrompt, InferenceError> {
        if conversation.ending != PromptEnding::Continue {
            return self.render_whole(conversation);
        }
        // A mark behind the last message shows where the template ends it, even where it trims what it writes.
        let mark = mark_not_in(&conversation.messages);
        let mut marked = conversation.clone();
        if let Some(last) = marked.messages.last_mut() {
            last.content.push_str(&mark);
        }
        let rendered = self.render_whole(&marked)?;
        let mut places = rendered.text().match_indices(&mark);
        match (places.next(), places.next()) {
            (Some((place, _)), None) => Ok(rendered.cut(place)),
            _ => {
                let fault = "cannot be honoured: this model's template does not write the last message once, as it is";
                Err(InvalidRequest::new("continue_final_message", fault).into())
            }
        }
    }

    fn render_whole(&self, conversation: &Conversation) -> Result<RenderedPrompt, InferenceError> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        let input = TemplateInput {
            messages: conversation.messages.iter().map(template_message).collect(),
            tools: None,
            add_generation_prompt: conversation.ending == PromptEnding::Reply,
            extra: serde_json::Map::new(),
            now: Timestamp {
                unix_seconds: i64::try_from(now).unwrap_or(i64::MAX),
            },
        };
        self.template.render(&input).map_err(|error| {
            let fault = format!("cannot be put into this model's form: {error}");
            InferenceError::Invalid(InvalidRequest::new("messages", fault))
        })
    }
}

/// What a text that cannot be read is to the caller.
pub(super) fn unreadable(param: &str, error: TokenizerError) -> InferenceError {
    match error {
        TokenizerError::TextTooLong { .. } | TokenizerError::ReadsTooMuch => {
            InferenceError::Invalid(InvalidRequest::new(param, format!("is too long: {error}")))
        }
        other => InferenceError::Fault(other.to_string()),
    }
}

/// A word that no message has.
fn mark_not_in(messages: &[Message]) -> String {
    let is_free = |mark: &String| {
        messages
            .iter()
            .all(|message| !message.content.contains(mark.as_str()))
    };
    let mut marks = (0_usize..).map(|number| format!("tokenmill-goes-on-here-{number}."));
    marks.find(is_free).unwrap_or_default()
}

fn template_message(message: &Message) -> serde_json::Value {
    let role = match message.role {
        // The newer name of the same role; no template knows it.
        Role::System | Role::Developer => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
    };
    serde_json::json!({ "role": role, "content": message.content })
}
