//! `GET /health` and `GET /ready`, for those who start and stop the process.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;

use crate::App;
use crate::error::ApiError;

/// How the process is.
#[derive(Serialize, JsonSchema)]
pub(super) struct Status {
    status: &'static str,
}

/// The process answers. Restarting it would not help anything else.
pub(super) async fn alive() -> Json<Status> {
    Json(Status { status: "ok" })
}

/// There are models, all of them can answer, and new requests are taken.
pub(super) async fn ready(State(app): State<Arc<App>>) -> Result<Json<Status>, ApiError> {
    if app.is_draining.load(Ordering::Relaxed) {
        return Err(ApiError::overloaded("shutting_down", None));
    }
    if app.models.models().next().is_none() {
        return Err(ApiError::overloaded("no_model", None));
    }
    // One is enough: an engine that has failed only comes back with the process.
    let down: Vec<&str> = app.models.down().collect();
    if !down.is_empty() {
        let detail = format!("no engine answers for {}", down.join(", "));
        return Err(ApiError::overloaded("engine_failed", None).with_detail(detail));
    }
    Ok(Json(Status { status: "ready" }))
}
