//! Spans that stand earlier in the corpus too, from the merged keys of all parts: sorted through
//! files by document, so that they are known in the order of the output with little memory.

use std::path::{Path, PathBuf};

use super::part::Part;
use super::reduce::Standings;
use super::sorted::{Merge, NUMBER_BYTES, record, split, write_run};
use crate::{DataConfig, Result};

/// Bytes of a record of a span: its hash, the number of its document, that of its first unit.
pub(super) const SPAN_RECORD: usize = 16 + 2 * NUMBER_BYTES;
/// Bytes of a record of a span to remove: numbers of its document, its first unit, and the document
/// that has it first.
const REMOVAL_RECORD: usize = 3 * NUMBER_BYTES;
/// Share of the memory cap for those that are not yet in a file.
const REMOVALS_SHARE: u64 = 8;

/// A span to remove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Removal {
    /// Number of its first unit.
    pub(super) start: u32,
    /// The document that has it first.
    pub(super) first: u32,
}

/// The spans to remove, in the order of documents.
pub(super) struct Removals {
    merge: Option<Merge<REMOVAL_RECORD>>,
    next: Option<(u32, Removal)>,
}

/// A record of a span of `document`.
pub(super) fn span_record(hash: [u8; 16], document: u32, start: u32) -> [u8; SPAN_RECORD] {
    let mut key = [0; 16 + NUMBER_BYTES];
    key[..16].copy_from_slice(&hash);
    key[16..].copy_from_slice(&document.to_be_bytes());
    record(&key, start)
}

fn number(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |number, &byte| number << 8 | u32::from(byte))
}

impl Removals {
    /// Reads the spans of all `parts`; `folder` is for files between.
    ///
    /// # Errors
    /// For files that cannot be read or written.
    pub(super) fn find(
        config: &DataConfig,
        parts: &[Part],
        standings: &Standings,
        folder: &Path,
    ) -> Result<Self> {
        if config.duplicate_spans.is_none() {
            return Ok(Self { merge: None, next: None });
        }
        let room = config.memory.bytes() / REMOVALS_SHARE / REMOVAL_RECORD as u64;
        let mut runs = Runs { folder, room, records: Vec::new(), paths: Vec::new() };
        let paths = parts.iter().map(|part| part.file("spans")).collect();
        let mut kept: Option<([u8; 16], u32)> = None;
        for record in Merge::<SPAN_RECORD>::open(paths, folder)? {
            let record = record?;
            let (key, start) = split(&record);
            let hash: [u8; 16] = std::array::from_fn(|at| key[at]);
            let document = number(&key[16..]);
            if !standings.is_kept(document) {
                continue;
            }
            match kept {
                Some((same, first)) if same == hash => runs.add(document, start, first)?,
                _ => kept = Some((hash, document)),
            }
        }
        let mut removals = Self { merge: Some(runs.merge()?), next: None };
        removals.advance()?;
        Ok(removals)
    }

    /// Those of `document`, in their order. To be asked for ascending documents.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub(super) fn of(&mut self, document: u32) -> Result<Vec<Removal>> {
        let mut found = Vec::new();
        while let Some((of, removal)) = self.next.filter(|(of, _)| *of <= document) {
            if of == document {
                found.push(removal);
            }
            self.advance()?;
        }
        Ok(found)
    }

    fn advance(&mut self) -> Result<()> {
        let next = self.merge.as_mut().and_then(Iterator::next).transpose()?;
        self.next = next.map(|record| {
            let (key, first) = split(&record);
            let (document, start) = key.split_at(NUMBER_BYTES);
            (number(document), Removal { start: number(start), first })
        });
        Ok(())
    }
}

/// Sorted files being made of records in any order.
struct Runs<'a> {
    folder: &'a Path,
    /// Records that may be in memory.
    room: u64,
    records: Vec<[u8; REMOVAL_RECORD]>,
    paths: Vec<PathBuf>,
}

impl Runs<'_> {
    fn add(&mut self, document: u32, start: u32, first: u32) -> Result<()> {
        let key = u64::from(document) << 32 | u64::from(start);
        self.records.push(record(&key.to_be_bytes(), first));
        if self.records.len() as u64 >= self.room { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        let path = self.folder.join(format!("removals-{:05}", self.paths.len()));
        write_run(&path, &mut self.records)?;
        self.records.clear();
        self.paths.push(path);
        Ok(())
    }

    fn merge(mut self) -> Result<Merge<REMOVAL_RECORD>> {
        self.flush()?;
        Merge::open(self.paths, self.folder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removals_come_by_document_however_many_fit_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        for room in [1, 3, 100] {
            let (records, paths) = (Vec::new(), Vec::new());
            let mut runs = Runs { folder: folder.path(), room, records, paths };
            for (document, start) in [(9, 1), (2, 300), (2, 4), (9, 0), (70_000, 5)] {
                runs.add(document, start, 1).unwrap();
            }
            let mut removals = Removals { merge: Some(runs.merge().unwrap()), next: None };
            removals.advance().unwrap();
            let mut of = |document| -> Vec<u32> {
                removals.of(document).unwrap().iter().map(|removal| removal.start).collect()
            };
            // Those of a document that is not asked for are passed by.
            let found = [of(1), of(2), of(3), of(69_999), of(70_000)];
            assert_eq!(found, [vec![], vec![4, 300], vec![], vec![], vec![5]], "{room}");
        }
    }
}
