//! An upstream that says what a test tells it to.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures::FutureExt;
use futures::StreamExt;
use futures::future::BoxFuture;
use tokenmill_inference::{
    Draft, Event, EventStream, FinishReason, InferenceError, ModelCard, NotAdmitted, PaidBy, Prompt, Prompts,
    Request, Started, TokenText, Upstream, UpstreamStats, Usage, WorstCase,
};
use tokio::sync::watch;

/// One step of an answer.
#[derive(Clone)]
pub(crate) enum Step {
    Say(Event),
    Fail(InferenceError),
    /// Nothing more until the test says so.
    Wait(watch::Receiver<bool>),
    /// Nothing more, ever.
    Hang,
    /// The stream just ends.
    Stop,
    /// A bug.
    Panic,
}

pub(crate) type Script = Arc<dyn Fn(&Request) -> Result<Vec<Step>, InferenceError> + Send + Sync>;

pub(crate) struct Scripted {
    script: Script,
    /// Streams that have not been dropped.
    pub(crate) n_live: Arc<AtomicUsize>,
    pub(crate) is_up: AtomicBool,
    /// Every request, in order.
    pub(crate) requests: Mutex<Vec<Draft>>,
}

impl Scripted {
    pub(crate) fn new(
        script: impl Fn(&Request) -> Result<Vec<Step>, InferenceError> + Send + Sync + 'static,
    ) -> Arc<Scripted> {
        let (n_live, requests) = (Arc::new(AtomicUsize::new(0)), Mutex::new(Vec::new()));
        Arc::new(Scripted {
            script: Arc::new(script),
            n_live,
            is_up: AtomicBool::new(true),
            requests,
        })
    }

    /// Answers every request with these words, one event each, for every choice.
    pub(crate) fn saying(words: &'static [&'static str]) -> Arc<Scripted> {
        Scripted::new(move |request| Ok(answer(request, words)))
    }

    /// Thinks, speaks, calls, speaks.
    pub(crate) fn busy() -> Arc<Scripted> {
        Scripted::new(|_| {
            let call = |index, name: &str| {
                Step::Say(Event::ToolCall {
                    choice: 0,
                    index,
                    id: format!("call_{index}"),
                    name: name.into(),
                })
            };
            let arguments = |index, text: &str| {
                Step::Say(Event::ToolArguments {
                    choice: 0,
                    index,
                    text: text.into(),
                })
            };
            let thought = |text: &str| {
                Step::Say(Event::Reasoning {
                    choice: 0,
                    text: text.into(),
                })
            };
            Ok(vec![
                started(),
                thought("Let me "),
                thought("see."),
                text("I "),
                text("look."),
                call(0, "weather"),
                arguments(0, "{\"city\":"),
                arguments(0, "\"Oslo\"}"),
                call(1, "time"),
                arguments(1, "{}"),
                text("Done."),
                Step::Say(Event::ChoiceFinished {
                    choice: 0,
                    reason: FinishReason::ToolCalls,
                }),
                Step::Say(Event::Finished(Usage {
                    n_prompt: 70,
                    n_cached: Some(64),
                    n_completion: 20,
                    n_reasoning: Some(4),
                })),
            ])
        })
    }

    pub(crate) fn n_live(&self) -> usize {
        self.n_live.load(Ordering::SeqCst)
    }
}

/// A whole answer; choices take turns.
pub(crate) fn answer(request: &Request, words: &[&str]) -> Vec<Step> {
    let mut steps = vec![started()];
    for word in words {
        for choice in 0..request.n {
            steps.push(Step::Say(Event::Text {
                choice,
                text: (*word).to_owned(),
            }));
        }
    }
    for choice in 0..request.n {
        steps.push(Step::Say(Event::ChoiceFinished {
            choice,
            reason: FinishReason::Stop,
        }));
    }
    let n_completion = (words.len() * request.n as usize) as u64;
    steps.push(Step::Say(Event::Finished(Usage {
        n_prompt: 7,
        n_cached: Some(3),
        n_completion,
        n_reasoning: None,
    })));
    steps
}

pub(crate) fn started() -> Step {
    Step::Say(Event::Started(Started {
        system_fingerprint: Some("fp_test".into()),
        n_prompt: Some(7),
    }))
}

pub(crate) fn text(text: &str) -> Step {
    Step::Say(Event::Text {
        choice: 0,
        text: text.into(),
    })
}

