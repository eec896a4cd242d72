//! `POST /v1/chat/completions`: read, admit, one call, answer.

mod request;
mod response;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::body::{Body, Bytes};
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::{Json, http::HeaderMap};
use tokenmill_accounts::Caller;
use tokenmill_inference::{CacheScope, FinishReason, InferenceError, Started, Usage};

use crate::admission::{Permit, wait_for_a_place_s};
use crate::body::{Holding, read_json};
use crate::error::ApiError;
use crate::observe::{Record, RequestId};
use crate::stream::{Answer, Frames, SseBuffer};
use crate::{App, random_id};
use request::{AnswerForm, ChatRequest};
use response::{AnswerHead, Chunk, ChunkPart, Completion, WholeChoice};

/// Bodies over this are parsed where they do not hold up other requests.
const PARSE_INLINE_BYTES: usize = 64 << 10;

/// Answers one request. Dropping the future, or later the body, cancels it.
pub(super) async fn create(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Extension(record): Extension<Record>,
    Extension(RequestId(request_id)): Extension<RequestId>,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let reading = app
        .in_flight
        .read(&caller.project)
        .map_err(|concurrency| ApiError::too_many_in_flight(concurrency, None))?;
    let ChatRequest {
        mut draft,
        answer: form,
    } = read(&app, &parts.headers, body).await?;
    draft.id = request_id;
    draft.cache_scope = CacheScope(app.accounts.cache_scope(&caller.project, None));
    let request = draft.check()?;
    let model = request.model.clone();
    if app.models.model(&model).is_none() {
        return Err(ApiError::unknown_model());
    }
    record.model(&model);
    let n_choices = request.n;
    let permit = admit(&app, &caller, &model, n_choices)?;
    // Not before: from the first byte to the last, the end of service waits for the request.
    drop(reading);
    let events = app
        .models
        .start(request)
        .await
        .map_err(|error| refuse(&app, &model, error))?;
    let answer = Answer::begin(record.watch(events), app.keep_alive()).await?;
    let head = AnswerHead::new(model);
    match form {
        AnswerForm::Whole => whole(answer, head, n_choices, permit).await,
        AnswerForm::Stream { include_usage } => {
            let frames = ChunkFrames {
                head,
                n_choices,
                include_usage,
            };
            Ok(streamed(answer.sse(frames, app.keep_alive()), permit))
        }
    }
}

async fn read(app: &App, headers: &HeaderMap, body: Body) -> Result<ChatRequest, ApiError> {
    let patience = std::time::Duration::from_secs(app.options.body_timeout_s);
    let body: Bytes = read_json(headers, body, app.options.max_body_bytes, patience).await?;
    if body.len() <= PARSE_INLINE_BYTES {
        return ChatRequest::parse(&body);
    }
    let parsed = tokio::task::spawn_blocking(move || ChatRequest::parse(&body)).await;
    parsed.unwrap_or_else(|error| Err(ApiError::server_error(format!("reading the body: {error}"))))
}

fn admit(app: &App, caller: &Caller, model: &str, n_choices: u32) -> Result<Permit, ApiError> {
    let (n, limit) = (n_choices as usize, app.in_flight.limit());
    if n > limit {
        let message = format!("'n' is {n}; at most {limit} choices may be in flight together here");
        return Err(ApiError::parameter("invalid_value", "n", message));
    }
    app.in_flight
        .admit(&caller.project, model, n)
        .map_err(|concurrency| {
            // `n` sequences must end before this request fits.
            let wait_s = wait_for_a_place_s(app.metrics.mean_duration_s(model), (limit / n.max(1)) as u64);
            ApiError::too_many_in_flight(concurrency, wait_s)
        })
}

fn refuse(app: &App, model: &str, error: InferenceError) -> ApiError {
    let stats = app.models.stats().into_iter().find(|(name, _)| *name == model);
    let n_running = stats.map_or(1, |(_, stats)| stats.n_running);
    ApiError::from_inference(
        error,
        wait_for_a_place_s(app.metrics.mean_duration_s(model), n_running),
    )
}

async fn whole(
    answer: Answer,
    mut head: AnswerHead,
    n_choices: u32,
    permit: Permit,
) -> Result<Response, ApiError> {
    let folded = answer.fold(n_choices as usize).await?;
    head.system_fingerprint = folded.started.system_fingerprint;
    let choices = folded
        .choices
        .into_iter()
        .map(|(text, reason)| WholeChoice { text, reason })
        .collect();
    let mut response = Json(Completion::new(head, choices, folded.usage)).into_response();
    permit.concurrency.describe(response.headers_mut());
    Ok(response.map(|body| Holding::wrap(body, permit)))
}

fn streamed(body: Body, permit: Permit) -> Response {
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream; charset=utf-8"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // nginx buffers answers by default, which would hold a stream back.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    permit.concurrency.describe(headers);
    response.map(|_| Holding::wrap(body, permit))
}

impl AnswerHead {
    fn new(model: String) -> AnswerHead {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let created = since_epoch.as_secs();
        AnswerHead {
            id: random_id("chatcmpl-"),
            created,
            model,
            system_fingerprint: None,
        }
    }
}

/// Writes `chat.completion.chunk` objects.
struct ChunkFrames {
    head: AnswerHead,
    n_choices: u32,
    include_usage: bool,
}

impl ChunkFrames {
    fn write(&self, part: ChunkPart<'_>, out: &mut SseBuffer) {
        out.data(&Chunk::new(&self.head, part, self.include_usage));
    }
}

impl Frames for ChunkFrames {
    fn started(&mut self, started: Started, out: &mut SseBuffer) {
        self.head.system_fingerprint = started.system_fingerprint;
        for choice in 0..self.n_choices {
            self.write(ChunkPart::Role { choice }, out);
        }
    }

    fn text(&mut self, choice: u32, text: &str, out: &mut SseBuffer) {
        self.write(ChunkPart::Text { choice, text }, out);
    }

    fn choice_finished(&mut self, choice: u32, reason: FinishReason, out: &mut SseBuffer) {
        self.write(ChunkPart::Finish { choice, reason }, out);
    }

    fn finished(&mut self, usage: Usage, out: &mut SseBuffer) {
        if self.include_usage {
            self.write(ChunkPart::Usage(usage), out);
        }
    }
}

/// Everything that is refused before anybody is asked.
pub(super) fn check(body: &[u8]) -> Result<(), ApiError> {
    ChatRequest::parse(body)?.draft.check()?;
    Ok(())
}
