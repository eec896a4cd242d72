//! What comes back: a stream of [`Event`]s, and why there may be none.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::Stream;

use crate::request::InvalidRequest;

/// One piece of an answer.
///
/// The order is: [`Event::Started`]; then text and one [`Event::ChoiceFinished`] for each choice, choices
/// interleaved as they come, no text of a choice after its end; then exactly one [`Event::Finished`], last.
/// A stream that fails gives one `Err` instead of the rest, and that is last.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Somebody has taken the request on.
    Started(Started),
    /// More text of one choice. Never empty, never part of a character, never the beginning of a stop string.
    Text {
        /// Which choice, from 0.
        choice: u32,
        /// What it adds.
        text: String,
    },
    /// More thinking of one choice, before its text and calls. Never empty.
    Reasoning {
        /// Which choice, from 0.
        choice: u32,
        /// What it adds.
        text: String,
    },
    /// One choice calls a function. Its arguments follow.
    ToolCall {
        /// Which choice, from 0.
        choice: u32,
        /// Which call of the choice, from 0.
        index: usize,
        /// The name of the call itself.
        id: String,
        /// The function's name.
        name: String,
    },
    /// More of the arguments of the call that came last.
    ToolArguments {
        /// Which choice, from 0.
        choice: u32,
        /// Which call of the choice.
        index: usize,
        /// What it adds to the JSON text. Never empty.
        text: String,
    },
    /// How likely the next tokens of one choice were; only where the request asks, and before the text that they
    /// begin. Tokens that no text shows, such as those of a stop string, are left out.
    Logprobs {
        /// Which choice, from 0.
        choice: u32,
        /// The tokens, in order. Never empty.
        tokens: Vec<TokenLogprob>,
    },
    /// A choice is complete.
    ChoiceFinished {
        /// Which choice, from 0.
        choice: u32,
        /// Why it ended.
        reason: FinishReason,
    },
    /// All choices are complete.
    Finished(Usage),
}

/// What is known before the first token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    /// Names the exact weights, engine build and instruction set; `None` where the upstream does not say.
    pub system_fingerprint: Option<String>,
    /// Tokens of the prompt; `None` where the upstream tells only at the end.
    pub n_prompt: Option<u64>,
}

/// A token and how likely it was, among all tokens and before any sampling parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenLogprob {
    /// The chosen token.
    pub token: TokenText,
    /// The natural logarithm of its probability.
    pub logprob: f32,
    /// As many of the likeliest as were asked for, the likeliest first.
    pub top: Vec<(TokenText, f32)>,
}

/// A token as text.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenText {
    /// Its id.
    pub id: u32,
    /// Its bytes, which need not be whole characters.
    pub bytes: Vec<u8>,
}

impl fmt::Debug for TokenText {
    /// Leaves the text out, which is part of an answer.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenText({})", self.id)
    }
}

/// Why a choice ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinishReason {
    /// The model ended, or a stop token came up.
    Stop,
    /// This stop string of the request, by its index, came up.
    StopString(usize),
    /// The model called functions and waits for what they give.
    ToolCalls,
    /// The token limit or the end of the context was reached.
    Length,
}

/// What the request took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt, counted once however many choices.
    pub n_prompt: u64,
    /// How many of them came from the prefix cache; `None` where the upstream does not say.
    pub n_cached: Option<u64>,
    /// Tokens generated over all choices, the end token and the tokens of the stop string among them.
    pub n_completion: u64,
    /// Of these, tokens of thinking; `None` for models that do not think.
    pub n_reasoning: Option<u64>,
}

/// Why there is no answer, or no more of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InferenceError {
    /// No deployment has this name.
    #[error("no model is served as '{model}'")]
    UnknownModel {
        /// The name asked for.
        model: String,
    },
    /// A field that this model cannot honour.
    #[error(transparent)]
    Invalid(#[from] InvalidRequest),
    /// The prompt, or the prompt and the asked-for tokens together, do not fit the model's context.
    #[error(
        "the context holds {n_context} tokens; the prompt has {n_prompt} and {n_completion} more were asked for"
    )]
    ContextLengthExceeded {
        /// Tokens of the rendered prompt.
        n_prompt: usize,
        /// Tokens asked for; 1 where none were, for an answer has at least one.
        n_completion: usize,
        /// Tokens that fit.
        n_context: usize,
    },
    /// The adapter that was asked for cannot be applied; the text is for the caller.
    #[error("{0}")]
    Adapter(String),
    /// Who pays has said no, and knows why.
    #[error("the payer has not admitted the request")]
    NotAdmitted,
    /// Whoever asked may no longer.
    #[error("the request's key was revoked")]
    Revoked,
    /// The queue is full.
    #[error("the queue is full")]
    Overloaded,
    /// The upstream is going away.
    #[error("the engine is shutting down")]
    ShuttingDown,
    /// The upstream has failed as a whole and answers nothing any more; the text is for the log.
    #[error("the upstream has failed: {0}")]
    Failed(String),
    /// A fault of ours or of the upstream's; the text is for the log.
    #[error("fault: {0}")]
    Fault(String),
}

/// The answer as it comes. Dropping it cancels the request.
pub struct EventStream(Pin<Box<dyn Stream<Item = Result<Event, InferenceError>> + Send>>);

impl EventStream {
    /// Wraps an upstream's stream, which must cancel its work when it is dropped.
    pub fn new(events: impl Stream<Item = Result<Event, InferenceError>> + Send + 'static) -> EventStream {
        EventStream(Box::pin(events))
    }
}

impl Stream for EventStream {
    type Item = Result<Event, InferenceError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(context)
    }
}

impl fmt::Debug for EventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EventStream")
    }
}
