//! Signing in to the console and out of it: `/api/v1/session`. These routes take no key, and only requests from the
//! console's own page.

mod providers;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokenmill_accounts::{SignInError, Token};

use crate::App;
use crate::body::read_json;
use crate::console::{Cookie, is_from_here, session_token, set_cookie};
use crate::error::ApiError;

const MAX_BODY_BYTES: usize = 16 << 10;

/// The paths of signing in and out.
pub(crate) fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/api/v1/session", get(state).post(sign_in).delete(sign_out))
        .route("/api/v1/session/invitation", post(invitation).put(accept))
        .route("/api/v1/session/password", put(change_password))
        .merge(providers::router())
}

/// What a request brings besides its body.
struct Door {
    app: Arc<App>,
    headers: HeaderMap,
    place: String,
    body: Body,
}

impl Door {
    fn open(app: Arc<App>, request: Request) -> Result<Door, ApiError> {
        if !is_from_here(request.headers()) {
            return Err(ApiError::cross_site());
        }
        let address = app.origins.address(&request);
        let place = address.map(|address| address.to_string()).unwrap_or_default();
        let (parts, body) = request.into_parts();
        Ok(Door {
            app,
            headers: parts.headers,
            place,
            body,
        })
    }

    async fn read<T: DeserializeOwned>(&mut self) -> Result<T, ApiError> {
        let patience = Duration::from_secs(self.app.options.body_timeout_s);
        let body = std::mem::take(&mut self.body);
        let bytes = read_json(&self.headers, body, MAX_BODY_BYTES, patience).await?;
        serde_json::from_slice(&bytes)
            .map_err(|error| ApiError::malformed("invalid_request", error.to_string()))
    }
}

fn refused(error: SignInError) -> ApiError {
    let message = error.to_string();
    match error {
        SignInError::Wrong => ApiError::wrong_password(message),
        SignInError::TooOften(wait_s) => ApiError::too_many_tries(message, wait_s),
        SignInError::BadInvitation => ApiError::malformed("invalid_invitation", message),
        SignInError::BadPassword => ApiError::parameter("invalid_value", "password", message),
        SignInError::Store(error) => ApiError::server_error(error.to_string()),
    }
}

fn signed_in(app: &App, token: &Token) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    set_cookie(app, &mut response, Cookie::Session, Some(token.expose()));
    response
}

/// Whether there is a session, and with whom one can begin; the page asks first of all.
async fn state(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let person = match session_token(&app, &headers) {
        Some(token) if is_from_here(&headers) => {
            let caller = app.accounts.session(token, None).await;
            caller.ok().map(|caller| caller.person.name.clone())
        }
        _ => None,
    };
    let providers = app.providers.iter();
    let providers: Vec<_> = providers
        .map(|of| json!({"id": of.id, "label": of.label}))
        .collect();
    Json(json!({"person": person, "providers": providers})).into_response()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignIn {
    person: String,
    password: String,
}

async fn sign_in(State(app): State<Arc<App>>, request: Request) -> Result<Response, ApiError> {
    let mut door = Door::open(app, request)?;
    let SignIn { person, password } = door.read().await?;
    let token = door.app.accounts.sign_in(&person, &password, &door.place).await;
    Ok(signed_in(&door.app, &token.map_err(refused)?))
}

async fn sign_out(State(app): State<Arc<App>>, request: Request) -> Result<Response, ApiError> {
    let door = Door::open(app, request)?;
    if let Some(token) = session_token(&door.app, &door.headers) {
        let ended = door.app.accounts.sign_out(token).await;
        ended.map_err(|error| ApiError::server_error(error.to_string()))?;
    }
    let mut response = StatusCode::NO_CONTENT.into_response();
    set_cookie(&door.app, &mut response, Cookie::Session, None);
    Ok(response)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Shown {
    token: String,
}

/// Whose invitation it is.
async fn invitation(State(app): State<Arc<App>>, request: Request) -> Result<Response, ApiError> {
    let mut door = Door::open(app, request)?;
    let Shown { token } = door.read().await?;
    let person = door.app.accounts.invitation(&token).await.map_err(refused)?;
    Ok(Json(json!({"person": person.name})).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Accepted {
    token: String,
    password: String,
}

async fn accept(State(app): State<Arc<App>>, request: Request) -> Result<Response, ApiError> {
    let mut door = Door::open(app, request)?;
    let Accepted { token, password } = door.read().await?;
    let session = door.app.accounts.accept_invitation(&token, &password).await;
    Ok(signed_in(&door.app, &session.map_err(refused)?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewPassword {
    current: String,
    password: String,
}

async fn change_password(State(app): State<Arc<App>>, request: Request) -> Result<Response, ApiError> {
    let mut door = Door::open(app, request)?;
    let NewPassword { current, password } = door.read().await?;
    let over = || ApiError::unauthorized("session_over");
    let token = session_token(&door.app, &door.headers).ok_or_else(over)?;
    let caller = door.app.accounts.session(token, None).await.map_err(|_| over())?;
    let changed = door
        .app
        .accounts
        .change_password(&caller.person, &current, &password, &door.place)
        .await;
    Ok(signed_in(&door.app, &changed.map_err(refused)?))
}
