//! The endpoints, and [`ROUTES`], the one list of them.

mod chat_completions;
mod completions;
mod documents;
mod health;
mod manage;
mod messages;
mod metrics;
mod models;
mod responses;
mod session;
mod tokens;

pub(crate) use manage::UPLOADS_AT_ONCE;
pub use manage::{MANAGE_ROUTES, ManageRoute, Operation};
pub(crate) use session::router as session_router;

use std::sync::Arc;

use axum::routing::{MethodRouter, get, post};

use crate::App;
use crate::error::ApiError;
use crate::openapi::{Reply, schema};
use crate::parameters::Group;

/// One path of the service.
pub struct Route {
    /// In axum's notation.
    pub path: &'static str,
    /// The one method that it takes.
    pub method: &'static str,
    /// Who may ask.
    pub access: Access,
    /// What it is for, in a line.
    pub summary: &'static str,
    /// The shortest good body, for routes that take one; `MODEL` stands for a served model's name.
    pub example: Option<&'static str>,
    /// What that body may hold.
    pub parameters: &'static [Group],
    /// What comes back where all is well, one for each form that it can have.
    pub replies: &'static [Reply],
    pub(crate) handler: fn() -> MethodRouter<Arc<App>>,
}

/// Who may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Whoever has a key.
    Key,
    /// Everybody who reaches the port: probes and scrapers have no key. Nothing here tells of callers or prompts.
    Open,
}

/// Every path of the service.
pub const ROUTES: &[Route] = &[
    Route {
        path: "/v1/chat/completions",
        method: "POST",
        access: Access::Key,
        summary: "The next message of a conversation",
        example: Some(r#"{"model":"MODEL","messages":[{"role":"user","content":"Tell me a joke."}]}"#),
        parameters: chat_completions::PARAMETERS,
        replies: chat_completions::REPLIES,
        handler: || post(chat_completions::create),
    },
    Route {
        path: "/v1/messages",
        method: "POST",
        access: Access::Key,
        summary: "The next message of a conversation, as Anthropic's clients ask for it",
        example: Some(
            r#"{"model":"MODEL","max_tokens":64,"messages":[{"role":"user","content":"Tell me a joke."}]}"#,
        ),
        parameters: messages::PARAMETERS,
        replies: messages::REPLIES,
        handler: || post(messages::create),
    },
    Route {
        path: "/v1/messages/count_tokens",
        method: "POST",
        access: Access::Key,
        summary: "How many tokens such a request's prompt has",
        example: Some(r#"{"model":"MODEL","messages":[{"role":"user","content":"Tell me a joke."}]}"#),
        parameters: messages::COUNT_PARAMETERS,
        replies: messages::COUNT_REPLIES,
        handler: || post(messages::count_tokens),
    },
    Route {
        path: "/v1/responses",
        method: "POST",
        access: Access::Key,
        summary: "The next turn, as OpenAI's Responses, of which nothing is kept",
        example: Some(r#"{"model":"MODEL","input":"Tell me a joke."}"#),
        parameters: responses::PARAMETERS,
        replies: responses::REPLIES,
        handler: || post(responses::create),
    },
    Route {
        path: "/v1/completions",
        method: "POST",
        access: Access::Key,
        summary: "What goes on from a plain prompt",
        example: Some(r#"{"model":"MODEL","prompt":"Once upon a time"}"#),
        parameters: completions::PARAMETERS,
        replies: completions::REPLIES,
        handler: || post(completions::create),
    },
    Route {
        path: "/tokenize",
        method: "POST",
        access: Access::Key,
        summary: "The token ids of a text or conversation",
        example: Some(r#"{"model":"MODEL","messages":[{"role":"user","content":"Tell me a joke."}]}"#),
        parameters: tokens::TOKENIZE,
        replies: &[Reply::json(schema::<tokens::Tokenized>)],
        handler: || post(tokens::tokenize),
    },
    Route {
        path: "/detokenize",
        method: "POST",
        access: Access::Key,
        summary: "The text of token ids",
        example: Some(r#"{"model":"MODEL","tokens":[104,105]}"#),
        parameters: tokens::DETOKENIZE,
        replies: &[Reply::json(schema::<tokens::PromptText>)],
        handler: || post(tokens::detokenize),
    },
    Route {
        path: "/apply-template",
        method: "POST",
        access: Access::Key,
        summary: "A conversation in the model's own form",
        example: Some(r#"{"model":"MODEL","messages":[{"role":"user","content":"Tell me a joke."}]}"#),
        parameters: tokens::TEMPLATE,
        replies: &[Reply::json(schema::<tokens::PromptText>)],
        handler: || post(tokens::apply_template),
    },
    Route {
        path: "/v1/models",
        method: "GET",
        access: Access::Key,
        summary: "The models that are served",
        example: None,
        parameters: &[],
        replies: &[Reply::json(schema::<models::ModelList>)],
        handler: || get(models::list),
    },
    Route {
        path: "/v1/models/{*id}",
        method: "GET",
        access: Access::Key,
        summary: "One model; its id may hold a slash",
        example: None,
        parameters: &[],
        replies: &[Reply::json(schema::<models::Model>)],
        handler: || get(models::retrieve),
    },
    Route {
        path: "/health",
        method: "GET",
        access: Access::Open,
        summary: "Whether the process is alive",
        example: None,
        parameters: &[],
        replies: &[Reply::json(schema::<health::Status>)],
        handler: || get(health::alive),
    },
    Route {
        path: "/ready",
        method: "GET",
        access: Access::Open,
        summary: "Whether it takes requests: models loaded, engines up, not draining",
        example: None,
        parameters: &[],
        replies: &[Reply::json(schema::<health::Status>)],
        handler: || get(health::ready),
    },
    Route {
        path: "/metrics",
        method: "GET",
        access: Access::Open,
        summary: "Numbers for Prometheus",
        example: None,
        parameters: &[],
        replies: &[Reply::text("text/plain; version=0.0.4; charset=utf-8")],
        handler: || get(metrics::page),
    },
    Route {
        path: "/openapi.json",
        method: "GET",
        access: Access::Open,
        summary: "This description: OpenAPI 3.1",
        example: None,
        parameters: &[],
        replies: &[Reply::json(schema::<documents::Document>)],
        handler: || get(documents::openapi),
    },
    Route {
        path: "/docs/api",
        method: "GET",
        access: Access::Open,
        summary: "The same as a page to read",
        example: None,
        parameters: &[],
        replies: &[Reply::text("text/html; charset=utf-8")],
        handler: || get(documents::page),
    },
];

pub(crate) fn check_chat_request(body: &[u8]) -> Result<(), ApiError> {
    chat_completions::check(body)
}
