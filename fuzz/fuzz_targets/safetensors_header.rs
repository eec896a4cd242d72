//! Any bytes as a safetensors file: what is accepted must lie within the file, tensor by tensor.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tokenmill_model::file::safetensors;

fuzz_target!(|bytes: &[u8]| {
    match safetensors::parse(bytes) {
        Ok(tensors) => {
            for tensor in tensors {
                let n_elements: u64 = tensor.shape.iter().product();
                assert_eq!(n_elements as usize * tensor.dtype.n_bytes(), bytes[tensor.range].len());
            }
        }
        Err(fault) => assert!(!fault.to_string().is_empty()),
    }
});
