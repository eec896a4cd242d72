//! Why an engine does not start and why a submission is refused.

use thiserror::Error;
use tokenmill_kernels::kv_cache::KvCacheError;

/// Why an engine does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// `max_running` is 0.
    #[error("max_running is 0: the engine could never run anything")]
    NoPlace,
    /// `step_tokens` leaves no room for prompts.
    #[error(
        "step_tokens is {step_tokens} and must exceed max_running, {max_running}, so that prompts always get on"
    )]
    StepTooSmall {
        /// Tokens per step.
        step_tokens: usize,
        /// Sequences at a time.
        max_running: usize,
    },
    /// Not one page fits.
    #[error("kv_bytes is {kv_bytes}, but one page of this model's keys and values takes {page_bytes}")]
    NoRoom {
        /// Bytes allowed.
        kv_bytes: usize,
        /// Bytes needed for one page.
        page_bytes: usize,
    },
    /// The pages cannot be had.
    #[error("cannot reserve memory for keys and values: {0}")]
    KvCache(#[from] KvCacheError),
    /// The system refuses a thread.
    #[error("cannot start the engine's thread: {0}")]
    Thread(#[source] std::io::Error),
}

/// Why a submission is refused. A refused submission's sink hears nothing.
#[derive(Debug, Clone, Copy, PartialEq, Error)]
pub enum SubmitError {
    /// As many sequences run and wait as may. Try again later.
    #[error("the queue is full: {n_sequences} sequences run or wait")]
    QueueFull {
        /// How many there are.
        n_sequences: usize,
    },
    /// The engine is ending.
    #[error("the engine is shutting down")]
    ShuttingDown,
    /// The engine met a bug of its own and stopped.
    #[error("the engine has failed and runs nothing any more; restart it")]
    Failed,
    /// Prompt and output do not fit.
    #[error("{0}")]
    TooLong(TooLong),
    /// No token to start from.
    #[error("prompt is empty; it needs at least one token")]
    EmptyPrompt,
    /// `max_tokens` is 0.
    #[error("max_tokens is 0; it must be at least 1")]
    NothingToGenerate,
    /// A token id that the model does not have.
    #[error("{parameter} holds token {id}, but the model's vocabulary ends at {n_vocab}")]
    UnknownToken {
        /// Where it stands.
        parameter: &'static str,
        /// The id.
        id: u32,
        /// Size of the vocabulary.
        n_vocab: usize,
    },
    /// A sampling parameter that is no number or out of range.
    #[error("{parameter} is {value}; it must be from {low} to {high}")]
    OutOfRange {
        /// Its name.
        parameter: &'static str,
        /// What was given.
        value: f32,
        /// Least allowed.
        low: f32,
        /// Most allowed.
        high: f32,
    },
}

/// The numbers of a sequence that can never fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "{n_prompt} prompt tokens and {max_tokens} to generate do not fit into {capacity} tokens, the most that one \
     sequence can have here"
)]
pub struct TooLong {
    /// Tokens in the prompt.
    pub n_prompt: usize,
    /// Tokens asked for.
    pub max_tokens: usize,
    /// What model context and page memory allow.
    pub capacity: usize,
}
