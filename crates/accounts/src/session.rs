//! People who sign in to the console: passwords, invitations and sessions.
//!
//! A session stands for a person, with everything that they may do. What they ask models there is counted under a key
//! of theirs whose secret nobody knows, so that caps, limits and usage hold for it like for any other key.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use tokio::sync::Semaphore;

use crate::authenticate::{AuthError, Authenticator, Caller};
use crate::clock::Timestamp;
use crate::key::random_text;
use crate::limits::{KeyScope, KeyTerms};
use crate::manage::ManageError;
use crate::store::StoreError;
use crate::team::Person;
use crate::{Accounts, KeySecret};

/// Letters and digits of a token: 62^43 are more than 2^256.
const TOKEN_LEN: usize = 43;
/// A session that is not used for so long is over, and one that is used after the second.
const IDLE: Duration = Duration::from_secs(12 * 3600);
const LIFETIME: Duration = Duration::from_secs(7 * 86_400);
/// Its use is written down so often, so that reading a page does not write.
const NOTED_EVERY: Duration = Duration::from_secs(300);
/// How long an invitation is good for.
const INVITATION: Duration = Duration::from_secs(7 * 86_400);

const MIN_PASSWORD_CHARS: usize = 10;
const MAX_PASSWORD_BYTES: usize = 1_024;

/// Passwords that are hashed together: each takes 19 MiB and a core.
const HASHED_TOGETHER: usize = 2;

/// Wrong passwords before each further one costs a wait, which doubles up to the longest.
const FREE_TRIES: u32 = 5;
const LONGEST_WAIT_S: u64 = 300;
/// Pairs of name and place whose tries are remembered.
const MAX_REMEMBERED: usize = 10_000;

/// What the console calls the key that its use is counted under.
pub(crate) const CONSOLE_KEY_NAME: &str = "Console";

/// A secret that stands for a session, an invitation or a sign-in that has begun. It is kept by whoever was given it, and nowhere else.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    pub(crate) fn generate() -> Result<Token, StoreError> {
        Ok(Token(random_text(TOKEN_LEN)?))
    }

    /// One that somebody says they were given.
    pub(crate) fn presented(text: &str) -> Token {
        Token(text.to_owned())
    }

    /// The token itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Somebody could not be signed in, or a password not be set.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// The name or the password is wrong; which one is not told.
    #[error("the name or the password is wrong")]
    Wrong,
    /// Too many wrong passwords for this name from this place.
    #[error("too many wrong passwords; try again in {0} s")]
    TooOften(u64),
    /// The invitation was used, has expired, or never was.
    #[error("this link was used already, has expired, or is incomplete; ask for a new one")]
    BadInvitation,
    /// The password cannot be taken.
    #[error("a password has at least {MIN_PASSWORD_CHARS} characters and at most {MAX_PASSWORD_BYTES} bytes")]
    BadPassword,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a session's row says.
pub(crate) struct StoredSession {
    pub(crate) person: Person,
    pub(crate) console_key_id: Option<String>,
    pub(crate) used_at: Timestamp,
    pub(crate) ends_at: Timestamp,
}

/// Wrong passwords of late, by name and place.
#[derive(Default)]
pub(crate) struct Tries(Mutex<HashMap<(String, String), (u32, Timestamp)>>);

impl Tries {
    /// Seconds to wait before the next try.
    fn wait_s(&self, of: &(String, String), now: Timestamp) -> u64 {
        let tries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((n, last)) = tries.get(of) else { return 0 };
        let Some(over) = n.checked_sub(FREE_TRIES) else {
            return 0;
        };
        let wait_s = 1_u64
            .checked_shl(over)
            .map_or(LONGEST_WAIT_S, |s| s.min(LONGEST_WAIT_S));
        let gone_s = now.as_secs().saturating_sub(last.as_secs()).max(0).unsigned_abs();
        wait_s.saturating_sub(gone_s)
    }

    fn failed(&self, of: (String, String), now: Timestamp) {
        let mut tries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tries.len() >= MAX_REMEMBERED && !tries.contains_key(&of) {
            tries.clear();
        }
        let (n, last) = tries.entry(of).or_insert((0, now));
        (*n, *last) = (n.saturating_add(1), now);
    }

    fn succeeded(&self, of: &(String, String)) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(of);
    }
}

/// What hashing needs: one at a time per core, and a hash to compare with where there is none.
pub(crate) struct Hashing(Semaphore);

