//! The sampler against its slow obvious twin, and what each parameter means.

use proptest::prelude::*;
use std::cmp::Reverse;
use tokenmill_engine::Sampling;
use tokenmill_engine::sample::{History, Row, SampleError, Sampler, next_draw, random};
use tokenmill_kernels::isa::Isa;
use tokenmill_kernels::logits::{MOST, Scale, weight};

/// The documented steps one after the other, with everything sorted and nothing skipped.
fn twin(
    logits: &[f32],
    sampling: &Sampling,
    prompt: &[u32],
    output: &[u32],
    allowed: Option<&[u32]>,
) -> Result<u32, SampleError> {
    let logits = adjusted(logits, sampling, prompt, output);
    if logits.iter().any(|logit| !logit.is_finite()) {
        return Err(SampleError::NotFinite);
    }
    let is_allowed = |id: usize| {
        allowed.is_none_or(|words| words.get(id / 32).is_some_and(|word| word >> (id % 32) & 1 == 1))
    };
    let ids: Vec<usize> = (0..logits.len()).filter(|&id| is_allowed(id)).collect();
    if ids.is_empty() {
        return Err(SampleError::NothingAllowed);
    }
    Ok(choose(&logits, ids, sampling, output.len() as u64))
}

/// Steps 1 and 2.
fn adjusted(logits: &[f32], sampling: &Sampling, prompt: &[u32], output: &[u32]) -> Vec<f32> {
    let mut logits = logits.to_vec();
    for &(id, bias) in &sampling.logit_bias {
        logits[id as usize] += bias;
    }
    for (id, logit) in logits.iter_mut().enumerate() {
        let n_generated = output.iter().filter(|&&token| token as usize == id).count();
        if n_generated > 0 || prompt.contains(&(id as u32)) {
            let repeated = sampling.repetition_penalty;
            *logit = if *logit > 0.0 {
                *logit / repeated
            } else {
                *logit * repeated
            };
            *logit -= sampling.frequency_penalty * n_generated as f32;
            *logit -= if n_generated > 0 {
                sampling.presence_penalty
            } else {
                0.0
            };
        }
    }
    logits
}

/// Steps 5 to 10.
fn choose(logits: &[f32], mut ids: Vec<usize>, sampling: &Sampling, n_generated: u64) -> u32 {
    // Stable, so equal logits stay in the order of their ids.
    ids.sort_by(|&a, &b| logits[b].partial_cmp(&logits[a]).expect("finite"));
    if sampling.temperature < 1e-5 {
        return ids[0] as u32;
    }
    let scale = Scale::new(logits[ids[0]], sampling.temperature);
    if sampling.top_k > 0 {
        ids.truncate(sampling.top_k);
    }
    let mut stayed: Vec<(u64, usize)> = ids
        .iter()
        .map(|&id| (u64::from(weight(scale, logits[id])), id))
        .collect();
    stayed.sort_by_key(|&(weight, id)| (Reverse(weight), id));
    let total: u64 = stayed.iter().map(|&(weight, _)| weight).sum();
    let enough = (f64::from(sampling.top_p) * total as f64).ceil() as u64;
    let mut before = 0;
    let mut kept = Vec::new();
    for &(weight, id) in &stayed {
        if before < enough || sampling.top_p >= 1.0 {
            kept.push(id);
        }
        before += weight;
    }
    let least = (f64::from(sampling.min_p) * f64::from(1 << 30)).ceil() as u64;
    stayed.retain(|&(weight, _)| weight >= least);
    let mut bits = random(sampling.seed, n_generated);
    loop {
        let total: u64 = stayed.iter().map(|&(weight, _)| weight).sum();
        let mut rest = ((u128::from(bits) * u128::from(total)) >> 64) as u64;
        let mut by_id = stayed.clone();
        by_id.sort_by_key(|&(_, id)| id);
        let drawn = by_id.iter().find(|&&(weight, _)| {
            let is_here = rest < weight;
            rest = rest.saturating_sub(weight);
            is_here
        });
        let &(_, id) = drawn.expect("the draw is below the total");
        if kept.contains(&id) {
            return id as u32;
        }
        let place = stayed.iter().position(|&(_, other)| other == id);
        stayed.truncate(place.expect("it was drawn from these"));
        bits = next_draw(bits);
    }
}

fn fast(logits: &[f32], sampling: &Sampling, prompt: &[u32], output: &[u32]) -> Result<u32, SampleError> {
    fast_on(Isa::detect(), logits, sampling, prompt, output, None)
}

