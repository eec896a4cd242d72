//! `y = x W^T + b`

use std::sync::Arc;

use tokenmill_kernels::activation::add_bias;
use tokenmill_kernels::matmul::{MatmulScratch, Matrix, Product, matmul};
use tokenmill_kernels::pool::Pool;

use crate::weights::{WeightError, Weights};

/// A matrix, and a bias where the model has one.
pub(crate) struct Linear {
    /// `[n_outputs, n_inputs]`; shared where embedding and output are tied.
    weights: Arc<Matrix>,
    /// `[n_outputs]`
    bias: Option<Vec<f32>>,
}

impl Linear {
    /// Takes `NAME.weight`, and `NAME.bias` if the file has it.
    pub(crate) fn load(
        weights: &mut Weights<'_>,
        name: &str,
        n_outputs: usize,
        n_inputs: usize,
    ) -> Result<Linear, WeightError> {
        Ok(Linear {
            weights: Arc::new(weights.matrix(&format!("{name}.weight"), n_outputs, n_inputs)?),
            bias: weights.optional_vector(&format!("{name}.bias"), n_outputs)?,
        })
    }

    /// As [`Linear::load`], where the bias belongs to the architecture and must be there.
    pub(crate) fn load_biased(
        weights: &mut Weights<'_>,
        name: &str,
        n_outputs: usize,
        n_inputs: usize,
    ) -> Result<Linear, WeightError> {
        Ok(Linear {
            weights: Arc::new(weights.matrix(&format!("{name}.weight"), n_outputs, n_inputs)?),
            bias: Some(weights.vector(&format!("{name}.bias"), n_outputs)?),
        })
    }

    /// Takes `NAME.weight`, and never rounds it.
    pub(crate) fn load_as_it_is(
        weights: &mut Weights<'_>,
        name: &str,
        n_outputs: usize,
        n_inputs: usize,
    ) -> Result<Linear, WeightError> {
        let matrix = weights.matrix_as_it_is(&format!("{name}.weight"), n_outputs, n_inputs)?;
        Ok(Linear::shared(Arc::new(matrix)))
    }

    /// A matrix that is used elsewhere too.
    pub(crate) fn shared(weights: Arc<Matrix>) -> Linear {
        Linear { weights, bias: None }
    }
}

/// Runs rows `x`, `[n_rows, n_inputs]`, through several matrices at once; each output becomes `[n_rows, n_outputs]`.
pub(crate) fn project<const N: usize>(
    pool: &Pool,
    scratch: &mut MatmulScratch,
    x: &[f32],
    n_rows: usize,
    outputs: [(&Linear, &mut Vec<f32>); N],
) {
    let biases = outputs.each_ref().map(|(linear, _)| linear.bias.as_deref());
    let mut products = outputs.map(|(linear, out)| {
        out.resize(n_rows * linear.weights.n_rows(), 0.0);
        Product {
            weights: &linear.weights,
            out,
        }
    });
    matmul(pool, scratch, x, n_rows, &mut products);
    for (product, bias) in products.iter_mut().zip(biases) {
        if let Some(bias) = bias {
            add_bias(pool, product.out, bias);
        }
    }
}
