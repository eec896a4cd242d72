//! What a model's weights are, taken together: how many, how large, of which type, and a name for them.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};
use tokenmill_kernels::quant::Format;

use crate::weights::{Tensor, Weights};

/// Pieces of each tensor that the fingerprint covers, and the bytes of each: few, because on a cold disk each is a
/// read of its own, and enough, because a model has hundreds of tensors.
const N_PIECES: usize = 4;
const PIECE_BYTES: usize = 256;

/// What [`summarise`] finds, of the weights as they will be packed.
pub(crate) struct Summary {
    pub(crate) n_params: u64,
    /// Bytes of memory that all tensors take once they are packed: not their bytes in the files, which a hostile shape
    /// could make many times fewer.
    pub(crate) weight_bytes: u64,
    /// The type that holds most weights.
    pub(crate) quantization: String,
    /// As [`crate::ModelInfo::fingerprint`] says.
    pub(crate) fingerprint: String,
}

/// Looks at all tensors that were not taken yet.
pub(crate) fn summarise(weights: &Weights<'_>) -> Summary {
    let (mut n_params, mut weight_bytes) = (0, 0);
    let mut params_by_type: BTreeMap<&str, u64> = BTreeMap::new();
    let mut hash = Sha256::new();
    for (name, tensor) in weights.iter() {
        let rounded_to = weights.rounded_to(tensor);
        let format = rounded_to.unwrap_or(tensor.format);
        n_params += tensor.n_elements();
        weight_bytes = u64::saturating_add(weight_bytes, packed_bytes(tensor, format));
        *params_by_type.entry(format.name).or_default() += tensor.n_elements();
        hash_tensor(&mut hash, name, tensor);
        if let Some(format) = rounded_to {
            hash.update(format.name);
        }
    }
    let most = params_by_type.into_iter().max_by_key(|&(_, n_params)| n_params);
    let quantization = most.map_or_else(|| "none".to_owned(), |(name, _)| name.to_owned());
    let fingerprint = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Summary {
        n_params,
        weight_bytes,
        quantization,
        fingerprint,
    }
}

/// As [`Weights`] takes the tensor: as a matrix, as a stack of them, or as a vector of `f32`. A matrix of one row, which a file may store as
/// a vector, does not occur: [`crate::config::Config::validate`] asks for more.
fn packed_bytes(tensor: &Tensor<'_>, format: &Format) -> u64 {
    let bytes = match tensor.shape.as_slice() {
        &[ref stack @ .., n_rows, n_cols] => {
            let n_matrices: u64 = stack.iter().product();
            let (n_rows, n_cols) = (usize::try_from(n_rows), usize::try_from(n_cols));
            n_rows
                .ok()
                .zip(n_cols.ok())
                .and_then(|(n_rows, n_cols)| format.packed_bytes(n_rows, n_cols))
                .and_then(|bytes| n_matrices.checked_mul(bytes as u64))
        }
        _ => tensor.n_elements().checked_mul(size_of::<f32>() as u64),
    };
    bytes.unwrap_or(u64::MAX)
}

fn hash_tensor(hash: &mut Sha256, name: &str, tensor: &Tensor<'_>) {
    for text in [name, tensor.format.name] {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    }
    hash.update((tensor.shape.len() as u64).to_le_bytes());
    for dim in &tensor.shape {
        hash.update(dim.to_le_bytes());
    }
    hash_pieces(hash, tensor.bytes());
    let beside = tensor.codes.iter().flat_map(|codes| codes.beside());
    beside.for_each(|bytes| hash_pieces(hash, bytes));
}

fn hash_pieces(hash: &mut Sha256, bytes: &[u8]) {
    if bytes.len() <= N_PIECES * PIECE_BYTES {
        hash.update(bytes);
        return;
    }
    let last_begin = bytes.len() - PIECE_BYTES;
    for piece in 0..N_PIECES {
        let begin = last_begin / (N_PIECES - 1) * piece;
        hash.update(&bytes[begin..begin + PIECE_BYTES]);
    }
}
