//! Administrative changes in the database, each with its line in the audit log.

use std::sync::Arc;

use super::StoreError;
use super::credit::relimit;
use super::db::{Db, Row, Tx, Value, values};
use super::people::{
    NewKey, insert_key, insert_member, insert_person, insert_project, insert_team, list_text, project_limits,
    team_of,
};
use crate::KeyChange;
use crate::catalogue::ModelEntry;
use crate::chain::{EMPTY, audit_hash};
use crate::clock::{Period, Timestamp};
use crate::key::KeyInfo;
use crate::limits::{ProjectLimits, Scope, Tier};
use crate::manage::{AuditInfo, ManageError, MemberInfo, MembershipInfo, ProjectInfo, TeamChange, TeamInfo};
use crate::money::Price;
use crate::secret::ServerSecret;
use crate::team::{Person, Team};

/// The books and the pen for their chains.
pub(crate) struct Books {
    pub(crate) db: Arc<Db>,
    pub(crate) secret: Arc<ServerSecret>,
}

/// A change with who makes it, for the audit log.
pub(crate) struct Change<'a> {
    pub(crate) actor: &'a str,
    pub(crate) action: &'a str,
    pub(crate) target: &'a str,
    pub(crate) detail: String,
    pub(crate) now: Timestamp,
}

pub(crate) fn unknown(what: &'static str, name: &str) -> ManageError {
    ManageError::Unknown {
        what,
        name: name.chars().take(100).collect(),
    }
}

impl Books {
    /// Begins a change. One at a time: the audit log has one end.
    pub(crate) async fn begin(&self) -> Result<Tx, StoreError> {
        let mut tx = self.db.begin().await?;
        tx.execute("UPDATE revision SET number = number + 1", &[]).await?;
        Ok(tx)
    }

    /// Writes the change to the audit log and commits it.
    pub(crate) async fn commit(&self, mut tx: Tx, change: &Change<'_>) -> Result<(), StoreError> {
        let last = tx
            .row("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1", &[])
            .await?;
        let (seq, before) = match last {
            Some(row) => (row.int(0)?, row.blob(1)?),
            None => (0, EMPTY.to_vec()),
        };
        let before = before
            .try_into()
            .map_err(|_| StoreError::decode("audit.hash is not 32 bytes"))?;
        let texts = [change.actor, change.action, change.target, &change.detail];
        let hash = audit_hash(&self.secret, &before, seq + 1, change.now, texts);
        tx.execute(
            "INSERT INTO audit (seq, at, actor, action, target, detail, hash) VALUES ($1, $2, $3, $4, $5, $6, $7)",
            &values![
                seq + 1,
                change.now.as_millis(),
                change.actor,
                change.action,
                change.target,
                &change.detail,
                &hash[..],
            ],
        )
        .await?;
        tx.commit().await
    }

    pub(crate) async fn create_key(
        &self,
        actor: &str,
        person: &Person,
        key: &NewKey<'_>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        insert_key(&mut tx, person, key, now).await?;
        let detail = serde_json::json!({"person": person.name, "name": key.name}).to_string();
        let change = Change {
            actor,
            action: "key.create",
            target: key.id,
            detail,
            now,
        };
        self.commit(tx, &change).await
    }

    /// Marks a key as revoked; one that already is keeps its first date. `None` where there is no such key.
    pub(crate) async fn revoke_key(
        &self,
        actor: &str,
        id: &str,
        cuts_streams: bool,
        now: Timestamp,
    ) -> Result<Option<KeyInfo>, StoreError> {
        let mut tx = self.begin().await?;
        let n_changed = tx
            .execute(
                "UPDATE keys SET revoked_at = COALESCE(revoked_at, $2),
                        cuts_streams = CASE WHEN $3 = 1 THEN 1 ELSE cuts_streams END WHERE id = $1",
                &values![id, now.as_millis(), i64::from(cuts_streams)],
            )
            .await?;
        if n_changed == 0 {
            return Ok(None);
        }
        let change = Change {
            actor,
            action: "key.revoke",
            target: id,
            detail: format!("{{\"cut_streams\":{cuts_streams}}}"),
            now,
        };
        self.commit(tx, &change).await?;
        Ok(self.db.keys(Some(id)).await?.pop())
    }

