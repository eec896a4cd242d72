//! What an operator can choose about an engine.

use crate::StartError;
use serde::{Deserialize, Serialize};
use tokenmill_kernels::kv_cache::{KvShape, KvType, PAGE_TOKENS};

/// Limits of one engine. All memory that grows with load is bounded by these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Sequences that share a forward pass.
    pub max_running: usize,
    /// Sequences that may wait for a place. One more is refused with `QueueFull`.
    pub max_waiting: usize,
    /// Tokens that one forward pass computes at most: one for each generating sequence, the rest for prompts. Must
    /// exceed `max_running`, so that prompts always get on.
    pub step_tokens: usize,
    /// Milliseconds that a forward pass should take at most while somebody generates: prompts are cut into pieces
    /// that keep to it, by what earlier passes took. Where generating alone takes longer than half of it, prompts
    /// get as much time again.
    pub inter_token_ms: usize,
    /// Bytes for keys and values, in pages of 64 tokens.
    pub kv_bytes: usize,
    /// How they are kept.
    pub kv_type: KvChoice,
    /// Keep the pages of finished sequences for prompts that begin alike.
    pub prefix_cache: bool,
    /// Guess tokens from what came before in the same sequence and verify several in one pass, where that is
    /// expected to save time. The tokens are the same with and without it.
    pub speculation: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            max_running: 64,
            max_waiting: 256,
            step_tokens: 256,
            inter_token_ms: 150,
            kv_bytes: 1 << 30,
            kv_type: KvChoice::Auto,
            prefix_cache: true,
            speculation: true,
        }
    }
}

/// How keys and values are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KvChoice {
    /// As the model proposes: in 2 bytes, or 4 where all weights are F16 or F32.
    #[default]
    Auto,
    /// 4 bytes a number, exact.
    F32,
    /// 2 bytes, rounded to 8 bits of precision.
    Bf16,
    /// 1 byte, and a scale for each head of each token.
    Int8,
}

impl KvChoice {
    /// The words for the choices.
    pub const NAMES: &[&str] = &["auto", "f32", "bf16", "int8"];
    const ALL: [KvChoice; 4] = [KvChoice::Auto, KvChoice::F32, KvChoice::Bf16, KvChoice::Int8];

    /// The word for this choice.
    pub fn name(self) -> &'static str {
        KvChoice::NAMES[self as usize]
    }

    /// The choice that a word names.
    pub fn from_name(name: &str) -> Option<KvChoice> {
        KvChoice::ALL.into_iter().find(|choice| choice.name() == name)
    }

    /// What a cache for a model of this `shape` keeps.
    pub(crate) fn applied(self, shape: &KvShape) -> KvShape {
        let kv_type = match self {
            KvChoice::Auto => shape.kv_type,
            KvChoice::F32 => KvType::F32,
            KvChoice::Bf16 => KvType::Bf16,
            KvChoice::Int8 => KvType::Int8,
        };
        KvShape { kv_type, ..*shape }
    }
}

impl Options {
    /// Pages that `kv_bytes` hold, and no more than the sequences could ever fill.
    pub(crate) fn n_pages(&self, shape: &KvShape, n_context: usize) -> Result<usize, StartError> {
        self.check()?;
        let page_bytes = shape.page_bytes();
        let n_affordable = self.kv_bytes / page_bytes.max(1);
        if n_affordable == 0 {
            return Err(StartError::NoRoom {
                kv_bytes: self.kv_bytes,
                page_bytes,
            });
        }
        let n_sequences = self.max_running.saturating_add(self.max_waiting);
        let n_useful = n_context.div_ceil(PAGE_TOKENS).saturating_mul(n_sequences);
        Ok(n_affordable.min(n_useful).min(u32::MAX as usize))
    }

    fn check(&self) -> Result<(), StartError> {
        if self.max_running == 0 {
            return Err(StartError::NoPlace);
        }
        if self.step_tokens <= self.max_running {
            return Err(StartError::StepTooSmall {
                step_tokens: self.step_tokens,
                max_running: self.max_running,
            });
        }
        Ok(())
    }
}
