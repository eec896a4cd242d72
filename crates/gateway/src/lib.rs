//! HTTP in and out: the OpenAI-compatible service in front of [`tokenmill_inference`].
//!
//! [`Gateway::router`] is the service itself; [`serve`] runs it on a socket under limits. A request passes the layers
//! in the order in which [`Gateway::router`] lists them, from the outside in, and then one of the endpoints in
//! [`ROUTES`]. This crate alone knows status codes, headers and the wire shape that callers see.

mod endpoints;

mod console;
mod oidc;

mod openapi;
mod parameters;
mod reference;

mod generate;

mod origin;

mod adapters;
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

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use tokenmill_accounts::{Accounts, Artifacts, Ledger};
use tokenmill_inference::Router as Models;
use tokio::sync::Semaphore;

pub use endpoints::{Access, MANAGE_ROUTES, ManageRoute, Operation, ROUTES, Route};
pub use oidc::{ClientSecret, IdentityProvider, VERIFIED_CLAIM, is_private};
pub use openapi::{Reply, document as openapi_document};
pub use origin::OriginError;
pub use parameters::{Group, Origin, Parameter, Rule};
pub use reference::parameters_page;
pub use serve::{ServeOptions, serve};

use admission::InFlight;
use dialect::Dialect;
use error::ApiError;
use observe::metrics::Metrics;
use observe::recent::Recent;
use oidc::Providers;
use origin::Origins;
use rates::RateLimiter;

/// What an operator can choose about the gateway.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Bytes of a request's body.
    pub max_body_bytes: usize,
    /// Seconds that a request's body may take to arrive.
    pub body_timeout_s: u64,
    /// Sequences of one project for one model that may be in flight together, on all servers of a database: a request with `n`
    /// choices takes `n`. As many requests of a project may be read together by each.
    pub max_in_flight: usize,
    /// Idempotency keys of one project within a day; one more is refused.
    pub idempotency_keys: usize,
    /// Bytes of answers that are kept under the keys of one project; with more, the oldest go.
    pub idempotency_bytes: usize,
    /// Seconds without text after which a stream gets a comment, so that proxies keep it.
    pub keep_alive_s: u64,
    /// The header in which a trusted proxy tells the caller's country, in two letters; empty for none.
    pub country_header: String,
    /// A folder whose files stand in for the console's built-in ones, for work on them; empty for none.
    pub console_dir: String,
    /// Whether browsers reach the console by HTTPS alone, so that the session's cookie may be bound to that.
    pub secure_cookies: bool,
    /// Where the files of uploaded adapters lie, which servers with one database share; empty for a folder beside the accounts.
    pub artifacts_dir: String,
    /// Bytes of an uploaded adapter's matrices.
    pub max_artifact_bytes: usize,
    /// A file in MaxMind's format that tells the country of an address; empty for none.
    pub country_database: String,
    /// Networks of proxies whose `X-Forwarded-For` tells the caller's address.
    pub trusted_proxies: Vec<String>,
    /// The address under which browsers reach the console; empty where nobody signs in with an identity provider.
    pub public_url: String,
    /// With whom people may sign in besides a password. Not among the options that have a flag: each is a table of its own.
    #[serde(skip)]
    pub identity_providers: Vec<IdentityProvider>,
    /// Countries whose callers are refused. Needs `country_header` or `country_database`; a caller whose country is not known
    /// is let in.
    pub denied_countries: Vec<String>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            max_body_bytes: 4 << 20,
            body_timeout_s: 60,
            max_in_flight: 128,
            idempotency_keys: 10_000,
            idempotency_bytes: 256 << 20,
            keep_alive_s: 15,
            country_header: String::new(),
            country_database: String::new(),
            trusted_proxies: Vec::new(),
            console_dir: String::new(),
            secure_cookies: false,
            artifacts_dir: String::new(),
            max_artifact_bytes: 2 << 30,
            public_url: String::new(),
            identity_providers: Vec::new(),
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
    artifacts: Artifacts,
    /// Places for uploads.
    uploads: Semaphore,
    ledger: Ledger,
    rates: Arc<RateLimiter>,
    models: Models,
    options: Options,
    origins: Origins,
    providers: Providers,
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
    ///
    /// # Errors
    /// Rules about where callers come from that cannot be kept.
    pub fn new(
        accounts: Accounts,
        ledger: Ledger,
        models: Models,
        options: Options,
    ) -> Result<Gateway, OriginError> {
        let origins = Origins::open(&options)?;
        let metrics = Arc::new(Metrics::new(models.models().map(|card| card.id.as_str())));
        let in_flight = Arc::new(InFlight::new(options.max_in_flight));
        let is_draining = AtomicBool::new(false);
        let folder = Some(Path::new(&options.artifacts_dir)).filter(|dir| !dir.as_os_str().is_empty());
        let artifacts = Artifacts::new(accounts.clone(), folder);
        let providers = Providers::new(&options.identity_providers, &options.public_url);
        Ok(Gateway {
            app: Arc::new(App {
                accounts,
                artifacts,
                uploads: Semaphore::new(endpoints::UPLOADS_AT_ONCE),
                ledger,
                rates: Arc::default(),
                models,
                options,
                origins,
                providers,
                in_flight,
                metrics,
                recent: Arc::new(Recent::new()),
                is_draining,
            }),
        })
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
                handler = handler.layer(middleware::from_fn_with_state(app.clone(), enter_once));
            }
            router = router.route(route.path, handler);
        }
        for route in MANAGE_ROUTES {
            let handlers = route.operations.iter().map(|operation| (operation.handler)());
            let handler = handlers
                .reduce(MethodRouter::merge)
                .unwrap_or_default()
                .layer(middleware::from_fn_with_state(app.clone(), enter));
            router = router.route(route.path, handler);
        }
        router
            .merge(console::router())
            .merge(endpoints::session_router())
            .fallback(unknown_route)
            .method_not_allowed_fallback(method_not_allowed)
            .layer(middleware::from_fn_with_state(
                (app.clone(), max_header_bytes),
                around_all,
            ))
            .with_state(app.clone())
    }

    /// From now on `/ready` and every new request get 503; requests in flight go on to their end.
    pub fn drain(&self) {
        self.app.is_draining.store(true, Ordering::Relaxed);
    }

    /// Uploaded adapters.
    #[must_use]
    pub fn artifacts(&self) -> &Artifacts {
        &self.app.artifacts
    }

    /// Chat requests in flight: known who asks, and the last byte not gone.
    #[must_use]
    pub fn n_in_flight(&self) -> usize {
        self.app.in_flight.total()
    }
}

