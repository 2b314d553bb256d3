//! Tokens by their bytes: which of them begin at a place of a word.

use crate::byte_level::hash::mix;

const EMPTY: u64 = u64::MAX;
const NO_TOKEN: u32 = u32::MAX;
/// Bits of a slot that hold the child; the others hold its parent and the byte between them.
const CHILD_BITS: u32 = 24;

/// A tree of tokens; its edges lie in a hash table with open addressing.
pub(super) struct Trie {
    slots: Vec<u64>,
    /// By node; the root is 0.
    tokens: Vec<u32>,
}

impl Trie {
    /// The tree of `tokens`, each with its index.
    pub(super) fn new<'a>(tokens: impl Iterator<Item = &'a [u8]> + Clone) -> Self {
        let bytes: usize = tokens.clone().map(<[u8]>::len).sum();
        let slots = vec![EMPTY; ((bytes + 1) * 3 / 2).next_power_of_two()];
        let mut trie = Self { slots, tokens: vec![NO_TOKEN] };
        for (token, index) in tokens.zip(0_u32..) {
            let mut node = 0;
            for &byte in token {
                let slot = trie.find(node, byte);
                if trie.slots[slot] == EMPTY {
                    trie.slots[slot] = edge(node, byte) << CHILD_BITS | trie.tokens.len() as u64;
                    trie.tokens.push(NO_TOKEN);
                }
                node = child(trie.slots[slot]);
            }
            trie.tokens[node as usize] = index;
        }
        assert!(trie.tokens.len() < 1 << CHILD_BITS, "{} nodes", trie.tokens.len());
        trie
    }

    fn find(&self, node: u32, byte: u8) -> usize {
        let mask = self.slots.len() - 1;
        let edge = edge(node, byte);
        let mut slot = mix(edge) as usize & mask;
        while self.slots[slot] != EMPTY && self.slots[slot] >> CHILD_BITS != edge {
            slot = (slot + 1) & mask;
        }
        slot
    }

    /// Gives each token that `word[start..]` begins with, and where it ends, the shortest first.
    #[inline]
    pub(super) fn each(&self, word: &[u8], start: usize, mut take: impl FnMut(u32, usize)) {
        let mut node = 0;
        for (&byte, end) in word[start..].iter().zip(start + 1..) {
            let slot = self.slots[self.find(node, byte)];
            if slot == EMPTY {
                return;
            }
            node = child(slot);
            let token = self.tokens[node as usize];
            if token != NO_TOKEN {
                take(token, end);
            }
        }
    }
}

fn edge(node: u32, byte: u8) -> u64 {
    u64::from(node) << 8 | u64::from(byte)
}

fn child(slot: u64) -> u32 {
    (slot & ((1 << CHILD_BITS) - 1)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_found_where_they_begin() {
        let tokens: [&[u8]; 5] = [b"a", b"ab", b"abcd", b"b", b"cd"];
        let trie = Trie::new(tokens.into_iter());
        let found = |start| {
            let mut found = Vec::new();
            trie.each(b"xabcde", start, |token, end| found.push((token, end)));
            found
        };
        assert_eq!(found(0), []);
        assert_eq!(found(1), [(0, 2), (1, 3), (2, 5)]);
        assert_eq!(found(2), [(3, 3)]);
        assert_eq!(found(3), [(4, 5)]);
    }
}
