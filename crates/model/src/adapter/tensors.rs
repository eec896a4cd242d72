//! The matrices of an adapter, as they lie in `adapter_model.safetensors`.

use std::borrow::Cow;
use std::collections::HashMap;

use tokenmill_kernels::matmul::Matrix;
use tokenmill_kernels::pool::Pool;
use tokenmill_kernels::quant::Format;

use super::{AdapterFault, AdapterShape, Target};
use crate::file::safetensors;

const PREFIX: &str = "base_model.model.";

/// One of the two matrices of a projection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Half {
    /// PEFT's `lora_A`.
    Down,
    /// PEFT's `lora_B`.
    Up,
}

impl Half {
    fn suffix(self) -> &'static str {
        match self {
            Half::Down => ".lora_A.weight",
            Half::Up => ".lora_B.weight",
        }
    }
}

/// What PEFT calls the tensor.
pub(super) fn name(layer: usize, target: Target, half: Half) -> String {
    format!("{PREFIX}{}{}", target.module(layer), half.suffix())
}

/// A matrix in the file.
pub(super) struct Tensor<'a> {
    /// Rows and columns, once checked.
    pub(super) shape: Vec<u64>,
    /// Row after row.
    pub(super) bytes: &'a [u8],
    name: String,
    format: &'static Format,
}

/// All matrices of an adapter, by layer, place and half.
pub(super) struct Tensors<'a> {
    found: HashMap<(usize, u8, Half), Tensor<'a>>,
}

impl<'a> Tensors<'a> {
    /// Reads the header; every tensor must be half of a projection of such a model.
    pub(super) fn parse(bytes: &'a [u8], shape: &AdapterShape) -> Result<Tensors<'a>, AdapterFault> {
        let mut found = HashMap::new();
        for tensor in safetensors::parse(bytes)? {
            let place = place(&tensor.name, shape).map_err(|why| AdapterFault::TensorUnexpected {
                name: tensor.name.clone(),
                why,
            })?;
            let Some(format) = tensor.dtype.format() else {
                return Err(AdapterFault::Dtype {
                    name: tensor.name,
                    dtype: tensor.dtype.name(),
                });
            };
            let entry = Tensor {
                shape: tensor.shape,
                bytes: &bytes[tensor.range],
                name: tensor.name,
                format,
            };
            found.insert(place, entry);
        }
        Ok(Tensors { found })
    }

    pub(super) fn get(&self, layer: usize, target: Target, half: Half) -> Option<&Tensor<'a>> {
        self.found.get(&(layer, target as u8, half))
    }

    pub(super) fn has(&self, target: Target) -> bool {
        self.found.keys().any(|&(_, place, _)| place == target as u8)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// The largest rank; shapes are checked.
    pub(super) fn max_rank(&self) -> usize {
        let downs = self.found.iter().filter(|((_, _, half), _)| *half == Half::Down);
        downs
            .map(|(_, tensor)| tensor.shape[0] as usize)
            .max()
            .unwrap_or(0)
    }

    pub(super) fn n_params(&self) -> u64 {
        let sizes = self
            .found
            .values()
            .map(|tensor| tensor.shape.iter().product::<u64>());
        sizes.sum()
    }

    /// Bytes of the matrices as they are kept; shapes are checked.
    pub(super) fn packed_bytes(&self) -> usize {
        let bytes = self.found.values().map(|tensor| {
            let (n_rows, n_cols) = (tensor.shape[0] as usize, tensor.shape[1] as usize);
            tensor.format.packed_bytes(n_rows, n_cols).unwrap_or(usize::MAX)
        });
        bytes.fold(0, usize::saturating_add)
    }

    /// Refuses infinities and what is no number; the first by name, so that the answer is always the same.
    pub(super) fn check_finite(&self) -> Result<(), AdapterFault> {
        let mut tensors: Vec<_> = self.found.values().collect();
        tensors.sort_by(|a, b| a.name.cmp(&b.name));
        tensors.into_iter().try_for_each(Tensor::check_finite)
    }
}

/// What a tensor's name says; else why it is none of an adapter's.
fn place(name: &str, shape: &AdapterShape) -> Result<(usize, u8, Half), String> {
    let halves = [Half::Down, Half::Up];
    let half = halves.into_iter().find_map(|half| {
        let module = name.strip_prefix(PREFIX)?.strip_suffix(half.suffix())?;
        Some((module, half))
    });
    let Some((module, half)) = half else {
        return Err("only lora_A and lora_B of linear modules are applied".to_owned());
    };
    let layer = module
        .strip_prefix("model.layers.")
        .and_then(|rest| rest.split('.').next());
    let Some(layer) = layer.and_then(|layer| layer.parse::<usize>().ok()) else {
        return Err("only modules of layers take adapters".to_owned());
    };
    if layer >= shape.n_layers {
        return Err(format!("the model has {} layers", shape.n_layers));
    }
    let targets = Target::ALL.into_iter();
    let target = targets
        .filter(|&target| shape.projection(target).is_some())
        .find(|target| target.module(layer) == module);
    match target {
        Some(target) => Ok((layer, target as u8, half)),
        None => Err("this model takes no adapter there".to_owned()),
    }
}

impl Tensor<'_> {
    pub(super) fn pack(&self, pool: &Pool, bytes: &[u8]) -> Result<Matrix, AdapterFault> {
        let [n_rows, n_cols] = self.shape[..] else {
            return Err(AdapterFault::Memory(format!("{} is no matrix", self.name)));
        };
        Matrix::pack(pool, self.format, n_rows as usize, n_cols as usize, bytes)
            .map_err(|fault| AdapterFault::Memory(fault.to_string()))
    }

    /// The rows in the order in which GGUF files of the Llama family hold queries and keys: of each head, the first
    /// number of one half, the first of the other, the second of one, and so on.
    pub(super) fn with_adjacent_pairs(&self, head_dim: usize) -> Cow<'_, [u8]> {
        let n_rows = self.shape[0] as usize;
        let row_bytes = self.bytes.len() / n_rows.max(1);
        let row = |at: usize| &self.bytes[at * row_bytes..][..row_bytes];
        let heads = (0..n_rows).step_by(head_dim);
        let order =
            heads.flat_map(|head| (0..head_dim).map(move |at| head + (at % 2) * (head_dim / 2) + at / 2));
        order.flat_map(|at| row(at).iter().copied()).collect()
    }

    fn check_finite(&self) -> Result<(), AdapterFault> {
        let mut numbers = vec![0.0; self.bytes.len() / self.format.block_bytes];
        self.format.decode(self.bytes, &mut numbers);
        match numbers.iter().position(|number| !number.is_finite()) {
            None => Ok(()),
            Some(at) => Err(AdapterFault::NotFinite {
                name: self.name.clone(),
                at,
                value: numbers[at].to_string(),
            }),
        }
    }
}