impl Default for Hashing {
    fn default() -> Hashing {
        Hashing(Semaphore::new(HASHED_TOGETHER))
    }
}

/// The hash of no password that anybody has: comparing with it takes as long as with a real one.
const NOBODYS_HASH: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5aXNoZXJl$yjVkSPDR+XnZTRTgvJ2YdcyyyEPBeglKr3FBzzHBQGA";

impl Hashing {
    async fn hash(&self, password: String) -> Result<String, StoreError> {
        let _place = self.0.acquire().await;
        let hashed = tokio::task::spawn_blocking(move || {
            Argon2::default()
                .hash_password(password.as_bytes())
                .map(|hash| hash.to_string())
        });
        match hashed.await {
            Ok(Ok(hash)) => Ok(hash),
            Ok(Err(fault)) => Err(StoreError::decode(format!("hashing a password: {fault}"))),
            Err(fault) => Err(StoreError::decode(format!("hashing a password: {fault}"))),
        }
    }

    async fn is_right(&self, password: String, hash: Option<String>) -> bool {
        let _place = self.0.acquire().await;
        let compared = tokio::task::spawn_blocking(move || {
            let is_known = hash.is_some();
            let hash = hash.unwrap_or_else(|| NOBODYS_HASH.to_owned());
            let is_equal = Argon2::default()
                .verify_password(password.as_bytes(), hash.as_str())
                .is_ok();
            is_known && is_equal
        });
        compared.await.unwrap_or(false)
    }
}

impl Accounts {
    /// Signs a person in. `place` is where they come from, for the count of wrong passwords.
    pub async fn sign_in(&self, name: &str, password: &str, place: &str) -> Result<Token, SignInError> {
        let now = self.now();
        let of = (name.chars().take(100).collect(), place.to_owned());
        let wait_s = self.shared.tries.wait_s(&of, now);
        if wait_s > 0 {
            return Err(SignInError::TooOften(wait_s));
        }
        let found = self.shared.db.password(name).await?;
        let (person, hash) = found.map_or((None, None), |(person, hash)| (Some(person), hash));
        let is_right = password.len() <= MAX_PASSWORD_BYTES
            && self.shared.hashing.is_right(password.to_owned(), hash).await;
        match person.filter(|_| is_right) {
            Some(person) => {
                self.shared.tries.succeeded(&of);
                Ok(self.new_session(&person).await?)
            }
            None => {
                self.shared.tries.failed(of, now);
                Err(SignInError::Wrong)
            }
        }
    }

    /// Whose session this token stands for, and for which project.
    pub async fn session(&self, token: &str, project_header: Option<&str>) -> Result<Arc<Caller>, AuthError> {
        let now = self.now();
        let mac = self.token_mac(token);
        let session = self
            .shared
            .db
            .session(&mac)
            .await?
            .ok_or(AuthError::UnknownSession)?;
        if session.ends_at <= now || session.used_at.after(IDLE) <= now {
            self.shared.db.end_session(&mac).await?;
            return Err(AuthError::UnknownSession);
        }
        if session.used_at.after(NOTED_EVERY) <= now {
            self.shared.db.note_session(&mac, now).await?;
        }
        let key_id = session.console_key_id.ok_or(AuthError::UnknownSession)?;
        let authenticator = Authenticator {
            store: &self.shared.db,
            cache: &self.shared.cache,
            server_secret: &self.shared.server_secret,
            now,
        };
        authenticator
            .session(&key_id, &session.person, project_header)
            .await
    }

    /// Ends a session.
    pub async fn sign_out(&self, token: &str) -> Result<(), StoreError> {
        self.shared.db.end_session(&self.token_mac(token)).await
    }

    /// Makes a token with which a person chooses a password, once. Earlier ones of theirs are void.
    pub async fn invite(&self, actor: &str, name: &str) -> Result<Token, ManageError> {
        let token = Token::generate()?;
        let ends_at = self.now().after(INVITATION);
        let change = self.change(actor, "person.invite", name, &serde_json::Value::Null);
        let mac = self.token_mac(token.expose());
        self.books().invite(&change, &mac, ends_at).await?;
        Ok(token)
    }

    /// Whether an administrator of `teams` alone may say how somebody signs in: whoever is in other teams, too, or an
    /// operator, or has a password or a link to a provider already, would be taken over.
    pub async fn is_only_in(&self, name: &str, teams: &[String]) -> Result<bool, StoreError> {
        self.shared.db.is_only_in(name, teams).await
    }

