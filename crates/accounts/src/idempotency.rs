//! Requests that are sent again: what came of them is kept for a day under the key that the caller chose, so that the
//! second sending runs and costs nothing.
//!
//! A key is claimed in the database before its request runs, whichever server it comes to, and concluded when the
//! outcome is known. A request that cost nothing gives its key back. A server that was killed finds its claims when it
//! starts: what they used is charged by then, and their keys are spent.

use crate::Accounts;
use crate::project::Project;
use crate::store::StoreError;

/// How long an outcome is kept.
const KEPT_MS: i64 = 24 * 60 * 60 * 1000;

/// A key that was claimed: whoever holds this runs the request, and concludes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    pub(crate) project_id: String,
    pub(crate) key: String,
    pub(crate) id: String,
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
    /// Another sending of the same request runs.
    Running,
    /// Of another request.
    Different,
    /// Of a request that is over, with its outcome.
    Done(Outcome),
    /// Of a request that is over and was charged, but whose outcome is not there; with its line in the ledger.
    Spent(Option<String>),
}

impl Accounts {
    /// Claims `key` within a project for the request that consists of `parts`.
    pub async fn claim(&self, project: &Project, key: &str, parts: &[&[u8]]) -> Result<Claimed, StoreError> {
        let shared = &self.shared;
        let claim = Claim {
            project_id: project.id.clone(),
            key: key.to_owned(),
            id: crate::key::random_text(22)?,
        };
        let fingerprint = shared.server_secret.derive("tokenmill idempotency v1\0", parts);
        let server = shared.replica.get().map_or("", String::as_str);
        let now = self.now().as_millis();
        shared
            .db
            .claim(claim, &fingerprint, server, now, now + KEPT_MS)
            .await
    }

    /// Keeps the outcome of a claimed request; `None` where it cannot be told again.
    pub async fn conclude(
        &self,
        claim: &Claim,
        usage_id: Option<&str>,
        outcome: Option<&Outcome>,
    ) -> Result<(), StoreError> {
        self.shared.db.conclude(claim, usage_id, outcome).await
    }

    /// Gives a claimed key back: its request cost nothing.
    pub async fn release(&self, claim: &Claim) -> Result<(), StoreError> {
        self.shared.db.release(claim).await
    }
}
