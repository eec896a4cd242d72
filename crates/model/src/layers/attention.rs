//! Self-attention: project, norm, rotate, remember, attend, project back.

use tokenmill_kernels::attention::{Attention, attention};
use tokenmill_kernels::kv_cache::write_kv;
use tokenmill_kernels::rope::rope;

use super::linear::project;
use super::lora::{Changing, adapt};
use super::{Linear, RmsNorm, Step};
use crate::adapter::Target;
use crate::config::Config;

pub(crate) struct SelfAttention {
    pub(crate) query: Linear,
    pub(crate) key: Linear,
    pub(crate) value: Linear,
    pub(crate) output: Linear,
    /// Over each head's numbers, before they are rotated.
    pub(crate) query_norm: Option<RmsNorm>,
    pub(crate) key_norm: Option<RmsNorm>,
    pub(crate) heads: Heads,
}

/// How a layer's attention sees.
pub(crate) struct Heads {
    layer: usize,
    n_heads: usize,
    n_kv_heads: usize,
    head_dim: usize,
    window: Option<usize>,
    rope: bool,
}

impl Heads {
    pub(crate) fn of_layer(config: &Config, layer: usize) -> Heads {
        let &Config {
            n_heads,
            n_kv_heads,
            head_dim,
            ..
        } = config;
        let seen = config.attention[layer];
        Heads {
            layer,
            n_heads,
            n_kv_heads,
            head_dim,
            window: seen.window,
            rope: seen.rope,
        }
    }
}

impl SelfAttention {
    /// Reads `normed`, sets `branch`.
    pub(crate) fn forward(&self, step: &mut Step<'_>) {
        self.project_inputs(step);
        self.attend(step);
        let changing = Changing::of(step);
        let (pool, n_rows) = (step.pool, step.n_rows);
        let scratch = &mut *step.scratch;
        let output = [(&self.output, &mut scratch.branch)];
        project(pool, &mut scratch.matmul, &scratch.attended, n_rows, output);
        let buffers = (&mut scratch.matmul, &mut scratch.lora);
        let output = [(Target::Output, &mut scratch.branch)];
        adapt(&changing, buffers, &scratch.attended, output);
    }

    /// Reads `normed`, sets `queries`, `keys` and `values`.
    fn project_inputs(&self, step: &mut Step<'_>) {
        let changing = Changing::of(step);
        let (pool, n_rows) = (step.pool, step.n_rows);
        let scratch = &mut *step.scratch;
        let (queries, keys, values) = (&mut scratch.queries, &mut scratch.keys, &mut scratch.values);
        let inputs = [
            (&self.query, &mut *queries),
            (&self.key, &mut *keys),
            (&self.value, &mut *values),
        ];
        project(pool, &mut scratch.matmul, &scratch.normed, n_rows, inputs);
        let buffers = (&mut scratch.matmul, &mut scratch.lora);
        let inputs = [
            (Target::Query, queries),
            (Target::Key, keys),
            (Target::Value, values),
        ];
        adapt(&changing, buffers, &scratch.normed, inputs);
    }

    /// Norms and rotates queries and keys, remembers keys and values, sets `attended`.
    fn attend(&self, step: &mut Step<'_>) {
        let &mut Step {
            pool,
            spans,
            ref mut cache,
            ref mut scratch,
            ..
        } = step;
        let scratch = &mut **scratch;
        let (queries, keys, values) = (&mut scratch.queries, &mut scratch.keys, &scratch.values);
        if let Some(norm) = &self.query_norm {
            norm.forward_in_place(pool, queries);
        }
        if let Some(norm) = &self.key_norm {
            norm.forward_in_place(pool, keys);
        }
        let &Heads {
            layer,
            n_heads,
            n_kv_heads,
            head_dim,
            window,
            rope: rotated,
        } = &self.heads;
        if rotated {
            rope(pool, &scratch.rotations, queries, n_heads, head_dim);
            rope(pool, &scratch.rotations, keys, n_kv_heads, head_dim);
        }
        write_kv(pool, cache, layer, spans, keys, values);
        scratch.attended.resize(queries.len(), 0.0);
        let scale = 1.0 / (head_dim as f32).sqrt();
        let seen = Attention {
            layer,
            n_heads,
            scale,
            window,
            soft_cap: None,
            sinks: None,
            spans,
        };
        attention(
            pool,
            &mut scratch.attention,
            cache,
            &seen,
            queries,
            &mut scratch.attended,
        );
    }
}
