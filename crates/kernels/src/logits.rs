//! What choosing a token does to a whole row of logits: find the highest, turn all into weights, add weights up.
//!
//! A row is looked at in blocks of 64 tokens. Weights are integers, so that totals do not depend on the order of
//! adding: `weight = round(2^30 e^((logit - highest) / temperature))`, by own arithmetic over
//! `Lanes`, so that every instruction set gives the same bits, and [`weight`] is the twin.
//!
//! # What was tried
//! Rows of 151,936 logits, AVX2 (`cargo run --release -p tokenmill-engine --example sampling_speed`), on a busy machine,
//! best of many; the table is in `docs/benchmarks.md`:
//!
//! * An exponential written with scalars, left to the compiler to turn into vector code for plain x86-64: 370 us a row.
//!   Over `Lanes`, with a polynomial of degree 5 and the conversion instruction: 65 us.
//! * A histogram of weights, to find a nucleus without ordering it, would take some cycles a token in scalar code, and
//!   is not needed: to know whether *one* token is in the nucleus takes only the sum of the weights before it,
//!   [`add_up`], 20 us.
//! * A row of 600 KB does not fit the second-level cache of 512 KiB, and weights beside it even less: with weights in a
//!   buffer of their own, [`weigh`] took 85 us. So they take the place of the logits, and it goes backwards through what
//!   [`scan`] left in the cache.
//! * Replacing small weights by zero made the compiler store under masks, which some CPUs do very slowly: 180 us.
//!   They stay, and only sums leave them out.
//! * A block whose highest logit is too low for any weight is passed over.

use crate::isa::Isa;
use crate::simd::{self, LANES, Lanes, lanes_at};

/// Logits of this many tokens are looked at together.
pub const BLOCK: usize = 64;
/// Weight of the most likely token.
pub const MOST: u32 = 1 << 30;

/// `1.5 * 2^23 + 30`: added to a small number it leaves the nearest integer, plus 30, in the low bits of the mantissa.
const ROUND: f32 = 12_582_942.0;
/// At `2^-31` times the likeliest, a weight is 0.
const LOWEST: f32 = -31.0;
/// `2^x = 1 + x P(x)` on `-1/2..1/2`: interpolated at Chebyshev's nodes, off by 2e-7 at most.
const POWER: [f32; 5] = [
    1.338_130_2e-3,
    9.666_368e-3,
    5.550_381e-2,
    2.402_235e-1,
    6.931_472e-1,
];

/// From logits to weights.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    highest: f32,
    /// `log2(e) / temperature`
    factor: f32,
}

impl Scale {
    /// For a row with `highest` as its highest logit; `temperature` is positive.
    pub fn new(highest: f32, temperature: f32) -> Scale {
        Scale {
            highest,
            factor: std::f32::consts::LOG2_E / temperature,
        }
    }

    /// Whether tokens with logits up to this one surely have weight 0.
    fn is_nothing(self, logit: f32) -> bool {
        (logit - self.highest) * self.factor <= LOWEST
    }
}

/// The weight of one token: the twin of [`weigh`], with the same bits. `logit` is at most the highest of `scale`.
pub fn weight(scale: Scale, logit: f32) -> u32 {
    let power = (logit - scale.highest) * scale.factor;
    let power = if power > LOWEST { power } else { LOWEST };
    let shifted = power + ROUND;
    let part = power - (shifted - ROUND);
    let mut sum = POWER[0];
    for coefficient in &POWER[1..] {
        sum = sum.mul_add(part, *coefficient);
    }
    sum = sum.mul_add(part, 1.0);
    let scaled = f32::from_bits(sum.to_bits().wrapping_add(shifted.to_bits() << 23));
    scaled.round_ties_even() as u32
}

/// Fills `highest` with the highest logit of each block. None if there are no logits or one is not finite.
pub fn scan(isa: Isa, logits: &[f32], highest: &mut Vec<f32>) -> Option<f32> {
    highest.clear();
    highest.reserve(logits.len().div_ceil(BLOCK));
    let mut zero = 0.0;
    simd::run(
        isa,
        Scan {
            logits,
            highest,
            zero: &mut zero,
        },
    );
    (zero == 0.0)
        .then(|| highest.iter().copied().reduce(f32::max))
        .flatten()
}

