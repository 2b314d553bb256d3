//! Sorted files of fixed-size records, and their merge: how global steps see all keys of a corpus
//! in order with little memory.
//!
//! Each part of the map writes its keys as a sorted run; the reduce merges the runs. A key begins
//! with the bytes that are compared and ends with the document's number, big-endian both, so the
//! order of records is that of bytes, and equal keys follow each other in the order of documents.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

use crate::atomic::AtomicFile;
use crate::{Error, Result};

/// Runs that are merged at a time, each with a buffer of [`BUFFER_BYTES`].
const MAX_RUNS: usize = 128;
const BUFFER_BYTES: usize = 1 << 15;

/// Bytes of the number at the end of each record.
pub(crate) const NUMBER_BYTES: usize = 4;

/// A record of a key and the number of a document.
pub(crate) fn record<const N: usize>(key: &[u8], document: u32) -> [u8; N] {
    let mut record = [0; N];
    record[..N - NUMBER_BYTES].copy_from_slice(key);
    record[N - NUMBER_BYTES..].copy_from_slice(&document.to_be_bytes());
    record
}

/// The key and the number in a record.
pub(crate) fn split<const N: usize>(record: &[u8; N]) -> (&[u8], u32) {
    let (key, number) = record.split_at(N - NUMBER_BYTES);
    (key, number.iter().fold(0, |sum, &byte| sum << 8 | u32::from(byte)))
}

/// Sorts `records` and writes them.
///
/// # Errors
/// When the file cannot be written.
pub(crate) fn write_run<const N: usize>(path: &Path, records: &mut [[u8; N]]) -> Result<()> {
    records.sort_unstable();
    let mut file = AtomicFile::create(path)?;
    for record in records.iter() {
        file.write(record)?;
    }
    Ok(file.commit()?)
}

/// All records of some runs in order.
pub(crate) struct Merge<const N: usize> {
    runs: Vec<Run<N>>,
    heads: BinaryHeap<Reverse<([u8; N], usize)>>,
}

impl<const N: usize> Merge<N> {
    /// Merges the runs at `paths`. Where they are very many, some are first merged into files in
    /// `folder`, which are the caller's to remove.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub(crate) fn open(paths: Vec<PathBuf>, folder: &Path) -> Result<Self> {
        Self::open_at_most(MAX_RUNS, paths, folder)
    }

    fn open_at_most(runs: usize, mut paths: Vec<PathBuf>, folder: &Path) -> Result<Self> {
        let mut merged = 0;
        while paths.len() > runs {
            let rest = paths.split_off(runs);
            let name = paths[0].file_name().unwrap_or_default().to_string_lossy().into_owned();
            let path = folder.join(format!("merged-{merged:05}-{name}"));
            let mut file = AtomicFile::create(&path)?;
            for record in Self::of(&paths)? {
                file.write(&record?)?;
            }
            file.commit()?;
            paths = rest;
            paths.push(path);
            merged += 1;
        }
        Self::of(&paths)
    }

    fn of(paths: &[PathBuf]) -> Result<Self> {
        let mut merge = Self { runs: Vec::new(), heads: BinaryHeap::new() };
        for (index, path) in paths.iter().enumerate() {
            let mut run = Run::open(path)?;
            if let Some(head) = run.read()? {
                merge.heads.push(Reverse((head, index)));
            }
            merge.runs.push(run);
        }
        Ok(merge)
    }
}

impl<const N: usize> Iterator for Merge<N> {
    type Item = Result<[u8; N]>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut head = self.heads.peek_mut()?;
        let Reverse((record, index)) = *head;
        match self.runs[index].read() {
            Ok(Some(next)) => *head = Reverse((next, index)),
            Ok(None) => drop(std::collections::binary_heap::PeekMut::pop(head)),
            Err(error) => return Some(Err(error)),
        }
        Some(Ok(record))
    }
}

struct Run<const N: usize> {
    path: PathBuf,
    reader: BufReader<File>,
    left: u64,
}

impl<const N: usize> Run<N> {
    fn open(path: &Path) -> Result<Self> {
        let unreadable = |source| Error::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(unreadable)?;
        let bytes = file.metadata().map_err(unreadable)?.len();
        if !bytes.is_multiple_of(N as u64) {
            let found = format!("{bytes} bytes, which are no records of {N}");
            return Err(Error::Damaged { path: path.to_owned(), found });
        }
        let reader = BufReader::with_capacity(BUFFER_BYTES, file);
        Ok(Self { path: path.to_owned(), reader, left: bytes / N as u64 })
    }

    fn read(&mut self) -> Result<Option<[u8; N]>> {
        if self.left == 0 {
            return Ok(None);
        }
        let mut record = [0; N];
        self.reader.read_exact(&mut record).map_err(|source| match source.kind() {
            ErrorKind::UnexpectedEof => {
                let found = "it became shorter while it was read".to_owned();
                Error::Damaged { path: self.path.clone(), found }
            }
            _ => Error::Read { path: self.path.clone(), source },
        })?;
        self.left -= 1;
        Ok(Some(record))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        // Each run is flushed to the disk, so there are few of them, merged three at a time.
        #![proptest_config(ProptestConfig::with_cases(12))]
        #[test]
        fn a_merge_is_a_sort(sizes in proptest::collection::vec(0_usize..20, 0..12), seed: u32) {
            let folder = tempfile::tempdir().unwrap();
            let (mut all, mut paths, mut state) = (Vec::new(), Vec::new(), seed);
            for (index, size) in sizes.into_iter().enumerate() {
                let mut run: Vec<[u8; 6]> = (0..size)
                    .map(|_| {
                        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                        record(&[(state >> 24) as u8 % 5, 7], state >> 20)
                    })
                    .collect();
                all.extend(run.clone());
                let path = folder.path().join(format!("run-{index}"));
                write_run(&path, &mut run).unwrap();
                paths.push(path);
            }
            all.sort_unstable();
            let merged = Merge::<6>::open_at_most(3, paths, folder.path()).unwrap();
            let merged: Vec<[u8; 6]> = merged.collect::<Result<_>>().unwrap();
            prop_assert_eq!(merged, all);
        }
    }

    #[test]
    fn a_cut_run_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cut");
        std::fs::write(&path, [1; 7]).unwrap();
        let message = Merge::<6>::open(vec![path], folder.path()).err().unwrap().to_string();
        assert!(message.contains("cut") && message.contains("7 bytes"), "{message}");
    }
}
