//! jieba's dictionary: how probable words are, and which split of characters into words is the most
//! probable one.
//!
//! The words are a tree of characters. The first of a word is looked up by its number, the others
//! in a hash table of (node, character): at most places of a text no second character follows, and
//! one look decides that.

use std::sync::LazyLock;

use super::{CODES, code_of};

pub(super) struct Dictionary {
    /// The node of each character that begins words; 0 for none.
    first: Vec<u32>,
    /// A power of two of slots, each a key above the node it leads to; 0 is free.
    table: Vec<u64>,
    /// The logarithm of the share that the word which ends at a node has of all words; no number
    /// where none ends.
    logs: Vec<f64>,
    /// The same of what is no word.
    other: f64,
}

/// Bits of the number of a node.
const NODE_BITS: u32 = 20;
/// Twice as many as there are nodes, or more.
const SLOT_BITS: u32 = 20;
/// Odd, with bits in no order.
const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;

/// The most probable words of a block.
#[derive(Default)]
pub(super) struct Route {
    /// For each character the logarithm of the probability of what begins there, and where the
    /// first word of it ends.
    steps: Vec<(f64, u32)>,
}

impl Route {
    /// Where the word that begins at `at` ends.
    pub(super) fn next(&self, at: usize) -> usize {
        self.steps[at].1 as usize
    }
}

impl Dictionary {
    /// From the table that `golden/data/filters_tables.py` describes.
    fn read(table: &str) -> Self {
        let (head, counts) = table.split_once("\n\n").unwrap_or((table, ""));
        let (total, words) = head.split_once('\n').unwrap_or((head, ""));
        let total = total.parse().map_or(f64::NAN, f64::ln);
        let mut dictionary = Self {
            first: vec![0; CODES],
            table: vec![0; 1 << SLOT_BITS],
            logs: vec![f64::NAN],
            other: 1_f64.ln() - total,
        };
        // The nodes of the word before.
        let mut path: Vec<u32> = Vec::new();
        for (word, count) in words.lines().zip(counts.lines()) {
            let mut characters = word.chars();
            path.truncate(
                characters.next().and_then(|shared| shared.to_digit(36)).map_or(0, |n| n as usize),
            );
            for code in characters.filter_map(code_of) {
                let node = dictionary.add(path.last().copied(), code);
                path.push(node);
            }
            if let (Some(&node), Ok(count)) = (path.last(), count.parse::<f64>()) {
                dictionary.logs[node as usize] = count.ln() - total;
            }
        }
        assert!(dictionary.logs.len() <= dictionary.table.len() / 2, "room for all words");
        dictionary
    }

    /// A new node behind `parent`, or of a first character.
    fn add(&mut self, parent: Option<u32>, code: u16) -> u32 {
        let node = self.logs.len() as u32;
        self.logs.push(f64::NAN);
        let Some(parent) = parent else {
            self.first[code as usize] = node;
            return node;
        };
        let key = key(parent, code);
        let mut slot = slot(key);
        while self.table[slot] != 0 {
            slot = (slot + 1) % self.table.len();
        }
        self.table[slot] = key << NODE_BITS | u64::from(node);
        node
    }

    fn child(&self, parent: u32, code: u16) -> Option<u32> {
        let key = key(parent, code);
        let mut slot = slot(key);
        loop {
            match self.table[slot] {
                0 => return None,
                found if found >> NODE_BITS == key => {
                    return Some((found & ((1 << NODE_BITS) - 1)) as u32);
                }
                _ => slot = (slot + 1) % self.table.len(),
            }
        }
    }

    /// Whether these characters are a word.
    pub(super) fn has(&self, codes: &[u16]) -> bool {
        let Some((&first, rest)) = codes.split_first() else { return false };
        let first = Some(self.first[first as usize]).filter(|&node| node != 0);
        let node = rest.iter().try_fold(first, |node, &code| Some(self.child(node?, code)));
        node.flatten().is_some_and(|node| !self.logs[node as usize].is_nan())
    }

    /// Finds the most probable words; of equal ones the longest first.
    pub(super) fn find_route(&self, codes: &[u16], route: &mut Route) {
        let steps = &mut route.steps;
        steps.clear();
        steps.resize(codes.len() + 1, (0.0, 0));
        for at in (0..codes.len()).rev() {
            let mut best = (f64::NEG_INFINITY, 0);
            let mut end = at + 1;
            let mut node = Some(self.first[codes[at] as usize]).filter(|&node| node != 0);
            while let Some(found) = node {
                // Nothing is more than no number.
                let log = self.logs[found as usize] + steps[end].0;
                if log >= best.0 {
                    best = (log, end as u32);
                }
                node = codes.get(end).and_then(|&code| self.child(found, code));
                end += 1;
            }
            if best.1 == 0 {
                best = (self.other + steps[at + 1].0, at as u32 + 1);
            }
            steps[at] = best;
        }
    }
}

fn key(parent: u32, code: u16) -> u64 {
    u64::from(parent) << 16 | u64::from(code)
}

fn slot(key: u64) -> usize {
    (key.wrapping_mul(FACTOR) >> (64 - SLOT_BITS)) as usize
}

pub(super) static DICTIONARY: LazyLock<Dictionary> =
    LazyLock::new(|| Dictionary::read(&super::unpack(include_bytes!("words.txt.zst"))));
