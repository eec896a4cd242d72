//! What a provider says of itself, and the keys that it signs with: asked for when needed, and kept.

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::decode_header;
use jsonwebtoken::jwk::{Jwk, JwkSet};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;
use url::{Host, Url};

use super::Fault;
use super::claims::is_for_signatures;
use super::fetch::Fetcher;

/// How long a description and its keys are kept; new keys are found earlier, by their id.
const KEPT: Duration = Duration::from_secs(3600);
/// After a failure nobody waits for the provider again for so long.
const PAUSE: Duration = Duration::from_secs(5);
/// Tokens with unknown keys make the keys be asked for so often at most.
const MIN_BETWEEN_KEYS: Duration = Duration::from_secs(10);

/// A provider's description of itself (OpenID Connect Discovery).
#[derive(Deserialize)]
pub(super) struct Description {
    issuer: String,
    pub(super) authorization_endpoint: Url,
    pub(super) token_endpoint: Url,
    jwks_uri: Url,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

/// Where a client's secret goes.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum ClientAuth {
    Header,
    Form,
}

impl Description {
    /// In the header, which is the standard's default, unless only the form is taken.
    pub(super) fn client_auth(&self) -> ClientAuth {
        let methods = self.token_endpoint_auth_methods_supported.as_deref();
        let takes = |method: &str| methods.is_some_and(|methods| methods.iter().any(|m| m == method));
        if takes("client_secret_post") && !takes("client_secret_basic") {
            return ClientAuth::Form;
        }
        ClientAuth::Header
    }
}

pub(super) struct Directory {
    issuer: String,
    fetcher: Fetcher,
    /// Held while it is asked for, so that all who wait for it are served by one request.
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    description: Option<(Arc<Description>, Instant)>,
    keys: Vec<Jwk>,
    /// When the keys were asked for because of an unknown one.
    keys_renewed_at: Option<Instant>,
    failed: Option<(String, Instant)>,
}

impl Directory {
    pub(super) fn new(issuer: &str, fetcher: Fetcher) -> Directory {
        Directory {
            issuer: issuer.to_owned(),
            fetcher,
            known: Mutex::default(),
        }
    }

    pub(super) async fn description(&self) -> Result<Arc<Description>, Fault> {
        let mut known = self.known.lock().await;
        self.current(&mut known).await
    }

    /// The key that a token says it is signed with. One that is not known may be new.
    pub(super) async fn key_of(&self, token: &str) -> Result<Jwk, Fault> {
        let header = decode_header(token).map_err(|error| Fault::BadToken(error.to_string()))?;
        let kid = header.kid.as_deref();
        let mut known = self.known.lock().await;
        let description = self.current(&mut known).await?;
        if let Some(key) = find(&known.keys, kid) {
            return Ok(key);
        }
        let unknown =
            || Fault::BadToken("it is signed with a key that the provider does not have".to_owned());
        let is_too_soon = known
            .keys_renewed_at
            .is_some_and(|at| at.elapsed() < MIN_BETWEEN_KEYS);
        if is_too_soon {
            return Err(unknown());
        }
        known.keys_renewed_at = Some(Instant::now());
        known.keys = self.keys(&description).await?;
        find(&known.keys, kid).ok_or_else(unknown)
    }

    /// The description as it is kept, or asked for anew.
    async fn current(&self, known: &mut Known) -> Result<Arc<Description>, Fault> {
        if let Some((description, at)) = &known.description
            && at.elapsed() < KEPT
        {
            return Ok(description.clone());
        }
        if let Some((fault, at)) = &known.failed
            && at.elapsed() < PAUSE
        {
            return Err(Fault::Unavailable(fault.clone()));
        }
        match self.read().await {
            Ok((description, keys)) => {
                let description = Arc::new(description);
                *known = Known {
                    description: Some((description.clone(), Instant::now())),
                    keys,
                    keys_renewed_at: known.keys_renewed_at,
                    failed: None,
                };
                Ok(description)
            }
            Err(fault) => {
                known.failed = Some((fault.to_string(), Instant::now()));
                Err(fault)
            }
        }
    }

    async fn read(&self) -> Result<(Description, Vec<Jwk>), Fault> {
        let at = format!(
            "{}/.well-known/openid-configuration",
            self.issuer.trim_end_matches('/')
        );
        let at = Url::parse(&at).map_err(|error| Fault::Unavailable(format!("{at}: {error}")))?;
        let description: Description = self.fetcher.get(&at).await?;
        // Whoever may speak for another issuer could sign people in as anybody.
        if description.issuer != self.issuer {
            let fault = format!("{at} describes another issuer, {:?}", description.issuer);
            return Err(Fault::Unavailable(fault));
        }
        let endpoints = [
            &description.authorization_endpoint,
            &description.token_endpoint,
            &description.jwks_uri,
        ];
        if let Some(open) = endpoints.into_iter().find(|url| !is_private_url(url)) {
            let fault = format!("{at} names an endpoint without TLS, {open}");
            return Err(Fault::Unavailable(fault));
        }
        let keys = self.keys(&description).await?;
        Ok((description, keys))
    }

    async fn keys(&self, description: &Description) -> Result<Vec<Jwk>, Fault> {
        let set: JwkSet = self.fetcher.get(&description.jwks_uri).await?;
        Ok(set.keys.into_iter().filter(is_for_signatures).collect())
    }
}

/// The key of this id; without one, the only key.
fn find(keys: &[Jwk], kid: Option<&str>) -> Option<Jwk> {
    match (kid, keys) {
        (Some(_), keys) => keys
            .iter()
            .find(|key| key.common.key_id.as_deref() == kid)
            .cloned(),
        (None, [only]) => Some(only.clone()),
        (None, _) => None,
    }
}

/// Whether nobody on the way can read or change what goes to this address: it is reached by TLS, or on this machine.
pub fn is_private(address: &str) -> bool {
    Url::parse(address).is_ok_and(|url| is_private_url(&url))
}

fn is_private_url(url: &Url) -> bool {
    let is_here = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    };
    url.scheme() == "https" || (url.scheme() == "http" && is_here)
}
