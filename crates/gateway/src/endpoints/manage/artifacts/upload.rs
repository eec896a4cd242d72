//! An adapter's files as a form: streamed to the disk as they come, checked there, and kept or gone.

use std::path::Path as FilePath;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderMap, header};
use multer::{Constraints, Field, Multipart, SizeLimit};
use schemars::JsonSchema;
use tokenmill_accounts::artifacts::CheckedFiles;
use tokenmill_accounts::{KeyScope, Stage};
use tokenmill_inference::AdapterSummary;
use tokio::fs::File;
use tokio::io::AsyncWriteExt;

use super::super::{Answer, Managing, Parts, failed, ok, refused};
use super::{ThreeNames, at, shown_version};
use crate::App;
use crate::error::ApiError;

/// Uploads that a server takes at a time.
pub(crate) const UPLOADS_AT_ONCE: usize = 4;

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";
const BASE_MODEL: &str = "base_model";
const ALIAS: &str = "alias";
/// Bytes of a part that is no file of matrices.
const MAX_TEXT_BYTES: u64 = 1 << 20;
const MAX_ALIASES: usize = 16;

/// The parts of the form, for the description of the API.
#[derive(JsonSchema)]
#[allow(dead_code)] // Read part by part.
pub(super) struct UploadForm {
    /// The served name of the model that the adapter changes.
    base_model: String,
    /// A name for this version besides its number; may come again.
    alias: Option<String>,
    /// As PEFT's `save_pretrained` wrote it.
    #[schemars(rename = "adapter_config.json", extend("format" = "binary"))]
    adapter_config: String,
    /// As PEFT's `save_pretrained` wrote it.
    #[schemars(rename = "adapter_model.safetensors", extend("format" = "binary"))]
    adapter_model: String,
}

/// What has come.
#[derive(Default)]
struct Received {
    base_model: Option<String>,
    aliases: Vec<String>,
    has_config: bool,
    has_weights: bool,
    n_bytes: u64,
}

pub(super) async fn upload(Path(names): Parts<ThreeNames>, managing: Managing) -> Answer {
    let path = at(&managing, names, KeyScope::Admin).await?;
    let (app, actor) = (managing.app.clone(), managing.actor());
    let _place = app
        .uploads
        .try_acquire()
        .map_err(|_| ApiError::overloaded("too_many_uploads", Some(10)))?;
    let body = managing.body.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut form = form(&managing.headers, body, app.options.max_artifact_bytes)?;
    let incoming = app.artifacts.incoming().map_err(disk)?;
    let patience = Duration::from_secs(app.options.body_timeout_s);
    let received = receive(&app, &mut form, &incoming.path(), patience).await?;
    let base_model = received.base_model.ok_or_else(|| missing(BASE_MODEL))?;
    for (is_there, name) in [(received.has_config, CONFIG), (received.has_weights, WEIGHTS)] {
        if !is_there {
            return Err(missing(name));
        }
    }
    let summary = check(&app, &base_model, &incoming.path()).await?;
    let files = CheckedFiles {
        digest: summary.digest,
        n_bytes: received.n_bytes,
        rank: u32::try_from(summary.rank).unwrap_or(u32::MAX),
        targets: summary.targets.iter().map(|&target| target.to_owned()).collect(),
    };
    let added = app
        .artifacts
        .add(&actor, &path, &base_model, &received.aliases, (files, incoming))
        .await;
    ok(shown_version(&path, &added.map_err(refused)?))
}

/// The form, whose parts may be so large.
fn form(headers: &HeaderMap, body: Body, max_bytes: usize) -> Result<Multipart<'static>, ApiError> {
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let boundary = multer::parse_boundary(content_type.unwrap_or_default()).map_err(|_| {
        let message = "The Content-Type header must be multipart/form-data, with its boundary";
        ApiError::parameter("invalid_content_type", "Content-Type", message)
    })?;
    let limits = SizeLimit::new()
        .whole_stream(max_bytes as u64 + (4 * MAX_TEXT_BYTES))
        .per_field(MAX_TEXT_BYTES)
        .for_field(WEIGHTS, max_bytes as u64);
    let constraints = Constraints::new().size_limit(limits);
    Ok(Multipart::with_constraints(
        body.into_data_stream(),
        boundary,
        constraints,
    ))
}

