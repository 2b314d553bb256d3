//! Documents into a shard, one after the other, in memory or through files.

use std::io::{BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tempfile::SpooledTempFile;

use super::TokenShard;
use super::layout::{Sizes, header, width};
use crate::atomic::{AtomicFile, failure};
use crate::{Error, MixWeight, Result};

/// Bytes of a part that stay in memory when the rest goes to a file.
const KEPT_BYTES: usize = 1 << 20;
/// Bytes copied at a time.
const COPIED_BYTES: usize = 1 << 16;

/// Collects documents into a shard.
#[derive(Debug)]
pub struct ShardBuilder {
    tokenizer_hash: String,
    vocab_size: usize,
    ids: Spool,
    ends: Spool,
    mask: Spool,
    sizes: Spool,
    names: Spool,
    groups: Spool,
    id_count: u64,
    documents: u64,
    /// Whether documents say which ids are to be predicted; `None` before the first.
    masked: Option<bool>,
    /// The last byte of the mask, while it is not full.
    mask_byte: u8,
    weights: Vec<MixWeight>,
}

impl ShardBuilder {
    /// An empty shard, in memory, for ids of the tokenizer with this hash and size.
    pub fn new(tokenizer_hash: &str, vocab_size: usize) -> Self {
        Self::with(tokenizer_hash, vocab_size, || Spool::new(None))
    }

    /// The same through nameless files in `folder`, for shards larger than memory.
    pub fn spooling(tokenizer_hash: &str, vocab_size: usize, folder: &Path) -> Self {
        Self::with(tokenizer_hash, vocab_size, || Spool::new(Some(folder)))
    }

    fn with(tokenizer_hash: &str, vocab_size: usize, spool: impl Fn() -> Spool) -> Self {
        Self {
            tokenizer_hash: tokenizer_hash.to_owned(),
            vocab_size,
            ids: spool(),
            ends: spool(),
            mask: spool(),
            sizes: spool(),
            names: spool(),
            groups: spool(),
            id_count: 0,
            documents: 0,
            masked: None,
            mask_byte: 0,
            weights: Vec::new(),
        }
    }

    /// Ids so far.
    pub fn len(&self) -> u64 {
        self.id_count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.id_count == 0
    }

    /// Appends a document of weight 1; see [`ShardBuilder::push_weighted`].
    ///
    /// # Panics
    /// As there.
    ///
    /// # Errors
    /// As there.
    pub fn push(&mut self, name: &str, ids: &[u32], learned: Option<&[bool]>) -> Result<()> {
        self.push_weighted(name, ids, learned, &MixWeight::default())
    }

    /// Appends a document; an empty one leaves no trace. `learned` says for each id whether it is
    /// to be predicted; all documents of a shard have it or none.
    ///
    /// # Panics
    /// When `learned` has another length than `ids`, or only some documents have it: the caller's
    /// mistake.
    ///
    /// # Errors
    /// When an id is not in the vocabulary, there are more than 65 536 different weights, or the
    /// disk is full.
    pub fn push_weighted(
        &mut self,
        name: &str,
        ids: &[u32],
        learned: Option<&[bool]>,
        weight: &MixWeight,
    ) -> Result<()> {
        if let Some(&id) = ids.iter().find(|&&id| id as usize >= self.vocab_size) {
            let size = self.vocab_size;
            return Err(Error::Shard(format!("{name} has id {id} in a vocabulary of {size}")));
        }
        if ids.is_empty() {
            return Ok(());
        }
        let masked = *self.masked.get_or_insert(learned.is_some());
        assert!(masked == learned.is_some(), "{name}: mask in part only");
        if let Some(learned) = learned {
            assert_eq!(learned.len(), ids.len(), "{name}: one mask bit an id");
            self.push_mask(learned)?;
        }
        let group = self.group(weight)?;
        let bytes: Vec<u8> = match width(self.vocab_size) {
            // The ids were checked against the vocabulary, which fits the width.
            2 => ids.iter().flat_map(|&id| (id as u16).to_le_bytes()).collect(),
            _ => ids.iter().flat_map(|id| id.to_le_bytes()).collect(),
        };
        self.ids.write(&bytes)?;
        self.id_count += ids.len() as u64;
        self.documents += 1;
        self.ends.write(&self.id_count.to_le_bytes())?;
        self.sizes.write(&(name.len() as u32).to_le_bytes())?;
        self.names.write(name.as_bytes())?;
        self.groups.write(&group.to_le_bytes())
    }

    fn push_mask(&mut self, learned: &[bool]) -> Result<()> {
        let mut bytes = Vec::with_capacity(learned.len() / 8 + 1);
        for (index, &learned) in (self.id_count..).zip(learned) {
            self.mask_byte |= u8::from(learned) << (index % 8);
            if index % 8 == 7 {
                bytes.push(std::mem::take(&mut self.mask_byte));
            }
        }
        self.mask.write(&bytes)
    }

    fn group(&mut self, weight: &MixWeight) -> Result<u16> {
        let known = self.weights.iter().position(|known| known == weight);
        let group = known.unwrap_or(self.weights.len());
        if known.is_none() {
            self.weights.push(weight.clone());
        }
        u16::try_from(group)
            .map_err(|_| Error::Shard("more than 65536 different weights of documents".to_owned()))
    }

    /// The finished shard, in memory.
    ///
    /// # Errors
    /// When no document was given.
    pub fn finish(self) -> Result<TokenShard> {
        let mut bytes = Vec::new();
        self.pour(&mut |part| {
            bytes.extend_from_slice(part);
            Ok(())
        })?;
        TokenShard::from_bytes(bytes)
    }

    /// Writes the finished shard to `path`, whole or not at all.
    ///
    /// # Errors
    /// When no document was given, or the file cannot be written.
    pub fn write(self, path: &Path) -> Result<()> {
        let mut file = AtomicFile::create(path)?;
        self.pour(&mut |part| Ok(file.write(part)?))?;
        Ok(file.commit()?)
    }

    /// Gives all bytes of the shard to `sink` in their order.
    fn pour(mut self, sink: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        if self.is_empty() {
            let hint = "no document has any token".to_owned();
            return Err(Error::NothingLeft { after: "to pack into a token shard", hint });
        }
        if self.masked == Some(true) && !self.id_count.is_multiple_of(8) {
            self.mask.write(&[self.mask_byte])?;
        }
        let weights = match self.weights[..] == [MixWeight::default()] {
            true => Vec::new(),
            false => serde_json::to_vec(&self.weights)?,
        };
        let sizes = Sizes {
            vocab_size: self.vocab_size as u64,
            ids: self.id_count,
            documents: self.documents,
            names: self.names.bytes,
            weights: weights.len() as u64,
        };
        let head = header(&self.tokenizer_hash, self.masked == Some(true), &sizes)?;
        let mut hash = Sha256::new();
        let mut hashed = |part: &[u8]| {
            hash.update(part);
            sink(part)
        };
        hashed(&head)?;
        for part in [self.ids, self.ends, self.mask, self.sizes, self.names] {
            part.pour(&mut hashed)?;
        }
        if !weights.is_empty() {
            self.groups.pour(&mut hashed)?;
            hashed(&weights)?;
        }
        sink(&hash.finalize())
    }
}

/// Bytes that are written once and then read once.
#[derive(Debug)]
struct Spool {
    writer: BufWriter<SpooledTempFile>,
    bytes: u64,
    /// Where the file is, for messages.
    folder: PathBuf,
}

impl Spool {
    /// In memory, or beyond [`KEPT_BYTES`] in a file without a name in `folder`.
    fn new(folder: Option<&Path>) -> Self {
        let file = match folder {
            Some(folder) => SpooledTempFile::new_in(KEPT_BYTES, folder),
            None => SpooledTempFile::new(usize::MAX),
        };
        let folder = folder.unwrap_or(Path::new("memory")).to_owned();
        Self { writer: BufWriter::new(file), bytes: 0, folder }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.bytes += bytes.len() as u64;
        let failed = |source| failure(&self.folder, source, bytes.len() as u64);
        Ok(self.writer.write_all(bytes).map_err(failed)?)
    }

    fn pour(self, sink: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let failed = |source| failure(&self.folder, source, 0);
        let mut file = self.writer.into_inner().map_err(|error| failed(error.into_error()))?;
        file.rewind().map_err(failed)?;
        let mut part = vec![0; COPIED_BYTES];
        loop {
            let count = file.read(&mut part).map_err(failed)?;
            if count == 0 {
                return Ok(());
            }
            sink(&part[..count])?;
        }
    }
}