    /// Changes what a key that is not revoked may do. False where there is no such key.
    pub(crate) async fn change_key(
        &self,
        actor: &str,
        id: &str,
        what: &KeyChange,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let mut detail = serde_json::Map::new();
        let columns = key_columns(what);
        // Of two changes at once each keeps the columns that the other leaves.
        for (column, value, shown) in &columns {
            let sql = format!("UPDATE keys SET {column} = $2 WHERE id = $1 AND revoked_at IS NULL");
            let n_changed = tx.execute(&sql, &[Value::from(id), value.clone()]).await?;
            if n_changed == 0 {
                return Ok(false);
            }
            detail.insert((*column).to_owned(), shown.clone());
        }
        if columns.is_empty() {
            return Ok(true);
        }
        let change = Change {
            actor,
            action: "key.change",
            target: id,
            detail: serde_json::Value::from(detail).to_string(),
            now,
        };
        self.commit(tx, &change).await?;
        Ok(true)
    }

    /// Gives a key that is not revoked a new secret; the old one works until `until`. False where there is no such key.
    pub(crate) async fn rotate_key(
        &self,
        actor: &str,
        key: &NewKey<'_>,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let n_changed = tx
            .execute(
                "UPDATE keys SET previous_mac = mac, previous_until = $4, mac = $2, last_four = $3
                 WHERE id = $1 AND revoked_at IS NULL",
                &values![key.id, &key.mac[..], key.last_four, until.as_millis()],
            )
            .await?;
        if n_changed == 0 {
            return Ok(false);
        }
        let change = Change {
            actor,
            action: "key.rotate",
            target: key.id,
            detail: format!("{{\"old_secret_until\":\"{until}\"}}"),
            now,
        };
        self.commit(tx, &change).await?;
        Ok(true)
    }

    pub(crate) async fn create_team(&self, change: &Change<'_>, tier: Tier) -> Result<(), ManageError> {
        let mut tx = self.begin().await?;
        if find_team(&mut tx, change.target).await.is_ok() {
            return Err(ManageError::Exists {
                what: "team",
                name: change.target.to_owned(),
            });
        }
        insert_team(&mut tx, change.target, tier, change.now).await?;
        Ok(self.commit(tx, change).await?)
    }

    pub(crate) async fn teams(&self) -> Result<Vec<TeamInfo>, StoreError> {
        let rows = self
            .db
            .rows(
                "SELECT id, name, tier, disabled_at, allowed_models, created_at,
                        (SELECT COUNT(*) FROM memberships WHERE team_id = teams.id) FROM teams ORDER BY name",
                &[],
            )
            .await?;
        let info = |row: &Row| {
            let (Team { id, name }, terms) = team_of(row)?;
            Ok(TeamInfo {
                id,
                name,
                terms,
                n_members: row.int(6)?.unsigned_abs(),
                created_at: Timestamp::from_millis(row.int(5)?),
            })
        };
        rows.iter().map(info).collect()
    }

    pub(crate) async fn change_team(
        &self,
        change: &Change<'_>,
        what: &TeamChange,
    ) -> Result<(), ManageError> {
        let mut tx = self.begin().await?;
        let team = find_team(&mut tx, change.target).await?;
        if let Some(tier) = what.tier {
            tx.execute(
                "UPDATE teams SET tier = $2 WHERE id = $1",
                &values![&team.id, tier.name()],
            )
            .await?;
            for period in Period::ALL {
                relimit(&mut tx, (Scope::Team, &team.id, period), change.now).await?;
            }
        }
        if let Some(is_disabled) = what.is_disabled {
            let at = is_disabled.then_some(change.now.as_millis());
            tx.execute(
                "UPDATE teams SET disabled_at = $2 WHERE id = $1",
                &values![&team.id, at],
            )
            .await?;
        }
        if let Some(models) = &what.allowed_models {
            tx.execute(
                "UPDATE teams SET allowed_models = $2 WHERE id = $1",
                &values![&team.id, list_text(models.as_ref())],
            )
            .await?;
        }
        Ok(self.commit(tx, change).await?)
    }

    pub(crate) async fn members(&self, team: &str) -> Result<Vec<MemberInfo>, ManageError> {
        let team = self.team(team).await?;
        let rows = self
            .db
            .rows(
                "SELECT people.name, memberships.role, people.is_operator, people.mail,
                        CASE WHEN EXISTS (SELECT 1 FROM identities WHERE person_id = people.id) THEN 1 ELSE 0 END FROM memberships
                 JOIN people ON people.id = memberships.person_id WHERE team_id = $1 ORDER BY people.name",
                &values![&team.id],
            )
            .await?;
        let info = |row: &Row| {
            Ok(MemberInfo {
                person: row.text(0)?,
                role: row.text(1)?,
                is_operator: row.int(2)? != 0,
                mail: row.opt_text(3)?,
                is_linked: row.int(4)? != 0,
            })
        };
        Ok(rows.iter().map(info).collect::<Result<_, StoreError>>()?)
    }

