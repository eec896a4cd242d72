//! What the `model` of a request names: a model, or an adapter of one by the address of its artifact.

use tokenmill_accounts::{ArtifactRef, Caller, ResolvedArtifact};
use tokenmill_inference::AdapterSource;

use crate::App;
use crate::error::ApiError;

/// A model as a request named it. Resolved once: what comes to be called `latest` meanwhile is for later requests.
pub(crate) struct Named {
    /// As it is served, and paid for.
    pub(crate) model: String,
    /// What changes it.
    pub(crate) adapter: Option<AdapterSource>,
    /// What answers call it: of an adapter, the version.
    pub(crate) shown: String,
}

impl Named {
    /// What `name` is to `caller`. Whether they may ask the model is not looked at here.
    pub(crate) async fn find(app: &App, caller: &Caller, name: &str) -> Result<Named, ApiError> {
        if !ArtifactRef::is_address(name) {
            return Ok(Named {
                model: name.to_owned(),
                adapter: None,
                shown: name.to_owned(),
            });
        }
        // One that is written badly is not there either.
        let reference = ArtifactRef::parse(name).ok_or_else(ApiError::unknown_model)?;
        let resolved = app.artifacts.resolve(&caller.team, &reference).await;
        let resolved = resolved.map_err(|error| ApiError::server_error(error.to_string()))?;
        let ResolvedArtifact {
            name: version,
            base_model,
            folder,
            digest,
        } = resolved.ok_or_else(ApiError::unknown_model)?;
        let scheme = name.split("///").next().unwrap_or_default();
        Ok(Named {
            model: base_model,
            shown: format!("{scheme}///{version}"),
            adapter: Some(AdapterSource {
                name: version,
                folder,
                digest,
            }),
        })
    }
}
