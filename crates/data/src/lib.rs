//! Raw files to clean documents to token shards to batches.
//!
//! In reading order:
//! 1. [`readers`]: files and folders to [`Document`]s and [`Dialogue`]s; a bad record is counted,
//!    never fatal and never silent;
//! 2. [`steps`]: the cleaning, one file a step, each a pure function of a document;
//! 3. [`build`]: both on all cores, then duplicates found over the whole corpus under a memory cap,
//!    and the held-out split, to files and a report; a build that was killed goes on;
//! 4. [`TokenShard`]: documents or dialogues as ids, in a file that is checked and mapped, with
//!    how often an epoch has each ([`MixWeight`]);
//! 5. [`Loader`]: a shard to [`Batch`]es, a pure function of (shard, seed, [`Cursor`]), so a run
//!    that was killed goes on as if nothing had happened.
//!
//! [`atomic`] writes files that are either whole or not there.
//!
//! Invariants: held-out documents are chosen by their id before anything is trained
//! ([`is_held_out`]), no text is in both parts (as it is before [`DuplicateSpans`] shorten it), and
//! no dialogue made from a held-out document remains. The number of threads changes no byte.
//! Deliberately absent: tensors, devices.

pub mod atomic;
mod batch;
mod config;
mod dedup;
mod document;
mod error;
mod loader;
mod memory;
mod mix;
mod pack;
mod pipeline;
pub mod readers;
mod report;
mod shard;
mod source;
mod split;
pub mod steps;

pub use batch::{Batch, IGNORE, Rows};
pub use config::DataConfig;
pub use dedup::{
    Compatible, DuplicateSpans, Keep, MinHash, NearDuplicates, Unit, simplify, words_of,
};
pub use document::{Dialogue, Document, DocumentFile, Meta, read_dialogues, read_documents};
pub use error::{Error, Result};
pub use loader::{Cursor, Estimate, Loader, Mode};
pub use memory::MemorySize;
pub use mix::MixWeight;
pub use pack::{Rehearsal, pack_pretrain, pack_sft};
pub use pipeline::{
    CLEAN_FILE, DIALOGUES_FILE, DROPPED_FILE, HELDOUT_FILE, Progress, REPORT_FILE, Watch, build,
};
pub use readers::{Place, source_files};
pub use report::{Cluster, Counts, DataReport, Example, Part, RemovedSpans, Size};
pub use shard::{ShardBuilder, TokenShard};
pub use source::Source;
pub use split::is_held_out;
