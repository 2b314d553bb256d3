//! Counting the pieces of texts on all threads, in no more memory than is given.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use crate::byte_level::split::Splitter;
use crate::counts::{Counts, Runs};
use crate::parallel::threads;
use crate::{Error, Result};

/// Texts go to a thread in batches of about this many bytes.
const BATCH_BYTES: usize = 1 << 19;
/// Batches that wait for a thread, for each.
const WAITING: usize = 2;
/// Longer texts are counted in parts of this many bytes, between which there is a look at the
/// memory.
const PART_BYTES: usize = 1 << 16;
/// Files that are read at once while runs are merged.
const READ_BYTES: usize = 1 << 16;

/// Texts end to end.
#[derive(Default)]
struct Texts {
    text: String,
    ends: Vec<usize>,
}

/// What a thread counted: what it wrote out, and what it has.
struct Counted {
    runs: Vec<PathBuf>,
    counts: Counts,
}

/// Counts the pieces of the texts that it is fed.
pub(crate) struct Counter {
    give: SyncSender<Texts>,
    workers: Vec<JoinHandle<Result<Counted>>>,
    texts: Texts,
    runs: Arc<Runs>,
}

impl Counter {
    /// `memory` is how many bytes the tables of all threads may take; what is more goes to files
    /// in `scratch`.
    pub(crate) fn new(splitter: Splitter, memory: usize, scratch: &Path) -> Self {
        let (give, take) = sync_channel(threads() * WAITING);
        let take = Arc::new(Mutex::new(take));
        let runs = Arc::new(Runs::new(scratch));
        let limit = memory / threads();
        let workers = (0..threads()).map(|_| {
            let (take, runs) = (Arc::clone(&take), Arc::clone(&runs));
            thread::spawn(move || work(splitter, &take, limit, &runs))
        });
        let workers = workers.collect();
        Self { give, workers, texts: Texts::default(), runs }
    }

    pub(crate) fn feed(&mut self, text: &str) {
        self.texts.text.push_str(text);
        self.texts.ends.push(self.texts.text.len());
        if self.texts.text.len() >= BATCH_BYTES {
            self.send();
        }
    }

    fn send(&mut self) {
        // Nobody takes it only if the threads failed, which joining them reports.
        let _ = self.give.send(std::mem::take(&mut self.texts));
    }

    /// All pieces with their counts.
    ///
    /// # Errors
    /// [`Error::File`] when the disk refused.
    pub(crate) fn finish(mut self) -> Result<Pieces> {
        self.send();
        drop(self.give);
        let (mut tables, mut files) = (Vec::new(), Vec::new());
        for worker in self.workers {
            let counted = worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            files.extend(counted.runs);
            tables.push(counted.counts);
        }
        if files.is_empty() {
            let mut tables = tables.into_iter();
            let mut counts = tables.next().unwrap_or_else(Counts::new);
            tables.for_each(|other| counts.absorb(&other));
            return Ok(Pieces::Held(counts, self.runs));
        }
        for mut counts in tables.into_iter().filter(|counts| counts.len() > 0) {
            files.push(counts.write_out(&self.runs)?);
        }
        Ok(Pieces::Written(files, self.runs))
    }
}

fn work(
    splitter: Splitter,
    batches: &Mutex<Receiver<Texts>>,
    limit: usize,
    runs: &Runs,
) -> Result<Counted> {
    let mut counted = Counted { runs: Vec::new(), counts: Counts::new() };
    loop {
        let batch = batches.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Texts { text, ends }) = batch else { return Ok(counted) };
        let mut start = 0;
        for end in ends {
            let bytes = &text.as_bytes()[start..end];
            let mut looked = 0;
            let mut failure = None;
            splitter.pieces(&text[start..end], |first, last| {
                if last > looked {
                    looked = last + PART_BYTES;
                    if counted.counts.is_full(PART_BYTES + last - first, limit) {
                        match counted.counts.write_out(runs) {
                            Ok(run) => counted.runs.push(run),
                            Err(error) => failure = Some(error),
                        }
                    }
                }
                counted.counts.add(bytes, (first, last), 1);
            });
            if let Some(error) = failure {
                return Err(error);
            }
            start = end;
        }
    }
}

/// Different pieces with their counts: in memory, or in files in the order of their bytes.
pub(crate) enum Pieces {
    Held(Counts, Arc<Runs>),
    Written(Vec<PathBuf>, #[expect(dead_code, reason = "keeps the files")] Arc<Runs>),
}

impl Pieces {
    /// Gives each piece with its count.
    ///
    /// # Errors
    /// [`Error::File`] when a file cannot be read.
    pub(crate) fn each(&self, mut take: impl FnMut(&[u8], u64)) -> Result<()> {
        match self {
            Self::Held(counts, _) => {
                counts.each(take);
                Ok(())
            }
            Self::Written(files, _) => merge(files, &mut take),
        }
    }

    /// [`Pieces::each`] in the order of the pieces' bytes.
    ///
    /// # Errors
    /// [`Error::File`] when a file cannot be read.
    pub(crate) fn each_in_order(&self, mut take: impl FnMut(&[u8], u64)) -> Result<()> {
        match self {
            Self::Held(counts, _) => {
                counts.each_in_order(take);
                Ok(())
            }
            Self::Written(files, _) => merge(files, &mut take),
        }
    }

