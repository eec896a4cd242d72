//! Reading a JSON body, under limits; and keeping things alive until a body has gone out.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderMap, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use crate::error::ApiError;

/// Reads a body that says it is JSON.
pub(crate) async fn read_json(
    headers: &HeaderMap,
    body: Body,
    limit_bytes: usize,
    patience: Duration,
) -> Result<Bytes, ApiError> {
    check_headers(headers)?;
    // Said before the first byte is read, where the length is known.
    if body.size_hint().lower() > limit_bytes as u64 {
        return Err(ApiError::body_too_large(limit_bytes));
    }
    let read = tokio::time::timeout(patience, Limited::new(body, limit_bytes).collect()).await;
    match read {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(ApiError::body_too_large(limit_bytes)),
        Ok(Err(error)) => {
            let refusal = ApiError::malformed("incomplete_body", "The request body broke off");
            Err(refusal.with_detail(error.to_string()))
        }
        Err(_) => Err(ApiError::body_timeout(patience.as_secs())),
    }
}

fn check_headers(headers: &HeaderMap) -> Result<(), ApiError> {
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("");
    let (media_type, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
    if !media_type.trim().eq_ignore_ascii_case("application/json") {
        let message = "The Content-Type header must be application/json";
        return Err(ApiError::parameter(
            "invalid_content_type",
            "Content-Type",
            message,
        ));
    }
    let charset = parameters.trim().to_ascii_lowercase();
    if !charset.is_empty() && !matches!(charset.as_str(), "charset=utf-8" | "charset=\"utf-8\"") {
        let message = "The Content-Type header may only add charset=utf-8: JSON is UTF-8";
        return Err(ApiError::parameter(
            "invalid_content_type",
            "Content-Type",
            message,
        ));
    }
    match headers.get(header::CONTENT_ENCODING) {
        Some(encoding) if encoding != "identity" => {
            let message = "The Content-Encoding header is not supported; send the body uncompressed";
            Err(ApiError::parameter(
                "unsupported_content_encoding",
                "Content-Encoding",
                message,
            ))
        }
        _ => Ok(()),
    }
}

/// A body that owns something until it has gone out or is given up.
pub(crate) struct Holding<T> {
    body: Body,
    _held: T,
}

impl<T: Send + Unpin + 'static> Holding<T> {
    pub(crate) fn wrap(body: Body, held: T) -> Body {
        Body::new(Holding { body, _held: held })
    }
}

impl<T: Unpin> HttpBody for Holding<T> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}
