//! Weight files in and out. Hostile bytes stop here.
//!
//! Read in this order: [`error`], [`dtype`] (element types and their conversion to f32),
//! [`safetensors`] (the one format so far), then `mapping`, the only unsafe code outside the kernels.
//!
//! **Invariants.** No byte of a file is trusted: every length is checked before it is used, every
//! sum can overflow only into an error, and memory stays within a constant factor of the header's
//! size, whatever the header claims. Tensors are read lazily, straight from the mapped file.

pub mod dtype;
pub mod error;
mod mapping;
pub mod safetensors;

pub use dtype::Dtype;
pub use error::{Error, Result};
pub use safetensors::{NewTensor, SafeTensors, TensorView, Values};
