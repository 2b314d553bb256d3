//! What can go wrong while training, with what to do about it.

use std::path::PathBuf;

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a run cannot start or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A recipe value that cannot work.
    #[error("`{key}` {message}")]
    Config {
        /// The recipe key.
        key: String,
        /// What is wrong and what would be right.
        message: String,
    },
    /// Reading or writing a file failed.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The disk cannot hold the next checkpoint.
    #[error(
        "no room for a checkpoint in {path}: it takes {needed_mib} MiB and {free_mib} MiB are \
         free; make room for {missing_mib} MiB more and run the same command again (the last good \
         checkpoint is kept)"
    )]
    NoRoom {
        /// The folder.
        path: PathBuf,
        /// Size of the checkpoint.
        needed_mib: u64,
        /// Free space.
        free_mib: u64,
        /// The difference.
        missing_mib: u64,
    },
    /// A file does not hold what it should.
    #[error("{path}: {message}")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// A checkpoint belongs to another run.
    #[error(
        "{path} was made with another {what} ({found}, this run has {expected}); use another \
         --out folder or remove this one"
    )]
    Mismatch {
        /// The checkpoint.
        path: PathBuf,
        /// What differs.
        what: &'static str,
        /// What the checkpoint has.
        found: String,
        /// What the run has.
        expected: String,
    },
    /// Too many steps in a row were broken.
    #[error(
        "training stopped at step {step}: {reason}; the batch held the documents {documents}. \
         Nothing of it was saved. Try a lower learning rate, or look at these documents"
    )]
    Diverged {
        /// The step.
        step: u64,
        /// What was found.
        reason: String,
        /// Where the batch came from.
        documents: String,
    },
    /// An update gave numbers that must not be saved.
    #[error(
        "training stopped at step {step}: the update left NaN or infinity in the {what}. Nothing \
         of it was saved, the last good checkpoint is kept. Try a lower learning rate"
    )]
    NotFinite {
        /// The step.
        step: u64,
        /// Where they are.
        what: &'static str,
    },
    /// The training data is too small for the recipe.
    #[error("{message}")]
    Data {
        /// What is missing and what to do.
        message: String,
    },
    /// From the data crate.
    #[error(transparent)]
    Loader(#[from] danlu_data::Error),
    /// From the model.
    #[error(transparent)]
    Model(#[from] danlu_models::Error),
    /// From an operation.
    #[error(transparent)]
    Tensor(#[from] danlu_tensor::Error),
    /// From a weight file.
    #[error(transparent)]
    Format(#[from] danlu_formats::Error),
}

impl Error {
    /// Adds the path to a system error.
    pub(crate) fn io(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}
