//! Served name to deployment.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::event::{EventStream, InferenceError};
use crate::request::Request;
use crate::upstream::{Adapters, ModelCard, Prompts, Upstream, UpstreamStats};

/// Who answers for which name. Names are case-sensitive.
#[derive(Default)]
pub struct Router {
    deployments: BTreeMap<String, Deployment>,
}

/// A model on an upstream.
struct Deployment {
    card: ModelCard,
    upstream: Arc<dyn Upstream>,
}

/// Why the deployments cannot be served together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouterError {
    /// Two upstreams answer to one name.
    #[error("the model name '{0}' is served twice; give one of the two another name")]
    Duplicate(String),
}

impl Router {
    /// Serves every model of every upstream.
    ///
    /// # Errors
    /// A name that two upstreams serve.
    pub fn new(upstreams: Vec<Arc<dyn Upstream>>) -> Result<Router, RouterError> {
        let mut deployments = BTreeMap::new();
        for upstream in upstreams {
            for card in upstream.models() {
                let name = card.id.clone();
                let deployment = Deployment {
                    card,
                    upstream: upstream.clone(),
                };
                if deployments.insert(name.clone(), deployment).is_some() {
                    return Err(RouterError::Duplicate(name));
                }
            }
        }
        Ok(Router { deployments })
    }

    /// The models, sorted by name.
    pub fn models(&self) -> impl Iterator<Item = &ModelCard> {
        self.deployments.values().map(|deployment| &deployment.card)
    }

    /// One model by its served name.
    #[must_use]
    pub fn model(&self, name: &str) -> Option<&ModelCard> {
        self.deployments.get(name).map(|deployment| &deployment.card)
    }

    /// How busy each model's upstream is, by served name; upstreams that cannot say are left out.
    #[must_use]
    pub fn stats(&self) -> Vec<(&str, UpstreamStats)> {
        let entries = self.deployments.iter();
        entries
            .filter_map(|(name, to)| Some((name.as_str(), to.upstream.stats(name)?)))
            .collect()
    }

    /// How a model reads prompts; `None` where its upstream cannot show that, or nobody serves it.
    #[must_use]
    pub fn prompts(&self, model: &str) -> Option<&dyn Prompts> {
        self.deployments.get(model)?.upstream.prompts(model)
    }

    /// What is known of adapters for a model; `None` where it takes none, or nobody serves it.
    #[must_use]
    pub fn adapters(&self, model: &str) -> Option<&dyn Adapters> {
        self.deployments.get(model)?.upstream.adapters(model)
    }

    /// The models whose upstream cannot answer, sorted by name.
    pub fn down(&self) -> impl Iterator<Item = &str> {
        let entries = self.deployments.iter();
        entries
            .filter(|(_, to)| !to.upstream.is_up())
            .map(|(name, _)| name.as_str())
    }

    /// Hands the request to who answers for its model. Dropping the future or the stream cancels it.
    ///
    /// # Errors
    /// An unknown model, or why the upstream did not take it.
    pub async fn start(&self, request: Request) -> Result<EventStream, InferenceError> {
        let Some(deployment) = self.deployments.get(&request.model) else {
            return Err(InferenceError::UnknownModel {
                model: request.model.clone(),
            });
        };
        deployment.upstream.start(request).await
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.deployments.keys()).finish()
    }
}
