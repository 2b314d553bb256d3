//! Documents as ids, in memory.

use crate::{Error, Result};

/// Ids in the narrowest type that holds the vocabulary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ids {
    /// For vocabularies of at most 65 536 tokens.
    U16(Vec<u16>),
    /// For larger ones.
    U32(Vec<u32>),
}

impl Ids {
    /// No ids of a vocabulary.
    pub fn for_vocabulary(vocab_size: usize) -> Self {
        if vocab_size <= 1 << 16 { Self::U16(Vec::new()) } else { Self::U32(Vec::new()) }
    }

    /// Number of ids.
    pub fn len(&self) -> usize {
        match self {
            Self::U16(ids) => ids.len(),
            Self::U32(ids) => ids.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The id at `index`.
    ///
    /// # Panics
    /// When `index` is not below [`Ids::len`].
    pub fn get(&self, index: usize) -> u32 {
        match self {
            Self::U16(ids) => u32::from(ids[index]),
            Self::U32(ids) => ids[index],
        }
    }

    /// Appends the ids `range` to `out`.
    ///
    /// # Panics
    /// When the range is not inside the ids.
    pub fn copy_to(&self, range: std::ops::Range<usize>, out: &mut Vec<u32>) {
        match self {
            Self::U16(ids) => out.extend(ids[range].iter().map(|&id| u32::from(id))),
            Self::U32(ids) => out.extend_from_slice(&ids[range]),
        }
    }

    fn extend(&mut self, ids: &[u32]) {
        match self {
            // Checked against the vocabulary before, which fits the type.
            Self::U16(all) => all.extend(ids.iter().map(|&id| id as u16)),
            Self::U32(all) => all.extend_from_slice(ids),
        }
    }
}

/// Documents or dialogues as ids, with their borders, names and, for dialogues, which ids are to be
/// learned. In a file: see [`TokenShard::to_bytes`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenShard {
    pub(crate) tokenizer_hash: String,
    pub(crate) vocab_size: usize,
    pub(crate) ids: Ids,
    /// Where each document ends, exclusive; strictly rising, the last is the number of ids.
    pub(crate) ends: Vec<usize>,
    /// One bit an id, lowest first: whether it is to be predicted. `None`: all are.
    pub(crate) mask: Option<Vec<u8>>,
    pub(crate) names: Vec<String>,
}

impl TokenShard {
    /// [`danlu_tokenizer::Tokenizer::hash`] of the tokenizer that made the ids.
    pub fn tokenizer_hash(&self) -> &str {
        &self.tokenizer_hash
    }

    /// All ids are below this.
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// All ids, document after document.
    pub fn ids(&self) -> &Ids {
        &self.ids
    }

    /// Number of ids.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are no ids.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Number of documents.
    pub fn document_count(&self) -> usize {
        self.ends.len()
    }

    /// Where the ids of a document lie.
    ///
    /// # Panics
    /// When there is no such document.
    pub fn document(&self, index: usize) -> std::ops::Range<usize> {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        start..self.ends[index]
    }

    /// The name (id in the data files) of a document.
    pub fn document_name(&self, index: usize) -> Option<&str> {
        self.names.get(index).map(String::as_str)
    }

    /// Whether only some ids are to be predicted: true for shards of dialogues.
    pub fn has_mask(&self) -> bool {
        self.mask.is_some()
    }

    /// Whether the id at `index` is to be predicted.
    ///
    /// # Panics
    /// When `index` is not below [`TokenShard::len`].
    pub fn is_learned(&self, index: usize) -> bool {
        let bit = |mask: &Vec<u8>| mask[index / 8] >> (index % 8) & 1 == 1;
        self.mask.as_ref().is_none_or(bit)
    }

    /// Refuses a shard that another tokenizer made.
    ///
    /// # Errors
    /// [`Error::WrongTokenizer`] with both hashes.
    pub fn expect_tokenizer(&self, hash: &str) -> Result<()> {
        if self.tokenizer_hash == hash {
            return Ok(());
        }
        Err(Error::WrongTokenizer {
            what: "the token shard".to_owned(),
            found: self.tokenizer_hash.clone(),
            expected: hash.to_owned(),
        })
    }
}

/// Collects documents into a shard.
#[derive(Clone, Debug)]
pub struct ShardBuilder {
    shard: TokenShard,
}

impl ShardBuilder {
    /// An empty shard for ids of the tokenizer with this hash and size.
    pub fn new(tokenizer_hash: &str, vocab_size: usize) -> Self {
        let shard = TokenShard {
            tokenizer_hash: tokenizer_hash.to_owned(),
            vocab_size,
            ids: Ids::for_vocabulary(vocab_size),
            ends: Vec::new(),
            mask: None,
            names: Vec::new(),
        };
        Self { shard }
    }

    /// Appends a document; an empty one leaves no trace. `learned` says for each id whether it is
    /// to be predicted; all documents of a shard have it or none.
    ///
    /// # Panics
    /// When `learned` has another length than `ids`, or only some documents have it: the caller's
    /// mistake.
    ///
    /// # Errors
    /// When an id is not in the vocabulary.
    pub fn push(&mut self, name: &str, ids: &[u32], learned: Option<&[bool]>) -> Result<()> {
        let shard = &mut self.shard;
        if let Some(&id) = ids.iter().find(|&&id| id as usize >= shard.vocab_size) {
            let size = shard.vocab_size;
            return Err(Error::Shard(format!("{name} has id {id} in a vocabulary of {size}")));
        }
        if ids.is_empty() {
            return Ok(());
        }
        let first = shard.ends.is_empty();
        assert!(first || learned.is_some() == shard.mask.is_some(), "{name}: mask in part only");
        let start = shard.ids.len();
        shard.ids.extend(ids);
        if let Some(learned) = learned {
            assert_eq!(learned.len(), ids.len(), "{name}: one mask bit an id");
            let mask = shard.mask.get_or_insert_default();
            mask.resize(shard.ids.len().div_ceil(8), 0);
            for index in (0..learned.len()).filter(|&index| learned[index]) {
                mask[(start + index) / 8] |= 1 << ((start + index) % 8);
            }
        }
        shard.ends.push(shard.ids.len());
        shard.names.push(name.to_owned());
        Ok(())
    }

    /// The finished shard.
    ///
    /// # Errors
    /// When no document was given.
    pub fn finish(self) -> Result<TokenShard> {
        if self.shard.is_empty() {
            let hint = "no document has any token".to_owned();
            return Err(Error::NothingLeft { after: "to pack into a token shard", hint });
        }
        Ok(self.shard)
    }
}
