//! `GET /v1/models` and `GET /v1/models/{id}`.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Extension, Path, State};
use schemars::JsonSchema;
use serde::Serialize;
use tokenmill_accounts::{Caller, KeyScope};
use tokenmill_inference::ModelCard;

use crate::App;
use crate::admission::check_scope;
use crate::catalogue::Offer;
use crate::error::ApiError;

/// The models that are served and that the caller may ask.
#[derive(Serialize, JsonSchema)]
pub(super) struct ModelList {
    #[schemars(extend("const" = "list"))]
    object: &'static str,
    data: Vec<Model>,
}

/// A model that is served.
#[derive(Serialize, JsonSchema)]
pub(super) struct Model {
    id: String,
    #[schemars(extend("const" = "model"))]
    object: &'static str,
    created: u64,
    owned_by: String,
    /// The name in the model's own files.
    root: String,
    /// Tokens that fit, prompt and answer together.
    context_window: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quantization: Option<String>,
}

impl From<&ModelCard> for Model {
    fn from(card: &ModelCard) -> Model {
        Model {
            id: card.id.clone(),
            object: "model",
            created: card.created,
            owned_by: card.owned_by.clone(),
            root: card.root.clone(),
            context_window: card.n_context,
            parameters: card.n_params,
            quantization: card.quantization.clone(),
        }
    }
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Arc<Caller>>,
) -> Result<Json<ModelList>, ApiError> {
    check_scope(&caller, KeyScope::ReadModels)?;
    let mut data = Vec::new();
    for card in app.models.models() {
        // What the caller may not ask, or nobody any more, is not there.
        if Offer::find(&app, &caller, &card.id).await.is_ok() {
            data.push(Model::from(card));
        }
    }
    Ok(Json(ModelList { object: "list", data }))
}

/// The id may hold slashes, written as such or as `%2F`.
pub(super) async fn retrieve(
    id: Result<Path<String>, PathRejection>,
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Arc<Caller>>,
) -> Result<Json<Model>, ApiError> {
    check_scope(&caller, KeyScope::ReadModels)?;
    // Bytes that are no text name no model; the extractor's own refusal would not be in the error's shape.
    let Path(id) = id.map_err(|_| ApiError::unknown_model())?;
    Offer::find(&app, &caller, &id).await?;
    let card = app.models.model(&id).ok_or_else(ApiError::unknown_model)?;
    Ok(Json(card.into()))
}
