//! Who may ask and on whose behalf, what it costs, and what was used: teams, people, projects, keys, limits, the
//! catalogue, and the ledger.
//!
//! Kept in SQLite in a data directory that the caller gives, or in Postgres, where several servers share it. Knows nothing
//! of HTTP or of engines.

mod clock;
mod team;

mod project;

mod key;
mod keys;

mod network;

mod money;

mod limits;

mod catalogue;

mod authenticate;

mod configured;
mod manage;

pub mod artifacts;
mod idempotency;
mod seal;

mod saved;

mod session;

mod attempt;
mod identity;

mod ledger;

mod chain;
mod verify;

mod report;

mod secret;
mod store;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use sqlx::migrate::MigrateError;

pub use artifacts::{ArtifactInfo, ArtifactPath, ArtifactRef, ArtifactVersion, Artifacts, ResolvedArtifact};
pub use attempt::{ATTEMPT_LIFE, Attempt, AttemptError};
pub use authenticate::{AuthError, Caller};
pub use catalogue::{Catalogue, Day, ModelEntry, ModelKind, Reasoning, Stage};
pub use clock::{Clock, Period, SystemClock, Timestamp};
pub use configured::ConfiguredModel;
pub use idempotency::{Claim, Claimed, Outcome, Room, Sending};
pub use identity::{Identity, IdentityError, IdentityInfo, Newcomers};
pub use key::{KEY_PREFIX, KeyInfo, KeySecret};
pub use keys::{CreatedKey, KeyChange, KeyError, KeyRequest};
pub use ledger::{Hold, HoldError, Ledger, NotSafe, SlotError, SlotLease, Slots, Status, Usage, UsageId};
pub use limits::{Cap, CapPurses, KeyScope, KeyTerms, ProjectLimits, Rates, Scope, TeamTerms, Terms, Tier};
pub use manage::{
    AuditInfo, Balance, CapInfo, CreditInfo, CreditKind, CreditRequest, ManageError, MemberInfo,
    MembershipInfo, PriceInfo, ProjectInfo, ServerInfo, TeamChange, TeamInfo,
};
pub use money::{Nanos, Price, Tokens};
pub use network::{Network, NetworkError};
pub use project::{DEFAULT_PROJECT, Project};
pub use report::{GroupBy, LedgerRow, UsageQuery, UsageRow};
pub use saved::{SavedInfo, SavedKind};
pub use session::{SignInError, Token};
pub use store::StoreError;
pub use team::{Person, Team};
pub use verify::Verified;

use authenticate::{Authenticator, Cache};
use key::{ID_LEN, random_text};
use limits::{cap_purse, credit_purse};
use secret::ServerSecret;
use store::Db;
use store::exchange::DbLedger;
use store::manage::Books;

/// The name of the team that a first start makes.
const FIRST_TEAM: &str = "default";
/// The name of the person that a first start makes.
const FIRST_PERSON: &str = "admin";

const DATABASE_FILE: &str = "tokenmill.db";
const LOCK_FILE: &str = "tokenmill.lock";
/// Held by the one server that works on a data directory.
const SERVING_FILE: &str = "serving.lock";
/// Holds the name of this data directory among the servers that share a database.
const REPLICA_FILE: &str = "replica-id";
/// The folder of the usage log.
const LOG_FOLDER: &str = "usage-log";
/// The setting that tells whether the server's secret belongs to this database.
const SECRET_MARK: &str = "server_secret_mark";

/// A handle on the accounts of one data directory; clones share it.
#[derive(Clone)]
pub struct Accounts {
    shared: Arc<Shared>,
}

struct Shared {
    db: Arc<Db>,
    cache: Cache,
    tries: session::Tries,
    hashing: session::Hashing,
    server_secret: Arc<ServerSecret>,
    clock: Arc<dyn Clock>,
    data_dir: PathBuf,
    /// This data directory's name among the servers, once it serves.
    replica: OnceLock<String>,
}

/// What there is after the first start.
#[derive(Clone, Debug)]
pub struct First {
    /// The name of the first team.
    pub team: String,
    /// The name of its project.
    pub project: String,
    /// The first key, if this call made it. It is nowhere else: show it.
    pub key: Option<KeySecret>,
}

