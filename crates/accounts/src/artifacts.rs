//! Artifacts of type `lora`: adapters that a team has uploaded, in versions `v0`, `v1`, …, with names for some of them.
//!
//! What is known of them is in the database, their files are in `files`. A version is never changed; its number is
//! never used again. Whether files are a good adapter is for whoever calls [`Artifacts::add`] to know.

mod files;

use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::Accounts;
use crate::clock::Timestamp;
use crate::manage::{ManageError, check_name};
use crate::project::is_name;
use crate::store::StoreError;
use crate::store::artifacts::NewVersion;
use crate::team::Team;
use files::ArtifactFiles;

pub use files::Incoming;

/// The name of the last version.
pub const LATEST: &str = "latest";
/// What an artifact's address begins with.
const SCHEMES: [&str; 2] = ["wandb-artifact:///", "tokenmill-artifact:///"];
/// Versions that an artifact has at a time, and names for them.
const MAX_VERSIONS: i64 = 1_000;
/// Folders of uploads that broke off are removed once they are so old.
const MAX_AGE: std::time::Duration = std::time::Duration::from_hours(24);

/// Where an artifact is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ArtifactPath {
    /// Whose.
    pub team: String,
    /// In which of its projects.
    pub project: String,
    /// What it is called there.
    pub name: String,
}

impl fmt::Display for ArtifactPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.team, self.project, self.name)
    }
}

impl ArtifactPath {
    /// `team/project/name`; `None` where it is not three names.
    pub fn parse(text: &str) -> Option<ArtifactPath> {
        let mut names = text.split('/').map(|name| is_name(name).then(|| name.to_owned()));
        let path = ArtifactPath {
            team: names.next()??,
            project: names.next()??,
            name: names.next()??,
        };
        names.next().is_none().then_some(path)
    }
}

/// What a request names: an artifact, and one of its versions by number or name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ArtifactRef {
    /// Which artifact.
    pub path: ArtifactPath,
    /// `v3`, `latest`, or a name that the team gave.
    pub alias: String,
}

impl ArtifactRef {
    /// Whether a text is an artifact's address, good or bad, and no model's name.
    pub fn is_address(text: &str) -> bool {
        SCHEMES.iter().any(|scheme| text.starts_with(scheme))
    }

    /// `wandb-artifact:///team/project/name:alias`, or with `tokenmill-artifact`; without an alias it is `latest`.
    pub fn parse(text: &str) -> Option<ArtifactRef> {
        let rest = SCHEMES.iter().find_map(|scheme| text.strip_prefix(scheme))?;
        let (path, alias) = rest.split_once(':').unwrap_or((rest, LATEST));
        is_name(alias).then_some(())?;
        Some(ArtifactRef {
            path: ArtifactPath::parse(path)?,
            alias: alias.to_owned(),
        })
    }
}

/// The number in `v3`.
pub fn version_number(text: &str) -> Option<u32> {
    let digits = text.strip_prefix('v')?;
    let is_plain = digits == "0" || !digits.starts_with(['0', '+']);
    is_plain.then(|| digits.parse().ok()).flatten()
}

/// An artifact with its versions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ArtifactInfo {
    /// Where it is.
    pub path: ArtifactPath,
    /// The served name of the model that it changes.
    pub base_model: String,
    /// When its first version came.
    pub created_at: Timestamp,
    /// The last first; never none.
    pub versions: Vec<ArtifactVersion>,
}

/// A version of an artifact.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ArtifactVersion {
    /// Counts up from 0.
    pub version: u32,
    /// `latest`, and the names that the team gave.
    pub aliases: Vec<String>,
    /// SHA-256 of its files.
    pub digest: [u8; 32],
    /// Bytes of its files.
    pub n_bytes: u64,
    /// The largest rank of its matrices.
    pub rank: u32,
    /// The modules that it changes.
    pub targets: Vec<String>,
    /// Who uploaded it.
    pub actor: String,
    /// When.
    pub created_at: Timestamp,
    pub(crate) folder: String,
}

/// A version that a request uses.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ResolvedArtifact {
    /// Which, as `team/project/name:v3`.
    pub name: String,
    /// The served name of the model that it changes.
    pub base_model: String,
    /// Where its files are.
    pub folder: PathBuf,
    /// SHA-256 of its files.
    pub digest: [u8; 32],
}

/// What is known of files that were checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CheckedFiles {
    /// SHA-256 of them.
    pub digest: [u8; 32],
    /// Bytes of them.
    pub n_bytes: u64,
    /// The largest rank of the matrices.
    pub rank: u32,
    /// The modules that are changed.
    pub targets: Vec<String>,
}

/// The artifacts of all teams; clones share them.
#[derive(Clone)]
pub struct Artifacts {
    accounts: Accounts,
    files: ArtifactFiles,
}

impl Artifacts {
    /// Those whose files are in `folder`; without one, beside the accounts. Servers that share a database must share the
    /// folder.
    pub fn new(accounts: Accounts, folder: Option<&Path>) -> Artifacts {
        let beside = || accounts.shared.data_dir.join("artifacts");
        let folder = folder.map_or_else(beside, Path::to_owned);
        Artifacts {
            files: ArtifactFiles::new(folder),
            accounts,
        }
    }

    /// A folder for files that come in. It goes with what it holds, unless it is added.
    ///
    /// # Errors
    /// What the system says.
    pub fn incoming(&self) -> std::io::Result<Incoming> {
        self.files.incoming()
    }

    /// The artifacts of a team, by project and name.
    pub async fn list(&self, team: &str) -> Result<Vec<ArtifactInfo>, ManageError> {
        self.accounts.books().artifacts(team, None).await
    }

