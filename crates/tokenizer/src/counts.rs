//! Counting the pieces of texts, on all threads.

use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::byte_level::hash::hash;
use crate::byte_level::split::Splitter;
use crate::parallel::threads;

/// Texts go to a thread in batches of about this many bytes.
const BATCH_BYTES: usize = 1 << 20;

struct Entry {
    hash: u64,
    start: usize,
    length: usize,
    count: u64,
}

/// How often each of some pieces occurred: a hash table over one block of bytes.
pub(crate) struct Counts {
    /// Index of an entry and one more; 0 where there is none.
    slots: Vec<u32>,
    entries: Vec<Entry>,
    bytes: Vec<u8>,
}

impl Counts {
    pub(crate) fn new() -> Self {
        Self { slots: vec![0; 1 << 12], entries: Vec::new(), bytes: Vec::new() }
    }

    fn piece(&self, entry: &Entry) -> &[u8] {
        &self.bytes[entry.start..entry.start + entry.length]
    }

    /// Counts `piece` another `times`.
    pub(crate) fn add(&mut self, piece: &[u8], times: u64) {
        let hash = hash(piece);
        let slot = self.find(hash, piece);
        if let Some(index) = self.slots[slot].checked_sub(1) {
            self.entries[index as usize].count += times;
            return;
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(piece);
        self.entries.push(Entry { hash, start, length: piece.len(), count: times });
        self.slots[slot] = self.entries.len() as u32;
        if self.entries.len() * 2 > self.slots.len() {
            self.grow();
        }
    }

    fn find(&self, hash: u64, piece: &[u8]) -> usize {
        let mask = self.slots.len() - 1;
        let mut slot = hash as usize & mask;
        while let Some(index) = self.slots[slot].checked_sub(1) {
            let entry = &self.entries[index as usize];
            if entry.hash == hash && self.piece(entry) == piece {
                break;
            }
            slot = (slot + 1) & mask;
        }
        slot
    }

    fn grow(&mut self) {
        let mask = self.slots.len() * 2 - 1;
        self.slots = vec![0; mask + 1];
        for (entry, number) in self.entries.iter().zip(1_u32..) {
            let mut slot = entry.hash as usize & mask;
            while self.slots[slot] != 0 {
                slot = (slot + 1) & mask;
            }
            self.slots[slot] = number;
        }
    }

    /// The pieces with their counts, in the order of their bytes.
    pub(crate) fn sorted(&self) -> Vec<(&[u8], u64)> {
        let mut words: Vec<(&[u8], u64)> =
            self.entries.iter().map(|entry| (self.piece(entry), entry.count)).collect();
        words.sort_unstable();
        words
    }

    fn absorb(&mut self, other: &Self) {
        for entry in &other.entries {
            self.add(other.piece(entry), entry.count);
        }
    }
}

/// Counts the pieces that `splitter` makes of `texts`.
pub(crate) fn count<'a>(splitter: Splitter, texts: impl IntoIterator<Item = &'a str>) -> Counts {
    let (give, take) = sync_channel::<Vec<&str>>(threads() * 2);
    let take = Mutex::new(take);
    thread::scope(|scope| {
        let workers: Vec<_> =
            (0..threads()).map(|_| scope.spawn(|| work(splitter, &take))).collect();
        let (mut batch, mut bytes) = (Vec::new(), 0);
        for text in texts {
            batch.push(text);
            bytes += text.len();
            if bytes >= BATCH_BYTES {
                bytes = 0;
                // Nobody takes it only if the workers panicked, which joining them reports.
                let _ = give.send(std::mem::take(&mut batch));
            }
        }
        let _ = give.send(batch);
        drop(give);
        let mut counts: Option<Counts> = None;
        for worker in workers {
            let counted = worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            match &mut counts {
                Some(counts) => counts.absorb(&counted),
                None => counts = Some(counted),
            }
        }
        counts.unwrap_or_else(Counts::new)
    })
}

fn work(splitter: Splitter, batches: &Mutex<Receiver<Vec<&str>>>) -> Counts {
    let mut counts = Counts::new();
    loop {
        let batch = batches.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(batch) = batch else { return counts };
        for text in batch {
            let bytes = text.as_bytes();
            splitter.pieces(text, |start, end| counts.add(&bytes[start..end], 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PRE_SPLIT;

    #[test]
    fn counts_are_those_of_a_map_whatever_the_batches() {
        let text = include_str!("../../../golden/tokenizer/text.txt").repeat(100);
        let splitter = Splitter::of_pattern(PRE_SPLIT).unwrap();
        let mut expected = std::collections::BTreeMap::new();
        splitter.pieces(&text, |start, end| {
            *expected.entry(&text.as_bytes()[start..end]).or_insert(0) += 1;
        });
        let expected: Vec<(&[u8], u64)> = expected.into_iter().collect();
        for texts in [vec![text.as_str()], text.split_inclusive("\n\n").collect()] {
            // A blank line is a piece of its own, so cutting there changes nothing.
            assert_eq!(count(splitter, texts).sorted(), expected);
        }
    }
}
