//! A model without weights whose logits depend on everything that the cache holds for a sequence.

use std::sync::atomic::{AtomicUsize, Ordering};
use tokenmill_kernels::attention::{Attention, AttentionScratch, Span, attention};
use tokenmill_kernels::kv_cache::{KvCache, KvShape, KvType, PAGE_TOKENS, PageId, write_kv};
use tokenmill_kernels::pool::Pool;
use tokenmill_model::{Batch, Model, Scratch, SequenceRows, Shape};

/// Numbers per token in the cache: its id and its position; the least that attention takes is used, the rest is 0.
const HEAD_DIM: usize = 16;

/// Writes each token's id and position to the cache as its value, through the real kernels. For logits it reads the
/// sequence's values back, through the pages that it is given, and hashes them: a wrong page, position, order or
/// copy anywhere gives other tokens soon after.
pub struct RecallModel {
    shape: Shape,
    /// Forward passes until one panics; 0 for never.
    n_until_panic: AtomicUsize,
    /// A sequence that ends with this token gets logits that are not numbers.
    poison: Option<u32>,
}

impl RecallModel {
    /// A model of `n_vocab` tokens.
    pub fn new(n_vocab: usize, n_context: usize) -> RecallModel {
        let kv = KvShape {
            n_layers: 1,
            n_kv_heads: 1,
            head_dim: HEAD_DIM,
            kv_type: KvType::F32,
        };
        RecallModel {
            shape: Shape {
                n_vocab,
                n_context,
                kv,
            },
            n_until_panic: AtomicUsize::new(0),
            poison: None,
        }
    }

    /// The same, giving NaN after this token.
    pub fn with_poison(self, token: u32) -> RecallModel {
        RecallModel {
            poison: Some(token),
            ..self
        }
    }

    /// Makes the `n`-th forward pass from now panic.
    pub fn panic_after(&self, n: usize) {
        self.n_until_panic.store(n, Ordering::SeqCst);
    }

    fn count_down(&self) {
        let left = self.n_until_panic.load(Ordering::SeqCst);
        if left > 0 {
            self.n_until_panic.store(left - 1, Ordering::SeqCst);
            assert!(left > 1, "this forward pass was told to panic");
        }
    }

    /// What a forward pass gives after these tokens, which stand at positions 0 and up.
    pub fn logits_after(&self, tokens: &[u32]) -> Vec<f32> {
        let mut logits = Vec::new();
        let values = looked_at(tokens.len()).flat_map(|position| value_of(tokens[position], position));
        self.push_logits(&values.collect::<Vec<f32>>(), &mut logits);
        logits
    }

    /// `[n_looked_at, HEAD_DIM]`: what the cache holds at the positions that logits after `n_tokens` depend on. A
    /// window of one position makes attention give each value back as it is.
    fn recall(&self, pool: &Pool, cache: &KvCache, pages: &[PageId], n_tokens: usize) -> Vec<f32> {
        let span = |(first_row, position): (usize, usize)| Span {
            first_row,
            n_rows: 1,
            position: position % PAGE_TOKENS,
            pages: &pages[position / PAGE_TOKENS..][..1],
        };
        let spans: Vec<Span<'_>> = looked_at(n_tokens).enumerate().map(span).collect();
        let zeros = vec![0.0; spans.len() * HEAD_DIM];
        let mut values = zeros.clone();
        let read = Attention {
            layer: 0,
            n_heads: 1,
            scale: 1.0,
            window: Some(1),
            soft_cap: None,
            sinks: None,
            spans: &spans,
        };
        attention(
            pool,
            &mut AttentionScratch::default(),
            cache,
            &read,
            &zeros,
            &mut values,
        );
        values
    }
}

impl Model for RecallModel {
    fn shape(&self) -> &Shape {
        &self.shape
    }

    fn forward(
        &self,
        pool: &Pool,
        batch: &Batch,
        cache: &mut KvCache,
        _scratch: &mut Scratch,
        logits: &mut Vec<f32>,
    ) {
        batch
            .validate(&self.shape, cache)
            .expect("the engine builds valid batches");
        self.count_down();
        let mut spans = Vec::new();
        let mut values = vec![0.0; batch.tokens.len() * HEAD_DIM];
        let mut first_row = 0;
        for sequence in &batch.sequences {
            let &SequenceRows {
                n_rows,
                position,
                ref pages,
                ..
            } = sequence;
            spans.push(Span {
                first_row,
                n_rows,
                position,
                pages,
            });
            for row in 0..n_rows {
                let value = value_of(batch.tokens[first_row + row], position + row);
                values[(first_row + row) * HEAD_DIM..][..HEAD_DIM].copy_from_slice(&value);
            }
            first_row += n_rows;
        }
        write_kv(pool, cache, 0, &spans, &vec![0.0; values.len()], &values);
        logits.clear();
        for sequence in &batch.sequences {
            let n_first = sequence.position + sequence.n_rows - sequence.n_logits;
            for n_tokens in n_first + 1..=n_first + sequence.n_logits {
                let values = self.recall(pool, cache, &sequence.pages, n_tokens);
                self.push_logits(&values, logits);
            }
        }
    }
}

impl RecallModel {
    fn push_logits(&self, values: &[f32], logits: &mut Vec<f32>) {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for value in values.chunks_exact(HEAD_DIM) {
            for part in &value[..2] {
                hash = (hash ^ u64::from(part.to_bits())).wrapping_mul(0x0000_0100_0000_01b3);
                hash ^= hash >> 29;
            }
        }
        let last = values[values.len() - HEAD_DIM] as u32;
        for id in 0..self.shape.n_vocab as u64 {
            let bits = (hash ^ id.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            logits.push(if self.poison == Some(last) {
                f32::NAN
            } else {
                (bits >> 40) as f32 * 1e-6
            });
        }
    }
}

/// The positions that logits after `n_tokens` depend on: each 16th, others after each token, so that all have their
/// turn within 16 tokens; and the last.
fn looked_at(n_tokens: usize) -> impl Iterator<Item = usize> {
    (0..n_tokens).filter(move |position| position % 16 == n_tokens % 16 || position + 1 == n_tokens)
}

/// `[HEAD_DIM]`: what the cache keeps of a token.
fn value_of(token: u32, position: usize) -> [f32; HEAD_DIM] {
    let mut value = [0.0; HEAD_DIM];
    (value[0], value[1]) = (token as f32, position as f32);
    value
}
