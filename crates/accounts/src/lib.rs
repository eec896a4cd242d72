//! Who may ask, and on whose behalf: teams, the people in them, their projects and keys.
//!
//! Kept in SQLite in a data directory that the caller gives. Knows nothing of HTTP or of models.

mod authenticate;
mod clock;
mod key;
mod project;
mod secret;
mod store;
mod team;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sqlx::migrate::MigrateError;

pub use authenticate::{AuthError, Caller};
pub use clock::{Clock, SystemClock, Timestamp};
pub use key::{KEY_PREFIX, KeyInfo, KeySecret};
pub use project::{DEFAULT_PROJECT, Project};
pub use store::StoreError;
pub use team::{Person, Team};

use authenticate::{Authenticator, Cache};
use key::{ID_LEN, PresentedKey};
use secret::ServerSecret;
use store::{NewKey, SqliteStore};

/// The name of the team that a first start makes.
const FIRST_TEAM: &str = "default";
/// The name of the person that a first start makes.
const FIRST_PERSON: &str = "admin";

const DATABASE_FILE: &str = "tokenmill.db";
const LOCK_FILE: &str = "tokenmill.lock";
/// The setting that tells whether the server's secret belongs to this database.
const SECRET_MARK: &str = "server_secret_mark";

const MAX_KEY_NAME_CHARS: usize = 100;

/// A handle on the accounts of one data directory; clones share it.
#[derive(Clone)]
pub struct Accounts {
    shared: Arc<Shared>,
}

struct Shared {
    store: SqliteStore,
    cache: Cache,
    server_secret: ServerSecret,
    clock: Box<dyn Clock>,
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
    /// There is no such person.
    #[error("there is no person called {0:?}")]
    UnknownPerson(String),
    /// Nobody exists yet.
    #[error("there is nobody to own a key yet")]
    NoPeople,
    /// There is no such key.
    #[error("there is no key with the id {0:?}")]
    UnknownKey(String),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Accounts {
    /// Opens the accounts in `data_dir`, making both if they are not there.
    pub async fn open(data_dir: &Path) -> Result<Accounts, OpenError> {
        Accounts::open_with_clock(data_dir, Box::new(SystemClock)).await
    }

    /// Opens the accounts in `data_dir` with a given source of time.
    pub async fn open_with_clock(data_dir: &Path, clock: Box<dyn Clock>) -> Result<Accounts, OpenError> {
        // Held until the database and the secret are complete: another process may be starting too.
        let _lock = lock(data_dir).await?;
        let database = data_dir.join(DATABASE_FILE);
        let store = SqliteStore::open(&database)
            .await
            .map_err(|source| OpenError::Database {
                path: database,
                source,
            })?;
        let server_secret = open_secret(data_dir, &store).await?;
        Ok(Accounts {
            shared: Arc::new(Shared {
                store,
                cache: Cache::default(),
                server_secret,
                clock,
            }),
        })
    }

    /// Sees to it that there is somebody who can ask: on a first start makes a team, a person, the project
    /// `inference` and a key, all or nothing.
    pub async fn ensure_first(&self) -> Result<First, StoreError> {
        let project = DEFAULT_PROJECT.to_owned();
        if let Some(team) = self.shared.store.oldest_team().await? {
            return Ok(First {
                team: team.name,
                project,
                key: None,
            });
        }
        let secret = KeySecret::generate()?;
        let key = self.new_key(&secret, "first key", None);
        let made = self
            .shared
            .store
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
            store,
            cache,
            server_secret,
            clock,
        } = &*self.shared;
        let authenticator = Authenticator {
            store,
            cache,
            server_secret,
            now: clock.now(),
        };
        authenticator.authenticate(presented, project_header).await
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
    pub async fn create_key(&self, request: &KeyRequest) -> Result<CreatedKey, KeyError> {
        let n_chars = request.name.chars().count();
        if n_chars == 0 || n_chars > MAX_KEY_NAME_CHARS || request.name.chars().any(char::is_control) {
            return Err(KeyError::BadName);
        }
        let person = self.shared.store.person(request.person.as_deref()).await?;
        let person = person.ok_or_else(|| match &request.person {
            Some(name) => KeyError::UnknownPerson(name.clone()),
            None => KeyError::NoPeople,
        })?;
        let secret = KeySecret::generate().map_err(StoreError::from)?;
        let key = self.new_key(&secret, &request.name, request.expires_at);
        let now = self.shared.clock.now();
        self.shared.store.insert_key(&person, &key, now).await?;
        let info = KeyInfo {
            id: secret.id().to_owned(),
            name: request.name.clone(),
            person: person.name,
            last_four: secret.last_four().to_owned(),
            created_at: now,
            expires_at: request.expires_at,
            revoked_at: None,
        };
        Ok(CreatedKey { secret, info })
    }

    /// All keys, oldest first.
    pub async fn list_keys(&self) -> Result<Vec<KeyInfo>, StoreError> {
        self.shared.store.keys().await
    }

    /// Revokes a key, named by its id or given whole. From the next request on it is refused, also by a server
    /// in another process.
    pub async fn revoke_key(&self, id_or_key: &str) -> Result<KeyInfo, KeyError> {
        let presented = PresentedKey::parse(id_or_key);
        let id = presented.as_ref().map_or_else(
            || id_or_key.strip_prefix(KEY_PREFIX).unwrap_or(id_or_key),
            PresentedKey::id,
        );
        let revoked = self.shared.store.revoke_key(id, self.shared.clock.now()).await?;
        // What is no id may be a whole key with a mistake in it, which must not end up in a terminal or a log.
        revoked.ok_or_else(|| KeyError::UnknownKey(id.chars().take(ID_LEN).collect()))
    }

    /// The time, as the accounts see it.
    pub fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    /// Ends all use of the database, so that it lies on the disk as one file.
    pub async fn close(&self) {
        self.shared.store.close().await;
    }

    fn new_key<'a>(&self, secret: &'a KeySecret, name: &'a str, expires_at: Option<Timestamp>) -> NewKey<'a> {
        NewKey {
            id: secret.id(),
            mac: secret.presented().mac(&self.shared.server_secret),
            last_four: secret.last_four(),
            name,
            expires_at,
        }
    }
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
async fn open_secret(data_dir: &Path, store: &SqliteStore) -> Result<ServerSecret, OpenError> {
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