    pub(crate) async fn memberships(&self, person_id: &str) -> Result<Vec<MembershipInfo>, StoreError> {
        let rows = self
            .db
            .rows(
                "SELECT teams.id, teams.name, tier, disabled_at, allowed_models, memberships.role FROM memberships
                 JOIN teams ON teams.id = memberships.team_id WHERE person_id = $1 ORDER BY teams.name",
                &values![person_id],
            )
            .await?;
        let mut found = Vec::new();
        for row in &rows {
            let (team, terms) = team_of(row)?;
            let sql = "SELECT name FROM projects WHERE team_id = $1 ORDER BY name";
            let projects = self.db.rows(sql, &values![&team.id]).await?;
            found.push(MembershipInfo {
                team: team.name,
                role: row.text(5)?,
                terms,
                projects: projects.iter().map(|row| row.text(0)).collect::<Result<_, _>>()?,
            });
        }
        Ok(found)
    }

    pub(crate) async fn is_operator(&self, person_id: &str) -> Result<bool, StoreError> {
        let sql = "SELECT is_operator FROM people WHERE id = $1";
        let row = self.db.row(sql, &values![person_id]).await?;
        Ok(row.map_or(Ok(0), |row| row.int(0))? != 0)
    }

    pub(crate) async fn add_member(
        &self,
        change: &Change<'_>,
        person: &str,
        role: &str,
    ) -> Result<(), ManageError> {
        let mut tx = self.begin().await?;
        let team = find_team(&mut tx, change.target).await?;
        let person = match find_person(&mut tx, person).await? {
            Some(person) => person,
            None => insert_person(&mut tx, person, &team, false, change.now).await?,
        };
        insert_member(&mut tx, &team, &person, role, change.now).await?;
        Ok(self.commit(tx, change).await?)
    }

    pub(crate) async fn remove_member(&self, change: &Change<'_>, name: &str) -> Result<(), ManageError> {
        let mut tx = self.begin().await?;
        let team = find_team(&mut tx, change.target).await?;
        let person = find_person(&mut tx, name).await?;
        let person = person.ok_or_else(|| unknown("person", name))?;
        let n_removed = tx
            .execute(
                "DELETE FROM memberships WHERE team_id = $1 AND person_id = $2",
                &values![&team.id, &person.id],
            )
            .await?;
        if n_removed == 0 {
            return Err(unknown("member of this team", name));
        }
        Ok(self.commit(tx, change).await?)
    }

    pub(crate) async fn create_project(
        &self,
        change: &Change<'_>,
        team: &str,
        name: &str,
    ) -> Result<(), ManageError> {
        let mut tx = self.begin().await?;
        let team = find_team(&mut tx, team).await?;
        let there = tx
            .row(
                "SELECT id FROM projects WHERE team_id = $1 AND name = $2",
                &values![&team.id, name],
            )
            .await?;
        if there.is_some() {
            return Err(ManageError::Exists {
                what: "project",
                name: name.to_owned(),
            });
        }
        insert_project(&mut tx, &team, name, change.now).await?;
        Ok(self.commit(tx, change).await?)
    }

    pub(crate) async fn projects(&self, team: &str) -> Result<Vec<ProjectInfo>, ManageError> {
        let team = self.team(team).await?;
        let rows = self
            .db
            .rows(
                "SELECT id, name, created_at, concurrency, requests_per_minute, tokens_per_minute FROM projects
                 WHERE team_id = $1 ORDER BY name",
                &values![&team.id],
            )
            .await?;
        let info = |row: &Row| {
            Ok(ProjectInfo {
                id: row.text(0)?,
                name: row.text(1)?,
                created_at: Timestamp::from_millis(row.int(2)?),
                limits: project_limits(row, 3)?,
            })
        };
        Ok(rows.iter().map(info).collect::<Result<_, StoreError>>()?)
    }

    pub(crate) async fn limit_project(
        &self,
        change: &Change<'_>,
        team: &str,
        name: &str,
        limits: ProjectLimits,
    ) -> Result<(), ManageError> {
        let mut tx = self.begin().await?;
        let team = find_team(&mut tx, team).await?;
        let n_changed = tx
            .execute(
                "UPDATE projects SET concurrency = $3, requests_per_minute = $4, tokens_per_minute = $5
                 WHERE team_id = $1 AND name = $2",
                &values![
                    &team.id,
                    name,
                    limits.concurrency.map(i64::from),
                    limits.rates.requests_per_minute.map(i64::from),
                    limits.rates.tokens_per_minute.map(i64::from),
                ],
            )
            .await?;
        if n_changed == 0 {
            return Err(unknown("project of this team", name));
        }
        Ok(self.commit(tx, change).await?)
    }

