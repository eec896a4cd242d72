//! The built-in model: a small demonstration, compiled into the program.

use tokenmill_model::file::gguf::Gguf;

/// The name that it is served under.
pub(crate) const ID: &str = "tokenmill/demo";

/// When it was trained: 2026-11-28, in seconds since 1970.
pub(crate) const CREATED: u64 = 1_795_824_000;

/// Its GGUF file.
pub(crate) const GGUF: &[u8] = include_bytes!("../../../models/tokenmill-demo.gguf");

/// Its architecture and number of parameters, or what is wrong with the file.
pub(crate) fn summary() -> Result<(String, u64), String> {
    let gguf = Gguf::parse(GGUF).map_err(|error| error.to_string())?;
    let architecture = gguf
        .string("general.architecture")
        .map_err(|error| error.to_string())?;
    let n_params = gguf
        .tensors()
        .iter()
        .map(|tensor| tensor.shape.iter().product::<u64>())
        .sum();
    Ok((architecture.unwrap_or("not named").to_owned(), n_params))
}

/// Name, shape and bytes of each of its tensors, or what is wrong with the file.
pub(crate) fn tensors() -> Result<Vec<(String, Vec<u64>, u64)>, String> {
    let gguf = Gguf::parse(GGUF).map_err(|error| error.to_string())?;
    let tensors = gguf.tensors().iter();
    Ok(tensors
        .map(|tensor| {
            (
                tensor.name.to_owned(),
                tensor.shape.clone(),
                tensor.range.len() as u64,
            )
        })
        .collect())
}
