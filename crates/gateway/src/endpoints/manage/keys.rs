//! Keys: an operator everybody's, others their own.

use std::time::Duration;

use axum::extract::Path;
use axum::routing::{delete, get, patch, post};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokenmill_accounts::{
    KeyChange, KeyInfo, KeyRequest, KeyScope, KeyTerms, Network, Period, Rates, Scope, Timestamp,
};

use super::teams::present;
use super::{
    Answer, List, Managing, Operation, Parts, dollars, failed, list as listed, named, ok, refused,
    refused_key,
};
use crate::admission::check_scope;
use crate::error::ApiError;
use crate::openapi::{Reply, schema};

pub(super) const KEYS: &[Operation] = &[
    Operation::new(
        "GET",
        "List the caller's keys; for an operator, everybody's",
        &[Reply::json(schema::<List<ShownKey>>)],
        || get(list),
    ),
    Operation::new("POST", "Make a key", &[Reply::json(schema::<MadeKey>)], || {
        post(create)
    })
    .with(schema::<NewKey>),
];

pub(super) const KEY: &[Operation] = &[
    Operation::new(
        "PATCH",
        "Change what a key may do, from the next request on",
        &[Reply::json(schema::<ShownKey>)],
        || patch(change),
    )
    .with(schema::<ChangedKey>),
    Operation::new(
        "DELETE",
        "Revoke a key",
        &[Reply::json(schema::<ShownKey>)],
        || delete(revoke),
    )
    .asking(schema::<Revocation>),
];

pub(super) const ROTATE: &[Operation] = &[Operation::new(
    "POST",
    "Give a key a new secret; the old one works on for a while",
    &[Reply::json(schema::<Rotated>)],
    || post(rotate),
)
.with(schema::<Rotation>)];

/// The longest overlap of two secrets, and what it is where nothing is said.
const MAX_OVERLAP_S: u64 = 30 * 86_400;
const OVERLAP_S: u64 = 86_400;

/// A key, without its secret.
#[derive(Serialize, JsonSchema)]
struct ShownKey {
    id: String,
    name: String,
    person: String,
    /// The end of its secret.
    last_four: String,
    scopes: Vec<&'static str>,
    /// The only models that it may ask; `null` is all.
    allowed_models: Option<Vec<String>>,
    /// The only networks that it may come from; `null` is all.
    allowed_networks: Option<Vec<String>>,
    requests_per_minute: Option<u32>,
    tokens_per_minute: Option<u32>,
    /// Seconds since 1970, as the others.
    created_at: i64,
    expires_at: Option<i64>,
    revoked_at: Option<i64>,
    /// Whether it is the console's own, of somebody who has signed in.
    console: bool,
}

/// A key that was made.
#[derive(Serialize, JsonSchema)]
struct MadeKey {
    #[serde(flatten)]
    info: ShownKey,
    /// Its secret, which is not shown again.
    key: String,
}

/// A key with a new secret.
#[derive(Serialize, JsonSchema)]
struct Rotated {
    id: String,
    /// The secret, which is not shown again.
    key: String,
    old_secret_works_for_s: u64,
}

fn shown(key: &KeyInfo) -> ShownKey {
    let networks = key.terms.allowed_networks.as_ref();
    ShownKey {
        id: key.id.clone(),
        name: key.name.clone(),
        person: key.person.clone(),
        last_four: key.last_four.clone(),
        scopes: key.terms.scopes.iter().map(|scope| scope.name()).collect(),
        allowed_models: key.terms.allowed_models.clone(),
        allowed_networks: networks.map(|list| list.iter().map(ToString::to_string).collect()),
        requests_per_minute: key.terms.rates.requests_per_minute,
        tokens_per_minute: key.terms.rates.tokens_per_minute,
        created_at: key.created_at.as_secs(),
        expires_at: key.expires_at.map(Timestamp::as_secs),
        revoked_at: key.revoked_at.map(Timestamp::as_secs),
        console: key.is_console,
    }
}

pub(super) async fn list(managing: Managing) -> Answer {
    check_scope(&managing.caller, KeyScope::Admin)?;
    let keys = managing.app.accounts.list_keys().await.map_err(failed)?;
    let is_seen = |key: &&KeyInfo| managing.is_operator || key.person == managing.caller.person.name;
    ok(listed(keys.iter().filter(is_seen).map(shown)))
}

