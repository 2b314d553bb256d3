//! The reduce: which documents have the id or the text of others, from the merged keys of all
//! parts. What stays in memory is some bytes a document; see [`BYTES_A_DOCUMENT`].

use std::path::Path;

use super::part::{CLEAN, HASH_RECORD, HELDOUT, Part};
use super::sorted::{Merge, NUMBER_BYTES, split};
use crate::dedup::{Clusters, Compatible, Keep, NearDuplicates};
use crate::{DataConfig, Error, Result};

/// Memory of the reduce at its peak: status, length, twin, clusters, and two lists to choose with.
const BYTES_A_DOCUMENT: u64 = 1 + 4 + 4 + Clusters::BYTES + 8;

const ID_TAKEN: u8 = 4;
const DUPLICATE: u8 = 8;
const NEAR: u8 = 16;

/// Largest clusters that the report shows.
const SHOWN_CLUSTERS: usize = 10;

/// What became of a document in the whole corpus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Its id was taken by an earlier document.
    IdTaken,
    /// It has the text of an earlier document.
    Duplicate,
    /// It is near the document with this number, which is kept.
    NearDuplicate(u32),
    /// None of these.
    Unique,
}

/// What became of each document, by its number.
pub(super) struct Standings {
    status: Vec<u8>,
    /// For duplicates, the document that they are like.
    twins: Vec<u32>,
    /// Numbers of kept documents and sizes of their clusters, the largest first.
    pub(super) largest: Vec<(u32, u32)>,
    /// Clusters of near-duplicates.
    pub(super) clusters: u64,
}

impl Standings {
    /// Reads the keys of all `parts`; `folder` is for files between.
    ///
    /// # Errors
    /// For files that cannot be read or written, and when the documents are too many for
    /// `data.memory`.
    pub(super) fn find(config: &DataConfig, parts: &[Part], folder: &Path) -> Result<Self> {
        let (mut status, mut lengths) = (Vec::new(), Vec::new());
        for part in parts {
            for (state, length) in part.documents()? {
                status.push(state);
                lengths.push(length);
            }
            let needed = 2 * status.len() as u64 * BYTES_A_DOCUMENT;
            if needed > config.memory.bytes() || status.len() > u32::MAX as usize {
                return Err(Error::Config {
                    key: "memory",
                    found: config.memory.to_string(),
                    expected: format!(
                        "{} documents and more need {BYTES_A_DOCUMENT} bytes each, and as much \
                         again for buffers; give at least \"{} MiB\"",
                        status.len(),
                        (needed >> 20) + 1
                    ),
                });
            }
        }
        let twins = (0..status.len() as u32).collect();
        let mut found = Self { status, twins, largest: Vec::new(), clusters: 0 };
        found.find_ids(parts, folder)?;
        if config.exact_duplicates {
            found.find_texts(parts, folder)?;
        }
        if let Some(near) = &config.near_duplicates {
            found.find_near(near, &lengths, parts, folder)?;
        }
        Ok(found)
    }

    /// The first clean document with an id has it; later ones do not, clean or not.
    fn find_ids(&mut self, parts: &[Part], folder: &Path) -> Result<()> {
        let runs = parts.iter().map(|part| part.file("ids")).collect();
        let (mut last, mut taken) = ([0; HASH_RECORD], false);
        for record in Merge::<HASH_RECORD>::open(runs, folder)? {
            let record = record?;
            let (key, document) = split(&record);
            taken &= key == split(&last).0;
            if taken {
                self.status[document as usize] |= ID_TAKEN;
            }
            taken |= self.status[document as usize] & CLEAN != 0;
            last = record;
        }
        Ok(())
    }

    /// The first document with a text is kept.
    fn find_texts(&mut self, parts: &[Part], folder: &Path) -> Result<()> {
        let runs = parts.iter().map(|part| part.file("texts")).collect();
        let mut first: Option<[u8; HASH_RECORD]> = None;
        for record in Merge::<HASH_RECORD>::open(runs, folder)? {
            let record = record?;
            let (key, document) = split(&record);
            if !self.is_kept(document) {
                continue;
            }
            match first.as_ref().map(split) {
                Some((same, twin)) if same == key => {
                    self.status[document as usize] |= DUPLICATE;
                    self.twins[document as usize] = twin;
                }
                _ => first = Some(record),
            }
        }
        Ok(())
    }