    /// Where no operator has a password yet: a token for the one who was made first.
    pub async fn first_invitation(&self) -> Result<Option<(Person, Token)>, ManageError> {
        let Some(person) = self.shared.db.operator_without_password().await? else {
            return Ok(None);
        };
        let token = self.invite("first start", &person.name).await?;
        Ok(Some((person, token)))
    }

    /// Whose invitation this is, while it is good.
    pub async fn invitation(&self, token: &str) -> Result<Person, SignInError> {
        let invited = self
            .shared
            .db
            .invitation(&self.token_mac(token), self.now())
            .await?;
        invited.ok_or(SignInError::BadInvitation)
    }

    /// Uses an invitation up, and signs the person in. Their other sessions end.
    pub async fn accept_invitation(&self, token: &str, password: &str) -> Result<Token, SignInError> {
        check_password(password)?;
        let person = self.invitation(token).await?;
        let hash = self.shared.hashing.hash(password.to_owned()).await?;
        let mac = self.token_mac(token);
        let change = self.change(
            &person.name,
            "person.password",
            &person.name,
            &serde_json::Value::Null,
        );
        if !self
            .books()
            .set_password(&change, &person, &hash, Some(&mac))
            .await?
        {
            return Err(SignInError::BadInvitation);
        }
        Ok(self.new_session(&person).await?)
    }

    /// Gives a person who knows their password another. All their sessions end; this is a new one.
    pub async fn change_password(
        &self,
        person: &Person,
        current: &str,
        new: &str,
        place: &str,
    ) -> Result<Token, SignInError> {
        check_password(new)?;
        let session = self.sign_in(&person.name, current, place).await?;
        self.sign_out(session.expose()).await?;
        let hash = self.shared.hashing.hash(new.to_owned()).await?;
        let change = self.change(
            &person.name,
            "person.password",
            &person.name,
            &serde_json::Value::Null,
        );
        self.books().set_password(&change, person, &hash, None).await?;
        Ok(self.new_session(person).await?)
    }

    pub(crate) async fn new_session(&self, person: &Person) -> Result<Token, StoreError> {
        let now = self.now();
        self.ensure_console_key(person).await?;
        let token = Token::generate()?;
        let mac = self.token_mac(token.expose());
        self.shared
            .db
            .new_session(&mac, person, now, now.after(LIFETIME))
            .await?;
        Ok(token)
    }

    /// The person's use of the console is counted under a key of its own; one that was revoked is replaced.
    async fn ensure_console_key(&self, person: &Person) -> Result<(), StoreError> {
        let secret = KeySecret::generate()?;
        let terms = KeyTerms {
            scopes: KeyScope::ALL.to_vec(),
            ..KeyTerms::default()
        };
        let key = self.new_key(&secret, CONSOLE_KEY_NAME, None, &terms);
        self.shared.db.ensure_console_key(person, &key, self.now()).await
    }

    pub(crate) fn token_mac(&self, token: &str) -> [u8; 32] {
        self.shared
            .server_secret
            .derive("tokenmill token v1\0", &[token.as_bytes()])
    }
}

fn check_password(password: &str) -> Result<(), SignInError> {
    if password.chars().count() < MIN_PASSWORD_CHARS || password.len() > MAX_PASSWORD_BYTES {
        return Err(SignInError::BadPassword);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_password_costs_more_and_more() {
        let tries = Tries::default();
        let of = || ("ann".to_owned(), "here".to_owned());
        let now = Timestamp::from_millis(1_000_000);
        let mut waits = Vec::new();
        for _ in 0..16 {
            waits.push(tries.wait_s(&of(), now));
            tries.failed(of(), now);
        }
        assert_eq!(waits, [0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(tries.wait_s(&("ann".to_owned(), "elsewhere".to_owned()), now), 0);
        assert_eq!(tries.wait_s(&of(), now.after(Duration::from_secs(300))), 0);
        tries.succeeded(&of());
        assert_eq!(tries.wait_s(&of(), now), 0);
    }

    #[tokio::test]
    async fn nobodys_hash_is_a_hash() {
        let hashing = Hashing::default();
        assert!(!hashing.is_right("x".to_owned(), None).await);
        assert!(argon2::password_hash::phc::PasswordHash::new(NOBODYS_HASH).is_ok());
        let hash = hashing.hash("a long password".to_owned()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(
            hashing
                .is_right("a long password".to_owned(), Some(hash.clone()))
                .await
        );
        assert!(!hashing.is_right("a longer password".to_owned(), Some(hash)).await);
    }
}
