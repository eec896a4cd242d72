//! `Idempotency-Key`: a request that is sent again is answered with what came of the first sending, and charged once.
//!
//! It stands behind admission, so that a key belongs to a project, and in front of every endpoint that takes a body. A request with a key runs to its end even if its caller leaves: the next sending gets the answer. A request
//! that cost nothing gives the key back, for the next sending to run.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use tokenmill_accounts::{
    Accounts, Caller, Claim, Claimed, KeyScope, Outcome, Room, Sending, StoreError, Timestamp,
};
use tokio::sync::mpsc;

use crate::App;
use crate::admission::{check_scope, presented_key};
use crate::body::read_json;
use crate::console::session_token;
use crate::error::ApiError;
use crate::generate::USAGE_ID;

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// On an answer that was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
const MAX_KEY_BYTES: usize = 255;
/// Answers up to this are kept. Of a longer one it is only known that it was given.
const MAX_KEPT_BYTES: usize = 1 << 20;
/// Pieces of a stream between the task that makes it and the caller.
const PIECES: usize = 16;
/// How often, and how many times, a database that is away is told of a conclusion.
const AGAIN: Duration = Duration::from_secs(1);
const MAX_TRIES: usize = 900;

/// Has a request run by `next`, once for each key. It must have been admitted.
pub(crate) async fn once(app: &Arc<App>, request: Request, next: Next) -> Response {
    match key_of(&request) {
        Ok(None) => next.run(request).await,
        Ok(Some(key)) => keyed(app.clone(), key, request, next)
            .await
            .unwrap_or_else(IntoResponse::into_response),
        Err(error) => error.into_response(),
    }
}

fn key_of(request: &Request) -> Result<Option<String>, ApiError> {
    let mut values = request.headers().get_all(KEY).iter();
    let (value, more) = (values.next(), values.next());
    let Some(value) = value else { return Ok(None) };
    let is_good = |key: &&str| !key.trim().is_empty() && key.len() <= MAX_KEY_BYTES;
    match value.to_str().ok().filter(is_good) {
        Some(key) if more.is_none() => Ok(Some(key.to_owned())),
        _ => {
            let message = format!(
                "The Idempotency-Key header must be given once, as 1 to {MAX_KEY_BYTES} ASCII characters; a random UUID is good"
            );
            Err(ApiError::parameter(
                "invalid_idempotency_key",
                "Idempotency-Key",
                message,
            ))
        }
    }
}

async fn keyed(app: Arc<App>, key: String, request: Request, next: Next) -> Result<Response, ApiError> {
    let Some(caller) = request.extensions().get::<Arc<Caller>>().cloned() else {
        return Err(ApiError::server_error(
            "a layer in front of the endpoint is missing",
        ));
    };
    check_scope(&caller, KeyScope::Inference)?;
    let (parts, body) = request.into_parts();
    let bytes = {
        let _reading = app
            .in_flight
            .read(&caller.project)
            .map_err(|concurrency| ApiError::too_many_in_flight(concurrency, None))?;
        let patience = Duration::from_secs(app.options.body_timeout_s);
        read_json(&parts.headers, body, app.options.max_body_bytes, patience).await?
    };
    let sending = Sending {
        project: &caller.project,
        key: &key,
        credential: credential(&app, &parts.headers)?,
        parts: &[parts.uri.path().as_bytes(), &bytes],
    };
    let room = Room {
        max_keys: app.options.idempotency_keys,
        max_bytes: app.options.idempotency_bytes,
    };
    let claimed = app.accounts.claim(&sending, room).await;
    let claimed = claimed.map_err(|error| ApiError::unaccountable(error.to_string()))?;
    match claimed {
        Claimed::Fresh(claim) => {
            let open = Open {
                accounts: app.accounts.clone(),
                room,
                claim: Some(claim),
            };
            let request = Request::from_parts(parts, Body::from(bytes));
            // A task of its own goes on when the caller leaves.
            let task = tokio::spawn(async move { open.follow(next.run(request).await).await });
            task.await
                .map_err(|error| ApiError::server_error(error.to_string()))
        }
        Claimed::Full(until) => Err(full(room, until, app.accounts.now())),
        Claimed::Done(outcome) => Ok(replayed(outcome)),
        Claimed::Running => Err(running()),
        Claimed::Different => Err(different()),
        Claimed::Spent(usage_id) => Err(spent(usage_id)),
    }
}

