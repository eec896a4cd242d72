//! HTTP in and out: the OpenAI-compatible service in front of [`tokenmill_inference`].
//!
//! [`Gateway::router`] is the service itself; [`serve`] runs it on a socket under limits. A request passes the layers
//! in the order in which [`Gateway::router`] lists them, from the outside in, and then one of the endpoints in
//! [`ROUTES`]. This crate alone knows status codes, headers and the wire shape that callers see.

mod endpoints;

mod console;

mod openapi;
mod parameters;
mod reference;

mod generate;

mod admission;
mod catalogue;
mod idempotency;
mod paying;
mod rates;

mod stream;
mod tokens;

mod dialect;
mod error;

mod body;
mod json;
mod observe;
mod serve;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use tokenmill_accounts::{Accounts, Ledger};
use tokenmill_inference::Router as Models;

pub use endpoints::{Access, MANAGE_ROUTES, ManageRoute, Operation, ROUTES, Route};
pub use openapi::{Reply, document as openapi_document};
pub use parameters::{Group, Origin, Parameter, Rule};
pub use reference::parameters_page;
pub use serve::{ServeOptions, serve};

use admission::InFlight;
use error::ApiError;
use observe::metrics::Metrics;
use observe::recent::Recent;
use rates::RateLimiter;

/// What an operator can choose about the gateway.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Bytes of a request's body.
    pub max_body_bytes: usize,
    /// Seconds that a request's body may take to arrive.
    pub body_timeout_s: u64,
    /// Sequences of one project for one model that may be in flight together: a request with `n` choices takes `n`. As
    /// many requests of a project may be read together.
    pub max_in_flight: usize,
    /// Seconds without text after which a stream gets a comment, so that proxies keep it.
    pub keep_alive_s: u64,
    /// The header in which a trusted proxy tells the caller's country, in two letters; empty for none.
    pub country_header: String,
    /// A folder whose files stand in for the console's built-in ones, for work on them; empty for none.
    pub console_dir: String,
    /// Whether browsers reach the console by HTTPS alone, so that the session's cookie may be bound to that.
    pub secure_cookies: bool,
    /// Countries whose callers are refused. Needs `country_header`; a caller whose country is not told is let in.
    pub denied_countries: Vec<String>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            max_body_bytes: 4 << 20,
            body_timeout_s: 60,
            max_in_flight: 128,
            keep_alive_s: 15,
            country_header: String::new(),
            console_dir: String::new(),
            secure_cookies: false,
            denied_countries: Vec::new(),
        }
    }
}

/// The service, before it is put on a socket. Clones share everything.
#[derive(Clone)]
pub struct Gateway {
    app: Arc<App>,
}

/// What all handlers share.
struct App {
    accounts: Accounts,
    ledger: Ledger,
    rates: Arc<RateLimiter>,
    models: Models,
    options: Options,
    in_flight: Arc<InFlight>,
    metrics: Arc<Metrics>,
    recent: Arc<Recent>,
    is_draining: AtomicBool,
}

impl App {
    fn keep_alive(&self) -> Duration {
        Duration::from_secs(self.options.keep_alive_s.max(1))
    }
}

impl Gateway {
    /// Callers from `accounts`, who pay through its `ledger`; answers from `models`.
    #[must_use]
    pub fn new(accounts: Accounts, ledger: Ledger, models: Models, options: Options) -> Gateway {
        let metrics = Arc::new(Metrics::new(models.models().map(|card| card.id.as_str())));
        let in_flight = Arc::new(InFlight::new(options.max_in_flight));
        let is_draining = AtomicBool::new(false);
        Gateway {
            app: Arc::new(App {
                accounts,
                ledger,
                rates: Arc::default(),
                models,
                options,
                in_flight,
                metrics,
                recent: Arc::new(Recent::new()),
                is_draining,
            }),
        }
    }

    /// The whole service: observed, then told in the form of the path's API, then headers within their limit, then drained or not, then (on most routes) a
    /// key, then the endpoint.
    pub fn router(&self) -> axum::Router {
        self.router_with(ServeOptions::default().max_header_bytes)
    }

    fn router_with(&self, max_header_bytes: usize) -> axum::Router {
        let app = &self.app;
        let mut router = axum::Router::new();
        for route in ROUTES {
            let mut handler = (route.handler)();
            if route.access == Access::Key {
                if route.method == "POST" {
                    handler = handler.layer(middleware::from_fn_with_state(app.clone(), idempotency::layer));
                }
                handler = handler
                    .layer(middleware::from_fn_with_state(app.clone(), admission::layer))
                    .layer(middleware::from_fn_with_state(app.clone(), refuse_when_draining));
            }
            router = router.route(route.path, handler);
        }
        for route in MANAGE_ROUTES {
            let handlers = route.operations.iter().map(|operation| (operation.handler)());
            let handler = handlers
                .reduce(MethodRouter::merge)
                .unwrap_or_default()
                .layer(middleware::from_fn_with_state(app.clone(), admission::layer))
                .layer(middleware::from_fn_with_state(app.clone(), refuse_when_draining));
            router = router.route(route.path, handler);
        }
        router
            .merge(console::router())
            .merge(endpoints::session_router())
            .fallback(unknown_route)
            .method_not_allowed_fallback(method_not_allowed)
            .layer(middleware::from_fn_with_state(
                max_header_bytes,
                refuse_large_headers,
            ))
            .layer(middleware::from_fn(dialect::layer))
            .layer(middleware::from_fn_with_state(app.clone(), observe::layer))
            .with_state(app.clone())
    }

    /// From now on `/ready` and every new request get 503; requests in flight go on to their end.
    pub fn drain(&self) {
        self.app.is_draining.store(true, Ordering::Relaxed);
    }

    /// Chat requests in flight: known who asks, and the last byte not gone.
    #[must_use]
    pub fn n_in_flight(&self) -> usize {
        self.app.in_flight.total()
    }
}

async fn refuse_large_headers(
    State(limit_bytes): State<usize>,
    request: Request,
    next: middleware::Next,
) -> Response {
    let headers = request.headers();
    let lengths = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len());
    let target = request.uri().path_and_query();
    let n_bytes = lengths.sum::<usize>() + target.map_or(0, |target| target.as_str().len());
    if n_bytes > limit_bytes || headers.len() > serve::MAX_HEADERS {
        return ApiError::headers_too_large(limit_bytes, serve::MAX_HEADERS).into_response();
    }
    next.run(request).await
}

async fn refuse_when_draining(
    State(app): State<Arc<App>>,
    request: Request,
    next: middleware::Next,
) -> Response {
    if app.is_draining.load(Ordering::Relaxed) {
        return ApiError::overloaded("shutting_down", None).into_response();
    }
    next.run(request).await
}

async fn unknown_route() -> ApiError {
    ApiError::unknown_route()
}

async fn method_not_allowed(request: Request) -> ApiError {
    ApiError::method_not_allowed(request.method().as_str())
}

/// A prefix and 128 random bits.
fn random_id(prefix: &str) -> String {
    let mut bytes = [0_u8; 16];
    // Without randomness ids would repeat, and they are only names: better that than no answers.
    let _ = getrandom::fill(&mut bytes);
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    prefix
        .chars()
        .chain(digits.filter_map(|digit| char::from_digit(digit.into(), 16)))
        .collect()
}

/// Reads a chat request as the endpoint does; the message where it would be refused. For fuzzing.
#[doc(hidden)]
pub fn check_chat_request(body: &[u8]) -> Result<(), String> {
    endpoints::check_chat_request(body).map_err(|error| error.message)
}
