//! Each format decodes bit for bit as the reference implementation of its file format does.

use std::path::PathBuf;

use tokenmill_kernels::quant::{FORMATS, Format, format_by_ggml_type};

/// Blocks of a format and their weights, written by `tests/golden/make.py`.
fn golden(format: &Format, ending: &str) -> (Vec<u8>, Vec<f32>) {
    let name = format.name.to_lowercase() + ending;
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
        .with_extension("bin");
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (count, rest) = bytes.split_first_chunk::<4>().expect("a count");
    let (blocks, weights) = rest.split_at(u32::from_le_bytes(*count) as usize * format.block_bytes);
    (
        blocks.to_vec(),
        weights
            .as_chunks::<4>()
            .0
            .iter()
            .map(|&bytes| f32::from_le_bytes(bytes))
            .collect(),
    )
}

/// Equal bits; which NaN it is does not matter, and differs between CPUs.
fn same(a: f32, b: f32) -> bool {
    a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan()
}

#[test]
fn every_format_decodes_as_its_golden_file_says() {
    for format in FORMATS.iter().filter(|format| format.name != "F32") {
        let (blocks, expected) = golden(format, "");
        let mut decoded = vec![0.0; expected.len()];
        format.decode(&blocks, &mut decoded);
        for (i, (&decoded, &expected)) in decoded.iter().zip(&expected).enumerate() {
            assert!(
                same(decoded, expected),
                "{} weight {i}: {decoded:e}, not {expected:e}",
                format.name
            );
        }
    }
}

#[test]
fn numbers_are_encoded_as_the_golden_files_say() {
    let encoded: Vec<_> = FORMATS.iter().filter(|format| format.can_encode()).collect();
    assert!(!encoded.is_empty());
    for format in encoded {
        let (expected, numbers) = golden(format, "-encoded");
        let mut blocks = vec![0; expected.len()];
        format.encode(&numbers, &mut blocks);
        let each = |blocks: &[u8]| -> Vec<Vec<u8>> {
            blocks
                .chunks_exact(format.block_bytes)
                .map(<[u8]>::to_vec)
                .collect()
        };
        assert_eq!(each(&blocks), each(&expected), "{}", format.name);
    }
}

#[test]
fn f32_weights_are_taken_as_they_are() {
    let format = format_by_ggml_type(0).unwrap();
    let weights = [0.0, -0.0, 1.5, f32::MIN_POSITIVE / 2.0, f32::MAX, f32::INFINITY];
    let blocks: Vec<u8> = weights.iter().flat_map(|weight| weight.to_le_bytes()).collect();
    let mut decoded = [1.0; 6];
    format.decode(&blocks, &mut decoded);
    assert_eq!(decoded.map(f32::to_bits), weights.map(f32::to_bits));
}

#[test]
fn formats_have_names_and_numbers_of_their_own() {
    for (i, format) in FORMATS.iter().enumerate() {
        assert_eq!(format_by_ggml_type(format.ggml_type), Some(*format));
        assert!(FORMATS[..i].iter().all(|other| other.name != format.name));
    }
    assert_eq!(format_by_ggml_type(9999), None);
}

#[test]
fn a_row_is_a_whole_number_of_blocks() {
    let q4_k = format_by_ggml_type(12).unwrap();
    assert_eq!(q4_k.row_bytes(512), Some(288));
    assert_eq!(q4_k.row_bytes(100), None);
    assert_eq!(format_by_ggml_type(0).unwrap().row_bytes(7), Some(28));
    assert_eq!(format_by_ggml_type(0).unwrap().row_bytes(usize::MAX), None);
}
