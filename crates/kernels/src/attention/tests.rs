//! Attention against its twin, and against itself under every cut, thread count and instruction set.

use std::num::NonZeroUsize;

use half::bf16;

use super::*;
use crate::isa::Isa;
use crate::kv_cache::{KvShape, Unit, write_kv};
use crate::reference;
use crate::simd::tests::noise;

/// One sequence: all its queries, keys and values, `[n_tokens, heads, head_dim]`.
struct Sequence {
    n_tokens: usize,
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
}

#[derive(Clone, Copy, Debug)]
struct Case {
    n_heads: usize,
    kv: KvShape,
    window: Option<usize>,
    /// With a soft cap and sinks.
    bent: bool,
}

/// Pages of the caches here.
const N_PAGES: usize = 48;

impl Case {
    fn sequence(&self, seed: u64, n_tokens: usize) -> Sequence {
        let n = n_tokens * self.kv.head_dim;
        let loud = |x: Vec<f32>| x.iter().map(|x| x * 3.0).collect();
        Sequence {
            n_tokens,
            q: loud(noise(seed, n * self.n_heads)),
            k: loud(noise(seed + 1, n * self.kv.n_kv_heads)),
            v: noise(seed + 2, n * self.kv.n_kv_heads),
        }
    }

    fn pool(threads: usize, isa: Isa) -> Pool {
        Pool::new(NonZeroUsize::new(threads).unwrap(), isa)
    }

    fn soft_cap(&self) -> Option<f32> {
        self.bent.then_some(2.5)
    }

    fn sinks(&self) -> Option<Vec<f32>> {
        self.bent
            .then(|| (0..self.n_heads).map(|head| head as f32 * 0.5 - 1.0).collect())
    }

    fn cache(&self) -> KvCache {
        let mut cache = KvCache::new(self.kv, N_PAGES).unwrap();
        // What earlier users left behind must not matter, be it infinite.
        let poison = vec![f32::INFINITY; N_PAGES * PAGE_TOKENS * self.kv.n_kv_heads * self.kv.head_dim];
        let pages: Vec<PageId> = (0..N_PAGES as u32).collect();
        let span = Span {
            first_row: 0,
            n_rows: N_PAGES * PAGE_TOKENS,
            position: 0,
            pages: &pages,
        };
        for layer in 0..self.kv.n_layers {
            write_kv(
                &Case::pool(1, Isa::Scalar),
                &mut cache,
                layer,
                &[span],
                &poison,
                &poison,
            );
        }
        cache
    }

