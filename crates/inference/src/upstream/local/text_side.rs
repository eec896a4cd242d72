//! Conversations to token ids.

use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};
use tokenmill_text::grammar::GrammarCompiler;
use tokenmill_text::{
    ChatForm, ChatTemplate, RenderedPrompt, TemplateInput, Timestamp, Tokenizer, TokenizerError,
};

use crate::event::InferenceError;
use crate::form::{Tool, ToolCall};
use crate::request::{Conversation, InvalidRequest, Message, Prompt, PromptEnding, Role};

/// What turns conversations into tokens and tokens into text.
pub(super) struct TextSide {
    pub(super) tokenizer: Arc<Tokenizer>,
    pub(super) template: ChatTemplate,
    /// What the template takes.
    pub(super) form: ChatForm,
    pub(super) end_tokens: Vec<u32>,
    /// Made when the first request needs it, for it takes time and memory.
    compiler: OnceLock<Result<GrammarCompiler, String>>,
}

impl TextSide {
    pub(super) fn new(
        tokenizer: Tokenizer,
        template: ChatTemplate,
        form: ChatForm,
        end_tokens: Vec<u32>,
    ) -> TextSide {
        TextSide {
            tokenizer: Arc::new(tokenizer),
            template,
            form,
            end_tokens,
            compiler: OnceLock::new(),
        }
    }

    /// Compiles grammars over the model's tokens.
    pub(super) fn compiler(&self) -> Result<&GrammarCompiler, InferenceError> {
        let made = self.compiler.get_or_init(|| {
            GrammarCompiler::new(self.tokenizer.clone(), &self.end_tokens).map_err(|error| error.to_string())
        });
        made.as_ref()
            .map_err(|error| InferenceError::Fault(error.clone()))
    }

    /// The ids of a rendered conversation.
    pub(super) fn encoded(&self, rendered: &RenderedPrompt) -> Result<Vec<u32>, InferenceError> {
        let tokens = self.tokenizer.encode_prompt(rendered);
        let tokens = tokens.map_err(|error| unreadable("messages", error))?;
        if tokens.is_empty() {
            return Err(InvalidRequest::new("messages", "gives an empty prompt; say something").into());
        }
        Ok(tokens)
    }

    /// The ids of a prompt. A plain text gets the beginning-of-sequence token that the model wants, as a conversation
    /// does; token ids stay as they are.
    pub(super) fn tokens(&self, prompt: Prompt) -> Result<Vec<u32>, InferenceError> {
        let (param, tokens) = match prompt {
            Prompt::Conversation(conversation) => return self.encoded(&self.render(&conversation)?),
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
            messages: conversation
                .messages
                .iter()
                .map(|message| template_message(message, &self.form))
                .collect(),
            tools: (!conversation.tools.is_empty())
                .then(|| conversation.tools.iter().map(template_tool).collect()),
            add_generation_prompt: conversation.ending == PromptEnding::Reply,
            extra: conversation.variables.clone(),
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

fn template_message(message: &Message, form: &ChatForm) -> Value {
    let role = match message.role {
        // The newer name of the same role; no template knows it.
        Role::System | Role::Developer => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    };
    let mut fields = Map::new();
    fields.insert("role".into(), role.into());
    fields.insert("content".into(), message.content.as_str().into());
    if let Some(reasoning) = &message.reasoning {
        // Templates have three names for it.
        for name in ["reasoning_content", "reasoning", "thinking"] {
            fields.insert(name.into(), reasoning.as_str().into());
        }
    }
    if !message.tool_calls.is_empty() {
        let calls = message.tool_calls.iter().map(|call| template_call(call, form));
        fields.insert("tool_calls".into(), calls.collect());
    }
    let ids = [("tool_call_id", &message.tool_call_id), ("name", &message.name)];
    for (name, value) in ids {
        if let Some(value) = value {
            fields.insert(name.into(), value.as_str().into());
        }
    }
    Value::Object(fields)
}

fn template_call(call: &ToolCall, form: &ChatForm) -> Value {
    let arguments = match serde_json::from_str::<Value>(&call.arguments) {
        Ok(arguments @ Value::Object(_)) if !form.wants_arguments_as_text => arguments,
        _ => Value::from(call.arguments.as_str()),
    };
    json!({
        "id": call.id, "type": "function",
        "function": {"name": call.name, "arguments": arguments},
    })
}

/// As transformers shows functions to templates. That one is strict is not the model's business.
fn template_tool(tool: &Tool) -> Value {
    let mut function = Map::new();
    function.insert("name".into(), tool.name.as_str().into());
    if let Some(description) = &tool.description {
        function.insert("description".into(), description.as_str().into());
    }
    let parameters = tool.parameters.clone().map(Value::Object);
    let parameters = parameters.unwrap_or_else(|| json!({"type": "object", "properties": {}}));
    function.insert("parameters".into(), parameters);
    json!({"type": "function", "function": function})
}
