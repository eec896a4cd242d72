//! From logits to a token.
//!
//! # What is computed
//! In this order, each step on the result of the one before:
//!
//! 1. **Bias**: `logit_bias` is added.
//! 2. **Penalties**: `repetition_penalty` divides the logit of each token that is in prompt or output if positive and
//!    multiplies it if not; then `frequency_penalty` is taken off once for each time that the token was *generated*,
//!    and `presence_penalty` once if it was generated at all.
//! 3. A logit that is not finite now is a fault of the model.
//! 4. **Greedy**, if the temperature is below 1e-5 or `top_k` is 1: the highest logit, of equal ones the lowest id.
//! 5. **Temperature**: `weight = round(2^30 exp((logit - highest) / temperature))`, an integer. What is less than
//!    2^-31 times as likely as the most likely token has weight 0 and is never drawn.
//! 6. **`top_k`**: the tokens are ordered by logit, highest first, of equal ones the lowest id first; the first `k` stay.
//! 7. **`top_p`**: the shortest beginning that has at least `top_p` of the weight of those that stayed.
//! 8. **`min_p`**: the order is cut at the first token whose weight is below `min_p` times the highest.
//! 9. **Draw**: with `w` the total weight of what is left and `r = floor(u w / 2^64)`, the first token at which the
//!    running total of weights exceeds `r`. With neither of 6 to 8, the running total goes by id and not by logit.
//!
//! Weights are integers so that totals do not depend on the order of adding, and the short ways taken below give
//! exactly what the long way gives. `u` is the 64-bit output of a counter-based generator over `seed` and the index
//! of the token in the output, so a token depends on neither neighbours nor interruptions.

use crate::Sampling;
use std::collections::BTreeMap;

/// Logits of this many tokens are looked at together.
const BLOCK: usize = 64;
/// Weight of the most likely token.
const ONE: u32 = 1 << 30;
/// The temperature below which choosing is greedy.
const GREEDY_BELOW: f32 = 1e-5;
/// How many tokens are put in order first, when it is not known how many are needed.
const FIRST_ORDERED: usize = 64;

/// Logits that are not numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the model gave logits that are not finite")]
pub struct NotFinite;

/// The tokens that penalties look at.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// None if no penalty is set, so that nothing is counted.
    seen: Option<BTreeMap<u32, u32>>,
}

impl History {
    /// The history before the first token is generated.
    pub fn new(sampling: &Sampling, prompt: &[u32]) -> History {
        let seen = sampling
            .needs_history()
            .then(|| prompt.iter().map(|&id| (id, 0)).collect());
        History { seen }
    }

    /// A token was generated.
    pub fn push(&mut self, id: u32) {
        if let Some(seen) = &mut self.seen {
            *seen.entry(id).or_default() += 1;
        }
    }
}

/// Chooses tokens. Keeps only memory between calls, nothing that a result depends on.
#[derive(Debug, Default)]
pub struct Sampler {
    /// The highest logit of each block.
    highest: Vec<f32>,
    /// Room for finding the how-manieth highest block.
    selection: Vec<f32>,
    /// Logit and id of tokens, see [`key`].
    keys: Vec<u64>,
    /// Total weight of each block.
    totals: Vec<u64>,
}

impl Sampler {
    /// Chooses the token with index `n_generated` of a sequence from its `logits`, `[n_vocab]`, which are changed.
    ///
    /// # Errors
    /// If a logit is NaN or infinite.
    pub fn sample(
        &mut self,
        logits: &mut [f32],
        sampling: &Sampling,
        history: &History,
        n_generated: u64,
    ) -> Result<u32, NotFinite> {
        adjust(logits, sampling, history);
        let highest = self.scan(logits)?;
        if sampling.temperature < GREEDY_BELOW || sampling.top_k == 1 {
            return Ok(self.first_of(logits, highest));
        }
        let draw = random(sampling.seed, n_generated);
        let scale = Scale {
            highest,
            per_temperature: 1.0 / sampling.temperature,
        };
        if sampling.top_k == 0 && sampling.top_p >= 1.0 && sampling.min_p <= 0.0 {
            return Ok(self.draw_from_all(logits, scale, draw));
        }
        Ok(self.draw_from_best(logits, sampling, scale, draw))
    }

    /// The highest logit; notes the highest of each block.
    fn scan(&mut self, logits: &[f32]) -> Result<f32, NotFinite> {
        self.highest.clear();
        let mut zero = 0.0;
        for block in logits.chunks(BLOCK) {
            let (highest, zero_if_finite) = scan_block(block);
            self.highest.push(highest);
            zero += zero_if_finite;
        }
        if zero != 0.0 {
            return Err(NotFinite);
        }
        self.highest.iter().copied().reduce(f32::max).ok_or(NotFinite)
    }

    /// The lowest id whose logit is `highest`.
    fn first_of(&self, logits: &[f32], highest: f32) -> u32 {
        let block = self
            .highest
            .iter()
            .position(|&block| block == highest)
            .unwrap_or(0);
        let start = block * BLOCK;
        let within = logits[start..]
            .iter()
            .position(|&logit| logit == highest)
            .unwrap_or(0);
        to_id(start + within)
    }

