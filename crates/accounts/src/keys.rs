//! Making, changing, rotating and revoking keys.

use std::time::Duration;

use crate::Accounts;
use crate::clock::Timestamp;
use crate::key::{ID_LEN, KEY_PREFIX, KeyInfo, KeySecret, PresentedKey};
use crate::limits::{KeyScope, KeyTerms};
use crate::network::Network;
use crate::store::{NewKey, StoreError};

const MAX_KEY_NAME_CHARS: usize = 100;

/// What a new key should be.
#[derive(Clone, Debug, Default)]
pub struct KeyRequest {
    /// What its owner calls it: 1 to 100 characters.
    pub name: String,
    /// Whose it is; without one, the person of the first start.
    pub person: Option<String>,
    /// From when on it is refused, if ever.
    pub expires_at: Option<Timestamp>,
    /// What it may do.
    pub terms: KeyTerms,
}

/// What is to change about a key; `None` leaves it.
#[derive(Clone, Debug, Default)]
pub struct KeyChange {
    /// What its owner calls it.
    pub name: Option<String>,
    /// From when on it is refused; `Some(None)` is never.
    pub expires_at: Option<Option<Timestamp>>,
    /// What it is good for.
    pub scopes: Option<Vec<KeyScope>>,
    /// The only models that it may ask; `Some(None)` is all.
    pub allowed_models: Option<Option<Vec<String>>>,
    /// The only networks that it may come from; `Some(None)` is all.
    pub allowed_networks: Option<Option<Vec<Network>>>,
    /// Requests within a minute; `Some(None)` is as many as its owner may.
    pub requests_per_minute: Option<Option<u32>>,
    /// Tokens within a minute; `Some(None)` is as many as its owner may.
    pub tokens_per_minute: Option<Option<u32>>,
}

/// A key that has just been made.
#[derive(Clone, Debug)]
pub struct CreatedKey {
    /// The key itself. It is nowhere else: show it.
    pub secret: KeySecret,
    /// What a list shows of it.
    pub info: KeyInfo,
}

