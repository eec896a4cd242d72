//! Teams, people, projects and keys: what a request is checked against, and the first start.

use serde::de::DeserializeOwned;

use super::StoreError;
use super::db::{Db, Row, Tx, Value, values};
use crate::catalogue::Catalogue;
use crate::clock::{Period, Timestamp};
use crate::key::{ID_LEN, KeyInfo, random_text};
use crate::limits::{Cap, KeyScope, KeyTerms, ProjectLimits, Rates, Scope, TeamTerms, Tier};
use crate::money::{Nanos, Price};
use crate::project::{DEFAULT_PROJECT, Project, ProjectPath};
use crate::team::{Person, Team};

/// A key's row, with what is needed to tell whether it may be used.
#[derive(Clone, Debug)]
pub(crate) struct StoredKey {
    pub(crate) id: String,
    pub(crate) mac: [u8; 32],
    /// What it was before it was rotated, and until when that works.
    pub(crate) previous: Option<([u8; 32], Timestamp)>,
    pub(crate) person: Person,
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) revoked_at: Option<Timestamp>,
    pub(crate) cuts_streams: bool,
    pub(crate) terms: KeyTerms,
    pub(crate) caps: Vec<Cap>,
}

/// A new key's row.
pub(crate) struct NewKey<'a> {
    pub(crate) id: &'a str,
    pub(crate) mac: [u8; 32],
    pub(crate) last_four: &'a str,
    pub(crate) name: &'a str,
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) terms: &'a KeyTerms,
}

/// Where a request's usage goes.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) team: Team,
    pub(crate) project: Project,
    pub(crate) team_terms: TeamTerms,
    pub(crate) limits: ProjectLimits,
    /// Of the team, the tier's own among them, and of the project.
    pub(crate) caps: Vec<Cap>,
}

/// Why a request's usage can go nowhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum PlaceError {
    UnknownTeam,
    UnknownProject,
    NotAMember,
}

const KEY_COLUMNS: &str = "keys.id, keys.name, people.name, last_four, keys.created_at, keys.expires_at, keys.revoked_at,
     keys.scopes, keys.allowed_models, keys.allowed_networks, keys.requests_per_minute, keys.tokens_per_minute,
     CASE WHEN people.console_key_id = keys.id THEN 1 ELSE 0 END";

impl Db {
    /// A value of the settings table.
    pub(crate) async fn setting(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let row = self
            .row("SELECT value FROM settings WHERE name = $1", &values![name])
            .await?;
        row.map(|row| row.blob(0)).transpose()
    }

    /// Writes a value of the settings table.
    pub(crate) async fn set_setting(&self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        tx.execute(
            "INSERT INTO settings (name, value) VALUES ($1, $2)
             ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            &values![name, value],
        )
        .await?;
        tx.commit().await
    }

    /// The row of a key.
    pub(crate) async fn key(&self, id: &str) -> Result<Option<StoredKey>, StoreError> {
        let row = self
            .row(
                "SELECT keys.id, keys.mac, keys.previous_mac, keys.previous_until, people.id, people.name,
                        keys.expires_at, keys.revoked_at, keys.cuts_streams, keys.scopes, keys.allowed_models,
                        keys.allowed_networks, keys.requests_per_minute, keys.tokens_per_minute
                 FROM keys JOIN people ON people.id = keys.person_id WHERE keys.id = $1",
                &values![id],
            )
            .await?;
        let Some(row) = row else { return Ok(None) };
        let previous = match (row.opt_blob(2)?, moment(&row, 3)?) {
            (Some(mac), Some(until)) => Some((mac_of(mac)?, until)),
            _ => None,
        };
        Ok(Some(StoredKey {
            id: row.text(0)?,
            mac: mac_of(row.blob(1)?)?,
            previous,
            person: Person {
                id: row.text(4)?,
                name: row.text(5)?,
            },
            expires_at: moment(&row, 6)?,
            revoked_at: moment(&row, 7)?,
            cuts_streams: row.int(8)? != 0,
            terms: key_terms(&row, 9)?,
            caps: self.caps(Scope::Key, id).await?,
        }))
    }

