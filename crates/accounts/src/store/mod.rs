//! Where accounts are kept. One file per database; each speaks SQL and nothing else does.

mod sqlite;

pub(crate) use sqlite::{NewKey, Place, PlaceError, SqliteStore, StoredKey};

/// The database could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("the accounts database failed: {0}")]
pub struct StoreError(#[from] sqlx::Error);

impl From<getrandom::Error> for StoreError {
    fn from(error: getrandom::Error) -> StoreError {
        StoreError(sqlx::Error::Io(std::io::Error::other(error)))
    }
}
