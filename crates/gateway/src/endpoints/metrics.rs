//! `GET /metrics`, for Prometheus. It needs no key: the numbers name models and routes, never callers. Where even
//! that is too much, do not let the outside reach the path.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;

use crate::App;

pub(super) async fn page(State(app): State<Arc<App>>) -> impl IntoResponse {
    let page = app.metrics.render(&app.models.stats());
    (
        [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
        page,
    )
}
