//! How often each piece of some texts occurs: a hash table that is written out when it is full.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::byte_level::hash::{hash, mix2};
use crate::{Error, Result};

/// Bytes that an entry takes beside its piece: itself, and its place in the order of writing.
const ENTRY_BYTES: usize = size_of::<Entry>() + size_of::<u32>();

struct Entry {
    /// Where the piece begins; it ends where the next begins.
    start: usize,
    count: u64,
}

/// How often each of some pieces occurred: a hash table over one block of bytes.
pub(crate) struct Counts {
    /// The upper half of a piece's hash, and the index of its entry and one more; 0 where there is
    /// none.
    slots: Vec<u64>,
    entries: Vec<Entry>,
    bytes: Vec<u8>,
}

/// The hash of `text[start..end]`: short pieces are read in two words whatever their length.
#[inline]
fn hash_of(text: &[u8], start: usize, end: usize) -> u64 {
    let length = end - start;
    match text.get(start..start + 16).and_then(|slice| slice.first_chunk::<16>()) {
        Some(bytes) if length < 16 => {
            let kept = u128::from_le_bytes(*bytes) & ((1 << (8 * length)) - 1);
            mix2(kept as u64, (kept >> 64) as u64 ^ (length as u64) << 56)
        }
        _ if length < 16 => {
            let mut bytes = [0; 16];
            bytes[..length].copy_from_slice(&text[start..end]);
            hash_of(&bytes, 0, length)
        }
        _ => hash(&text[start..end]),
    }
}

impl Counts {
    pub(crate) fn new() -> Self {
        Self { slots: vec![0; 1 << 12], entries: Vec::new(), bytes: Vec::new() }
    }

    /// Number of different pieces.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Bytes of all different pieces.
    pub(crate) fn piece_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes of memory that the table takes.
    pub(crate) fn held_bytes(&self) -> usize {
        self.slots.len() * size_of::<u64>()
            + self.entries.len() * size_of::<Entry>()
            + self.bytes.len()
    }

    fn piece(&self, index: usize) -> &[u8] {
        let end = self.entries.get(index + 1).map_or(self.bytes.len(), |next| next.start);
        &self.bytes[self.entries[index].start..end]
    }

    /// Counts `text[start..end]` another `times`.
    #[inline]
    pub(crate) fn add(&mut self, text: &[u8], (start, end): (usize, usize), times: u64) {
        let tag = hash_of(text, start, end) >> 32;
        let piece = &text[start..end];
        let mask = self.slots.len() - 1;
        let mut slot = tag as usize & mask;
        loop {
            let found = self.slots[slot];
            if found == 0 {
                break;
            }
            let index = (found as u32 - 1) as usize;
            if found >> 32 == tag && self.piece(index) == piece {
                self.entries[index].count += times;
                return;
            }
            slot = (slot + 1) & mask;
        }
        self.entries.push(Entry { start: self.bytes.len(), count: times });
        self.bytes.extend_from_slice(piece);
        self.slots[slot] = tag << 32 | self.entries.len() as u64;
        if self.is_crowded() {
            self.grow();
        }
    }

    fn is_crowded(&self) -> bool {
        self.entries.len() * 5 > self.slots.len() * 3
    }

    fn grow(&mut self) {
        let mask = self.slots.len() * 2 - 1;
        let before = std::mem::replace(&mut self.slots, vec![0; mask + 1]);
        for found in before.into_iter().filter(|&found| found != 0) {
            let mut slot = (found >> 32) as usize & mask;
            while self.slots[slot] != 0 {
                slot = (slot + 1) & mask;
            }
            self.slots[slot] = found;
        }
    }

    /// Whether the table is to be written out before `more` bytes of text are counted, so that it
    /// never takes more than `limit` bytes, not even while it grows.
    pub(crate) fn is_full(&self, more: usize, limit: usize) -> bool {
        let entries = self.entries.len() + more;
        let mut slots = self.slots.len();
        let mut growing = 0;
        while entries * 5 > slots * 3 {
            (growing, slots) = (slots, slots * 2);
        }
        let pieces = self.bytes.len() + more + entries * ENTRY_BYTES;
        !self.entries.is_empty() && pieces + (slots + growing) * size_of::<u64>() > limit
            || entries >= u32::MAX as usize
    }

    /// Forgets all pieces and keeps the memory.
    fn clear(&mut self) {
        self.entries.clear();
        self.bytes.clear();
        self.slots.fill(0);
    }

    pub(crate) fn absorb(&mut self, other: &Self) {
        other.each(|piece, count| self.add(piece, (0, piece.len()), count));
    }

    /// Gives each piece with its count, in the order in which they came.
    pub(crate) fn each(&self, mut take: impl FnMut(&[u8], u64)) {
        for (index, entry) in self.entries.iter().enumerate() {
            take(self.piece(index), entry.count);
        }
    }

    /// Indices of entries in the order of their bytes.
    fn order(&self) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.entries.len() as u32).collect();
        order.sort_unstable_by(|&a, &b| self.piece(a as usize).cmp(self.piece(b as usize)));
        order
    }

    /// Gives each piece with its count, in the order of their bytes.
    pub(crate) fn each_in_order(&self, mut take: impl FnMut(&[u8], u64)) {
        for index in self.order() {
            take(self.piece(index as usize), self.entries[index as usize].count);
        }
    }

    /// Writes the pieces in the order of their bytes, and forgets them.
    ///
    /// # Errors
    /// [`Error::File`] when the disk refuses.
    pub(crate) fn write_out(&mut self, runs: &Runs) -> Result<PathBuf> {
        let order = self.order();
        let path = runs.next();
        let write = || {
            fs::create_dir_all(&runs.folder)?;
            let mut out = BufWriter::with_capacity(1 << 18, File::create(&path)?);
            for index in order {
                let piece = self.piece(index as usize);
                out.write_all(&(piece.len() as u32).to_le_bytes())?;
                out.write_all(&self.entries[index as usize].count.to_le_bytes())?;
                out.write_all(piece)?;
            }
            out.flush()
        };
        write().map_err(|source| Error::File { action: "write", path: path.clone(), source })?;
        self.clear();
        Ok(path)
    }
}

/// The folder of tables that were written out; gone with this value.
pub(crate) struct Runs {
    folder: PathBuf,
    count: AtomicUsize,
}

impl Runs {
    /// A folder of its own inside `scratch`, made when the first table is written out.
    pub(crate) fn new(scratch: &Path) -> Self {
        static FOLDERS: AtomicUsize = AtomicUsize::new(0);
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let folder = scratch.join(format!("danlu-counts-{}-{number}", std::process::id()));
        Self { folder, count: AtomicUsize::new(0) }
    }

    fn next(&self) -> PathBuf {
        self.folder.join(self.count.fetch_add(1, Ordering::Relaxed).to_string())
    }
}

impl Drop for Runs {
    fn drop(&mut self) {
        // What cannot be removed lies in a folder for such files.
        let _ = fs::remove_dir_all(&self.folder);
    }
}
