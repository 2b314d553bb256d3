//! What can go wrong between raw files and batches, said so that the reader knows what to do.

use std::path::PathBuf;

use crate::atomic::WriteError;

/// The result of everything in this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Everything that can go wrong between raw files and batches.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder could not be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A tokenizer or template failed.
    #[error(transparent)]
    Tokenizer(#[from] danlu_tokenizer::Error),
    /// A dialogue could not be turned into ids.
    #[error("dialogue {id}: {source}")]
    Dialogue {
        /// Its id.
        id: String,
        /// What the template or tokenizer said.
        source: danlu_tokenizer::Error,
    },
    /// A record cannot be written as JSON.
    #[error("a record cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// The `[data]` section asks for something impossible.
    #[error("data.{key} = {found}: {expected}")]
    Config {
        /// The recipe key.
        key: &'static str,
        /// The value found.
        found: String,
        /// What would be accepted.
        expected: String,
    },
    /// Nothing came through.
    #[error("nothing is left {after}; {hint}")]
    NothingLeft {
        /// After what.
        after: &'static str,
        /// Why, and what to do.
        hint: String,
    },
    /// Someone asked to stop.
    #[error("stopped on request; the same command goes on from here")]
    Stopped,
    /// A file that this program wrote is not as it was written.
    #[error("{path}: {found}; make it again from its sources")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        found: String,
    },
    /// A file is no classifier that can be used.
    #[error("{path} is no classifier in fastText's format that can be used: {found}")]
    Classifier {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        found: String,
    },
    /// A classifier cannot be trained.
    #[error("cannot train a classifier: {0}")]
    Training(String),
    /// The bytes are not a token shard, or were changed.
    #[error("not an intact token shard: {0}")]
    Shard(String),
    /// Two artefacts do not belong together.
    #[error("these do not belong together: {what} was made with tokenizer {found}, not {expected}")]
    WrongTokenizer {
        /// Which artefact.
        what: String,
        /// Hash in the artefact.
        found: String,
        /// Hash of the tokenizer in use.
        expected: String,
    },
    /// A document does not say how often an epoch has it.
    #[error("{document}: meta.mix_weight: {found}")]
    Weight {
        /// Its id.
        document: String,
        /// What it says.
        found: String,
    },
    /// A loader was asked for something impossible.
    #[error("cannot make batches: {0}")]
    Loader(String),
}
