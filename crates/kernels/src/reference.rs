//! The slow obvious twins that tests compare with: formulas as one would write them down, in `f64`, in any order.

/// RMS norm of rows of `weight.len()` numbers, in `f64`.
pub fn rms_norm(x: &[f32], weight: &[f32], eps: f32) -> Vec<f64> {
    let rows = x.chunks_exact(weight.len());
    rows.flat_map(|row| {
        let mean_square = row.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / row.len() as f64;
        let factor = 1.0 / (mean_square + f64::from(eps)).sqrt();
        row.iter().zip(weight).map(move |(&x, &weight)| f64::from(x) * factor * f64::from(weight))
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

/// One query head `q`, `[head_dim]`, over the keys and values that it sees, `[n_tokens][head_dim]`, in `f64`.
pub fn attention(q: &[f32], keys: &[&[f32]], values: &[&[f32]], scale: f32) -> Vec<f64> {
    let dot = |key: &&[f32]| q.iter().zip(*key).map(|(&q, &k)| f64::from(q) * f64::from(k)).sum::<f64>();
    let scores: Vec<f64> = keys.iter().map(|key| dot(key) * f64::from(scale)).collect();
    let greatest = scores.iter().copied().fold(f64::MIN, f64::max);
    let weights: Vec<f64> = scores.iter().map(|score| (score - greatest).exp()).collect();
    let total: f64 = weights.iter().sum();
    (0..q.len())
        .map(|dim| weights.iter().zip(values).map(|(weight, value)| weight * f64::from(value[dim])).sum::<f64>() / total)
        .collect()
}
