//! The chain that the ledger's rows of one team form: each row's hash covers the row and the hash before it, under the
//! server's secret. Whoever changes, removes or slips in a row without the secret breaks it from there on.

use serde::Serialize;

use crate::clock::Timestamp;
use crate::ledger::Usage;
use crate::secret::ServerSecret;

/// A hash of the chain.
pub(crate) type Head = [u8; 32];

/// The hash before the first row.
pub(crate) const EMPTY: Head = [0; 32];

/// A change of a team's credit that is no usage.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(crate) struct CreditEntry {
    pub(crate) kind: String,
    pub(crate) amount_n: i64,
    #[serde(rename = "ref")]
    pub(crate) reference: String,
    pub(crate) note: String,
    pub(crate) actor: String,
    pub(crate) expires_at: Option<i64>,
    pub(crate) at: i64,
}

/// The hash of a credit entry.
pub(crate) fn credit_hash(
    secret: &ServerSecret,
    before: &Head,
    team_id: &str,
    seq: i64,
    entry: &CreditEntry,
) -> Head {
    hash(secret, before, &("credit", team_id, seq, entry))
}

/// The hash of a request's usage.
pub(crate) fn usage_hash(
    secret: &ServerSecret,
    before: &Head,
    seq: i64,
    replica: &str,
    usage: &Usage,
) -> Head {
    let who = (
        &usage.id,
        &usage.team_id,
        &usage.project_id,
        &usage.key_id,
        &usage.model,
        replica,
    );
    let price = &usage.price;
    let what = (usage.tokens, usage.hold, usage.cost, usage.status);
    let when = (usage.admitted_at, usage.ended_at);
    match &usage.adapter {
        // As rows were hashed before there were adapters.
        None => hash(secret, before, &("usage", seq, who, price, what, when)),
        Some(adapter) => hash(secret, before, &("usage", seq, who, price, what, when, adapter)),
    }
}

/// The hash of one administrative change.
pub(crate) fn audit_hash(
    secret: &ServerSecret,
    before: &Head,
    seq: i64,
    at: Timestamp,
    texts: [&str; 4],
) -> Head {
    hash(secret, before, &("audit", seq, at, texts))
}

fn hash(secret: &ServerSecret, before: &Head, row: &impl Serialize) -> Head {
    // Tuples of texts and numbers cannot fail to be written.
    let row = serde_json::to_vec(row).unwrap_or_default();
    secret.derive("tokenmill ledger row v1\0", &[before, &row])
}
