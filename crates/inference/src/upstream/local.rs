//! Our engine, on one model: the only file that knows both text and engine.
//!
//! Down: conversation, template, tokens, submit. Up: tokens, text, stop strings, events. A request for `n` choices
//! becomes `n` submissions of the same prompt, which share its pages; choice `i` runs with `seed + i`.

mod adapters;
mod answer;
mod call_ids;
mod mask;
mod plan;
mod prompts;
mod reading;
mod text_side;
mod token_channel;
mod wishes;

use std::sync::Arc;
use std::time::Instant;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokenmill_engine::{Engine, Options as EngineOptions, Sampling, StartError, Submission, SubmitError};
use tokenmill_kernels::kv_cache::PAGE_TOKENS;
use tokenmill_kernels::pool::Pool;
use tokenmill_model::{
    Adapter, AdapterShape, GenerationDefaults, GgufTokenizer, Loaded, Model, ModelInfo, TokenizerSource,
};
use tokenmill_text::{
    ChatForm, ChatTemplate, GgufVocab, StopMatcher, TemplateError, Tokenizer, TokenizerError,
};
use tokio::sync::Semaphore;

use crate::event::{EventStream, InferenceError, Started};
use crate::payer::{NotAdmitted, WorstCase};
use crate::request::{InvalidRequest, Request};
use crate::upstream::{Adapters, ModelCard, Prompts, Upstream, UpstreamStats};
use adapters::LocalAdapters;
use answer::{Choice, answer, generate};
use call_ids::CallIds;
use mask::mask;
use plan::Plan;
use text_side::TextSide;
use token_channel::token_channel;
use wishes::Wishes;

/// Prompts that are rendered and tokenised at the same time; more wait. Each takes a thread.
const PROMPTS_AT_ONCE: usize = 4;

/// A model and all that turns text into its tokens and back.
pub struct LocalModel {
    /// The way through the weights.
    pub model: Arc<dyn Model>,
    /// A smaller one that guesses for it; see [`LocalModel::with_draft_model`].
    pub draft_model: Option<Arc<dyn Model>>,
    /// What it is.
    pub info: ModelInfo,
    /// Text to tokens and back.
    pub tokenizer: Tokenizer,
    /// Conversation to prompt.
    pub template: ChatTemplate,
    /// What that takes, and how the model answers.
    pub form: ChatForm,
    /// Sampling defaults and end tokens.
    pub generation: GenerationDefaults,
    /// What adapters of it must fit; `None` for a model that takes none.
    pub adapter_shape: Option<AdapterShape>,
}

/// Why a model's text side cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum LocalModelError {
    /// The tokenizer's data does not make a tokenizer.
    #[error("tokenizer: {0}")]
    Tokenizer(#[from] TokenizerError),
    /// The chat template does not compile.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// A model without a chat template cannot hold a conversation.
    #[error("the model's files have no chat template; use a model that was trained for chat")]
    NoTemplate,
    /// A draft model whose token ids mean other texts.
    #[error("the draft model has another tokenizer: {0}; use a smaller model of the same family")]
    DraftTokenizer(String),
}

impl LocalModel {
    /// Builds tokenizer and template from what the model's files say.
    ///
    /// # Errors
    /// A tokenizer or template that cannot be used exactly as the files say.
    pub fn new(loaded: Loaded) -> Result<LocalModel, LocalModelError> {
        let tokenizer = tokenizer(loaded.tokenizer)?;
        let source = loaded.chat_template.ok_or(LocalModelError::NoTemplate)?;
        let template = ChatTemplate::compile(&source, tokenizer.template_tokens())?;
        let form = ChatForm::of(&template, &source);
        Ok(LocalModel {
            model: loaded.model,
            draft_model: None,
            info: loaded.info,
            tokenizer,
            template,
            form,
            generation: loaded.generation,
            adapter_shape: Some(loaded.adapter_shape),
        })
    }
}

impl LocalModel {
    /// Has another model guess for this one, where that pays. No answer changes.
    ///
    /// # Errors
    /// The other model has another tokenizer, or none that can be built.
    pub fn with_draft_model(mut self, draft: Loaded) -> Result<LocalModel, LocalModelError> {
        let theirs = tokenizer(draft.tokenizer)?;
        check_same_tokens(&self.tokenizer, &theirs).map_err(LocalModelError::DraftTokenizer)?;
        self.draft_model = Some(draft.model);
        Ok(self)
    }
}