    fn draw_from_all(&mut self, logits: &[f32], scale: Scale, draw: u64) -> u32 {
        let total = self.weigh(logits, scale);
        let mut rest = scaled(draw, total);
        let mut start = 0;
        for &block in &self.totals {
            if rest < block {
                break;
            }
            rest -= block;
            start += BLOCK;
        }
        let within = logits[start..].iter().position(|&logit| {
            let weight = u64::from(scale.weight(logit));
            let is_here = rest < weight;
            rest = rest.saturating_sub(weight);
            is_here
        });
        to_id(start + within.unwrap_or(0))
    }

    /// Orders only as many of the best tokens as turn out to be needed.
    fn draw_from_best(&mut self, logits: &[f32], sampling: &Sampling, scale: Scale, draw: u64) -> u32 {
        let n_most = if sampling.top_k == 0 {
            logits.len()
        } else {
            sampling.top_k.min(logits.len())
        };
        let mut total = None;
        if sampling.top_k == 0 && sampling.top_p < 1.0 {
            total = Some(self.weigh(logits, scale));
        }
        let mut n_ordered = if sampling.top_k == 0 {
            FIRST_ORDERED.min(n_most)
        } else {
            n_most
        };
        loop {
            self.order_best(logits, n_ordered);
            let total = total.unwrap_or_else(|| self.keys.iter().map(|&key| scale.weight_of(key)).sum());
            let kept = Kept::new(&self.keys, scale, sampling, total);
            if kept.n_tokens < n_ordered || n_ordered == n_most {
                return kept.draw(&self.keys, scale, draw);
            }
            n_ordered = n_ordered.saturating_mul(8).min(n_most);
        }
    }

    /// Total weight of all tokens; notes that of each block.
    fn weigh(&mut self, logits: &[f32], scale: Scale) -> u64 {
        self.totals.clear();
        self.totals.extend(logits.chunks(BLOCK).map(|block| {
            let mut weights = [0u32; BLOCK];
            for (weight, &logit) in weights.iter_mut().zip(block) {
                *weight = scale.weight(logit);
            }
            weights.iter().map(|&weight| u64::from(weight)).sum::<u64>()
        }));
        self.totals.iter().sum()
    }

    /// Fills `keys` with the `n` best tokens, best first.
    fn order_best(&mut self, logits: &[f32], n: usize) {
        self.keys.clear();
        // The n-th best of the blocks' highest is a bound: at least n logits reach it, and only these blocks' do.
        let mut bound = f32::NEG_INFINITY;
        if n < self.highest.len() {
            self.selection.clone_from(&self.highest);
            let (_, nth, _) = self
                .selection
                .select_nth_unstable_by(n - 1, |a, b| b.total_cmp(a));
            bound = *nth;
        }
        for (idx, block) in logits
            .chunks(BLOCK)
            .enumerate()
            .filter(|&(idx, _)| self.highest[idx] >= bound)
        {
            let start = idx * BLOCK;
            let within = block.iter().enumerate().filter(|&(_, &logit)| logit >= bound);
            self.keys
                .extend(within.map(|(within, &logit)| key(logit, to_id(start + within))));
        }
        if n < self.keys.len() {
            self.keys.select_nth_unstable_by(n, |a, b| b.cmp(a));
            self.keys.truncate(n);
        }
        self.keys.sort_unstable_by(|a, b| b.cmp(a));
    }
}

/// Bias and penalties, which touch few logits.
fn adjust(logits: &mut [f32], sampling: &Sampling, history: &History) {
    for &(id, bias) in &sampling.logit_bias {
        logits[id as usize] += bias;
    }
    for (&id, &n_generated) in history.seen.iter().flatten() {
        let logit = &mut logits[id as usize];
        if *logit > 0.0 {
            *logit /= sampling.repetition_penalty;
        } else {
            *logit *= sampling.repetition_penalty;
        }
        if n_generated > 0 {
            *logit -= sampling.frequency_penalty * n_generated as f32;
            *logit -= sampling.presence_penalty;
        }
    }
}

/// The highest of at most [`BLOCK`] logits, and zero if all are finite, NaN if not.
fn scan_block(block: &[f32]) -> (f32, f32) {
    let mut highest = [f32::NEG_INFINITY; 8];
    let mut zero = [0.0; 8];
    let mut octets = block.chunks_exact(8);
    for octet in &mut octets {
        for (lane, &logit) in octet.iter().enumerate() {
            highest[lane] = if logit > highest[lane] {
                logit
            } else {
                highest[lane]
            };
            zero[lane] += logit * 0.0;
        }
    }
    for (lane, &logit) in octets.remainder().iter().enumerate() {
        highest[lane] = highest[lane].max(logit);
        zero[lane] += logit * 0.0;
    }
    (
        highest.into_iter().fold(f32::NEG_INFINITY, f32::max),
        zero.iter().sum(),
    )
}

