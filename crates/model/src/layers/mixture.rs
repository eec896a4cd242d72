//! A mixture of experts: of many feed-forward parts, each token goes through a few, which its router chooses.

use tokenmill_kernels::activation::swiglu;
use tokenmill_kernels::experts::{RoutedProduct, Rows, combine, routed_matmul};
use tokenmill_kernels::matmul::Matrix;

use super::linear::project;
use super::{Linear, Step};
use crate::config::{Config, Experts};
use crate::weights::{WeightError, Weights};

pub(crate) struct Mixture {
    router: Linear,
    /// One matrix for each expert, as in the two others.
    gates: Vec<Matrix>,
    ups: Vec<Matrix>,
    downs: Vec<Matrix>,
    shape: Experts,
}

impl Mixture {
    /// Takes `PREFIX.ffn_gate_inp`, `ffn_gate_exps`, `ffn_up_exps` and `ffn_down_exps`.
    pub(crate) fn load(
        weights: &mut Weights<'_>,
        prefix: &str,
        config: &Config,
    ) -> Result<Mixture, WeightError> {
        let n_embd = config.n_embd;
        let shape = config.experts.ok_or_else(|| WeightError::Missing {
            name: format!("{prefix}.ffn_gate_exps"),
        })?;
        let Experts { n_experts, n_ff, .. } = shape;
        Ok(Mixture {
            router: Linear::load_as_it_is(weights, &format!("{prefix}.ffn_gate_inp"), n_experts, n_embd)?,
            gates: weights.experts(&format!("{prefix}.ffn_gate_exps"), n_experts, n_ff, n_embd)?,
            ups: weights.experts(&format!("{prefix}.ffn_up_exps"), n_experts, n_ff, n_embd)?,
            downs: weights.experts(&format!("{prefix}.ffn_down_exps"), n_experts, n_embd, n_ff)?,
            shape,
        })
    }

    /// Reads `normed`, sets `branch`.
    pub(crate) fn forward(&self, step: &mut Step<'_>) {
        let (pool, n_rows) = (step.pool, step.n_rows);
        let scratch = &mut *step.scratch;
        let &Experts {
            n_experts,
            n_chosen,
            n_ff,
            normalise,
        } = &self.shape;
        let scores = [(&self.router, &mut scratch.router_scores)];
        project(pool, &mut scratch.matmul, &scratch.normed, n_rows, scores);
        let routing = &mut scratch.routing;
        routing.choose(pool, &scratch.router_scores, n_experts, n_chosen, normalise);
        let n_routed = routing.n_rows();
        scratch.gate.resize(n_routed * n_ff, 0.0);
        scratch.up.resize(n_routed * n_ff, 0.0);
        let products = &mut [
            RoutedProduct {
                experts: &self.gates,
                out: &mut scratch.gate,
            },
            RoutedProduct {
                experts: &self.ups,
                out: &mut scratch.up,
            },
        ];
        let tokens = (scratch.normed.as_slice(), Rows::Tokens);
        routed_matmul(pool, &mut scratch.routed, routing, tokens, products);
        swiglu(pool, &mut scratch.gate, &scratch.up);
        let n_embd = scratch.normed.len() / n_rows;
        scratch.answers.resize(n_routed * n_embd, 0.0);
        let products = &mut [RoutedProduct {
            experts: &self.downs,
            out: &mut scratch.answers,
        }];
        let inner = (scratch.gate.as_slice(), Rows::Routed);
        routed_matmul(pool, &mut scratch.routed, routing, inner, products);
        scratch.branch.resize(n_rows * n_embd, 0.0);
        combine(pool, routing, &scratch.answers, &mut scratch.branch);
    }
}