/// In front of and behind every route. One layer, like [`enter_once`] inside it, and not one for each concern: each of axum's
/// copies everything that lies within it, for every request.
async fn around_all(
    State((app, max_header_bytes)): State<(Arc<App>, usize)>,
    request: Request,
    next: middleware::Next,
) -> Response {
    let answer = async |request: Request| {
        let dialect = Dialect::of(&request);
        let response = match check_headers(&request, max_header_bytes) {
            Ok(()) => next.run(request).await,
            Err(refusal) => refusal.into_response(),
        };
        dialect.write(response)
    };
    observe::watch(&app, request, answer).await
}

/// In front of what needs a caller.
async fn enter(State(app): State<Arc<App>>, mut request: Request, next: middleware::Next) -> Response {
    match may_enter(&app, &mut request).await {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

/// In front of what asks a model: once for each idempotency key.
async fn enter_once(State(app): State<Arc<App>>, mut request: Request, next: middleware::Next) -> Response {
    match may_enter(&app, &mut request).await {
        Ok(()) if request.method() == Method::POST => idempotency::once(&app, request, next).await,
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

async fn may_enter(app: &App, request: &mut Request) -> Result<(), ApiError> {
    if app.is_draining.load(Ordering::Relaxed) {
        return Err(ApiError::overloaded("shutting_down", None));
    }
    admission::enter(app, request).await
}

fn check_headers(request: &Request, limit_bytes: usize) -> Result<(), ApiError> {
    let headers = request.headers();
    let lengths = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len());
    let target = request.uri().path_and_query();
    let n_bytes = lengths.sum::<usize>() + target.map_or(0, |target| target.as_str().len());
    if n_bytes > limit_bytes || headers.len() > serve::MAX_HEADERS {
        return Err(ApiError::headers_too_large(limit_bytes, serve::MAX_HEADERS));
    }
    Ok(())
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
    let mut id = String::with_capacity(prefix.len() + 2 * bytes.len());
    id.push_str(prefix);
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    id.extend(digits.filter_map(|digit| char::from_digit(digit.into(), 16)));
    id
}

/// Reads a chat request as the endpoint does; the message where it would be refused. For fuzzing.
#[doc(hidden)]
pub fn check_chat_request(body: &[u8]) -> Result<(), String> {
    endpoints::check_chat_request(body).map_err(|error| error.message)
}
