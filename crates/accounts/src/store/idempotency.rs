//! Keys of requests that may be sent again.

use super::StoreError;
use super::db::{Db, Row, Tx, values};
use crate::idempotency::Claim;

/// What is there under a key.
pub(crate) enum Found {
    /// Nothing was: it is claimed.
    Nothing,
    /// Nothing, and there is room for no more until the oldest ends.
    Full {
        ends_at: i64,
    },
    Running,
    Different,
    Done {
        claim_id: String,
        kept: Kept,
    },
    Spent {
        usage_id: Option<String>,
    },
}

/// An answer as it is kept.
pub(crate) struct Kept {
    pub(crate) usage_id: Option<String>,
    pub(crate) content_type: String,
    pub(crate) sealed: Vec<u8>,
}

impl Db {
    /// Claims a key from `now` until `ends_at`, among `max_keys` of its project.
    pub(crate) async fn claim(
        &self,
        claim: &Claim,
        fingerprint: &[u8],
        server: &str,
        (now, ends_at): (i64, i64),
        max_keys: usize,
    ) -> Result<Found, StoreError> {
        let mut tx = self.begin().await?;
        tx.execute("DELETE FROM idempotency WHERE ends_at <= $1", &values![now])
            .await?;
        let n = tx
            .execute(
                "INSERT INTO idempotency (project_id, key, claim, fingerprint, server, state, ends_at)
                 VALUES ($1, $2, $3, $4, $5, 'running', $6) ON CONFLICT (project_id, key) DO NOTHING",
                &values![
                    &claim.project_id,
                    &claim.key,
                    &claim.id,
                    fingerprint,
                    server,
                    ends_at
                ],
            )
            .await?;
        if n == 1 {
            let (n_keys, oldest) = count(&mut tx, &claim.project_id).await?;
            if n_keys > max_keys as u64 {
                // Without a commit nothing was claimed.
                return Ok(Found::Full { ends_at: oldest });
            }
            tx.commit().await?;
            return Ok(Found::Nothing);
        }
        let row = tx
            .row(
                "SELECT fingerprint, state, usage_id, content_type, body, claim FROM idempotency
                 WHERE project_id = $1 AND key = $2",
                &values![&claim.project_id, &claim.key],
            )
            .await?;
        tx.commit().await?;
        // Given back between the two statements, it is as good as running: the caller asks again.
        row.map_or(Ok(Found::Running), |row| found(&row, fingerprint))
    }

    /// `kept` is the form of the answer, and the sealed answer.
    pub(crate) async fn conclude(
        &self,
        claim: &Claim,
        usage_id: Option<&str>,
        kept: Option<(&str, Vec<u8>)>,
        max_bytes: usize,
    ) -> Result<(), StoreError> {
        let state = if kept.is_some() { "done" } else { "spent" };
        let n_bytes = kept.as_ref().map_or(0, |(_, sealed)| sealed.len() as i64);
        let (content_type, sealed) = kept.unzip();
        let mut tx = self.begin().await?;
        tx.execute(
            "UPDATE idempotency SET state = $4, usage_id = $5, content_type = $6, body = $7, n_bytes = $8
             WHERE project_id = $1 AND key = $2 AND claim = $3",
            &values![
                &claim.project_id,
                &claim.key,
                &claim.id,
                state,
                usage_id.map(str::to_owned),
                content_type.map(str::to_owned),
                sealed,
                n_bytes,
            ],
        )
        .await?;
        if n_bytes > 0 {
            make_room(&mut tx, &claim.project_id, max_bytes as i64).await?;
        }
        tx.commit().await
    }

    pub(crate) async fn release(&self, claim: &Claim) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        tx.execute(
            "DELETE FROM idempotency WHERE project_id = $1 AND key = $2 AND claim = $3 AND state = 'running'",
            &values![&claim.project_id, &claim.key, &claim.id],
        )
        .await?;
        tx.commit().await
    }

    /// What a server worked on when it ended will not come any more.
    pub(crate) async fn spend_claims_of(&self, server: &str) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        tx.execute(
            "UPDATE idempotency SET state = 'spent' WHERE server = $1 AND state = 'running'",
            &values![server],
        )
        .await?;
        tx.commit().await
    }
}

/// How many keys a project has, and when the oldest ends.
async fn count(tx: &mut Tx, project_id: &str) -> Result<(u64, i64), StoreError> {
    let row = tx
        .row(
            "SELECT COUNT(*), MIN(ends_at) FROM idempotency WHERE project_id = $1",
            &values![project_id],
        )
        .await?;
    let row = row.ok_or_else(|| StoreError::decode("a count has no row"))?;
    Ok((row.int(0)?.unsigned_abs(), row.opt_int(1)?.unwrap_or(0)))
}

/// Gives up the oldest answers of a project as far as all of them are more than `max_bytes`. Their keys stay, so that
/// none of their requests runs again.
async fn make_room(tx: &mut Tx, project_id: &str, max_bytes: i64) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE idempotency SET state = 'spent', content_type = NULL, body = NULL, n_bytes = 0
         WHERE project_id = $1 AND n_bytes > 0 AND ends_at <= (
             SELECT MAX(ends_at) FROM (
                 SELECT ends_at, SUM(n_bytes) OVER (ORDER BY ends_at DESC) AS n_with_later
                 FROM idempotency WHERE project_id = $1 AND n_bytes > 0
             ) AS kept WHERE n_with_later > $2)",
        &values![project_id, max_bytes],
    )
    .await?;
    Ok(())
}

fn found(row: &Row, fingerprint: &[u8]) -> Result<Found, StoreError> {
    if row.blob(0)? != fingerprint {
        return Ok(Found::Different);
    }
    let usage_id = row.opt_text(2)?;
    Ok(match row.text(1)?.as_str() {
        "running" => Found::Running,
        "done" => Found::Done {
            claim_id: row.text(5)?,
            kept: Kept {
                usage_id,
                content_type: row.text(3)?,
                sealed: row.blob(4)?,
            },
        },
        _ => Found::Spent { usage_id },
    })
}
