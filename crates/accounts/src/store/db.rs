//! One way to speak to two databases: SQLite, a file of this machine, and Postgres, for several servers.
//!
//! Every statement is written once, with `$1` for values, which both understand; what differs between them is here and
//! in [`super::schema`]. Values are the three kinds that the tables have.

use std::path::Path;
use std::sync::PoisonError;
use std::time::Duration;

use sqlx::migrate::MigrateError;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgRow};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{
    AssertSqlSafe, Column, ConnectOptions, Postgres, Row as _, Sqlite, SqliteConnection, SqlitePool,
    Transaction, TypeInfo, ValueRef,
};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::wal_index::{Header, WalIndex};
use super::{StoreError, schema};

/// How long a writer of SQLite waits for another to finish, and a statement of Postgres for a connection.
const PATIENCE: Duration = Duration::from_secs(5);
const CONNECTIONS: u32 = 4;

/// A value that goes into a statement or comes out of one; `None` is NULL.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Int(Option<i64>),
    Text(Option<String>),
    Blob(Option<Vec<u8>>),
}

impl From<i64> for Value {
    fn from(value: i64) -> Value {
        Value::Int(Some(value))
    }
}

impl From<Option<i64>> for Value {
    fn from(value: Option<i64>) -> Value {
        Value::Int(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Value {
        Value::Text(Some(value.to_owned()))
    }
}

impl From<&String> for Value {
    fn from(value: &String) -> Value {
        Value::Text(Some(value.clone()))
    }
}

impl From<String> for Value {
    fn from(value: String) -> Value {
        Value::Text(Some(value))
    }
}

impl From<Option<String>> for Value {
    fn from(value: Option<String>) -> Value {
        Value::Text(value)
    }
}

impl From<Option<Vec<u8>>> for Value {
    fn from(value: Option<Vec<u8>>) -> Value {
        Value::Blob(value)
    }
}

impl From<&[u8]> for Value {
    fn from(value: &[u8]) -> Value {
        Value::Blob(Some(value.to_vec()))
    }
}

/// The values of a statement, in the order of `$1`, `$2`, …
macro_rules! values {
    ($($value:expr),* $(,)?) => { [$($crate::store::db::Value::from($value)),*] };
}
pub(crate) use values;

/// One row of an answer; columns by their place.
#[derive(Debug)]
pub(crate) struct Row(Vec<Value>);

impl Row {
    pub(crate) fn opt_int(&self, idx: usize) -> Result<Option<i64>, StoreError> {
        match self.0.get(idx) {
            Some(Value::Int(value)) => Ok(*value),
            other => Self::null(idx, other),
        }
    }

    pub(crate) fn int(&self, idx: usize) -> Result<i64, StoreError> {
        self.opt_int(idx)?.ok_or_else(|| Self::fault(idx))
    }

    pub(crate) fn opt_text(&self, idx: usize) -> Result<Option<String>, StoreError> {
        match self.0.get(idx) {
            Some(Value::Text(value)) => Ok(value.clone()),
            other => Self::null(idx, other),
        }
    }

    pub(crate) fn text(&self, idx: usize) -> Result<String, StoreError> {
        self.opt_text(idx)?.ok_or_else(|| Self::fault(idx))
    }

    pub(crate) fn opt_blob(&self, idx: usize) -> Result<Option<Vec<u8>>, StoreError> {
        match self.0.get(idx) {
            Some(Value::Blob(value)) => Ok(value.clone()),
            other => Self::null(idx, other),
        }
    }

    pub(crate) fn blob(&self, idx: usize) -> Result<Vec<u8>, StoreError> {
        self.opt_blob(idx)?.ok_or_else(|| Self::fault(idx))
    }

    fn null<T>(idx: usize, value: Option<&Value>) -> Result<Option<T>, StoreError> {
        match value {
            Some(Value::Int(None) | Value::Text(None) | Value::Blob(None)) => Ok(None),
            _ => Err(Self::fault(idx)),
        }
    }

    fn fault(idx: usize) -> StoreError {
        StoreError::decode(format!("column {idx} of an answer is not what it should be"))
    }
}

/// A database.
pub(crate) enum Db {
    Sqlite {
        pool: SqlitePool,
        watch: Mutex<Watch<SqliteConnection>>,
        wal_index: WalIndex,
        /// The index's header before the last look, and what was seen then.
        seen: std::sync::Mutex<Option<(Header, i64)>>,
    },
    Postgres {
        pool: PgPool,
        watch: Mutex<Watch<()>>,
    },
}

/// The last look at the revision.
pub(crate) struct Watch<C> {
    connection: C,
    data_version: i64,
    revision: i64,
    /// When that look was begun: it holds for everybody who came before.
    begun: Option<Instant>,
}

impl<C> Watch<C> {
    /// The values that no database has: the first question always reads the revision.
    fn new(connection: C) -> Watch<C> {
        Watch {
            connection,
            data_version: -1,
            revision: -1,
            begun: None,
        }
    }
}

macro_rules! bound {
    ($sql:expr, $values:expr) => {{
        let mut query = sqlx::query(AssertSqlSafe($sql));
        for value in $values {
            query = match value {
                Value::Int(value) => query.bind(*value),
                Value::Text(value) => query.bind(value.clone()),
                Value::Blob(value) => query.bind(value.clone()),
            };
        }
        query
    }};
}

impl Db {
    /// Opens a file, making it and bringing its tables up to date. The caller holds the data directory's lock: two
    /// processes must not migrate at once.
    pub(crate) async fn open_sqlite(file: &Path) -> Result<Db, MigrateError> {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // A revocation or a payment that was confirmed must survive a power cut.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(PATIENCE)
            .disable_statement_logging();
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS)
            .connect_with(options.clone())
            .await?;
        schema::sqlite().run(&pool).await?;
        let watch = Mutex::new(Watch::new(options.connect().await?));
        Ok(Db::Sqlite {
            pool,
            watch,
            wal_index: WalIndex::open(file),
            seen: std::sync::Mutex::default(),
        })
    }

    /// Opens a Postgres database by its URL and brings its tables up to date; the migration takes a lock of its own.
    pub(crate) async fn open_postgres(url: &str) -> Result<Db, MigrateError> {
        let options: PgConnectOptions = url.parse()?;
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(PATIENCE)
            .connect_with(options.disable_statement_logging())
            .await?;
        schema::postgres().run(&pool).await?;
        let watch = Mutex::new(Watch::new(()));
        Ok(Db::Postgres { pool, watch })
    }

    /// Whether other servers may write to it, too.
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self, Db::Postgres { .. })
    }

    /// A number that has changed if anything that a request depends on has, in this process or another. A look that
    /// was begun after the caller came is shared by all who wait.
    pub(crate) async fn revision(&self) -> Result<i64, StoreError> {
        match self {
            Db::Sqlite {
                watch,
                wal_index,
                seen,
                ..
            } => {
                // Read first: what is committed after this shows at the next look.
                let header = wal_index.header();
                let known = *seen.lock().unwrap_or_else(PoisonError::into_inner);
                if let (Some(header), Some((before, revision))) = (header, known)
                    && header == before
                {
                    return Ok(revision);
                }
                let revision = look(watch).await?;
                if let Some(header) = header {
                    *seen.lock().unwrap_or_else(PoisonError::into_inner) = Some((header, revision));
                }
                Ok(revision)
            }
            Db::Postgres { pool, watch } => {
                let came = Instant::now();
                let mut watch = watch.lock().await;
                if watch.begun.is_none_or(|begun| begun < came) {
                    let begun = Instant::now();
                    let row = sqlx::query("SELECT number FROM revision").fetch_one(pool).await?;
                    watch.revision = row.try_get(0)?;
                    watch.begun = Some(begun);
                }
                Ok(watch.revision)
            }
        }
    }

    /// The rows of a question.
    pub(crate) async fn rows(&self, sql: &str, values: &[Value]) -> Result<Vec<Row>, StoreError> {
        match self {
            Db::Sqlite { pool, .. } => {
                let rows = bound!(sql, values).fetch_all(pool).await?;
                rows.iter().map(sqlite_row).collect()
            }
            Db::Postgres { pool, .. } => {
                let rows = bound!(sql, values).fetch_all(pool).await?;
                rows.iter().map(postgres_row).collect()
            }
        }
    }

    /// The first row of a question.
    pub(crate) async fn row(&self, sql: &str, values: &[Value]) -> Result<Option<Row>, StoreError> {
        Ok(self.rows(sql, values).await?.into_iter().next())
    }

    /// Begins a transaction that writes. In SQLite it waits for its turn now, so that it cannot fail for it later.
    pub(crate) async fn begin(&self) -> Result<Tx, StoreError> {
        Ok(match self {
            Db::Sqlite { pool, .. } => Tx::Sqlite(pool.begin_with("BEGIN IMMEDIATE").await?),
            Db::Postgres { pool, .. } => Tx::Postgres(pool.begin().await?),
        })
    }

    /// Writes what is still in the log to the database and closes it.
    pub(crate) async fn close(&self) {
        match self {
            Db::Sqlite { pool, .. } => pool.close().await,
            Db::Postgres { pool, .. } => pool.close().await,
        }
    }
}

