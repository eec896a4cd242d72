//! Products on every instruction set of this CPU equal the twin bit for bit, whatever the shape.

use std::num::NonZeroUsize;

use tokenmill_kernels::isa::Isa;
use tokenmill_kernels::mapped::MappedFile;
use tokenmill_kernels::matmul::{MatmulScratch, Matrix, PackError, Product, matmul};
use tokenmill_kernels::pool::Pool;
use tokenmill_kernels::quant::{FORMATS, Format, format_by_ggml_type};
use tokenmill_kernels::reference;

/// A small generator (xorshift), so that a failure can be repeated from the seed that the test prints.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() >> 33) as usize % n
    }

    /// Even in -1..1, with some far larger.
    fn activation(&mut self) -> f32 {
        let x = (self.next() >> 40) as f32 / (1_u64 << 23) as f32 - 1.0;
        if self.below(50) == 0 { x * 100.0 } else { x }
    }
}

/// Blocks of random bits. Half-precision scales are then random as well: huge, tiny, infinite or no number; with
/// `tame`, they are kept near one.
fn random_weights(random: &mut Random, format: &Format, n_rows: usize, n_cols: usize, tame: bool) -> Vec<u8> {
    let row_bytes = format.row_bytes(n_cols).expect("whole blocks");
    let mut bytes: Vec<u8> = (0..n_rows * row_bytes).map(|_| random.next() as u8).collect();
    let halves: &[usize] = match format.name {
        "F32" => &[2],
        "F16" | "BF16" | "Q4_0" | "Q5_0" | "Q8_0" | "IQ4_NL" | "IQ4_XS" => &[0],
        "Q4_1" | "Q5_1" | "Q4_K" | "Q5_K" => &[0, 2],
        "Q2_K" => &[80, 82],
        "Q3_K" => &[108],
        "Q6_K" => &[208],
        // Scales are `f32`; the upper half of one counts here, and the zero points of I8 are halves.
        "I4" | "I4_128" | "F8" => &[2],
        "I8" => &[2, 4],
        // The scales of the first are bytes; those of the second are all of moderate size.
        "MXFP4" | "NVFP4" => &[],
        name => panic!("where are the scales of {name}?"),
    };
    if tame {
        for block in bytes.chunks_exact_mut(format.block_bytes) {
            if format.name == "MXFP4" {
                block[0] = 120 + block[0] % 8;
            }
            for &at in halves {
                // As a half 0.5 to 2; as the upper part of an `f32` about 0.01 to 1.
                block[at + 1] = block[at + 1] & 0x83 | 0x3c;
            }
        }
    }
    bytes
}

fn pool(threads: usize, isa: Isa) -> Pool {
    Pool::new(NonZeroUsize::new(threads).expect("at least one thread"), isa)
}

fn multiply(pool: &Pool, weights: &Matrix, x: &[f32]) -> Vec<f32> {
    let n_tokens = x.len() / weights.n_cols();
    let mut out = vec![f32::NAN; n_tokens * weights.n_rows()];
    let mut products = [Product {
        weights,
        out: &mut out,
    }];
    matmul(pool, &mut MatmulScratch::default(), x, n_tokens, &mut products);
    out
}

#[track_caller]
fn assert_same(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len());
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        let same = found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan();
        assert!(same, "{what}: number {i} is {found:e}, not {expected:e}");
    }
}

#[test]
fn every_format_and_instruction_set_equals_the_twin() {
    for (seed, &format) in (1..).zip(FORMATS) {
        let mut random = Random(seed * 7919);
        for round in 0..24 {
            let n_rows = [1, 15, 16, 17, 33, 50][random.below(6)];
            let n_cols = match format.block_len {
                1 => 1 + random.below(100),
                len => len * (1 + 2 * random.below(if len > 64 { 2 } else { 5 })),
            };
            let n_tokens = 1 + random.below(40);
            let source = random_weights(&mut random, format, n_rows, n_cols, round % 3 > 0);
            let x: Vec<f32> = (0..n_tokens * n_cols).map(|_| random.activation()).collect();
            let expected = reference::matmul(format, n_cols, &source, &x);
            for isa in Isa::available() {
                for threads in [1, 2] {
                    let pool = pool(threads, isa);
                    let weights = Matrix::pack(&pool, format, n_rows, n_cols, &source).unwrap();
                    let what = format!(
                        "{} {isa:?} [{n_rows}, {n_cols}] x {n_tokens}, {threads} threads, seed {seed} round {round}",
                        format.name
                    );
                    assert_same(&multiply(&pool, &weights, &x), &expected, &what);
                }
            }
        }
    }
}

