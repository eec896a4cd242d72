//! Accounts in SQLite: one file, in write-ahead mode, shared by the server and the `tokenmill keys` commands.

use std::path::Path;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection, Row, SqlSafeStr, SqliteConnection, SqlitePool};
use tokio::sync::Mutex;

use super::StoreError;
use crate::clock::Timestamp;
use crate::key::{ID_LEN, KeyInfo, random_text};
use crate::project::{DEFAULT_PROJECT, Project, ProjectPath};
use crate::team::{Person, Team};

/// Every change of the tables, in order. A migration that has been released is never edited.
const MIGRATIONS: &[(i64, &str, &str)] =
    &[(1, "accounts", include_str!("../../migrations/0001_accounts.sql"))];

/// How long a writer waits for another to finish.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

const READERS: u32 = 4;

/// The accounts' tables.
pub(crate) struct SqliteStore {
    pool: SqlitePool,
    watch: Mutex<Watch>,
}

/// A connection that only asks whether another one has written.
struct Watch {
    connection: SqliteConnection,
    data_version: i64,
    revision: i64,
}

/// A key's row, with what is needed to tell whether it may be used.
#[derive(Clone, Debug)]
pub(crate) struct StoredKey {
    pub(crate) id: String,
    pub(crate) mac: [u8; 32],
    pub(crate) person: Person,
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) revoked_at: Option<Timestamp>,
}

/// A new key's row.
pub(crate) struct NewKey<'a> {
    pub(crate) id: &'a str,
    pub(crate) mac: [u8; 32],
    pub(crate) last_four: &'a str,
    pub(crate) name: &'a str,
    pub(crate) expires_at: Option<Timestamp>,
}

/// Where a request's usage goes.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) team: Team,
    pub(crate) project: Project,
}

/// Why a request's usage can go nowhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum PlaceError {
    UnknownTeam,
    UnknownProject,
    NotAMember,
}

impl SqliteStore {
    /// Opens the database, making it and bringing its tables up to date. The caller holds the data directory's
    /// lock: two processes must not migrate at once.
    pub(crate) async fn open(file: &Path) -> Result<SqliteStore, MigrateError> {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // A revocation that was confirmed must survive a power cut.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            .disable_statement_logging();
        let pool = SqlitePoolOptions::new()
            .max_connections(READERS)
            .connect_with(options.clone())
            .await?;
        migrator().run(&pool).await?;
        // The values that no database has: the first question always reads the revision.
        let watch = Watch {
            connection: options.connect().await?,
            data_version: -1,
            revision: -1,
        };
        Ok(SqliteStore {
            pool,
            watch: Mutex::new(watch),
        })
    }

    /// A number that has changed if anything about teams, people, projects or keys has, in this process or
    /// another. Costs a look at the write-ahead log's header where nothing was written.
    pub(crate) async fn revision(&self) -> Result<i64, StoreError> {
        let mut watch = self.watch.lock().await;
        let data_version: i64 = sqlx::query("PRAGMA data_version")
            .fetch_one(&mut watch.connection)
            .await?
            .try_get(0)?;
        if data_version != watch.data_version {
            let revision = sqlx::query("SELECT number FROM revision")
                .fetch_one(&mut watch.connection)
                .await?;
            watch.revision = revision.try_get(0)?;
            watch.data_version = data_version;
        }
        Ok(watch.revision)
    }