    pub(crate) async fn set_price(
        &self,
        change: &Change<'_>,
        price: Price,
        from: Timestamp,
    ) -> Result<i64, ManageError> {
        let mut tx = self.begin().await?;
        let last = tx.row("SELECT MAX(version) FROM prices", &[]).await?;
        let version = last.map_or(Ok(None), |row| row.opt_int(0))?.unwrap_or(0) + 1;
        tx.execute(
            "INSERT INTO prices (version, model, input_n, cached_n, output_n, valid_from, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
            &values![
                version,
                change.target,
                price.input.0,
                price.cached_input.0,
                price.output.0,
                from.as_millis(),
                change.now.as_millis(),
            ],
        )
        .await?;
        self.commit(tx, change).await?;
        Ok(version)
    }

    pub(crate) async fn set_model(&self, change: &Change<'_>, entry: &ModelEntry) -> Result<(), ManageError> {
        let mut tx = self.begin().await?;
        let last = tx
            .row(
                "SELECT version, entry FROM models WHERE id = $1 ORDER BY version DESC LIMIT 1",
                &values![&entry.id],
            )
            .await?;
        let text = list_text(Some(entry)).unwrap_or_default();
        let version = match last {
            Some(row) if row.text(1)? == text => return Ok(()),
            Some(row) => row.int(0)? + 1,
            None => 1,
        };
        tx.execute(
            "INSERT INTO models (id, version, entry, created_at) VALUES ($1, $2, $3, $4)",
            &values![&entry.id, version, text, change.now.as_millis()],
        )
        .await?;
        Ok(self.commit(tx, change).await?)
    }

    pub(crate) async fn audit(&self, n: u32) -> Result<Vec<AuditInfo>, StoreError> {
        let rows = self
            .db
            .rows(
                "SELECT seq, at, actor, action, target, detail FROM audit ORDER BY seq DESC LIMIT $1",
                &values![i64::from(n)],
            )
            .await?;
        let info = |row: &Row| {
            Ok(AuditInfo {
                seq: row.int(0)?,
                at: Timestamp::from_millis(row.int(1)?),
                actor: row.text(2)?,
                action: row.text(3)?,
                target: row.text(4)?,
                detail: row.text(5)?,
            })
        };
        rows.iter().map(info).collect()
    }

    pub(crate) async fn team(&self, name: &str) -> Result<Team, ManageError> {
        let row = self
            .db
            .row("SELECT id FROM teams WHERE name = $1", &values![name])
            .await?;
        let row = row.ok_or_else(|| unknown("team", name))?;
        Ok(Team {
            id: row.text(0)?,
            name: name.to_owned(),
        })
    }
}

pub(crate) async fn find_team(tx: &mut Tx, name: &str) -> Result<Team, ManageError> {
    let row = tx
        .row("SELECT id FROM teams WHERE name = $1", &values![name])
        .await?;
    let row = row.ok_or_else(|| unknown("team", name))?;
    Ok(Team {
        id: row.text(0)?,
        name: name.to_owned(),
    })
}

pub(crate) async fn find_person(tx: &mut Tx, name: &str) -> Result<Option<Person>, StoreError> {
    let row = tx
        .row("SELECT id FROM people WHERE name = $1", &values![name])
        .await?;
    row.map(|row| {
        Ok(Person {
            id: row.text(0)?,
            name: name.to_owned(),
        })
    })
    .transpose()
}

/// The columns that a change of a key sets: the name, the value, and what the audit log says of it.
fn key_columns(what: &KeyChange) -> Vec<(&'static str, Value, serde_json::Value)> {
    let mut columns = Vec::new();
    let mut list = |column, texts: Option<Vec<String>>| {
        columns.push((
            column,
            Value::from(list_text(texts.as_ref())),
            serde_json::json!(texts),
        ));
    };
    if let Some(scopes) = &what.scopes {
        let names = scopes.iter().map(|scope| scope.name().to_owned());
        list("scopes", Some(names.collect()));
    }
    if let Some(models) = &what.allowed_models {
        list("allowed_models", models.clone());
    }
    if let Some(networks) = &what.allowed_networks {
        let texts = networks.as_ref();
        list(
            "allowed_networks",
            texts.map(|list| list.iter().map(ToString::to_string).collect()),
        );
    }
    if let Some(name) = &what.name {
        columns.push(("name", Value::from(name.as_str()), serde_json::json!(name)));
    }
    if let Some(at) = what.expires_at {
        let shown = at.map(|at| at.to_string());
        columns.push((
            "expires_at",
            Value::from(at.map(Timestamp::as_millis)),
            serde_json::json!(shown),
        ));
    }
    for (column, rate) in [
        ("requests_per_minute", what.requests_per_minute),
        ("tokens_per_minute", what.tokens_per_minute),
    ] {
        if let Some(rate) = rate {
            columns.push((column, Value::from(rate.map(i64::from)), serde_json::json!(rate)));
        }
    }
    columns
}
