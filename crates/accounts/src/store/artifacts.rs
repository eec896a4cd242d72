//! What is known of artifacts.

use std::collections::HashSet;

use super::StoreError;
use super::db::{Db, Row, Tx, values};
use super::manage::{Books, Change, find_team, unknown};
use super::people::insert_project;
use crate::artifacts::{self, ArtifactInfo, ArtifactPath, ArtifactVersion, CheckedFiles, LATEST};
use crate::clock::Timestamp;
use crate::key::{ID_LEN, random_text};
use crate::manage::ManageError;
use crate::project::DEFAULT_PROJECT;

/// A version to add.
pub(crate) struct NewVersion<'a> {
    pub(crate) path: &'a ArtifactPath,
    pub(crate) base_model: &'a str,
    pub(crate) aliases: &'a [String],
    pub(crate) files: &'a CheckedFiles,
    pub(crate) folder: &'a str,
    /// Versions that there may be.
    pub(crate) most: i64,
}

impl Books {
    /// The artifacts of a team that have versions, or the one of them at `path`.
    pub(crate) async fn artifacts(
        &self,
        team: &str,
        path: Option<&ArtifactPath>,
    ) -> Result<Vec<ArtifactInfo>, ManageError> {
        let team = self.team(team).await?;
        let (project, name) = path.map_or(("", ""), |path| (path.project.as_str(), path.name.as_str()));
        let rows = self
            .db
            .rows(
                "SELECT artifacts.id, projects.name, artifacts.name, base_model, artifacts.created_at, version, folder,
                        digest, n_bytes, lora_rank, targets, actor, artifact_versions.created_at
                 FROM artifacts JOIN projects ON projects.id = artifacts.project_id
                 JOIN artifact_versions ON artifact_versions.artifact_id = artifacts.id
                 WHERE projects.team_id = $1 AND ($2 = '' OR (projects.name = $2 AND artifacts.name = $3))
                 ORDER BY projects.name, artifacts.name, artifacts.id, version DESC",
                &values![&team.id, project, name],
            )
            .await?;
        let aliases = self.db.aliases(&team.id).await?;
        let mut found: Vec<(String, ArtifactInfo)> = Vec::new();
        for row in &rows {
            let id = row.text(0)?;
            if found.last().is_none_or(|(last, _)| *last != id) {
                found.push((id.clone(), info(&team.name, row)?));
            }
            let Some((_, artifact)) = found.last_mut() else {
                continue;
            };
            let mut version = version(row)?;
            if artifact.versions.is_empty() {
                version.aliases.push(LATEST.to_owned());
            }
            let named = aliases
                .iter()
                .filter(|(of, _, number)| *of == id && *number == version.version);
            version.aliases.extend(named.map(|(_, alias, _)| alias.clone()));
            artifact.versions.push(version);
        }
        Ok(found.into_iter().map(|(_, artifact)| artifact).collect())
    }

    pub(crate) async fn add_version(
        &self,
        change: &Change<'_>,
        new: &NewVersion<'_>,
    ) -> Result<ArtifactVersion, ManageError> {
        let mut tx = self.begin().await?;
        let (id, number) = open_artifact(&mut tx, new, change.now).await?;
        let files = new.files;
        tx.execute(
            "INSERT INTO artifact_versions (artifact_id, version, folder, digest, n_bytes, lora_rank, targets, actor,
                                            created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            &values![
                &id,
                number,
                new.folder,
                &files.digest[..],
                i64::try_from(files.n_bytes).unwrap_or(i64::MAX),
                i64::from(files.rank),
                files.targets.join(","),
                change.actor,
                change.now.as_millis(),
            ],
        )
        .await?;
        for alias in new.aliases {
            put_alias(&mut tx, &id, alias, number).await?;
        }
        self.commit(tx, change).await?;
        Ok(ArtifactVersion {
            version: number as u32,
            aliases: [LATEST.to_owned()]
                .into_iter()
                .chain(new.aliases.iter().cloned())
                .collect(),
            digest: files.digest,
            n_bytes: files.n_bytes,
            rank: files.rank,
            targets: files.targets.clone(),
            actor: change.actor.to_owned(),
            created_at: change.now,
            folder: new.folder.to_owned(),
        })
    }

