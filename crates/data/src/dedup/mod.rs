//! Which documents are the same as others: exactly, or nearly.

mod clusters;
mod minhash;
mod settings;
mod spacing_marks;
mod spans;
mod words;

pub(crate) use clusters::Clusters;
pub use minhash::MinHash;
pub use settings::{Compatible, Keep, NearDuplicates};
pub(crate) use spans::Shortened;
pub use spans::{DuplicateSpans, Unit};
pub(crate) use words::ngram_hashes;
pub use words::{simplify, words_of};
