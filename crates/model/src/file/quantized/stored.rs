//! The tensors of a folder by name, from which modules take what is theirs.

use std::collections::BTreeMap;
use std::ops::Range;

use tokenmill_kernels::quant::Format;

use super::tensor_fault;
use crate::error::LoadError;
use crate::file::safetensors::{Dtype, SafetensorsTensor};
use crate::weights::{Source, WeightError};

/// A tensor as it lies in its file.
#[derive(Debug)]
pub(crate) struct Stored<'a> {
    pub(crate) name: String,
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<u64>,
    pub(crate) source: Source<'a>,
    pub(crate) range: Range<usize>,
    pub(crate) file: &'a str,
}

impl<'a> Stored<'a> {
    pub(super) fn bytes(&self) -> &'a [u8] {
        &self.source.bytes()[self.range.clone()]
    }

    pub(super) fn fault(&self, fault: String) -> LoadError {
        tensor_fault(self.file, &self.name, fault)
    }

    /// Refuses any other type.
    pub(super) fn expect_type(&self, types: &[Dtype]) -> Result<(), LoadError> {
        if types.contains(&self.dtype) {
            return Ok(());
        }
        let names: Vec<&str> = types.iter().map(|dtype| dtype.name()).collect();
        Err(self.fault(format!(
            "is {}; {} is expected",
            self.dtype.name(),
            names.join(" or ")
        )))
    }

    pub(super) fn expect_shape(&self, shape: &[usize]) -> Result<(), LoadError> {
        if self.shape.iter().copied().eq(shape.iter().map(|&dim| dim as u64)) {
            return Ok(());
        }
        Err(self.fault(format!("has shape {:?}; {shape:?} is expected", self.shape)))
    }

    /// Rows and columns of a matrix; they fit, since its bytes are in memory.
    pub(super) fn matrix_shape(&self) -> Result<(usize, usize), LoadError> {
        match *self.shape.as_slice() {
            [n_rows, n_cols] => Ok((n_rows as usize, n_cols as usize)),
            _ => Err(self.fault(format!("has shape {:?}; a matrix is expected", self.shape))),
        }
    }

    /// The format of weights that need no other tensor.
    pub(crate) fn format(&self) -> Result<&'static Format, LoadError> {
        self.dtype.format().ok_or_else(|| {
            self.fault(format!(
                "is {}, which no part of quantization_config accounts for; weights by themselves are F32, F16 or BF16",
                self.dtype.name()
            ))
        })
    }
}

/// All tensors of a folder that nobody took yet.
#[derive(Debug, Default)]
pub(crate) struct StoredTensors<'a>(BTreeMap<String, Stored<'a>>);

impl<'a> StoredTensors<'a> {
    /// Adds a tensor.
    ///
    /// # Errors
    /// There is one of that name.
    pub(crate) fn insert(
        &mut self,
        tensor: &SafetensorsTensor,
        file: &'a str,
        source: Source<'a>,
    ) -> Result<(), LoadError> {
        let stored = Stored {
            name: tensor.name.clone(),
            dtype: tensor.dtype,
            shape: tensor.shape.clone(),
            source,
            range: tensor.range.clone(),
            file,
        };
        match self.0.insert(tensor.name.clone(), stored) {
            None => Ok(()),
            Some(_) => Err(LoadError::Weights {
                file: file.to_owned(),
                fault: WeightError::Duplicate {
                    name: tensor.name.clone(),
                },
            }),
        }
    }

    /// What is left.
    pub(crate) fn into_plain(self) -> impl Iterator<Item = Stored<'a>> {
        self.0.into_values()
    }

    /// Modules with a tensor that `is_codes`, given the last part of its name and its type.
    pub(super) fn modules_with(&self, is_codes: fn(&str, Dtype) -> bool) -> Vec<String> {
        let modules = self.0.values().filter_map(|tensor| {
            let (module, kind) = tensor.name.rsplit_once('.')?;
            is_codes(kind, tensor.dtype).then(|| module.to_owned())
        });
        modules.collect()
    }
}

/// A module, and the tensors to take its own from.
pub(super) struct Module<'m, 'a> {
    pub(super) name: String,
    pub(super) tensors: &'m mut StoredTensors<'a>,
}

impl<'a> Module<'_, 'a> {
    pub(super) fn take(&mut self, kind: &str) -> Option<Stored<'a>> {
        self.tensors.0.remove(&format!("{}.{kind}", self.name))
    }

    /// Takes a tensor without which `beside` means nothing.
    pub(super) fn take_required(&mut self, kind: &str, beside: &Stored<'_>) -> Result<Stored<'a>, LoadError> {
        let name = format!("{}.{kind}", self.name);
        self.take(kind)
            .ok_or_else(|| beside.fault(format!("has no tensor {name:?} beside it")))
    }

    pub(super) fn has(&self, kind: &str) -> bool {
        self.tensors.0.contains_key(&format!("{}.{kind}", self.name))
    }
}
