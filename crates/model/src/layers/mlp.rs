//! The feed-forward part: `down(silu(gate(x)) * up(x))`.

use tokenmill_kernels::activation::swiglu;

use super::linear::project;
use super::lora::{Changing, adapt};
use super::{Linear, Step};
use crate::adapter::Target;
use crate::config::Config;
use crate::weights::{WeightError, Weights};

pub(crate) struct Mlp {
    gate: Linear,
    up: Linear,
    down: Linear,
}

impl Mlp {
    /// Takes `PREFIX.ffn_gate`, `ffn_up` and `ffn_down`.
    pub(crate) fn load(weights: &mut Weights<'_>, prefix: &str, config: &Config) -> Result<Mlp, WeightError> {
        let &Config { n_embd, n_ff, .. } = config;
        Ok(Mlp {
            gate: Linear::load(weights, &format!("{prefix}.ffn_gate"), n_ff, n_embd)?,
            up: Linear::load(weights, &format!("{prefix}.ffn_up"), n_ff, n_embd)?,
            down: Linear::load(weights, &format!("{prefix}.ffn_down"), n_embd, n_ff)?,
        })
    }

    /// Reads `normed`, sets `branch`.
    pub(crate) fn forward(&self, step: &mut Step<'_>) {
        let (pool, n_rows) = (step.pool, step.n_rows);
        let changing = Changing::of(step);
        let scratch = &mut *step.scratch;
        let inputs = [(&self.gate, &mut scratch.gate), (&self.up, &mut scratch.up)];
        project(pool, &mut scratch.matmul, &scratch.normed, n_rows, inputs);
        let buffers = (&mut scratch.matmul, &mut scratch.lora);
        let inputs = [(Target::Gate, &mut scratch.gate), (Target::Up, &mut scratch.up)];
        adapt(&changing, buffers, &scratch.normed, inputs);
        swiglu(pool, &mut scratch.gate, &scratch.up);
        let output = [(&self.down, &mut scratch.branch)];
        project(pool, &mut scratch.matmul, &scratch.gate, n_rows, output);
        let buffers = (&mut scratch.matmul, &mut scratch.lora);
        let output = [(Target::Down, &mut scratch.branch)];
        adapt(&changing, buffers, &scratch.gate, output);
    }
}