    /// One artifact.
    pub async fn get(&self, path: &ArtifactPath) -> Result<ArtifactInfo, ManageError> {
        let found = self.accounts.books().artifacts(&path.team, Some(path)).await?;
        found.into_iter().next().ok_or_else(|| unknown(path))
    }

    /// Takes checked files over as the next version, with these names beside its number.
    pub async fn add(
        &self,
        actor: &str,
        path: &ArtifactPath,
        base_model: &str,
        aliases: &[String],
        (files, incoming): (CheckedFiles, Incoming),
    ) -> Result<ArtifactVersion, ManageError> {
        check_name("artifact", &path.name)?;
        aliases.iter().try_for_each(|alias| check_alias(alias))?;
        let folder = incoming.keep().await.map_err(io_failed)?;
        let detail = json!({
            "base_model": base_model, "aliases": aliases, "bytes": files.n_bytes, "rank": files.rank,
        });
        let target = path.to_string();
        let change = self.accounts.change(actor, "artifact.add", &target, &detail);
        let new = NewVersion {
            path,
            base_model,
            aliases,
            files: &files,
            folder: &folder,
            most: MAX_VERSIONS,
        };
        let added = self.accounts.books().add_version(&change, &new).await;
        if added.is_err() {
            self.files.remove(&folder).await;
        }
        added
    }

    /// Gives a version another name, or moves the name to it.
    pub async fn alias(
        &self,
        actor: &str,
        path: &ArtifactPath,
        alias: &str,
        version: u32,
    ) -> Result<(), ManageError> {
        check_alias(alias)?;
        let detail = json!({"alias": alias, "version": version});
        let target = path.to_string();
        let change = self.accounts.change(actor, "artifact.alias", &target, &detail);
        self.accounts
            .books()
            .set_alias(&change, path, alias, Some(version))
            .await
    }

    /// Takes a name away.
    pub async fn remove_alias(
        &self,
        actor: &str,
        path: &ArtifactPath,
        alias: &str,
    ) -> Result<(), ManageError> {
        let target = path.to_string();
        let change = self
            .accounts
            .change(actor, "artifact.unalias", &target, &json!({"alias": alias}));
        self.accounts.books().set_alias(&change, path, alias, None).await
    }

    /// Deletes a version, or all of them. Requests that have begun go on with it.
    pub async fn remove(
        &self,
        actor: &str,
        path: &ArtifactPath,
        version: Option<u32>,
    ) -> Result<(), ManageError> {
        let target = path.to_string();
        let change = self
            .accounts
            .change(actor, "artifact.remove", &target, &json!({"version": version}));
        let folders = self
            .accounts
            .books()
            .remove_versions(&change, path, version)
            .await?;
        for folder in folders {
            self.files.remove(&folder).await;
        }
        Ok(())
    }

    /// The version that a request of this team names, as of now; `None` where the team has no such.
    pub async fn resolve(
        &self,
        team: &Team,
        reference: &ArtifactRef,
    ) -> Result<Option<ResolvedArtifact>, StoreError> {
        // Only the owning team may read it, and others must not learn that it is there.
        if team.name != reference.path.team {
            return Ok(None);
        }
        let info = match self.get(&reference.path).await {
            Ok(info) => info,
            Err(ManageError::Store(error)) => return Err(error),
            Err(_) => return Ok(None),
        };
        let number = version_number(&reference.alias);
        let is_named = |version: &&ArtifactVersion| match number {
            Some(number) => version.version == number,
            None => version.aliases.contains(&reference.alias),
        };
        Ok(info
            .versions
            .iter()
            .find(is_named)
            .map(|version| ResolvedArtifact {
                name: format!("{}:v{}", info.path, version.version),
                base_model: info.base_model.clone(),
                folder: self.files.path(&version.folder),
                digest: version.digest,
            }))
    }

    /// Removes what uploads that broke off have left, a day after.
    pub async fn sweep(&self) -> Result<(), StoreError> {
        let known = self.accounts.shared.db.artifact_folders().await?;
        self.files.sweep(known, MAX_AGE).await;
        Ok(())
    }
}

fn check_alias(alias: &str) -> Result<(), ManageError> {
    check_name("version", alias)?;
    if alias == LATEST || version_number(alias).is_some() {
        return Err(ManageError::Invalid(format!(
            "{alias:?} names a version by itself; choose another name"
        )));
    }
    Ok(())
}

pub(crate) fn unknown(path: &ArtifactPath) -> ManageError {
    ManageError::Unknown {
        what: "artifact",
        name: path.to_string(),
    }
}

fn io_failed(error: std::io::Error) -> ManageError {
    ManageError::Store(StoreError::from(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_scheme_three_names_and_a_version() {
        let parsed = ArtifactRef::parse("wandb-artifact:///acme/chat/style:v3").unwrap();
        assert_eq!(parsed.path.to_string(), "acme/chat/style");
        assert_eq!(parsed.alias, "v3");
        let latest = ArtifactRef::parse("tokenmill-artifact:///acme/chat/style").unwrap();
        assert_eq!((latest.path, latest.alias.as_str()), (parsed.path, "latest"));
        for bad in [
            "acme/chat/style:v3",
            "wandb-artifact:///acme/chat:v3",
            "wandb-artifact:///acme/chat/a/b:v3",
            "wandb-artifact:///acme/../style:v3",
            "wandb-artifact:///acme/chat/style:",
            "wandb-artifact://acme/chat/style:v3",
            "wandb-artifact:///acme/chat/style:a:b",
        ] {
            assert_eq!(ArtifactRef::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_version_is_written_in_one_way() {
        assert_eq!([version_number("v0"), version_number("v17")], [Some(0), Some(17)]);
        for other in ["0", "v", "v01", "v+1", "v-1", "v1a", "V1", "v99999999999"] {
            assert_eq!(version_number(other), None, "{other}");
        }
    }
}
