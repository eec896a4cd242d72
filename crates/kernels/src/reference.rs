//! The slow obvious twins that tests compare with: formulas as one would write them down, in `f64`, in any order.

use crate::quant::{Format, Numbers};

/// RMS norm of rows of `weight.len()` numbers, in `f64`.
pub fn rms_norm(x: &[f32], weight: &[f32], eps: f32) -> Vec<f64> {
    let rows = x.chunks_exact(weight.len());
    rows.flat_map(|row| {
        let mean_square = row.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / row.len() as f64;
        let factor = 1.0 / (mean_square + f64::from(eps)).sqrt();
        row.iter()
            .zip(weight)
            .map(move |(&x, &weight)| f64::from(x) * factor * f64::from(weight))
    })
    .collect()
}

/// `silu(gate) * up`, in `f64`.
pub fn swiglu(gate: &[f32], up: &[f32]) -> Vec<f64> {
    gate.iter()
        .zip(up)
        .map(|(&gate, &up)| f64::from(gate) / (1.0 + (-f64::from(gate)).exp()) * f64::from(up))
        .collect()
}

/// One query head `q`, `[head_dim]`, over the keys and values that it sees, `[n_tokens][head_dim]`, in `f64`: scores
/// are multiplied with `scale`, then bent by `soft_cap`; `sink` is one more score, without a value.
pub fn attention(
    q: &[f32],
    keys: &[&[f32]],
    values: &[&[f32]],
    (scale, soft_cap, sink): (f32, Option<f32>, Option<f32>),
) -> Vec<f64> {
    let dot = |key: &&[f32]| {
        q.iter()
            .zip(*key)
            .map(|(&q, &k)| f64::from(q) * f64::from(k))
            .sum::<f64>()
    };
    let bend = |score: f64| soft_cap.map_or(score, |cap| f64::from(cap) * (score / f64::from(cap)).tanh());
    let scores: Vec<f64> = keys.iter().map(|key| bend(dot(key) * f64::from(scale))).collect();
    let sink = sink.map_or(f64::NEG_INFINITY, f64::from);
    let greatest = scores.iter().copied().fold(sink, f64::max);
    let weights: Vec<f64> = scores.iter().map(|score| (score - greatest).exp()).collect();
    let total: f64 = weights.iter().sum::<f64>() + (sink - greatest).exp();
    (0..q.len())
        .map(|dim| {
            weights
                .iter()
                .zip(values)
                .map(|(weight, value)| weight * f64::from(value[dim]))
                .sum::<f64>()
                / total
        })
        .collect()
}

/// `x weights^T` with weights `[n_rows, n_cols]` in the layout of their file, added up in exactly the order that the
/// kernels promise: equal bits are expected.
///
/// # Panics
/// The lengths do not fit together.
pub fn matmul(format: &Format, n_cols: usize, weights: &[u8], x: &[f32]) -> Vec<f32> {
    let rows: Vec<&[u8]> = weights
        .chunks_exact(format.row_bytes(n_cols).expect("whole blocks"))
        .collect();
    let tokens = x.chunks_exact(n_cols);
    tokens
        .flat_map(|x| rows.iter().map(move |row| dot(format, row, x)))
        .collect()
}

fn dot(format: &Format, row: &[u8], x: &[f32]) -> f32 {
    let Some((group, numbers)) = format.numbers else {
        return dot_floats(format, row, x);
    };
    let mut sum = 0.0_f32;
    let mut block_numbers = Numbers::ZERO;
    for (block, x) in row
        .chunks_exact(format.block_bytes)
        .zip(x.chunks(format.block_len))
    {
        numbers(block, &mut block_numbers);
        for (step, x) in x.chunks(32).enumerate() {
            let (scale, quantized) = quantize(x);
            for (i, quantized) in quantized.chunks(group).enumerate() {
                let group_number = step * 32 / group + i;
                let values = &block_numbers.values[group_number * group..];
                let dot: i32 = quantized
                    .iter()
                    .zip(values)
                    .map(|(&q, &value)| q * i32::from(value))
                    .sum();
                sum = (dot as f32 * scale).mul_add(block_numbers.scales[group_number], sum);
                if format.has_minimum() {
                    let weight = quantized.iter().sum::<i32>() as f32 * scale;
                    sum = block_numbers.minima[group_number].mul_add(weight, sum);
                }
            }
        }
    }
    sum
}

fn dot_floats(format: &Format, row: &[u8], x: &[f32]) -> f32 {
    let mut weights = vec![0.0; x.len()];
    format.decode(row, &mut weights);
    weights.resize(x.len().next_multiple_of(32), 0.0);
    let x: Vec<f32> = x
        .iter()
        .copied()
        .chain(std::iter::repeat(0.0))
        .take(weights.len())
        .collect();
    let parts = weights.chunks(32).zip(x.chunks(32));
    parts.fold(0.0, |sum, (weights, x)| {
        sum + weights
            .iter()
            .zip(x)
            .fold(0.0_f32, |part, (weight, &x)| weight.mul_add(x, part))
    })
}

/// 32 activations as bytes and what a unit of them is worth.
fn quantize(x: &[f32]) -> (f32, Vec<i32>) {
    let zeros = vec![0; x.len()];
    if x.iter().any(|x| !x.is_finite()) {
        return (f32::NAN, zeros);
    }
    let largest = x.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
    if largest < 1e-30 {
        return (0.0, zeros);
    }
    let factor = 127.0 / largest;
    (
        largest / 127.0,
        x.iter().map(|x| (x * factor).round_ties_even() as i32).collect(),
    )
}
