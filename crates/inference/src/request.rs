//! What is asked: one [`Request`], checked once when it is made and trusted from then on.
//!
//! Ranges live here, so that every way in (HTTP, terminal) has the same ones. Parameters are named as OpenAI names
//! them, because that is how the caller wrote them.

use std::fmt;
use std::ops::Deref;
use std::path::PathBuf;

use serde_json::{Map, Value};

use crate::form::{AnswerForm, Tool, ToolCall};
use crate::payer::PaidBy;

/// Upper bounds of what one request may ask.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Messages in one conversation.
    pub n_messages: usize,
    /// Answers to one prompt (`n`).
    pub n_choices: u32,
    /// Stop strings.
    pub n_stop: usize,
    /// Bytes of one stop string.
    pub stop_bytes: usize,
    /// Entries of `logit_bias`.
    pub n_logit_bias: usize,
    /// Ids in `stop_token_ids`.
    pub n_stop_tokens: usize,
    /// Words that must not come; each may have as many bytes as a stop string.
    pub n_bad_words: usize,
    /// Alternatives that may be told for each token.
    pub n_top_logprobs: u32,
}

/// The limits of every request.
pub const LIMITS: Limits = Limits {
    n_messages: 10_000,
    n_choices: 16,
    n_stop: 16,
    stop_bytes: 1_024,
    n_logit_bias: 1_024,
    n_stop_tokens: 128,
    n_bad_words: 128,
    n_top_logprobs: 20,
};

/// Who says a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Instructions of the application.
    System,
    /// OpenAI's newer name for [`Role::System`]; templates are given `system`, the name that they know.
    Developer,
    /// The person.
    User,
    /// The model, in earlier turns.
    Assistant,
    /// What a function gave that the model called.
    Tool,
}

/// One turn of a conversation.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// The text; several text parts are joined with a line feed.
    pub content: String,
    /// What the model thought before it said that, where it is kept.
    pub reasoning: Option<String>,
    /// The functions that the model called.
    pub tool_calls: Vec<ToolCall>,
    /// Of a function's result: the id of the call.
    pub tool_call_id: Option<String>,
    /// The speaker's name, or the function's.
    pub name: Option<String>,
}

impl Message {
    /// Plain words.
    #[must_use]
    pub fn new(role: Role, content: impl Into<String>) -> Message {
        Message {
            role,
            content: content.into(),
            reasoning: None,
            tool_calls: Vec::new(),
            tool_call_id: None,
            name: None,
        }
    }
}

impl fmt::Debug for Message {
    /// Leaves the words out: a conversation must not reach a log by accident.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Message({:?}, {} bytes)", self.role, self.content.len())
    }
}

/// What the answer goes on from.
#[derive(Clone, PartialEq, Eq)]
pub enum Prompt {
    /// Messages, put into the model's own form by its chat template.
    Conversation(Conversation),
    /// The whole prompt as text. Whoever writes that writes the model's special tokens, too: their names become them.
    Text(String),
    /// Token ids of the model.
    Tokens(Vec<u32>),
}

impl fmt::Debug for Prompt {
    /// Leaves the words out, as [`Message`] does.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Prompt::Conversation(conversation) => conversation.fmt(f),
            Prompt::Text(text) => write!(f, "Text({} bytes)", text.len()),
            Prompt::Tokens(tokens) => write!(f, "Tokens({})", tokens.len()),
        }
    }
}

/// A conversation, and what the model's template is told besides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversation {
    /// Oldest first.
    pub messages: Vec<Message>,
    /// Where the prompt ends.
    pub ending: PromptEnding,
    /// The functions that the model is told of.
    pub tools: Vec<Tool>,
    /// Further variables of the model's template.
    pub variables: Map<String, Value>,
}

impl Conversation {
    /// One that the model is to answer.
    #[must_use]
    pub fn new(messages: Vec<Message>) -> Conversation {
        Conversation {
            messages,
            ending: PromptEnding::Reply,
            tools: Vec::new(),
            variables: Map::new(),
        }
    }

    fn check(&self) -> Result<(), InvalidRequest> {
        let n_messages = self.messages.len();
        if n_messages == 0 {
            return Err(InvalidRequest::new("messages", "must hold at least one message"));
        }
        if n_messages > LIMITS.n_messages {
            let fault = format!("holds {n_messages} messages; at most {} fit", LIMITS.n_messages);
            return Err(InvalidRequest::new("messages", fault));
        }
        Ok(())
    }
}

