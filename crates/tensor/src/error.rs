//! What can go wrong in an operation: shapes and types that come from files and configurations.

use crate::{DType, Shape};

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// An operation was asked for something it cannot do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Shapes that do not fit each other.
    #[error("{op}: {what} has shape {found}, expected {expected}")]
    Shape {
        /// The operation.
        op: &'static str,
        /// Which argument.
        what: &'static str,
        /// Its shape.
        found: Shape,
        /// The shape it should have, in words.
        expected: String,
    },
    /// A number type the operation does not take.
    #[error("{op}: {what} is {found:?}, expected {expected:?}")]
    DType {
        /// The operation.
        op: &'static str,
        /// Which argument.
        what: &'static str,
        /// Its type.
        found: DType,
        /// The type it should have.
        expected: DType,
    },
    /// A value that makes no sense for the operation.
    #[error("{op}: {message}")]
    Value {
        /// The operation.
        op: &'static str,
        /// What is wrong and what would be right.
        message: String,
    },
    /// A gradient was asked for through an operation that has none.
    #[error("{op} has no gradient; call it inside no_grad or on detached tensors")]
    NotDifferentiable {
        /// The operation.
        op: &'static str,
    },
    /// A parameter was looked up by a name the model does not have.
    #[error("no parameter named `{name}`; the nearest is `{nearest}`")]
    UnknownParameter {
        /// The name asked for.
        name: String,
        /// The most similar name.
        nearest: String,
    },
    /// The instruction level asked for is not to be had.
    #[error(transparent)]
    Simd(#[from] danlu_kernels::simd::UnsupportedSimd),
}
