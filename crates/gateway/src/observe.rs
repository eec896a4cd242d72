//! What is known about a request while it runs: its id, one log line at its end, and the metrics.
//!
//! The outermost layer. A [`Record`] is opened when a request arrives and closed when the last byte of its answer has
//! gone or the caller has left, whichever comes first; only then are the line written and the request counted. Neither
//! holds a key, a prompt or an answer.

pub(crate) mod metrics;
pub(crate) mod recent;

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use futures::{FutureExt, Stream, StreamExt};
use tokenmill_inference::{Event, EventStream, InferenceError, Usage};
use tokio::time::Instant;

use crate::App;
use crate::error::{ApiError, LoggedError};
use metrics::Metrics;
use recent::{Past, Recent};

/// Carries the request's name in both directions.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A request id from outside may be this long.
const MAX_REQUEST_ID_BYTES: usize = 128;

/// The id of the request, in its extensions.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(pub(crate) String);

/// What handlers tell about their request; cheap to clone, and shared by all clones.
#[derive(Clone)]
pub(crate) struct Record(Arc<Mutex<Fields>>);

struct Fields {
    metrics: Arc<Metrics>,
    recent: Arc<Recent>,
    started_at: Instant,
    request_id: String,
    method: String,
    route: String,
    status: u16,
    outcome: Outcome,
    /// Only names that are served: one from outside must not become a label.
    model: Option<String>,
    key_id: Option<String>,
    project: Option<String>,
    error: Option<LoggedError>,
    first_text_after_s: Option<f64>,
    usage: Option<Usage>,
    is_closed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// No response yet, or its body is still going out.
    Open,
    /// The last byte has gone out.
    Complete,
}

impl Record {
    fn with<T>(&self, act: impl FnOnce(&mut Fields) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn caller(&self, key_id: &str, project: &str) {
        self.with(|fields| {
            fields.key_id = Some(key_id.to_owned());
            fields.project = Some(project.to_owned());
        });
    }

    /// A served model's name.
    pub(crate) fn model(&self, model: &str) {
        self.with(|fields| fields.model = Some(model.to_owned()));
    }

    /// Passes events on and takes times, usage and faults from them.
    pub(crate) fn watch(self, events: EventStream) -> EventStream {
        EventStream::new(Watched {
            events,
            record: self,
            last_text: Vec::new(),
            is_over: false,
        })
    }

    fn text(&self, since_last: Option<f64>) {
        self.with(|fields| {
            let Some(model) = fields.model.as_deref() else {
                return;
            };
            match since_last {
                Some(seconds) => fields.metrics.between_texts(model, seconds),
                None if fields.first_text_after_s.is_none() => {
                    let seconds = fields.started_at.elapsed().as_secs_f64();
                    fields.metrics.first_text(model, seconds);
                    fields.first_text_after_s = Some(seconds);
                }
                None => {}
            }
        });
    }

    fn fault(&self, error: &ApiError) {
        self.with(|fields| fields.error = Some(error.logged()));
    }
}

/// Around everything: `answer` is watched until its last byte.
pub(crate) async fn watch<F: Future<Output = Response>>(
    app: &App,
    mut request: Request,
    answer: impl FnOnce(Request) -> F,
) -> Response {
    let id = request_id(request.headers());
    let record = Record(Arc::new(Mutex::new(Fields::open(app, &id, &request))));
    let guard = Closing(record.clone());
    request.extensions_mut().insert(RequestId(id.clone()));
    request.extensions_mut().insert(record.clone());
    let answered = AssertUnwindSafe(answer(request)).catch_unwind().await;
    // A panic is a bug; the connection and everybody else's requests go on.
    let mut response =
        answered.unwrap_or_else(|_| ApiError::server_error("the handler panicked").into_response());
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    let error = response.extensions_mut().remove::<LoggedError>();
    record.with(|fields| {
        fields.status = response.status().as_u16();
        fields.error = error;
    });
    response.map(|body| Body::new(ClosingBody { body, guard }))
}

/// The caller's own id when it is well formed, else a new one.
fn request_id(headers: &HeaderMap) -> String {
    let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
    let is_well_formed = |id: &&str| {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':');
        (1..=MAX_REQUEST_ID_BYTES).contains(&id.len()) && id.bytes().all(is_allowed)
    };
    given
        .filter(is_well_formed)
        .map_or_else(|| crate::random_id("req_"), str::to_owned)
}

impl Fields {
    fn open(app: &App, id: &str, request: &Request) -> Fields {
        let route = request
            .extensions()
            .get::<MatchedPath>()
            .map_or("", MatchedPath::as_str);
        app.metrics.request_arrived();
        Fields {
            metrics: app.metrics.clone(),
            recent: app.recent.clone(),
            started_at: Instant::now(),
            request_id: id.to_owned(),
            method: request.method().to_string(),
            route: route.to_owned(),
            status: 0,
            outcome: Outcome::Open,
            model: None,
            key_id: None,
            project: None,
            error: None,
            first_text_after_s: None,
            usage: None,
            is_closed: false,
        }
    }

