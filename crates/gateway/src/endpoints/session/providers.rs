//! Signing in with an identity provider: `/api/v1/session/providers/{id}`. The browser is sent there, comes back to a page of
//! the console with a code, and that page hands the code in.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;
use tokenmill_accounts::{Identity, SignInError};

use super::{Door, refused};
use crate::App;
use crate::console::{Cookie, cookie, set_cookie};
use crate::error::ApiError;
use crate::oidc::{Fault, Provider, kept_out, lost};

const MAX_NEXT_BYTES: usize = 1_024;

pub(super) fn router() -> Router<Arc<App>> {
    let one = axum::routing::post(begin).put(finish);
    Router::new().route("/api/v1/session/providers/{id}", one)
}

fn provider<'a>(app: &'a App, id: &str) -> Result<&'a Provider, ApiError> {
    let unknown = || ApiError::not_found("There is no identity provider of this name; reload the page");
    app.providers.find(id).ok_or_else(unknown)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Begin {
    next: String,
}

/// Where the browser goes to sign in, and its half of the secret.
async fn begin(
    Path(id): Path<String>,
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, ApiError> {
    let mut door = Door::open(app, request)?;
    let Begin { next } = door.read().await?;
    let provider = provider(&door.app, &id)?;
    if !is_page(&next) {
        let message = "'next' must be a page of the console or the guide, as in /console/models";
        return Err(ApiError::parameter("invalid_value", "next", message));
    }
    let attempt = door.app.accounts.begin_attempt(&id, &next);
    let attempt = attempt.map_err(|error| ApiError::server_error(error.to_string()))?;
    let location = provider.authorization_url(&attempt).await;
    let location = location.map_err(|fault| fault.shown(&provider.options))?;
    let mut response = Json(json!({"location": location.as_str()})).into_response();
    set_cookie(&door.app, &mut response, Cookie::Attempt, Some(&attempt.cookie()));
    Ok(response)
}

/// Whether a path leads to a page of this server, and to nothing else: the first name is one of ours and ends there.
fn is_page(next: &str) -> bool {
    let is_under = |folder: &str| {
        let rest = next.strip_prefix(folder);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?', '#']))
    };
    let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'\\';
    (is_under("/console") || is_under("/docs")) && next.len() <= MAX_NEXT_BYTES && next.bytes().all(is_plain)
}

/// What the provider sent the browser back with.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Returned {
    code: String,
    state: String,
    /// Who says so, where it does (RFC 9207).
    iss: Option<String>,
}

async fn finish(
    Path(id): Path<String>,
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, ApiError> {
    let mut door = Door::open(app, request)?;
    let returned = door.read::<Returned>().await?;
    let app = &door.app;
    let provider = provider(app, &id)?;
    check_budget(provider, &door.place)?;
    let kept = cookie(app, &door.headers, Cookie::Attempt).unwrap_or_default();
    let attempt = app.accounts.take_attempt(&id, kept, &returned.state).await;
    let attempt = attempt.map_err(lost)?;
    let issuer = &provider.options.issuer;
    if returned.iss.is_some_and(|iss| iss != *issuer) {
        let fault = Fault::BadToken("another issuer sent the browser back".to_owned());
        return Err(fault.shown(&provider.options));
    }
    let identified = provider.identify(&attempt, &returned.code).await;
    let identified = identified.map_err(|fault| {
        if matches!(fault, Fault::CodeRefused(_)) {
            provider.budget.refused(&door.place);
        }
        fault.shown(&provider.options)
    })?;
    let identity = Identity {
        provider: &id,
        issuer,
        subject: &identified.subject,
        mail: identified.mail.as_deref(),
    };
    let session = app
        .accounts
        .sign_in_as(identity, &provider.options.newcomers)
        .await;
    let session = session.map_err(|error| kept_out(&error, &provider.options))?;
    let mut response = Json(json!({"next": attempt.next()})).into_response();
    set_cookie(app, &mut response, Cookie::Session, Some(session.expose()));
    set_cookie(app, &mut response, Cookie::Attempt, None);
    Ok(response)
}

fn check_budget(provider: &Provider, place: &str) -> Result<(), ApiError> {
    match provider.budget.wait_s(place) {
        Some(wait_s) => Err(refused(SignInError::TooOften(wait_s))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::is_page;

    #[test]
    fn a_sign_in_leads_to_pages_of_this_server_alone() {
        for page in [
            "/console",
            "/console/",
            "/console/usage?by=key",
            "/console?x=1",
            "/docs/http.md#errors",
        ] {
            assert!(is_page(page), "{page}");
        }
        for elsewhere in [
            "",
            "/",
            "//evil.example/console",
            "/\\evil.example",
            "/console\\@evil.example",
            "/consoles",
            "/console@evil.example",
            "console/",
            "https://evil.example/console/",
            "javascript:alert(1)",
            "/console/\nx",
            "/api/v1/me",
            &format!("/console/{}", "x".repeat(1_024)),
        ] {
            assert!(!is_page(elsewhere), "{elsewhere:?}");
        }
    }
}
