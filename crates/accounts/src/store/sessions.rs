//! Passwords, invitations and sessions.

use super::StoreError;
use super::db::{Db, Row, values};
use super::manage::{Books, Change, find_person, unknown};
use super::people::{NewKey, insert_key};
use crate::clock::Timestamp;
use crate::manage::ManageError;
use crate::session::StoredSession;
use crate::team::{Person, Team};

/// Sessions of one person; a further one ends the oldest.
const MAX_SESSIONS: i64 = 20;

fn person(row: &Row) -> Result<Person, StoreError> {
    Ok(Person {
        id: row.text(0)?,
        name: row.text(1)?,
    })
}

impl Db {
    /// A person and the hash of their password, if they have one.
    pub(crate) async fn password(&self, name: &str) -> Result<Option<(Person, Option<String>)>, StoreError> {
        let sql = "SELECT id, name, password_hash FROM people WHERE name = $1";
        let row = self.row(sql, &values![name]).await?;
        row.map(|row| Ok((person(&row)?, row.opt_text(2)?))).transpose()
    }

    pub(crate) async fn session(&self, mac: &[u8; 32]) -> Result<Option<StoredSession>, StoreError> {
        let row = self
            .row(
                "SELECT people.id, people.name, people.console_key_id, sessions.used_at, sessions.ends_at
                 FROM sessions JOIN people ON people.id = sessions.person_id WHERE token_mac = $1",
                &values![&mac[..]],
            )
            .await?;
        row.map(|row| {
            Ok(StoredSession {
                person: person(&row)?,
                console_key_id: row.opt_text(2)?,
                used_at: Timestamp::from_millis(row.int(3)?),
                ends_at: Timestamp::from_millis(row.int(4)?),
            })
        })
        .transpose()
    }

    pub(crate) async fn new_session(
        &self,
        mac: &[u8; 32],
        person: &Person,
        now: Timestamp,
        ends_at: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        tx.execute(
            "DELETE FROM sessions WHERE ends_at <= $1",
            &values![now.as_millis()],
        )
        .await?;
        tx.execute(
            "DELETE FROM sessions WHERE token_mac IN
             (SELECT token_mac FROM sessions WHERE person_id = $1 ORDER BY used_at DESC LIMIT 1000 OFFSET $2)",
            &values![&person.id, MAX_SESSIONS - 1],
        )
        .await?;
        tx.execute(
            "INSERT INTO sessions (token_mac, person_id, created_at, used_at, ends_at) VALUES ($1, $2, $3, $3, $4)",
            &values![&mac[..], &person.id, now.as_millis(), ends_at.as_millis()],
        )
        .await?;
        tx.commit().await
    }

    pub(crate) async fn note_session(&self, mac: &[u8; 32], now: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        tx.execute(
            "UPDATE sessions SET used_at = $2 WHERE token_mac = $1",
            &values![&mac[..], now.as_millis()],
        )
        .await?;
        tx.commit().await
    }