fn fast_on(
    isa: Isa,
    logits: &[f32],
    sampling: &Sampling,
    prompt: &[u32],
    output: &[u32],
    allowed: Option<&[u32]>,
) -> Result<u32, SampleError> {
    let mut history = History::new(sampling, prompt);
    output.iter().for_each(|&id| history.push(id));
    Sampler::new(isa).choose(&mut Row {
        logits: &mut logits.to_vec(),
        sampling,
        history: &history,
        allowed,
        n_generated: output.len() as u64,
    })
}

prop_compose! {
    fn any_sampling(n_vocab: u32)(
        temperature in prop_oneof![Just(0.0f32), 0.01f32..3.0],
        top_p in prop_oneof![Just(1.0f32), 0.01f32..1.0],
        top_k in prop_oneof![Just(0usize), 1usize..8, 1usize..2000],
        min_p in prop_oneof![Just(0.0f32), 0.0f32..1.0, 0.0f32..0.01],
        presence_penalty in prop_oneof![Just(0.0f32), -2.0f32..2.0],
        frequency_penalty in prop_oneof![Just(0.0f32), -2.0f32..2.0],
        repetition_penalty in prop_oneof![Just(1.0f32), 0.5f32..2.0],
        logit_bias in prop::collection::vec((0..n_vocab, -100.0f32..100.0), 0..3),
        seed: u64,
    ) -> Sampling {
        Sampling {
            temperature, top_p, top_k, min_p, presence_penalty, frequency_penalty, repetition_penalty, logit_bias,
            seed,
        }
    }
}

/// Spread out, crowded together with many ties, or a few far above the rest.
fn any_logits() -> impl Strategy<Value = Vec<f32>> {
    let spread = prop::collection::vec(-20.0f32..20.0, 1..1500);
    let ties = prop::collection::vec((-4i8..4).prop_map(f32::from), 1..1500);
    let zeros = prop::collection::vec(prop_oneof![Just(0.0f32), Just(-0.0)], 1..200);
    let peaks = (
        prop::collection::vec(-3.0f32..0.0, 1..3000),
        prop::collection::vec((any::<usize>(), 5.0f32..25.0), 1..9),
    )
        .prop_map(|(mut logits, peaks)| {
            let n = logits.len();
            peaks.into_iter().for_each(|(idx, peak)| logits[idx % n] = peak);
            logits
        });
    prop_oneof![spread, ties, zeros, peaks]
}

fn any_case() -> impl Strategy<Value = (Vec<f32>, Sampling, Vec<u32>, Vec<u32>)> {
    any_logits().prop_flat_map(|logits| {
        let n_vocab = logits.len() as u32;
        let tokens = || prop::collection::vec(0..n_vocab, 0..20);
        (Just(logits), any_sampling(n_vocab), tokens(), tokens())
    })
}

