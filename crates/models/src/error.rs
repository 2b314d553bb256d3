//! What can go wrong between a model folder and a forward pass.

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A model could not be configured, loaded, saved or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file of the folder cannot be read.
    #[error("cannot read {file}: {source}")]
    Read {
        /// The file.
        file: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file of the folder cannot be written.
    #[error("cannot write {file}: {source}")]
    Write {
        /// The file.
        file: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The one who watches an export asked to stop.
    #[error("stopped; nothing was left behind")]
    Stopped,
    /// A configuration says something that no model here can be.
    #[error("{file}: {message}")]
    Config {
        /// The file, or where else the configuration comes from.
        file: String,
        /// What is wrong and what would be right.
        message: String,
    },
    /// Weights that do not fit the configuration.
    #[error("{file}: tensor `{tensor}` {problem}")]
    Weights {
        /// The weight file.
        file: String,
        /// The tensor.
        tensor: String,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// Ids, positions or a cache that do not fit each other or the model.
    #[error("{0}")]
    Input(String),
    /// A weight file is damaged.
    #[error(transparent)]
    Format(#[from] danlu_formats::Error),
    /// An operation failed.
    #[error(transparent)]
    Tensor(#[from] danlu_tensor::Error),
}
