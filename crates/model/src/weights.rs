//! Named tensors, whatever the file they lie in: what the builders in [`crate::arch`] take a model's weights from.
//!
//! Names are those of GGUF (`blk.0.attn_q.weight`); tensors of a Hugging Face folder are renamed before they come here.
//! Every tensor is taken once or the load fails: a tensor that nobody asks for is part of a model that we would compute wrongly.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use tokenmill_kernels::mapped::MappedFile;
use tokenmill_kernels::matmul::{Matrix, PackError};
use tokenmill_kernels::pool::Pool;
use tokenmill_kernels::quant::Format;

use crate::codes::{self, Codes};

/// A model's tensors, waiting to be taken.
pub struct Weights<'a> {
    pool: &'a Pool,
    tensors: BTreeMap<String, Tensor<'a>>,
    /// What matrices of floating point numbers are rounded to: the first whose blocks their rows are a whole number of.
    quantize: Vec<&'static Format>,
}

/// A tensor in a file.
#[derive(Clone, Debug)]
pub struct Tensor<'a> {
    /// Its name in the file, for messages.
    pub name_in_file: String,
    /// Dimensions, slowest first: `[n_rows, n_cols]` for a matrix.
    pub shape: Vec<u64>,
    /// The type of its elements.
    pub format: &'static Format,
    /// The bytes of the file that it lies in.
    pub source: Source<'a>,
    /// Its bytes within the source; within bounds, and as many as shape and format need.
    pub range: Range<usize>,
    /// Where the file has codes with scales beside them: how to get at them. The format is then what they are composed to,
    /// and the range that of the codes.
    pub(crate) codes: Option<Arc<dyn Codes + 'a>>,
}

/// Bytes of a whole file.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// Mapped: pages are given back once their tensor is packed.
    Mapped(&'a MappedFile),
    /// In memory anyway, such as a model embedded in the program.
    Memory(&'a [u8]),
}

/// Why a model's weights do not fit its description.
#[derive(Debug, thiserror::Error)]
pub enum WeightError {
    /// A tensor that the architecture needs is not there.
    #[error("tensor {name:?} is missing; the file is incomplete or not of this architecture")]
    Missing {
        /// The tensor.
        name: String,
    },
    /// Two tensors of one name, in two parts of a split file or after renaming.
    #[error("tensor {name:?} is there twice")]
    Duplicate {
        /// The tensor.
        name: String,
    },
    /// A tensor has another shape than the metadata says.
    #[error("tensor {name:?} has shape {found:?}, but the model's metadata asks for {expected:?}")]
    Shape {
        /// The tensor.
        name: String,
        /// Its shape, slowest dimension first.
        found: Vec<u64>,
        /// The shape needed.
        expected: Vec<u64>,
    },
    /// The matrices of a layer's experts are not all of one type.
    #[error(
        "tensor {name:?} is {found}, but that of the first expert is {expected}; experts of different types are not supported"
    )]
    ExpertType {
        /// The tensor.
        name: String,
        /// Its type.
        found: &'static str,
        /// The type of the first one.
        expected: &'static str,
    },
    /// Codes, scales or zero points that do not make weights.
    #[error("tensor {name:?} {fault}")]
    Codes {
        /// The tensor.
        name: String,
        /// What is wrong with it.
        fault: String,
    },
    /// A tensor could not be packed.
    #[error("tensor {name:?} cannot be used: {fault}")]
    Pack {
        /// The tensor.
        name: String,
        /// Why.
        fault: PackError,
    },
    /// Tensors that nothing in the architecture uses.
    #[error("tensor {name:?}{} of this model not used by architecture {architecture:?}, so its answers would be wrong; this variant is not supported", others(*.n_unused))]
    Unused {
        /// The first of them.
        name: String,
        /// How many there are.
        n_unused: usize,
        /// The architecture.
        architecture: String,
    },
}

fn others(n_unused: usize) -> String {
    if n_unused <= 1 {
        " is".to_owned()
    } else {
        format!(" and {} others are", n_unused - 1)
    }
}