    /// Gives `alias` to a version, or takes it away.
    pub(crate) async fn set_alias(
        &self,
        change: &Change<'_>,
        path: &ArtifactPath,
        alias: &str,
        version: Option<u32>,
    ) -> Result<(), ManageError> {
        let mut tx = self.begin().await?;
        let id = find_artifact(&mut tx, path).await?;
        match version {
            Some(version) => {
                let sql = "SELECT version FROM artifact_versions WHERE artifact_id = $1 AND version = $2";
                let there = tx.row(sql, &values![&id, i64::from(version)]).await?;
                there.ok_or_else(|| unknown("version of this artifact", &format!("v{version}")))?;
                put_alias(&mut tx, &id, alias, i64::from(version)).await?;
            }
            None => {
                let sql = "DELETE FROM artifact_aliases WHERE artifact_id = $1 AND alias = $2";
                if tx.execute(sql, &values![&id, alias]).await? == 0 {
                    return Err(unknown("alias of this artifact", alias));
                }
            }
        }
        Ok(self.commit(tx, change).await?)
    }

    /// Forgets a version or all of them, with their names. Returns their folders.
    pub(crate) async fn remove_versions(
        &self,
        change: &Change<'_>,
        path: &ArtifactPath,
        version: Option<u32>,
    ) -> Result<Vec<String>, ManageError> {
        let mut tx = self.begin().await?;
        let id = find_artifact(&mut tx, path).await?;
        let which = version.map_or(-1, i64::from);
        let rows = tx
            .rows(
                "SELECT folder FROM artifact_versions WHERE artifact_id = $1 AND ($2 < 0 OR version = $2)",
                &values![&id, which],
            )
            .await?;
        if rows.is_empty() {
            return Err(match version {
                Some(version) => unknown("version of this artifact", &format!("v{version}")),
                None => artifacts::unknown(path),
            });
        }
        for table in ["artifact_aliases", "artifact_versions"] {
            let sql = format!("DELETE FROM {table} WHERE artifact_id = $1 AND ($2 < 0 OR version = $2)");
            tx.execute(&sql, &values![&id, which]).await?;
        }
        self.commit(tx, change).await?;
        Ok(rows.iter().map(|row| row.text(0)).collect::<Result<_, _>>()?)
    }
}

impl Db {
    /// Of all artifacts of a team: whose, the name, and the version's number.
    async fn aliases(&self, team_id: &str) -> Result<Vec<(String, String, u32)>, StoreError> {
        let rows = self
            .rows(
                "SELECT artifact_id, alias, version FROM artifact_aliases
                 JOIN artifacts ON artifacts.id = artifact_id JOIN projects ON projects.id = artifacts.project_id
                 WHERE team_id = $1 ORDER BY alias",
                &values![team_id],
            )
            .await?;
        let alias = |row: &Row| Ok((row.text(0)?, row.text(1)?, row.int(2)? as u32));
        rows.iter().map(alias).collect()
    }

    /// The folders of all versions.
    pub(crate) async fn artifact_folders(&self) -> Result<HashSet<String>, StoreError> {
        let rows = self.rows("SELECT folder FROM artifact_versions", &[]).await?;
        rows.iter().map(|row| row.text(0)).collect()
    }
}

fn info(team: &str, row: &Row) -> Result<ArtifactInfo, StoreError> {
    Ok(ArtifactInfo {
        path: ArtifactPath {
            team: team.to_owned(),
            project: row.text(1)?,
            name: row.text(2)?,
        },
        base_model: row.text(3)?,
        created_at: Timestamp::from_millis(row.int(4)?),
        versions: Vec::new(),
    })
}