/// Where the prompt of a conversation ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PromptEnding {
    /// Behind the opening of the assistant's turn, which the answer fills.
    Reply,
    /// Within the last message, which the answer goes on with.
    Continue,
    /// Behind the last message, with nothing opened.
    Bare,
}

/// How tokens are chosen. `None` is the model's own default, and where the model has none, OpenAI's.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RequestSampling {
    /// 0 to 2; 0 always takes the most likely token.
    pub temperature: Option<f32>,
    /// Over 0, up to 1: keep the most likely tokens that together have this probability.
    pub top_p: Option<f32>,
    /// Keep this many of the most likely tokens; 0 keeps all.
    pub top_k: Option<u32>,
    /// 0 to 1: keep tokens at least this likely relative to the most likely one.
    pub min_p: Option<f32>,
    /// -2 to 2, taken once from each token that the answer already has.
    pub presence_penalty: Option<f32>,
    /// -2 to 2, taken from each token for every time that the answer already has it.
    pub frequency_penalty: Option<f32>,
    /// Over 0, up to 10: divides (or, where negative, multiplies) the logits of tokens seen before.
    pub repetition_penalty: Option<f32>,
    /// Token id to -100 to 100, added to its logit.
    pub logit_bias: Vec<(u32, f32)>,
    /// Same seed, same request, same `system_fingerprint`: same answer. Choice `i` of several runs with
    /// `seed + i` (wrapping). `None` draws one.
    pub seed: Option<u64>,
}

/// Names the circle inside which cached prompt prefixes may be shared; requests of different scopes never meet.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CacheScope(pub [u8; 32]);

impl fmt::Debug for CacheScope {
    /// Says nothing of the value: knowing it would let one project probe another's cache.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CacheScope(..)")
    }
}

/// An adapter that changes the model for one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdapterSource {
    /// For messages and logs.
    pub name: String,
    /// Where its files are.
    pub folder: PathBuf,
    /// SHA-256 of them, as they were checked.
    pub digest: [u8; 32],
}

/// A request that has not been checked yet.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Names the request in logs.
    pub id: String,
    /// The served name of the model.
    pub model: String,
    /// What changes the model, if anything does.
    pub adapter: Option<AdapterSource>,
    /// What the answer goes on from.
    pub prompt: Prompt,
    /// How tokens are chosen.
    pub sampling: RequestSampling,
    /// At most so many tokens per choice, at least 1; `None` is what the context leaves.
    pub max_tokens: Option<u32>,
    /// Where the context leaves fewer than `max_tokens`, the answer ends with the context, instead of being refused.
    pub may_end_with_context: bool,
    /// The answer ends before the first of these, which is not part of it.
    pub stop: Vec<String>,
    /// Leaves the stop string, or the text of the stop token, at the end of the answer.
    pub include_stop: bool,
    /// Further tokens that end the answer.
    pub stop_token_ids: Vec<u32>,
    /// Neither the model's end nor a stop comes among the first so many tokens.
    pub min_tokens: u32,
    /// Words whose spelling in tokens never comes, with or without a space before it.
    pub bad_words: Vec<String>,
    /// Tells how likely each token was, with so many alternatives.
    pub top_logprobs: Option<u32>,
    /// The form of the answer: functions, what the text must be, thinking.
    pub form: AnswerForm,
    /// How many answers.
    pub n: u32,
    /// Goes on when the model would end, up to `max_tokens`.
    pub ignore_eos: bool,
    /// Whose cached prefixes may serve it.
    pub cache_scope: CacheScope,
    /// Whose requests share a machine's time as one: the scope of a whole project.
    pub tenant: CacheScope,
    /// Who pays.
    pub paid_by: PaidBy,
}

impl Draft {
    /// A request for one answer to a conversation with every default, for callers that set only what they need.
    #[must_use]
    pub fn new(model: impl Into<String>, messages: Vec<Message>) -> Draft {
        Draft::on(model, Prompt::Conversation(Conversation::new(messages)))
    }

