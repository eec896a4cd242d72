//! Frequencies of rotary position embeddings, stretched as the model was.

use std::f64::consts::TAU;

use tokenmill_kernels::rope::RopeTable;

use crate::config::{Config, Rope, RopeScaling};
use crate::weights::{WeightError, Weights};

/// The frequencies of a model. Takes `rope_freqs.weight`, divisors of the frequencies, if the file has it.
pub(crate) fn load(weights: &mut Weights<'_>, config: &Config) -> Result<RopeTable, WeightError> {
    let divisors = weights.optional_vector("rope_freqs.weight", config.rope.n_rot / 2)?;
    let (mut inv_freq, attention_factor) = frequencies(&config.rope);
    for (inv_freq, divisor) in inv_freq.iter_mut().zip(divisors.iter().flatten()) {
        *inv_freq /= f64::from(*divisor);
    }
    let inv_freq = inv_freq.into_iter().map(|inv_freq| inv_freq as f32).collect();
    Ok(RopeTable::new(inv_freq, attention_factor, config.rope.pairing))
}

/// Radians per position of each pair, and what multiplies the rotated numbers.
fn frequencies(rope: &Rope) -> (Vec<f64>, f32) {
    let n_rot = rope.n_rot as f64;
    let base = f64::from(rope.base);
    let as_trained = (0..rope.n_rot / 2).map(|pair| base.powf(-2.0 * pair as f64 / n_rot));
    match rope.scaling {
        RopeScaling::None => (as_trained.collect(), 1.0),
        RopeScaling::Linear { factor } => (
            as_trained.map(|inv_freq| inv_freq / f64::from(factor)).collect(),
            1.0,
        ),
        RopeScaling::Llama3 {
            factor,
            low_freq_factor,
            high_freq_factor,
            original_context,
        } => {
            let [factor, low, high] = [factor, low_freq_factor, high_freq_factor].map(f64::from);
            let stretched = |inv_freq: f64| {
                // How often the pair turns within the context of the first training.
                let turns = original_context as f64 * inv_freq / TAU;
                let kept = ((turns - low) / (high - low)).clamp(0.0, 1.0);
                inv_freq * (kept + (1.0 - kept) / factor)
            };
            (as_trained.map(stretched).collect(), 1.0)
        }
        RopeScaling::Yarn {
            factor,
            original_context,
            attention_factor,
            beta_fast,
            beta_slow,
        } => {
            let factor = f64::from(factor);
            // The pair that turns so many times within the context of the first training.
            let pair_of = |turns: f32| {
                n_rot * (original_context as f64 / (f64::from(turns) * TAU)).ln() / (2.0 * base.ln())
            };
            let first = pair_of(beta_fast).floor().max(0.0);
            let last = pair_of(beta_slow).ceil().min(n_rot - 1.0);
            let width = if first == last { 0.001 } else { last - first };
            let stretched = as_trained.enumerate().map(|(pair, inv_freq)| {
                let divided = ((pair as f64 - first) / width).clamp(0.0, 1.0);
                inv_freq * (1.0 - divided + divided / factor)
            });
            let default = if factor <= 1.0 {
                1.0
            } else {
                0.1 * factor.ln() + 1.0
            };
            (stretched.collect(), attention_factor.unwrap_or(default as f32))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Pairing;

    fn rope(scaling: RopeScaling) -> Rope {
        Rope {
            base: 10_000.0,
            n_rot: 64,
            pairing: Pairing::Halves,
            scaling,
        }
    }

    #[test]
    fn llama3_keeps_short_waves_and_divides_long_ones() {
        let scaling = RopeScaling::Llama3 {
            factor: 8.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_context: 8192,
        };
        let (plain, _) = frequencies(&rope(RopeScaling::None));
        let (stretched, attention_factor) = frequencies(&rope(scaling));
        assert_eq!((plain[0], attention_factor), (1.0, 1.0));
        assert_eq!(stretched[0], plain[0]);
        assert!((stretched[31] * 8.0 - plain[31]).abs() < 1e-12);
        for ((plain, stretched), next) in plain.iter().zip(&stretched).zip(&stretched[1..]) {
            assert!(stretched <= plain && *stretched >= plain / 8.0 && next < stretched);
        }
    }

    #[test]
    fn yarn_keeps_short_waves_divides_long_ones_and_warms_attention() {
        let scaling = RopeScaling::Yarn {
            factor: 4.0,
            original_context: 32768,
            attention_factor: None,
            beta_fast: 32.0,
            beta_slow: 1.0,
        };
        let (plain, _) = frequencies(&rope(RopeScaling::None));
        let (stretched, attention_factor) = frequencies(&rope(scaling));
        assert!((attention_factor - (0.1 * 4.0_f32.ln() + 1.0)).abs() < 1e-6);
        assert_eq!(stretched[0], plain[0]);
        assert!((stretched[31] * 4.0 - plain[31]).abs() < 1e-12);
    }
}
