//! Artifacts: adapters that a team's members upload, name and delete.

mod upload;

use axum::extract::Path;
use axum::routing::{delete, get, post, put};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokenmill_accounts::artifacts::version_number;
use tokenmill_accounts::{ArtifactInfo, ArtifactPath, ArtifactVersion, KeyScope};

use super::{Answer, DONE, List, Managing, Operation, Parts, done, list as listed, ok, refused};
use crate::error::ApiError;
use crate::openapi::{Reply, schema};
use upload::{UploadForm, upload};

pub(crate) use upload::UPLOADS_AT_ONCE;

pub(super) const TEAM_ARTIFACTS: &[Operation] = &[Operation::new(
    "GET",
    "List the adapters of a team, with their versions",
    &[Reply::json(schema::<List<ShownArtifact>>)],
    || get(list),
)];

pub(super) const ARTIFACT: &[Operation] = &[
    Operation::new(
        "GET",
        "One adapter, with its versions",
        &[Reply::json(schema::<ShownArtifact>)],
        || get(show),
    ),
    Operation::new(
        "POST",
        "Upload the next version of an adapter",
        &[Reply::json(schema::<ShownVersion>)],
        || post(upload),
    )
    .with_form(schema::<UploadForm>),
    Operation::new("DELETE", "Delete an adapter with all its versions", DONE, || {
        delete(remove)
    }),
];

pub(super) const VERSION: &[Operation] = &[Operation::new(
    "DELETE",
    "Delete a version of an adapter",
    DONE,
    || delete(remove_version),
)];

pub(super) const ALIAS: &[Operation] = &[
    Operation::new("PUT", "Give a version of an adapter a name", DONE, || {
        put(set_alias)
    })
    .with(schema::<Alias>),
    Operation::new("DELETE", "Take a name away", DONE, || delete(remove_alias)),
];

/// An adapter.
#[derive(Serialize, JsonSchema)]
struct ShownArtifact {
    #[schemars(extend("const" = "artifact"))]
    object: &'static str,
    #[serde(rename = "type")]
    #[schemars(extend("const" = "lora"))]
    kind: &'static str,
    team: String,
    project: String,
    name: String,
    /// The model that it changes.
    base_model: String,
    /// Seconds since 1970, as the others.
    created_at: i64,
    /// The last first.
    versions: Vec<ShownVersion>,
}

/// A version of an adapter.
#[derive(Serialize, JsonSchema)]
struct ShownVersion {
    version: String,
    /// `latest`, and the names that the team gave.
    aliases: Vec<String>,
    /// What to ask for in `model`.
    model: String,
    /// The largest rank of its matrices.
    rank: u32,
    /// The modules that it changes.
    target_modules: Vec<String>,
    bytes: u64,
    /// SHA-256 of its files.
    sha256: String,
    uploaded_by: String,
    created_at: i64,
}

fn shown(artifact: &ArtifactInfo) -> ShownArtifact {
    let path = &artifact.path;
    let versions = artifact.versions.iter();
    ShownArtifact {
        object: "artifact",
        kind: "lora",
        team: path.team.clone(),
        project: path.project.clone(),
        name: path.name.clone(),
        base_model: artifact.base_model.clone(),
        created_at: artifact.created_at.as_secs(),
        versions: versions.map(|version| shown_version(path, version)).collect(),
    }
}

fn shown_version(path: &ArtifactPath, version: &ArtifactVersion) -> ShownVersion {
    ShownVersion {
        version: format!("v{}", version.version),
        aliases: version.aliases.clone(),
        model: format!("wandb-artifact:///{path}:v{}", version.version),
        rank: version.rank,
        target_modules: version.targets.clone(),
        bytes: version.n_bytes,
        sha256: version.digest.iter().map(|byte| format!("{byte:02x}")).collect(),
        uploaded_by: version.actor.clone(),
        created_at: version.created_at.as_secs(),
    }
}

/// The artifact that a path names, for a member of its team whose key is good for `scope`.
async fn at(
    managing: &Managing,
    (team, project, name): (String, String, String),
    scope: KeyScope,
) -> Result<ArtifactPath, ApiError> {
    managing.team_member(&team, scope).await?;
    let path = ArtifactPath::parse(&format!("{team}/{project}/{name}"));
    path.ok_or_else(|| {
        let message = "A project or an artifact is named with 1 to 64 ASCII letters, digits, '.', '_' and '-', the first a \
                       letter or a digit";
        ApiError::malformed("invalid_value", message)
    })
}

type ThreeNames = (String, String, String);

pub(super) async fn list(Path(team): Parts<String>, managing: Managing) -> Answer {
    managing.team_member(&team, KeyScope::ReadModels).await?;
    let artifacts = managing.app.artifacts.list(&team).await.map_err(refused)?;
    ok(listed(artifacts.iter().map(shown)))
}

pub(super) async fn show(Path(names): Parts<ThreeNames>, managing: Managing) -> Answer {
    let path = at(&managing, names, KeyScope::ReadModels).await?;
    ok(shown(&managing.app.artifacts.get(&path).await.map_err(refused)?))
}

pub(super) async fn remove(Path(names): Parts<ThreeNames>, managing: Managing) -> Answer {
    let path = at(&managing, names, KeyScope::Admin).await?;
    let removed = managing
        .app
        .artifacts
        .remove(&managing.actor(), &path, None)
        .await;
    removed.map_err(refused)?;
    done()
}

pub(super) async fn remove_version(
    Path((team, project, name, version)): Parts<(String, String, String, String)>,
    managing: Managing,
) -> Answer {
    let path = at(&managing, (team, project, name), KeyScope::Admin).await?;
    let version = number("version", &version)?;
    let removed = managing
        .app
        .artifacts
        .remove(&managing.actor(), &path, Some(version))
        .await;
    removed.map_err(refused)?;
    done()
}

/// Which version a name is for.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Alias {
    /// As in `v3`.
    version: String,
}

pub(super) async fn set_alias(
    Path((team, project, name, alias)): Parts<(String, String, String, String)>,
    managing: Managing,
) -> Answer {
    let path = at(&managing, (team, project, name), KeyScope::Admin).await?;
    let (app, actor, Alias { version }) = managing.body().await?;
    let version = number("version", &version)?;
    let named = app.artifacts.alias(&actor, &path, &alias, version).await;
    named.map_err(refused)?;
    done()
}

pub(super) async fn remove_alias(
    Path((team, project, name, alias)): Parts<(String, String, String, String)>,
    managing: Managing,
) -> Answer {
    let path = at(&managing, (team, project, name), KeyScope::Admin).await?;
    let removed = managing
        .app
        .artifacts
        .remove_alias(&managing.actor(), &path, &alias)
        .await;
    removed.map_err(refused)?;
    done()
}

fn number(param: &str, text: &str) -> Result<u32, ApiError> {
    version_number(text).ok_or_else(|| {
        let message = format!("'{param}' must be a version, as in \"v3\"");
        ApiError::parameter("invalid_value", param, message)
    })
}
