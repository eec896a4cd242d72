//! The body of `POST /v1/completions` to an inference [`Draft`]: every field honoured, or refused by name.

use tokenmill_inference::Draft;

use crate::error::ApiError;
use crate::json::Json;
use crate::parameters::{
    Group, MODEL, caching, completion, ending, name, sampling, streaming, streaming::AnswerForm, text_form,
    without_effect,
};

/// What the body may hold.
pub(in crate::endpoints) const PARAMETERS: &[Group] = &[
    MODEL,
    completion::ROWS,
    sampling::ROWS,
    text_form::ROWS,
    ending::ROWS,
    caching::ROWS,
    streaming::STREAM,
    streaming::OPTIONS,
    without_effect::USER,
    without_effect::VLLM,
];

/// A body that has been read; its ranges are checked by [`Draft::check`].
pub(super) struct CompletionRequest {
    pub(super) draft: Draft,
    pub(super) answer: AnswerForm,
    pub(super) cache_salt: Option<String>,
    /// Whether the prompt comes before each answer.
    pub(super) echo: bool,
}

impl CompletionRequest {
    /// Reads a body.
    pub(super) fn parse(body: &[u8]) -> Result<CompletionRequest, ApiError> {
        let mut fields = Json::body(body, PARAMETERS)?;
        let model = name(fields.require("model")?, "model")?;
        let asked = completion::read(&mut fields)?;
        let mut draft = Draft::on(model, asked.prompt);
        draft.max_tokens = Some(asked.max_tokens);
        draft.top_logprobs = asked.top_logprobs;
        text_form::read(&mut fields, &mut draft.form)?;
        draft.sampling = sampling::read(&mut fields)?;
        ending::read(&mut fields, &mut draft)?;
        completion::best_of(&mut fields, draft.n)?;
        let cache_salt = caching::read(&mut fields)?;
        let answer = streaming::read(&mut fields)?;
        without_effect::check(&mut fields)?;
        fields.finish_body()?;
        Ok(CompletionRequest {
            draft,
            answer,
            cache_salt,
            echo: asked.echo,
        })
    }
}