    /// Runs pieces of sequences as one batch: for each, the sequence, its pages, the tokens of the piece.
    fn run(
        &self,
        pool: &Pool,
        cache: &mut KvCache,
        pieces: &[(&Sequence, &[PageId], std::ops::Range<usize>)],
    ) -> Vec<f32> {
        let layer = self.kv.n_layers - 1;
        let (mut q, mut k, mut v, mut spans) = (vec![], vec![], vec![], vec![]);
        for (sequence, pages, tokens) in pieces {
            let first_row = spans
                .last()
                .map_or(0, |span: &Span<'_>| span.first_row + span.n_rows);
            spans.push(Span {
                first_row,
                n_rows: tokens.len(),
                position: tokens.start,
                pages,
            });
            let part = |x: &[f32]| {
                let row_len = x.len() / sequence.n_tokens;
                x[tokens.start * row_len..tokens.end * row_len].to_vec()
            };
            q.extend(part(&sequence.q));
            k.extend(part(&sequence.k));
            v.extend(part(&sequence.v));
        }
        write_kv(pool, cache, layer, &spans, &k, &v);
        let mut out = vec![f32::NAN; q.len()];
        let sinks = self.sinks();
        let work = Attention {
            layer,
            n_heads: self.n_heads,
            scale: 0.3,
            window: self.window,
            soft_cap: self.soft_cap(),
            sinks: sinks.as_deref(),
            spans: &spans,
        };
        attention(pool, &mut AttentionScratch::default(), cache, &work, &q, &mut out);
        out
    }

    fn check_against_the_twin(&self, sequence: &Sequence, out: &[f32]) {
        let KvShape {
            n_kv_heads,
            head_dim,
            kv_type,
            ..
        } = self.kv;
        let stored = |x: &[f32]| match kv_type {
            KvType::F32 => x.to_vec(),
            KvType::Bf16 => x.iter().map(|&x| bf16::from_f32(x).to_f32()).collect(),
            KvType::Int8 => {
                let heads = x.chunks(head_dim).map(|head| (head, Unit::of(head)));
                heads
                    .flat_map(|(head, unit)| head.iter().map(move |&x| f32::from(unit.count(x)) * unit.worth))
                    .collect()
            }
        };
        // Weights are rounded to bf16, by a 2^-9th at most, and values are up to 1.
        let tolerance = if kv_type == KvType::Bf16 { 2.5e-3 } else { 2e-5 };
        let (k, v) = (stored(&sequence.k), stored(&sequence.v));
        for token in 0..sequence.n_tokens {
            for head in 0..self.n_heads {
                let seen = self.window.map_or(0, |window| (token + 1).saturating_sub(window))..token + 1;
                let kv_head = head / (self.n_heads / n_kv_heads);
                let rows = |x: &[f32]| -> Vec<Vec<f32>> {
                    seen.clone()
                        .map(|t| x[(t * n_kv_heads + kv_head) * head_dim..][..head_dim].to_vec())
                        .collect()
                };
                let (keys, values) = (rows(&k), rows(&v));
                let (keys, values): (Vec<&[f32]>, Vec<&[f32]>) = (
                    keys.iter().map(Vec::as_slice).collect(),
                    values.iter().map(Vec::as_slice).collect(),
                );
                let at = (token * self.n_heads + head) * head_dim;
                let sink = self.sinks().map(|sinks| sinks[head]);
                let q: Vec<f32> = sequence.q[at..at + head_dim]
                    .iter()
                    .map(|q| {
                        if kv_type == KvType::Bf16 {
                            bf16::from_f32(q * 0.3).to_f32()
                        } else {
                            q * 0.3
                        }
                    })
                    .collect();
                let expected = reference::attention(&q, &keys, &values, (1.0, self.soft_cap(), sink));
                for (got, expected) in out[at..].iter().zip(expected) {
                    assert!(
                        (f64::from(*got) - expected).abs() < tolerance,
                        "{self:?}, token {token}, head {head}: {got}, not {expected}"
                    );
                }
            }
        }
    }
}

fn cases() -> Vec<Case> {
    let mut cases = vec![];
    for (n_heads, n_kv_heads, head_dim) in [
        (1, 1, 2),
        (4, 2, 16),
        (9, 3, 64),
        (14, 2, 20),
        (8, 1, 128),
        (5, 1, 80),
        (12, 1, 48),
    ] {
        for kv_type in [KvType::F32, KvType::Bf16, KvType::Int8] {
            for window in [None, Some(1), Some(70)] {
                let kv = KvShape {
                    n_layers: 2,
                    n_kv_heads,
                    head_dim,
                    kv_type,
                };
                cases.push(Case {
                    n_heads,
                    kv,
                    window,
                    bent: window == Some(70),
                });
            }
        }
    }
    // On an emulated CPU there is not the time for all.
    let most = std::env::var("TOKENMILL_TEST_CASES").map_or(cases.len(), |most| most.parse().unwrap());
    let every = cases.len().div_ceil(most.max(1));
    cases.into_iter().step_by(every).collect()
}

#[test]
fn a_whole_prompt_equals_the_twin() {
    for case in cases() {
        let sequence = case.sequence(7, 150);
        let out = case.run(
            &Case::pool(1, Isa::detect()),
            &mut case.cache(),
            &[(&sequence, &[5, 0, 23], 0..150)],
        );
        case.check_against_the_twin(&sequence, &out);
    }
}

#[test]
fn cuts_neighbours_threads_and_instruction_sets_change_no_bit() {
    for case in cases() {
        let (one, two) = (case.sequence(7, 150), case.sequence(11, 90));
        let whole = case.run(
            &Case::pool(1, Isa::Scalar),
            &mut case.cache(),
            &[(&one, &[5, 0, 23], 0..150)],
        );
        for isa in Isa::available() {
            for threads in [1, 2, 3] {
                let pool = Case::pool(threads, isa);
                let mut cache = case.cache();
                let mut got = vec![];
                let cuts = [0, 1, 2, 37, 64, 65, 128, 149, 150];
                for (index, cut) in cuts.windows(2).enumerate() {
                    let tokens = index * 10..index * 10 + 10;
                    let n = (cut[1] - cut[0]) * case.n_heads * case.kv.head_dim;
                    let neighbour: (&Sequence, &[PageId], _) = (&two, &[1, 2], tokens);
                    let own: (&Sequence, &[PageId], _) = (&one, &[5, 0, 23], cut[0]..cut[1]);
                    if index % 2 == 0 {
                        let out = case.run(&pool, &mut cache, &[own, neighbour]);
                        got.extend_from_slice(&out[..n]);
                    } else {
                        let out = case.run(&pool, &mut cache, &[neighbour, own]);
                        got.extend_from_slice(&out[out.len() - n..]);
                    }
                }
                assert!(got == whole, "{case:?} on {isa:?} with {threads} threads");
            }
        }
    }
}

/// Long enough for splits, which are work for several threads only where there are few blocks.
#[test]
fn splits_of_a_long_context_change_no_bit() {
    let pages: Vec<PageId> = (0..N_PAGES as u32).rev().collect();
    for (kv_type, window, bent) in [
        (KvType::F32, None, false),
        (KvType::Bf16, None, true),
        (KvType::Bf16, Some(1500), true),
        (KvType::Int8, None, false),
    ] {
        let kv = KvShape {
            n_layers: 1,
            n_kv_heads: 1,
            head_dim: 32,
            kv_type,
        };
        let case = Case {
            n_heads: 2,
            kv,
            window,
            bent,
        };
        let n_tokens = 2 * SPLIT_PAGES * PAGE_TOKENS + 300;
        let sequence = case.sequence(13, n_tokens);
        let pool = Case::pool(1, Isa::detect());
        let mut cache = case.cache();
        let whole = case.run(&pool, &mut cache, &[(&sequence, &pages, 0..n_tokens)]);
        case.check_against_the_twin(&sequence, &whole);
        for isa in Isa::available() {
            for (threads, tokens) in [(1, 1100..1101), (2, 2300..2301), (3, 2340..2348), (2, 1000..2300)] {
                if isa == Isa::Scalar && tokens.len() > 100 {
                    continue;
                }
                let pool = Case::pool(threads, isa);
                let got = case.run(&pool, &mut cache, &[(&sequence, &pages, tokens.clone())]);
                let expected = &whole[tokens.start * case.n_heads * 32..tokens.end * case.n_heads * 32];
                assert!(
                    got == expected,
                    "{case:?}, {tokens:?} on {isa:?} with {threads} threads"
                );
            }
        }
    }
}

#[test]
fn a_copied_page_serves_as_the_original() {
    for case in cases() {
        let sequence = case.sequence(3, 100);
        let pool = Case::pool(1, Isa::detect());
        let mut cache = case.cache();
        let whole = case.run(&pool, &mut cache, &[(&sequence, &[1, 2], 0..100)]);
        cache.copy_tokens(2, 9, 23);
        let rest = case.run(&pool, &mut cache, &[(&sequence, &[1, 9], 87..100)]);
        assert!(rest == whole[whole.len() - rest.len()..], "{case:?}");
    }
}

#[test]
#[should_panic(expected = "spans overlap")]
fn overlapping_spans_are_refused() {
    let case = cases()[0];
    let span = Span {
        first_row: 0,
        n_rows: 1,
        position: 0,
        pages: &[0],
    };
    let work = Attention {
        layer: 0,
        n_heads: 1,
        scale: 1.0,
        window: None,
        soft_cap: None,
        sinks: None,
        spans: &[span, span],
    };
    let mut out = [0.0; 2];
    attention(
        &Case::pool(1, Isa::Scalar),
        &mut AttentionScratch::default(),
        &case.cache(),
        &work,
        &[0.0; 2],
        &mut out,
    );
}

#[test]
fn spans_whose_sums_wrap_are_refused() {
    let span = |first_row, n_rows, position| Span {
        first_row,
        n_rows,
        position,
        pages: &[0],
    };
    assert_eq!(span(1, 2, 62).check(3, 1), 3);
    for (span, fault) in [
        (span(usize::MAX, 2, 0), "leaves the 3 rows"),
        (span(2, usize::MAX - 1, 0), "leaves the 3 rows"),
        (span(1, 2, usize::MAX), "leaves its pages"),
        (span(1, 2, 63), "leaves its pages"),
    ] {
        let panic = std::panic::catch_unwind(|| span.check(3, 1)).unwrap_err();
        let message = panic.downcast_ref::<String>().unwrap();
        assert!(message.contains(fault), "{message}");
    }
}
