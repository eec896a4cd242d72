//! What every endpoint that asks a model does: read the body, admit, one call, answer.
//!
//! An endpoint reads its body into a [`Draft`] and writes events in its own shape; everything between is here, so that
//! no door has rules of its own about who may ask how much.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tokenmill_accounts::{Caller, KeyScope, SlotError};
use tokenmill_inference::{CacheScope, Draft, InferenceError, PaidBy, Prompts};

use crate::App;
use crate::adapters::Named;
use crate::admission::{Concurrency, Permit, check_scope, wait_for_a_place_s};
use crate::body::{Holding, read_json};
use crate::catalogue::Offer;
use crate::error::ApiError;
use crate::observe::{Record, RequestId};
use crate::paying::{Account, paid};
use crate::stream::{Answer, Folded, Frames};

/// Names the request in the ledger.
pub(crate) const USAGE_ID: HeaderName = HeaderName::from_static("x-usage-id");

/// Headers of an answer that there is room for without growing: the usual ones, and those about rates.
const NOTICES: usize = 16;

/// Bodies over this are parsed where they do not hold up other requests.
const PARSE_INLINE_BYTES: usize = 64 << 10;

/// A request whose body has not been read. Dropping it, or later the answer's body, cancels it.
pub(crate) struct Call {
    pub(crate) app: Arc<App>,
    caller: Arc<Caller>,
    record: Record,
    request_id: String,
    request: Request,
}

impl FromRequest<Arc<App>> for Call {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Call, ApiError> {
        let extensions = request.extensions();
        let known = (
            extensions.get::<Arc<Caller>>().cloned(),
            extensions.get::<Record>().cloned(),
            extensions.get::<RequestId>().cloned(),
        );
        let (Some(caller), Some(record), Some(RequestId(request_id))) = known else {
            return Err(ApiError::server_error(
                "a layer in front of the endpoint is missing",
            ));
        };
        Ok(Call {
            app: app.clone(),
            caller,
            record,
            request_id,
            request,
        })
    }
}

/// A request whose body has been read. It counts as being read until it is admitted.
pub(crate) struct Asked {
    pub(crate) app: Arc<App>,
    caller: Arc<Caller>,
    record: Record,
    request_id: String,
    /// From the first byte to the last, the end of service waits for the request.
    reading: Permit,
    names: Names,
}

/// What a door calls a parameter that the waist names as OpenAI's chat does; the others stay as they are.
type Names = Option<Box<dyn Fn(&str) -> Option<String> + Send + Sync>>;

impl Call {
    pub(crate) fn headers(&self) -> &HeaderMap {
        self.request.headers()
    }

    /// Reads the body, in front of whom the concurrency limit stands.
    pub(crate) async fn read<T: Send + 'static>(
        self,
        parse: fn(&[u8]) -> Result<T, ApiError>,
    ) -> Result<(T, Asked), ApiError> {
        let Call {
            app,
            caller,
            record,
            request_id,
            request,
        } = self;
        let reading = app
            .in_flight
            .read(&caller.project)
            .map_err(|concurrency| ApiError::too_many_in_flight(concurrency, None))?;
        let (parts, body) = request.into_parts();
        let patience = Duration::from_secs(app.options.body_timeout_s);
        let body: Bytes = read_json(&parts.headers, body, app.options.max_body_bytes, patience).await?;
        let body = if body.len() <= PARSE_INLINE_BYTES {
            parse(&body)?
        } else {
            let parsed = tokio::task::spawn_blocking(move || parse(&body)).await;
            parsed
                .unwrap_or_else(|error| Err(ApiError::server_error(format!("reading the body: {error}"))))?
        };
        let asked = Asked {
            app,
            caller,
            record,
            request_id,
            reading,
            names: None,
        };
        Ok((body, asked))
    }
}