/// Words that allow all, none or some, often fewer than there are tokens.
fn any_mask() -> impl Strategy<Value = Vec<u32>> {
    prop::collection::vec(
        prop_oneof![3 => Just(u32::MAX), 3 => Just(0), 1 => any::<u32>()],
        0..100,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn the_sampler_equals_its_twin((logits, sampling, prompt, output) in any_case()) {
        prop_assert_eq!(
            fast(&logits, &sampling, &prompt, &output),
            twin(&logits, &sampling, &prompt, &output, None)
        );
    }

    #[test]
    fn so_it_does_under_any_mask((logits, sampling, prompt, output) in any_case(), words in any_mask()) {
        prop_assert_eq!(
            fast_on(Isa::detect(), &logits, &sampling, &prompt, &output, Some(&words)),
            twin(&logits, &sampling, &prompt, &output, Some(&words))
        );
    }

    #[test]
    fn instruction_sets_agree((logits, sampling, prompt, output) in any_case(), words in any_mask()) {
        let on = |isa| fast_on(isa, &logits, &sampling, &prompt, &output, Some(&words));
        let expected = on(Isa::Scalar);
        for isa in Isa::available() {
            prop_assert_eq!(on(isa), expected, "{:?}", isa);
        }
    }

    #[test]
    fn a_used_sampler_equals_a_new_one((logits, sampling, prompt, output) in any_case(), other in any_case()) {
        let mut sampler = Sampler::default();
        let _ = sampler.sample(&mut other.0.clone(), &other.1, &History::new(&other.1, &other.2), 7);
        let mut history = History::new(&sampling, &prompt);
        output.iter().for_each(|&id| history.push(id));
        let used = sampler.sample(&mut logits.clone(), &sampling, &history, output.len() as u64);
        prop_assert_eq!(used, fast(&logits, &sampling, &prompt, &output));
    }

    #[test]
    fn a_weight_is_the_exponential(x in -25.0f32..=0.0) {
        let exact = f64::from(x).exp() * f64::from(MOST);
        let weight = f64::from(weight(Scale::new(0.0, 1.0), x));
        prop_assert!((weight - exact).abs() <= exact * 3e-6 + 1.0, "{weight} is not {exact}");
    }

    #[test]
    fn logits_that_are_not_finite_are_a_fault(
        mut logits in any_logits(),
        at: usize,
        bad in prop_oneof![Just(f32::NAN), Just(f32::INFINITY), Just(f32::NEG_INFINITY)],
        temperature in prop_oneof![Just(0.0f32), Just(1.0)],
    ) {
        let at = at % logits.len();
        logits[at] = bad;
        let sampling = Sampling { temperature, ..Sampling::greedy() };
        prop_assert_eq!(fast(&logits, &sampling, &[], &[]), Err(SampleError::NotFinite));
    }
}

#[test]
fn tokens_come_as_often_as_they_are_likely() {
    let odds = [1.0f64, 2.0, 3.0, 4.0, 10.0];
    let logits = odds.map(|odds| odds.ln() as f32);
    let sampling = Sampling {
        temperature: 1.0,
        seed: 20,
        ..Sampling::greedy()
    };
    let mut n_drawn = [0u32; 5];
    let n_draws = 200_000;
    for n_generated in 0..n_draws {
        let history = History::default();
        let id = Sampler::default().sample(&mut logits.clone(), &sampling, &history, n_generated);
        n_drawn[id.expect("finite") as usize] += 1;
    }
    let chi_squared: f64 = odds
        .iter()
        .zip(n_drawn)
        .map(|(odds, n_drawn)| {
            let expected = odds / 20.0 * n_draws as f64;
            (f64::from(n_drawn) - expected).powi(2) / expected
        })
        .sum();
    // Four degrees of freedom: exceeded by chance once in a thousand seeds, and this seed is fixed.
    assert!(chi_squared < 18.5, "{chi_squared} from {n_drawn:?}");
}

#[test]
fn top_p_keeps_the_token_that_crosses_it() {
    let logits: Vec<f32> = [0.5f32, 0.3, 0.2].iter().map(|p| p.ln()).collect();
    let drawn = |top_p: f32| -> Vec<u32> {
        let sampling = |seed| Sampling {
            temperature: 1.0,
            top_p,
            seed,
            ..Sampling::greedy()
        };
        let mut ids: Vec<u32> = (0..500)
            .map(|seed| fast(&logits, &sampling(seed), &[], &[]).expect("finite"))
            .collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    };
    assert_eq!(drawn(0.4), [0]);
    assert_eq!(drawn(0.6), [0, 1]);
    assert_eq!(drawn(0.9), [0, 1, 2]);
}

#[test]
fn presence_and_frequency_look_at_the_output_only_and_repetition_at_the_prompt_too() {
    let logits = [1.0, 0.9, 0.0];
    let choose =
        |sampling: &Sampling, prompt: &[u32], output: &[u32]| fast(&logits, sampling, prompt, output);
    let presence = Sampling {
        presence_penalty: 0.5,
        ..Sampling::greedy()
    };
    assert_eq!(choose(&presence, &[0], &[]), Ok(0));
    assert_eq!(choose(&presence, &[], &[0]), Ok(1));
    let frequency = Sampling {
        frequency_penalty: 0.06,
        ..Sampling::greedy()
    };
    assert_eq!(choose(&frequency, &[0, 0, 0], &[0]), Ok(0));
    assert_eq!(choose(&frequency, &[], &[0, 0]), Ok(1));
    let repetition = Sampling {
        repetition_penalty: 1.5,
        ..Sampling::greedy()
    };
    assert_eq!(choose(&repetition, &[0], &[]), Ok(1));
}

#[test]
fn a_token_is_kept_as_often_as_it_is_likely_under_top_p_and_min_p() {
    let odds = [1.0f64, 2.0, 30.0, 4.0, 10.0];
    let logits = odds.map(|odds| odds.ln() as f32);
    // 30 + 10 of 47 are less than 0.9 of it, with the 4 it is enough; 0.05 of 30 puts out what is below 1.5.
    let sampling = Sampling {
        temperature: 1.0,
        top_p: 0.9,
        min_p: 0.05,
        seed: 5,
        ..Sampling::greedy()
    };
    let mut n_drawn = [0u32; 5];
    let n_draws = 100_000;
    for n_generated in 0..n_draws {
        let id = Sampler::default().sample(&mut logits.clone(), &sampling, &History::default(), n_generated);
        n_drawn[id.expect("finite") as usize] += 1;
    }
    assert_eq!(n_drawn[..2], [0, 0]);
    for idx in 2..5 {
        let expected = odds[idx] / 44.0 * n_draws as f64;
        assert!(
            (f64::from(n_drawn[idx]) - expected).abs() < 5.0 * expected.sqrt(),
            "{n_drawn:?}"
        );
    }
}
