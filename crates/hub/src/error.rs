//! Why a model is not found.

use std::path::PathBuf;

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A model was not found, or its cache is damaged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Neither a path that exists nor a possible name.
    #[error(
        "{given:?} is no file or folder here, and no name of a model either: {problem}; a name is \
         like organisation/model or organisation/model@revision"
    )]
    NotAName {
        /// What was given.
        given: String,
        /// What is wrong with it as a name.
        problem: &'static str,
    },
    /// A possible name, but no such files.
    #[error(
        "{name} is no file or folder here, and the local cache has no {missing}; give the path of \
         the model's folder or file, or put its files into that cache"
    )]
    NotCached {
        /// The name asked for.
        name: String,
        /// What was looked for and not found.
        missing: PathBuf,
    },
    /// The cache points to something that is not there.
    #[error(
        "{} says revision {revision:?}, but {} is not there; delete the former",
        reference.display(),
        snapshot.display()
    )]
    BrokenReference {
        /// The file that names the revision.
        reference: PathBuf,
        /// What it says.
        revision: String,
        /// Where the files should be.
        snapshot: PathBuf,
    },
    /// A file of the cache cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The environment does not say where the cache is.
    #[error(
        "{name} is no file or folder here, and nothing says where the local cache is; set HF_HOME \
         or HOME, or give the path of the model"
    )]
    NoCache {
        /// The name asked for.
        name: String,
    },
}