impl Asked {
    /// With the door's own names for parameters, for refusals that come from behind it.
    pub(crate) fn naming(self, name: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Asked {
        Asked {
            names: Some(Box::new(name)),
            ..self
        }
    }

    /// The request as logs name it.
    pub(crate) fn request_id(&self) -> &str {
        &self.request_id
    }

    /// What `model` names to the caller.
    pub(crate) async fn named(&self, model: &str) -> Result<Named, ApiError> {
        Named::find(&self.app, &self.caller, model).await
    }

    /// Admits whoever only wants to look at how a model reads prompts. Nothing is charged, and it counts as one
    /// request.
    pub(crate) async fn look(self, model: String) -> Result<Looking, ApiError> {
        check_scope(&self.caller, KeyScope::Inference)?;
        let Named { model, .. } = self.named(&model).await?;
        let offer = Offer::find(&self.app, &self.caller, &model).await?;
        let (_, standings) = self.app.rates.admit(&self.caller).map_err(ApiError::too_often)?;
        self.record.model(&model);
        let mut notices = HeaderMap::new();
        standings.describe(&mut notices);
        offer.describe(&mut notices);
        Ok(Looking {
            app: self.app,
            model,
            names: self.names,
            notices,
            _reading: self.reading,
        })
    }

    /// Checks the draft, admits the request and has it taken on. `cache_salt` parts the project's cached prompts.
    pub(crate) async fn start(mut self, draft: Draft, cache_salt: Option<&str>) -> Result<Running, ApiError> {
        let names = self.names.take();
        let running = self.start_unnamed(draft, cache_salt).await;
        running.map_err(|error| renamed(error, &names))
    }

    async fn start_unnamed(self, mut draft: Draft, cache_salt: Option<&str>) -> Result<Running, ApiError> {
        check_scope(&self.caller, KeyScope::Inference)?;
        let named = self.named(&draft.model).await?;
        let app = self.app;
        draft.id = self.request_id;
        draft.tenant = CacheScope(app.accounts.cache_scope(&self.caller.project, None));
        draft.cache_scope = CacheScope(app.accounts.cache_scope(&self.caller.project, cache_salt));
        let Named {
            model,
            adapter,
            shown,
        } = named;
        draft.model.clone_from(&model);
        draft.adapter.clone_from(&adapter);
        let n_choices = draft.n;
        let offer = Offer::find(&app, &self.caller, &model).await?;
        let adapter = adapter.as_ref().map(|adapter| adapter.name.as_str());
        let (charged, standings) = app.rates.admit(&self.caller).map_err(ApiError::too_often)?;
        let usage = app.accounts.usage(&self.caller, &model, adapter, offer.price);
        let account = Arc::new(Account::new(
            app.accounts.clone(),
            app.ledger.clone(),
            usage,
            charged,
        ));
        draft.paid_by = PaidBy::new(account.clone());
        let request = draft.check()?;
        self.record.model(&model);
        let permit = admit(&app, &self.caller, &model, n_choices).await?;
        drop(self.reading);
        let started = app.models.start(request).await;
        let events = started.map_err(|error| {
            account.fail();
            account
                .take_refusal()
                .unwrap_or_else(|| refuse(&app, &model, error))
        })?;
        let usage_id = account.usage_id();
        let events = paid(events, account);
        let answer = Answer::begin(self.record.watch(events), app.keep_alive()).await?;
        let mut notices = HeaderMap::with_capacity(NOTICES);
        // The request's line in the ledger, for whoever checks a bill.
        notices.extend(HeaderValue::from_str(&usage_id).map(|id| (USAGE_ID, id)));
        standings.describe(&mut notices);
        offer.describe(&mut notices);
        permit.concurrency.describe(&mut notices);
        Ok(Running {
            model: shown,
            n_choices,
            answer,
            keep_alive: app.keep_alive(),
            permit,
            notices,
        })
    }
}

fn renamed(error: ApiError, names: &Names) -> ApiError {
    match names {
        Some(name) => error.renamed(name),
        None => error,
    }
}

/// Someone who looks at how a model reads prompts.
pub(crate) struct Looking {
    app: Arc<App>,
    model: String,
    names: Names,
    notices: HeaderMap,
    /// The end of service waits for it.
    _reading: Permit,
}

impl Looking {
    /// How the model reads prompts.
    pub(crate) fn prompts(&self) -> Result<&dyn Prompts, ApiError> {
        self.app.models.prompts(&self.model).ok_or_else(|| {
            let message = "'model' is served by an upstream that does not show how it reads prompts";
            ApiError::parameter("unsupported_value", "model", message)
        })
    }