fn version(row: &Row) -> Result<ArtifactVersion, StoreError> {
    let digest = row.blob(7)?.try_into();
    Ok(ArtifactVersion {
        version: row.int(5)? as u32,
        aliases: Vec::new(),
        folder: row.text(6)?,
        digest: digest.map_err(|_| StoreError::decode("artifact_versions.digest is not 32 bytes"))?,
        n_bytes: row.int(8)?.unsigned_abs(),
        rank: row.int(9)? as u32,
        targets: row.text(10)?.split(',').map(str::to_owned).collect(),
        actor: row.text(11)?,
        created_at: Timestamp::from_millis(row.int(12)?),
    })
}

async fn find_project(tx: &mut Tx, path: &ArtifactPath) -> Result<Option<String>, ManageError> {
    let team = find_team(tx, &path.team).await?;
    let sql = "SELECT id FROM projects WHERE team_id = $1 AND name = $2";
    let row = tx.row(sql, &values![&team.id, &path.project]).await?;
    Ok(row.map(|row| row.text(0)).transpose()?)
}

async fn find_artifact(tx: &mut Tx, path: &ArtifactPath) -> Result<String, ManageError> {
    let project = find_project(tx, path).await?;
    let project = project.ok_or_else(|| artifacts::unknown(path))?;
    let sql = "SELECT id FROM artifacts WHERE project_id = $1 AND name = $2";
    let row = tx.row(sql, &values![&project, &path.name]).await?;
    Ok(row.ok_or_else(|| artifacts::unknown(path))?.text(0)?)
}

/// The artifact that a version is to be added to, made where there is none, and the version's number.
async fn open_artifact(
    tx: &mut Tx,
    new: &NewVersion<'_>,
    now: Timestamp,
) -> Result<(String, i64), ManageError> {
    let path = new.path;
    let project = match find_project(tx, path).await? {
        Some(project) => project,
        None if path.project == DEFAULT_PROJECT => {
            let team = find_team(tx, &path.team).await?;
            insert_project(tx, &team, DEFAULT_PROJECT, now).await?;
            find_project(tx, path)
                .await?
                .ok_or_else(|| artifacts::unknown(path))?
        }
        None => return Err(unknown("project of this team", &path.project)),
    };
    let sql = "SELECT id, base_model, n_versions,
                      (SELECT COUNT(*) FROM artifact_versions WHERE artifact_id = artifacts.id)
               FROM artifacts WHERE project_id = $1 AND name = $2";
    let Some(row) = tx.row(sql, &values![&project, &path.name]).await? else {
        let id = random_text(ID_LEN).map_err(StoreError::from)?;
        tx.execute(
            "INSERT INTO artifacts (id, project_id, name, base_model, n_versions, created_at)
             VALUES ($1, $2, $3, $4, 1, $5)",
            &values![&id, &project, &path.name, new.base_model, now.as_millis()],
        )
        .await?;
        return Ok((id, 0));
    };
    let (id, base_model, number, n_there) = (row.text(0)?, row.text(1)?, row.int(2)?, row.int(3)?);
    if n_there > 0 && base_model != new.base_model {
        return Err(ManageError::OtherBase {
            artifact: path.to_string(),
            base_model,
        });
    }
    if n_there >= new.most {
        return Err(ManageError::Invalid(format!(
            "an artifact has at most {} versions; delete some that are not needed",
            new.most
        )));
    }
    tx.execute(
        "UPDATE artifacts SET n_versions = $2, base_model = $3 WHERE id = $1",
        &values![&id, number + 1, new.base_model],
    )
    .await?;
    Ok((id, number))
}

async fn put_alias(tx: &mut Tx, artifact_id: &str, alias: &str, version: i64) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO artifact_aliases (artifact_id, alias, version) VALUES ($1, $2, $3)
         ON CONFLICT (artifact_id, alias) DO UPDATE SET version = excluded.version",
        &values![artifact_id, alias, version],
    )
    .await?;
    Ok(())
}
