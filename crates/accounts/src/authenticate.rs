//! Who is asking: from a presented key to a caller, from memory.
//!
//! What was read from the database is kept until the revision changes, whoever changed it. So a request
//! costs no query, and a key that `tokenmill keys revoke` has revoked in another process is refused from the
//! next request on.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use subtle::ConstantTimeEq;

use crate::catalogue::Catalogue;
use crate::clock::Timestamp;
use crate::key::PresentedKey;
use crate::limits::Terms;
use crate::project::{DEFAULT_PROJECT, Project, ProjectPath};
use crate::secret::ServerSecret;
use crate::store::{Db, Place, PlaceError, StoreError, StoredKey};
use crate::team::{Person, Team};

/// The most keys, ids of no key, and pairs of key and project, that are kept of each. Where there are more, all of
/// that kind are forgotten and read again as they come.
const MAX_CACHED: usize = 10_000;

/// For so long a database that does not answer is taken to stand as it did.
const MAX_STALE: Duration = Duration::from_secs(15 * 60);

/// Who is asking, and on whose behalf.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Caller {
    /// The public id of the key.
    pub key_id: String,
    /// Whose key it is.
    pub person: Person,
    /// Who pays.
    pub team: Team,
    /// What the usage is counted under.
    pub project: Project,
    /// What holds for it.
    pub terms: Terms,
}

/// Why a caller is not let in.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// No key was given.
    #[error("no API key was given")]
    MissingKey,
    /// The text is no key: its form or its check is wrong.
    #[error("the API key is malformed")]
    MalformedKey,
    /// There is no such key.
    #[error("the API key is unknown")]
    UnknownKey,
    /// The key's time is over.
    #[error("the API key has expired")]
    ExpiredKey,
    /// The key was revoked.
    #[error("the API key has been revoked")]
    RevokedKey,
    /// There is no such session, or it is over.
    #[error("the session is over")]
    UnknownSession,
    /// The project is not `team/project`.
    #[error("the project must be given as team/project")]
    MalformedProject,
    /// There is no such team.
    #[error("the team is unknown")]
    UnknownTeam,
    /// The team has no such project.
    #[error("the project is unknown")]
    UnknownProject,
    /// The key's owner is not in the team.
    #[error("the key's owner is not a member of the team")]
    NotAMember,
    /// Nobody can be let in now: the database failed.
    #[error(transparent)]
    Unavailable(#[from] StoreError),
}

impl From<PlaceError> for AuthError {
    fn from(error: PlaceError) -> AuthError {
        match error {
            PlaceError::UnknownTeam => AuthError::UnknownTeam,
            PlaceError::UnknownProject => AuthError::UnknownProject,
            PlaceError::NotAMember => AuthError::NotAMember,
        }
    }
}

/// What has been read at one revision of the database.
#[derive(Default)]
pub(crate) struct Cache {
    read: Mutex<Read>,
    /// The last revision that was heard of, and when.
    heard: Mutex<Option<(i64, Instant)>>,
}

#[derive(Default)]
struct Read {
    revision: Option<i64>,
    keys: HashMap<String, Arc<StoredKey>>,
    /// Ids that no key has: asking for them again costs nothing. Kept apart, since anybody can make them up, and must
    /// not push out the keys that there are.
    unknown_keys: HashSet<String>,
    /// By the key's id and the project that was named.
    callers: HashMap<(String, Option<ProjectPath>), Result<Arc<Caller>, PlaceError>>,
    catalogue: Option<Arc<Catalogue>>,
}

impl Read {
    /// The key of an id, or that there is none, where either is known.
    fn key(&self, id: &str) -> Option<Option<Arc<StoredKey>>> {
        match self.keys.get(id) {
            Some(key) => Some(Some(Arc::clone(key))),
            None => self.unknown_keys.contains(id).then_some(None),
        }
    }

    fn keep_key(&mut self, id: &str, key: Option<Arc<StoredKey>>) {
        match key {
            Some(key) => insert_bounded(&mut self.keys, id.to_owned(), key),
            None => {
                if self.unknown_keys.len() >= MAX_CACHED {
                    self.unknown_keys.clear();
                }
                self.unknown_keys.insert(id.to_owned());
            }
        }
    }
}

