//! The narrow waist of Tokenmill: what is asked ([`Request`]), what comes back ([`Event`]), and who can
//! answer ([`Upstream`], found by name through the [`Router`]).
//!
//! Everything above (HTTP, the terminal chat) makes a [`Request`] and reads an [`EventStream`]; everything below
//! (our engine, later other servers) turns one into the other. Nothing here knows a status code, a header or a wire
//! format, so neither type can be serialised.

mod request;

mod form;

mod payer;

mod event;

mod router;

pub mod upstream;

pub use event::{Event, EventStream, FinishReason, InferenceError, Started, TokenLogprob, TokenText, Usage};
pub use form::{AnswerForm, Effort, MAX_TOOLS, TextForm, Tool, ToolCall, ToolChoice};
pub use payer::{NotAdmitted, PaidBy, Payer, WorstCase};
pub use request::{
    AdapterSource, CacheScope, Conversation, Draft, InvalidRequest, LIMITS, Limits, Message, Prompt,
    PromptEnding, Request, RequestSampling, Role,
};
pub use router::{Router, RouterError};
pub use tokenmill_model::{AdapterFault, AdapterSummary};
pub use upstream::{Adapters, KINDS, ModelCard, Prompts, Upstream, UpstreamKind, UpstreamStats};