/// A key could not be made or revoked.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The name is empty, too long, or has control characters.
    #[error("a key's name must have 1 to {MAX_KEY_NAME_CHARS} characters and no control characters")]
    BadName,
    /// More models or networks than can be listed, none at all, or no scope.
    #[error("a key needs at least one scope, and its lists of models and networks 1 to 1,000 entries each")]
    BadTerms,
    /// There is no such person.
    #[error("there is no person called {0:?}")]
    UnknownPerson(String),
    /// Nobody exists yet.
    #[error("there is nobody to own a key yet")]
    NoPeople,
    /// There is no such key.
    #[error("there is no key with the id {0:?}")]
    UnknownKey(String),
    /// It is there, and cannot be changed.
    #[error("this key cannot be changed: it {0}")]
    Fixed(&'static str),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Accounts {
    /// Makes a key.
    pub async fn create_key(&self, actor: &str, request: &KeyRequest) -> Result<CreatedKey, KeyError> {
        check_key_name(&request.name)?;
        check_terms(&request.terms)?;
        let person = self.shared.db.person(request.person.as_deref()).await?;
        let person = person.ok_or_else(|| match &request.person {
            Some(name) => KeyError::UnknownPerson(name.clone()),
            None => KeyError::NoPeople,
        })?;
        let secret = KeySecret::generate().map_err(StoreError::from)?;
        let key = self.new_key(&secret, &request.name, request.expires_at, &request.terms);
        let now = self.shared.clock.now();
        self.books().create_key(actor, &person, &key, now).await?;
        let info = KeyInfo {
            id: secret.id().to_owned(),
            name: request.name.clone(),
            person: person.name,
            last_four: secret.last_four().to_owned(),
            created_at: now,
            expires_at: request.expires_at,
            revoked_at: None,
            terms: request.terms.clone(),
            is_console: false,
        };
        Ok(CreatedKey { secret, info })
    }

    /// All keys, oldest first.
    pub async fn list_keys(&self) -> Result<Vec<KeyInfo>, StoreError> {
        self.shared.db.keys(None).await
    }

    /// Revokes a key, named by its id or given whole. From the next request on it is refused, also by a server
    /// in another process; with `cut_streams` the answers that are running end, too.
    pub async fn revoke_key(
        &self,
        actor: &str,
        id_or_key: &str,
        cut_streams: bool,
    ) -> Result<KeyInfo, KeyError> {
        let id = key_id(id_or_key);
        let now = self.shared.clock.now();
        let revoked = self.books().revoke_key(actor, id, cut_streams, now).await?;
        revoked.ok_or_else(|| unknown(id))
    }

    /// Changes what a key may do, from the next request on. One that was revoked, or that is the console's own, stays as it is.
    pub async fn change_key(&self, actor: &str, id: &str, change: &KeyChange) -> Result<KeyInfo, KeyError> {
        if let Some(name) = &change.name {
            check_key_name(name)?;
        }
        check_lists(
            change.scopes.as_deref(),
            change.allowed_models.as_ref().and_then(Option::as_deref),
            change.allowed_networks.as_ref().and_then(Option::as_deref),
        )?;
        let id = key_id(id);
        let key = self.key_info(id).await?.ok_or_else(|| unknown(id))?;
        if key.is_console {
            return Err(KeyError::Fixed(
                "is the console's own; it can be given a cap, or be revoked",
            ));
        }
        let now = self.shared.clock.now();
        if !self.books().change_key(actor, id, change, now).await? {
            return Err(KeyError::Fixed("was revoked"));
        }
        self.key_info(id).await?.ok_or_else(|| unknown(id))
    }

    /// Gives a key a new secret; the old one goes on to work for `overlap`.
    pub async fn rotate_key(
        &self,
        actor: &str,
        id_or_key: &str,
        overlap: Duration,
    ) -> Result<KeySecret, KeyError> {
        let id = key_id(id_or_key);
        let secret = KeySecret::generate_for(id).map_err(StoreError::from)?;
        let secret = secret.ok_or_else(|| unknown(id))?;
        let terms = KeyTerms::default();
        let key = self.new_key(&secret, "", None, &terms);
        let now = self.shared.clock.now();
        let was_rotated = self
            .books()
            .rotate_key(actor, &key, now, now.after(overlap))
            .await?;
        if was_rotated { Ok(secret) } else { Err(unknown(id)) }
    }

    /// The key of an id.
    pub async fn key_info(&self, id: &str) -> Result<Option<KeyInfo>, StoreError> {
        Ok(self.shared.db.keys(Some(id)).await?.pop())
    }

    pub(crate) fn new_key<'a>(
        &self,
        secret: &'a KeySecret,
        name: &'a str,
        expires_at: Option<Timestamp>,
        terms: &'a KeyTerms,
    ) -> NewKey<'a> {
        NewKey {
            id: secret.id(),
            mac: secret.presented().mac(&self.shared.server_secret),
            last_four: secret.last_four(),
            name,
            expires_at,
            terms,
        }
    }
}

/// The id in what is an id or a whole key.
fn key_id(id_or_key: &str) -> &str {
    match PresentedKey::parse(id_or_key) {
        Some(key) => key.id(),
        None => id_or_key.strip_prefix(KEY_PREFIX).unwrap_or(id_or_key),
    }
}

/// What is no id may be a whole key with a mistake in it, which must not end up in a terminal or a log.
fn unknown(id: &str) -> KeyError {
    KeyError::UnknownKey(id.chars().take(ID_LEN).collect())
}

fn check_key_name(name: &str) -> Result<(), KeyError> {
    let n_chars = name.chars().count();
    if n_chars == 0 || n_chars > MAX_KEY_NAME_CHARS || name.chars().any(char::is_control) {
        return Err(KeyError::BadName);
    }
    Ok(())
}

fn check_terms(terms: &KeyTerms) -> Result<(), KeyError> {
    check_lists(
        Some(&terms.scopes),
        terms.allowed_models.as_deref(),
        terms.allowed_networks.as_deref(),
    )
}

/// Of what is given, no list is empty or too long.
fn check_lists(
    scopes: Option<&[KeyScope]>,
    models: Option<&[String]>,
    networks: Option<&[Network]>,
) -> Result<(), KeyError> {
    let is_list = |n: Option<usize>| n.is_none_or(|n| (1..=1_000).contains(&n));
    let lens = [
        scopes.map(<[_]>::len),
        models.map(<[_]>::len),
        networks.map(<[_]>::len),
    ];
    if lens.into_iter().all(is_list) {
        return Ok(());
    }
    Err(KeyError::BadTerms)
}
