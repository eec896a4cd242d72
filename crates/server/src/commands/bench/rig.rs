//! A model with a cache full of made-up keys and values, and the time that passes over it take.

use std::sync::Arc;
use std::time::Instant;

use tokenmill_engine::Options;
use tokenmill_kernels::attention::Span;
use tokenmill_kernels::kv_cache::{KvCache, PAGE_TOKENS, PageId, write_kv};
use tokenmill_kernels::pool::Pool;
use tokenmill_model::{Batch, LoadOptions, Model, Scratch, SequenceRows};

use crate::assemble;
use crate::failure::Failure;
use crate::model_spec::ModelSpec;

/// A measurement ends after this many seconds, and at least so many turns.
const SECONDS: f64 = 2.0;
const LEAST_TURNS: usize = 3;
/// Most bytes of keys and values.
const MAX_KV_BYTES: usize = 4 << 30;

/// What is measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Workload {
    /// Reads a prompt in the pieces that an engine cuts it into.
    Prefill { n_tokens: usize },
    /// One token of each stream, behind so many others.
    Decode { n_streams: usize, depth: usize },
}

impl Workload {
    pub(super) fn n_tokens(&self) -> usize {
        match *self {
            Workload::Prefill { n_tokens } => n_tokens,
            Workload::Decode { n_streams, .. } => n_streams,
        }
    }

    /// What it is, its streams and its depth.
    pub(super) fn columns(&self) -> (&'static str, usize, usize) {
        match *self {
            Workload::Prefill { n_tokens } => ("prefill", 1, n_tokens),
            Workload::Decode { n_streams, depth } => ("decode", n_streams, depth),
        }
    }

    /// Pages of each stream, and tokens of the longest.
    fn pages(&self) -> (usize, usize) {
        let n_tokens = match *self {
            Workload::Prefill { n_tokens } => n_tokens,
            Workload::Decode { depth, .. } => depth + 1,
        };
        (n_tokens.div_ceil(PAGE_TOKENS), n_tokens)
    }

    fn n_pages(&self) -> usize {
        let (pages_each, _) = self.pages();
        match *self {
            Workload::Prefill { .. } => pages_each,
            Workload::Decode { n_streams, .. } => pages_each.saturating_mul(n_streams),
        }
    }
}

pub(super) struct Rig<'a> {
    pool: &'a Pool,
    model: Arc<dyn Model>,
    quantization: String,
    cache: KvCache,
    scratch: Scratch,
    logits: Vec<f32>,
}

impl<'a> Rig<'a> {
    /// Loads the model and fills a cache that is large enough for all workloads that its context holds.
    pub(super) fn new(pool: &'a Pool, spec: &ModelSpec, workloads: &[Workload]) -> Result<Rig<'a>, Failure> {
        let loaded = assemble::load(&LoadOptions::default(), spec, pool)
            .map_err(|error| Failure::new(format!("model `{}`: {error}", spec.id)))?;
        let shape = loaded.model.shape();
        let in_context = |workload: &&Workload| workload.pages().1 <= shape.n_context;
        let n_pages = workloads.iter().filter(in_context).map(Workload::n_pages).max();
        let n_pages = n_pages.unwrap_or(1).max(1);
        if n_pages.saturating_mul(shape.kv.page_bytes()) > MAX_KV_BYTES {
            return Err(Failure::usage(format!(
                "these workloads need {n_pages} pages of keys and values, more than {} GiB; ask for less depth or fewer streams",
                MAX_KV_BYTES >> 30
            )));
        }
        let mut cache = KvCache::new(shape.kv, n_pages).map_err(|error| Failure::new(error.to_string()))?;
        fill(pool, &mut cache);
        Ok(Rig {
            pool,
            quantization: loaded.info.quantization,
            model: loaded.model,
            cache,
            scratch: Scratch::default(),
            logits: Vec::new(),
        })
    }

    pub(super) fn quantization(&self) -> &str {
        &self.quantization
    }

    /// Bytes of keys and values of a token.
    pub(super) fn kv_token_bytes(&self) -> usize {
        self.cache.shape().page_bytes() / PAGE_TOKENS
    }

    /// The median of the seconds that the workload takes; `None` where the model's context does not hold it.
    pub(super) fn seconds(&mut self, workload: &Workload) -> Result<Option<f64>, Failure> {
        if workload.pages().1 > self.model.shape().n_context {
            return Ok(None);
        }
        let passes = self.passes(workload);
        for batch in &passes {
            batch
                .validate(self.model.shape(), &self.cache)
                .map_err(|error| Failure::usage(error.to_string()))?;
        }
        let (start, mut turns) = (Instant::now(), Vec::new());
        while turns.len() < LEAST_TURNS || start.elapsed().as_secs_f64() < SECONDS {
            let turn = Instant::now();
            for batch in &passes {
                let (cache, scratch) = (&mut self.cache, &mut self.scratch);
                self.model
                    .forward(self.pool, batch, cache, scratch, &mut self.logits);
            }
            turns.push(turn.elapsed().as_secs_f64());
        }
        turns.sort_by(f64::total_cmp);
        Ok(Some(turns[turns.len() / 2]))
    }

    /// The batches of one turn.
    fn passes(&self, workload: &Workload) -> Vec<Batch> {
        let n_vocab = self.model.shape().n_vocab;
        let token = |at: usize| u32::try_from((at * 31 + 7) % n_vocab).unwrap_or(0);
        match *workload {
            Workload::Prefill { n_tokens } => {
                let n_most = Options::default().step_tokens;
                (0..n_tokens)
                    .step_by(n_most)
                    .map(|position| {
                        let end = (position + n_most).min(n_tokens);
                        Batch {
                            tokens: (position..end).map(token).collect(),
                            sequences: vec![SequenceRows {
                                n_rows: end - position,
                                position,
                                pages: page_ids(0, workload.pages().0),
                                n_logits: usize::from(end == n_tokens),
                                adapter: None,
                            }],
                        }
                    })
                    .collect()
            }
            Workload::Decode { n_streams, depth } => {
                let n_pages = workload.pages().0;
                let sequence = |stream: usize| SequenceRows {
                    n_rows: 1,
                    position: depth,
                    pages: page_ids(stream * n_pages, n_pages),
                    n_logits: 1,
                    adapter: None,
                };
                vec![Batch {
                    tokens: (0..n_streams).map(token).collect(),
                    sequences: (0..n_streams).map(sequence).collect(),
                }]
            }
        }
    }
}

fn page_ids(first: usize, n_pages: usize) -> Vec<PageId> {
    (first..first + n_pages)
        .filter_map(|page| PageId::try_from(page).ok())
        .collect()
}

/// Memory that nobody wrote to is one page of zeros, and nothing is as fast as that.
fn fill(pool: &Pool, cache: &mut KvCache) {
    let shape = *cache.shape();
    let row = shape.n_kv_heads * shape.head_dim;
    let numbers: Vec<f32> = (0..PAGE_TOKENS * row)
        .map(|i| (i % 83) as f32 / 83.0 - 0.5)
        .collect();
    for page in page_ids(0, cache.n_pages()) {
        for layer in 0..shape.n_layers {
            let span = Span {
                first_row: 0,
                n_rows: PAGE_TOKENS,
                position: 0,
                pages: &[page],
            };
            write_kv(pool, cache, layer, &[span], &numbers, &numbers);
        }
    }
}