    pub(crate) async fn end_session(&self, mac: &[u8; 32]) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        tx.execute("DELETE FROM sessions WHERE token_mac = $1", &values![&mac[..]])
            .await?;
        tx.commit().await
    }

    pub(crate) async fn invitation(
        &self,
        mac: &[u8; 32],
        now: Timestamp,
    ) -> Result<Option<Person>, StoreError> {
        let row = self
            .row(
                "SELECT people.id, people.name FROM invitations JOIN people ON people.id = invitations.person_id
                 WHERE token_mac = $1 AND ends_at > $2",
                &values![&mac[..], now.as_millis()],
            )
            .await?;
        row.map(|row| person(&row)).transpose()
    }

    /// A team that a person is in.
    pub(crate) async fn any_team(&self, person: &Person) -> Result<Option<Team>, StoreError> {
        let row = self
            .row(
                "SELECT teams.id, teams.name FROM memberships JOIN teams ON teams.id = memberships.team_id
                 WHERE person_id = $1 ORDER BY teams.name LIMIT 1",
                &values![&person.id],
            )
            .await?;
        row.map(|row| {
            Ok(Team {
                id: row.text(0)?,
                name: row.text(1)?,
            })
        })
        .transpose()
    }

    /// The operator who was made first, where none can sign in.
    pub(crate) async fn operator_without_password(&self) -> Result<Option<Person>, StoreError> {
        let row = self
            .row(
                "SELECT id, name FROM people WHERE is_operator = 1
                 AND NOT EXISTS (SELECT 1 FROM people WHERE is_operator = 1 AND password_hash IS NOT NULL)
                 ORDER BY created_at, id LIMIT 1",
                &[],
            )
            .await?;
        row.map(|row| person(&row)).transpose()
    }

    /// Whether a person is no operator, has no password and no link to a provider, and is in no team but these.
    pub(crate) async fn is_only_in(&self, name: &str, teams: &[String]) -> Result<bool, StoreError> {
        let rows = self
            .rows(
                "SELECT teams.name, people.is_operator, people.password_hash, identities.subject FROM people
                 JOIN memberships ON memberships.person_id = people.id
                 JOIN teams ON teams.id = memberships.team_id
                 LEFT JOIN identities ON identities.person_id = people.id WHERE people.name = $1",
                &values![name],
            )
            .await?;
        let mut is_only = !rows.is_empty();
        for row in &rows {
            let team = row.text(0)?;
            let has_way_in = row.opt_text(2)?.is_some() || row.opt_text(3)?.is_some();
            is_only &= teams.contains(&team) && row.int(1)? == 0 && !has_way_in;
        }
        Ok(is_only)
    }

    /// Sees to it that the person has a key for the console that is not revoked.
    pub(crate) async fn ensure_console_key(
        &self,
        person: &Person,
        key: &NewKey<'_>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let good = "SELECT 1 FROM people JOIN keys ON keys.id = people.console_key_id
                    WHERE people.id = $1 AND keys.revoked_at IS NULL";
        if self.row(good, &values![&person.id]).await?.is_some() {
            return Ok(());
        }
        let mut tx = self.begin().await?;
        tx.execute("UPDATE revision SET number = number + 1", &[]).await?;
        if tx.row(good, &values![&person.id]).await?.is_some() {
            return Ok(());
        }
        insert_key(&mut tx, person, key, now).await?;
        tx.execute(
            "UPDATE people SET console_key_id = $2 WHERE id = $1",
            &values![&person.id, key.id],
        )
        .await?;
        tx.commit().await
    }
}

impl Books {
    pub(crate) async fn invite(
        &self,
        change: &Change<'_>,
        mac: &[u8; 32],
        ends_at: Timestamp,
    ) -> Result<(), ManageError> {
        let mut tx = self.begin().await?;
        let person = find_person(&mut tx, change.target).await?;
        let person = person.ok_or_else(|| unknown("person", change.target))?;
        tx.execute(
            "DELETE FROM invitations WHERE person_id = $1 OR ends_at <= $2",
            &values![&person.id, change.now.as_millis()],
        )
        .await?;
        tx.execute(
            "INSERT INTO invitations (token_mac, person_id, created_at, ends_at) VALUES ($1, $2, $3, $4)",
            &values![&mac[..], &person.id, change.now.as_millis(), ends_at.as_millis()],
        )
        .await?;
        Ok(self.commit(tx, change).await?)
    }

    /// Sets a password and ends the person's sessions. With an invitation, uses it up: false where it is gone.
    pub(crate) async fn set_password(
        &self,
        change: &Change<'_>,
        person: &Person,
        hash: &str,
        invitation: Option<&[u8; 32]>,
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        if let Some(mac) = invitation {
            let n_used = tx
                .execute(
                    "DELETE FROM invitations WHERE token_mac = $1 AND person_id = $2 AND ends_at > $3",
                    &values![&mac[..], &person.id, change.now.as_millis()],
                )
                .await?;
            if n_used == 0 {
                return Ok(false);
            }
        }
        tx.execute(
            "UPDATE people SET password_hash = $2 WHERE id = $1",
            &values![&person.id, hash],
        )
        .await?;
        tx.execute("DELETE FROM sessions WHERE person_id = $1", &values![&person.id])
            .await?;
        self.commit(tx, change).await?;
        Ok(true)
    }
}
