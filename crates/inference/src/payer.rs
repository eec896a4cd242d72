//! Who pays for a request, as far as an upstream has to know: asked once before anything is computed, and told as
//! tokens come.
//!
//! A hook inside the upstream and not a check before it, because only the upstream knows how many tokens the prompt
//! has; and not a number in the answer alone, because an answer that is given up has no end to carry one.

use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;

/// The most that a request may come to, once its prompt is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorstCase {
    /// Tokens of the rendered prompt.
    pub n_prompt: u64,
    /// Tokens that each choice may have, what the context leaves where the request sets none. At least 1.
    pub max_tokens: u64,
    /// Answers to the prompt.
    pub n_choices: u32,
    /// Whether the request itself set `max_tokens`; then fewer would not be what was asked for.
    pub is_max_set: bool,
}

/// The payer has said no. Whoever made the payer knows why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAdmitted;

/// Pays for one request.
pub trait Payer: Send + Sync {
    /// Asked once, before anything is computed: how many tokens each choice may have. Never more than
    /// `worst.max_tokens`, never 0, and where the request set that, not fewer.
    fn admit(&self, worst: WorstCase) -> BoxFuture<'_, Result<u64, NotAdmitted>>;

    /// So many more tokens were generated, over all choices. The answer's own count at its end replaces the sum.
    fn generated(&self, n_tokens: u64);
}

/// The payer that a request carries; without one, whatever fits may run.
#[derive(Clone, Default)]
pub struct PaidBy(Option<Arc<dyn Payer>>);

impl PaidBy {
    /// `payer` pays.
    #[must_use]
    pub fn new(payer: Arc<dyn Payer>) -> PaidBy {
        PaidBy(Some(payer))
    }

    /// See [`Payer::admit`].
    ///
    /// # Errors
    /// The payer has said no.
    pub async fn admit(&self, worst: WorstCase) -> Result<u64, NotAdmitted> {
        match &self.0 {
            Some(payer) => payer.admit(worst).await,
            None => Ok(worst.max_tokens),
        }
    }

    /// See [`Payer::generated`].
    pub fn generated(&self, n_tokens: u64) {
        if let Some(payer) = &self.0 {
            payer.generated(n_tokens);
        }
    }
}

impl fmt::Debug for PaidBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() {
            "PaidBy(..)"
        } else {
            "PaidBy(nobody)"
        })
    }
}
