//! What can be wrong with a weight file.

use std::path::PathBuf;

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A weight file could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The system refused.
    #[error("cannot open {path}: {source}")]
    Open {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The system refused to take what was written.
    #[error("cannot write tensors: {0}")]
    Write(#[from] std::io::Error),
    /// The bytes are not what the format demands.
    #[error("{file} is damaged or no safetensors file: {message}; fetch or write it again")]
    Damaged {
        /// The file.
        file: String,
        /// What is wrong.
        message: String,
    },
    /// A tensor that is not in the file.
    #[error("{file} has no tensor `{name}`; `danlu inspect {file}` lists those it has")]
    NoSuchTensor {
        /// The file.
        file: String,
        /// The tensor.
        name: String,
    },
    /// A tensor whose type or size is not the one to be read.
    #[error("{file}: tensor `{name}` is {found}, expected {expected}")]
    Mismatch {
        /// The file.
        file: String,
        /// The tensor.
        name: String,
        /// What it is.
        found: String,
        /// What it should be.
        expected: String,
    },
    /// Two tensors, or a tensor and the metadata, that would have the same name in a file.
    #[error("two tensors to be written are named `{0}`")]
    NameTaken(String),
}