    /// The project that a person's request names, or their default team's `inference`, which is made if
    /// it is not there yet.
    pub(crate) async fn place(
        &self,
        person: &Person,
        path: Option<&ProjectPath>,
        now: Timestamp,
    ) -> Result<Result<Place, PlaceError>, StoreError> {
        let team = match path {
            None => {
                let sql = "SELECT teams.id, teams.name, tier, disabled_at, allowed_models FROM people
                           JOIN teams ON teams.id = people.default_team_id WHERE people.id = $1";
                self.row(sql, &values![&person.id]).await?
            }
            Some(path) => {
                let sql = "SELECT id, name, tier, disabled_at, allowed_models FROM teams WHERE name = $1";
                self.row(sql, &values![&path.team]).await?
            }
        };
        let Some(row) = team else {
            return Ok(Err(PlaceError::UnknownTeam));
        };
        let (team, team_terms) = team_of(&row)?;
        let is_member = self
            .row(
                "SELECT 1 FROM memberships WHERE team_id = $1 AND person_id = $2",
                &values![&team.id, &person.id],
            )
            .await?;
        if is_member.is_none() {
            return Ok(Err(PlaceError::NotAMember));
        }
        let name = path.map_or(DEFAULT_PROJECT, |path| path.project.as_str());
        let mut found = self.project(&team, name).await?;
        if found.is_none() && name == DEFAULT_PROJECT {
            let mut tx = self.begin().await?;
            insert_project(&mut tx, &team, name, now).await?;
            tx.commit().await?;
            found = self.project(&team, name).await?;
        }
        let Some((project, limits)) = found else {
            return Ok(Err(PlaceError::UnknownProject));
        };
        let mut caps = self.team_caps(&team, team_terms.tier).await?;
        caps.extend(self.caps(Scope::Project, &project.id).await?);
        Ok(Ok(Place {
            team,
            project,
            team_terms,
            limits,
            caps,
        }))
    }

    pub(crate) async fn project(
        &self,
        team: &Team,
        name: &str,
    ) -> Result<Option<(Project, ProjectLimits)>, StoreError> {
        let row = self
            .row(
                "SELECT id, name, concurrency, requests_per_minute, tokens_per_minute FROM projects
                 WHERE team_id = $1 AND name = $2",
                &values![&team.id, name],
            )
            .await?;
        row.map(|row| {
            let project = Project {
                id: row.text(0)?,
                name: row.text(1)?,
            };
            Ok((project, project_limits(&row, 2)?))
        })
        .transpose()
    }

    /// The caps of a team; where it has none of its own for the tier's period, the tier's.
    pub(crate) async fn team_caps(&self, team: &Team, tier: Tier) -> Result<Vec<Cap>, StoreError> {
        let mut caps = self.caps(Scope::Team, &team.id).await?;
        if let Some((period, limit)) = tier.cap()
            && caps.iter().all(|cap| cap.period != period)
        {
            caps.push(Cap {
                scope: Scope::Team,
                target: team.id.clone(),
                period,
                limit,
            });
        }
        Ok(caps)
    }

    /// The caps that are set for one team, project or key.
    pub(crate) async fn caps(&self, scope: Scope, target: &str) -> Result<Vec<Cap>, StoreError> {
        let rows = self
            .rows(
                "SELECT period, limit_n FROM caps WHERE scope = $1 AND target = $2 ORDER BY period",
                &values![scope.name(), target],
            )
            .await?;
        let cap = |row: &Row| {
            Ok(Cap {
                scope,
                target: target.to_owned(),
                period: named(&row.text(0)?, Period::from_name)?,
                limit: Nanos(row.int(1)?),
            })
        };
        rows.iter().map(cap).collect()
    }

    /// Every entry and every price.
    pub(crate) async fn catalogue(&self) -> Result<Catalogue, StoreError> {
        let mut catalogue = Catalogue::default();
        for row in self
            .rows("SELECT id, entry FROM models ORDER BY id, version", &[])
            .await?
        {
            // A later version takes the place of an earlier.
            catalogue.models.insert(row.text(0)?, json(&row.text(1)?)?);
        }
        let sql = "SELECT model, valid_from, version, input_n, cached_n, output_n FROM prices
                   ORDER BY model, valid_from, version";
        for row in self.rows(sql, &[]).await? {
            let price = Price {
                version: row.int(2)?,
                input: Nanos(row.int(3)?),
                cached_input: Nanos(row.int(4)?),
                output: Nanos(row.int(5)?),
            };
            let from = Timestamp::from_millis(row.int(1)?);
            catalogue
                .prices
                .entry(row.text(0)?)
                .or_default()
                .push((from, price));
        }
        Ok(catalogue)
    }

