//! Requests that are sent again: what came of them is kept for a day under the key that the caller chose, so that the
//! second sending runs and costs nothing.
//!
//! A key is claimed in the database before its request runs, whichever server it comes to, and concluded when the
//! outcome is known. A request that cost nothing gives its key back. A server that was killed finds its claims when it
//! starts: what they used is charged by then, and their keys are spent. Answers are sealed under the caller's credential,
//! and a project keeps only so many keys and bytes of them.

use crate::Accounts;
use crate::clock::Timestamp;
use crate::project::Project;
use crate::seal::Seal;
use crate::store::StoreError;
use crate::store::idempotency::Found;

/// How long an outcome is kept.
const KEPT_MS: i64 = 24 * 60 * 60 * 1000;

/// A request that may have been sent before.
#[derive(Clone, Copy, Debug)]
pub struct Sending<'a> {
    /// Whose it is.
    pub project: &'a Project,
    /// As the caller calls it.
    pub key: &'a str,
    /// What the caller has shown that they may ask: nobody else gets the answer.
    pub credential: &'a str,
    /// What it consists of; the same key with other parts is a mistake.
    pub parts: &'a [&'a [u8]],
}

impl Sending<'_> {
    /// Tells requests apart, without telling anything of them.
    fn fingerprint(&self, accounts: &Accounts) -> [u8; 32] {
        let parts: Vec<&[u8]> = std::iter::once(self.credential.as_bytes())
            .chain(self.parts.iter().copied())
            .collect();
        let secret = &accounts.shared.server_secret;
        secret.derive("tokenmill idempotency v2\0", &parts)
    }

    fn seal(&self, accounts: &Accounts, claim_id: &str) -> Seal {
        let name = [&self.project.id, self.key, claim_id];
        Seal::new(&accounts.shared.server_secret, self.credential, &name)
    }
}

/// What a project may keep.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Keys within a day; with more, requests that bring another are refused.
    pub max_keys: usize,
    /// Bytes of answers; with more, the oldest go, and their keys are spent.
    pub max_bytes: usize,
}

/// A key that was claimed: whoever holds this runs the request, and concludes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    pub(crate) project_id: String,
    pub(crate) key: String,
    pub(crate) id: String,
    seal: Seal,
}

/// What a request under a key came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Its line in the ledger.
    pub usage_id: Option<String>,
    /// The form of `body`.
    pub content_type: String,
    /// The whole answer.
    pub body: Vec<u8>,
}

/// What a key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// New, and the caller's now.
    Fresh(Claim),
    /// New, and the project has as many as it may, of which the oldest ends then.
    Full(Timestamp),
    /// Another sending of the same request runs.
    Running,
    /// Of another request, or of another caller.
    Different,
    /// Of a request that is over, with its outcome.
    Done(Outcome),
    /// Of a request that is over and was charged, but whose outcome is not there; with its line in the ledger.
    Spent(Option<String>),
}

impl Accounts {
    /// Claims the key of a request that is to run.
    pub async fn claim(&self, sending: &Sending<'_>, room: Room) -> Result<Claimed, StoreError> {
        let id = crate::key::random_text(22)?;
        let claim = Claim {
            project_id: sending.project.id.clone(),
            key: sending.key.to_owned(),
            seal: sending.seal(self, &id),
            id,
        };
        let fingerprint = sending.fingerprint(self);
        let server = self.shared.replica.get().map_or("", String::as_str);
        let now = self.now().as_millis();
        let db = &self.shared.db;
        let found = db
            .claim(&claim, &fingerprint, server, (now, now + KEPT_MS), room.max_keys)
            .await?;
        Ok(match found {
            Found::Nothing => Claimed::Fresh(claim),
            Found::Full { ends_at } => Claimed::Full(Timestamp::from_millis(ends_at)),
            Found::Running => Claimed::Running,
            Found::Different => Claimed::Different,
            Found::Spent { usage_id } => Claimed::Spent(usage_id),
            Found::Done { claim_id, kept } => {
                let body = sending
                    .seal(self, &claim_id)
                    .open(&kept.sealed, &kept.content_type);
                match body {
                    Some(body) => Claimed::Done(Outcome {
                        usage_id: kept.usage_id,
                        content_type: kept.content_type,
                        body,
                    }),
                    None => return Err(StoreError::decode("an answer that was kept was changed")),
                }
            }
        })
    }

    /// Keeps the outcome of a claimed request; `None` where it cannot be told again.
    pub async fn conclude(
        &self,
        claim: &Claim,
        usage_id: Option<&str>,
        outcome: Option<&Outcome>,
        room: Room,
    ) -> Result<(), StoreError> {
        let sealed = outcome.map(|outcome| {
            let sealed = claim.seal.close(&outcome.body, &outcome.content_type)?;
            Ok::<_, StoreError>((outcome.content_type.as_str(), sealed))
        });
        let db = &self.shared.db;
        db.conclude(claim, usage_id, sealed.transpose()?, room.max_bytes)
            .await
    }

    /// Gives a claimed key back: its request cost nothing.
    pub async fn release(&self, claim: &Claim) -> Result<(), StoreError> {
        self.shared.db.release(claim).await
    }
}
