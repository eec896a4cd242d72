//! From what was chosen to parts that run, bottom up: threads, weights, engines, and the router over them.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::{Instant, UNIX_EPOCH};

use tokenmill_engine::Engine;
use tokenmill_inference::upstream::local::{LocalModel, LocalOptions, LocalUpstream};
use tokenmill_inference::{Router, Upstream};
use tokenmill_kernels::isa::Isa;
use tokenmill_kernels::kv_cache::KvCache;
use tokenmill_kernels::pool::Pool;
use tokenmill_model::{Batch, LoadOptions, Loaded, Model, Scratch, Shape};

use crate::builtin;
use crate::config::Config;
use crate::failure::Failure;
use crate::model_spec::{ModelSpec, Weights};

/// Everything that answers requests.
pub(crate) struct Models {
    pub(crate) router: Router,
    /// For ending them, once nobody asks any more.
    pub(crate) engines: Vec<Engine>,
}

/// Loads every model that was chosen and starts an engine for each. They share one pool of threads.
pub(crate) fn models(config: &Config, specs: &[ModelSpec]) -> Result<Models, Failure> {
    let isa = Isa::from_env().map_err(|error| Failure::usage(error.to_string()))?;
    let threads = config.threads.unwrap_or_else(Pool::default_threads);
    let pool = Arc::new(Pool::new(threads, isa));
    tracing::info!(
        threads = threads.get(),
        instructions = isa.name(),
        "computing on the CPU"
    );
    let mut engines = Vec::new();
    let mut upstreams: Vec<Arc<dyn Upstream>> = Vec::new();
    let draft_models = draft_models(&config.draft_models, specs)?;
    for (spec, draft_model) in specs.iter().zip(draft_models) {
        let upstream = start(config, spec, draft_model, &pool)?;
        engines.push(upstream.engine().clone());
        upstreams.push(Arc::new(upstream));
    }
    let router = Router::new(upstreams).map_err(|error| Failure::usage(error.to_string()))?;
    Ok(Models { router, engines })
}

/// The draft model of each served model, where it has one.
fn draft_models(texts: &[String], specs: &[ModelSpec]) -> Result<Vec<Option<ModelSpec>>, Failure> {
    let mut drafts: Vec<Option<ModelSpec>> = vec![None; specs.len()];
    for text in texts {
        let named = specs.iter().enumerate().find_map(|(idx, spec)| {
            let path = text.strip_prefix(&spec.id)?.strip_prefix('=')?;
            Some((idx, path))
        });
        let (idx, path) = match named {
            Some(named) => named,
            None if specs.len() == 1 => (0, text.as_str()),
            None => {
                let message = format!(
                    "draft model {text:?}: several models are served; say whose it is with --draft-model ID=PATH"
                );
                return Err(Failure::usage(message));
            }
        };
        if drafts[idx].replace(ModelSpec::parse(path)?).is_some() {
            let message = format!("model `{}` has two draft models; give it one", specs[idx].id);
            return Err(Failure::usage(message));
        }
    }
    Ok(drafts)
}

