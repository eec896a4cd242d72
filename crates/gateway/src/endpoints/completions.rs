//! `POST /v1/completions`: OpenAI's older door, where the prompt is plain text or token ids.

mod request;
mod response;

use axum::response::Response;
use tokenmill_inference::{FinishReason, Prompt, Started, TokenLogprob, Usage};

use crate::error::ApiError;
use crate::generate::{Asked, Call, now_s};
use crate::openapi::{Reply, schema};
use crate::parameters::streaming::AnswerForm;
use crate::random_id;
use crate::stream::{CallHead, Frames, SseBuffer};
use request::CompletionRequest;
use response::{Completion, Head, Part, TextChoice};

pub(super) use request::PARAMETERS;

/// What comes back.
pub(super) const REPLIES: &[Reply] = &[
    Reply::json(schema::<Completion>),
    Reply::events(schema::<Completion>, "; after the last comes `[DONE]`"),
];

/// Answers one request.
pub(super) async fn create(call: Call) -> Result<Response, ApiError> {
    let (body, asked) = call.read(CompletionRequest::parse).await?;
    let CompletionRequest {
        draft,
        answer,
        cache_salt,
        echo,
    } = body;
    let asked = asked.naming(name);
    let echoed = match echo {
        true => echoed(&asked, &draft.model, &draft.prompt).await?,
        false => String::new(),
    };
    let running = asked.start(draft, cache_salt.as_deref()).await?;
    let mut head = Head {
        id: random_id("cmpl-"),
        created: now_s(),
        model: running.model.clone(),
        system_fingerprint: None,
    };
    let n_choices = running.n_choices;
    match answer {
        AnswerForm::Whole => {
            running
                .whole(move |folded| {
                    head.system_fingerprint = folded.started.system_fingerprint;
                    let choices = folded.choices.into_iter().enumerate();
                    let choices = choices.map(|(index, choice)| TextChoice::whole(index, choice, &echoed));
                    Completion::whole(&head, choices.collect(), folded.usage)
                })
                .await
        }
        AnswerForm::Stream { include_usage } => Ok(running.streamed(TextFrames {
            head,
            echoed,
            include_usage,
            choices: (0..n_choices).map(|_| Part::default()).collect(),
        })),
    }
}

/// What the body calls the fields of a draft.
fn name(ours: &str) -> Option<String> {
    let theirs = match ours {
        "max_completion_tokens" => "max_tokens",
        "messages" => "prompt",
        "top_logprobs" => "logprobs",
        _ => return None,
    };
    Some(theirs.to_owned())
}

/// The prompt as text.
async fn echoed(asked: &Asked, model: &str, prompt: &Prompt) -> Result<String, ApiError> {
    match prompt {
        Prompt::Text(text) => Ok(text.clone()),
        Prompt::Tokens(ids) => {
            let model = asked.named(model).await?.model;
            let Some(prompts) = asked.app.models.prompts(&model) else {
                // A model that is not there is told of when it is asked.
                return Ok(String::new());
            };
            let text = prompts.text(ids);
            text.map_err(|error| ApiError::from_inference(error, None).renamed(&prompt_name))
        }
        Prompt::Conversation(_) => Ok(String::new()),
    }
}

fn prompt_name(ours: &str) -> Option<String> {
    Some(format!("prompt{}", ours.strip_prefix("tokens")?))
}

/// Writes streamed `text_completion` objects.
struct TextFrames {
    head: Head,
    echoed: String,
    include_usage: bool,
    /// What is known of each choice between its pieces.
    choices: Vec<Part>,
}

impl TextFrames {
    fn write(&self, choice: TextChoice, out: &mut SseBuffer) {
        out.data(&Completion::piece(&self.head, vec![choice], self.include_usage));
    }
}

impl Frames for TextFrames {
    fn started(&mut self, started: Started, out: &mut SseBuffer) {
        self.head.system_fingerprint = started.system_fingerprint;
        if !self.echoed.is_empty() {
            for choice in 0..self.choices.len() {
                self.write(TextChoice::piece(choice, &self.echoed), out);
            }
        }
    }

    fn logprobs(&mut self, choice: u32, tokens: Vec<TokenLogprob>) {
        if let Some(part) = self.choices.get_mut(choice as usize) {
            part.logprobs.extend(tokens);
        }
    }

    fn text(&mut self, choice: u32, text: &str, out: &mut SseBuffer) {
        let idx = choice as usize;
        let logprobs = self.choices.get_mut(idx).and_then(Part::take);
        self.write(TextChoice::piece(idx, text).with(logprobs), out);
    }

    fn choice_finished(&mut self, choice: u32, reason: FinishReason, out: &mut SseBuffer) {
        self.write(TextChoice::end(choice as usize, reason), out);
    }

    fn finished(&mut self, usage: Usage, out: &mut SseBuffer) {
        if self.include_usage {
            out.data(&Completion::whole(&self.head, Vec::new(), usage));
        }
        out.done();
    }

    // A plain prompt's answer is text and nothing else.

    fn reasoning(&mut self, choice: u32, text: &str, out: &mut SseBuffer) {
        self.text(choice, text, out);
    }

    fn tool_call(&mut self, _choice: u32, _call: CallHead<'_>, _out: &mut SseBuffer) {}

    fn tool_arguments(&mut self, choice: u32, _index: usize, text: &str, out: &mut SseBuffer) {
        self.text(choice, text, out);
    }
}