    /// The same for any prompt.
    #[must_use]
    pub fn on(model: impl Into<String>, prompt: Prompt) -> Draft {
        Draft {
            id: String::new(),
            model: model.into(),
            adapter: None,
            prompt,
            sampling: RequestSampling::default(),
            max_tokens: None,
            may_end_with_context: false,
            stop: Vec::new(),
            include_stop: false,
            stop_token_ids: Vec::new(),
            min_tokens: 0,
            bad_words: Vec::new(),
            top_logprobs: None,
            form: AnswerForm::default(),
            n: 1,
            ignore_eos: false,
            cache_scope: CacheScope([0; 32]),
            tenant: CacheScope([0; 32]),
            paid_by: PaidBy::default(),
        }
    }

    /// Checks every field against its range.
    ///
    /// # Errors
    /// The first field out of range, by name.
    pub fn check(self) -> Result<Request, InvalidRequest> {
        self.check_prompt()?;
        self.check_sampling()?;
        self.check_stop()?;
        self.check_wishes()?;
        self.form.check()?;
        if self.max_tokens == Some(0) {
            return Err(InvalidRequest::new(
                "max_completion_tokens",
                "must be at least 1, or left out",
            ));
        }
        if !(1..=LIMITS.n_choices).contains(&self.n) {
            let fault = format!("must be from 1 to {}, and is {}", LIMITS.n_choices, self.n);
            return Err(InvalidRequest::new("n", fault));
        }
        Ok(Request(self))
    }

    fn check_prompt(&self) -> Result<(), InvalidRequest> {
        match &self.prompt {
            Prompt::Conversation(conversation) => conversation.check(),
            Prompt::Text(text) if text.is_empty() => Err(InvalidRequest::new("prompt", "must not be empty")),
            Prompt::Tokens(tokens) if tokens.is_empty() => {
                Err(InvalidRequest::new("prompt", "must hold at least one token"))
            }
            Prompt::Text(_) | Prompt::Tokens(_) => Ok(()),
        }
    }

    fn check_sampling(&self) -> Result<(), InvalidRequest> {
        let sampling = &self.sampling;
        within("temperature", sampling.temperature, 0.0, 2.0)?;
        within("min_p", sampling.min_p, 0.0, 1.0)?;
        within("presence_penalty", sampling.presence_penalty, -2.0, 2.0)?;
        within("frequency_penalty", sampling.frequency_penalty, -2.0, 2.0)?;
        above_zero("top_p", sampling.top_p, 1.0)?;
        above_zero("repetition_penalty", sampling.repetition_penalty, 10.0)?;
        at_most("logit_bias", sampling.logit_bias.len(), LIMITS.n_logit_bias)?;
        for (token, bias) in &sampling.logit_bias {
            within(&format!("logit_bias.{token}"), Some(*bias), -100.0, 100.0)?;
        }
        Ok(())
    }

    fn check_wishes(&self) -> Result<(), InvalidRequest> {
        at_most("stop_token_ids", self.stop_token_ids.len(), LIMITS.n_stop_tokens)?;
        at_most("bad_words", self.bad_words.len(), LIMITS.n_bad_words)?;
        for (idx, word) in self.bad_words.iter().enumerate() {
            if word.trim().is_empty() || word.len() > LIMITS.stop_bytes {
                let fault = format!("must have a word of at most {} bytes", LIMITS.stop_bytes);
                return Err(InvalidRequest::new(format!("bad_words[{idx}]"), fault));
            }
        }
        if self.top_logprobs > Some(LIMITS.n_top_logprobs) {
            let fault = format!("must be at most {}", LIMITS.n_top_logprobs);
            return Err(InvalidRequest::new("top_logprobs", fault));
        }
        match self.max_tokens {
            Some(max_tokens) if self.min_tokens > max_tokens => Err(InvalidRequest::new(
                "min_tokens",
                format!(
                    "must not be over the {max_tokens} tokens that the answer may have, and is {}",
                    self.min_tokens
                ),
            )),
            _ => Ok(()),
        }
    }

    fn check_stop(&self) -> Result<(), InvalidRequest> {
        if self.stop.len() > LIMITS.n_stop {
            let fault = format!("has {} strings; at most {} fit", self.stop.len(), LIMITS.n_stop);
            return Err(InvalidRequest::new("stop", fault));
        }
        for (idx, stop) in self.stop.iter().enumerate() {
            if stop.is_empty() {
                return Err(InvalidRequest::new(
                    format!("stop[{idx}]"),
                    "must not be empty: an empty string would end every answer at once",
                ));
            }
            if stop.len() > LIMITS.stop_bytes {
                let fault = format!("has {} bytes; at most {} fit", stop.len(), LIMITS.stop_bytes);
                return Err(InvalidRequest::new(format!("stop[{idx}]"), fault));
            }
        }
        Ok(())
    }
}