/// Writes the files into `folder` as they come.
async fn receive(
    app: &App,
    form: &mut Multipart<'static>,
    folder: &FilePath,
    patience: Duration,
) -> Result<Received, ApiError> {
    let mut received = Received::default();
    let fault = |error| broken(error, app.options.max_artifact_bytes);
    while let Some(field) = within(patience, form.next_field()).await?.map_err(fault)? {
        let name = field.name().unwrap_or_default().to_owned();
        match name.as_str() {
            BASE_MODEL if received.base_model.is_none() => {
                received.base_model = Some(within(patience, field.text()).await?.map_err(fault)?);
            }
            ALIAS if received.aliases.len() < MAX_ALIASES => {
                received
                    .aliases
                    .push(within(patience, field.text()).await?.map_err(fault)?);
            }
            CONFIG if !received.has_config => {
                received.has_config = true;
                received.n_bytes += write(app, field, &folder.join(CONFIG), patience).await?;
            }
            WEIGHTS if !received.has_weights => {
                received.has_weights = true;
                received.n_bytes += write(app, field, &folder.join(WEIGHTS), patience).await?;
            }
            _ => {
                let name: String = name.chars().take(100).collect();
                let message = format!(
                    "The form has a part {name:?} that is not known, or has come before; it has '{BASE_MODEL}', \
                     '{CONFIG}', '{WEIGHTS}', and up to {MAX_ALIASES} times '{ALIAS}'"
                );
                return Err(ApiError::parameter("unknown_parameter", name, message));
            }
        }
    }
    Ok(received)
}

async fn write(
    app: &App,
    mut field: Field<'static>,
    path: &FilePath,
    patience: Duration,
) -> Result<u64, ApiError> {
    let mut file = File::create_new(path).await.map_err(disk)?;
    let mut n_bytes = 0;
    let fault = |error| broken(error, app.options.max_artifact_bytes);
    while let Some(chunk) = within(patience, field.chunk()).await?.map_err(fault)? {
        n_bytes += chunk.len() as u64;
        file.write_all(&chunk).await.map_err(disk)?;
    }
    file.flush().await.map_err(disk)?;
    Ok(n_bytes)
}

/// Whether the files are an adapter for a model that takes such.
async fn check(app: &Arc<App>, base_model: &str, folder: &FilePath) -> Result<AdapterSummary, ApiError> {
    let catalogue = app.accounts.catalogue().await.map_err(failed)?;
    let stage = catalogue
        .model(base_model)
        .map(|entry| entry.stage(app.accounts.now()));
    if app.models.model(base_model).is_none() || stage == Some(Stage::Retired) {
        let name: String = base_model.chars().take(100).collect();
        let message = format!("'{BASE_MODEL}' is {name:?}, and no model is served by that name");
        return Err(ApiError::parameter("unknown_base_model", BASE_MODEL, message));
    }
    let max_rank = catalogue.lora_rank(base_model) as usize;
    if app.models.adapters(base_model).is_none() || max_rank == 0 {
        let message = format!("'{BASE_MODEL}' is {base_model:?}, which takes no adapters");
        return Err(ApiError::parameter(
            "base_model_takes_no_adapters",
            BASE_MODEL,
            message,
        ));
    }
    let (app, base_model, folder) = (app.clone(), base_model.to_owned(), folder.to_owned());
    let checked = tokio::task::spawn_blocking(move || {
        let adapters = app.models.adapters(&base_model);
        adapters.map(|adapters| adapters.check(&folder, max_rank))
    });
    match checked.await {
        Ok(Some(Ok(summary))) => Ok(summary),
        Ok(Some(Err(fault))) => Err(ApiError::malformed(fault.code(), fault.to_string())),
        Ok(None) => Err(ApiError::server_error("the base model is gone")),
        Err(error) => Err(ApiError::server_error(format!("checking an adapter: {error}"))),
    }
}

/// What comes, or the refusal of a sender that has fallen silent.
async fn within<T>(patience: Duration, coming: impl Future<Output = T>) -> Result<T, ApiError> {
    let come = tokio::time::timeout(patience, coming).await;
    come.map_err(|_| ApiError::body_timeout(patience.as_secs()))
}

// By value, as `map_err` gives it.
#[allow(clippy::needless_pass_by_value)]
fn broken(error: multer::Error, max_bytes: usize) -> ApiError {
    match error {
        multer::Error::FieldSizeExceeded { limit, .. } => ApiError::artifact_too_large(limit),
        multer::Error::StreamSizeExceeded { .. } => ApiError::artifact_too_large(max_bytes as u64),
        error => {
            let refusal = ApiError::malformed("incomplete_body", "The form broke off, or is not one");
            refusal.with_detail(error.to_string())
        }
    }
}

fn missing(name: &str) -> ApiError {
    let message = format!("The form has no part '{name}'");
    ApiError::parameter("missing_required_parameter", name, message)
}

// By value, as `map_err` gives it.
#[allow(clippy::needless_pass_by_value)]
fn disk(error: std::io::Error) -> ApiError {
    ApiError::server_error(format!("writing an artifact: {error}"))
}
