//! Where accounts are kept. Only here is SQL spoken.

pub(crate) mod db;
mod schema;
mod wal_index;

pub(crate) mod people;

pub(crate) mod exchange;
mod purses;
mod slots;

pub(crate) mod credit;
pub(crate) mod manage;

pub(crate) mod report;

pub(crate) mod artifacts;
pub(crate) mod idempotency;
mod identities;
mod saved;
mod sessions;

pub(crate) use db::Db;
pub(crate) use people::{NewKey, Place, PlaceError, StoredKey};

/// The database could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("the accounts database failed: {0}")]
pub struct StoreError(#[from] sqlx::Error);

impl StoreError {
    pub(crate) fn decode(fault: impl Into<String>) -> StoreError {
        StoreError(sqlx::Error::Decode(fault.into().into()))
    }

    /// Whether two transactions stood in each other's way: doing it again is all that is needed.
    pub(crate) fn is_conflict(&self) -> bool {
        let code = self
            .0
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code);
        // Postgres: a deadlock, a serialisation failure; SQLite: busy, in its plain and extended forms.
        matches!(code.as_deref(), Some("40P01" | "40001" | "5" | "261" | "517"))
    }
}

impl From<std::io::Error> for StoreError {
    fn from(error: std::io::Error) -> StoreError {
        StoreError(sqlx::Error::Io(error))
    }
}

impl From<getrandom::Error> for StoreError {
    fn from(error: getrandom::Error) -> StoreError {
        StoreError(sqlx::Error::Io(std::io::Error::other(error)))
    }
}