#[test]
fn a_token_gives_the_same_bits_alone_and_in_any_batch() {
    let mut random = Random(11);
    for &format in FORMATS {
        let (n_rows, n_cols) = (40, 512);
        let source = random_weights(&mut random, format, n_rows, n_cols, true);
        let x: Vec<f32> = (0..40 * n_cols).map(|_| random.activation()).collect();
        for isa in Isa::available().into_iter().filter(|&isa| isa != Isa::Scalar) {
            let pool = pool(2, isa);
            let weights = Matrix::pack(&pool, format, n_rows, n_cols, &source).unwrap();
            let alone: Vec<f32> = x
                .chunks(n_cols)
                .flat_map(|x| multiply(&pool, &weights, x))
                .collect();
            for n_tokens in 1..=40 {
                let batch = multiply(&pool, &weights, &x[..n_tokens * n_cols]);
                assert_same(
                    &batch,
                    &alone[..n_tokens * n_rows],
                    &format!("{} {isa:?} x {n_tokens}", format.name),
                );
            }
        }
    }
}

#[test]
fn rows_come_back_from_tiles_as_they_were() {
    let mut random = Random(5);
    for &format in FORMATS {
        let (n_rows, n_cols) = (19, if format.block_len == 1 { 77 } else { 512 });
        let source = random_weights(&mut random, format, n_rows, n_cols, false);
        let weights = Matrix::pack(&pool(2, Isa::Scalar), format, n_rows, n_cols, &source).unwrap();
        let (mut expected, mut found) = (vec![0.0; n_cols], vec![0.0; n_cols]);
        for (row, source) in source.chunks_exact(format.row_bytes(n_cols).unwrap()).enumerate() {
            format.decode(source, &mut expected);
            weights.decode_row(row, &mut found);
            assert_same(&found, &expected, format.name);
        }
    }
}

#[test]
fn several_matrices_of_different_formats_share_their_activations() {
    let mut random = Random(3);
    let (n_cols, n_tokens) = (256, 5);
    let pool = pool(2, Isa::detect());
    let x: Vec<f32> = (0..n_tokens * n_cols).map(|_| random.activation()).collect();
    let sources: Vec<_> = FORMATS
        .iter()
        .map(|format| random_weights(&mut random, format, 24, n_cols, true))
        .collect();
    let pack = |(source, &format): (&Vec<u8>, &&'static Format)| {
        Matrix::pack(&pool, format, 24, n_cols, source).unwrap()
    };
    let weights: Vec<Matrix> = sources.iter().zip(FORMATS).map(pack).collect();
    let mut outs = vec![vec![0.0; n_tokens * 24]; weights.len()];
    let mut scratch = MatmulScratch::default();
    for _ in 0..2 {
        let mut products: Vec<Product<'_>> = weights
            .iter()
            .zip(&mut outs)
            .map(|(weights, out)| Product { weights, out })
            .collect();
        matmul(&pool, &mut scratch, &x, n_tokens, &mut products);
        for ((format, source), out) in FORMATS.iter().zip(&sources).zip(&outs) {
            assert_same(out, &reference::matmul(format, n_cols, source, &x), format.name);
        }
    }
}

#[test]
fn infinities_and_nan_stay_with_their_token() {
    let mut random = Random(9);
    let n_cols = 256;
    for &format in FORMATS {
        let source = random_weights(&mut random, format, 20, n_cols, true);
        let mut x: Vec<f32> = (0..3 * n_cols).map(|_| random.activation()).collect();
        for isa in Isa::available() {
            let pool = pool(1, isa);
            let weights = Matrix::pack(&pool, format, 20, n_cols, &source).unwrap();
            for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX] {
                x[n_cols + 70] = value;
                assert_same(
                    &multiply(&pool, &weights, &x),
                    &reference::matmul(format, n_cols, &source, &x),
                    format.name,
                );
            }
        }
    }
}

