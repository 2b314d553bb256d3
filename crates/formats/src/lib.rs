//! Weight files in and out. Hostile bytes stop here.
//!
//! Read in this order: [`error`], [`dtype`] (element types and their conversion to f32),
//! [`safetensors`] (the one format so far), then `mapping`, the only unsafe code outside the
//! kernels.
//!
//! **Invariants.** No byte of a file is trusted: every length is checked before it is used, every
//! sum can overflow only into an error, and memory stays within a constant factor of the header's
//! size, whatever the header claims. Tensors are read lazily, straight from the mapped file.
//!
//! ```
//! use danlu_formats::{NewTensor, SafeTensors, Values, safetensors};
//!
//! let values = [1.0, 2.0, 3.0, 4.0];
//! let tensor =
//!     NewTensor { name: "weight".into(), shape: vec![2, 2], values: Values::F32(&values) };
//! let mut bytes = Vec::new();
//! safetensors::write(&mut bytes, &Default::default(), &[tensor])?;
//!
//! let file = SafeTensors::from_bytes("in memory", bytes)?;
//! assert_eq!(file.tensor("weight")?.shape, [2, 2]);
//! assert_eq!(file.tensor("weight")?.to_f32()?, values);
//! # Ok::<(), danlu_formats::Error>(())
//! ```

pub mod dtype;
pub mod error;
mod mapping;
pub mod safetensors;

pub use dtype::Dtype;
pub use error::{Error, Result};
pub use safetensors::{NewTensor, SafeTensors, TensorView, Values};
