//! What tests of several crates share, outside the product.

mod recall_model;

pub use recall_model::RecallModel;
