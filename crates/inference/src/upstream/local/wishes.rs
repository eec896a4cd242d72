//! What a request asks of single tokens, by ids: where to end, and what never to say.

use tokenmill_text::{Specials, Tokenizer};

use crate::event::InferenceError;
use crate::request::{InvalidRequest, Request};

/// A request's wishes in token ids.
pub(super) struct Wishes {
    /// Tokens that end the answer.
    pub(super) end_tokens: Vec<u32>,
    /// Runs of tokens that never come.
    pub(super) banned: Vec<Vec<u32>>,
    min_tokens: u32,
}

impl Wishes {
    /// From a request for a model that ends with `end_tokens`.
    pub(super) fn of(
        request: &Request,
        tokenizer: &Tokenizer,
        end_tokens: &[u32],
    ) -> Result<Wishes, InferenceError> {
        let n_vocab = tokenizer.n_vocab();
        let mut all = if request.ignore_eos {
            Vec::new()
        } else {
            end_tokens.to_vec()
        };
        for (idx, &id) in request.stop_token_ids.iter().enumerate() {
            if id as usize >= n_vocab {
                let fault = format!("is {id}, which is no token of this model; ids are below {n_vocab}");
                return Err(InvalidRequest::new(format!("stop_token_ids[{idx}]"), fault).into());
            }
            all.push(id);
        }
        let mut banned = Vec::new();
        for (idx, word) in request.bad_words.iter().enumerate() {
            let word = word.trim();
            // Most vocabularies spell a word in the middle of a text with the space before it.
            for spelling in [word.to_owned(), format!(" {word}")] {
                let run = tokenizer.encode(&spelling, Specials::AsText).map_err(|error| {
                    InvalidRequest::new(format!("bad_words[{idx}]"), format!("has no spelling: {error}"))
                })?;
                if !run.is_empty() && !banned.contains(&run) {
                    banned.push(run);
                }
            }
        }
        Ok(Wishes {
            end_tokens: all,
            banned,
            min_tokens: request.min_tokens,
        })
    }

    /// Whether the least length fits into what the context and the payer leave.
    pub(super) fn check_room(&self, max_tokens: usize) -> Result<(), InvalidRequest> {
        if self.min_tokens as usize > max_tokens {
            let fault = format!(
                "is {}, and there is room for {max_tokens} tokens",
                self.min_tokens
            );
            return Err(InvalidRequest::new("min_tokens", fault));
        }
        Ok(())
    }
}
