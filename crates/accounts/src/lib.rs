//! Who may ask and on whose behalf, what it costs, and what was used: teams, people, projects, keys, limits, the
//! catalogue, and the ledger.
//!
//! Kept in SQLite in a data directory that the caller gives, or in Postgres, where several servers share it. Knows nothing
//! of HTTP or of engines.

mod clock;
mod team;

mod project;

mod key;

mod network;

mod money;

mod limits;

mod catalogue;

mod authenticate;

mod manage;

mod idempotency;
mod saved;
mod session;

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
use std::time::Duration;

use sqlx::migrate::MigrateError;

pub use authenticate::{AuthError, Caller};
pub use catalogue::{Catalogue, Day, ModelEntry, ModelKind, Reasoning, Stage};
pub use clock::{Clock, Period, SystemClock, Timestamp};
pub use idempotency::{Claim, Claimed, Outcome};
pub use key::{KEY_PREFIX, KeyInfo, KeySecret};
pub use ledger::{Hold, HoldError, Ledger, NotSafe, Status, Usage, UsageId};
pub use limits::{Cap, KeyScope, KeyTerms, ProjectLimits, Rates, Scope, TeamTerms, Terms, Tier};
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
use key::{ID_LEN, PresentedKey, random_text};
use limits::{cap_purse, credit_purse};
use secret::ServerSecret;
use store::exchange::DbLedger;
use store::manage::Books;
use store::{Db, NewKey};

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

const MAX_KEY_NAME_CHARS: usize = 100;

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

/// What a new key should be.
#[derive(Clone, Debug, Default)]
pub struct KeyRequest {
    /// What its owner calls it: 1 to 100 characters.
    pub name: String,
    /// Whose it is; without one, the person of the first start.
    pub person: Option<String>,
    /// From when on it is refused, if ever.
    pub expires_at: Option<Timestamp>,
    /// What it may do.
    pub terms: KeyTerms,
}

/// What is to change about a key; `None` leaves it.
#[derive(Clone, Debug, Default)]
pub struct KeyChange {
    /// What its owner calls it.
    pub name: Option<String>,
    /// From when on it is refused; `Some(None)` is never.
    pub expires_at: Option<Option<Timestamp>>,
    /// What it is good for.
    pub scopes: Option<Vec<KeyScope>>,
    /// The only models that it may ask; `Some(None)` is all.
    pub allowed_models: Option<Option<Vec<String>>>,
    /// The only networks that it may come from; `Some(None)` is all.
    pub allowed_networks: Option<Option<Vec<Network>>>,
    /// Requests within a minute; `Some(None)` is as many as its owner may.
    pub requests_per_minute: Option<Option<u32>>,
    /// Tokens within a minute; `Some(None)` is as many as its owner may.
    pub tokens_per_minute: Option<Option<u32>>,
}