    /// Makes the first team, its project, the first person and their key, all or nothing. `None` where
    /// there was a team already.
    pub(crate) async fn create_first(
        &self,
        team_name: &str,
        person_name: &str,
        key: &NewKey<'_>,
        now: Timestamp,
    ) -> Result<Option<Team>, StoreError> {
        let mut tx = self.begin().await?;
        // Whoever changes anything changes this row: of two first starts on one database one waits here.
        tx.execute("UPDATE revision SET number = number + 1", &[]).await?;
        if tx.row("SELECT id FROM teams LIMIT 1", &[]).await?.is_some() {
            return Ok(None);
        }
        let team = insert_team(&mut tx, team_name, Tier::Free, now).await?;
        let person = insert_person(&mut tx, person_name, &team, true, now).await?;
        insert_member(&mut tx, &team, &person, "admin", now).await?;
        insert_key(&mut tx, &person, key, now).await?;
        tx.commit().await?;
        Ok(Some(team))
    }

    /// The team that was made first.
    pub(crate) async fn oldest_team(&self) -> Result<Option<Team>, StoreError> {
        let row = self
            .row("SELECT id, name FROM teams ORDER BY created_at, id LIMIT 1", &[])
            .await?;
        row.map(|row| {
            Ok(Team {
                id: row.text(0)?,
                name: row.text(1)?,
            })
        })
        .transpose()
    }

    /// The person of that name, or, without a name, the one who was made first.
    pub(crate) async fn person(&self, name: Option<&str>) -> Result<Option<Person>, StoreError> {
        let row = match name {
            Some(name) => {
                self.row("SELECT id, name FROM people WHERE name = $1", &values![name])
                    .await?
            }
            None => {
                self.row("SELECT id, name FROM people ORDER BY created_at, id LIMIT 1", &[])
                    .await?
            }
        };
        row.map(|row| {
            Ok(Person {
                id: row.text(0)?,
                name: row.text(1)?,
            })
        })
        .transpose()
    }

    /// All keys, in the order in which they were made; or the one of that id.
    pub(crate) async fn keys(&self, id: Option<&str>) -> Result<Vec<KeyInfo>, StoreError> {
        let only = if id.is_some() { "WHERE keys.id = $1" } else { "" };
        let sql = format!(
            "SELECT {KEY_COLUMNS} FROM keys JOIN people ON people.id = keys.person_id {only}
             ORDER BY keys.created_at, keys.id"
        );
        let id: Vec<Value> = id.into_iter().map(Value::from).collect();
        self.rows(&sql, &id).await?.iter().map(key_info).collect()
    }
}

pub(crate) async fn insert_team(
    tx: &mut Tx,
    name: &str,
    tier: Tier,
    now: Timestamp,
) -> Result<Team, StoreError> {
    let team = Team {
        id: random_text(ID_LEN)?,
        name: name.to_owned(),
    };
    tx.execute(
        "INSERT INTO teams (id, name, created_at, tier) VALUES ($1, $2, $3, $4)",
        &values![&team.id, name, now.as_millis(), tier.name()],
    )
    .await?;
    insert_project(tx, &team, DEFAULT_PROJECT, now).await?;
    Ok(team)
}

pub(crate) async fn insert_person(
    tx: &mut Tx,
    name: &str,
    team: &Team,
    is_operator: bool,
    now: Timestamp,
) -> Result<Person, StoreError> {
    let person = Person {
        id: random_text(ID_LEN)?,
        name: name.to_owned(),
    };
    tx.execute(
        "INSERT INTO people (id, name, default_team_id, created_at, is_operator) VALUES ($1, $2, $3, $4, $5)",
        &values![
            &person.id,
            name,
            &team.id,
            now.as_millis(),
            i64::from(is_operator)
        ],
    )
    .await?;
    Ok(person)
}

pub(crate) async fn insert_member(
    tx: &mut Tx,
    team: &Team,
    person: &Person,
    role: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO memberships (team_id, person_id, role, created_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (team_id, person_id) DO UPDATE SET role = excluded.role",
        &values![&team.id, &person.id, role, now.as_millis()],
    )
    .await?;
    Ok(())
}

pub(crate) async fn insert_project(
    tx: &mut Tx,
    team: &Team,
    name: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    // Two first requests may come at once: both find the project afterwards.
    tx.execute(
        "INSERT INTO projects (id, team_id, name, created_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (team_id, name) DO NOTHING",
        &values![random_text(ID_LEN)?, &team.id, name, now.as_millis()],
    )
    .await?;
    Ok(())
}

