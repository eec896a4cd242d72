//! Links between people and identity providers, and the sign-ins that came back.

use serde_json::json;

use super::StoreError;
use super::db::{Db, Row, Tx, values};
use super::manage::{Books, Change, find_person, find_team, unknown};
use super::people::{insert_member, insert_person};
use crate::clock::Timestamp;
use crate::identity::{Identity, IdentityError, IdentityInfo, Newcomers, names_for};
use crate::manage::ManageError;
use crate::team::Person;

const IDENTIFIED: &str =
    "SELECT people.id, people.name FROM identities JOIN people ON people.id = identities.person_id
                          WHERE issuer = $1 AND subject = $2";

fn person(row: &Row) -> Result<Person, StoreError> {
    Ok(Person {
        id: row.text(0)?,
        name: row.text(1)?,
    })
}

impl Db {
    /// The person whom a provider's subject is linked to.
    pub(crate) async fn identified(&self, identity: &Identity<'_>) -> Result<Option<Person>, StoreError> {
        let row = self
            .row(IDENTIFIED, &values![identity.issuer, identity.subject])
            .await?;
        row.map(|row| person(&row)).transpose()
    }

    pub(crate) async fn is_in_a_team(&self, person: &Person) -> Result<bool, StoreError> {
        let sql = "SELECT 1 FROM memberships WHERE person_id = $1 LIMIT 1";
        Ok(self.row(sql, &values![&person.id]).await?.is_some())
    }

    pub(crate) async fn mail(&self, person: &Person) -> Result<Option<String>, StoreError> {
        let sql = "SELECT mail FROM people WHERE id = $1";
        let row = self.row(sql, &values![&person.id]).await?;
        row.map_or(Ok(None), |row| row.opt_text(0))
    }

    pub(crate) async fn identities(&self, person: &Person) -> Result<Vec<IdentityInfo>, StoreError> {
        let sql = "SELECT issuer, mail, created_at FROM identities WHERE person_id = $1 ORDER BY created_at, issuer";
        let rows = self.rows(sql, &values![&person.id]).await?;
        let info = |row: &Row| {
            Ok(IdentityInfo {
                issuer: row.text(0)?,
                mail: row.text(1)?,
                linked_at: Timestamp::from_millis(row.int(2)?),
            })
        };
        rows.iter().map(info).collect()
    }

    /// Writes down that an attempt came back; false where it had before.
    pub(crate) async fn use_attempt(
        &self,
        mac: &[u8; 32],
        ends_at: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        tx.execute(
            "DELETE FROM used_attempts WHERE ends_at <= $1",
            &values![now.as_millis()],
        )
        .await?;
        let n_written = tx
            .execute(
                "INSERT INTO used_attempts (token_mac, ends_at) VALUES ($1, $2) ON CONFLICT (token_mac) DO NOTHING",
                &values![&mac[..], ends_at.as_millis()],
            )
            .await?;
        tx.commit().await?;
        Ok(n_written == 1)
    }
}

impl Books {
    /// Links a provider's subject to the person with this address, who comes into being if newcomers may.
    pub(crate) async fn link(
        &self,
        identity: &Identity<'_>,
        mail: &str,
        newcomers: &Newcomers,
        now: Timestamp,
    ) -> Result<Person, IdentityError> {
        let mut tx = self.begin().await?;
        // Of two first sign-ins at once the second finds the work done.
        let row = tx
            .row(IDENTIFIED, &values![identity.issuer, identity.subject])
            .await?;
        if let Some(row) = row {
            return Ok(person(&row)?);
        }
        let by_mail = "SELECT id, name FROM people WHERE mail = $1";
        let found = tx.row(by_mail, &values![mail]).await?;
        let (person, action, joined) = match (found, newcomers) {
            (Some(row), _) => (
                may_be_linked(&mut tx, person(&row)?, identity, mail).await?,
                "person.link",
                None,
            ),
            (None, Newcomers::Refused) => return Err(IdentityError::Unknown(mail.to_owned())),
            (None, Newcomers::Join { team, is_admin }) => {
                let role = if *is_admin { "admin" } else { "member" };
                (
                    join(&mut tx, mail, team, role, now).await?,
                    "person.join",
                    Some(json!({"team": team, "role": role})),
                )
            }
        };
        tx.execute(
            "INSERT INTO identities (issuer, subject, person_id, mail, created_at) VALUES ($1, $2, $3, $4, $5)",
            &values![identity.issuer, identity.subject, &person.id, mail, now.as_millis()],
        )
        .await?;
        let detail = json!({
            "issuer": identity.issuer, "subject": identity.subject, "mail": mail, "joined": joined,
        });
        let change = Change {
            actor: &format!("sign-in with {}", identity.provider),
            action,
            target: &person.name,
            detail: detail.to_string(),
            now,
        };
        self.commit(tx, &change).await?;
        Ok(person)
    }

