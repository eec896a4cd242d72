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
    // Q4_K is not written by the package; its file tests its errors.
    let is_golden = |format: &&&Format| format.can_encode() && format.name != "Q4_K";
    let encoded: Vec<_> = FORMATS.iter().filter(is_golden).collect();
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
fn composed_blocks_decode_to_scale_times_code_minus_zero_whenever_they_hold_it() {
    let scales = [
        0.0,
        1.0,
        -0.007_812_5,
        half::f16::from_bits(0x1abc).to_f32(),
        half::bf16::from_bits(0xbc5b).to_f32(),
        f32::from_bits(0x3c12_3457),
        half::f16::from_bits(3).to_f32(),
        1e38,
        f32::from_bits(1),
    ];
    let mut n_held = 0;
    for format in FORMATS.iter().filter(|format| format.can_compose(15, false)) {
        let largest = if format.can_compose(255, false) { 255 } else { 15 };
        for (scale, zero) in scales
            .iter()
            .flat_map(|&scale| (0..=256).map(move |zero| (scale, zero)))
            .filter(|&(scale, zero)| format.holds(scale, zero))
        {
            n_held += 1;
            let codes: Vec<u8> = (0..format.block_len)
                .map(|i| ((i * 37 + usize::from(zero)) % (largest + 1)) as u8)
                .collect();
            let (mut block, mut weights) = (vec![0; format.block_bytes], vec![0.0; format.block_len]);
            format.compose(scale, zero, &codes, &mut block);
            format.decode(&block, &mut weights);
            for (weight, &code) in weights.iter().zip(&codes) {
                let exact = f64::from(scale) * (f64::from(code) - f64::from(zero));
                assert_eq!(*weight, exact as f32, "{} {scale} ({code} - {zero})", format.name);
            }
        }
    }
    assert!(n_held > 2000, "{n_held}");
    let named = |name: &str| FORMATS.iter().find(|format| format.name == name).unwrap();
    assert!(named("Q4_0").holds(scales[3], 8) && !named("Q4_0").holds(scales[3], 7));
    assert!(!named("Q4_0").holds(scales[5], 8) && !named("I4").holds(scales[5], 8));
    assert!(named("I4").holds(scales[4], 16) && !named("I4").holds(scales[4], 17));
    assert!(!named("Q8_0").holds(f32::NAN, 128) && !named("I8").holds(f32::INFINITY, 0));
    assert!(named("F8").can_compose(255, true) && !named("F8").can_compose(255, false));
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
        if let Some(ggml_type) = format.ggml_type {
            assert_eq!(format_by_ggml_type(ggml_type), Some(*format));
        }
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