impl<'a> Source<'a> {
    /// The file's bytes.
    pub fn bytes(&self) -> &'a [u8] {
        match self {
            Source::Mapped(file) => file.bytes(),
            Source::Memory(bytes) => bytes,
        }
    }
}

impl<'a> Tensor<'a> {
    /// A tensor whose bytes are all that there is to it.
    pub fn plain(
        name_in_file: String,
        shape: Vec<u64>,
        format: &'static Format,
        source: Source<'a>,
        range: Range<usize>,
    ) -> Tensor<'a> {
        Tensor {
            name_in_file,
            shape,
            format,
            source,
            range,
            codes: None,
        }
    }

    /// Its bytes.
    pub fn bytes(&self) -> &'a [u8] {
        &self.source.bytes()[self.range.clone()]
    }

    /// Number of its elements.
    pub fn n_elements(&self) -> u64 {
        if self.codes.is_some() {
            return self.shape.iter().product();
        }
        // The range was checked against shape and format, so the product fits.
        (self.range.len() / self.format.block_bytes * self.format.block_len) as u64
    }
}

impl<'a> Weights<'a> {
    /// No tensors yet. `pool` does the packing.
    pub fn new(pool: &'a Pool) -> Weights<'a> {
        Weights {
            pool,
            tensors: BTreeMap::new(),
            quantize: Vec::new(),
        }
    }

    /// From here on, matrices of floating point numbers are rounded to the first of these formats, all of which can be
    /// encoded, whose blocks their rows are a whole number of; except those that fit none, and those taken by
    /// [`Self::matrix_as_it_is`].
    pub fn quantize(&mut self, formats: Vec<&'static Format>) {
        self.quantize = formats;
    }

    /// What a tensor is rounded to when it is taken as a matrix, if it is.
    pub(crate) fn rounded_to(&self, tensor: &Tensor<'_>) -> Option<&'static Format> {
        let n_cols = *tensor.shape.last()?;
        if tensor.shape.len() < 2 || tensor.format.block_len > 1 {
            return None;
        }
        let whole = |format: &&&'static Format| n_cols.is_multiple_of(format.block_len as u64);
        self.quantize.iter().find(whole).copied()
    }

    /// Adds a tensor under its GGUF name.
    ///
    /// # Errors
    /// There is one of that name.
    pub fn insert(&mut self, name: String, tensor: Tensor<'a>) -> Result<(), WeightError> {
        if self.tensors.contains_key(&name) {
            return Err(WeightError::Duplicate {
                name: tensor.name_in_file,
            });
        }
        self.tensors.insert(name, tensor);
        Ok(())
    }

    /// The worker pool that packs, for what a builder computes itself.
    pub fn pool(&self) -> &'a Pool {
        self.pool
    }

    /// Whether there is a tensor of this name that was not taken yet.
    pub fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// The shape of a tensor that was not taken yet, slowest dimension first.
    pub fn shape(&self, name: &str) -> Option<&[u64]> {
        self.tensors.get(name).map(|tensor| tensor.shape.as_slice())
    }

    /// The tensors that were not taken yet, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor<'a>)> {
        self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// Takes a matrix `[n_rows, n_cols]`, packed for products. Its file pages are given back to the system.
    ///
    /// # Errors
    /// It is missing or has another shape.
    pub fn matrix(&mut self, name: &str, n_rows: usize, n_cols: usize) -> Result<Matrix, WeightError> {
        let tensor = self.tensors.remove(name).ok_or_else(|| WeightError::Missing {
            name: name.to_owned(),
        })?;
        self.pack(&tensor, n_rows, n_cols)
    }

    /// [`Self::matrix`] that is never rounded: it is small, and much hangs on it.
    ///
    /// # Errors
    /// As [`Self::matrix`].
    pub fn matrix_as_it_is(
        &mut self,
        name: &str,
        n_rows: usize,
        n_cols: usize,
    ) -> Result<Matrix, WeightError> {
        let quantize = std::mem::take(&mut self.quantize);
        let matrix = self.matrix(name, n_rows, n_cols);
        self.quantize = quantize;
        matrix
    }

    /// [`Self::matrix`], or `None` where there is no such tensor.
    ///
    /// # Errors
    /// It has another shape.
    pub fn optional_matrix(
        &mut self,
        name: &str,
        n_rows: usize,
        n_cols: usize,
    ) -> Result<Option<Matrix>, WeightError> {
        let Some(tensor) = self.tensors.remove(name) else {
            return Ok(None);
        };
        self.pack(&tensor, n_rows, n_cols).map(Some)
    }

    /// Takes the matrices `[n_rows, n_cols]` of a layer's experts, all of one type: from `NAME.weight`, which holds them
    /// one after the other, or from `NAME.0.weight`, `NAME.1.weight` and so on.
    ///
    /// # Errors
    /// One is missing, or has another shape or type.
    pub fn experts(
        &mut self,
        name: &str,
        n_experts: usize,
        n_rows: usize,
        n_cols: usize,
    ) -> Result<Vec<Matrix>, WeightError> {
        if !self.contains(&format!("{name}.0.weight")) {
            return self.stacked_experts(&format!("{name}.weight"), n_experts, n_rows, n_cols);
        }
        let mut experts: Vec<Matrix> = Vec::new();
        for expert in 0..n_experts {
            let name = format!("{name}.{expert}.weight");
            let matrix = self.matrix(&name, n_rows, n_cols)?;
            let first = experts.first().unwrap_or(&matrix).format();
            if matrix.format() != first {
                return Err(WeightError::ExpertType {
                    name,
                    found: matrix.format().name,
                    expected: first.name,
                });
            }
            experts.push(matrix);
        }
        Ok(experts)
    }

    fn stacked_experts(
        &mut self,
        name: &str,
        n_experts: usize,
        n_rows: usize,
        n_cols: usize,
    ) -> Result<Vec<Matrix>, WeightError> {
        let tensor = self.tensors.remove(name).ok_or_else(|| WeightError::Missing {
            name: name.to_owned(),
        })?;
        check_shape(&tensor, &[n_experts as u64, n_rows as u64, n_cols as u64])?;
        // Rows are whole blocks, so experts begin at whole bytes.
        let bytes = tensor.range.len() / n_experts;
        (0..n_experts)
            .map(|expert| {
                let start = tensor.range.start + expert * bytes;
                let own = Tensor {
                    shape: vec![n_rows as u64, n_cols as u64],
                    range: start..start + bytes,
                    ..tensor.clone()
                };
                self.pack(&own, n_rows, n_cols)
            })
            .collect()
    }

    /// Takes a vector of `len` numbers, decoded whatever its type: a norm's weights, a bias, rope frequencies.
    ///
    /// # Errors
    /// It is missing or has another shape.
    pub fn vector(&mut self, name: &str, len: usize) -> Result<Vec<f32>, WeightError> {
        self.optional_vector(name, len)?
            .ok_or_else(|| WeightError::Missing {
                name: name.to_owned(),
            })
    }

    /// [`Self::vector`], or `None` where there is no such tensor.
    ///
    /// # Errors
    /// It has another shape.
    pub fn optional_vector(&mut self, name: &str, len: usize) -> Result<Option<Vec<f32>>, WeightError> {
        let Some(tensor) = self.tensors.remove(name) else {
            return Ok(None);
        };
        check_shape(&tensor, &[len as u64])?;
        if tensor.codes.is_some() {
            return Err(WeightError::Codes {
                name: tensor.name_in_file,
                fault: "is quantised, but no matrix".to_owned(),
            });
        }
        let mut numbers = vec![0.0; len];
        tensor.format.decode(tensor.bytes(), &mut numbers);
        Ok(Some(numbers))
    }

    /// Takes a tensor away unread, where a builder knows that it does not change the results. Whether it was there.
    pub fn discard(&mut self, name: &str) -> bool {
        self.tensors.remove(name).is_some()
    }

    /// Ends the taking.
    ///
    /// # Errors
    /// Names a tensor that nobody took.
    pub fn finish(self, architecture: &str) -> Result<(), WeightError> {
        match self.tensors.values().next() {
            None => Ok(()),
            Some(tensor) => Err(WeightError::Unused {
                name: tensor.name_in_file.clone(),
                n_unused: self.tensors.len(),
                architecture: architecture.to_owned(),
            }),
        }
    }

    fn pack(&self, tensor: &Tensor<'a>, n_rows: usize, n_cols: usize) -> Result<Matrix, WeightError> {
        check_shape(tensor, &[n_rows as u64, n_cols as u64])?;
        if let Some(codes) = &tensor.codes {
            return self.pack_codes(tensor, codes.as_ref());
        }
        if let Some(format) = self.rounded_to(tensor) {
            return self.pack_rounded(tensor, format, n_rows, n_cols);
        }
        let packed = match tensor.source {
            Source::Mapped(file) => {
                let shape = (n_rows, n_cols);
                Matrix::pack_file(self.pool, tensor.format, shape, file, tensor.range.clone())
            }
            Source::Memory(_) => Matrix::pack(self.pool, tensor.format, n_rows, n_cols, tensor.bytes()),
        };
        packed.map_err(|fault| WeightError::Pack {
            name: tensor.name_in_file.clone(),
            fault,
        })
    }
}

impl Weights<'_> {
    fn pack_codes(&self, tensor: &Tensor<'_>, codes: &dyn Codes) -> Result<Matrix, WeightError> {
        let name = || tensor.name_in_file.clone();
        let blocks = codes::compose(self.pool, codes, tensor.format)
            .map_err(|fault| WeightError::Codes { name: name(), fault })?;
        if let Source::Mapped(file) = tensor.source {
            file.release(tensor.range.clone());
        }
        let (n_rows, n_cols) = (codes.n_rows(), codes.n_cols());
        Matrix::pack(self.pool, tensor.format, n_rows, n_cols, &blocks)
            .map_err(|fault| WeightError::Pack { name: name(), fault })
    }

