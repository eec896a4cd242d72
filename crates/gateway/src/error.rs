//! What goes wrong, as the caller sees it: a status, and `{"error":{"message","type","param","code"}}`.
//!
//! Messages in the contract's table stand here word for word. The detail for the log travels beside the
//! response and never in it.

use axum::Json;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;
use tokenmill_inference::{InferenceError, InvalidRequest};

use crate::admission::Concurrency;
use crate::catalogue::successor_link;
use crate::rates::Standing;

/// An answer other than success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    /// Tells causes with the same message apart.
    pub(crate) code: &'static str,
    /// The parameter at fault, with its path.
    pub(crate) param: Option<String>,
    pub(crate) message: String,
    /// For the log only.
    detail: Option<Box<str>>,
    /// Seconds, measured; `None` where nothing has been measured yet.
    retry_after_s: Option<u32>,
    /// Headers that go with it; boxed, for errors are returned everywhere and few have any.
    headers: Option<Box<HeaderMap>>,
    /// What to use instead.
    replacement: Option<Box<str>>,
}

/// The log's half of an error, beside the response.
#[derive(Debug, Clone)]
pub(crate) struct LoggedError {
    pub(crate) code: &'static str,
    pub(crate) detail: Option<String>,
}

/// The wire form, also used for the error event inside a stream.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Error")]
pub(crate) struct ErrorBody<'a> {
    /// Anthropic's form only.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    error: ErrorFields<'a>,
    /// Anthropic's form only.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct ErrorFields<'a> {
    message: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    param: Option<&'a str>,
    code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    replacement: Option<&'a str>,
}

impl ApiError {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> ApiError {
        ApiError {
            status,
            code,
            param: None,
            message: message.into(),
            detail: None,
            retry_after_s: None,
            headers: None,
            replacement: None,
        }
    }

    fn with_headers(self, describe: impl FnOnce(&mut HeaderMap)) -> ApiError {
        let mut headers = self.headers.unwrap_or_default();
        describe(&mut headers);
        ApiError {
            headers: Some(headers),
            ..self
        }
    }