/// From logits to weights.
#[derive(Clone, Copy)]
struct Scale {
    highest: f32,
    per_temperature: f32,
}

impl Scale {
    fn weight(self, logit: f32) -> u32 {
        weight((logit - self.highest) * self.per_temperature)
    }

    fn weight_of(self, key: u64) -> u64 {
        u64::from(self.weight(logit_of(key)))
    }
}

/// `round(2^30 exp(x))` for `x <= 0`, within 2 parts in a million before rounding. Own arithmetic and no library's, so
/// that the bits are the same everywhere; no branches, so that compilers turn it into vector code.
pub fn weight(x: f32) -> u32 {
    /// Adding and taking away rounds to whole numbers.
    const ROUND: f32 = 12_582_912.0;
    // Below this the weight is 0.
    let x = if x > -22.0 { x } else { -22.0 };
    let x = x * std::f32::consts::LOG2_E;
    let whole_bits = (x + ROUND).to_bits();
    let whole = (x + ROUND) - ROUND;
    let part = x - whole;
    // 2^part for |part| <= 1/2.
    let mut power = 1.540_353e-4_f32;
    power = power * part + 1.333_355_8e-3;
    power = power * part + 9.618_129e-3;
    power = power * part + 5.550_411e-2;
    power = power * part + 2.402_265e-1;
    power = power * part + 6.931_472e-1;
    power = power * part + 1.0;
    let exponent = (whole_bits as i32 - ROUND.to_bits() as i32 + (127 + 30)) << 23;
    let scaled = power * f32::from_bits(exponent as u32);
    // To an integer in two halves of 15 bits, with the same trick: conversions that saturate are no vector code.
    let high = (scaled * (1.0 / 32768.0) + ROUND) - ROUND;
    let low = scaled - high * 32768.0;
    let high_bits = (high + ROUND).to_bits().wrapping_sub(ROUND.to_bits());
    let low_bits = (low + ROUND).to_bits().wrapping_sub(ROUND.to_bits());
    (high_bits << 15).wrapping_add(low_bits)
}

/// Which of the ordered tokens may be drawn.
struct Kept {
    n_tokens: usize,
    weight: u64,
}

impl Kept {
    /// The beginning of `keys` that `top_p` of `total` and `min_p` leave; all of `keys` if it might go on beyond.
    fn new(keys: &[u64], scale: Scale, sampling: &Sampling, total: u64) -> Kept {
        let enough = if sampling.top_p < 1.0 {
            share(sampling.top_p, total)
        } else {
            u64::MAX
        };
        let least = share(sampling.min_p, u64::from(ONE));
        let mut kept = Kept {
            n_tokens: 0,
            weight: 0,
        };
        for &key in keys {
            let weight = scale.weight_of(key);
            if kept.n_tokens > 0 && (kept.weight >= enough || weight < least) {
                break;
            }
            kept.n_tokens += 1;
            kept.weight += weight;
        }
        kept
    }

    fn draw(&self, keys: &[u64], scale: Scale, draw: u64) -> u32 {
        let mut rest = scaled(draw, self.weight);
        for &key in &keys[..self.n_tokens] {
            let weight = scale.weight_of(key);
            if rest < weight {
                return id_of(key);
            }
            rest -= weight;
        }
        id_of(keys[0])
    }
}

/// `part` of `total`, rounded up.
fn share(part: f32, total: u64) -> u64 {
    (f64::from(part) * total as f64).ceil() as u64
}

/// `floor(draw total / 2^64)`: evenly from `0..total`.
fn scaled(draw: u64, total: u64) -> u64 {
    ((u128::from(draw) * u128::from(total)) >> 64) as u64
}

/// Orders as logit, then as lower id. The two zeros are equal.
fn key(logit: f32, id: u32) -> u64 {
    let bits = (logit + 0.0).to_bits();
    let ordered = if bits >> 31 == 0 { bits | 1 << 31 } else { !bits };
    u64::from(ordered) << 32 | u64::from(!id)
}

fn logit_of(key: u64) -> f32 {
    let ordered = (key >> 32) as u32;
    f32::from_bits(if ordered >> 31 == 1 {
        ordered & !(1 << 31)
    } else {
        !ordered
    })
}

fn id_of(key: u64) -> u32 {
    !(key as u32)
}

/// Ids are below `n_vocab`, which is far below 2^32.
fn to_id(idx: usize) -> u32 {
    idx as u32
}

/// 64 random bits for each (seed, index): SplitMix64 (Steele, Lea, Flood 2014), whose state is a counter, started at
/// a mix of the seed so that neighbouring seeds have nothing in common.
pub fn random(seed: u64, index: u64) -> u64 {
    const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
    let state = mix(seed.wrapping_add(GOLDEN));
    mix(state.wrapping_add(GOLDEN.wrapping_mul(index.wrapping_add(1))))
}

/// A bijection in which each input bit moves about half of the output bits.
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