/// Asks SQLite for the revision, which reads it only where something was committed.
async fn look(watch: &Mutex<Watch<SqliteConnection>>) -> Result<i64, StoreError> {
    let came = Instant::now();
    let mut watch = watch.lock().await;
    if watch.begun.is_none_or(|begun| begun < came) {
        let begun = Instant::now();
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
        watch.begun = Some(begun);
    }
    Ok(watch.revision)
}

/// A transaction; dropping it undoes it.
pub(crate) enum Tx {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

impl Tx {
    /// How many rows the statement changed.
    pub(crate) async fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64, StoreError> {
        Ok(match self {
            Tx::Sqlite(tx) => bound!(sql, values).execute(&mut **tx).await?.rows_affected(),
            Tx::Postgres(tx) => bound!(sql, values).execute(&mut **tx).await?.rows_affected(),
        })
    }

    pub(crate) async fn rows(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Row>, StoreError> {
        match self {
            Tx::Sqlite(tx) => {
                let rows = bound!(sql, values).fetch_all(&mut **tx).await?;
                rows.iter().map(sqlite_row).collect()
            }
            Tx::Postgres(tx) => {
                let rows = bound!(sql, values).fetch_all(&mut **tx).await?;
                rows.iter().map(postgres_row).collect()
            }
        }
    }

    pub(crate) async fn row(&mut self, sql: &str, values: &[Value]) -> Result<Option<Row>, StoreError> {
        Ok(self.rows(sql, values).await?.into_iter().next())
    }

    /// Places for `n` values in a row, the first of which is the statement's `from`th. SQLite would look up a place by its
    /// number among the names of all others; without one they are filled in order, so that nothing may be left out.
    pub(crate) fn places(&self, from: usize, n: usize) -> String {
        let place = |idx: usize| match self {
            Tx::Sqlite(_) => "?".to_owned(),
            Tx::Postgres(_) => format!("${idx}"),
        };
        let places: Vec<String> = (from..from + n).map(place).collect();
        places.join(", ")
    }

    /// The database's own clock, in milliseconds, as a statement has it.
    pub(crate) fn now(&self) -> &'static str {
        match self {
            Tx::Sqlite(_) => "CAST(unixepoch('subsec') * 1000 AS INTEGER)",
            Tx::Postgres(_) => "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)",
        }
    }

