//! Who answers: the trait [`Upstream`], and [`KINDS`], the one list of them.

pub mod local;

use std::path::Path;

use futures::future::BoxFuture;
use tokenmill_model::{AdapterFault, AdapterSummary};

use crate::event::{EventStream, InferenceError, TokenText};
use crate::request::Request;

/// One that answers requests for the models that it serves.
pub trait Upstream: Send + Sync {
    /// Its entry in [`KINDS`].
    fn kind(&self) -> &'static str;

    /// The models that it serves.
    fn models(&self) -> Vec<ModelCard>;

    /// Takes a request on, once its [`PaidBy`](crate::PaidBy) has admitted it: not before that is anything computed, and
    /// not beyond what that allows. It hears of tokens as they are generated. Dropping the future, or later the stream, cancels it: an upstream stops working for a
    /// request that nobody reads within one step.
    fn start(&self, request: Request) -> BoxFuture<'_, Result<EventStream, InferenceError>>;

    /// Whether it can answer at all. One that is only busy is up.
    fn is_up(&self) -> bool;

    /// How it reads prompts for one of its models; `None` where it cannot show that.
    fn prompts(&self, _model: &str) -> Option<&dyn Prompts> {
        None
    }

    /// What it knows of adapters for one of its models; `None` where it takes none.
    fn adapters(&self, _model: &str) -> Option<&dyn Adapters> {
        None
    }

    /// How busy it is with one of its models; `None` where it cannot say.
    fn stats(&self, model: &str) -> Option<UpstreamStats>;
}

/// How a model reads prompts, for callers who want to look at it or count.
pub trait Prompts: Send + Sync {
    /// The token ids of a request's prompt, exactly as its answer would go on from them.
    fn tokens(&self, request: Request) -> BoxFuture<'_, Result<Vec<u32>, InferenceError>>;

    /// A request's prompt in the model's own form.
    fn rendered(&self, request: Request) -> BoxFuture<'_, Result<String, InferenceError>>;

    /// The token ids of a plain text, in which the names of special tokens are plain text, too; and with nothing put
    /// before it.
    fn plain_tokens(&self, text: String) -> BoxFuture<'_, Result<Vec<u32>, InferenceError>>;

    /// Each token's bytes, special tokens by their names. The first id that the model does not have is an error.
    fn token_texts(&self, tokens: &[u32]) -> Result<Vec<TokenText>, InferenceError>;

    /// The text of tokens, special tokens by their names.
    fn text(&self, tokens: &[u32]) -> Result<String, InferenceError>;
}

/// What an upstream knows of adapters for a model.
pub trait Adapters: Send + Sync {
    /// Whether the adapter in `folder` can be applied to the model, with ranks of at most `max_rank`. Reads its files: for a
    /// thread that may be busy for a while.
    ///
    /// # Errors
    /// What keeps it from being applied exactly.
    fn check(&self, folder: &Path, max_rank: usize) -> Result<AdapterSummary, AdapterFault>;

    /// How many are in memory.
    fn n_resident(&self) -> usize;
}

/// A kind of upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpstreamKind {
    /// As configured.
    pub name: &'static str,
    /// One line for the reference page.
    pub summary: &'static str,
}

/// Every kind of upstream.
pub const KINDS: &[UpstreamKind] = &[UpstreamKind {
    name: "local",
    summary: "the engine of this process, on weights that it has loaded",
}];

/// What is said of a served model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelCard {
    /// The served name, as requests give it.
    pub id: String,
    /// When it came to be, in seconds since 1970.
    pub created: u64,
    /// Who made or serves it.
    pub owned_by: String,
    /// The name in the model's own files; equal to `id` unless it is served under another.
    pub root: String,
    /// Tokens that fit, prompt and answer together.
    pub n_context: u64,
    /// Parameters; `None` where unknown.
    pub n_params: Option<u64>,
    /// How the weights are stored: `Q8_0`, `BF16`; `None` where unknown.
    pub quantization: Option<String>,
}

/// How busy an upstream is, and what it has done since it started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UpstreamStats {
    /// Sequences being computed.
    pub n_running: u64,
    /// Sequences that wait for a place.
    pub n_waiting: u64,
    /// KV pages that running sequences hold.
    pub n_pages_used: u64,
    /// KV pages that hold only cached prefixes.
    pub n_pages_cached: u64,
    /// KV pages that hold nothing.
    pub n_pages_free: u64,
    /// Forward passes.
    pub n_steps: u64,
    /// Prompt tokens computed.
    pub n_prompt_tokens: u64,
    /// Prompt tokens that the prefix cache had.
    pub n_cached_tokens: u64,
    /// Tokens generated.
    pub n_generated_tokens: u64,
}
