//! Sign-in with an identity provider: OpenID Connect's authorization code with PKCE.
//!
//! The browser is sent to the provider and comes back with a code, which [`Provider::identify`] redeems for a token that the
//! provider has signed. Whether whoever that token names is let in is for the accounts to say.

mod budget;
mod claims;
mod directory;
mod fault;
mod fetch;

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokenmill_accounts::{Attempt, Newcomers};
use tokio::sync::Semaphore;
use url::Url;

use budget::Budget;
use claims::{Expected, read_id_token};
use directory::{ClientAuth, Directory};
use fetch::Fetcher;

pub use directory::is_private;

pub(crate) use claims::Identified;
pub(crate) use fault::{Fault, kept_out, lost};

/// The claim that says whether a mail address was verified, as the standard has it.
pub const VERIFIED_CLAIM: &str = "email_verified";

/// Codes of one provider that are redeemed together; more wait.
const MAX_REDEEMED_TOGETHER: usize = 8;

/// An identity provider with which people may sign in to the console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityProvider {
    /// What this server calls it: a part of the address to which it sends browsers back.
    pub id: String,
    /// What people call it: the button says "Sign in with" this.
    pub label: String,
    /// What it calls itself: the address under which its description lies.
    pub issuer: String,
    /// What it calls this server.
    pub client_id: String,
    /// How this server shows that it is that client. `None` for a public client, which has PKCE alone.
    pub client_secret: Option<ClientSecret>,
    /// What is asked for besides `openid`.
    pub scopes: Vec<String>,
    /// The only domains of mail addresses that are let in; empty lets in all.
    pub allowed_domains: Vec<String>,
    /// The claim that says whether the mail address was verified.
    pub verified_claim: String,
    /// What becomes of people whom nobody has entered here.
    pub newcomers: Newcomers,
}

/// A client's secret; it shows itself to nobody but the provider.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientSecret(String);

impl ClientSecret {
    /// This text.
    #[must_use]
    pub fn new(text: String) -> ClientSecret {
        ClientSecret(text)
    }
}

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientSecret(…)")
    }
}

/// Every provider of this server.
pub(crate) struct Providers(Vec<Provider>);

/// A provider, with what is known of it.
pub(crate) struct Provider {
    pub(crate) options: IdentityProvider,
    /// Where it sends browsers back to.
    redirect_uri: String,
    fetcher: Fetcher,
    directory: Directory,
    places: Semaphore,
    pub(crate) budget: Budget,
}

impl Providers {
    /// `public_url` is where browsers reach the console.
    pub(crate) fn new(providers: &[IdentityProvider], public_url: &str) -> Providers {
        if providers.is_empty() {
            return Providers(Vec::new());
        }
        let fetcher = Fetcher::new();
        let base = public_url.trim_end_matches('/');
        let provider = |options: &IdentityProvider| Provider {
            redirect_uri: format!("{base}/console/callback/{}", options.id),
            directory: Directory::new(&options.issuer, fetcher.clone()),
            fetcher: fetcher.clone(),
            options: options.clone(),
            places: Semaphore::new(MAX_REDEEMED_TOGETHER),
            budget: Budget::default(),
        };
        Providers(providers.iter().map(provider).collect())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &IdentityProvider> {
        self.0.iter().map(|provider| &provider.options)
    }

    pub(crate) fn find(&self, id: &str) -> Option<&Provider> {
        self.0.iter().find(|provider| provider.options.id == id)
    }
}

/// What the token endpoint answers, as far as it matters.
#[derive(Deserialize)]
struct Redeemed {
    id_token: String,
}

impl Provider {
    /// Where a browser goes to sign in.
    pub(crate) async fn authorization_url(&self, attempt: &Attempt) -> Result<Url, Fault> {
        let description = self.directory.description().await?;
        let mut url = description.authorization_endpoint.clone();
        let scopes = std::iter::once("openid").chain(self.options.scopes.iter().map(String::as_str));
        let scopes: Vec<_> = scopes.collect();
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&attempt.verifier));
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.options.client_id)
            .append_pair("redirect_uri", &self.redirect_uri)
            .append_pair("scope", &scopes.join(" "))
            .append_pair("state", &attempt.state)
            .append_pair("nonce", &attempt.nonce)
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256");
        Ok(url)
    }

    /// Redeems a code: who has signed in there.
    pub(crate) async fn identify(&self, attempt: &Attempt, code: &str) -> Result<Identified, Fault> {
        // Never closed, so there is a place in the end.
        let _place = self.places.acquire().await;
        let token = self.redeem(attempt, code).await?;
        let key = self.directory.key_of(&token).await?;
        let expected = Expected {
            issuer: &self.options.issuer,
            client_id: &self.options.client_id,
            nonce: &attempt.nonce,
            verified_claim: &self.options.verified_claim,
        };
        let identified = read_id_token(&token, &key, &expected)?;
        self.check_domain(identified.mail.as_deref())?;
        Ok(identified)
    }

    async fn redeem(&self, attempt: &Attempt, code: &str) -> Result<String, Fault> {
        let description = self.directory.description().await?;
        let client_id = self.options.client_id.as_str();
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &self.redirect_uri),
            ("code_verifier", &attempt.verifier),
        ];
        let secret = self
            .options
            .client_secret
            .as_ref()
            .map(|secret| secret.0.as_str());
        let mut header = None;
        match (secret, description.client_auth()) {
            (Some(secret), ClientAuth::Header) => header = Some((client_id, secret)),
            (Some(secret), ClientAuth::Form) => {
                form.extend([("client_id", client_id), ("client_secret", secret)]);
            }
            (None, _) => form.push(("client_id", client_id)),
        }
        let redeemed: Redeemed = self
            .fetcher
            .post(&description.token_endpoint, &form, header)
            .await?;
        Ok(redeemed.id_token)
    }

    fn check_domain(&self, mail: Option<&str>) -> Result<(), Fault> {
        let allowed = &self.options.allowed_domains;
        if allowed.is_empty() {
            return Ok(());
        }
        let mail = mail.ok_or(Fault::NoMail)?;
        let domain = mail.rsplit('@').next().unwrap_or_default();
        if allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(domain)) {
            return Ok(());
        }
        Err(Fault::Domain(domain.to_owned()))
    }
}