    /// OpenAI's `type`.
    fn kind(&self) -> &'static str {
        match self.status.as_u16() {
            402 => "insufficient_quota",
            429 => "rate_limit_error",
            500.. => "server_error",
            _ => "invalid_request_error",
        }
    }

    /// Anthropic's `type`.
    fn anthropic_kind(&self) -> &'static str {
        match self.status.as_u16() {
            401 => "authentication_error",
            402 => "billing_error",
            403 => "permission_error",
            404 => "not_found_error",
            413 | 431 => "request_too_large",
            429 => "rate_limit_error",
            503 => "overloaded_error",
            500.. => "api_error",
            _ => "invalid_request_error",
        }
    }

    /// 400: the request as a whole cannot be read.
    pub(crate) fn malformed(code: &'static str, message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// 400: one parameter is at fault.
    pub(crate) fn parameter(
        code: &'static str,
        param: impl Into<String>,
        message: impl Into<String>,
    ) -> ApiError {
        ApiError {
            param: Some(param.into()),
            ..ApiError::new(StatusCode::BAD_REQUEST, code, message)
        }
    }

    /// 401: who asks is not known, or may not. `code` tells which.
    pub(crate) fn unauthorized(code: &'static str) -> ApiError {
        ApiError::new(StatusCode::UNAUTHORIZED, code, "Authentication failed")
    }

    /// 404: no model has this name.
    pub(crate) fn unknown_model() -> ApiError {
        let not_found = "The requested resource was not found";
        let error = ApiError::new(StatusCode::NOT_FOUND, "model_not_found", not_found);
        ApiError {
            param: Some("model".into()),
            ..error
        }
    }

    /// 404: the model's life is over; with what lives in its place.
    pub(crate) fn retired_model(replacement: Option<&str>) -> ApiError {
        let error = ApiError {
            code: "model_retired",
            replacement: replacement.map(Box::from),
            ..ApiError::unknown_model()
        };
        error.with_headers(|headers| {
            let link = replacement.and_then(successor_link);
            headers.extend(link.map(|link| (header::LINK, link)));
        })
    }

    /// 402: credit or a cap does not reach; `n_affordable` tokens would.
    pub(crate) fn out_of_money(code: &'static str, n_affordable: u64) -> ApiError {
        let message = "You exceeded your current quota, please check your plan and billing details";
        let error = ApiError::new(StatusCode::PAYMENT_REQUIRED, code, message);
        if n_affordable == 0 {
            return error;
        }
        let name = HeaderName::from_static("x-affordable-completion-tokens");
        let error = error.with_headers(|headers| {
            headers.insert(name, HeaderValue::from(n_affordable));
        });
        ApiError {
            param: Some("max_completion_tokens".into()),
            ..error
        }
    }

    /// 403: the operator's rule about countries.
    pub(crate) fn country_not_supported() -> ApiError {
        let message = "Country, region, or territory not supported";
        ApiError::new(
            StatusCode::FORBIDDEN,
            "unsupported_country_region_territory",
            message,
        )
    }

    /// 403: the team is switched off.
    pub(crate) fn team_disabled() -> ApiError {
        let message = "The inference gateway is not enabled for your organization";
        ApiError::new(StatusCode::FORBIDDEN, "inference_not_enabled", message)
    }

    /// 403: whoever manages may not do this.
    pub(crate) fn not_permitted(message: &str) -> ApiError {
        ApiError::new(StatusCode::FORBIDDEN, "not_permitted", message)
    }

    /// 403: a cookie came with a request that another site may have made.
    pub(crate) fn cross_site() -> ApiError {
        let message = "A session is only good for requests from the console's own page; programs use a key";
        ApiError::new(StatusCode::FORBIDDEN, "cross_site_request", message)
    }

    /// Whoever comes from an identity provider is not signed in.
    pub(crate) fn sign_in(status: StatusCode, code: &'static str, message: String) -> ApiError {
        ApiError::new(status, code, message)
    }

    /// 401: the name or the password is wrong.
    pub(crate) fn wrong_password(message: String) -> ApiError {
        ApiError::new(StatusCode::UNAUTHORIZED, "wrong_password", message)
    }

    /// 429: too many wrong passwords.
    pub(crate) fn too_many_tries(message: String, wait_s: u64) -> ApiError {
        ApiError {
            retry_after_s: u32::try_from(wait_s).ok(),
            ..ApiError::new(StatusCode::TOO_MANY_REQUESTS, "too_many_tries", message)
        }
    }

    /// 404: something managed is not there.
    pub(crate) fn not_found(message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    /// 409: something managed is there already.
    pub(crate) fn exists(message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::CONFLICT, "already_exists", message)
    }

    /// 409: the configuration file speaks for it.
    pub(crate) fn configured(message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::CONFLICT, "set_in_configuration", message)
    }

    /// 409, 422 or 429: what the `Idempotency-Key` header says does not go together with what was sent before.
    pub(crate) fn idempotency(
        status: StatusCode,
        code: &'static str,
        message: String,
        retry_after_s: Option<u32>,
    ) -> ApiError {
        ApiError {
            param: Some("Idempotency-Key".into()),
            retry_after_s,
            ..ApiError::new(status, code, message)
        }
    }

    /// 503: what would be used could not be accounted for.
    pub(crate) fn unaccountable(detail: String) -> ApiError {
        ApiError::overloaded("accounting_unavailable", Some(1)).with_detail(detail)
    }

    /// 429: too often within a minute.
    pub(crate) fn too_often(standing: Standing) -> ApiError {
        let message = "Concurrency limit reached for requests";
        let error = ApiError::new(StatusCode::TOO_MANY_REQUESTS, standing.code(), message);
        let error = error.with_headers(|headers| standing.alone().describe(headers));
        ApiError {
            retry_after_s: Some((standing.wait_s.ceil() as u32).max(1)),
            ..error
        }
    }

    /// 404: no route has this path.
    pub(crate) fn unknown_route() -> ApiError {
        ApiError::new(
            StatusCode::NOT_FOUND,
            "unknown_route",
            "The requested resource was not found",
        )
    }

    /// 405: the path exists, with other methods. The `Allow` header names them.
    pub(crate) fn method_not_allowed(method: &str) -> ApiError {
        let message = format!("{method} is not allowed here; the Allow header names the methods that are");
        ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
    }

    /// 408: the body did not arrive in time.
    pub(crate) fn body_timeout(seconds: u64) -> ApiError {
        let message = format!("The request body did not arrive within {seconds} seconds");
        ApiError::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", message)
    }

    /// 413: the body is over its limit.
    pub(crate) fn body_too_large(limit_bytes: usize) -> ApiError {
        let message = format!(
            "The request body is too large: at most {limit_bytes} bytes are taken; shorten the messages"
        );
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message)
    }

    /// 413: an adapter's files are over their limit.
    pub(crate) fn artifact_too_large(limit_bytes: u64) -> ApiError {
        let message = format!("A part of the form is too large: at most {limit_bytes} bytes of it are taken");
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "artifact_too_large", message)
    }

    /// 431: the headers are over one of their limits.
    pub(crate) fn headers_too_large(limit_bytes: usize, limit_count: usize) -> ApiError {
        let message = format!(
            "The request headers are too large: at most {limit_bytes} bytes in at most {limit_count} headers are taken"
        );
        ApiError::new(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "headers_too_large",
            message,
        )
    }

    /// 429: too much of this project is in flight for this model, or being read.
    pub(crate) fn too_many_in_flight(concurrency: Concurrency, retry_after_s: Option<u32>) -> ApiError {
        let message = "Concurrency limit reached for requests";
        let error = ApiError::new(
            StatusCode::TOO_MANY_REQUESTS,
            "concurrency_limit_reached",
            message,
        );
        let error = error.with_headers(|headers| concurrency.describe(headers));
        ApiError {
            retry_after_s,
            ..error
        }
    }

    /// 500: our fault; the log has the detail under the request id.
    pub(crate) fn server_error(detail: impl Into<String>) -> ApiError {
        let message = "The server had an error while processing your request";
        let error = ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", message);
        ApiError {
            detail: Some(detail.into().into_boxed_str()),
            ..error
        }
    }

    /// 503: the queue is full or no engine is up. `code` tells which.
    pub(crate) fn overloaded(code: &'static str, retry_after_s: Option<u32>) -> ApiError {
        let message = "The engine is currently overloaded, please try again later";
        ApiError {
            retry_after_s,
            ..ApiError::new(StatusCode::SERVICE_UNAVAILABLE, code, message)
        }
    }

    /// What the upstream said. `retry_after_s` is for the case of a full queue.
    pub(crate) fn from_inference(error: InferenceError, retry_after_s: Option<u32>) -> ApiError {
        match error {
            InferenceError::UnknownModel { .. } => ApiError::unknown_model(),
            InferenceError::Invalid(invalid) => invalid.into(),
            InferenceError::ContextLengthExceeded {
                n_prompt,
                n_completion,
                n_context,
            } => {
                let asked = n_prompt.saturating_add(n_completion);
                let message = format!(
                    "This model's maximum context length is {n_context} tokens. However, you requested {asked} tokens \
                     ({n_prompt} in 'messages', {n_completion} in the completion). Shorten either"
                );
                ApiError::parameter("context_length_exceeded", "messages", message)
            }
            InferenceError::Adapter(message) => ApiError::parameter("adapter_not_usable", "model", message),
            InferenceError::Overloaded => ApiError::overloaded("engine_overloaded", retry_after_s),
            InferenceError::ShuttingDown => ApiError::overloaded("shutting_down", None),
            InferenceError::Failed(detail) => ApiError::overloaded("engine_failed", None).with_detail(detail),
            InferenceError::Revoked => ApiError::unauthorized("revoked_api_key"),
            InferenceError::NotAdmitted => ApiError::unaccountable("usage could not be written down".into()),
            InferenceError::Fault(detail) => ApiError::server_error(detail),
        }
    }

    /// With the parameter by another name, where it has one.
    pub(crate) fn renamed(self, name: &dyn Fn(&str) -> Option<String>) -> ApiError {
        let Some(new) = self.param.as_deref().and_then(name) else {
            return self;
        };
        let old = format!("'{}'", self.param.as_deref().unwrap_or_default());
        ApiError {
            message: self.message.replacen(&old, &format!("'{new}'"), 1),
            param: Some(new),
            ..self
        }
    }

    /// With this for the log.
    pub(crate) fn with_detail(self, detail: String) -> ApiError {
        ApiError {
            detail: Some(detail.into_boxed_str()),
            ..self
        }
    }

    pub(crate) fn body(&self) -> ErrorBody<'_> {
        ErrorBody {
            kind: None,
            error: self.fields(self.kind()),
            request_id: None,
        }
    }

    /// The same in Anthropic's form, with what it leaves out: `param` and `code`.
    pub(crate) fn anthropic_body<'a>(&'a self, request_id: &'a str) -> ErrorBody<'a> {
        ErrorBody {
            kind: Some("error"),
            error: self.fields(self.anthropic_kind()),
            request_id: Some(request_id),
        }
    }

    fn fields(&self, kind: &'static str) -> ErrorFields<'_> {
        ErrorFields {
            message: &self.message,
            kind,
            param: self.param.as_deref(),
            code: self.code,
            replacement: self.replacement.as_deref(),
        }
    }

    pub(crate) fn logged(&self) -> LoggedError {
        LoggedError {
            code: self.code,
            detail: self.detail.as_deref().map(str::to_owned),
        }
    }
}

impl From<InvalidRequest> for ApiError {
    fn from(invalid: InvalidRequest) -> ApiError {
        let message = invalid.to_string();
        ApiError::parameter("invalid_value", invalid.param, message)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body())).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(more) = &self.headers {
            headers.extend(more.iter().map(|(name, value)| (name.clone(), value.clone())));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            // RFC 6750: the error attribute only when a token was presented at all.
            let challenge = match self.code {
                "missing_api_key" => "Bearer realm=\"tokenmill\"",
                _ => "Bearer realm=\"tokenmill\", error=\"invalid_token\"",
            };
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        response.extensions_mut().insert(self.logged());
        // For whoever must tell it in another form.
        response.extensions_mut().insert(self);
        response
    }
}
