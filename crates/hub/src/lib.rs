//! Names of models to local files.
//!
//! Read in this order: [`name`] (what a name is), then [`cache`] (where the files of a name lie).
//! Nothing here reads a model or reaches a network.
//!
//! ```
//! use danlu_hub::Cache;
//!
//! let folder = std::env::temp_dir();
//! // What exists as a path is that path; everything else is looked up by name.
//! assert_eq!(Cache::from_environment().locate(&folder.to_string_lossy())?, folder);
//! # Ok::<(), danlu_hub::Error>(())
//! ```

pub mod cache;
mod error;
pub mod name;

pub use cache::Cache;
pub use error::{Error, Result};
pub use name::Name;