    fn find_near(
        &mut self,
        near: &NearDuplicates,
        lengths: &[u32],
        parts: &[Part],
        folder: &Path,
    ) -> Result<()> {
        let datatrove = near.compatible == Some(Compatible::Datatrove);
        let mut clusters = Clusters::new(self.status.len() as u32, datatrove);
        for bucket in 0..near.buckets {
            let runs = parts.iter().map(|part| part.bucket(bucket)).collect();
            if near.key_bytes() == 16 {
                self.join::<{ 16 + NUMBER_BYTES }>(Merge::open(runs, folder)?, &mut clusters)?;
            } else {
                self.join::<{ 64 + NUMBER_BYTES }>(Merge::open(runs, folder)?, &mut clusters)?;
            }
        }
        self.choose(near, lengths, &mut clusters);
        Ok(())
    }

    /// Joins documents that follow each other with the same key.
    fn join<const N: usize>(&self, merge: Merge<N>, clusters: &mut Clusters) -> Result<()> {
        let mut last: Option<[u8; N]> = None;
        for record in merge {
            let record = record?;
            let (key, document) = split(&record);
            if !self.is_kept(document) {
                continue;
            }
            if let Some((same, before)) = last.as_ref().map(split)
                && same == key
            {
                clusters.join(before, document);
            }
            last = Some(record);
        }
        Ok(())
    }

    /// Keeps one document of each cluster. Until then `twins` of a root is its cluster's best.
    fn choose(&mut self, near: &NearDuplicates, lengths: &[u32], clusters: &mut Clusters) {
        let count = self.status.len() as u32;
        let kept: Vec<u32> = (0..count).filter(|&document| self.is_kept(document)).collect();
        if near.compatible.is_none() && near.keep == Keep::Longest {
            for &document in &kept {
                let root = clusters.root(document) as usize;
                let best = self.twins[root] as usize;
                let better = lengths[document as usize] > lengths[best];
                if better {
                    self.twins[root] = document;
                }
            }
        }
        let mut sizes = std::collections::BTreeMap::<u32, u32>::new();
        let best: Vec<u32> =
            kept.iter().map(|&document| self.twins[clusters.root(document) as usize]).collect();
        for (&document, &best) in kept.iter().zip(&best) {
            self.twins[document as usize] = best;
            if document != best {
                self.status[document as usize] |= NEAR;
                *sizes.entry(best).or_insert(1) += 1;
            }
        }
        self.clusters = sizes.len() as u64;
        self.largest = sizes.into_iter().collect();
        self.largest.sort_by_key(|&(document, size)| (std::cmp::Reverse(size), document));
        self.largest.truncate(SHOWN_CLUSTERS);
    }

    /// Whether a document is clean and so far like no other.
    pub(super) fn is_kept(&self, document: u32) -> bool {
        self.status[document as usize] & (CLEAN | ID_TAKEN | DUPLICATE | NEAR) == CLEAN
    }

    /// What became of `document`.
    pub(super) fn of(&self, document: u32) -> Standing {
        let status = self.status[document as usize];
        if status & ID_TAKEN != 0 {
            Standing::IdTaken
        } else if status & DUPLICATE != 0 {
            Standing::Duplicate
        } else if status & NEAR != 0 {
            Standing::NearDuplicate(self.twins[document as usize])
        } else {
            Standing::Unique
        }
    }

    /// Whether `document`, or the one that is kept for it, is held out.
    pub(super) fn is_held_out(&self, document: u32) -> bool {
        let mut kept = document;
        while self.status[kept as usize] & (DUPLICATE | NEAR) != 0 {
            kept = self.twins[kept as usize];
        }
        self.status[kept as usize] & HELDOUT != 0
    }
}
