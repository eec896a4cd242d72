//! What is asked of the engine: a prompt in token ids, how to sample, when to stop. Checked once, here; trusted after.

use crate::logprobs::MAX_TOP_LOGPROBS;
use crate::{SubmitError, TooLong};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokenmill_model::Adapter;

/// The largest magnitude of a penalty or of one token's bias: more than any logit of a sane model.
const MAX_ADJUSTMENT: f32 = 1e4;

/// One sequence to generate.
#[derive(Clone, Debug, PartialEq)]
pub struct Submission {
    /// Token ids, at least one, each below the model's `n_vocab`.
    pub prompt: Vec<u32>,
    /// How the next token is chosen.
    pub sampling: Sampling,
    /// Generate at most this many tokens; at least 1. Prompt and these together must fit the model's context.
    pub max_tokens: usize,
    /// None of the first so many tokens is an end token.
    pub min_tokens: usize,
    /// Runs of token ids, each at least one long, that never occur in the output; none is begun before it and ended in
    /// it.
    pub banned: Vec<Vec<u32>>,
    /// Log probabilities come with each token, with so many alternatives; none come without it.
    pub n_top_logprobs: Option<usize>,
    /// A token of these ends the sequence with [`crate::Reason::EndToken`] and is not delivered itself.
    pub end_tokens: Vec<u32>,
    /// What changes the model for this sequence; made for a model of the same shape.
    pub adapter: Option<Arc<Adapter>>,
    /// Cached prefix pages are shared only between sequences of equal scope and adapter.
    pub cache_scope: [u8; 32],
    /// Whose it is: tenants get the same share of the machine, however many sequences each has.
    pub tenant: [u8; 32],
    /// Higher goes first, before all shares and ages; 0 as a rule. Lower ones may have to wait for as long as there are
    /// higher ones.
    pub priority: i8,
}

/// How a token is chosen from logits. [`crate::sample`] documents order and exact meaning.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// 0 (or less than 1e-5) is greedy; otherwise logits are divided by it.
    pub temperature: f32,
    /// Keep the most likely tokens whose probabilities together reach this; in (0, 1], 1 keeps all.
    pub top_p: f32,
    /// Keep this many of the most likely tokens; 0 keeps all.
    pub top_k: usize,
    /// Keep tokens at least this fraction as likely as the most likely; in [0, 1], 0 keeps all.
    pub min_p: f32,
    /// Taken once from the logit of each token that was generated.
    pub presence_penalty: f32,
    /// Taken from a token's logit as often as it was generated.
    pub frequency_penalty: f32,
    /// Divides positive and multiplies negative logits of tokens in prompt or output; positive, 1 changes nothing.
    pub repetition_penalty: f32,
    /// Added to the logits of these tokens.
    pub logit_bias: Vec<(u32, f32)>,
    /// With the same seed, prompt and parameters the same tokens come, whatever else runs.
    pub seed: u64,
}

impl Sampling {
    /// The most likely token each time, nothing penalised.
    pub fn greedy() -> Sampling {
        Sampling {
            temperature: 0.0,
            top_p: 1.0,
            top_k: 0,
            min_p: 0.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            repetition_penalty: 1.0,
            logit_bias: Vec::new(),
            seed: 0,
        }
    }

    /// Whether tokens already seen change the logits.
    pub(crate) fn needs_history(&self) -> bool {
        self.presence_penalty != 0.0 || self.frequency_penalty != 0.0 || self.repetition_penalty != 1.0
    }

    fn check(&self, n_vocab: usize) -> Result<(), SubmitError> {
        let within = |parameter, value: f32, low: f32, high: f32| {
            // Written so that NaN fails.
            if value >= low && value <= high {
                Ok(())
            } else {
                Err(SubmitError::OutOfRange {
                    parameter,
                    value,
                    low,
                    high,
                })
            }
        };
        within("temperature", self.temperature, 0.0, 100.0)?;
        within("top_p", self.top_p, f32::MIN_POSITIVE, 1.0)?;
        within("min_p", self.min_p, 0.0, 1.0)?;
        within(
            "presence_penalty",
            self.presence_penalty,
            -MAX_ADJUSTMENT,
            MAX_ADJUSTMENT,
        )?;
        within(
            "frequency_penalty",
            self.frequency_penalty,
            -MAX_ADJUSTMENT,
            MAX_ADJUSTMENT,
        )?;
        within(
            "repetition_penalty",
            self.repetition_penalty,
            1.0 / MAX_ADJUSTMENT,
            MAX_ADJUSTMENT,
        )?;
        for &(id, bias) in &self.logit_bias {
            within("logit_bias", bias, -MAX_ADJUSTMENT, MAX_ADJUSTMENT)?;
            check_token("logit_bias", id, n_vocab)?;
        }
        Ok(())
    }
}

impl Submission {
    /// Everything that can be said without looking at the engine's state. `capacity` is the most tokens that one
    /// sequence can have, by the model's context and by the pages there are.
    pub(crate) fn check(&self, n_vocab: usize, capacity: usize) -> Result<(), SubmitError> {
        if self.prompt.is_empty() {
            return Err(SubmitError::EmptyPrompt);
        }
        if self.max_tokens == 0 {
            return Err(SubmitError::NothingToGenerate);
        }
        if self.prompt.len().saturating_add(self.max_tokens) > capacity {
            return Err(SubmitError::TooLong(TooLong {
                n_prompt: self.prompt.len(),
                max_tokens: self.max_tokens,
                capacity,
            }));
        }
        for &id in &self.prompt {
            check_token("prompt", id, n_vocab)?;
        }
        for &id in &self.end_tokens {
            check_token("end_tokens", id, n_vocab)?;
        }
        for &id in self.banned.iter().flatten() {
            check_token("banned", id, n_vocab)?;
        }
        if self.n_top_logprobs > Some(MAX_TOP_LOGPROBS) {
            return Err(SubmitError::OutOfRange {
                parameter: "top_logprobs",
                value: self.n_top_logprobs.unwrap_or(0) as f32,
                low: 0.0,
                high: MAX_TOP_LOGPROBS as f32,
            });
        }
        self.sampling.check(n_vocab)
    }

    pub(crate) fn end_token_set(&self) -> BTreeSet<u32> {
        self.end_tokens.iter().copied().collect()
    }
}

fn check_token(parameter: &'static str, id: u32, n_vocab: usize) -> Result<(), SubmitError> {
    if (id as usize) < n_vocab {
        Ok(())
    } else {
        Err(SubmitError::UnknownToken {
            parameter,
            id,
            n_vocab,
        })
    }
}
