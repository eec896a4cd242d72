//! A stack of blocks between embedding and output: the frame of all decoder-only architectures.

use tokenmill_kernels::attention::Span;
use tokenmill_kernels::kv_cache::{KvCache, KvShape, KvType};
use tokenmill_kernels::pool::Pool;
use tokenmill_kernels::rope::RopeTable;

use super::embedding::Embedding;
use super::lora::adapted_rows;
use super::output::Output;
use super::{Block, Step, rope};
use crate::batch::{Batch, Model, SequenceRows, Shape};
use crate::config::Config;
use crate::scratch::Scratch;
use crate::weights::{Tensor, WeightError, Weights};

pub(crate) struct Decoder {
    shape: Shape,
    embedding: Embedding,
    rope: RopeTable,
    blocks: Vec<Block>,
    output: Output,
}

impl Decoder {
    /// Takes embedding, rope and output; `block` takes each layer's tensors, given their common prefix `blk.N`.
    pub(crate) fn load(
        config: &Config,
        weights: &mut Weights<'_>,
        block: impl Fn(&mut Weights<'_>, usize, &str) -> Result<Block, WeightError>,
    ) -> Result<Decoder, WeightError> {
        let &Config {
            n_layers,
            n_kv_heads,
            head_dim,
            n_vocab,
            n_context,
            ..
        } = config;
        let kv_type = kv_type(weights);
        let embedding = Embedding::load(weights, config)?;
        Ok(Decoder {
            shape: Shape {
                n_vocab,
                n_context,
                kv: KvShape {
                    n_layers,
                    n_kv_heads,
                    head_dim,
                    kv_type,
                },
            },
            rope: rope::load(weights, config)?,
            output: Output::load(weights, config, &embedding)?,
            embedding,
            blocks: (0..n_layers)
                .map(|layer| block(weights, layer, &format!("blk.{layer}")))
                .collect::<Result<_, _>>()?,
        })
    }
}

/// BF16 has 8 bits of mantissa. Beside matrices of F16 or F32, it would be the coarsest rounding of a pass: the divergence from F32
/// was 20 times llama.cpp's. Beside others it is lost in theirs. `docs/benchmarks.md` has the figures.
fn kv_type(weights: &Weights<'_>) -> KvType {
    let is_coarse = |tensor: &Tensor<'_>| {
        let format = weights.rounded_to(tensor).unwrap_or(tensor.format);
        tensor.shape.len() >= 2 && !["F32", "F16"].contains(&format.name)
    };
    if weights.iter().any(|(_, tensor)| is_coarse(tensor)) {
        KvType::Bf16
    } else {
        KvType::F32
    }
}

impl Model for Decoder {
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
        if batch.tokens.is_empty() {
            logits.clear();
            return;
        }
        self.embedding.forward(&batch.tokens, &mut scratch.hidden);
        self.rope
            .rotations(batch.sequences.iter().flat_map(positions), &mut scratch.rotations);
        let spans = spans(batch);
        let adapted = adapted_rows(batch);
        let mut step = Step {
            pool,
            n_rows: batch.tokens.len(),
            spans: &spans,
            adapted: &adapted,
            layer: 0,
            cache,
            scratch,
        };
        for (layer, block) in self.blocks.iter().enumerate() {
            step.layer = layer;
            block.forward(&mut step);
        }
        let wanted = batch.sequences.iter().zip(&spans).flat_map(|(sequence, span)| {
            let end = span.first_row + span.n_rows;
            end - sequence.n_logits..end
        });
        self.output.forward(&mut step, wanted, logits);
    }
}

fn positions(sequence: &SequenceRows) -> impl Iterator<Item = u32> {
    (sequence.position..sequence.position + sequence.n_rows).map(|position| position as u32)
}

fn spans(batch: &Batch) -> Vec<Span<'_>> {
    let mut first_row = 0;
    let mut spans = Vec::with_capacity(batch.sequences.len());
    for &SequenceRows {
        n_rows,
        position,
        ref pages,
        ..
    } in &batch.sequences
    {
        spans.push(Span {
            first_row,
            n_rows,
            position,
            pages,
        });
        first_row += n_rows;
    }
    spans
}
