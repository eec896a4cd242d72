//! Our engine, on one model: the only file that knows both text and engine.
//!
//! Down: conversation, template, tokens, submit. Up: tokens, text, stop strings, events. A request for `n` choices
//! becomes `n` submissions of the same prompt, which share its pages; choice `i` runs with `seed + i`.

mod token_channel;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use futures::channel::mpsc as events;
use futures::future::{BoxFuture, try_join_all};
use futures::{FutureExt, SinkExt, Stream, StreamExt};
use tokenmill_engine::{
    Engine, Options as EngineOptions, Output, Reason, Sampling, StartError, Submission, SubmitError,
};
use tokenmill_kernels::kv_cache::PAGE_TOKENS;
use tokenmill_kernels::pool::Pool;
use tokenmill_model::{GenerationDefaults, GgufTokenizer, Loaded, Model, ModelInfo, TokenizerSource};
use tokenmill_text::{
    ChatTemplate, GgufVocab, RenderedPrompt, StopMatcher, TemplateError, TemplateInput, Timestamp, Tokenizer,
    TokenizerError,
};
use tokio::sync::Semaphore;

use crate::event::{Event, EventStream, FinishReason, InferenceError, Started, Usage};
use crate::payer::{NotAdmitted, PaidBy, WorstCase};
use crate::request::{InvalidRequest, Message, Request, Role};
use crate::upstream::{ModelCard, Upstream, UpstreamStats};
use token_channel::{Tokens, token_channel};

/// Prompts that are rendered and tokenised at the same time; more wait. Each takes a thread.
const PROMPTS_AT_ONCE: usize = 4;

/// A model and all that turns text into its tokens and back.
pub struct LocalModel {
    /// The way through the weights.
    pub model: Arc<dyn Model>,
    /// What it is.
    pub info: ModelInfo,
    /// Text to tokens and back.
    pub tokenizer: Tokenizer,
    /// Conversation to prompt.
    pub template: ChatTemplate,
    /// Sampling defaults and end tokens.
    pub generation: GenerationDefaults,
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
        Ok(LocalModel {
            model: loaded.model,
            info: loaded.info,
            tokenizer,
            template,
            generation: loaded.generation,
        })
    }
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
}

/// What turns conversations into tokens and tokens into text.
struct TextSide {
    tokenizer: Tokenizer,
    template: ChatTemplate,
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
            info,
            tokenizer,
            template,
            generation,
        } = model;
        let isa = pool.isa().name();
        let shape = model.shape().clone();
        let engine = Engine::start(model, pool, options.engine)?;
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
            text: Arc::new(TextSide { tokenizer, template }),
            defaults: generation,
            end_tokens,
            n_context,
            prompt_places: Arc::new(Semaphore::new(PROMPTS_AT_ONCE)),
        })
    }

    /// The engine, to look at it or shut it down.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    async fn begin(&self, request: Request) -> Result<EventStream, InferenceError> {
        let prompt = self.prompt(&request).await?;
        let stop = StopMatcher::new(&request.stop)
            .map_err(|error| InvalidRequest::new("stop", error.to_string()))?;
        let max_tokens = self.admitted(&request, prompt.len()).await?;
        let seed = request.sampling.seed.unwrap_or_else(random_seed);
        let mut choices = Vec::with_capacity(request.n as usize);
        for idx in 0..request.n {
            let submission = Submission {
                prompt: prompt.clone(),
                sampling: self.sampling(&request, seed.wrapping_add(idx.into())),
                max_tokens,
                end_tokens: if request.ignore_eos {
                    Vec::new()
                } else {
                    self.end_tokens.clone()
                },
                cache_scope: request.cache_scope.0,
            };
            let (sink, tokens) = token_channel(self.engine.waker());
            // Where this fails, dropping the choices so far cancels them.
            self.engine.submit(submission, Box::new(sink)).map_err(refused)?;
            choices.push(Choice {
                idx,
                tokens,
                stop: stop.clone(),
                paid_by: request.paid_by.clone(),
            });
        }
        let started = Started {
            system_fingerprint: Some(self.fingerprint.clone()),
        };
        let (text, n_prompt) = (self.text.clone(), prompt.len());
        Ok(EventStream::new(generate(move |out| {
            answer(text, started, choices, n_prompt, out)
        })))
    }

    /// Template and tokenizer, on a thread that may be busy for a while.
    async fn prompt(&self, request: &Request) -> Result<Vec<u32>, InferenceError> {
        let fault =
            |what: &dyn std::fmt::Display| InferenceError::Fault(format!("reading the prompt: {what}"));
        let place = self
            .prompt_places
            .clone()
            .acquire_owned()
            .await
            .map_err(|error| fault(&error))?;
        let text = self.text.clone();
        let messages = request.messages.clone();
        let tokens = tokio::task::spawn_blocking(move || {
            // The work holds its place itself: a caller who leaves does not end it, and must not make room for more.
            let _place = place;
            text.tokens(&messages)
        })
        .await;
        tokens.map_err(|error| fault(&error))?
    }

    /// What the caller asked for, or what the context leaves.
    fn max_tokens(&self, request: &Request, n_prompt: usize) -> Result<usize, InferenceError> {
        let n_left = self.n_context.saturating_sub(n_prompt);
        let n_completion = request.max_tokens.map_or(n_left.max(1), |asked| asked as usize);
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

impl TextSide {
    fn tokens(&self, messages: &[Message]) -> Result<Vec<u32>, InferenceError> {
        let prompt = self.render(messages)?;
        let tokens = self
            .tokenizer
            .encode_prompt(&prompt)
            .map_err(|error| match error {
                TokenizerError::TextTooLong { .. } | TokenizerError::ReadsTooMuch => {
                    InferenceError::Invalid(InvalidRequest::new("messages", format!("are too long: {error}")))
                }
                other => InferenceError::Fault(other.to_string()),
            })?;
        if tokens.is_empty() {
            return Err(InvalidRequest::new("messages", "give an empty prompt; say something").into());
        }
        Ok(tokens)
    }

    fn render(&self, messages: &[Message]) -> Result<RenderedPrompt, InferenceError> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        let input = TemplateInput {
            messages: messages.iter().map(template_message).collect(),
            tools: None,
            add_generation_prompt: true,
            extra: serde_json::Map::new(),
            now: Timestamp {
                unix_seconds: i64::try_from(now).unwrap_or(i64::MAX),
            },
        };
        self.template.render(&input).map_err(|error| {
            let fault = format!("cannot be put into this model's form: {error}");
            InferenceError::Invalid(InvalidRequest::new("messages", fault))
        })
    }
}

