//! Any bytes as a GGUF model, through the whole of loading: metadata, tokenizer, shape, weights.
#![no_main]

use std::num::NonZeroUsize;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tokenmill_kernels::isa::Isa;
use tokenmill_kernels::pool::Pool;
use tokenmill_model::{LoadOptions, load_from_bytes};

static POOL: LazyLock<Pool> = LazyLock::new(|| Pool::new(NonZeroUsize::MIN, Isa::detect()));

fuzz_target!(|bytes: &[u8]| {
    if let Err(fault) = load_from_bytes(&POOL, "fuzzed", bytes, &LoadOptions::default()) {
        assert!(!fault.to_string().is_empty());
    }
});
