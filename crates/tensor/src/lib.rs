//! Tensors on a device, automatic differentiation, and one file per operation.
//!
//! Read in this order: [`shape`], [`device`], [`tensor`] (values), [`autograd`] (how an operation
//! records its backward, and how the backward runs), [`params`] (weights in flat buffers, or where
//! they lie in a file), then [`ops`], where each file holds one operation: formula, shapes, forward
//! and backward.
//!
//! **Invariants.** Every operation is differentiable or stands in [`ops::NOT_DIFFERENTIABLE`]. A
//! tensor knows no layers, and no operation knows a model. Gradients of parameters go straight into
//! the flat buffer of their [`ParamStore`]; only activations have gradients as tensors.

pub mod autograd;
pub mod device;
pub mod error;
mod frozen;
pub mod ops;
mod packed;
pub mod params;
pub mod shape;
pub mod tensor;
mod watch;

pub use autograd::{Gradients, backward, no_grad, recompute};
pub use danlu_kernels::{Precision, bf16};
pub use device::Device;
pub use error::{Error, Result};
pub use frozen::Frozen;
pub use params::{Init, Param, ParamSpec, ParamStore};
pub use shape::Shape;
pub use tensor::{DType, Storage, Tensor};
pub use watch::{InputWatch, watch_inputs};