pub(crate) async fn insert_key(
    tx: &mut Tx,
    person: &Person,
    key: &NewKey<'_>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let terms = key.terms;
    let scopes: Vec<_> = terms.scopes.iter().map(|scope| scope.name()).collect();
    let networks = terms.allowed_networks.as_ref();
    let networks: Option<Vec<_>> = networks.map(|list| list.iter().map(ToString::to_string).collect());
    tx.execute(
        "INSERT INTO keys (id, person_id, name, mac, last_four, created_at, expires_at, scopes, allowed_models,
                           allowed_networks, requests_per_minute, tokens_per_minute)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        &values![
            key.id,
            &person.id,
            key.name,
            &key.mac[..],
            key.last_four,
            now.as_millis(),
            key.expires_at.map(Timestamp::as_millis),
            list_text(Some(&scopes)),
            list_text(terms.allowed_models.as_ref()),
            list_text(networks.as_ref()),
            terms.rates.requests_per_minute.map(i64::from),
            terms.rates.tokens_per_minute.map(i64::from),
        ],
    )
    .await?;
    Ok(())
}

/// A list as the tables have it.
pub(crate) fn list_text<T: serde::Serialize>(list: Option<&T>) -> Option<String> {
    // Lists of texts cannot fail to be written.
    list.and_then(|list| serde_json::to_string(list).ok())
}

pub(crate) fn json<T: DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::decode(format!("a stored text: {error}")))
}

pub(crate) fn named<T>(name: &str, find: impl Fn(&str) -> Option<T>) -> Result<T, StoreError> {
    find(name).ok_or_else(|| StoreError::decode(format!("{name:?} is not a name that this version knows")))
}

pub(crate) fn moment(row: &Row, idx: usize) -> Result<Option<Timestamp>, StoreError> {
    Ok(row.opt_int(idx)?.map(Timestamp::from_millis))
}

/// Id, name, tier, the day of being switched off, and models, in this order.
pub(crate) fn team_of(row: &Row) -> Result<(Team, TeamTerms), StoreError> {
    let team = Team {
        id: row.text(0)?,
        name: row.text(1)?,
    };
    let terms = TeamTerms {
        tier: named(&row.text(2)?, Tier::from_name)?,
        is_disabled: row.opt_int(3)?.is_some(),
        allowed_models: row.opt_text(4)?.map(|list| json(&list)).transpose()?,
    };
    Ok((team, terms))
}

pub(crate) fn project_limits(row: &Row, first: usize) -> Result<ProjectLimits, StoreError> {
    Ok(ProjectLimits {
        concurrency: count(row, first)?,
        rates: rates(row, first + 1)?,
    })
}

fn rates(row: &Row, first: usize) -> Result<Rates, StoreError> {
    Ok(Rates {
        requests_per_minute: count(row, first)?,
        tokens_per_minute: count(row, first + 1)?,
    })
}

fn count(row: &Row, idx: usize) -> Result<Option<u32>, StoreError> {
    Ok(row.opt_int(idx)?.map(|n| u32::try_from(n).unwrap_or(u32::MAX)))
}

fn key_terms(row: &Row, first: usize) -> Result<KeyTerms, StoreError> {
    let scopes: Vec<String> = json(&row.text(first)?)?;
    let networks: Option<Vec<String>> = row.opt_text(first + 2)?.map(|list| json(&list)).transpose()?;
    let network = |text: String| {
        text.parse()
            .map_err(|error| StoreError::decode(format!("{error}")))
    };
    Ok(KeyTerms {
        scopes: scopes
            .iter()
            .map(|name| named(name, KeyScope::from_name))
            .collect::<Result<_, _>>()?,
        allowed_models: row.opt_text(first + 1)?.map(|list| json(&list)).transpose()?,
        allowed_networks: networks
            .map(|list| list.into_iter().map(network).collect())
            .transpose()?,
        rates: rates(row, first + 3)?,
    })
}

fn mac_of(bytes: Vec<u8>) -> Result<[u8; 32], StoreError> {
    bytes
        .try_into()
        .map_err(|_| StoreError::decode("keys.mac is not 32 bytes"))
}

fn key_info(row: &Row) -> Result<KeyInfo, StoreError> {
    Ok(KeyInfo {
        id: row.text(0)?,
        name: row.text(1)?,
        person: row.text(2)?,
        last_four: row.text(3)?,
        created_at: Timestamp::from_millis(row.int(4)?),
        expires_at: moment(row, 5)?,
        revoked_at: moment(row, 6)?,
        terms: key_terms(row, 7)?,
        is_console: row.int(12)? != 0,
    })
}