/// What the caller was let in with: the answer is sealed under it.
fn credential<'h>(app: &App, headers: &'h HeaderMap) -> Result<&'h str, ApiError> {
    match presented_key(headers)? {
        "" => session_token(app, headers).ok_or_else(|| ApiError::unauthorized("missing_api_key")),
        key => Ok(key),
    }
}

fn full(room: Room, until: Timestamp, now: Timestamp) -> ApiError {
    let message = format!(
        "This project has used {} Idempotency-Keys within 24 hours, which is all that it may; send the request without one, \
         or later",
        room.max_keys
    );
    let wait_s = (until.as_secs() - now.as_secs()).clamp(1, 86_400) as u32;
    ApiError::idempotency(
        StatusCode::TOO_MANY_REQUESTS,
        "too_many_idempotency_keys",
        message,
        Some(wait_s),
    )
}

fn running() -> ApiError {
    let message = "The first request with this Idempotency-Key is still running; ask again in a moment";
    ApiError::idempotency(
        StatusCode::CONFLICT,
        "idempotency_key_in_use",
        message.to_owned(),
        Some(1),
    )
}

fn different() -> ApiError {
    let message = "This Idempotency-Key was used with another request, or another API key, within the last 24 hours; use a new one";
    ApiError::idempotency(
        StatusCode::UNPROCESSABLE_ENTITY,
        "idempotency_key_reused",
        message.to_owned(),
        None,
    )
}

fn spent(usage_id: Option<String>) -> ApiError {
    let line = usage_id.map_or(String::new(), |id| format!(", as {id} in the ledger"));
    let message = format!(
        "The request with this Idempotency-Key was cut short, or its answer was too long to keep or had to make room for later \
         ones, and what it used was charged{line}; use a new key to ask again"
    );
    ApiError::idempotency(StatusCode::CONFLICT, "idempotency_key_spent", message, None)
}

/// An answer that was given before.
fn replayed(outcome: Outcome) -> Response {
    let mut response = Response::new(Body::from(outcome.body));
    let headers = response.headers_mut();
    let kind = HeaderValue::from_str(&outcome.content_type);
    headers.extend(kind.map(|kind| (header::CONTENT_TYPE, kind)));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(REPLAYED, HeaderValue::from_static("true"));
    let usage_id = outcome.usage_id.and_then(|id| HeaderValue::from_str(&id).ok());
    headers.extend(usage_id.map(|id| (USAGE_ID, id)));
    response
}

/// A claim that is to be concluded. Dropped before, as by a panic, it is given back.
struct Open {
    accounts: Accounts,
    room: Room,
    claim: Option<Claim>,
}

/// How a claim ends.
enum End {
    /// It cost nothing.
    Free,
    /// With the usage's id and the answer, where that is kept.
    Charged(Option<String>, Option<Outcome>),
}

impl Open {
    /// Passes the answer on, and keeps it.
    async fn follow(self, response: Response) -> Response {
        if !response.status().is_success() {
            self.end(End::Free).await;
            return response;
        }
        let (parts, body) = response.into_parts();
        let text = |name: &HeaderName| {
            let value = parts.headers.get(name).and_then(|value| value.to_str().ok());
            value.map(str::to_owned)
        };
        let kept = Kept {
            usage_id: text(&USAGE_ID),
            content_type: text(&header::CONTENT_TYPE).unwrap_or_default(),
            body: Some(Vec::new()),
        };
        let (pieces, mut taken) = mpsc::channel(PIECES);
        tokio::spawn(self.record(kept, body, pieces));
        let body = Body::from_stream(futures::stream::poll_fn(move |context| taken.poll_recv(context)));
        Response::from_parts(parts, body)
    }

