//! Sign-ins at an identity provider, from the moment a browser leaves for it until it comes back.
//!
//! Nothing is stored about one that has begun, so that nobody can fill the database by beginning many. The browser keeps a
//! random token, the end and the way back in a cookie; the state, the nonce and the secret of PKCE are HMACs of these under
//! the server's secret. The state that comes back from the provider thereby proves that the cookie is as it was given out.
//! Only the use of an attempt is written down, which makes it the last.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;

use crate::Accounts;
use crate::clock::Timestamp;
use crate::session::Token;
use crate::store::StoreError;

/// How long somebody may take at the provider.
pub const ATTEMPT_LIFE: Duration = Duration::from_secs(600);

/// A sign-in that only the browser with its cookie can finish, once.
pub struct Attempt {
    token: Token,
    ends_at: Timestamp,
    next: String,
    /// Goes to the provider and comes back.
    pub state: String,
    /// Stands in the token that the provider signs.
    pub nonce: String,
    /// What shows the provider that the code is redeemed by whoever asked for it (PKCE).
    pub verifier: String,
}

/// A sign-in cannot be finished.
#[derive(Debug, thiserror::Error)]
pub enum AttemptError {
    /// The browser has not begun one, or another one since.
    #[error("the sign-in was not begun in this browser")]
    NotBegun,
    /// It took too long.
    #[error("the sign-in took longer than {} minutes", ATTEMPT_LIFE.as_secs() / 60)]
    Expired,
    /// It came back before.
    #[error("the sign-in came back a second time")]
    Used,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Attempt {
    /// What the browser keeps.
    pub fn cookie(&self) -> String {
        let next = URL_SAFE_NO_PAD.encode(&self.next);
        format!("{}.{}.{next}", self.token.expose(), self.ends_at.as_millis())
    }

    /// Where the browser goes afterwards.
    pub fn next(&self) -> &str {
        &self.next
    }
}

impl Accounts {
    /// Begins a sign-in at a provider; `next` is where it leads to.
    pub fn begin_attempt(&self, provider: &str, next: &str) -> Result<Attempt, StoreError> {
        let ends_at = self.now().after(ATTEMPT_LIFE);
        Ok(self.attempt(provider, Token::generate()?, ends_at, next.to_owned()))
    }

    /// Takes a sign-in that has come back from a provider with this state to a browser with this cookie.
    pub async fn take_attempt(
        &self,
        provider: &str,
        cookie: &str,
        state: &str,
    ) -> Result<Attempt, AttemptError> {
        let (token, ends_at, next) = read_cookie(cookie).ok_or(AttemptError::NotBegun)?;
        let attempt = self.attempt(provider, token, ends_at, next);
        if !bool::from(attempt.state.as_bytes().ct_eq(state.as_bytes())) {
            return Err(AttemptError::NotBegun);
        }
        let now = self.now();
        if attempt.ends_at <= now {
            return Err(AttemptError::Expired);
        }
        let mac = self.token_mac(attempt.token.expose());
        if !self.shared.db.use_attempt(&mac, attempt.ends_at, now).await? {
            return Err(AttemptError::Used);
        }
        Ok(attempt)
    }

    fn attempt(&self, provider: &str, token: Token, ends_at: Timestamp, next: String) -> Attempt {
        let end = ends_at.as_millis().to_string();
        let parts = [provider, token.expose(), &end, &next].map(str::as_bytes);
        let derive = |purpose| URL_SAFE_NO_PAD.encode(self.shared.server_secret.derive(purpose, &parts));
        Attempt {
            state: derive("tokenmill sign-in state v1\0"),
            nonce: derive("tokenmill sign-in nonce v1\0"),
            verifier: derive("tokenmill sign-in verifier v1\0"),
            token,
            ends_at,
            next,
        }
    }
}

fn read_cookie(cookie: &str) -> Option<(Token, Timestamp, String)> {
    let mut parts = cookie.splitn(3, '.');
    let (token, ends_at, next) = (parts.next()?, parts.next()?, parts.next()?);
    let next = String::from_utf8(URL_SAFE_NO_PAD.decode(next).ok()?).ok()?;
    Some((
        Token::presented(token),
        Timestamp::from_millis(ends_at.parse().ok()?),
        next,
    ))
}
