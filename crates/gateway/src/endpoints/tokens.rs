//! `POST /tokenize`, `/detokenize` and `/apply-template`: how a model reads prompts, in the shapes of vLLM and llama.cpp.
//! Nothing is charged.

use axum::response::Response;
use schemars::JsonSchema;
use serde::Serialize;
use tokenmill_inference::{AnswerForm, Draft, Prompt};

use crate::error::ApiError;
use crate::generate::Call;
use crate::json::{Fields, Json};
use crate::parameters::ending::{flag, token_ids};
use crate::parameters::{
    Group, MODEL, Origin, Parameter, Rule, conversation, messages, name, thinking, tools, without_effect,
};
use crate::tokens::lossy;

/// What `/tokenize` may be given.
pub(super) const TOKENIZE: &[Group] = &[
    MODEL,
    TEXT,
    messages::ROWS,
    conversation::ROWS,
    tools::ROWS,
    thinking::ROWS,
];

/// What `/apply-template` may be given.
pub(super) const TEMPLATE: &[Group] = &[
    MODEL,
    messages::ROWS,
    conversation::ROWS,
    tools::ROWS,
    thinking::ROWS,
];

/// What `/detokenize` may be given.
pub(super) const DETOKENIZE: &[Group] = &[MODEL, TOKENS];

const TEXT: Group = &[
    Parameter {
        name: "prompt",
        origin: Origin::Vllm,
        rule: Rule::Applied,
        schema: r#"{"type":"string"}"#,
        about: "a text, in the place of `messages`",
        default: "required",
        taken: r#"["hello"]"#,
        refused: r#"[7, ["hello"]]"#,
    },
    Parameter {
        name: "add_special_tokens",
        origin: Origin::Vllm,
        rule: Rule::Applied,
        schema: r#"{"type":"boolean"}"#,
        about: "with `prompt`: `true` reads it as `/v1/completions` does, with what the model wants before it and names of special tokens as those tokens; `false` reads plain text; with `messages` only `false`, for a template writes its own",
        default: "`true` with `prompt`",
        taken: "[false]",
        refused: r#"["x", true]"#,
    },
    Parameter {
        name: "return_token_strs",
        origin: Origin::Vllm,
        rule: Rule::Applied,
        schema: r#"{"type":"boolean"}"#,
        about: "`true` tells each token's text, too",
        default: "`false`",
        taken: "[true, false]",
        refused: "[1]",
    },
];

const TOKENS: Group = &[Parameter {
    name: "tokens",
    origin: Origin::Vllm,
    rule: Rule::Applied,
    schema: r#"{"type":"array","items":{"type":"integer","minimum":0,"maximum":4294967295}}"#,
    about: "token ids; special tokens are told by their names",
    default: "required",
    taken: "[[104, 105], []]",
    refused: r#"["x", [-1], ["1"]]"#,
}];

/// The tokens of a prompt.
#[derive(Serialize, JsonSchema)]
pub(super) struct Tokenized {
    count: usize,
    /// Tokens that fit, prompt and answer together.
    max_model_len: u64,
    tokens: Vec<u32>,
    /// `null` unless asked for.
    token_strs: Option<Vec<String>>,
}

/// A text of a prompt.
#[derive(Serialize, JsonSchema)]
pub(super) struct PromptText {
    prompt: String,
}

struct TokenizeRequest {
    draft: Draft,
    /// Plain text, in which nothing is special.
    is_plain: bool,
    with_texts: bool,
}

impl TokenizeRequest {
    fn parse(body: &[u8]) -> Result<TokenizeRequest, ApiError> {
        let mut fields = Json::body(body, TOKENIZE)?;
        let model = name(fields.require("model")?, "model")?;
        let with_texts = flag(&mut fields, "return_token_strs", false)?;
        let prompt = fields.optional("prompt", |value, path| value.string(path, "a string"))?;
        let (draft, is_plain) = match prompt {
            Some(text) => {
                let is_special = flag(&mut fields, "add_special_tokens", true)?;
                (Draft::on(model, Prompt::Text(text)), !is_special)
            }
            None => {
                fields.optional("add_special_tokens", |value, path| {
                    without_effect::one_of(&value, path, &["false"])
                })?;
                (chat(model, &mut fields)?, false)
            }
        };
        fields.finish_body()?;
        Ok(TokenizeRequest {
            draft,
            is_plain,
            with_texts,
        })
    }
}

/// A conversation as the chat door reads it.
fn chat(model: String, fields: &mut Fields) -> Result<Draft, ApiError> {
    let messages = messages::read(fields.require("messages")?)?;
    let mut conversation = conversation::read(fields, messages)?;
    let mut form = AnswerForm::default();
    tools::read(fields, &mut form)?;
    conversation.variables = thinking::read(fields, &mut form)?;
    let mut draft = Draft::on(model, Prompt::Conversation(conversation));
    draft.form = form;
    Ok(draft)
}

/// Text or conversation to token ids.
pub(super) async fn tokenize(call: Call) -> Result<Response, ApiError> {
    let (body, asked) = call.read(TokenizeRequest::parse).await?;
    let looking = asked.look(body.draft.model.clone()).await?;
    let prompts = looking.prompts()?;
    let read = match body.draft.prompt {
        Prompt::Text(text) if body.is_plain || text.is_empty() => prompts.plain_tokens(text).await,
        _ => prompts.tokens(looking.check(body.draft)?).await,
    };
    let tokens = read.map_err(|error| looking.refuse(error))?;
    let texts = match body.with_texts {
        true => Some(
            prompts
                .token_texts(&tokens)
                .map_err(|error| looking.refuse(error))?,
        ),
        false => None,
    };
    let tokenized = Tokenized {
        count: tokens.len(),
        max_model_len: looking.n_context(),
        tokens,
        token_strs: texts.map(|texts| texts.iter().map(|text| lossy(&text.bytes)).collect()),
    };
    Ok(looking.answer(tokenized))
}

/// Token ids to text.
pub(super) async fn detokenize(call: Call) -> Result<Response, ApiError> {
    let parse = |body: &[u8]| {
        let mut fields = Json::body(body, DETOKENIZE)?;
        let model = name(fields.require("model")?, "model")?;
        let tokens = token_ids(fields.require("tokens")?, "tokens")?;
        fields.finish_body()?;
        Ok((model, tokens))
    };
    let ((model, tokens), asked) = call.read(parse).await?;
    let looking = asked.look(model).await?;
    let text = looking.prompts()?.text(&tokens);
    let prompt = text.map_err(|error| looking.refuse(error))?;
    Ok(looking.answer(PromptText { prompt }))
}

/// Conversation to the model's own form.
pub(super) async fn apply_template(call: Call) -> Result<Response, ApiError> {
    let parse = |body: &[u8]| {
        let mut fields = Json::body(body, TEMPLATE)?;
        let model = name(fields.require("model")?, "model")?;
        let draft = chat(model, &mut fields)?;
        fields.finish_body()?;
        Ok(draft)
    };
    let (draft, asked) = call.read(parse).await?;
    let looking = asked.look(draft.model.clone()).await?;
    let request = looking.check(draft)?;
    let rendered = looking.prompts()?.rendered(request).await;
    let prompt = rendered.map_err(|error| looking.refuse(error))?;
    Ok(looking.answer(PromptText { prompt }))
}