    /// Reads the answer to its end, whoever still listens. The caller sees the end once it is kept.
    async fn record(self, mut kept: Kept, mut body: Body, pieces: mpsc::Sender<Result<Bytes, axum::Error>>) {
        while let Some(frame) = body.frame().await {
            let piece = match frame {
                Ok(frame) => frame.into_data().unwrap_or_default(),
                Err(error) => {
                    self.end(End::Charged(kept.usage_id, None)).await;
                    let _ = pieces.send(Err(error)).await;
                    return;
                }
            };
            kept.add(&piece);
            // Nobody listens and nothing is kept: then nothing goes on.
            if pieces.send(Ok(piece)).await.is_err() && kept.body.is_none() {
                break;
            }
        }
        drop(body);
        self.end(kept.end()).await;
    }

    async fn end(mut self, end: End) {
        let Some(claim) = self.claim.take() else { return };
        if let Err(error) = tell(&self.accounts, self.room, &claim, &end).await {
            tracing::warn!(%error, "an idempotency key could not be concluded yet");
            tokio::spawn(tell_later(self.accounts.clone(), self.room, claim, end));
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(claim) = self.claim.take() {
            tokio::spawn(tell_later(self.accounts.clone(), self.room, claim, End::Free));
        }
    }
}

async fn tell(accounts: &Accounts, room: Room, claim: &Claim, end: &End) -> Result<(), StoreError> {
    match end {
        End::Free => accounts.release(claim).await,
        End::Charged(usage_id, outcome) => {
            accounts
                .conclude(claim, usage_id.as_deref(), outcome.as_ref(), room)
                .await
        }
    }
}

async fn tell_later(accounts: Accounts, room: Room, claim: Claim, end: End) {
    for _ in 0..MAX_TRIES {
        if tell(&accounts, room, &claim, &end).await.is_ok() {
            return;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// An answer as far as it has come.
struct Kept {
    usage_id: Option<String>,
    content_type: String,
    /// `None` once it is too long.
    body: Option<Vec<u8>>,
}

impl Kept {
    fn add(&mut self, piece: &[u8]) {
        self.body = self
            .body
            .take()
            .filter(|body| body.len() + piece.len() <= MAX_KEPT_BYTES)
            .map(|mut body| {
                body.extend_from_slice(piece);
                body
            });
    }

    fn end(self) -> End {
        // A stream that ends with a fault of the server cost nothing.
        if self.body.as_deref().is_some_and(is_faulty) {
            return End::Free;
        }
        let (usage_id, content_type) = (self.usage_id, self.content_type);
        let outcome = self.body.map(|body| Outcome {
            usage_id: usage_id.clone(),
            content_type,
            body,
        });
        End::Charged(usage_id, outcome)
    }
}

/// Whether an event of a stream is an error. Text in an event is JSON, which has no line breaks.
fn is_faulty(stream: &[u8]) -> bool {
    let tells_of_one = |line: &[u8]| {
        line.starts_with(b"data: {\"error\":") || matches!(line, b"event: error" | b"event: response.failed")
    };
    stream.split(|&byte| byte == b'\n').any(tells_of_one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_in_a_stream_is_told_from_words_in_an_answer() {
        assert!(is_faulty(b"data: {\"a\":1}\n\ndata: {\"error\":{}}\n\n"));
        assert!(is_faulty(b"event: error\ndata: {}\n\n"));
        assert!(is_faulty(b"event: response.failed\ndata: {}\n\n"));
        assert!(!is_faulty(
            b"data: {\"content\":\"data: {\\\"error\\\":\"}\n\ndata: [DONE]\n\n"
        ));
        assert!(!is_faulty(b"{\"error\":1}"));
    }

    #[test]
    fn what_is_too_long_is_not_kept() {
        let mut kept = Kept {
            usage_id: None,
            content_type: String::new(),
            body: Some(Vec::new()),
        };
        kept.add(&vec![b'a'; MAX_KEPT_BYTES]);
        assert!(kept.body.is_some());
        kept.add(b"a");
        kept.add(b"a");
        assert!(matches!(kept.end(), End::Charged(None, None)));
    }
}
