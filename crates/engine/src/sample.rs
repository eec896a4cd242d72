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
//! 4. **Mask**: tokens that are not allowed are out. None left is the caller's fault.
//! 5. **Greedy**, if the temperature is below 1e-5 or `top_k` is 1: the highest logit, of equal ones the lowest id.
//! 6. **`top_k`**: the `k` tokens with the highest logits stay, of equal ones those with the lowest ids.
//! 7. **Temperature**: `weight = round(2^30 exp((logit - highest) / temperature))`, an integer. What is less than
//!    2^-31 times as likely as the most likely token has weight 0 and is never drawn.
//! 8. **`top_p`**: in the order of weight, highest first, of equal ones the lowest id first, a token stays if the
//!    weights before it add up to less than `top_p` of all that stayed so far.
//! 9. **`min_p`**: tokens of less weight than `min_p` times the highest are out.
//! 10. **Draw** of one that stayed, each as likely as its weight: among the tokens that 4, 6 and 9 left, with `w` their
//!     total weight, `r = floor(u w / 2^64)` and the first token *by id* at which the running total of weights exceeds
//!     `r`. If 8 put that token out, everything from it on in the order of 8 is left aside, and the draw is repeated
//!     with the next `u`. (What is kept lies before it, so each kept token remains as likely as its weight.)
//!
//! So nothing is ever put in order: whether a token is in the nucleus needs only the sum of the weights before it, one
//! pass over integers, and `1 + ln(1 / top_p)` passes are expected, whatever the logits are.
//!
//! Weights are integers so that totals do not depend on the order of adding. The first `u` is the 64-bit output of a
//! counter-based generator over `seed` and the index of the token in the output, so a token depends on neither
//! neighbours nor interruptions.

use crate::Sampling;
use std::collections::HashMap;
use tokenmill_kernels::isa::Isa;
use tokenmill_kernels::logits::{BLOCK, Bound, MOST, Scale, add_up, pick, scan, weigh};

/// The temperature below which choosing is greedy.
const GREEDY_BELOW: f32 = 1e-5;
/// Tokens that are looked at together where the best are gathered.
const GLANCE: usize = 16;

/// Why no token could be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SampleError {
    /// A fault of the model.
    #[error("the model gave logits that are not finite")]
    NotFinite,
    /// A fault of the mask.
    #[error("the mask allows no token")]
    NothingAllowed,
}

/// The tokens that penalties look at.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// None if no penalty is set, so that nothing is counted.
    seen: Option<Seen>,
}

/// Ids side by side, since every token is adjusted at every step.
#[derive(Clone, Debug, Default)]
struct Seen {
    /// Id, and how often it was generated.
    tokens: Vec<(u32, u32)>,
    /// Where in `tokens` an id is.
    places: HashMap<u32, usize>,
}

impl Seen {
    fn count(&mut self, id: u32, n: u32) {
        let place = *self.places.entry(id).or_insert(self.tokens.len());
        if place == self.tokens.len() {
            self.tokens.push((id, 0));
        }
        self.tokens[place].1 += n;
    }
}

impl History {
    /// The history before the first token is generated.
    pub fn new(sampling: &Sampling, prompt: &[u32]) -> History {
        let seen = sampling.needs_history().then(|| {
            let mut seen = Seen::default();
            prompt.iter().for_each(|&id| seen.count(id, 0));
            seen
        });
        History { seen }
    }

    /// A token was generated.
    pub fn push(&mut self, id: u32) {
        if let Some(seen) = &mut self.seen {
            seen.count(id, 1);
        }
    }
}

/// One row of logits and what to choose by.
#[derive(Debug)]
pub struct Row<'a> {
    /// `[n_vocab]`; changed.
    pub logits: &'a mut [f32],
    /// How to choose.
    pub sampling: &'a Sampling,
    /// What penalties look at.
    pub history: &'a History,
    /// Bit `id % 32` of word `id / 32` says whether a token may be chosen; none: all may. Tokens beyond it may not.
    pub allowed: Option<&'a [u32]>,
    /// Index of the token in the output.
    pub n_generated: u64,
}

/// Chooses tokens. Keeps only memory between calls, nothing that a result depends on.
#[derive(Debug)]
pub struct Sampler {
    isa: Isa,
    /// The highest logit of each block.
    highest: Vec<f32>,
    /// Room for finding the how-manieth highest block.
    selection: Vec<f32>,
    /// Logit and id of the best tokens, see [`key`]; afterwards by id.
    keys: Vec<u64>,
    /// The logits of `keys`.
    best: Vec<f32>,
    /// Totals of the blocks, of what may still be drawn.
    totals: Vec<u64>,
    /// The same, of what comes before a token.
    before: Vec<u64>,
}

impl Default for Sampler {
    fn default() -> Sampler {
        Sampler::new(Isa::detect())
    }
}

