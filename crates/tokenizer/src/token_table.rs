//! What each id stands for: its bytes, and whether it is a control token.

use std::collections::BTreeMap;

use crate::decoding::Decoding;
use crate::pipeline::Pipeline;
use crate::{Error, Result};

/// A larger id is refused: the table is as long as the largest id.
pub(crate) const MAX_ID: u32 = 1 << 24;

/// A token found in text before the vocabulary's own rules are asked.
#[derive(Clone, Debug)]
pub(crate) struct AddedToken {
    pub(crate) content: String,
    pub(crate) id: u32,
    /// A control token, as opposed to one that users may write.
    pub(crate) special: bool,
    /// Swallows white space before it.
    pub(crate) lstrip: bool,
    /// Swallows white space after it.
    pub(crate) rstrip: bool,
    /// Is found only between other words.
    pub(crate) single_word: bool,
    /// Is looked for in normalised text.
    pub(crate) normalized: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Absent,
    Ordinary,
    Special,
}

/// The bytes of every id, end to end in one block.
pub(crate) struct TokenTable {
    bytes: Vec<u8>,
    /// Where an id's bytes end; they begin where the one before ends.
    ends: Vec<u32>,
    kinds: Vec<Kind>,
    pub(crate) specials: BTreeMap<String, u32>,
    pub(crate) added: Vec<AddedToken>,
}

impl TokenTable {
    pub(crate) fn new(pipeline: &Pipeline, decoding: &Decoding) -> Result<Self> {
        let mut tokens: Vec<(String, u32)> = pipeline.get_vocab(true).into_iter().collect();
        tokens.sort_unstable_by(|left, right| (left.1, &left.0).cmp(&(right.1, &right.0)));
        let size = tokens.last().map_or(0, |&(_, id)| id as usize + 1);
        if size > MAX_ID as usize {
            let found = format!("the id {} is not below {MAX_ID}", size - 1);
            return Err(Error::NotATokenizer(found));
        }
        if let Some([left, right]) = tokens.array_windows().find(|[left, right]| left.1 == right.1)
        {
            let found = format!("the id {} of {:?} is taken by {:?}", right.1, right.0, left.0);
            return Err(Error::NotATokenizer(found));
        }
        let mut added: Vec<AddedToken> = pipeline
            .get_added_tokens_decoder()
            .into_iter()
            .map(|(id, token)| AddedToken {
                content: token.content,
                id,
                special: token.special,
                lstrip: token.lstrip,
                rstrip: token.rstrip,
                single_word: token.single_word,
                normalized: token.normalized,
            })
            .collect();
        added.sort_unstable_by_key(|token| token.id);
        let mut table = Self {
            bytes: Vec::with_capacity(tokens.iter().map(|(token, _)| token.len()).sum()),
            ends: vec![0; size],
            kinds: vec![Kind::Absent; size],
            specials: BTreeMap::new(),
            added,
        };
        table.fill(&tokens, decoding);
        Ok(table)
    }

    fn fill(&mut self, tokens: &[(String, u32)], decoding: &Decoding) {
        let mut added = self.added.iter().peekable();
        let mut filled = 0;
        for (token, id) in tokens {
            let index = *id as usize;
            self.ends[filled..index].fill(self.bytes.len() as u32);
            let added = added.next_if(|added| added.id == *id);
            if added.is_some_and(|added| added.special) {
                self.kinds[index] = Kind::Special;
                self.specials.insert(token.clone(), *id);
                self.bytes.extend_from_slice(token.as_bytes());
            } else {
                self.kinds[index] = Kind::Ordinary;
                self.bytes.extend_from_slice(&decoding.bytes(token, added.is_some()));
            }
            self.ends[index] = self.bytes.len() as u32;
            filled = index + 1;
        }
    }

    /// One more than the largest id.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The bytes of `id`; `None` where the vocabulary leaves a gap, and beyond its end.
    pub(crate) fn get(&self, id: u32) -> Option<&[u8]> {
        let index = id as usize;
        if *self.kinds.get(index)? == Kind::Absent {
            return None;
        }
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        Some(&self.bytes[start..self.ends[index] as usize])
    }

    pub(crate) fn is_special(&self, id: u32) -> bool {
        self.kinds.get(id as usize) == Some(&Kind::Special)
    }
}