/// Whether ids mean the same; says the first that does not.
fn check_same_tokens(ours: &Tokenizer, theirs: &Tokenizer) -> Result<(), String> {
    let text = |tokenizer: &Tokenizer, id| {
        let bytes = tokenizer.token_bytes(id)?;
        Some((
            String::from_utf8_lossy(bytes).into_owned(),
            tokenizer.is_special(id),
        ))
    };
    for id in 0..ours.n_vocab().max(theirs.n_vocab()) as u32 {
        let (ours, theirs) = (text(ours, id), text(theirs, id));
        if ours != theirs {
            let shown = |text: Option<(String, bool)>| {
                text.map_or("nothing".to_owned(), |(text, _)| format!("{text:?}"))
            };
            return Err(format!(
                "token {id} is {} there and {} here",
                shown(theirs),
                shown(ours)
            ));
        }
    }
    Ok(())
}

/// A tokenizer from a model's files.
///
/// # Errors
/// A tokenizer that cannot be built exactly as the files say.
pub fn tokenizer(source: TokenizerSource) -> Result<Tokenizer, TokenizerError> {
    match source {
        TokenizerSource::Gguf(fields) => Tokenizer::from_gguf(gguf_vocab(*fields)),
        TokenizerSource::HuggingFace {
            tokenizer_json,
            tokenizer_config_json,
        } => Tokenizer::from_hf(&tokenizer_json, tokenizer_config_json.as_deref()),
    }
}

fn gguf_vocab(fields: GgufTokenizer) -> GgufVocab {
    GgufVocab {
        model: fields.model,
        pre: fields.pre,
        tokens: fields.tokens,
        scores: fields.scores,
        token_types: fields.token_types,
        merges: fields.merges,
        bos: fields.bos_token_id,
        eos: fields.eos_token_id,
        unk: fields.unknown_token_id,
        pad: fields.padding_token_id,
        add_bos: fields.add_bos_token,
        add_eos: fields.add_eos_token,
        add_space_prefix: fields.add_space_prefix,
    }
}

/// How a model is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalOptions {
    /// Under which name.
    pub served_name: String,
    /// Who made or serves it.
    pub owned_by: String,
    /// When it came to be, in seconds since 1970.
    pub created: u64,
    /// Names the build of the engine in `system_fingerprint`.
    pub build: String,
    /// Limits of the engine.
    pub engine: EngineOptions,
    /// Bytes of memory that adapters may take.
    pub adapter_bytes: usize,
}

/// One model on its own engine.
pub struct LocalUpstream {
    card: ModelCard,
    fingerprint: String,
    engine: Engine,
    text: Arc<TextSide>,
    defaults: GenerationDefaults,
    end_tokens: Vec<u32>,
    /// Tokens that one sequence can have.
    n_context: usize,
    prompt_places: Arc<Semaphore>,
    adapters: Option<Arc<LocalAdapters>>,
}

impl LocalUpstream {
    /// Starts an engine for the model.
    ///
    /// # Errors
    /// Options that cannot work, or memory or a thread that the system refuses.
    pub fn start(
        model: LocalModel,
        pool: Arc<Pool>,
        options: LocalOptions,
    ) -> Result<LocalUpstream, StartError> {
        let LocalModel {
            model,
            draft_model,
            info,
            tokenizer,
            template,
            form,
            generation,
            adapter_shape,
        } = model;
        let isa = pool.isa();
        let adapters = adapter_shape.map(|shape| LocalAdapters::new(shape, isa, options.adapter_bytes));
        let isa = isa.name();
        let shape = model.shape().clone();
        let start = Instant::now();
        let stopwatch = Box::new(move || start.elapsed());
        let engine = Engine::start_with_draft_model(model, draft_model, pool, options.engine, stopwatch)?;
        // Where memory holds less than the model could read, that is the context there is.
        let n_context = shape.n_context.min(engine.stats().pages_total * PAGE_TOKENS);
        let mut end_tokens = generation.eos_token_ids.clone();
        end_tokens.extend(tokenizer.eos());
        end_tokens.retain(|id| (*id as usize) < shape.n_vocab);
        end_tokens.sort_unstable();
        end_tokens.dedup();
        let weights = info.fingerprint.get(..16).unwrap_or(&info.fingerprint);
        let card = ModelCard {
            id: options.served_name,
            created: options.created,
            owned_by: options.owned_by,
            root: info.name,
            n_context: n_context as u64,
            n_params: Some(info.n_params),
            quantization: Some(info.quantization),
        };
        Ok(LocalUpstream {
            card,
            fingerprint: format!("fp_{weights}_{}_{isa}", options.build),
            engine,
            text: Arc::new(TextSide::new(tokenizer, template, form, end_tokens.clone())),
            defaults: generation,
            end_tokens,
            n_context,
            prompt_places: Arc::new(Semaphore::new(PROMPTS_AT_ONCE)),
            adapters: adapters.map(Arc::new),
        })
    }

