//! The setting `data.near_duplicates`.

use serde::{Deserialize, Serialize};
use twox_hash::XxHash64;

use super::{MinHash, simplify, words_of};
use crate::steps::english_words;
use crate::{Error, Result};

/// Hash functions of a bucket in datatrove's defaults.
const DATATROVE_HASHES: usize = 8;

/// `near_duplicates = { .. }`: of documents whose words are nearly the same one is kept. Texts are
/// compared by MinHash signatures in buckets; see [`MinHash`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NearDuplicates {
    /// Documents that agree in one whole bucket are near-duplicates.
    pub buckets: usize,
    /// Hash functions of a bucket. With 14 buckets of 8, texts of Jaccard similarity 0.8 are found
    /// with a probability of 92 %, of 0.6 with 21 %, of 0.5 with 5 %.
    pub hashes_per_bucket: usize,
    /// Words of an n-gram. Each Chinese character is a word.
    pub ngram: usize,
    /// Seed of the hash functions.
    pub seed: u32,
    /// Which document of a cluster is kept.
    pub keep: Keep,
    /// Words and kept document as another program has them, to get its very result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compatible: Option<Compatible>,
}

/// Which document of a cluster of near-duplicates is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Keep {
    /// The one that was read first.
    First,
    /// The one with the most bytes of text; the first of several.
    Longest,
}

/// A program whose result can be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compatible {
    /// datatrove 0.10 with English words: `keep` is not looked at, since it keeps the root of its
    /// union by size.
    Datatrove,
}

impl Default for NearDuplicates {
    fn default() -> Self {
        let (buckets, hashes_per_bucket) = (14, 8);
        let keep = Keep::First;
        Self { buckets, hashes_per_bucket, ngram: 5, seed: 1, keep, compatible: None }
    }
}

impl NearDuplicates {
    /// Refuses values that cannot work.
    ///
    /// # Errors
    /// [`Error::Config`] with the value and what would be accepted.
    pub(crate) fn validate(&self) -> Result<()> {
        let limits = [
            ("near_duplicates.buckets", self.buckets, 1..=256),
            ("near_duplicates.hashes_per_bucket", self.hashes_per_bucket, 1..=64),
            ("near_duplicates.ngram", self.ngram, 1..=100),
        ];
        for (key, value, accepted) in limits {
            if !accepted.contains(&value) {
                let expected = format!("expected {} to {}", accepted.start(), accepted.end());
                return Err(Error::Config { key, found: value.to_string(), expected });
            }
        }
        if self.compatible.is_some() && self.hashes_per_bucket != DATATROVE_HASHES {
            let (key, found) = ("near_duplicates.hashes_per_bucket", self.hashes_per_bucket);
            let expected = format!("expected {DATATROVE_HASHES} with compatible = \"datatrove\"");
            return Err(Error::Config { key, found: found.to_string(), expected });
        }
        Ok(())
    }

    /// The hash functions of these settings.
    pub fn minhash(&self) -> MinHash {
        MinHash::new(self.buckets * self.hashes_per_bucket, self.ngram, self.seed)
    }

    /// The signature of `text`; `None` where it has fewer words than an n-gram.
    pub fn signature(&self, minhash: &MinHash, text: &str) -> Option<Vec<u64>> {
        let simple = simplify(text);
        minhash.signature(&self.words_of(&simple))
    }

    /// The words of a text that [`simplify`] has made.
    pub fn words_of<'a>(&self, simple: &'a str) -> Vec<&'a str> {
        match self.compatible {
            Some(Compatible::Datatrove) => english_words(simple),
            None => words_of(simple),
        }
    }

    /// Bytes of a key of [`NearDuplicates::keys`].
    pub(crate) fn key_bytes(&self) -> usize {
        match self.compatible {
            Some(Compatible::Datatrove) => DATATROVE_HASHES * size_of::<u64>(),
            None => size_of::<u128>(),
        }
    }

    /// A key for each bucket of a signature: its values, big-endian, where the order of buckets
    /// decides what is kept; else a hash of them, since only equality counts.
    pub(crate) fn keys(&self, signature: &[u64]) -> Vec<Vec<u8>> {
        let values = |bucket: &[u64]| -> Vec<u8> {
            bucket.iter().flat_map(|value| value.to_be_bytes()).collect()
        };
        let hash =
            |bytes: &[u8]| [0, 1].map(|seed| XxHash64::oneshot(seed, bytes).to_be_bytes()).concat();
        let buckets = signature.chunks(self.hashes_per_bucket).map(values);
        match self.compatible {
            Some(Compatible::Datatrove) => buckets.collect(),
            None => buckets.map(|bytes| hash(&bytes)).collect(),
        }
    }
}