impl Cache {
    /// What was read at `revision`: nothing, if that is news.
    fn at(&self, revision: i64) -> MutexGuard<'_, Read> {
        // A panic while it was held left at worst an entry too few.
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        // Revisions only grow. A request that asked just before another's news must not bring back the old.
        if read.revision.is_none_or(|known| known < revision) {
            *read = Read {
                revision: Some(revision),
                ..Read::default()
            };
        }
        read
    }

    /// The revision that the database stands at. One that others use too, and that does not answer, is taken to stand as
    /// it did, for a while: the money that this server was lent is good for as long.
    pub(crate) async fn revision(&self, db: &Db) -> Result<i64, StoreError> {
        let asked = db.revision().await;
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        match (asked, *heard) {
            (Ok(revision), _) => {
                *heard = Some((revision, Instant::now()));
                Ok(revision)
            }
            (Err(_), Some((revision, at))) if db.is_shared() && at.elapsed() < MAX_STALE => Ok(revision),
            (Err(error), _) => Err(error),
        }
    }

    /// The catalogue as it stands.
    pub(crate) async fn catalogue(&self, db: &Db) -> Result<Arc<Catalogue>, StoreError> {
        let revision = self.revision(db).await?;
        self.catalogue_at(db, revision).await
    }

    /// The catalogue as it stood when the revision was last asked for.
    pub(crate) async fn catalogue_as_heard(&self, db: &Db) -> Result<Arc<Catalogue>, StoreError> {
        let heard = *self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        match heard {
            Some((revision, _)) => self.catalogue_at(db, revision).await,
            None => self.catalogue(db).await,
        }
    }

    async fn catalogue_at(&self, db: &Db, revision: i64) -> Result<Arc<Catalogue>, StoreError> {
        if let Some(catalogue) = &self.at(revision).catalogue {
            return Ok(Arc::clone(catalogue));
        }
        let catalogue = Arc::new(db.catalogue().await?);
        self.keep(revision, |read| read.catalogue = Some(Arc::clone(&catalogue)));
        Ok(catalogue)
    }

    /// Keeps what was read by one who saw `revision`, unless it may be out of date by now.
    fn keep(&self, revision: i64, insert: impl FnOnce(&mut Read)) {
        let mut read = self.at(revision);
        if read.revision == Some(revision) {
            insert(&mut read);
        }
    }
}

/// What authentication works with.
pub(crate) struct Authenticator<'a> {
    pub(crate) store: &'a Db,
    pub(crate) cache: &'a Cache,
    pub(crate) server_secret: &'a ServerSecret,
    pub(crate) now: Timestamp,
}

