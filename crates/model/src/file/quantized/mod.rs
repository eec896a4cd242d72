//! Folders of quantised weights: codes of 4 or 8 bits, with scales and zero points in tensors of their own.
//!
//! `quantization_config` says how; [`config`] reads it. Each kind is a file here, that makes a [`Codes`] of a module's
//! tensors. Every tensor that belongs to a module is taken or refused by name, as everywhere.

mod awq;
mod compressed;
mod config;
mod gptq;
mod numbers;
mod stored;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::codes::{self, Codes};
use crate::error::LoadError;
use crate::weights::{Tensor, WeightError};

pub(crate) use config::{Scheme, scheme};
pub(crate) use stored::StoredTensors;
use stored::{Module, Stored};

/// A module's matrix: its codes, and the tensor that they are in.
struct Matrix<'a> {
    module: String,
    stored: Stored<'a>,
    codes: Arc<dyn Codes + 'a>,
}

impl Scheme {
    /// Takes the tensors of quantised modules, and gives for each its name, its file and its matrix.
    pub(crate) fn matrices<'a>(
        &self,
        tensors: &mut StoredTensors<'a>,
    ) -> Result<Vec<(String, &'a str, Tensor<'a>)>, LoadError> {
        let mut families: BTreeMap<String, Vec<Matrix<'a>>> = BTreeMap::new();
        for name in tensors.modules_with(self.is_codes()) {
            let mut module = Module { name, tensors };
            let (stored, codes) = match self {
                Scheme::Gptq(gptq) => gptq.codes(&mut module)?,
                Scheme::Awq(awq) => awq.codes(&mut module)?,
                Scheme::Compressed(compressed) => compressed.codes(&mut module)?,
            };
            let module = module.name;
            families.entry(family(&module)).or_default().push(Matrix {
                module,
                stored,
                codes,
            });
        }
        let mut matrices = Vec::new();
        for family in families.into_values() {
            finish(family, &mut matrices)?;
        }
        Ok(matrices)
    }
}

/// Experts of a layer are one family: they must have one format.
fn family(module: &str) -> String {
    let parts = module.split('.');
    let parts: Vec<&str> = parts
        .map(|part| {
            if part.bytes().all(|byte| byte.is_ascii_digit()) {
                "*"
            } else {
                part
            }
        })
        .collect();
    match module.split_once(".experts.") {
        Some((layer, _)) => format!("{layer} {}", parts.join(".")),
        None => module.to_owned(),
    }
}

fn finish<'a>(
    family: Vec<Matrix<'a>>,
    matrices: &mut Vec<(String, &'a str, Tensor<'a>)>,
) -> Result<(), LoadError> {
    let same = |matrix: &&Matrix<'_>| {
        let kind = |codes: &dyn Codes| {
            (
                codes.n_cols(),
                codes.group_len(),
                codes.max_code(),
                codes.is_float(),
            )
        };
        kind(matrix.codes.as_ref()) == kind(family[0].codes.as_ref())
    };
    if let Some(other) = family.iter().find(|matrix| !same(matrix)) {
        let fault = format!(
            "is quantised otherwise than {:?}, an expert beside it",
            family[0].stored.name
        );
        return Err(other.stored.fault(fault));
    }
    // One by one first: a fault then names its tensor, and mostly one format is right for all.
    let mut formats = Vec::new();
    for matrix in &family {
        formats.push(codes::choose(&[matrix.codes.as_ref()]).map_err(|fault| matrix.stored.fault(fault))?);
    }
    formats.dedup();
    let format = match *formats.as_slice() {
        [format] => format,
        _ => {
            let all: Vec<&dyn Codes> = family.iter().map(|matrix| matrix.codes.as_ref()).collect();
            codes::choose(&all).map_err(|fault| family[0].stored.fault(fault))?
        }
    };
    for Matrix {
        module,
        stored,
        codes,
    } in family
    {
        let tensor = Tensor {
            name_in_file: stored.name,
            shape: vec![codes.n_rows() as u64, codes.n_cols() as u64],
            format,
            source: stored.source,
            range: stored.range,
            codes: Some(codes),
        };
        matrices.push((module, stored.file, tensor));
    }
    Ok(())
}

/// A tensor's fault, as the whole load's.
fn tensor_fault(file: &str, name: &str, fault: String) -> LoadError {
    LoadError::Weights {
        file: file.to_owned(),
        fault: WeightError::Codes {
            name: name.to_owned(),
            fault,
        },
    }
}