/// The data directory could not be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A file or folder of it could not be read or made.
    #[error("{}: {source}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The database could not be opened or brought up to date.
    #[error("{}: {source}", path.display())]
    Database {
        /// Which one.
        path: PathBuf,
        /// What SQLite or the migration said.
        source: MigrateError,
    },
    /// The server's secret is gone, or is another one than the keys were stored under.
    #[error("{} does not belong to the database beside it, so no key could be checked; restore the file from a backup", .0.display())]
    WrongSecret(PathBuf),
    /// Another server works on this data directory.
    #[error("another server works on {} already: give this one a --data-dir of its own", .0.display())]
    InUse(PathBuf),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Accounts {
    /// Opens the accounts in `data_dir`, making both if they are not there.
    pub async fn open(data_dir: &Path) -> Result<Accounts, OpenError> {
        Accounts::open_with(data_dir, None, Arc::new(SystemClock)).await
    }

    /// Opens the accounts: in Postgres where a URL is given, whose secret and usage log lie in `data_dir`, else all of them
    /// in `data_dir`. Times are `clock`'s.
    pub async fn open_with(
        data_dir: &Path,
        postgres: Option<&str>,
        clock: Arc<dyn Clock>,
    ) -> Result<Accounts, OpenError> {
        // Held until the database and the secret are complete: another process may be starting too.
        let _lock = lock(data_dir).await?;
        let path = data_dir.join(DATABASE_FILE);
        let (path, opened) = match postgres {
            Some(url) => (PathBuf::from("Postgres"), Db::open_postgres(url).await),
            None => (path.clone(), Db::open_sqlite(&path).await),
        };
        let db = opened.map_err(|source| OpenError::Database { path, source })?;
        let server_secret = open_secret(data_dir, &db).await?;
        Ok(Accounts {
            shared: Arc::new(Shared {
                db: Arc::new(db),
                cache: Cache::default(),
                tries: session::Tries::default(),
                hashing: session::Hashing::default(),
                server_secret: Arc::new(server_secret),
                clock,
                data_dir: data_dir.to_owned(),
                replica: OnceLock::new(),
            }),
        })
    }

    /// Starts the ledger of a server on this data directory, of which there can be one. What an earlier one has left in
    /// its log is taken over.
    pub async fn start_ledger(&self) -> Result<Ledger, OpenError> {
        self.start_ledger_with(SlotLease::default()).await
    }

    /// The same, where a server that is silent keeps its slots for another time than the usual.
    pub async fn start_ledger_with(&self, slots: SlotLease) -> Result<Ledger, OpenError> {
        let data_dir = &self.shared.data_dir;
        let file_error = |path: &Path| {
            let path = path.to_owned();
            move |source| OpenError::File { path, source }
        };
        let path = data_dir.join(SERVING_FILE);
        let serving = File::create(&path).map_err(file_error(&path))?;
        serving.try_lock().map_err(|error| match error {
            fs::TryLockError::WouldBlock => OpenError::InUse(data_dir.clone()),
            fs::TryLockError::Error(source) => file_error(&path)(source),
        })?;
        let path = data_dir.join(REPLICA_FILE);
        let replica = replica_id(&path).map_err(file_error(&path))?;
        let replica = self.shared.replica.get_or_init(|| replica).clone();
        self.shared.db.spend_claims_of(&replica).await?;
        let store = DbLedger {
            db: self.shared.db.clone(),
            secret: self.shared.server_secret.clone(),
        };
        let path = data_dir.join(LOG_FOLDER);
        Ledger::start(
            &path,
            &replica,
            Arc::new(store),
            self.shared.clock.clone(),
            serving,
            slots,
        )
        .await
        .map_err(file_error(&path))
    }

    /// Sees to it that there is somebody who can ask: on a first start makes a team, a person, the project
    /// `inference` and a key, all or nothing.
    pub async fn ensure_first(&self) -> Result<First, StoreError> {
        let project = DEFAULT_PROJECT.to_owned();
        if let Some(team) = self.shared.db.oldest_team().await? {
            return Ok(First {
                team: team.name,
                project,
                key: None,
            });
        }
        let secret = KeySecret::generate()?;
        let terms = KeyTerms::default();
        let key = self.new_key(&secret, "first key", None, &terms);
        let made = self
            .shared
            .db
            .create_first(FIRST_TEAM, FIRST_PERSON, &key, self.shared.clock.now())
            .await?;
        let key = made.is_some().then_some(secret);
        Ok(First {
            team: FIRST_TEAM.to_owned(),
            project,
            key,
        })
    }

    /// Who presents this key, and for which project. `presented` is the key alone, without `Bearer`, and empty
    /// where none was given; `project_header` is the value of `OpenAI-Project`.
    pub async fn authenticate(
        &self,
        presented: &str,
        project_header: Option<&str>,
    ) -> Result<Arc<Caller>, AuthError> {
        let Shared {
            db,
            cache,
            server_secret,
            clock,
            ..
        } = &*self.shared;
        let authenticator = Authenticator {
            store: db,
            cache,
            server_secret,
            now: clock.now(),
        };
        authenticator.authenticate(presented, project_header).await
    }

    /// The catalogue and prices as they stand, from memory where nothing has changed.
    pub async fn catalogue(&self) -> Result<Arc<Catalogue>, StoreError> {
        self.shared.cache.catalogue(&self.shared.db).await
    }

    /// The same as it stood when somebody was last let in: for a request that has just been.
    pub async fn catalogue_of_caller(&self) -> Result<Arc<Catalogue>, StoreError> {
        self.shared.cache.catalogue_as_heard(&self.shared.db).await
    }

    /// The line that a request of `caller` will have in the ledger, as far as it is known before it runs: its id, and the
    /// purses that pay for it. What is held is still 0.
    pub fn usage(&self, caller: &Caller, model: &str, adapter: Option<&str>, price: Price) -> Usage {
        let now = self.now();
        let mut random = [0; 10];
        // Without randomness ids could meet, and the database would take the second for the first: better not served.
        let _ = getrandom::fill(&mut random);
        let caps = caller.terms.caps.iter();
        let mut purses: Vec<_> = caps
            .map(|cap| cap_purse(cap.scope, &cap.target, cap.period, now))
            .collect();
        purses.push(credit_purse(&caller.team.id));
        Usage {
            id: UsageId::new(now, random),
            team_id: caller.team.id.clone(),
            project_id: caller.project.id.clone(),
            key_id: caller.key_id.clone(),
            model: model.to_owned(),
            adapter: adapter.map(str::to_owned),
            price,
            hold: Nanos::ZERO,
            purses,
            tokens: Tokens::default(),
            status: Status::Open,
            cost: Nanos::ZERO,
            admitted_at: now,
            ended_at: now,
        }
    }

    /// Whether the caller's key still is what let them in, for a stream that goes on: false once it was revoked with the
    /// wish to cut streams, too.
    pub async fn may_go_on(&self, key_id: &str) -> Result<bool, StoreError> {
        let key = self.shared.db.key(key_id).await?;
        Ok(key.is_some_and(|key| !(key.cuts_streams && key.revoked_at.is_some())))
    }

    /// A number that changes with every change of what requests depend on.
    pub async fn revision(&self) -> Result<i64, StoreError> {
        self.shared.cache.revision(&self.shared.db).await
    }

    /// The scope inside which prompts may share cached prefixes: one project, and in it one salt. Nobody
    /// without the server's secret can make one.
    pub fn cache_scope(&self, project: &Project, cache_salt: Option<&str>) -> [u8; 32] {
        let salt = cache_salt.map_or(&b""[..], str::as_bytes);
        self.shared
            .server_secret
            .derive("tokenmill cache scope v1\0", &[project.id.as_bytes(), salt])
    }

    /// The time, as the accounts see it.
    pub fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    /// Ends all use of the database, so that it lies on the disk as one file.
    pub async fn close(&self) {
        self.shared.db.close().await;
    }

    fn books(&self) -> Books {
        Books {
            db: self.shared.db.clone(),
            secret: self.shared.server_secret.clone(),
        }
    }
}

