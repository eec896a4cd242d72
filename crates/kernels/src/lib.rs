//! Numbers: quantised formats, matrix products, attention, the choice of instruction set and the worker pool.
//!
//! This crate knows shapes, formats and CPUs; it knows no model. It is the only one that may contain `unsafe`.
//! Every operation here is safe to call, states its formula, and adds up each output element in one fixed order
//! whatever the batch, the number of threads or the instruction set, so that callers may compare with `==`.

pub mod isa;
pub mod mapped;
pub mod pool;

pub mod activation;
pub mod attention;
pub mod experts;
pub mod kv_cache;
pub mod logits;
pub mod matmul;
pub mod norm;
pub mod quant;
pub mod rope;

pub mod peaks;

mod arena;
mod simd;

pub mod reference;
