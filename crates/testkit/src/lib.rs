//! What tests of several crates share, outside the product.

mod bytes;
pub mod gguf;
pub mod random;
mod recall_model;
pub mod safetensors;
mod tiny_adapter;
pub mod tiny_model;

pub use recall_model::RecallModel;
pub use tiny_adapter::TinyAdapter;
pub use tiny_model::{TinyModel, tiny_model};
