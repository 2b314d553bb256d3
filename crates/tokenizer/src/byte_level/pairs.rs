//! Byte-pair merging of one piece (Sennrich et al. 2016, arXiv:1508.07909): the neighbours whose
//! merge ranks best are joined first, the leftmost of them where several do.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::hash::mix;

/// Longer pieces are merged with a heap: n log n steps instead of n^2 cheaper ones.
const SCANNED_BYTES: usize = 96;
/// The rank of a pair that does not merge.
const NEVER: u32 = u32::MAX;

/// Rank and result of a merge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Merge {
    rank: u32,
    id: u32,
}

const NONE: Merge = Merge { rank: NEVER, id: 0 };

#[derive(Clone, Copy)]
struct Slot {
    pair: u64,
    merge: Merge,
}

/// The merges of a vocabulary, by pair: a hash table with open addressing.
pub(super) struct Pairs {
    slots: Vec<Slot>,
    /// The merges of two single bytes, by both.
    bytes: Vec<Merge>,
    byte_ids: [u32; 256],
}

fn key(left: u32, right: u32) -> u64 {
    u64::from(left) << 32 | u64::from(right)
}

impl Pairs {
    /// From the ids of the single bytes and `(left, right, merged)` in the order of rank. Of a pair
    /// that stands twice the later counts, as in the library.
    pub(super) fn new(byte_ids: [u32; 256], merges: &[(u32, u32, u32)]) -> Self {
        let empty = Slot { pair: u64::MAX, merge: NONE };
        let size = (merges.len() * 2).next_power_of_two().max(2);
        let mut pairs = Self { slots: vec![empty; size], bytes: Vec::new(), byte_ids };
        for (&(left, right, id), rank) in merges.iter().zip(0_u32..) {
            let index = pairs.find(key(left, right));
            pairs.slots[index] = Slot { pair: key(left, right), merge: Merge { rank, id } };
        }
        let mut bytes = Vec::with_capacity(1 << 16);
        for left in byte_ids {
            bytes.extend(byte_ids.iter().map(|&right| pairs.get(left, right)));
        }
        pairs.bytes = bytes;
        pairs
    }

    /// The slot that holds `pair`, or the empty one where it would be.
    #[inline]
    fn find(&self, pair: u64) -> usize {
        let mask = self.slots.len() - 1;
        let mut index = mix(pair) as usize & mask;
        while self.slots[index].pair != pair && self.slots[index].pair != u64::MAX {
            index = (index + 1) & mask;
        }
        index
    }

    #[inline]
    fn get(&self, left: u32, right: u32) -> Merge {
        self.slots[self.find(key(left, right))].merge
    }

    /// Appends the ids of `piece`.
    pub(super) fn merge(&self, piece: &[u8], work: &mut Work, ids: &mut Vec<u32>) {
        if piece.len() <= SCANNED_BYTES {
            self.scan(piece, work, ids);
        } else {
            self.heap(piece, ids);
        }
    }

    fn of_bytes(&self, left: u8, right: u8) -> Merge {
        self.bytes[usize::from(left) << 8 | usize::from(right)]
    }

    /// Finds the best merge by looking at all of them, which for a few dozen is fastest.
    fn scan(&self, piece: &[u8], work: &mut Work, ids: &mut Vec<u32>) {
        let Work { tokens, merges } = work;
        tokens.clear();
        merges.clear();
        tokens.extend(piece.iter().map(|&byte| self.byte_ids[usize::from(byte)]));
        merges.extend(piece.array_windows().map(|&[left, right]| self.of_bytes(left, right)));
        loop {
            let mut best = (NEVER, 0);
            for (merge, at) in merges.iter().zip(0_usize..) {
                if merge.rank < best.0 {
                    best = (merge.rank, at);
                }
            }
            let (rank, at) = best;
            if rank == NEVER {
                break;
            }
            tokens[at] = merges[at].id;
            tokens.remove(at + 1);
            merges.remove(at);
            if let Some(before) = at.checked_sub(1) {
                merges[before] = self.get(tokens[before], tokens[at]);
            }
            if let Some(&right) = tokens.get(at + 1) {
                merges[at] = self.get(tokens[at], right);
            }
        }
        ids.extend_from_slice(tokens);
    }

    /// Finds the best merge with a heap; entries that are out of date are passed over.
    fn heap(&self, piece: &[u8], ids: &mut Vec<u32>) {
        const GONE: u32 = u32::MAX;
        let mut tokens: Vec<u32> =
            piece.iter().map(|&byte| self.byte_ids[usize::from(byte)]).collect();
        let count = tokens.len();
        let mut next: Vec<usize> = (1..=count).collect();
        let mut before: Vec<usize> = (0..count).map(|at| at.wrapping_sub(1)).collect();
        let mut queue: BinaryHeap<Reverse<(u32, usize, u32, u32)>> = BinaryHeap::new();
        let candidate = |at: usize, left: u32, right: u32| {
            let merge = self.get(left, right);
            (merge.rank != NEVER).then_some(Reverse((merge.rank, at, left, right)))
        };
        queue.extend(
            tokens
                .array_windows()
                .enumerate()
                .filter_map(|(at, &[left, right])| candidate(at, left, right)),
        );
        while let Some(Reverse((_, at, left, right))) = queue.pop() {
            let second = next[at];
            if tokens[at] != left || second >= count || tokens[second] != right {
                continue;
            }
            let merged = self.get(left, right).id;
            tokens[at] = merged;
            tokens[second] = GONE;
            next[at] = next[second];
            let third = next[at];
            if third < count {
                before[third] = at;
                queue.extend(candidate(at, merged, tokens[third]));
            }
            if let Some(&left) = tokens.get(before[at]) {
                queue.extend(candidate(before[at], left, merged));
            }
        }
        ids.extend(tokens.into_iter().filter(|&token| token != GONE));
    }
}

/// Memory that [`Pairs::merge`] uses again and again.
#[derive(Default)]
pub(super) struct Work {
    tokens: Vec<u32>,
    /// The merge of each token with the one after it.
    merges: Vec<Merge>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_heap_and_the_scan_agree(
            raw in prop::collection::vec((0_u32..40, 0_u32..40), 0..60),
            piece in prop::collection::vec(0_u8..8, 1..SCANNED_BYTES),
        ) {
            let mut byte_ids = [0; 256];
            byte_ids.iter_mut().zip(0..).for_each(|(id, byte)| *id = byte);
            let merges: Vec<(u32, u32, u32)> = raw
                .iter()
                .zip(256..)
                .map(|(&(left, right), id)| {
                    let token = |index: u32| if index < 8 { index } else { 248 + index };
                    (token(left), token(right), id)
                })
                .collect();
            let pairs = Pairs::new(byte_ids, &merges);
            let (mut scanned, mut heaped) = (Vec::new(), Vec::new());
            pairs.scan(&piece, &mut Work::default(), &mut scanned);
            pairs.heap(&piece, &mut heaped);
            prop_assert_eq!(scanned, heaped);
        }
    }
}