    /// The engine, to look at it or shut it down.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    async fn begin(&self, request: Request) -> Result<EventStream, InferenceError> {
        let planned = request.clone();
        let plan = self.on_text_side(move |text| Plan::of(text, &planned)).await?;
        let prompt = plan.prompt;
        let wishes = Wishes::of(&request, &self.text.tokenizer, &self.end_tokens)?;
        let stop = StopMatcher::new(&request.stop)
            .map_err(|error| InvalidRequest::new("stop", error.to_string()))?;
        let max_tokens = self.admitted(&request, prompt.len()).await?;
        wishes.check_room(max_tokens)?;
        let adapter = self.adapter(&request).await?;
        let seed = request.sampling.seed.unwrap_or_else(random_seed);
        let mut choices = Vec::with_capacity(request.n as usize);
        for idx in 0..request.n {
            let submission = Submission {
                prompt: prompt.clone(),
                sampling: self.sampling(&request, seed.wrapping_add(idx.into())),
                max_tokens,
                min_tokens: request.min_tokens as usize,
                banned: wishes.banned.clone(),
                n_top_logprobs: request.top_logprobs.map(|n_top| n_top as usize),
                end_tokens: wishes.end_tokens.clone(),
                adapter: adapter.clone(),
                cache_scope: request.cache_scope.0,
                tenant: request.tenant.0,
                priority: 0,
            };
            let (sink, tokens) = token_channel(self.engine.waker());
            // Where this fails, dropping the choices so far cancels them.
            let mask = mask(
                &self.text.tokenizer,
                plan.thinking.as_ref(),
                plan.grammar.as_ref(),
            );
            let submitted = self.engine.submit_masked(submission, mask, Box::new(sink));
            submitted.map_err(refused)?;
            let ids = CallIds::new(plan.format, seed.wrapping_add(idx.into()), prompt.len());
            choices.push(Choice::new(idx, tokens, stop.clone(), &request).reading(&plan.reading, ids));
        }
        let started = Started {
            system_fingerprint: Some(self.fingerprint.clone()),
            n_prompt: Some(prompt.len() as u64),
        };
        let text = self.text.clone();
        Ok(EventStream::new(generate(move |out| {
            answer(text, started, choices, out)
        })))
    }

    /// The adapter that the request wants, from memory or from its files. After it is paid for: loading is work.
    async fn adapter(&self, request: &Request) -> Result<Option<Arc<Adapter>>, InferenceError> {
        match (&request.adapter, &self.adapters) {
            (None, _) => Ok(None),
            (Some(source), Some(adapters)) => Ok(Some(adapters.get(source).await?)),
            (Some(_), None) => Err(InferenceError::Adapter("this model takes no adapters".to_owned())),
        }
    }

    /// Something with template or tokenizer, on a thread that may be busy for a while.
    async fn on_text_side<T: Send + 'static>(
        &self,
        act: impl FnOnce(&TextSide) -> Result<T, InferenceError> + Send + 'static,
    ) -> Result<T, InferenceError> {
        let fault =
            |what: &dyn std::fmt::Display| InferenceError::Fault(format!("reading the prompt: {what}"));
        let place = self
            .prompt_places
            .clone()
            .acquire_owned()
            .await
            .map_err(|error| fault(&error))?;
        let text = self.text.clone();
        let done = tokio::task::spawn_blocking(move || {
            // The work holds its place itself: a caller who leaves does not end it, and must not make room for more.
            let _place = place;
            act(&text)
        })
        .await;
        done.map_err(|error| fault(&error))?
    }

    /// What the caller asked for, or what the context leaves.
    fn max_tokens(&self, request: &Request, n_prompt: usize) -> Result<usize, InferenceError> {
        let n_left = self.n_context.saturating_sub(n_prompt);
        let asked = request.max_tokens.map_or(usize::MAX, |asked| asked as usize);
        let n_completion = match request.max_tokens {
            Some(_) if !request.may_end_with_context => asked,
            _ => asked.min(n_left.max(1)),
        };
        if n_completion > n_left {
            let n_context = self.n_context;
            return Err(InferenceError::ContextLengthExceeded {
                n_prompt,
                n_completion,
                n_context,
            });
        }
        Ok(n_completion)
    }

    /// Tokens for each choice, as far as they fit and are paid for.
    async fn admitted(&self, request: &Request, n_prompt: usize) -> Result<usize, InferenceError> {
        let max_tokens = self.max_tokens(request, n_prompt)?;
        let worst = WorstCase {
            n_prompt: n_prompt as u64,
            max_tokens: max_tokens as u64,
            n_choices: request.n,
            is_max_set: request.max_tokens.is_some(),
        };
        let allowed = request.paid_by.admit(worst).await;
        let allowed = allowed.map_err(|NotAdmitted| InferenceError::NotAdmitted)?;
        Ok(usize::try_from(allowed).unwrap_or(max_tokens).min(max_tokens))
    }

    /// The caller's choice, else the model's, else OpenAI's.
    fn sampling(&self, request: &Request, seed: u64) -> Sampling {
        let (asked, model) = (&request.sampling, &self.defaults);
        Sampling {
            temperature: asked.temperature.or(model.temperature).unwrap_or(1.0),
            top_p: asked.top_p.or(model.top_p).unwrap_or(1.0),
            top_k: asked.top_k.or(model.top_k).unwrap_or(0) as usize,
            min_p: asked.min_p.or(model.min_p).unwrap_or(0.0),
            presence_penalty: asked.presence_penalty.unwrap_or(0.0),
            frequency_penalty: asked.frequency_penalty.unwrap_or(0.0),
            repetition_penalty: asked
                .repetition_penalty
                .or(model.repetition_penalty)
                .unwrap_or(1.0),
            logit_bias: asked.logit_bias.clone(),
            seed,
        }
    }
}