/// The name of this data directory among the servers of a database, made the first time.
fn replica_id(path: &Path) -> io::Result<String> {
    match fs::read_to_string(path) {
        Ok(text) if !text.trim().is_empty() => return Ok(text.trim().to_owned()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let id = random_text(ID_LEN).map_err(io::Error::other)?;
    let mut file = File::create(path)?;
    io::Write::write_all(&mut file, id.as_bytes())?;
    file.sync_all()?;
    Ok(id)
}

/// Makes the data directory and waits until nobody else has its lock; it is given back when the file is dropped.
async fn lock(data_dir: &Path) -> Result<File, OpenError> {
    let path = data_dir.to_owned();
    let data_dir = data_dir.to_owned();
    // On a thread of its own, since it may wait for a task that needs this one.
    let locked = tokio::task::spawn_blocking(move || {
        let file_error = |path: PathBuf| move |source| OpenError::File { path, source };
        create_private_dir(&data_dir).map_err(file_error(data_dir.clone()))?;
        let path = data_dir.join(LOCK_FILE);
        let file = File::create(&path).map_err(file_error(path.clone()))?;
        file.lock().map_err(file_error(path))?;
        Ok(file)
    });
    // The thread ends early only where the whole program does.
    let ended = |error| {
        Err(OpenError::File {
            path,
            source: io::Error::other(error),
        })
    };
    locked.await.unwrap_or_else(ended)
}

/// The server's secret, made together with the database's first use. A secret that is not the one that this
/// database was used with would make every key unknown, so it is an error.
async fn open_secret(data_dir: &Path, store: &Db) -> Result<ServerSecret, OpenError> {
    let path = data_dir.join(secret::FILE_NAME);
    let file_error = |source| OpenError::File {
        path: path.clone(),
        source,
    };
    let mark = store.setting(SECRET_MARK).await?;
    let found = ServerSecret::read(data_dir).map_err(file_error)?;
    let secret = match (found, &mark) {
        (Some(secret), _) => secret,
        (None, None) => ServerSecret::create(data_dir).map_err(file_error)?,
        (None, Some(_)) => return Err(OpenError::WrongSecret(path)),
    };
    let own_mark = secret.derive("tokenmill secret mark v1\0", &[]);
    match mark {
        None => store.set_setting(SECRET_MARK, &own_mark).await?,
        Some(mark) if mark == own_mark => {}
        Some(_) => return Err(OpenError::WrongSecret(path)),
    }
    Ok(secret)
}

/// Makes a folder that only its owner can enter; one that is there is left as it is.
fn create_private_dir(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    builder.create(path)
}