fn at_most(param: &str, n: usize, limit: usize) -> Result<(), InvalidRequest> {
    if n > limit {
        return Err(InvalidRequest::new(
            param,
            format!("has {n} entries; at most {limit} fit"),
        ));
    }
    Ok(())
}

fn within(param: &str, value: Option<f32>, low: f32, high: f32) -> Result<(), InvalidRequest> {
    match value {
        // A NaN is in no range.
        Some(value) if !(low..=high).contains(&value) => Err(InvalidRequest::new(
            param,
            format!("must be from {low} to {high}, and is {value}"),
        )),
        _ => Ok(()),
    }
}

fn above_zero(param: &str, value: Option<f32>, high: f32) -> Result<(), InvalidRequest> {
    match value {
        Some(value) if !(value > 0.0 && value <= high) => Err(InvalidRequest::new(
            param,
            format!("must be over 0 and at most {high}, and is {value}"),
        )),
        _ => Ok(()),
    }
}

/// A checked request. Its fields are those of [`Draft`], readable and no longer changeable.
#[derive(Debug, Clone)]
pub struct Request(Draft);

impl Deref for Request {
    type Target = Draft;

    fn deref(&self) -> &Draft {
        &self.0
    }
}

/// A field of a request that cannot be honoured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{param}' {fault}")]
pub struct InvalidRequest {
    /// The field as the caller named it, with its path: `stop[3]`.
    pub param: String,
    /// What is wrong and what would be right; completes "'param' …".
    pub fault: String,
}

impl InvalidRequest {
    /// A fault of one field.
    #[must_use]
    pub fn new(param: impl Into<String>, fault: impl Into<String>) -> InvalidRequest {
        InvalidRequest {
            param: param.into(),
            fault: fault.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft() -> Draft {
        Draft::new("m", vec![Message::new(Role::User, "hello")])
    }

    fn refused(change: impl FnOnce(&mut Draft)) -> String {
        let mut draft = draft();
        change(&mut draft);
        draft.check().expect_err("out of range").to_string()
    }

    #[test]
    fn the_edges_of_every_range_are_inside() {
        for (temperature, top_p, penalty) in [(0.0, f32::MIN_POSITIVE, -2.0), (2.0, 1.0, 2.0)] {
            let mut draft = draft();
            draft.sampling.temperature = Some(temperature);
            draft.sampling.top_p = Some(top_p);
            draft.sampling.presence_penalty = Some(penalty);
            draft.sampling.frequency_penalty = Some(penalty);
            draft.n = LIMITS.n_choices;
            draft.stop = vec!["x".repeat(LIMITS.stop_bytes); LIMITS.n_stop];
            draft.check().expect("the edge is allowed");
        }
    }

    #[test]
    fn a_value_out_of_range_is_refused_by_name() {
        let temperature = refused(|draft| draft.sampling.temperature = Some(2.1));
        assert_eq!(temperature, "'temperature' must be from 0 to 2, and is 2.1");
        assert!(refused(|draft| draft.sampling.temperature = Some(f32::NAN)).starts_with("'temperature'"));
        assert!(refused(|draft| draft.sampling.top_p = Some(0.0)).starts_with("'top_p'"));
        assert!(refused(|draft| draft.sampling.min_p = Some(-0.1)).starts_with("'min_p'"));
        assert!(refused(|draft| draft.sampling.logit_bias = vec![(7, 101.0)]).starts_with("'logit_bias.7'"));
        assert!(refused(|draft| draft.stop = vec!["a".into(), String::new()]).starts_with("'stop[1]'"));
        assert!(refused(|draft| draft.n = 0).starts_with("'n'"));
        assert!(refused(|draft| draft.n = LIMITS.n_choices + 1).starts_with("'n'"));
        assert!(refused(|draft| draft.max_tokens = Some(0)).starts_with("'max_completion_tokens'"));
        assert!(
            refused(|draft| draft.prompt = Prompt::Conversation(Conversation::new(Vec::new())))
                .starts_with("'messages'")
        );
    }

    #[test]
    fn what_people_say_is_not_in_the_debug_form() {
        assert!(!format!("{:?}", draft()).contains("hello"));
    }
}
