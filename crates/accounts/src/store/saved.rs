//! What teams keep of their work in the console.

use super::StoreError;
use super::db::{Db, Row, values};
use super::people::named;
use crate::clock::Timestamp;
use crate::saved::{SavedInfo, SavedKind};
use crate::team::{Person, Team};

const COLUMNS: &str =
    "saved.id, saved.kind, saved.name, saved.version, people.name, saved.created_at, saved.body";

fn info(row: &Row) -> Result<SavedInfo, StoreError> {
    Ok(SavedInfo {
        id: row.text(0)?,
        kind: named(&row.text(1)?, SavedKind::from_name)?,
        name: row.text(2)?,
        version: row.int(3)?,
        person: row.text(4)?,
        created_at: Timestamp::from_millis(row.int(5)?),
    })
}

impl Db {
    /// `None` where the team keeps `most` things already.
    pub(crate) async fn save(
        &self,
        team: &Team,
        person: &Person,
        mut saved: SavedInfo,
        body: &str,
        most: i64,
    ) -> Result<Option<SavedInfo>, StoreError> {
        let mut tx = self.begin().await?;
        // Whoever saves for this team waits here for the others, so that versions are counted one by one.
        let sql = format!("SELECT id FROM teams WHERE id = $1{}", tx.for_update());
        tx.row(&sql, &values![&team.id]).await?;
        let row = tx
            .row(
                "SELECT COUNT(*), CAST(COALESCE(MAX(CASE WHEN kind = $2 AND name = $3 THEN version ELSE 0 END), 0) AS BIGINT)
                 FROM saved WHERE team_id = $1",
                &values![&team.id, saved.kind.name(), &saved.name],
            )
            .await?;
        let (n, last) = row.map_or(Ok((0, 0)), |row| Ok::<_, StoreError>((row.int(0)?, row.int(1)?)))?;
        if n >= most {
            return Ok(None);
        }
        saved.version = last + 1;
        tx.execute(
            "INSERT INTO saved (id, team_id, kind, name, version, body, person_id, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            &values![
                &saved.id,
                &team.id,
                saved.kind.name(),
                &saved.name,
                saved.version,
                body,
                &person.id,
                saved.created_at.as_millis(),
            ],
        )
        .await?;
        tx.commit().await?;
        Ok(Some(saved))
    }

    pub(crate) async fn saved(&self, team: &Team, kind: SavedKind) -> Result<Vec<SavedInfo>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM saved JOIN people ON people.id = saved.person_id
             WHERE team_id = $1 AND kind = $2 ORDER BY saved.created_at DESC, saved.id"
        );
        let rows = self.rows(&sql, &values![&team.id, kind.name()]).await?;
        rows.iter().map(info).collect()
    }

    pub(crate) async fn saved_body(
        &self,
        team: &Team,
        id: &str,
    ) -> Result<Option<(SavedInfo, String)>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM saved JOIN people ON people.id = saved.person_id
             WHERE team_id = $1 AND saved.id = $2"
        );
        let row = self.row(&sql, &values![&team.id, id]).await?;
        row.map(|row| Ok((info(&row)?, row.text(6)?))).transpose()
    }

    pub(crate) async fn delete_saved(&self, team: &Team, id: &str) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let n = tx
            .execute(
                "DELETE FROM saved WHERE team_id = $1 AND id = $2",
                &values![&team.id, id],
            )
            .await?;
        tx.commit().await?;
        Ok(n > 0)
    }
}