impl Authenticator<'_> {
    pub(crate) async fn authenticate(
        &self,
        presented: &str,
        project_header: Option<&str>,
    ) -> Result<Arc<Caller>, AuthError> {
        if presented.is_empty() {
            return Err(AuthError::MissingKey);
        }
        let presented = PresentedKey::parse(presented).ok_or(AuthError::MalformedKey)?;
        let revision = self.cache.revision(self.store).await?;
        let key = self.key(&presented, revision).await?;
        let path = project_path(project_header)?;
        Ok(self.caller(&key, path, revision).await??)
    }

    /// The caller of a session, whose use is counted under the key of this id.
    pub(crate) async fn session(
        &self,
        key_id: &str,
        person: &Person,
        project_header: Option<&str>,
    ) -> Result<Arc<Caller>, AuthError> {
        let revision = self.cache.revision(self.store).await?;
        let key = self.stored_key(key_id, revision).await?;
        // One that was revoked signs its owner out of the console.
        let is_good = |key: &Arc<StoredKey>| key.revoked_at.is_none() && key.person.id == person.id;
        let key = key.filter(is_good).ok_or(AuthError::UnknownSession)?;
        let path = project_path(project_header)?;
        let is_named = path.is_some();
        match self.caller(&key, path, revision).await? {
            // Their default team need not be one that they are still in.
            Err(PlaceError::NotAMember) if !is_named => {
                let team = self.store.any_team(person).await?.ok_or(AuthError::NotAMember)?;
                let path = ProjectPath {
                    team: team.name,
                    project: DEFAULT_PROJECT.to_owned(),
                };
                Ok(self.caller(&key, Some(path), revision).await??)
            }
            caller => Ok(caller?),
        }
    }

    /// The row of a key, from memory where it is known.
    async fn stored_key(&self, id: &str, revision: i64) -> Result<Option<Arc<StoredKey>>, StoreError> {
        let kept = self.cache.at(revision).key(id);
        if let Some(key) = kept {
            return Ok(key);
        }
        let key = self.store.key(id).await?.map(Arc::new);
        self.cache.keep(revision, |read| read.keep_key(id, key.clone()));
        Ok(key)
    }

    async fn key(&self, presented: &PresentedKey<'_>, revision: i64) -> Result<Arc<StoredKey>, AuthError> {
        let key = self.stored_key(presented.id(), revision).await?;
        let mac = presented.mac(self.server_secret);
        let is_right = |key: &Arc<StoredKey>| {
            // Both are compared, whichever is right.
            let is_current = bool::from(key.mac.ct_eq(&mac));
            let is_previous = key
                .previous
                .is_some_and(|(previous, until)| bool::from(previous.ct_eq(&mac)) & (self.now < until));
            is_current | is_previous
        };
        let key = key.filter(is_right).ok_or(AuthError::UnknownKey)?;
        if key.revoked_at.is_some() {
            return Err(AuthError::RevokedKey);
        }
        if key.expires_at.is_some_and(|end| end <= self.now) {
            return Err(AuthError::ExpiredKey);
        }
        Ok(key)
    }

    /// Whoever presents this key for a project, from memory where they have been here before.
    async fn caller(
        &self,
        key: &StoredKey,
        path: Option<ProjectPath>,
        revision: i64,
    ) -> Result<Result<Arc<Caller>, PlaceError>, StoreError> {
        let name = (key.id.clone(), path);
        if let Some(caller) = self.cache.at(revision).callers.get(&name) {
            return Ok(caller.clone());
        }
        let place = self.store.place(&key.person, name.1.as_ref(), self.now).await?;
        let caller = place.map(|place| Arc::new(caller(key, place)));
        self.cache.keep(revision, |read| {
            insert_bounded(&mut read.callers, name, caller.clone());
        });
        Ok(caller)
    }
}

fn project_path(header: Option<&str>) -> Result<Option<ProjectPath>, AuthError> {
    let parse = |text| ProjectPath::parse(text).ok_or(AuthError::MalformedProject);
    header.map(parse).transpose()
}

fn caller(key: &StoredKey, place: Place) -> Caller {
    let terms = Terms {
        key: key.terms.clone(),
        project: place.limits,
        team: place.team_terms,
        caps: place.caps.into_iter().chain(key.caps.iter().cloned()).collect(),
    };
    Caller {
        key_id: key.id.clone(),
        person: key.person.clone(),
        team: place.team,
        project: place.project,
        terms,
    }
}

fn insert_bounded<K: std::hash::Hash + Eq, V>(map: &mut HashMap<K, V>, name: K, value: V) {
    if map.len() >= MAX_CACHED {
        map.clear();
    }
    map.insert(name, value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::KeyTerms;

    #[test]
    fn ids_of_no_key_are_bounded_and_push_out_no_key() {
        let key = Arc::new(StoredKey {
            id: "known".to_owned(),
            mac: [0; 32],
            person: Person {
                id: "person".to_owned(),
                name: "person".to_owned(),
            },
            expires_at: None,
            revoked_at: None,
            previous: None,
            cuts_streams: false,
            terms: KeyTerms::default(),
            caps: Vec::new(),
        });
        let mut read = Read::default();
        read.keep_key("known", Some(key));
        for id in 0..=MAX_CACHED {
            read.keep_key(&id.to_string(), None);
            assert!(read.unknown_keys.len() <= MAX_CACHED);
        }
        assert!(read.key("known").is_some_and(|key| key.is_some()));
        assert!(read.key(&MAX_CACHED.to_string()).is_some_and(|key| key.is_none()));
        assert!(read.key("never asked for").is_none());
    }
}
