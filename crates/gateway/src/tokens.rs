//! Tokens as callers see them, whatever the door.

use schemars::JsonSchema;
use serde::Serialize;
use tokenmill_inference::{TokenLogprob, TokenText, Usage};

/// JSON has no infinity; OpenAI writes this for a token that is as good as impossible.
const IMPOSSIBLE: f32 = -9999.0;

/// A token and how likely it was.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Logprob {
    pub(crate) token: String,
    pub(crate) logprob: f32,
    pub(crate) bytes: Vec<u8>,
}

impl Logprob {
    pub(crate) fn of(text: &TokenText, logprob: f32) -> Logprob {
        Logprob {
            token: lossy(&text.bytes),
            logprob: logprob.max(IMPOSSIBLE),
            bytes: text.bytes.clone(),
        }
    }
}

/// A token of an answer, how likely it was, and what else was likely.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct ContentLogprob {
    #[serde(flatten)]
    token: Logprob,
    top_logprobs: Vec<Logprob>,
}

impl ContentLogprob {
    pub(crate) fn of(token: &TokenLogprob) -> ContentLogprob {
        let top = token.top.iter();
        ContentLogprob {
            token: Logprob::of(&token.token, token.logprob),
            top_logprobs: top.map(|(text, logprob)| Logprob::of(text, *logprob)).collect(),
        }
    }
}

/// What an answer took, as OpenAI's older doors tell it.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct CompletionUsage {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    /// Absent when unknown: a 0 would be a claim.
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_tokens_details: Option<PromptTokensDetails>,
    /// Absent for models that do not think.
    #[serde(skip_serializing_if = "Option::is_none")]
    completion_tokens_details: Option<CompletionTokensDetails>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct CompletionTokensDetails {
    reasoning_tokens: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
struct PromptTokensDetails {
    cached_tokens: u64,
}

impl From<Usage> for CompletionUsage {
    fn from(usage: Usage) -> CompletionUsage {
        CompletionUsage {
            prompt_tokens: usage.n_prompt,
            completion_tokens: usage.n_completion,
            total_tokens: usage.n_prompt.saturating_add(usage.n_completion),
            prompt_tokens_details: usage
                .n_cached
                .map(|cached_tokens| PromptTokensDetails { cached_tokens }),
            completion_tokens_details: usage
                .n_reasoning
                .map(|reasoning_tokens| CompletionTokensDetails { reasoning_tokens }),
        }
    }
}

/// A token's text, with U+FFFD for bytes that are no whole character.
pub(crate) fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