    /// What a `SELECT` ends with so that nobody else changes its rows before the end of the transaction. In SQLite there
    /// is only one writer anyway.
    pub(crate) fn for_update(&self) -> &'static str {
        match self {
            Tx::Sqlite(_) => "",
            Tx::Postgres(_) => " FOR UPDATE",
        }
    }

    pub(crate) async fn commit(self) -> Result<(), StoreError> {
        match self {
            Tx::Sqlite(tx) => tx.commit().await?,
            Tx::Postgres(tx) => tx.commit().await?,
        }
        Ok(())
    }
}

fn sqlite_row(row: &SqliteRow) -> Result<Row, StoreError> {
    let value = |idx: usize| {
        let raw = row.try_get_raw(idx)?;
        Ok(match raw.type_info().name() {
            "NULL" => Value::Int(None),
            "INTEGER" | "BOOLEAN" => Value::Int(row.try_get(idx)?),
            "BLOB" => Value::Blob(row.try_get(idx)?),
            _ => Value::Text(row.try_get(idx)?),
        })
    };
    (0..row.len())
        .map(value)
        .collect::<Result<_, sqlx::Error>>()
        .map(Row)
        .map_err(StoreError::from)
}

fn postgres_row(row: &PgRow) -> Result<Row, StoreError> {
    let value = |idx: usize| {
        Ok(match row.column(idx).type_info().name() {
            "INT4" => Value::Int(row.try_get::<Option<i32>, _>(idx)?.map(i64::from)),
            "INT8" => Value::Int(row.try_get(idx)?),
            "BYTEA" => Value::Blob(row.try_get(idx)?),
            _ => Value::Text(row.try_get(idx)?),
        })
    };
    (0..row.len())
        .map(value)
        .collect::<Result<_, sqlx::Error>>()
        .map(Row)
        .map_err(StoreError::from)
}
