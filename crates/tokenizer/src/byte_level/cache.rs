//! Pieces that were met before, with their ids. Texts repeat their words: nine lookups in ten end
//! here. The size is fixed, and what was not used for longest in its place makes room.

use super::hash::{hash, mix2};

/// Bytes of a piece that fit an entry for short ones.
const SHORT: usize = 15;
/// Ids that fit such an entry, 24 bits each.
const SHORT_IDS: usize = 5;
const SHORT_BUCKETS: usize = 1 << 14;

/// Bytes of a piece that fit an entry for long ones.
const LONG: usize = 64;
const LONG_IDS: usize = 15;
const LONG_ENTRIES: usize = 1 << 13;

/// Two entries in a cache line: the piece with its length in the last byte, and the ids with their
/// number in the last byte.
#[derive(Clone, Copy, Default)]
#[repr(align(64))]
struct Bucket([(u128, u128); 2]);

#[derive(Clone, Copy)]
struct LongEntry {
    bytes: [u8; LONG],
    ids: [u32; LONG_IDS],
    length: u8,
    count: u8,
}

/// What is remembered.
pub(super) struct Cache {
    short: Vec<Bucket>,
    long: Vec<LongEntry>,
}

/// The bytes of a short piece and its length as one number.
#[inline]
fn pack(text: &[u8], start: usize, end: usize) -> u128 {
    let length = end - start;
    let bytes = match text.get(start..start + 16).and_then(|slice| slice.first_chunk::<16>()) {
        Some(bytes) => *bytes,
        None => {
            let mut bytes = [0; 16];
            bytes[..length].copy_from_slice(&text[start..end]);
            bytes
        }
    };
    let kept = (1_u128 << (8 * length)) - 1;
    u128::from_le_bytes(bytes) & kept | (length as u128) << 120
}

fn bucket_of(piece: u128) -> usize {
    mix2(piece as u64, (piece >> 64) as u64) as usize % SHORT_BUCKETS
}

impl Cache {
    pub(super) fn new() -> Self {
        Self { short: Vec::new(), long: Vec::new() }
    }

    /// Appends the ids of `text[start..end]`, from memory or else from `make`, which appends them.
    #[inline]
    pub(super) fn get_or(
        &mut self,
        text: &[u8],
        (start, end): (usize, usize),
        ids: &mut Vec<u32>,
        make: impl FnOnce(&mut Vec<u32>),
    ) {
        match end - start {
            1..=SHORT => self.short(pack(text, start, end), ids, make),
            16..=LONG => self.long(&text[start..end], ids, make),
            _ => make(ids),
        }
    }

    #[inline]
    fn short(&mut self, piece: u128, ids: &mut Vec<u32>, make: impl FnOnce(&mut Vec<u32>)) {
        if self.short.is_empty() {
            self.short = vec![Bucket::default(); SHORT_BUCKETS];
        }
        let Bucket(entries) = &mut self.short[bucket_of(piece)];
        if entries[0].0 != piece {
            if entries[1].0 == piece {
                entries.swap(0, 1);
            } else {
                let from = ids.len();
                make(ids);
                let made = &ids[from..];
                if made.len() <= SHORT_IDS {
                    let packed =
                        made.iter().rev().fold(0, |packed, &id| packed << 24 | u128::from(id));
                    entries[1] = entries[0];
                    entries[0] = (piece, packed | (made.len() as u128) << 120);
                }
                return;
            }
        }
        let packed = entries[0].1;
        ids.push(packed as u32 & 0xFF_FFFF);
        for at in 1..(packed >> 120) as usize {
            ids.push((packed >> (24 * at)) as u32 & 0xFF_FFFF);
        }
    }

    fn long(&mut self, piece: &[u8], ids: &mut Vec<u32>, make: impl FnOnce(&mut Vec<u32>)) {
        if self.long.is_empty() {
            let empty = LongEntry { bytes: [0; LONG], ids: [0; LONG_IDS], length: 0, count: 0 };
            self.long = vec![empty; LONG_ENTRIES];
        }
        let entry = &mut self.long[hash(piece) as usize % LONG_ENTRIES];
        if entry.bytes[..usize::from(entry.length)] == *piece {
            ids.extend_from_slice(&entry.ids[..usize::from(entry.count)]);
            return;
        }
        let from = ids.len();
        make(ids);
        let made = &ids[from..];
        if made.len() <= LONG_IDS {
            entry.bytes[..piece.len()].copy_from_slice(piece);
            entry.ids[..made.len()].copy_from_slice(made);
            (entry.length, entry.count) = (piece.len() as u8, made.len() as u8);
        }
    }
}
