//! What a forward pass is given, and what a model promises: [`Batch`], [`Shape`] and the trait [`Model`].

use std::sync::Arc;

use tokenmill_kernels::kv_cache::{KvCache, KvShape, PAGE_TOKENS, PageId};
use tokenmill_kernels::pool::Pool;

use crate::adapter::Adapter;
use crate::scratch::Scratch;

/// The rows of one forward pass: new tokens of some sequences, each with its place and its cache pages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Token ids, one per row, sequence after sequence.
    pub tokens: Vec<u32>,
    /// How the rows belong to sequences, in the order of `tokens`.
    pub sequences: Vec<SequenceRows>,
}

/// One sequence's share of a [`Batch`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SequenceRows {
    /// Rows of this sequence in the batch: one for decoding, more for a piece of a prompt.
    pub n_rows: usize,
    /// Position of the first of them; everything before it must already be in the cache.
    pub position: usize,
    /// Cache pages in order: page `i` holds positions `64 i .. 64 i + 63`. Must reach over the last row. The pages
    /// that this pass writes to belong to this sequence alone.
    pub pages: Vec<PageId>,
    /// The last so many rows give logits: 0 or 1 as a rule, more to verify drafts.
    pub n_logits: usize,
    /// What changes the model for these rows; made for a model of the same shape.
    pub adapter: Option<Arc<Adapter>>,
}

/// Sizes that the engine needs to know of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Length of a row of logits; token ids are below it.
    pub n_vocab: usize,
    /// Longest sequence.
    pub n_context: usize,
    /// What a [`KvCache`] for this model holds. Its `kv_type` is a proposal: a cache of another type serves as well,
    /// and gives other results.
    pub kv: KvShape,
}

/// A loaded model: weights and the way through them.
///
/// No hidden inputs: the same rows over the same cache content give the same bits, whatever else is in the batch,
/// however the prompt was cut into pieces, and on any number of threads.
pub trait Model: Send + Sync {
    /// Sizes.
    fn shape(&self) -> &Shape;

    /// Runs the rows of `batch` through the model, writing their keys and values to `cache`.
    /// `logits` becomes `[total of n_logits, n_vocab]`, in the order of the sequences.
    ///
    /// # Panics
    /// On a batch that [`Batch::validate`] refuses; engines validate where a request enters.
    fn forward(
        &self,
        pool: &Pool,
        batch: &Batch,
        cache: &mut KvCache,
        scratch: &mut Scratch,
        logits: &mut Vec<f32>,
    );
}

/// Why a batch cannot be run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// The sequences' rows do not add up to the tokens.
    #[error("the sequences have {rows} rows in all, but there are {tokens} tokens")]
    Rows {
        /// Sum of `n_rows`.
        rows: usize,
        /// Length of `tokens`.
        tokens: usize,
    },
    /// A sequence without rows, or with more logits than rows.
    #[error(
        "sequence {sequence} has {n_rows} rows and wants logits of {n_logits}; it needs at least one row, and at most as many logits"
    )]
    Logits {
        /// Index into `sequences`.
        sequence: usize,
        /// Its rows.
        n_rows: usize,
        /// Its logits.
        n_logits: usize,
    },
    /// A token id that the model does not have.
    #[error("token {token} in row {row} is not below the vocabulary size, {n_vocab}")]
    Token {
        /// The id.
        token: u32,
        /// Its row.
        row: usize,
        /// The model's vocabulary.
        n_vocab: usize,
    },
    /// A row behind the end of the context.
    #[error("sequence {sequence} ends at {end} tokens, but the model's context is {n_context}")]
    Context {
        /// Index into `sequences`.
        sequence: usize,
        /// Position after the last row.
        end: usize,
        /// The limit.
        n_context: usize,
    },
    /// Too few pages, or a page that the cache does not have.
    #[error(
        "sequence {sequence} needs {needed} pages below {n_pages}; it has {given} and the highest is {highest}"
    )]
    Pages {
        /// Index into `sequences`.
        sequence: usize,
        /// Pages up to the last row.
        needed: usize,
        /// Pages of the cache.
        n_pages: usize,
        /// Pages of the sequence.
        given: usize,
        /// The highest page id.
        highest: PageId,
    },
    /// A cache made for another model.
    #[error("the cache was made for {cache:?}, the model needs {model:?}")]
    Cache {
        /// Shape of the cache.
        cache: KvShape,
        /// Shape that the model needs.
        model: KvShape,
    },
}

impl Batch {
    /// Rows of logits that a pass over this batch gives.
    pub fn n_logits(&self) -> usize {
        self.sequences.iter().map(|sequence| sequence.n_logits).sum()
    }

    /// Checks all that a forward pass relies on: token ids, positions, pages, and that `cache` fits the model.
    ///
    /// # Errors
    /// The first fault, naming the sequence or row.
    pub fn validate(&self, shape: &Shape, cache: &KvCache) -> Result<(), BatchError> {
        let cache_shape = KvShape {
            kv_type: shape.kv.kv_type,
            ..*cache.shape()
        };
        if cache_shape != shape.kv {
            return Err(BatchError::Cache {
                cache: *cache.shape(),
                model: shape.kv,
            });
        }
        let rows = self
            .sequences
            .iter()
            .fold(0usize, |sum, sequence| sum.saturating_add(sequence.n_rows));
        if rows != self.tokens.len() {
            return Err(BatchError::Rows {
                rows,
                tokens: self.tokens.len(),
            });
        }
        let n_vocab = shape.n_vocab;
        if let Some(row) = self.tokens.iter().position(|&token| token as usize >= n_vocab) {
            return Err(BatchError::Token {
                token: self.tokens[row],
                row,
                n_vocab,
            });
        }
        self.sequences
            .iter()
            .enumerate()
            .try_for_each(|(index, sequence)| sequence.validate(index, shape.n_context, cache.n_pages()))
    }
}

impl SequenceRows {
    fn validate(&self, sequence: usize, n_context: usize, n_pages: usize) -> Result<(), BatchError> {
        let &SequenceRows {
            n_rows,
            position,
            n_logits,
            ..
        } = self;
        if n_rows == 0 || n_logits > n_rows {
            return Err(BatchError::Logits {
                sequence,
                n_rows,
                n_logits,
            });
        }
        let end = position.saturating_add(n_rows);
        if end > n_context {
            return Err(BatchError::Context {
                sequence,
                end,
                n_context,
            });
        }
        let (needed, given) = (end.div_ceil(PAGE_TOKENS), self.pages.len());
        let highest = self.pages.iter().copied().max().unwrap_or(0);
        if given < needed || highest as usize >= n_pages {
            return Err(BatchError::Pages {
                sequence,
                needed,
                n_pages,
                given,
                highest,
            });
        }
        Ok(())
    }
}