    fn close(&mut self) {
        if std::mem::replace(&mut self.is_closed, true) {
            return;
        }
        let duration_s = self.started_at.elapsed().as_secs_f64();
        let status = self.final_status();
        self.metrics
            .request_closed(&self.route, self.model.as_deref(), status, duration_s);
        if let (Some(model), Some(usage)) = (&self.model, &self.usage) {
            self.metrics.tokens(model, usage);
        }
        self.log(status, duration_s);
        if self.route.starts_with("/v1/") {
            self.recent.add(self.past(status, duration_s));
        }
    }

    fn past(&self, status: u16, duration_s: f64) -> Past {
        let usage = self.usage.as_ref();
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Past {
            id: self.request_id.clone(),
            at_ms: u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX),
            route: self.route.clone(),
            status,
            model: self.model.clone(),
            project: self.project.clone(),
            key: self.key_id.clone(),
            duration_ms: (duration_s * 1e3).round(),
            first_text_ms: self.first_text_after_s.map(|seconds| (seconds * 1e3).round()),
            prompt_tokens: usage.map(|usage| usage.n_prompt),
            cached_tokens: usage.and_then(|usage| usage.n_cached),
            completion_tokens: usage.map(|usage| usage.n_completion),
            error: self.error.as_ref().map(|error| error.code),
        }
    }

    /// 499, as nginx names it, where the caller left before the last byte: no status was ever agreed on.
    fn final_status(&self) -> u16 {
        match self.outcome {
            Outcome::Open => 499,
            // A fault after the head is not a success, whatever the head said.
            Outcome::Complete if self.status < 400 && self.error.is_some() => 500,
            Outcome::Complete => self.status,
        }
    }

    fn log(&self, status: u16, duration_s: f64) {
        let usage = self.usage.as_ref();
        let error = self.error.as_ref();
        tracing::info!(
            target: "tokenmill::request",
            request_id = %self.request_id,
            method = %self.method,
            route = %self.route,
            status,
            duration_ms = (duration_s * 1e3).round(),
            model = self.model.as_deref(),
            project = self.project.as_deref(),
            key = self.key_id.as_deref(),
            first_text_ms = self.first_text_after_s.map(|seconds| (seconds * 1e3).round()),
            prompt_tokens = usage.map(|usage| usage.n_prompt),
            cached_tokens = usage.and_then(|usage| usage.n_cached),
            completion_tokens = usage.map(|usage| usage.n_completion),
            error = error.map(|error| error.code),
            detail = error.and_then(|error| error.detail.as_deref()),
            "request"
        );
    }
}

/// Closes the record when it goes, in whichever way that happens.
struct Closing(Record);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.with(Fields::close);
    }
}

/// A body that knows whether it went out whole.
struct ClosingBody {
    body: Body,
    guard: Closing,
}

impl HttpBody for ClosingBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        // A body of known length is not polled again after its last byte.
        if matches!(polled, Poll::Ready(None)) || (polled.is_ready() && self.body.is_end_stream()) {
            self.guard.0.with(|fields| fields.outcome = Outcome::Complete);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        let is_end = self.body.is_end_stream();
        if is_end {
            self.guard.0.with(|fields| fields.outcome = Outcome::Complete);
        }
        is_end
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

struct Watched {
    events: EventStream,
    record: Record,
    /// When each choice last had text.
    last_text: Vec<Option<Instant>>,
    is_over: bool,
}

impl Watched {
    fn note(&mut self, event: Option<&Result<Event, InferenceError>>) {
        match event {
            Some(Ok(
                Event::Text { choice, .. }
                | Event::Reasoning { choice, .. }
                | Event::ToolArguments { choice, .. },
            )) => self.note_text(*choice as usize),
            Some(Ok(Event::Finished(usage))) => {
                self.is_over = true;
                self.record.with(|fields| fields.usage = Some(*usage));
            }
            Some(Ok(
                Event::Started(_)
                | Event::Logprobs { .. }
                | Event::ToolCall { .. }
                | Event::ChoiceFinished { .. },
            )) => {}
            Some(Err(error)) => {
                self.is_over = true;
                self.record.fault(&ApiError::from_inference(error.clone(), None));
            }
            None if !self.is_over => {
                self.record
                    .fault(&ApiError::server_error("the upstream's events ended early"));
            }
            None => {}
        }
    }

    fn note_text(&mut self, choice: usize) {
        if choice >= self.last_text.len() {
            self.last_text.resize(choice + 1, None);
        }
        let now = Instant::now();
        let last = self.last_text[choice].replace(now);
        self.record.text(last.map(|last| (now - last).as_secs_f64()));
    }
}

impl Stream for Watched {
    type Item = Result<Event, InferenceError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = self.events.poll_next_unpin(context);
        if let Poll::Ready(event) = &polled {
            self.note(event.as_ref());
        }
        polled
    }
}