    /// Sets a person's address. Where that changes it, links are undone, and sessions ended that may be theirs.
    pub(crate) async fn set_mail(&self, change: &Change<'_>, mail: Option<&str>) -> Result<(), ManageError> {
        let mut tx = self.begin().await?;
        let person = find_person(&mut tx, change.target).await?;
        let person = person.ok_or_else(|| unknown("person", change.target))?;
        let taken = tx
            .row(
                "SELECT name FROM people WHERE mail = $1 AND id <> $2",
                &values![mail.map(str::to_owned), &person.id],
            )
            .await?;
        if let (Some(_), Some(mail)) = (taken, mail) {
            return Err(ManageError::Exists {
                what: "person with the mail address",
                name: mail.to_owned(),
            });
        }
        let old = tx
            .row("SELECT mail FROM people WHERE id = $1", &values![&person.id])
            .await?;
        if old.map_or(Ok(None), |row| row.opt_text(0))?.as_deref() == mail {
            return Ok(());
        }
        tx.execute(
            "UPDATE people SET mail = $2 WHERE id = $1",
            &values![&person.id, mail.map(str::to_owned)],
        )
        .await?;
        let n_undone = tx
            .execute(
                "DELETE FROM identities WHERE person_id = $1",
                &values![&person.id],
            )
            .await?;
        if n_undone > 0 {
            tx.execute("DELETE FROM sessions WHERE person_id = $1", &values![&person.id])
                .await?;
        }
        Ok(self.commit(tx, change).await?)
    }
}

/// The person whose address it is, unless they are somebody else at this provider, or were taken out of every team.
async fn may_be_linked(
    tx: &mut Tx,
    person: Person,
    identity: &Identity<'_>,
    mail: &str,
) -> Result<Person, IdentityError> {
    let linked = "SELECT 1 FROM identities WHERE person_id = $1 AND issuer = $2";
    let linked = tx.row(linked, &values![&person.id, identity.issuer]).await?;
    if linked.is_some() {
        // Addresses are given to other people in time, and subjects are not.
        return Err(IdentityError::LinkedElsewhere(mail.to_owned()));
    }
    let member = "SELECT 1 FROM memberships WHERE person_id = $1 LIMIT 1";
    match tx.row(member, &values![&person.id]).await? {
        Some(_) => Ok(person),
        None => Err(IdentityError::Removed),
    }
}

/// A new person of a team.
async fn join(
    tx: &mut Tx,
    mail: &str,
    team: &str,
    role: &str,
    now: Timestamp,
) -> Result<Person, IdentityError> {
    let team = find_team(tx, team).await.map_err(|error| match error {
        ManageError::Store(error) => IdentityError::Store(error),
        _ => IdentityError::NoTeam(team.to_owned()),
    })?;
    for name in names_for(mail) {
        if find_person(tx, &name).await?.is_some() {
            continue;
        }
        let person = insert_person(tx, &name, &team, false, now).await?;
        tx.execute(
            "UPDATE people SET mail = $2 WHERE id = $1",
            &values![&person.id, mail],
        )
        .await?;
        insert_member(tx, &team, &person, role, now).await?;
        return Ok(person);
    }
    Err(IdentityError::Store(StoreError::decode("no name is left")))
}
