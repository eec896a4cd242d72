//! How the model reads prompts, for those who want to look.

use futures::FutureExt;
use futures::future::BoxFuture;
use tokenmill_text::Specials;

use super::LocalUpstream;
use super::plan::{prompt_text, prompt_tokens};
use crate::event::{InferenceError, TokenText};
use crate::request::{InvalidRequest, Request};
use crate::upstream::Prompts;

impl Prompts for LocalUpstream {
    fn tokens(&self, request: Request) -> BoxFuture<'_, Result<Vec<u32>, InferenceError>> {
        self.on_text_side(move |text| prompt_tokens(text, &request))
            .boxed()
    }

    fn rendered(&self, request: Request) -> BoxFuture<'_, Result<String, InferenceError>> {
        self.on_text_side(move |text| prompt_text(text, &request)).boxed()
    }

    fn plain_tokens(&self, text: String) -> BoxFuture<'_, Result<Vec<u32>, InferenceError>> {
        let encode = move |side: &super::TextSide| {
            let tokens = side.tokenizer.encode(&text, Specials::AsText);
            tokens.map_err(|error| super::text_side::unreadable("prompt", error))
        };
        self.on_text_side(encode).boxed()
    }

    fn token_texts(&self, tokens: &[u32]) -> Result<Vec<TokenText>, InferenceError> {
        let tokenizer = &self.text.tokenizer;
        let n_vocab = tokenizer.n_vocab();
        let text = |(idx, &id): (usize, &u32)| {
            if id as usize >= n_vocab {
                let fault = format!("is {id}, which is no token of this model; ids are below {n_vocab}");
                return Err(InvalidRequest::new(format!("tokens[{idx}]"), fault).into());
            }
            // An id that the vocabulary leaves open has no text.
            let bytes = tokenizer.token_bytes(id).unwrap_or_default().to_vec();
            Ok(TokenText { id, bytes })
        };
        tokens.iter().enumerate().map(text).collect()
    }

    fn text(&self, tokens: &[u32]) -> Result<String, InferenceError> {
        // Says which id is wrong.
        self.token_texts(tokens)?;
        let mut decoder = self.text.tokenizer.decoder().with_specials();
        let mut text: String = tokens.iter().map(|&id| decoder.push(id)).collect();
        text.push_str(&decoder.flush());
        Ok(text)
    }
}