impl Upstream for LocalUpstream {
    fn kind(&self) -> &'static str {
        "local"
    }

    fn models(&self) -> Vec<ModelCard> {
        vec![self.card.clone()]
    }

    fn start(&self, request: Request) -> BoxFuture<'_, Result<EventStream, InferenceError>> {
        self.begin(request).boxed()
    }

    fn prompts(&self, _model: &str) -> Option<&dyn Prompts> {
        Some(self)
    }

    fn adapters(&self, _model: &str) -> Option<&dyn Adapters> {
        self.adapters.as_deref().map(|adapters| adapters as &dyn Adapters)
    }

    fn is_up(&self) -> bool {
        self.engine.is_running()
    }

    fn stats(&self, _model: &str) -> Option<UpstreamStats> {
        let stats = self.engine.stats();
        Some(UpstreamStats {
            n_running: stats.running as u64,
            n_waiting: stats.waiting as u64,
            n_pages_used: stats.pages_used as u64,
            n_pages_cached: stats.pages_cached as u64,
            n_pages_free: stats.pages_free as u64,
            n_steps: stats.steps,
            n_prompt_tokens: stats.tokens_prefilled,
            n_cached_tokens: stats.prefix_hit_tokens,
            n_generated_tokens: stats.tokens_decoded,
        })
    }
}

/// Any seed will do; without randomness it is the same one each time.
fn random_seed() -> u64 {
    let mut bytes = [0; 8];
    let _ = getrandom::fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

fn refused(error: SubmitError) -> InferenceError {
    match error {
        SubmitError::QueueFull { .. } => InferenceError::Overloaded,
        SubmitError::ShuttingDown => InferenceError::ShuttingDown,
        SubmitError::TooLong(numbers) => InferenceError::ContextLengthExceeded {
            n_prompt: numbers.n_prompt,
            n_completion: numbers.max_tokens,
            n_context: numbers.capacity,
        },
        SubmitError::UnknownToken {
            parameter: "logit_bias",
            id,
            n_vocab,
        } => {
            let fault = format!("names no token of this model; ids are below {n_vocab}");
            InvalidRequest::new(format!("logit_bias.{id}"), fault).into()
        }
        SubmitError::OutOfRange {
            parameter,
            low,
            high,
            value,
        } => {
            let fault = format!("must be from {low} to {high} for this model, and is {value}");
            InvalidRequest::new(parameter, fault).into()
        }
        SubmitError::Failed => InferenceError::Failed(error.to_string()),
        SubmitError::EmptyPrompt | SubmitError::NothingToGenerate | SubmitError::UnknownToken { .. } => {
            InferenceError::Fault(error.to_string())
        }
    }
}