    fn pack_rounded(
        &self,
        tensor: &Tensor<'_>,
        format: &'static Format,
        n_rows: usize,
        n_cols: usize,
    ) -> Result<Matrix, WeightError> {
        // The shape was checked, and with it that there are columns.
        let row_bytes = n_cols / format.block_len * format.block_bytes;
        let mut rounded = vec![0; n_rows * row_bytes];
        let source_row_bytes = n_cols * tensor.format.block_bytes;
        let grain = ROUNDED_TOGETHER.div_ceil(n_cols);
        self.pool
            .for_each_chunk(&mut rounded, row_bytes, grain, |first, rows| {
                let mut numbers = vec![0.0; n_cols];
                let source = tensor.bytes()[first * source_row_bytes..].chunks_exact(source_row_bytes);
                for (row, source) in rows.chunks_exact_mut(row_bytes).zip(source) {
                    tensor.format.decode(source, &mut numbers);
                    format.encode(&numbers, row);
                }
            });
        if let Source::Mapped(file) = tensor.source {
            file.release(tensor.range.clone());
        }
        Matrix::pack(self.pool, format, n_rows, n_cols, &rounded).map_err(|fault| WeightError::Pack {
            name: tensor.name_in_file.clone(),
            fault,
        })
    }
}

/// Numbers that are worth a worker's while to round.
const ROUNDED_TOGETHER: usize = 1 << 16;

fn check_shape(tensor: &Tensor<'_>, expected: &[u64]) -> Result<(), WeightError> {
    // GGUF drops leading dimensions of 1: a matrix of one row is stored as a vector.
    let found = tensor.shape.iter().skip_while(|&&dim| dim == 1);
    if found.eq(expected.iter().skip_while(|&&dim| dim == 1)) {
        return Ok(());
    }
    Err(WeightError::Shape {
        name: tensor.name_in_file.clone(),
        found: tensor.shape.clone(),
        expected: expected.to_vec(),
    })
}