/// A key to make.
#[derive(Deserialize, JsonSchema)]
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
    ok(MadeKey {
        info: shown(&created.info),
        key: created.secret.expose().to_owned(),
    })
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
    if let Some(names) = body.scopes {
        terms.scopes = scopes(&names)?;
    }
    terms.allowed_networks = body.allowed_networks.as_deref().map(networks).transpose()?;
    Ok(terms)
}

fn scopes(names: &[String]) -> Result<Vec<KeyScope>, ApiError> {
    let scope = |name: &String| named("scopes", name, KeyScope::from_name);
    names.iter().map(scope).collect()
}

fn networks(texts: &[String]) -> Result<Vec<Network>, ApiError> {
    let network = |text: &String| {
        let parsed = text.parse::<Network>();
        parsed.map_err(|error| ApiError::parameter("invalid_value", "allowed_networks", error.to_string()))
    };
    texts.iter().map(network).collect()
}

/// What is to change about a key. What is left out stays; `null` takes a limit away.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ChangedKey {
    name: Option<String>,
    /// Counted from now; `null` is never.
    #[serde(default, deserialize_with = "present::deserialize")]
    #[schemars(with = "Option<u64>")]
    expires_in_s: Option<Option<u64>>,
    scopes: Option<Vec<String>>,
    #[serde(default, deserialize_with = "present::deserialize")]
    #[schemars(with = "Option<Vec<String>>")]
    allowed_models: Option<Option<Vec<String>>>,
    #[serde(default, deserialize_with = "present::deserialize")]
    #[schemars(with = "Option<Vec<String>>")]
    allowed_networks: Option<Option<Vec<String>>>,
    #[serde(default, deserialize_with = "present::deserialize")]
    #[schemars(with = "Option<u32>")]
    requests_per_minute: Option<Option<u32>>,
    #[serde(default, deserialize_with = "present::deserialize")]
    #[schemars(with = "Option<u32>")]
    tokens_per_minute: Option<Option<u32>>,
    /// What it may spend in a month, in a text of dollars; only operators change it: whoever owns a key could lift its cap otherwise.
    #[serde(default, deserialize_with = "present::deserialize")]
    #[schemars(with = "Option<String>")]
    monthly_cap_usd: Option<Option<String>>,
}

pub(super) async fn change(Path(id): Parts<String>, managing: Managing) -> Answer {
    check_own(&managing, &id).await?;
    let is_operator = managing.is_operator;
    let (app, actor, body) = managing.body::<ChangedKey>().await?;
    if body.monthly_cap_usd.is_some() && !is_operator {
        return Err(ApiError::not_permitted("Only an operator may change a key's cap"));
    }
    // Read before anything is changed.
    let limit = |text: Option<&str>| text.map(|text| dollars("monthly_cap_usd", text)).transpose();
    let cap = body
        .monthly_cap_usd
        .as_ref()
        .map(|text| limit(text.as_deref()))
        .transpose()?;
    let now = app.accounts.now();
    let allowed_networks = body
        .allowed_networks
        .map(|list| list.as_deref().map(networks).transpose());
    let change = KeyChange {
        name: body.name,
        expires_at: body
            .expires_in_s
            .map(|s| s.map(|s| now.after(Duration::from_secs(s)))),
        scopes: body.scopes.as_deref().map(scopes).transpose()?,
        allowed_models: body.allowed_models,
        allowed_networks: allowed_networks.transpose()?,
        requests_per_minute: body.requests_per_minute,
        tokens_per_minute: body.tokens_per_minute,
    };
    let changed = app
        .accounts
        .change_key(&actor, &id, &change)
        .await
        .map_err(refused_key)?;
    if let Some(limit) = cap {
        let target = (Scope::Key, id.as_str());
        let set = app.accounts.set_cap(&actor, target, Period::Month, limit).await;
        set.map_err(refused)?;
    }
    ok(shown(&changed))
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

/// How a key is revoked.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Revocation {
    /// Whether its running streams end, too.
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

/// How a key gets a new secret.
#[derive(Deserialize, JsonSchema)]
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
    ok(Rotated {
        id,
        key: secret.expose().to_owned(),
        old_secret_works_for_s: overlap_s,
    })
}