fn template_message(message: &Message) -> serde_json::Value {
    let role = match message.role {
        // The newer name of the same role; no template knows it.
        Role::System | Role::Developer => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
    };
    serde_json::json!({ "role": role, "content": message.content })
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

type Out = events::Sender<Result<Event, InferenceError>>;

/// A stream of what `run` sends. `run` only goes on while the stream is polled, and is dropped with it.
fn generate<F>(run: impl FnOnce(Out) -> F) -> impl Stream<Item = Result<Event, InferenceError>>
where
    F: Future<Output = ()>,
{
    let (out, sent) = events::channel(0);
    let running = run(out).into_stream().filter_map(|()| std::future::ready(None));
    futures::stream::select(running, sent)
}

/// All choices, from the first event to the last.
async fn answer(text: Arc<TextSide>, started: Started, choices: Vec<Choice>, n_prompt: usize, mut out: Out) {
    // A send fails only when the stream is gone, and then nothing polls this any more.
    let _ = out.send(Ok(Event::Started(started))).await;
    let running = choices
        .into_iter()
        .map(|choice| choice.run(&text.tokenizer, out.clone()));
    let last = match try_join_all(running).await {
        Ok(ends) => Ok(Event::Finished(Usage {
            n_prompt: n_prompt as u64,
            // The later choices share what the first has computed; that saves work and is no hit of the request's.
            n_cached: ends.first().and_then(|end| end.n_cached),
            n_completion: ends.iter().map(|end| end.n_completion).sum(),
        })),
        Err(error) => Err(error),
    };
    let _ = out.send(last).await;
}

/// One answer on its way up.
struct Choice {
    idx: u32,
    tokens: Tokens,
    stop: StopMatcher,
    paid_by: PaidBy,
}

struct ChoiceEnd {
    n_completion: u64,
    n_cached: Option<u64>,
}

impl Choice {
    async fn run(mut self, tokenizer: &Tokenizer, mut out: Out) -> Result<ChoiceEnd, InferenceError> {
        let mut decoder = tokenizer.decoder();
        let mut n_taken = 0;
        let finish = loop {
            let output = self.tokens.next().await;
            let output =
                output.ok_or_else(|| InferenceError::Fault("the engine let go of a sequence".into()))?;
            match output {
                Output::Token { id } => {
                    n_taken += 1;
                    self.paid_by.generated(1);
                    if self.pass(&decoder.push(id), &mut out).await {
                        return Ok(self.stopped(n_taken, &mut out).await);
                    }
                }
                Output::Finish(finish) => break finish,
            }
        };
        let reason = match finish.reason {
            Reason::EndToken(_) => FinishReason::Stop,
            Reason::Length => FinishReason::Length,
            Reason::Cancelled => return Err(InferenceError::ShuttingDown),
            Reason::Fault => return Err(InferenceError::Fault("the model's forward pass failed".into())),
        };
        // The rest of a character that never came may complete a stop string, too.
        if self.pass(&decoder.flush(), &mut out).await {
            self.finished(FinishReason::Stop, &mut out).await;
        } else {
            let rest = self.stop.flush();
            self.send_text(rest, &mut out).await;
            self.finished(reason, &mut out).await;
        }
        Ok(ChoiceEnd {
            n_completion: finish.n_generated as u64,
            n_cached: Some(finish.n_cached as u64),
        })
    }

    /// Lets through what is certainly no stop string; true once one has come.
    async fn pass(&mut self, piece: &str, out: &mut Out) -> bool {
        let passed = self.stop.push(piece);
        self.send_text(passed.text, out).await;
        passed.stop.is_some()
    }

    /// Ends at a stop string. What the engine generated beyond it meanwhile is not the caller's.
    async fn stopped(mut self, n_taken: u64, out: &mut Out) -> ChoiceEnd {
        self.tokens.close();
        self.finished(FinishReason::Stop, out).await;
        let n_cached = self.tokens.finish().await.map(|finish| finish.n_cached as u64);
        ChoiceEnd {
            n_completion: n_taken,
            n_cached,
        }
    }

    async fn send_text(&self, text: String, out: &mut Out) {
        if !text.is_empty() {
            let _ = out
                .send(Ok(Event::Text {
                    choice: self.idx,
                    text,
                }))
                .await;
        }
    }

    async fn finished(&self, reason: FinishReason, out: &mut Out) {
        let _ = out
            .send(Ok(Event::ChoiceFinished {
                choice: self.idx,
                reason,
            }))
            .await;
    }
}
