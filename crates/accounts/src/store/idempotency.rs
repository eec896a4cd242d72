//! Keys of requests that may be sent again.

use super::StoreError;
use super::db::{Db, Row, values};
use crate::idempotency::{Claim, Claimed, Outcome};

impl Db {
    pub(crate) async fn claim(
        &self,
        claim: Claim,
        fingerprint: &[u8],
        server: &str,
        now: i64,
        ends_at: i64,
    ) -> Result<Claimed, StoreError> {
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
            tx.commit().await?;
            return Ok(Claimed::Fresh(claim));
        }
        let row = tx
            .row(
                "SELECT fingerprint, state, usage_id, content_type, body FROM idempotency
                 WHERE project_id = $1 AND key = $2",
                &values![&claim.project_id, &claim.key],
            )
            .await?;
        tx.commit().await?;
        // Given back between the two statements, it is as good as running: the caller asks again.
        row.map_or(Ok(Claimed::Running), |row| found(&row, fingerprint))
    }

    pub(crate) async fn conclude(
        &self,
        claim: &Claim,
        usage_id: Option<&str>,
        outcome: Option<&Outcome>,
    ) -> Result<(), StoreError> {
        let state = if outcome.is_some() { "done" } else { "spent" };
        let mut tx = self.begin().await?;
        tx.execute(
            "UPDATE idempotency SET state = $4, usage_id = $5, content_type = $6, body = $7
             WHERE project_id = $1 AND key = $2 AND claim = $3",
            &values![
                &claim.project_id,
                &claim.key,
                &claim.id,
                state,
                usage_id.map(str::to_owned),
                outcome.map(|outcome| outcome.content_type.clone()),
                outcome.map(|outcome| outcome.body.clone()),
            ],
        )
        .await?;
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

fn found(row: &Row, fingerprint: &[u8]) -> Result<Claimed, StoreError> {
    if row.blob(0)? != fingerprint {
        return Ok(Claimed::Different);
    }
    let usage_id = row.opt_text(2)?;
    Ok(match row.text(1)?.as_str() {
        "running" => Claimed::Running,
        "done" => Claimed::Done(Outcome {
            usage_id,
            content_type: row.text(3)?,
            body: row.blob(4)?,
        }),
        _ => Claimed::Spent(usage_id),
    })
}