/// Counts a stream as live until it is dropped.
struct Live(Arc<AtomicUsize>);

impl Drop for Live {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Upstream for Scripted {
    fn kind(&self) -> &'static str {
        "scripted"
    }

    fn models(&self) -> Vec<ModelCard> {
        let card = |id: &str| ModelCard {
            id: id.into(),
            created: 1_700_000_000,
            owned_by: "test".into(),
            root: "root".into(),
            n_context: 4096,
            n_params: Some(1_000),
            quantization: Some("Q8_0".into()),
        };
        vec![card("test/model"), card("other")]
    }

    fn start(&self, request: Request) -> BoxFuture<'_, Result<EventStream, InferenceError>> {
        let steps = (self.script)(&request);
        let paid_by = request.paid_by.clone();
        // Without its payer: what is held for a request comes back when the last one goes.
        let kept = Draft {
            paid_by: PaidBy::default(),
            ..Draft::clone(&request)
        };
        let worst = WorstCase {
            n_prompt: 7,
            max_tokens: request.max_tokens.map_or(4089, u64::from),
            n_choices: request.n,
            is_max_set: request.max_tokens.is_some(),
        };
        self.requests.lock().expect("not poisoned").push(kept);
        self.n_live.fetch_add(1, Ordering::SeqCst);
        let live = Live(self.n_live.clone());
        Box::pin(async move {
            let steps = steps?;
            paid_by
                .admit(worst)
                .await
                .map_err(|NotAdmitted| InferenceError::NotAdmitted)?;
            let steps = futures::stream::iter(steps).take_while(|step| {
                let goes_on = !matches!(step, Step::Stop);
                async move { goes_on }
            });
            Ok(EventStream::new(steps.filter_map(move |step| {
                let _ = &live;
                let paid_by = paid_by.clone();
                async move {
                    match step {
                        Step::Say(event) => {
                            if let Event::Text { .. } = event {
                                paid_by.generated(1);
                            }
                            Some(Ok(event))
                        }
                        Step::Fail(error) => Some(Err(error)),
                        Step::Wait(mut go) => {
                            go.wait_for(|go| *go).await.expect("the test is still there");
                            None
                        }
                        Step::Panic => panic!("injected"),
                        Step::Hang | Step::Stop => std::future::pending().await,
                    }
                }
            })))
        })
    }

    fn prompts(&self, _model: &str) -> Option<&dyn Prompts> {
        Some(self)
    }

    fn is_up(&self) -> bool {
        self.is_up.load(Ordering::SeqCst)
    }

    fn stats(&self, model: &str) -> Option<UpstreamStats> {
        (model == "test/model").then_some(UpstreamStats {
            n_running: 2,
            n_waiting: 1,
            ..UpstreamStats::default()
        })
    }
}

/// A token for each byte, and a line for each message.
impl Prompts for Scripted {
    fn tokens(&self, request: Request) -> BoxFuture<'_, Result<Vec<u32>, InferenceError>> {
        let tokens = match &request.prompt {
            Prompt::Tokens(tokens) => tokens.clone(),
            prompt => bytes(&shown(prompt)),
        };
        async move { Ok(tokens) }.boxed()
    }

    fn rendered(&self, request: Request) -> BoxFuture<'_, Result<String, InferenceError>> {
        async move { Ok(shown(&request.prompt)) }.boxed()
    }

    fn plain_tokens(&self, text: String) -> BoxFuture<'_, Result<Vec<u32>, InferenceError>> {
        async move { Ok(bytes(&text)) }.boxed()
    }

    fn token_texts(&self, tokens: &[u32]) -> Result<Vec<TokenText>, InferenceError> {
        let text = |&id: &u32| TokenText {
            id,
            bytes: vec![id as u8],
        };
        Ok(tokens.iter().map(text).collect())
    }

    fn text(&self, tokens: &[u32]) -> Result<String, InferenceError> {
        let bytes: Vec<u8> = tokens.iter().map(|&id| id as u8).collect();
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

fn shown(prompt: &Prompt) -> String {
    match prompt {
        Prompt::Conversation(conversation) => {
            let lines = conversation
                .messages
                .iter()
                .map(|message| message.content.as_str());
            lines.collect::<Vec<_>>().join("\n")
        }
        Prompt::Text(text) => text.clone(),
        Prompt::Tokens(_) => String::new(),
    }
}

fn bytes(text: &str) -> Vec<u32> {
    text.bytes().map(u32::from).collect()
}
