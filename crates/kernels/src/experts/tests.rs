//! Routing, routed products and their sums against what is obvious.

use std::num::NonZeroUsize;

use super::*;
use crate::isa::Isa;
use crate::quant::format_by_ggml_type;
use crate::simd::tests::noise;

fn pool(threads: usize, isa: Isa) -> Pool {
    Pool::new(NonZeroUsize::new(threads).unwrap(), isa)
}

fn choices(routing: &Routing) -> Vec<(usize, f32)> {
    routing
        .chosen
        .iter()
        .map(|choice| (choice.expert, choice.weight))
        .collect()
}

#[test]
fn the_most_probable_experts_are_chosen_and_of_equals_the_first() {
    let pool = pool(1, Isa::Scalar);
    let mut routing = Routing::default();
    let scores = [1.0, 3.0, 3.0, 2.0, 0.0, 0.0, 0.0, 0.0];
    routing.choose(&pool, &scores, 4, 2, true);
    assert_eq!(choices(&routing), [(1, 0.5), (2, 0.5), (0, 0.5), (1, 0.5)]);
    assert_eq!(routing.tokens, [1, 0, 1, 0]);
    assert_eq!(routing.starts, [0, 1, 3, 4, 4]);
    routing.choose(&pool, &scores[4..], 4, 2, false);
    assert_eq!(choices(&routing), [(0, 0.25), (1, 0.25)]);
    routing.choose(&pool, &scores, 4, 4, false);
    let sum: f32 = choices(&routing)[..4].iter().map(|(_, weight)| weight).sum();
    assert!((sum - 1.0).abs() < 1e-6);
}

#[test]
fn every_instruction_set_chooses_alike_and_near_the_truth() {
    for (seed, n_experts) in [(1, 5), (2, 16), (3, 128), (4, 60)] {
        let scores: Vec<f32> = noise(seed, 40 * n_experts).iter().map(|x| x * 8.0).collect();
        let mut first = None;
        for isa in Isa::available() {
            let mut routing = Routing::default();
            routing.choose(&pool(1, isa), &scores, n_experts, 3, false);
            let got = choices(&routing);
            assert_eq!(*first.get_or_insert_with(|| got.clone()), got, "{isa:?}");
            for (token, chosen) in got.chunks(3).enumerate() {
                let scores = &scores[token * n_experts..][..n_experts];
                let sum: f64 = scores.iter().map(|&score| f64::from(score).exp()).sum();
                let mut sorted: Vec<usize> = (0..n_experts).collect();
                sorted.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
                for (&(expert, weight), &expected) in chosen.iter().zip(&sorted) {
                    assert_eq!(expert, expected);
                    let truth = f64::from(scores[expert]).exp() / sum;
                    assert!((f64::from(weight) - truth).abs() < 1e-5);
                }
            }
        }
    }
}

#[test]
fn a_token_that_is_no_number_stays_by_itself() {
    let pool = pool(1, Isa::detect());
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut routing = Routing::default();
        routing.choose(&pool, &[1.0, value, 0.0, 5.0, 1.0, 4.0], 3, 2, true);
        let got = choices(&routing);
        assert!(got[0].0 == 0 && got[1].0 == 1 && got[0].1.is_nan() && got[1].1.is_nan());
        assert!(got[2].0 == 0 && got[3].0 == 2 && (got[2].1 + got[3].1 - 1.0).abs() < 1e-6);
    }
}

/// Routes and multiplies with every kind of matrix; each row is compared with the product of that row alone.
#[test]
fn routed_products_equal_those_of_each_row_alone() {
    let (n_experts, n_chosen, n_outputs, n_cols) = (7, 3, 21, 64);
    // F32, Q8_0, whose blocks of 34 bytes begin with a half.
    for (ggml_type, block, half) in [(0, 4, None), (8, 34, Some(0x3400_u16))] {
        let format = format_by_ggml_type(ggml_type).unwrap();
        for isa in Isa::available() {
            for threads in [1, 2, 3] {
                let pool = pool(threads, isa);
                let experts: Vec<Matrix> = (0..n_experts)
                    .map(|expert| {
                        let numbers = noise(expert, n_outputs * n_cols);
                        let mut bytes: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
                        bytes.truncate(format.row_bytes(n_cols).unwrap() * n_outputs);
                        if let Some(half) = half {
                            bytes.chunks_exact_mut(block).for_each(|block| {
                                block[..2].copy_from_slice(&half.to_le_bytes());
                            });
                        }
                        Matrix::pack(&pool, format, n_outputs, n_cols, &bytes).unwrap()
                    })
                    .collect();
                for n_tokens in [1, 2, 40] {
                    check_products(&pool, &experts, n_tokens, n_chosen);
                }
            }
        }
    }
}

fn check_products(pool: &Pool, experts: &[Matrix], n_tokens: usize, n_chosen: usize) {
    let (n_experts, n_outputs, n_cols) = (experts.len(), experts[0].n_rows(), experts[0].n_cols());
    let x = noise(99, n_tokens * n_cols);
    let mut routing = Routing::default();
    let scores = noise(5, n_tokens * n_experts);
    routing.choose(pool, &scores, n_experts, n_chosen, true);
    let mut scratch = RoutedScratch::default();
    let mut multiply = |rows: Rows, x: &[f32]| {
        let mut out = [0, 1].map(|_| vec![f32::NAN; routing.n_rows() * n_outputs]);
        let [first, second] = &mut out;
        let mut products = [first, second].map(|out| RoutedProduct { experts, out });
        routed_matmul(pool, &mut scratch, &routing, (x, rows), &mut products);
        assert!(out[0] == out[1]);
        out[0].clone()
    };
    let out = multiply(Rows::Tokens, &x);
    let mut sorted = vec![];
    let mut expected = vec![0.0; n_outputs];
    for (expert, weights) in experts.iter().enumerate() {
        for row in routing.starts[expert]..routing.starts[expert + 1] {
            let x = &x[routing.tokens[row] * n_cols..][..n_cols];
            let mut products = [Product {
                weights,
                out: &mut expected,
            }];
            matmul(pool, &mut MatmulScratch::default(), x, 1, &mut products);
            assert!(
                out[row * n_outputs..][..n_outputs] == expected,
                "row {row} of {n_tokens} tokens"
            );
            sorted.extend_from_slice(x);
        }
    }
    assert!(multiply(Rows::Routed, &sorted) == out);
}

#[test]
fn answers_are_added_in_the_order_of_choice() {
    let pool = pool(2, Isa::detect());
    let mut routing = Routing::default();
    let (n_tokens, n_experts, n_chosen, row_len) = (30, 5, 3, 7);
    routing.choose(&pool, &noise(8, n_tokens * n_experts), n_experts, n_chosen, false);
    let answers = noise(9, routing.n_rows() * row_len);
    let mut out = vec![f32::NAN; n_tokens * row_len];
    combine(&pool, &routing, &answers, &mut out);
    for (token, out) in out.chunks(row_len).enumerate() {
        for (at, &out) in out.iter().enumerate() {
            let mut expected = 0.0;
            for choice in &routing.chosen[token * n_chosen..][..n_chosen] {
                assert_eq!(routing.tokens[choice.row], token);
                expected += choice.weight * answers[choice.row * row_len + at];
            }
            assert_eq!(out, expected);
        }
    }
}
