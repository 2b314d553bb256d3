//! Documents as ids, in memory or in a mapped file.

mod builder;
mod layout;

use std::ops::Range;
use std::path::Path;

use danlu_formats::Mapping;

use crate::atomic::write_file_atomically;
use crate::{Error, MixWeight, Result};
use layout::Layout;

pub use builder::ShardBuilder;

/// Documents or dialogues as ids, with their borders, names, weights and, for dialogues, which ids
/// are to be learned. It is the bytes of its file: of a file only what is asked for is paged
/// in, so a shard may be larger than memory.
#[derive(Debug)]
pub struct TokenShard {
    bytes: Bytes,
    layout: Layout,
    /// By group; empty when every document has the weight 1.
    weights: Vec<MixWeight>,
}

#[derive(Debug)]
enum Bytes {
    Owned(Vec<u8>),
    Mapped(Mapping),
}

impl Bytes {
    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Owned(bytes) => bytes,
            Self::Mapped(mapping) => mapping.bytes(),
        }
    }

    /// Gives the pages of what was looked at once back to the system.
    fn release(&self, range: Range<usize>) {
        if let Self::Mapped(mapping) = self {
            // A hint: if the system refuses it, the pages only stay longer.
            let _ = mapping.release(range);
        }
    }
}

impl PartialEq for TokenShard {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl TokenShard {
    /// Maps a file, after checking all of it once.
    ///
    /// # Errors
    /// When it cannot be read, or is not exactly what [`ShardBuilder::write`] wrote.
    pub fn read(path: &Path) -> Result<Self> {
        let mapping = Mapping::open(path).map_err(|error| Error::Read {
            path: path.to_owned(),
            source: std::io::Error::other(error),
        })?;
        Self::new(Bytes::Mapped(mapping))
            .map_err(|error| Error::Damaged { path: path.to_owned(), found: error.to_string() })
    }

    /// Takes the bytes of a file.
    ///
    /// # Errors
    /// [`Error::Shard`] for anything but the exact bytes of [`TokenShard::as_bytes`].
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self> {
        Self::new(Bytes::Owned(bytes))
    }

    fn new(bytes: Bytes) -> Result<Self> {
        let layout = Layout::parse(bytes.as_slice())?;
        layout.check(bytes.as_slice(), &|range| bytes.release(range))?;
        let weights = layout.weights(bytes.as_slice())?;
        Ok(Self { bytes, layout, weights })
    }

    /// The bytes of the file.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.as_slice()
    }

    /// Writes the file, whole or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        Ok(write_file_atomically(path, self.as_bytes())?)
    }

    /// [`danlu_tokenizer::Tokenizer::hash`] of the tokenizer that made the ids.
    pub fn tokenizer_hash(&self) -> &str {
        &self.layout.tokenizer_hash
    }

    /// All ids are below this.
    pub fn vocab_size(&self) -> usize {
        self.layout.vocab_size
    }

    /// Number of ids.
    pub fn len(&self) -> usize {
        self.layout.ids
    }

    /// Whether there are no ids.
    pub fn is_empty(&self) -> bool {
        self.layout.ids == 0
    }

    /// The id at `index`.
    ///
    /// # Panics
    /// When `index` is not below [`TokenShard::len`].
    pub fn id(&self, index: usize) -> u32 {
        self.layout.id(self.as_bytes(), index)
    }

    /// Number of documents.
    pub fn document_count(&self) -> usize {
        self.layout.documents
    }

    /// Where the ids of a document lie.
    ///
    /// # Panics
    /// When there is no such document.
    pub fn document(&self, index: usize) -> Range<usize> {
        let end = |index| self.layout.document_end(self.as_bytes(), index);
        let start = if index == 0 { 0 } else { end(index - 1) };
        start..end(index)
    }

    /// The name (id in the data files) of a document.
    pub fn document_name(&self, index: usize) -> Option<&str> {
        self.layout.document_name(self.as_bytes(), index)
    }

    /// How often an epoch has a document; `None` where all have the weight 1.
    ///
    /// # Panics
    /// When there is no such document.
    pub fn weight(&self, index: usize) -> Option<&MixWeight> {
        let group = || self.layout.group(self.as_bytes(), index);
        (!self.weights.is_empty()).then(|| &self.weights[usize::from(group())])
    }

    /// Whether only some ids are to be predicted: true for shards of dialogues.
    pub fn has_mask(&self) -> bool {
        self.layout.has_mask
    }

    /// Whether the id at `index` is to be predicted.
    ///
    /// # Panics
    /// When `index` is not below [`TokenShard::len`].
    pub fn is_learned(&self, index: usize) -> bool {
        !self.layout.has_mask || self.layout.mask_bit(self.as_bytes(), index)
    }

    /// Refuses a shard that another tokenizer made.
    ///
    /// # Errors
    /// [`Error::WrongTokenizer`] with both hashes.
    pub fn expect_tokenizer(&self, hash: &str) -> Result<()> {
        if self.tokenizer_hash() == hash {
            return Ok(());
        }
        Err(Error::WrongTokenizer {
            what: "the token shard".to_owned(),
            found: self.tokenizer_hash().to_owned(),
            expected: hash.to_owned(),
        })
    }
}