    /// Tokens that fit, prompt and answer together.
    pub(crate) fn n_context(&self) -> u64 {
        let card = self.app.models.model(&self.model);
        card.map_or(0, |card| card.n_context)
    }

    /// A draft as a request.
    pub(crate) fn check(&self, draft: Draft) -> Result<tokenmill_inference::Request, ApiError> {
        draft
            .check()
            .map_err(|invalid| renamed(invalid.into(), &self.names))
    }

    /// What the upstream's refusal is to the caller.
    pub(crate) fn refuse(&self, error: InferenceError) -> ApiError {
        renamed(refuse(&self.app, &self.model, error), &self.names)
    }

    /// One object.
    pub(crate) fn answer(self, body: impl Serialize) -> Response {
        let mut response = Json(body).into_response();
        response.headers_mut().extend(self.notices);
        response
    }
}

async fn admit(app: &App, caller: &Caller, model: &str, n_choices: u32) -> Result<Permit, ApiError> {
    let limit = app.in_flight.limit(caller.terms.project.concurrency);
    let n = n_choices as usize;
    if n > limit {
        let message = format!("'n' is {n}; at most {limit} choices may be in flight together here");
        return Err(ApiError::parameter("invalid_value", "n", message));
    }
    let refuse = |concurrency| {
        // `n` sequences must end before this request fits.
        let wait_s = wait_for_a_place_s(app.metrics.mean_duration_s(model), (limit / n.max(1)) as u64);
        ApiError::too_many_in_flight(concurrency, wait_s)
    };
    let permit = app.in_flight.admit(&caller.project, model, n, limit).await;
    let permit = permit.map_err(refuse)?;
    let limit_of_all = u32::try_from(limit).unwrap_or(u32::MAX);
    let slots = app
        .ledger
        .slots(&caller.project.id, model, n_choices, limit_of_all)
        .await;
    let slots = slots.map_err(|error| match error {
        SlotError::Full { n_left } => refuse(Concurrency::of_all(limit, n_left)),
        SlotError::Unavailable => ApiError::unaccountable(error.to_string()),
    })?;
    Ok(permit.with_slots(slots))
}

/// What an upstream's refusal is to the caller, with the wait that was measured.
pub(crate) fn refuse(app: &App, model: &str, error: InferenceError) -> ApiError {
    let stats = app.models.stats().into_iter().find(|(name, _)| *name == model);
    let n_running = stats.map_or(1, |(_, stats)| stats.n_running);
    ApiError::from_inference(
        error,
        wait_for_a_place_s(app.metrics.mean_duration_s(model), n_running),
    )
}

/// An answer on its way.
pub(crate) struct Running {
    /// What the answer says it came from.
    pub(crate) model: String,
    pub(crate) n_choices: u32,
    answer: Answer,
    keep_alive: Duration,
    permit: Permit,
    /// Headers about limits and the model's life.
    notices: HeaderMap,
}

impl Running {
    /// Reads the answer to its end and writes it as one object.
    pub(crate) async fn whole<B: Serialize>(
        self,
        write: impl FnOnce(Folded) -> B,
    ) -> Result<Response, ApiError> {
        let folded = self.answer.fold(self.n_choices as usize).await?;
        let mut response = Json(write(folded)).into_response();
        response.headers_mut().extend(self.notices);
        Ok(response.map(|body| Holding::wrap(body, self.permit)))
    }

    /// Writes the answer as it comes.
    pub(crate) fn streamed(self, frames: impl Frames) -> Response {
        let body = self.answer.sse(frames, self.keep_alive);
        let mut headers = self.notices;
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/event-stream; charset=utf-8"),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        // nginx buffers answers by default, which would hold a stream back.
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        let mut response = Response::new(Holding::wrap(body, self.permit));
        *response.headers_mut() = headers;
        response
    }
}

/// Seconds since 1970, for `created`.
pub(crate) fn now_s() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since_epoch.as_secs()
}