#[test]
fn shapes_that_do_not_fit_are_refused_by_name() {
    let pool = pool(1, Isa::Scalar);
    let q4_k = format_by_ggml_type(12).unwrap();
    let error = Matrix::pack(&pool, q4_k, 2, 100, &[0; 288]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Q4_K stores blocks of 256 weights, and 100 columns are no whole number of them"
    );
    assert!(matches!(
        Matrix::pack(&pool, q4_k, 3, 256, &[0; 288]),
        Err(PackError::Length { found: 288, .. })
    ));
    assert!(Matrix::pack(&pool, q4_k, usize::MAX, 256, &[]).is_err());
    assert!(Matrix::pack(&pool, q4_k, 0, 256, &[]).is_ok());
    let f32_format = format_by_ggml_type(0).unwrap();
    assert!(Matrix::pack(&pool, f32_format, 1 << 40, 1 << 40, &[]).is_err());
    let empty = Matrix::pack(&pool, f32_format, 5, 0, &[]).unwrap();
    let mut out = [1.0; 10];
    matmul(
        &pool,
        &mut MatmulScratch::default(),
        &[],
        2,
        &mut [Product {
            weights: &empty,
            out: &mut out,
        }],
    );
    assert_eq!(out, [0.0; 10]);
}

#[test]
fn weights_packed_from_a_file_are_those_packed_from_memory() {
    let mut random = Random(17);
    let format = format_by_ggml_type(14).unwrap();
    let (n_rows, n_cols, offset) = (300, 512, 4099);
    let source = random_weights(&mut random, format, n_rows, n_cols, false);
    let path = std::env::temp_dir().join(format!("tokenmill-pack-{}", std::process::id()));
    std::fs::write(&path, [vec![1; offset], source.clone(), vec![2; 77]].concat()).unwrap();
    let file = MappedFile::open(&path).unwrap();
    let on_disk = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let pool = pool(2, Isa::Scalar);
    let expected = Matrix::pack(&pool, format, n_rows, n_cols, &source).unwrap();
    let bytes = offset..offset + source.len();
    let found = Matrix::pack_file(&pool, format, (n_rows, n_cols), &file, bytes.clone()).unwrap();
    assert_eq!(found.packed_bytes(), expected.packed_bytes());
    let outside = Matrix::pack_file(
        &pool,
        format,
        (n_rows, n_cols),
        &file,
        bytes.start + 78..bytes.end + 78,
    );
    assert!(matches!(outside, Err(PackError::OutsideFile { .. })));
    on_disk.set_len(offset as u64 + 1000).unwrap();
    let cut = Matrix::pack_file(&pool, format, (n_rows, n_cols), &file, bytes);
    assert!(matches!(cut, Err(PackError::Read(_))), "{cut:?}");
}

#[test]
fn packed_sizes_are_told_before_packing() {
    let pool = pool(1, Isa::Scalar);
    for format in FORMATS {
        for (n_rows, n_cols) in [(1, 256), (17, 512), (3, 256)] {
            let source = vec![0; n_rows * format.row_bytes(n_cols).expect("whole blocks")];
            let matrix = Matrix::pack(&pool, format, n_rows, n_cols, &source).expect("memory");
            assert_eq!(
                format.packed_bytes(n_rows, n_cols),
                Some(matrix.bytes()),
                "{}",
                format.name
            );
        }
    }
    let f16 = format_by_ggml_type(1).expect("F16");
    assert_eq!(f16.packed_bytes(1600, 1), Some(1600 * 32 * 2));
    assert_eq!(f16.packed_bytes(usize::MAX, usize::MAX), None);
}

#[test]
#[should_panic(expected = "results")]
fn a_number_of_tokens_whose_products_wrap_is_refused() {
    let pool = pool(1, Isa::Scalar);
    let format = format_by_ggml_type(0).expect("F32");
    let weights = Matrix::pack(&pool, format, 4, 0, &[]).expect("a matrix without columns");
    let mut products = [Product {
        weights: &weights,
        out: &mut [],
    }];
    let n_tokens = usize::MAX / 4 + 1;
    matmul(&pool, &mut MatmulScratch::default(), &[], n_tokens, &mut products);
}
