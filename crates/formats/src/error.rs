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
    #[error("{file} is damaged or no {format} file: {message}; fetch or write it again")]
    Damaged {
        /// The file.
        file: String,
        /// The format it should have.
        format: &'static str,
        /// What is wrong, and where.
        message: String,
    },
    /// A file that is whole but says what is not read here.
    #[error("{file}: {found}; {remedy}")]
    Unsupported {
        /// The file.
        file: String,
        /// What was found, and where.
        found: String,
        /// What to do.
        remedy: &'static str,
    },
    /// A pickle that asks for more than plain values.
    #[error(
        "{file}: opcode {opcode} at byte {offset} of the pickle {found}; only tensors in plain \
         dictionaries and lists are read, save the model's state_dict() alone"
    )]
    Refused {
        /// The file, and the pickle in it.
        file: String,
        /// The opcode's name.
        opcode: &'static str,
        /// Where it stands.
        offset: usize,
        /// What it asks for.
        found: String,
    },
    /// A file or folder in which no weights are recognised.
    #[error("{path}: {found}; give {expected}")]
    NoWeights {
        /// The file or folder.
        path: PathBuf,
        /// What was found.
        found: String,
        /// What can be read.
        expected: String,
    },
    /// A part of a model in several files that is not there.
    #[error("{index} names {shard}, which is not there; fetch it again into the same folder")]
    MissingShard {
        /// The file that lists the parts.
        index: String,
        /// The missing part.
        shard: PathBuf,
    },
    /// Metadata that is missing or has another type.
    #[error(
        "{file}: metadata `{key}` is {found}, expected {expected}; the file was made for \
             something else or by a faulty converter"
    )]
    Metadata {
        /// The file.
        file: String,
        /// The key.
        key: String,
        /// What is there.
        found: String,
        /// What should be.
        expected: &'static str,
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
    /// Tensors written in another order or of another length than was announced.
    #[error("tensor `{name}`: {found} written, {expected} announced")]
    Unannounced {
        /// The tensor.
        name: String,
        /// What was written.
        found: String,
        /// What the header says.
        expected: String,
    },
}
