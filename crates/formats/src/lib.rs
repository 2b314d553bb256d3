//! Weight files in and out. Hostile bytes stop here.
//!
//! Read in this order: [`Weights`] (one front for every format), [`WeightTensor`] (what it gives),
//! [`error`], [`dtype`] (element types and their conversion to f32), [`safetensors`], [`gguf`],
//! `torch` (with its pickle machine, which can only build plain values), `index` (models in several
//! files), then `mapping`, the only unsafe code outside the kernels.
//!
//! **Invariants.** No byte of a file is trusted: every length is checked before it is used, every
//! sum can overflow only into an error, and memory stays within a constant factor of the header's
//! size, whatever the header claims. No byte belongs to two tensors, but where PyTorch's storages
//! are shared. Tensors are read lazily, straight from the mapped file.
//!
//! ```
//! use danlu_formats::{NewTensor, Values, Weights, safetensors};
//!
//! let values = [1.0, 2.0, 3.0, 4.0];
//! let tensor =
//!     NewTensor { name: "weight".into(), shape: vec![2, 2], values: Values::F32(&values) };
//! let mut bytes = Vec::new();
//! safetensors::write(&mut bytes, &Default::default(), &[tensor])?;
//!
//! let weights = Weights::from_bytes("in memory", bytes)?;
//! let tensor = weights.tensor("weight")?;
//! assert_eq!(tensor.shape(), [2, 2]);
//! assert_eq!(tensor.to_f32()?, values);
//! assert_eq!(tensor.matrix()?.row(1), [0, 0, 64, 64, 0, 0, 128, 64]); // 3.0, 4.0
//! # Ok::<(), danlu_formats::Error>(())
//! ```

mod bytes;
mod cursor;
pub mod dtype;
mod element;
pub mod error;
pub mod gguf;
mod index;
mod mapping;
pub mod safetensors;
mod sink;
mod tensor;
mod torch;
mod weights;

pub use dtype::Dtype;
pub use element::ElementType;
pub use error::{Error, Result};
pub use gguf::Gguf;
pub use mapping::Mapping;
pub use safetensors::{NewTensor, SafeTensors, TensorView, Values};
pub use sink::TensorEntry;
pub use tensor::WeightTensor;
pub use weights::{FORMATS, Format, Weights};