    /// The same in files.
    ///
    /// # Errors
    /// [`Error::File`] when the disk refuses.
    pub(crate) fn write_out(self) -> Result<Self> {
        match self {
            Self::Held(mut counts, runs) => Ok(Self::Written(vec![counts.write_out(&runs)?], runs)),
            written @ Self::Written(..) => Ok(written),
        }
    }

    /// Bytes of memory that these take.
    pub(crate) fn held_bytes(&self) -> usize {
        if let Self::Held(counts, _) = self { counts.held_bytes() } else { 0 }
    }

    /// Number of different pieces, and their bytes.
    ///
    /// # Errors
    /// [`Error::File`] when a file cannot be read.
    pub(crate) fn size(&self) -> Result<(usize, usize)> {
        if let Self::Held(counts, _) = self {
            return Ok((counts.len(), counts.piece_bytes()));
        }
        let (mut pieces, mut bytes) = (0, 0);
        self.each(|piece, _| (pieces, bytes) = (pieces + 1, bytes + piece.len()))?;
        Ok((pieces, bytes))
    }
}

/// A file of pieces that is read from front to back.
struct Run<'a> {
    path: &'a Path,
    file: BufReader<File>,
}

impl<'a> Run<'a> {
    fn open(path: &'a Path) -> Result<Self> {
        let opened = File::open(path);
        let file = opened.map_err(|source| Self::failed(path, source))?;
        Ok(Self { path, file: BufReader::with_capacity(READ_BYTES, file) })
    }

    fn failed(path: &Path, source: std::io::Error) -> Error {
        Error::File { action: "read", path: path.to_owned(), source }
    }

    /// Reads the next piece into `piece` and gives its count; `None` where the file ends.
    fn next(&mut self, piece: &mut Vec<u8>) -> Result<Option<u64>> {
        let mut head = [0; 12];
        match self.file.read_exact(&mut head) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
            read => read.map_err(|source| Self::failed(self.path, source))?,
        }
        let (length, count) = head.split_at(4);
        piece.resize(length.iter().rev().fold(0, |all, &byte| all << 8 | usize::from(byte)), 0);
        let read = self.file.read_exact(piece);
        read.map_err(|source| Self::failed(self.path, source))?;
        Ok(Some(count.iter().rev().fold(0, |all, &byte| all << 8 | u64::from(byte))))
    }
}

/// Gives each piece of sorted files once, with the sum of its counts.
fn merge(files: &[PathBuf], take: &mut dyn FnMut(&[u8], u64)) -> Result<()> {
    let mut runs = files.iter().map(|path| Run::open(path)).collect::<Result<Vec<_>>>()?;
    let mut heads = BinaryHeap::with_capacity(runs.len());
    for (index, run) in runs.iter_mut().enumerate() {
        let mut piece = Vec::new();
        if let Some(count) = run.next(&mut piece)? {
            heads.push(Reverse((piece, index, count)));
        }
    }
    let (mut piece, mut total) = (Vec::new(), 0_u64);
    while let Some(Reverse((head, index, count))) = heads.pop() {
        if head != piece {
            if total > 0 {
                take(&piece, total);
            }
            total = 0;
            piece.clone_from(&head);
        }
        total += count;
        let mut next = head;
        if let Some(count) = runs[index].next(&mut next)? {
            heads.push(Reverse((next, index, count)));
        }
    }
    if total > 0 {
        take(&piece, total);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PRE_SPLIT;
    use std::collections::BTreeMap;

    fn counted(texts: &[&str], memory: usize) -> (BTreeMap<Vec<u8>, u64>, bool) {
        let folder = tempfile::tempdir().unwrap();
        let splitter = Splitter::of_pattern(PRE_SPLIT).unwrap();
        let mut counter = Counter::new(splitter, memory, folder.path());
        texts.iter().for_each(|text| counter.feed(text));
        let pieces = counter.finish().unwrap();
        let mut map = BTreeMap::new();
        let mut bytes = 0;
        let each = pieces.each(|piece, count| {
            bytes += piece.len();
            assert_eq!(map.insert(piece.to_vec(), count), None);
        });
        each.unwrap();
        assert_eq!(pieces.size().unwrap(), (map.len(), bytes));
        let written = matches!(pieces, Pieces::Written(..));
        drop(pieces);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "files are left");
        (map, written)
    }

    #[test]
    fn counts_are_those_of_a_map_whatever_the_batches_and_the_memory() {
        let mut text = include_str!("../../../golden/tokenizer/text.txt").repeat(20);
        let mut state = 1_u64;
        for _ in 0..40_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let letters = format!("{:x}", state >> 30).replace(|c: char| c.is_ascii_digit(), "q");
            text += &format!("{letters} ");
        }
        let splitter = Splitter::of_pattern(PRE_SPLIT).unwrap();
        let mut expected = BTreeMap::new();
        splitter.pieces(&text, |start, end| {
            *expected.entry(text.as_bytes()[start..end].to_vec()).or_insert(0) += 1;
        });
        // A blank line is a piece of its own, so cutting there changes nothing.
        let cut: Vec<&str> = text.split_inclusive("\n\n").collect();
        for (texts, memory, written) in [
            (vec![text.as_str()], usize::MAX, false),
            (cut, usize::MAX, false),
            (vec![text.as_str()], 1 << 20, true),
        ] {
            assert_eq!(counted(&texts, memory), (expected.clone(), written));
        }
    }
}