impl Sampler {
    /// A sampler that computes with `isa`, which this CPU must have. The choice changes no result.
    pub fn new(isa: Isa) -> Sampler {
        Sampler {
            isa,
            highest: Vec::new(),
            selection: Vec::new(),
            keys: Vec::new(),
            best: Vec::new(),
            totals: Vec::new(),
            before: Vec::new(),
        }
    }

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
    ) -> Result<u32, SampleError> {
        self.choose(&mut Row {
            logits,
            sampling,
            history,
            allowed: None,
            n_generated,
        })
    }

    /// Chooses the token of a row.
    ///
    /// # Errors
    /// If a logit is NaN or infinite, or no token is allowed.
    pub fn choose(&mut self, row: &mut Row<'_>) -> Result<u32, SampleError> {
        let sampling = row.sampling;
        adjust(row.logits, sampling, row.history);
        let mut highest = scan(self.isa, row.logits, &mut self.highest).ok_or(SampleError::NotFinite)?;
        if let Some(allowed) = row.allowed {
            highest = self.mask(row.logits, allowed);
            if highest == f32::NEG_INFINITY {
                return Err(SampleError::NothingAllowed);
            }
        }
        if sampling.temperature < GREEDY_BELOW || sampling.top_k == 1 {
            return Ok(self.first_of(row.logits, highest));
        }
        let scale = Scale::new(highest, sampling.temperature);
        let draw = random(sampling.seed, row.n_generated);
        if sampling.top_k == 0 || sampling.top_k >= row.logits.len() {
            return Ok(to_id(self.draw(row.logits, scale, sampling, draw)));
        }
        self.keep_best(row.logits, sampling.top_k);
        let mut best = std::mem::take(&mut self.best);
        let _ = scan(self.isa, &best, &mut self.highest);
        let place = self.draw(&mut best, scale, sampling, draw);
        self.best = best;
        Ok(id_of(self.keys[place]))
    }

    /// Takes out the tokens that are not allowed; gives the highest logit of those that are, or -inf.
    fn mask(&mut self, logits: &mut [f32], allowed: &[u32]) -> f32 {
        for (idx, (block, highest)) in logits.chunks_mut(BLOCK).zip(&mut self.highest).enumerate() {
            let half = |half| u64::from(allowed.get(2 * idx + half).copied().unwrap_or(0));
            let word = half(0) | half(1) << 32;
            match word {
                u64::MAX => {}
                // A block without a highest logit is passed over, whatever its logits are.
                0 => *highest = f32::NEG_INFINITY,
                _ => {
                    for (within, logit) in block.iter_mut().enumerate() {
                        if word >> within & 1 == 0 {
                            *logit = f32::NEG_INFINITY;
                        }
                    }
                    *highest = block.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                }
            }
        }
        self.highest.iter().copied().fold(f32::NEG_INFINITY, f32::max)
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

    /// Steps 7 to 10 on all of `logits`, whose blocks' highest are in `highest`; gives an index.
    fn draw(&mut self, logits: &mut [f32], scale: Scale, sampling: &Sampling, mut draw: u64) -> usize {
        let isa = self.isa;
        let least = share(sampling.min_p, u64::from(MOST)) as u32;
        let has_nucleus = sampling.top_p < 1.0;
        // With top_p, what min_p puts out still counts for the total.
        let least_now = if has_nucleus { 0 } else { least };
        let weights = weigh(isa, logits, &self.highest, scale, least_now, &mut self.totals);
        let mut total = self.totals.iter().sum();
        let enough = share(sampling.top_p, total);
        let mut bound = Bound {
            weight: least.max(1) - 1,
            id: 0,
        };
        if has_nucleus && least > 0 {
            total = add_up(isa, &weights, bound, &mut self.totals);
        }
        loop {
            let idx = pick(&weights, bound, &self.totals, scaled(draw, total)).unwrap_or(0);
            if !has_nucleus {
                return idx;
            }
            bound = Bound {
                weight: weights.get(idx),
                id: idx,
            };
            let before = add_up(isa, &weights, bound, &mut self.before);
            if before < enough {
                return idx;
            }
            std::mem::swap(&mut self.totals, &mut self.before);
            total = before;
            draw = next_draw(draw);
        }
    }

    /// Fills `keys` and `best` with the `n` best tokens, by id.
    fn keep_best(&mut self, logits: &[f32], n: usize) {
        // The n-th best of the blocks' highest is a bound: at least n logits reach it, and only these blocks' do.
        // What is not allowed is -inf and stays out.
        let mut bound = f32::MIN;
        if n < self.highest.len() {
            self.selection.clone_from(&self.highest);
            let (_, nth, _) = self
                .selection
                .select_nth_unstable_by(n - 1, |a, b| b.total_cmp(a));
            bound = bound.max(*nth);
        }
        self.gather(logits, bound, n);
        if n < self.keys.len() {
            self.keys.select_nth_unstable_by(n, |a, b| b.cmp(a));
            self.keys.truncate(n);
            self.keys.sort_unstable_by_key(|&key| id_of(key));
        }
        self.best.clear();
        self.best.extend(self.keys.iter().map(|&key| logit_of(key)));
    }

    /// Fills `keys` by id with the tokens whose logits reach `bound`; of those that just do, the first `n`.
    fn gather(&mut self, logits: &[f32], bound: f32, n: usize) {
        self.keys.clear();
        let mut n_equal = 0;
        for (idx, (block, &highest)) in logits.chunks(BLOCK).zip(&self.highest).enumerate() {
            if highest < bound || highest == bound && n_equal >= n {
                continue;
            }
            for (glance, some) in block.chunks(GLANCE).enumerate() {
                if !some.iter().fold(false, |any, &logit| any | (logit >= bound)) {
                    continue;
                }
                let start = idx * BLOCK + glance * GLANCE;
                for (within, &logit) in some.iter().enumerate() {
                    let is_equal = logit == bound;
                    if logit > bound || is_equal && n_equal < n {
                        n_equal += usize::from(is_equal);
                        self.keys.push(key(logit, to_id(start + within)));
                    }
                }
            }
        }
    }
}

/// Bias and penalties, which touch few logits.
fn adjust(logits: &mut [f32], sampling: &Sampling, history: &History) {
    for &(id, bias) in &sampling.logit_bias {
        logits[id as usize] += bias;
    }
    let seen = history.seen.iter().flat_map(|seen| &seen.tokens);
    for &(id, n_generated) in seen {
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

/// The draw after this one.
pub fn next_draw(draw: u64) -> u64 {
    mix(draw.wrapping_add(0x9e37_79b9_7f4a_7c15))
}

/// A bijection in which each input bit moves about half of the output bits.
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