    /// A value of the settings table.
    pub(crate) async fn setting(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let row = sqlx::query("SELECT value FROM settings WHERE name = ?")
            .bind(name)
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?)
    }

    /// Writes a value of the settings table.
    pub(crate) async fn set_setting(&self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO settings (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value")
            .bind(name)
            .bind(value)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// The row of a key.
    pub(crate) async fn key(&self, id: &str) -> Result<Option<StoredKey>, StoreError> {
        let row = sqlx::query(
            "SELECT keys.id, keys.mac, keys.expires_at, keys.revoked_at, people.id AS person_id, people.name AS person
             FROM keys JOIN people ON people.id = keys.person_id WHERE keys.id = ?",
        )
        .bind(id)
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let mac: Vec<u8> = row.try_get("mac")?;
        let mac = mac
            .try_into()
            .map_err(|_| sqlx::Error::Decode("keys.mac is not 32 bytes".into()))?;
        Ok(Some(StoredKey {
            id: row.try_get("id")?,
            mac,
            person: Person {
                id: row.try_get("person_id")?,
                name: row.try_get("person")?,
            },
            expires_at: moment(&row, "expires_at")?,
            revoked_at: moment(&row, "revoked_at")?,
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
        let row =
            match path {
                None => sqlx::query(
                    "SELECT teams.id, teams.name FROM people JOIN teams ON teams.id = people.default_team_id
                     WHERE people.id = ?",
                )
                .bind(&person.id)
                .fetch_optional(&self.pool)
                .await?,
                Some(path) => {
                    sqlx::query("SELECT id, name FROM teams WHERE name = ?")
                        .bind(&path.team)
                        .fetch_optional(&self.pool)
                        .await?
                }
            };
        let Some(row) = row else {
            return Ok(Err(PlaceError::UnknownTeam));
        };
        let team = Team {
            id: row.try_get(0)?,
            name: row.try_get(1)?,
        };
        if !self.is_member(&team, person).await? {
            return Ok(Err(PlaceError::NotAMember));
        }
        let name = path.map_or(DEFAULT_PROJECT, |path| path.project.as_str());
        let project = match self.project(&team, name).await? {
            None if name == DEFAULT_PROJECT => {
                let mut connection = self.pool.acquire().await?;
                insert_project(&mut connection, &team, name, now).await?;
                self.project(&team, name).await?
            }
            found => found,
        };
        Ok(project
            .map(|project| Place { team, project })
            .ok_or(PlaceError::UnknownProject))
    }

    async fn is_member(&self, team: &Team, person: &Person) -> Result<bool, StoreError> {
        let row = sqlx::query("SELECT 1 FROM memberships WHERE team_id = ? AND person_id = ?")
            .bind(&team.id)
            .bind(&person.id)
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.is_some())
    }

    async fn project(&self, team: &Team, name: &str) -> Result<Option<Project>, StoreError> {
        let row = sqlx::query("SELECT id, name FROM projects WHERE team_id = ? AND name = ?")
            .bind(&team.id)
            .bind(name)
            .fetch_optional(&self.pool)
            .await?;
        Ok(row
            .map(|row| {
                Ok::<_, sqlx::Error>(Project {
                    id: row.try_get(0)?,
                    name: row.try_get(1)?,
                })
            })
            .transpose()?)
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
        let mut connection = self.pool.acquire().await?;
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        if sqlx::query("SELECT 1 FROM teams LIMIT 1")
            .fetch_optional(&mut *transaction)
            .await?
            .is_some()
        {
            return Ok(None);
        }
        let team = Team {
            id: random_text(ID_LEN)?,
            name: team_name.to_owned(),
        };
        let person = Person {
            id: random_text(ID_LEN)?,
            name: person_name.to_owned(),
        };
        sqlx::query("INSERT INTO teams (id, name, created_at) VALUES (?, ?, ?)")
            .bind(&team.id)
            .bind(&team.name)
            .bind(now.as_millis())
            .execute(&mut *transaction)
            .await?;
        sqlx::query("INSERT INTO people (id, name, default_team_id, created_at) VALUES (?, ?, ?, ?)")
            .bind(&person.id)
            .bind(&person.name)
            .bind(&team.id)
            .bind(now.as_millis())
            .execute(&mut *transaction)
            .await?;
        sqlx::query(
            "INSERT INTO memberships (team_id, person_id, role, created_at) VALUES (?, ?, 'admin', ?)",
        )
        .bind(&team.id)
        .bind(&person.id)
        .bind(now.as_millis())
        .execute(&mut *transaction)
        .await?;
        insert_project(&mut transaction, &team, DEFAULT_PROJECT, now).await?;
        insert_key(&mut transaction, &person, key, now).await?;
        transaction.commit().await?;
        Ok(Some(team))
    }

    /// The team that was made first.
    pub(crate) async fn oldest_team(&self) -> Result<Option<Team>, StoreError> {
        let row = sqlx::query("SELECT id, name FROM teams ORDER BY created_at, rowid LIMIT 1")
            .fetch_optional(&self.pool)
            .await?;
        Ok(row
            .map(|row| {
                Ok::<_, sqlx::Error>(Team {
                    id: row.try_get(0)?,
                    name: row.try_get(1)?,
                })
            })
            .transpose()?)
    }

    /// The person of that name, or, without a name, the one who was made first.
    pub(crate) async fn person(&self, name: Option<&str>) -> Result<Option<Person>, StoreError> {
        let row = match name {
            Some(name) => {
                sqlx::query("SELECT id, name FROM people WHERE name = ?")
                    .bind(name)
                    .fetch_optional(&self.pool)
                    .await?
            }
            None => {
                sqlx::query("SELECT id, name FROM people ORDER BY created_at, rowid LIMIT 1")
                    .fetch_optional(&self.pool)
                    .await?
            }
        };
        Ok(row
            .map(|row| {
                Ok::<_, sqlx::Error>(Person {
                    id: row.try_get(0)?,
                    name: row.try_get(1)?,
                })
            })
            .transpose()?)
    }

    /// Writes a new key of `person`.
    pub(crate) async fn insert_key(
        &self,
        person: &Person,
        key: &NewKey<'_>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut connection = self.pool.acquire().await?;
        Ok(insert_key(&mut connection, person, key, now).await?)
    }

    /// All keys, in the order in which they were made.
    pub(crate) async fn keys(&self) -> Result<Vec<KeyInfo>, StoreError> {
        let rows = sqlx::query(
            "SELECT keys.id, keys.name, people.name AS person, last_four, keys.created_at, expires_at, revoked_at
             FROM keys JOIN people ON people.id = keys.person_id ORDER BY keys.created_at, keys.rowid",
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.iter().map(key_info).collect::<Result<_, _>>()?)
    }

    /// Marks a key as revoked; one that already is keeps its first date. `None` where there is no such key.
    pub(crate) async fn revoke_key(&self, id: &str, now: Timestamp) -> Result<Option<KeyInfo>, StoreError> {
        sqlx::query("UPDATE keys SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL")
            .bind(now.as_millis())
            .bind(id)
            .execute(&self.pool)
            .await?;
        Ok(self.keys().await?.into_iter().find(|key| key.id == id))
    }

    /// Writes what is still in the log to the database and closes it.
    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }
}

fn migrator() -> Migrator {
    let migrations = MIGRATIONS.iter().map(|&(version, name, sql)| {
        Migration::new(
            version,
            name.into(),
            MigrationType::Simple,
            sql.into_sql_str(),
            false,
        )
    });
    Migrator::with_migrations(migrations.collect())
}

async fn insert_project(
    connection: &mut SqliteConnection,
    team: &Team,
    name: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    // Two first requests may come at once: both find the project afterwards.
    sqlx::query("INSERT INTO projects (id, team_id, name, created_at) VALUES (?, ?, ?, ?) ON CONFLICT (team_id, name) DO NOTHING")
        .bind(random_text(ID_LEN)?)
        .bind(&team.id)
        .bind(name)
        .bind(now.as_millis())
        .execute(connection)
        .await?;
    Ok(())
}

async fn insert_key(
    connection: &mut SqliteConnection,
    person: &Person,
    key: &NewKey<'_>,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO keys (id, person_id, name, mac, last_four, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(key.id)
    .bind(&person.id)
    .bind(key.name)
    .bind(&key.mac[..])
    .bind(key.last_four)
    .bind(now.as_millis())
    .bind(key.expires_at.map(Timestamp::as_millis))
    .execute(connection)
    .await?;
    Ok(())
}

fn key_info(row: &SqliteRow) -> Result<KeyInfo, sqlx::Error> {
    Ok(KeyInfo {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        person: row.try_get("person")?,
        last_four: row.try_get("last_four")?,
        created_at: Timestamp::from_millis(row.try_get("created_at")?),
        expires_at: moment(row, "expires_at")?,
        revoked_at: moment(row, "revoked_at")?,
    })
}

fn moment(row: &SqliteRow, column: &str) -> Result<Option<Timestamp>, sqlx::Error> {
    Ok(row.try_get::<Option<i64>, _>(column)?.map(Timestamp::from_millis))
}