struct Scan<'a> {
    logits: &'a [f32],
    highest: &'a mut Vec<f32>,
    /// Stays 0 if all logits are finite, becomes NaN if not.
    zero: &'a mut f32,
}

impl simd::Task for Scan<'_> {
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let mut zeros = [V::splat(0.0); 4];
        let (blocks, rest) = self.logits.as_chunks::<BLOCK>();
        for block in blocks {
            self.highest.push(scan_block::<V>(block, &mut zeros));
        }
        if !rest.is_empty() {
            self.highest
                .push(scan_block::<V>(&filled_up(rest, f32::MIN), &mut zeros));
        }
        *self.zero = zeros[0].add(zeros[1]).add(zeros[2].add(zeros[3])).sum();
    }
}

#[inline(always)]
fn scan_block<V: Lanes>(block: &[f32; BLOCK], zeros: &mut [V; 4]) -> f32 {
    let mut lanes = [V::splat(f32::MIN); 4];
    for quarter in 0..4 {
        let logits = V::load(lanes_at(block, quarter * LANES));
        lanes[quarter] = logits;
        zeros[quarter] = logits.mul_add(V::splat(0.0), zeros[quarter]);
    }
    lanes[0].max(lanes[1]).max(lanes[2].max(lanes[3])).greatest()
}

/// The last block of a row.
#[inline(always)]
fn filled_up(rest: &[f32], filler: f32) -> [f32; BLOCK] {
    let mut last = [filler; BLOCK];
    last[..rest.len()].copy_from_slice(rest);
    last
}

/// The weights of a row.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a> {
    /// `[n_vocab]`; what stands in blocks that are nothing has no meaning.
    weights: &'a [u32],
    highest: &'a [f32],
    scale: Scale,
}

impl Weights<'_> {
    /// The weight of token `idx`.
    pub fn get(&self, idx: usize) -> u32 {
        if self.scale.is_nothing(self.highest[idx / BLOCK]) {
            0
        } else {
            self.weights[idx]
        }
    }
}

/// Turns `logits` into weights, in place, and fills `totals` with the sum of each block of what reaches `least`.
/// `highest` is what [`scan`] found.
pub fn weigh<'a>(
    isa: Isa,
    logits: &'a mut [f32],
    highest: &'a [f32],
    scale: Scale,
    least: u32,
    totals: &mut Vec<u64>,
) -> Weights<'a> {
    let weights: &mut [u32] = bytemuck::cast_slice_mut(logits);
    totals.clear();
    totals.resize(highest.len(), 0);
    simd::run(
        isa,
        Weigh {
            weights,
            highest,
            scale,
            least,
            totals,
        },
    );
    Weights {
        weights,
        highest,
        scale,
    }
}

struct Weigh<'a> {
    /// Logits at first.
    weights: &'a mut [u32],
    highest: &'a [f32],
    scale: Scale,
    least: u32,
    totals: &'a mut [u64],
}

impl simd::Task for Weigh<'_> {
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let Weigh {
            weights,
            highest,
            scale,
            least,
            totals,
        } = self;
        let (blocks, rest) = weights.as_chunks_mut::<BLOCK>();
        let n_blocks = blocks.len();
        if !rest.is_empty() {
            let mut last = [f32::NEG_INFINITY.to_bits(); BLOCK];
            last[..rest.len()].copy_from_slice(rest);
            totals[n_blocks] = weigh_block::<V>(&mut last, highest[n_blocks], scale, least);
            rest.copy_from_slice(&last[..rest.len()]);
        }
        for at in (0..n_blocks).rev() {
            totals[at] = weigh_block::<V>(&mut blocks[at], highest[at], scale, least);
        }
    }
}

/// Gives the total of what reaches `least`.
#[inline(always)]
fn weigh_block<V: Lanes>(weights: &mut [u32; BLOCK], highest: f32, scale: Scale, least: u32) -> u64 {
    if scale.is_nothing(highest) {
        return 0;
    }
    for quarter in weights.as_chunks_mut::<LANES>().0 {
        let logits: &[f32; LANES] = bytemuck::cast_ref(quarter);
        weigh_lanes(V::load(logits), scale).store_rounded(quarter);
    }
    total_of(weights, least)
}

