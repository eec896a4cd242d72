//! Qwen3: a Llama with norms over the heads of queries and keys.

use std::sync::Arc;

use super::Architecture;
use crate::batch::Model;
use crate::config::Config;
use crate::layers::{Block, Decoder, Heads, Linear, Mlp, RmsNorm, SelfAttention};
use crate::weights::{WeightError, Weights};

pub(super) static QWEN3: Architecture = Architecture {
    name: "qwen3",
    hugging_face: &["Qwen3ForCausalLM"],
    build,
};

fn build(config: &Config, weights: &mut Weights<'_>) -> Result<Arc<dyn Model>, WeightError> {
    Ok(Arc::new(Decoder::load(
        config,
        weights,
        |weights, layer, prefix| block(config, weights, layer, prefix),
    )?))
}

fn block(
    config: &Config,
    weights: &mut Weights<'_>,
    layer: usize,
    prefix: &str,
) -> Result<Block, WeightError> {
    let &Config {
        n_embd,
        head_dim,
        rms_eps,
        ..
    } = config;
    let (n_queries, n_keys) = (config.n_heads * head_dim, config.n_kv_heads * head_dim);
    Ok(Block {
        attention_norm: RmsNorm::load(weights, &format!("{prefix}.attn_norm"), n_embd, rms_eps)?,
        attention: SelfAttention {
            query: Linear::load(weights, &format!("{prefix}.attn_q"), n_queries, n_embd)?,
            key: Linear::load(weights, &format!("{prefix}.attn_k"), n_keys, n_embd)?,
            value: Linear::load(weights, &format!("{prefix}.attn_v"), n_keys, n_embd)?,
            output: Linear::load(weights, &format!("{prefix}.attn_output"), n_embd, n_queries)?,
            query_norm: Some(RmsNorm::load(
                weights,
                &format!("{prefix}.attn_q_norm"),
                head_dim,
                rms_eps,
            )?),
            key_norm: Some(RmsNorm::load(
                weights,
                &format!("{prefix}.attn_k_norm"),
                head_dim,
                rms_eps,
            )?),
            heads: Heads::of_layer(config, layer),
        },
        mlp_norm: RmsNorm::load(weights, &format!("{prefix}.ffn_norm"), n_embd, rms_eps)?,
        feed_forward: Mlp::load(weights, prefix, config)?.into(),
    })
}