/// A key that has just been made.
#[derive(Clone, Debug)]
pub struct CreatedKey {
    /// The key itself. It is nowhere else: show it.
    pub secret: KeySecret,
    /// What a list shows of it.
    pub info: KeyInfo,
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

/// A key could not be made or revoked.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The name is empty, too long, or has control characters.
    #[error("a key's name must have 1 to {MAX_KEY_NAME_CHARS} characters and no control characters")]
    BadName,
    /// More models or networks than can be listed, none at all, or no scope.
    #[error("a key needs at least one scope, and its lists of models and networks 1 to 1,000 entries each")]
    BadTerms,
    /// There is no such person.
    #[error("there is no person called {0:?}")]
    UnknownPerson(String),
    /// Nobody exists yet.
    #[error("there is nobody to own a key yet")]
    NoPeople,
    /// There is no such key.
    #[error("there is no key with the id {0:?}")]
    UnknownKey(String),
    /// It is there, and cannot be changed.
    #[error("this key cannot be changed: it {0}")]
    Fixed(&'static str),
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
    ) -> Result<Caller, AuthError> {
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
    pub fn usage(&self, caller: &Caller, model: &str, price: Price) -> Usage {
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

    /// Makes a key.
    pub async fn create_key(&self, actor: &str, request: &KeyRequest) -> Result<CreatedKey, KeyError> {
        check_key_name(&request.name)?;
        check_terms(&request.terms)?;
        let person = self.shared.db.person(request.person.as_deref()).await?;
        let person = person.ok_or_else(|| match &request.person {
            Some(name) => KeyError::UnknownPerson(name.clone()),
            None => KeyError::NoPeople,
        })?;
        let secret = KeySecret::generate().map_err(StoreError::from)?;
        let key = self.new_key(&secret, &request.name, request.expires_at, &request.terms);
        let now = self.shared.clock.now();
        self.books().create_key(actor, &person, &key, now).await?;
        let info = KeyInfo {
            id: secret.id().to_owned(),
            name: request.name.clone(),
            person: person.name,
            last_four: secret.last_four().to_owned(),
            created_at: now,
            expires_at: request.expires_at,
            revoked_at: None,
            terms: request.terms.clone(),
            is_console: false,
        };
        Ok(CreatedKey { secret, info })
    }

    /// All keys, oldest first.
    pub async fn list_keys(&self) -> Result<Vec<KeyInfo>, StoreError> {
        self.shared.db.keys(None).await
    }

    /// Revokes a key, named by its id or given whole. From the next request on it is refused, also by a server
    /// in another process; with `cut_streams` the answers that are running end, too.
    pub async fn revoke_key(
        &self,
        actor: &str,
        id_or_key: &str,
        cut_streams: bool,
    ) -> Result<KeyInfo, KeyError> {
        let id = key_id(id_or_key);
        let now = self.shared.clock.now();
        let revoked = self.books().revoke_key(actor, id, cut_streams, now).await?;
        // What is no id may be a whole key with a mistake in it, which must not end up in a terminal or a log.
        revoked.ok_or_else(|| KeyError::UnknownKey(id.chars().take(ID_LEN).collect()))
    }

    /// Changes what a key may do, from the next request on. One that was revoked, or that is the console's own, stays as it is.
    pub async fn change_key(&self, actor: &str, id: &str, change: &KeyChange) -> Result<KeyInfo, KeyError> {
        if let Some(name) = &change.name {
            check_key_name(name)?;
        }
        check_lists(
            change.scopes.as_deref(),
            change.allowed_models.as_ref().and_then(Option::as_deref),
            change.allowed_networks.as_ref().and_then(Option::as_deref),
        )?;
        let id = key_id(id);
        let unknown = || KeyError::UnknownKey(id.chars().take(ID_LEN).collect());
        let key = self.key_info(id).await?.ok_or_else(unknown)?;
        if key.is_console {
            return Err(KeyError::Fixed(
                "is the console's own; it can be given a cap, or be revoked",
            ));
        }
        let now = self.shared.clock.now();
        if !self.books().change_key(actor, id, change, now).await? {
            return Err(KeyError::Fixed("was revoked"));
        }
        self.key_info(id).await?.ok_or_else(unknown)
    }

    /// Gives a key a new secret; the old one goes on to work for `overlap`.
    pub async fn rotate_key(
        &self,
        actor: &str,
        id_or_key: &str,
        overlap: Duration,
    ) -> Result<KeySecret, KeyError> {
        let id = key_id(id_or_key);
        let unknown = || KeyError::UnknownKey(id.chars().take(ID_LEN).collect());
        let secret = KeySecret::generate_for(id).map_err(StoreError::from)?;
        let secret = secret.ok_or_else(unknown)?;
        let terms = KeyTerms::default();
        let key = self.new_key(&secret, "", None, &terms);
        let now = self.shared.clock.now();
        let was_rotated = self
            .books()
            .rotate_key(actor, &key, now, now.after(overlap))
            .await?;
        if was_rotated { Ok(secret) } else { Err(unknown()) }
    }

    /// The key of an id.
    pub async fn key_info(&self, id: &str) -> Result<Option<KeyInfo>, StoreError> {
        Ok(self.shared.db.keys(Some(id)).await?.pop())
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

    fn new_key<'a>(
        &self,
        secret: &'a KeySecret,
        name: &'a str,
        expires_at: Option<Timestamp>,
        terms: &'a KeyTerms,
    ) -> NewKey<'a> {
        NewKey {
            id: secret.id(),
            mac: secret.presented().mac(&self.shared.server_secret),
            last_four: secret.last_four(),
            name,
            expires_at,
            terms,
        }
    }
}

/// The id in what is an id or a whole key.
fn key_id(id_or_key: &str) -> &str {
    match PresentedKey::parse(id_or_key) {
        Some(key) => key.id(),
        None => id_or_key.strip_prefix(KEY_PREFIX).unwrap_or(id_or_key),
    }
}

fn check_key_name(name: &str) -> Result<(), KeyError> {
    let n_chars = name.chars().count();
    if n_chars == 0 || n_chars > MAX_KEY_NAME_CHARS || name.chars().any(char::is_control) {
        return Err(KeyError::BadName);
    }
    Ok(())
}

fn check_terms(terms: &KeyTerms) -> Result<(), KeyError> {
    check_lists(
        Some(&terms.scopes),
        terms.allowed_models.as_deref(),
        terms.allowed_networks.as_deref(),
    )
}

/// Of what is given, no list is empty or too long.
fn check_lists(
    scopes: Option<&[KeyScope]>,
    models: Option<&[String]>,
    networks: Option<&[Network]>,
) -> Result<(), KeyError> {
    let is_list = |n: Option<usize>| n.is_none_or(|n| (1..=1_000).contains(&n));
    let lens = [
        scopes.map(<[_]>::len),
        models.map(<[_]>::len),
        networks.map(<[_]>::len),
    ];
    if lens.into_iter().all(is_list) {
        return Ok(());
    }
    Err(KeyError::BadTerms)
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