fn start(
    config: &Config,
    spec: &ModelSpec,
    draft_model: Option<ModelSpec>,
    pool: &Arc<Pool>,
) -> Result<LocalUpstream, Failure> {
    let fault = |fault: &dyn std::fmt::Display| Failure::new(format!("model `{}`: {fault}", spec.id));
    let start = Instant::now();
    let mut loaded = load(&config.load, spec, pool).map_err(|error| fault(&error))?;
    loaded.model = shortened(loaded.model, config.context);
    let info = loaded.info.clone();
    let mut model = LocalModel::new(loaded).map_err(|error| fault(&error))?;
    if let Some(draft) = draft_model {
        let fault = |fault: &dyn std::fmt::Display| {
            Failure::new(format!(
                "model `{}`: draft model `{}`: {fault}",
                spec.id, draft.id
            ))
        };
        let loaded = load(&config.load, &draft, pool).map_err(|error| fault(&error))?;
        model = model.with_draft_model(loaded).map_err(|error| fault(&error))?;
        tracing::info!(
            model = spec.id,
            draft_model = draft.id,
            "guesses are made by a draft model"
        );
    }
    let options = LocalOptions {
        served_name: spec.id.clone(),
        owned_by: "tokenmill".to_owned(),
        created: created(&spec.weights),
        build: env!("CARGO_PKG_VERSION").to_owned(),
        engine: config.engine,
        adapter_bytes: config.lora_bytes,
    };
    let upstream = LocalUpstream::start(model, pool.clone(), options).map_err(|error| fault(&error))?;
    tracing::info!(
        model = spec.id,
        architecture = info.architecture,
        parameters = info.n_params,
        quantization = info.quantization,
        milliseconds = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX),
        "loaded"
    );
    Ok(upstream)
}

/// Loads a model wherever its weights are.
pub(crate) fn load(
    options: &LoadOptions,
    spec: &ModelSpec,
    pool: &Pool,
) -> Result<Loaded, tokenmill_model::LoadError> {
    match &spec.weights {
        Weights::At(path) => tokenmill_model::load(pool, path, options),
        Weights::BuiltIn => tokenmill_model::load_from_bytes(pool, &spec.id, builtin::GGUF, options),
    }
}

/// When a model came to be, in seconds since 1970: when its file was last changed.
fn created(weights: &Weights) -> u64 {
    let changed = |path: &Path| {
        path.metadata()
            .ok()?
            .modified()
            .ok()?
            .duration_since(UNIX_EPOCH)
            .ok()
    };
    match weights {
        Weights::BuiltIn => builtin::CREATED,
        Weights::At(path) => changed(path).unwrap_or_default().as_secs(),
    }
}

/// A model that says of itself that it reads no more than so many tokens.
struct Shortened {
    model: Arc<dyn Model>,
    shape: Shape,
}

impl Model for Shortened {
    fn shape(&self) -> &Shape {
        &self.shape
    }

    fn forward(
        &self,
        pool: &Pool,
        batch: &Batch,
        cache: &mut KvCache,
        scratch: &mut Scratch,
        logits: &mut Vec<f32>,
    ) {
        self.model.forward(pool, batch, cache, scratch, logits);
    }
}

fn shortened(model: Arc<dyn Model>, context: Option<NonZeroUsize>) -> Arc<dyn Model> {
    match context {
        Some(context) if context.get() < model.shape().n_context => {
            let shape = Shape {
                n_context: context.get(),
                ..model.shape().clone()
            };
            Arc::new(Shortened { model, shape })
        }
        _ => model,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built_in(id: &str) -> ModelSpec {
        ModelSpec {
            id: id.to_owned(),
            weights: Weights::BuiltIn,
        }
    }

    #[test]
    fn a_draft_model_belongs_to_one_served_model() {
        let ids = |texts: &[&str], served: &[&str]| {
            let texts: Vec<String> = texts.iter().map(|&text| text.to_owned()).collect();
            let served: Vec<ModelSpec> = served.iter().map(|id| built_in(id)).collect();
            draft_models(&texts, &served).map(|drafts| drafts.iter().map(Option::is_some).collect::<Vec<_>>())
        };
        assert_eq!(ids(&[], &["a", "b"]).unwrap(), [false, false]);
        assert_eq!(ids(&["tokenmill/demo"], &["a"]).unwrap(), [true]);
        assert_eq!(ids(&["b=tokenmill/demo"], &["a", "b"]).unwrap(), [false, true]);
        assert!(ids(&["tokenmill/demo"], &["a", "b"]).is_err(), "whose?");
        assert!(ids(&["a=tokenmill/demo", "a=tokenmill/demo"], &["a", "b"]).is_err());
        assert!(ids(&["/no/such/file"], &["a"]).is_err());
    }
}
