//! Keys: an operator everybody's, others their own.

use std::time::Duration;

use axum::extract::Path;
use serde::Deserialize;
use serde_json::{Value, json};
use tokenmill_accounts::{KeyInfo, KeyRequest, KeyScope, KeyTerms, Network, Rates, Timestamp};

use super::{Answer, Managing, Parts, failed, list as listed, named, ok, refused_key};
use crate::admission::check_scope;
use crate::error::ApiError;

/// The longest overlap of two secrets, and what it is where nothing is said.
const MAX_OVERLAP_S: u64 = 30 * 86_400;
const OVERLAP_S: u64 = 86_400;

fn shown(key: &KeyInfo) -> Value {
    let scopes: Vec<_> = key.terms.scopes.iter().map(|scope| scope.name()).collect();
    let networks = key.terms.allowed_networks.as_ref();
    json!({
        "id": key.id, "name": key.name, "person": key.person, "last_four": key.last_four,
        "scopes": scopes, "allowed_models": key.terms.allowed_models,
        "allowed_networks": networks.map(|list| list.iter().map(ToString::to_string).collect::<Vec<_>>()),
        "requests_per_minute": key.terms.rates.requests_per_minute,
        "tokens_per_minute": key.terms.rates.tokens_per_minute,
        "created_at": key.created_at.as_secs(), "expires_at": key.expires_at.map(Timestamp::as_secs),
        "revoked_at": key.revoked_at.map(Timestamp::as_secs), "console": key.is_console,
    })
}

pub(super) async fn list(managing: Managing) -> Answer {
    check_scope(&managing.caller, KeyScope::Admin)?;
    let keys = managing.app.accounts.list_keys().await.map_err(failed)?;
    let is_seen = |key: &&KeyInfo| managing.is_operator || key.person == managing.caller.person.name;
    ok(listed(keys.iter().filter(is_seen).map(shown)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewKey {
    name: String,
    /// Whose; without it, the caller's own.
    person: Option<String>,
    expires_in_s: Option<u64>,
    scopes: Option<Vec<String>>,
    allowed_models: Option<Vec<String>>,
    allowed_networks: Option<Vec<String>>,
    requests_per_minute: Option<u32>,
    tokens_per_minute: Option<u32>,
}

pub(super) async fn create(managing: Managing) -> Answer {
    check_scope(&managing.caller, KeyScope::Admin)?;
    let (is_operator, own) = (managing.is_operator, managing.caller.person.name.clone());
    let (app, actor, body) = managing.body::<NewKey>().await?;
    let person = body.person.clone().unwrap_or_else(|| own.clone());
    if !is_operator && person != own {
        return Err(ApiError::not_permitted(
            "Only an operator may make keys for others",
        ));
    }
    let lifetime = body.expires_in_s.map(Duration::from_secs);
    let request = KeyRequest {
        name: body.name.clone(),
        person: Some(person),
        expires_at: lifetime.map(|lifetime| app.accounts.now().after(lifetime)),
        terms: terms(body)?,
    };
    let created = app.accounts.create_key(&actor, &request).await;
    let created = created.map_err(refused_key)?;
    let mut answer = shown(&created.info);
    answer["key"] = json!(created.secret.expose());
    ok(answer)
}

fn terms(body: NewKey) -> Result<KeyTerms, ApiError> {
    let mut terms = KeyTerms {
        allowed_models: body.allowed_models,
        rates: Rates {
            requests_per_minute: body.requests_per_minute,
            tokens_per_minute: body.tokens_per_minute,
        },
        ..KeyTerms::default()
    };
    if let Some(scopes) = body.scopes {
        let scope = |name: &String| named("scopes", name, KeyScope::from_name);
        terms.scopes = scopes.iter().map(scope).collect::<Result<_, _>>()?;
    }
    if let Some(networks) = body.allowed_networks {
        let network = |text: &String| {
            let parsed = text.parse::<Network>();
            parsed
                .map_err(|error| ApiError::parameter("invalid_value", "allowed_networks", error.to_string()))
        };
        terms.allowed_networks = Some(networks.iter().map(network).collect::<Result<_, _>>()?);
    }
    Ok(terms)
}

/// The key must be the caller's own, unless they are an operator.
async fn check_own(managing: &Managing, id: &str) -> Result<(), ApiError> {
    check_scope(&managing.caller, KeyScope::Admin)?;
    let key = managing.app.accounts.key_info(id).await.map_err(failed)?;
    let is_own = key.is_some_and(|key| key.person == managing.caller.person.name);
    if managing.is_operator || is_own {
        return Ok(());
    }
    Err(ApiError::not_found("There is no key of yours with this id"))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Revocation {
    #[serde(default)]
    cut_streams: bool,
}

pub(super) async fn revoke(Path(id): Parts<String>, managing: Managing) -> Answer {
    check_own(&managing, &id).await?;
    let Revocation { cut_streams } = managing.query()?;
    let actor = managing.actor();
    let revoked = managing.app.accounts.revoke_key(&actor, &id, cut_streams);
    ok(shown(&revoked.await.map_err(refused_key)?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rotation {
    /// For so long the old secret goes on to work.
    overlap_s: Option<u64>,
}

pub(super) async fn rotate(Path(id): Parts<String>, managing: Managing) -> Answer {
    check_own(&managing, &id).await?;
    let (app, actor, Rotation { overlap_s }) = managing.body().await?;
    let overlap_s = overlap_s.unwrap_or(OVERLAP_S);
    if overlap_s > MAX_OVERLAP_S {
        let message = format!("'overlap_s' must be at most {MAX_OVERLAP_S}");
        return Err(ApiError::parameter("invalid_value", "overlap_s", message));
    }
    let rotated = app
        .accounts
        .rotate_key(&actor, &id, Duration::from_secs(overlap_s));
    let secret = rotated.await.map_err(refused_key)?;
    ok(json!({"id": id, "key": secret.expose(), "old_secret_works_for_s": overlap_s}))
}
