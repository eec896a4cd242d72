//! `GET /openapi.json` and `GET /docs/api`: what is served, for programs and for people. Open to everybody: both say what
//! the source says, and nothing of this server's callers or models.

use axum::http::header;
use axum::response::{Html, IntoResponse};
use schemars::JsonSchema;

use crate::openapi;

/// An OpenAPI document.
#[derive(JsonSchema)]
#[schemars(rename = "OpenApiDocument")]
#[allow(dead_code)] // For its schema alone.
pub(super) struct Document {
    openapi: String,
    info: serde_json::Map<String, serde_json::Value>,
    security: Vec<serde_json::Value>,
    tags: Vec<serde_json::Value>,
    paths: serde_json::Map<String, serde_json::Value>,
    components: serde_json::Map<String, serde_json::Value>,
}

pub(super) async fn openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], openapi::text())
}

/// Nothing in it comes from elsewhere, and it runs no script.
pub(super) async fn page() -> impl IntoResponse {
    let policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'";
    (
        [(header::CONTENT_SECURITY_POLICY, policy)],
        Html(openapi::page::text()),
    )
}