/// As [`weight`], up to rounding.
#[inline(always)]
fn weigh_lanes<V: Lanes>(logits: V, scale: Scale) -> V {
    let power = logits.sub(V::splat(scale.highest)).mul(V::splat(scale.factor));
    let power = power.max(V::splat(LOWEST));
    let shifted = power.add(V::splat(ROUND));
    let part = power.sub(shifted.sub(V::splat(ROUND)));
    let mut sum = V::splat(POWER[0]);
    for coefficient in &POWER[1..] {
        sum = sum.mul_add(part, V::splat(*coefficient));
    }
    sum.mul_add(part, V::splat(1.0)).scale_by_power(shifted)
}

/// The sum of what reaches `least`. Written so that the compiler widens few vectors, since two weights fit 32 bits, and
/// without closures, which are compiled without the instructions of their caller.
#[inline(always)]
fn total_of(weights: &[u32; BLOCK], least: u32) -> u64 {
    let mut total = 0;
    for at in 0..BLOCK / 2 {
        let (a, b) = (weights[at], weights[at + BLOCK / 2]);
        let a = if a < least { 0 } else { a };
        let b = if b < least { 0 } else { b };
        total += u64::from(a + b);
    }
    total
}

/// Where a beginning of the order of tokens ends. Tokens are ordered by weight, highest first, of equal ones the lowest
/// id first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Tokens with more weight are inside.
    pub weight: u32,
    /// So are tokens with just this weight and a lower id.
    pub id: usize,
}

impl Bound {
    /// Whether a token is inside.
    pub fn has(self, weight: u32, id: usize) -> bool {
        weight > self.weight || weight == self.weight && id < self.id
    }

    /// Inside is what reaches this weight, as seen from a block that does not hold `id`; at least 1.
    fn least_in(self, block: usize) -> u32 {
        if block * BLOCK < self.id {
            self.weight
        } else {
            self.weight + 1
        }
    }
}

/// Adds up the weights that lie inside `bound`: block by block into `totals`, all together as the result.
pub fn add_up(isa: Isa, weights: &Weights<'_>, bound: Bound, totals: &mut Vec<u64>) -> u64 {
    totals.clear();
    totals.resize(weights.highest.len(), 0);
    simd::run(
        isa,
        AddUp {
            weights,
            bound,
            totals,
        },
    );
    totals.iter().sum()
}

struct AddUp<'a> {
    weights: &'a Weights<'a>,
    bound: Bound,
    totals: &'a mut [u64],
}

impl simd::Task for AddUp<'_> {
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let AddUp {
            weights,
            bound,
            totals,
        } = self;
        let (blocks, rest) = weights.weights.as_chunks::<BLOCK>();
        for (at, block) in blocks.iter().enumerate() {
            if !weights.scale.is_nothing(weights.highest[at]) {
                totals[at] = total_of(block, bound.least_in(at));
            }
        }
        if !rest.is_empty() {
            totals[blocks.len()] = slow_total_of(weights, bound, blocks.len());
        }
        // The block of the bound's own token, where some of equal weight are inside and some are not.
        let at = bound.id / BLOCK;
        totals[at] = slow_total_of(weights, bound, at);
    }
}

fn slow_total_of(weights: &Weights<'_>, bound: Bound, block: usize) -> u64 {
    let ids = block * BLOCK..weights.weights.len().min((block + 1) * BLOCK);
    ids.map(|id| (id, weights.get(id)))
        .filter(|&(id, weight)| bound.has(weight, id))
        .map(|(_, weight)| u64::from(weight))
        .sum()
}

/// The first token at which the running total by id of the weights inside `bound` exceeds `rest`; `totals` are the
/// blocks', for `bound`. None if `rest` is not below the total.
pub fn pick(weights: &Weights<'_>, bound: Bound, totals: &[u64], mut rest: u64) -> Option<usize> {
    let block = totals.iter().position(|&total| {
        let is_here = rest < total;
        if !is_here {
            rest -= total;
        }
        is_here
    })?;
    let mut ids = block * BLOCK..weights.weights.len().min((block + 1) * BLOCK);
    ids.find(|&id| {
        let weight = weights.get(id);
        if !bound.has(weight, id) {
            return false;
        }
        let is_here = rest < u64::from(weight);
        rest = rest.saturating_sub(u64::from(weight));
        is_here
    })
}
