//! Errors in the form of the API whose paths were asked for: OpenAI's everywhere, and Anthropic's below
//! `/v1/messages`.
//!
//! Around all routes and not the endpoints' own business, so that refusals from in front of them (no key, too
//! large a header, a path that is none) have the form, too.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::Response;

use crate::error::ApiError;
use crate::observe::RequestId;

/// Where Anthropic's clients read the request's name.
const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");

/// Whether callers of a path expect Anthropic's form.
fn is_anthropic(path: &str) -> bool {
    path.strip_prefix("/v1/messages")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Who asked in whose form; known before the answer is.
pub(crate) struct Dialect {
    /// The request's name, where it was asked in Anthropic's.
    anthropic: Option<String>,
}

impl Dialect {
    pub(crate) fn of(request: &Request) -> Dialect {
        let id = || request.extensions().get::<RequestId>().cloned();
        let anthropic = is_anthropic(request.uri().path()).then(|| id().map_or_else(String::new, |id| id.0));
        Dialect { anthropic }
    }

    /// The answer in that form.
    pub(crate) fn write(self, response: Response) -> Response {
        match self.anthropic {
            Some(id) => in_anthropics(response, &id),
            None => response,
        }
    }
}

fn in_anthropics(mut response: Response, id: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    let Some(error) = response.extensions_mut().remove::<ApiError>() else {
        return response;
    };
    let body = serde_json::to_vec(&error.anthropic_body(id)).unwrap_or_default();
    response.headers_mut().remove(header::CONTENT_LENGTH);
    response.map(|_| Body::from(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_below_messages_are_anthropics() {
        for path in [
            "/v1/messages",
            "/v1/messages/",
            "/v1/messages/count_tokens",
            "/v1/messages/x",
        ] {
            assert!(is_anthropic(path), "{path}");
        }
        for path in [
            "/v1",
            "/v1/messagesx",
            "/v2/messages",
            "/v1/chat/completions",
            "/",
        ] {
            assert!(!is_anthropic(path), "{path}");
        }
    }
}
