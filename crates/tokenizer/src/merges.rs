//! Learning byte-pair merges (Sennrich et al. 2016, arXiv:1508.07909) from counted words.
//!
//! The most frequent pair is merged first; among equally frequent ones the pair with the smaller
//! ids. Nothing depends on hashing order or threads, so the same text gives the same merges.
//!
//! The merges are those of the `tokenizers` library's trainer, in its two odd cases too. Where two
//! pairs spell one token, a pair can come back after it was merged: it is then counted on top of
//! what it was, and stands in the list where it was merged last. A queue's entry replaces its pair
//! only in the words that it was made for. Counts are 64 bits wide; the library's changes of
//! counts are 32.
//!
//! Cost: each merge looks at the words that hold it, and adds up what changes by the neighbour, so
//! that the table of all pairs is asked once a neighbour and not once a place.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::ops::Range;

use crate::SPECIAL_TOKENS;
use crate::byte_alphabet::in_order;
use crate::pair_table::{Pair, PairTable};

/// Ids of the 256 single bytes start after the control tokens, in the order of their spelling.
pub(crate) const FIRST_BYTE_ID: u32 = SPECIAL_TOKENS.len() as u32;

/// What was learned: `tokens[id]` for every id after the control tokens, in order, and the merges.
pub(crate) struct Merges {
    /// The bytes of id `FIRST_BYTE_ID + index`.
    pub(crate) tokens: Vec<Vec<u8>>,
    /// Pairs of ids in the order of their priority.
    pub(crate) pairs: Vec<Pair>,
}

/// Stands behind the ids of a word that got shorter.
const GONE: u32 = u32::MAX;

/// Bytes of memory that learning takes for a byte of the different words: its id, its places in the
/// lists of holders, and a share of the table and the queue of pairs. Measured on English and
/// Chinese.
const LEARNING_BYTES: usize = 20;

/// Words as ids, end to end; each only gets shorter and stays where it is.
pub(crate) struct Words {
    ids: Vec<u32>,
    /// Where each word begins, and how often it occurs. A last one begins where all end.
    spans: Vec<(usize, i64)>,
    byte_ids: [u32; 256],
}

impl Words {
    pub(crate) fn new() -> Self {
        let mut byte_ids = [0; 256];
        for (byte, id) in in_order().into_iter().zip(FIRST_BYTE_ID..) {
            byte_ids[usize::from(byte)] = id;
        }
        Self { ids: Vec::new(), spans: vec![(0, 0)], byte_ids }
    }

    /// Makes room for so many words and bytes.
    pub(crate) fn reserve(&mut self, words: usize, bytes: usize) {
        self.ids.reserve_exact(bytes);
        self.spans.reserve_exact(words);
    }

    /// A word that occurs `count` times.
    pub(crate) fn push(&mut self, word: &[u8], count: u64) {
        self.ids.extend(word.iter().map(|&byte| self.byte_ids[usize::from(byte)]));
        if let Some(last) = self.spans.last_mut() {
            last.1 = i64::try_from(count).unwrap_or(i64::MAX);
        }
        self.spans.push((self.ids.len(), 0));
    }

    /// Bytes of memory that learning from so many words of so many bytes in all takes at most.
    pub(crate) fn learning_bytes(words: usize, bytes: usize) -> usize {
        words * size_of::<(usize, i64)>() + bytes * LEARNING_BYTES
    }

    fn len(&self) -> usize {
        self.spans.len() - 1
    }

    fn word(&mut self, index: usize) -> (&mut [u32], i64) {
        let (start, count) = self.spans[index];
        (&mut self.ids[start..self.spans[index + 1].0], count)
    }
}

/// A pair in the queue: ordered by its count, then by its ids, then by when it came.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    count: i64,
    pair: Reverse<Pair>,
    /// Where the words that hold it begin in `Learner::holders`.
    first: Reverse<usize>,
    holders: u32,
}

/// What a merge changes beside one neighbour, on one side.
#[derive(Clone, Copy, Default)]
struct Change {
    /// How often the neighbour now stands beside the merged token.
    gained: i64,
    /// How often it no longer stands beside what was merged.
    lost: i64,
    /// Words where it gained.
    holders: u32,
    /// Index of the last of them, and one more.
    last: u32,
}

/// What one merge changes, by side and neighbour.
struct Changes {
    by_id: [Vec<Change>; 2],
    /// Neighbours that have a change, on each side.
    touched: [Vec<u32>; 2],
    /// Where there was a gain: side, neighbour and word.
    gains: Vec<(bool, u32, u32)>,
}

const LEFT: usize = 0;
const RIGHT: usize = 1;

impl Changes {
    fn at(&mut self, side: usize, neighbour: u32) -> &mut Change {
        let change = &mut self.by_id[side][neighbour as usize];
        if change.gained == 0 && change.lost == 0 {
            self.touched[side].push(neighbour);
        }
        change
    }

    #[inline]
    fn lose(&mut self, side: usize, neighbour: u32, count: i64) {
        self.at(side, neighbour).lost += count;
    }

    #[inline]
    fn gain(&mut self, side: usize, neighbour: u32, count: i64, word: u32) {
        let change = self.at(side, neighbour);
        change.gained += count;
        if change.last != word + 1 {
            change.last = word + 1;
            change.holders += 1;
            self.gains.push((side == RIGHT, neighbour, word));
        }
    }
}

struct Learner {
    words: Words,
    counts: PairTable,
    queue: BinaryHeap<Candidate>,
    /// Indices of words, for each candidate one after the other.
    holders: Vec<u32>,
    changes: Changes,
    id_of: HashMap<Vec<u8>, u32>,
    tokens: Vec<Vec<u8>>,
    merged: Vec<Pair>,
}

/// Learns merges until there are `vocab_size` ids, control tokens included, or until no pair
/// occurs `min_frequency` times.
pub(crate) fn learn(words: Words, vocab_size: usize, min_frequency: u64) -> Merges {
    let mut learner = Learner::new(words, vocab_size);
    let min_frequency = i64::try_from(min_frequency.max(1)).unwrap_or(i64::MAX);
    while learner.tokens.len() + SPECIAL_TOKENS.len() < vocab_size {
        let Some(candidate) = learner.most_frequent() else { break };
        if candidate.count < min_frequency {
            break;
        }
        learner.merge(&candidate);
    }
    let mut seen = HashSet::new();
    let mut pairs: Vec<Pair> =
        learner.merged.into_iter().rev().filter(|&pair| seen.insert(pair)).collect();
    pairs.reverse();
    Merges { tokens: learner.tokens, pairs }
}

impl Learner {
    fn new(words: Words, vocab_size: usize) -> Self {
        let tokens: Vec<Vec<u8>> = in_order().into_iter().map(|byte| vec![byte]).collect();
        let id_of = tokens.iter().cloned().zip(FIRST_BYTE_ID..).collect();
        let by_id = [(); 2].map(|()| vec![Change::default(); vocab_size]);
        let changes = Changes { by_id, touched: [Vec::new(), Vec::new()], gains: Vec::new() };
        let mut learner = Self {
            words,
            counts: PairTable::new(),
            queue: BinaryHeap::new(),
            holders: Vec::new(),
            changes,
            id_of,
            tokens,
            merged: Vec::new(),
        };
        learner.count_bytes();
        learner
    }

    /// Counts the pairs of bytes and finds their words: by two passes over a table of all pairs.
    fn count_bytes(&mut self) {
        let mut table = vec![Change::default(); 1 << 16];
        let index = |left: u32, right: u32| {
            ((left - FIRST_BYTE_ID) << 8 | (right - FIRST_BYTE_ID)) as usize
        };
        for word in 0..self.words.len() {
            let (ids, count) = self.words.word(word);
            for &[left, right] in ids.array_windows() {
                let change = &mut table[index(left, right)];
                change.gained += count;
                if change.last != word as u32 + 1 {
                    change.last = word as u32 + 1;
                    change.holders += 1;
                }
            }
        }
        let mut first = 0;
        let mut places = Vec::with_capacity(table.len());
        for (change, at) in table.iter_mut().zip(0_u32..) {
            places.push(first);
            if change.gained > 0 {
                let pair = (FIRST_BYTE_ID + (at >> 8), FIRST_BYTE_ID + (at & 0xFF));
                self.counts.add(pair, change.gained);
                let Change { gained: count, holders, .. } = *change;
                self.queue.push(Candidate {
                    count,
                    pair: Reverse(pair),
                    first: Reverse(first),
                    holders,
                });
                first += holders as usize;
            }
            change.last = 0;
        }
        self.holders = vec![0; first];
        for word in 0..self.words.len() {
            for &[left, right] in self.words.word(word).0.array_windows() {
                let at = index(left, right);
                if table[at].last != word as u32 + 1 {
                    table[at].last = word as u32 + 1;
                    self.holders[places[at]] = word as u32;
                    places[at] += 1;
                }
            }
        }
    }

    /// The most frequent pair that may be merged. Entries of the queue that are out of date are
    /// corrected when they surface.
    fn most_frequent(&mut self) -> Option<Candidate> {
        loop {
            let mut candidate = self.queue.pop()?;
            let now = self.counts.get(candidate.pair.0);
            if now != candidate.count {
                candidate.count = now;
                if now > 0 {
                    self.queue.push(candidate);
                }
            } else if !self.spells_control_token(candidate.pair.0) {
                return Some(candidate);
            }
        }
    }

    fn joined(&self, pair: Pair) -> Vec<u8> {
        let bytes = |id: u32| self.tokens[(id - FIRST_BYTE_ID) as usize].as_slice();
        [bytes(pair.0), bytes(pair.1)].concat()
    }

    fn spells_control_token(&self, pair: Pair) -> bool {
        let joined = self.joined(pair);
        SPECIAL_TOKENS.iter().any(|token| token.as_bytes() == joined)
    }

    /// Gives the candidate's pair an id, that of the token that it spells if there is one, and
    /// replaces it in the candidate's words.
    fn merge(&mut self, candidate: &Candidate) {
        let pair = candidate.pair.0;
        let bytes = self.joined(pair);
        let next_id = FIRST_BYTE_ID + self.tokens.len() as u32;
        let token = *self.id_of.entry(bytes.clone()).or_insert(next_id);
        if token == next_id {
            self.tokens.push(bytes);
        }
        self.merged.push(pair);
        let first = candidate.first.0;
        for at in first..first + candidate.holders as usize {
            let index = self.holders[at];
            let (ids, count) = self.words.word(index as usize);
            replace(ids, pair, token, &mut self.changes, (index, count));
        }
        self.count_changes(pair, token);
        self.queue_gains(token);
    }

    /// Brings the counts of all pairs up to date.
    fn count_changes(&mut self, pair: Pair, token: u32) {
        let Changes { by_id, touched, .. } = &mut self.changes;
        for &id in &touched[LEFT] {
            let change = by_id[LEFT][id as usize];
            add(&mut self.counts, (id, pair.0), -change.lost);
            add(&mut self.counts, (id, token), change.gained);
        }
        for &id in &touched[RIGHT] {
            let change = by_id[RIGHT][id as usize];
            add(&mut self.counts, (pair.1, id), -change.lost);
            add(&mut self.counts, (token, id), change.gained);
        }
    }

    /// Puts the pairs that came about into the queue, and forgets the changes.
    fn queue_gains(&mut self, token: u32) {
        let Changes { by_id, touched, gains } = &mut self.changes;
        let mut first = self.holders.len();
        self.holders.resize(first + gains.len(), 0);
        for side in [LEFT, RIGHT] {
            for &id in &touched[side] {
                let change = &mut by_id[side][id as usize];
                let pair = if side == LEFT { (id, token) } else { (token, id) };
                let Range { start, end } = first..first + change.holders as usize;
                // From here on, where the next holder belongs.
                (change.lost, first) = (start as i64, end);
                let count = if change.gained > 0 { self.counts.get(pair) } else { 0 };
                if count > 0 {
                    let (pair, first, holders) = (Reverse(pair), Reverse(start), change.holders);
                    self.queue.push(Candidate { count, pair, first, holders });
                }
            }
        }
        for (right, id, word) in gains.drain(..) {
            let change = &mut by_id[usize::from(right)][id as usize];
            self.holders[change.lost as usize] = word;
            change.lost += 1;
        }
        for side in [LEFT, RIGHT] {
            for id in touched[side].drain(..) {
                by_id[side][id as usize] = Change::default();
            }
        }
    }
}

fn add(counts: &mut PairTable, pair: Pair, change: i64) {
    if change != 0 {
        counts.add(pair, change);
    }
}

/// Replaces `pair` by `token` from left to right in a word, and notes what changes beside it.
fn replace(
    ids: &mut [u32],
    pair: Pair,
    token: u32,
    changes: &mut Changes,
    (word, count): (u32, i64),
) {
    let Some(start) = ids.array_windows().position(|&[left, right]| (left, right) == pair) else {
        return;
    };
    let (mut written, mut read) = (start, start);
    while read < ids.len() && ids[read] != GONE {
        let next = ids.get(read + 1).copied();
        if ids[read] != pair.0 || next != Some(pair.1) {
            ids[written] = ids[read];
            (written, read) = (written + 1, read + 1);
            continue;
        }
        if let Some(before) = written.checked_sub(1) {
            let before = ids[before];
            changes.lose(LEFT, before, count);
            // A token beside itself is one pair, whichever way it is seen.
            changes.gain(if before == token { RIGHT } else { LEFT }, before, count, word);
        }
        if let Some(&after) = ids.get(read + 2)
            && after != GONE
        {
            changes.lose(RIGHT, after, count);
            changes.gain(RIGHT, after, count, word);
        }
        ids[written] = token;
        (written, read) = (written + 1, read + 2);
    }
    ids[written..read].fill(GONE);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::byte_alphabet::{spell, spelled_alphabet};
    use crate::byte_level::split::Splitter;

    fn words(given: &[(&str, u64)]) -> Words {
        let mut words = Words::new();
        given.iter().for_each(|(word, count)| words.push(word.as_bytes(), *count));
        words
    }

    fn spelled(merges: &Merges) -> Vec<(String, String)> {
        let token = |id: u32| spell(&merges.tokens[(id - FIRST_BYTE_ID) as usize]);
        merges.pairs.iter().map(|&(left, right)| (token(left), token(right))).collect()
    }

    #[test]
    fn equal_counts_are_decided_by_the_smaller_ids() {
        let fast = learn(words(&[("xy", 2), ("ab", 2)]), FIRST_BYTE_ID as usize + 257, 1);
        assert_eq!(spelled(&fast), [("a".to_owned(), "b".to_owned())]);
    }

    #[test]
    fn no_merge_spells_a_control_token() {
        let learned = learn(words(&[(SPECIAL_TOKENS[0], 1000)]), 600, 1);
        assert!(learned.tokens.len() > 256);
        assert!(learned.tokens.iter().all(|token| token != SPECIAL_TOKENS[0].as_bytes()));
    }

    /// Tokens and merges of the reference trainer.
    fn reference(pieces: &[&str], vocab_size: usize) -> (Vec<String>, Vec<(String, String)>) {
        use tokenizers::Trainer;
        use tokenizers::models::bpe::{BPE, BpeTrainer};

        let special = SPECIAL_TOKENS.map(|token| tokenizers::AddedToken::from(token, true));
        let mut trainer = BpeTrainer::builder()
            .show_progress(false)
            .vocab_size(vocab_size)
            .min_frequency(2)
            .special_tokens(special.to_vec())
            .initial_alphabet(spelled_alphabet().collect())
            .build();
        let spelled = |piece: &str| Ok(vec![spell(piece.as_bytes())]);
        trainer.feed(pieces.iter(), spelled).unwrap();
        let mut model = BPE::default();
        trainer.train(&mut model).unwrap();
        let model = serde_json::to_value(&model).unwrap();
        let vocab = model["vocab"].as_object().unwrap();
        let mut tokens: Vec<(u64, String)> =
            vocab.iter().map(|(token, id)| (id.as_u64().unwrap(), token.clone())).collect();
        tokens.sort_unstable();
        let tokens = tokens.into_iter().map(|(_, token)| token).collect();
        (tokens, serde_json::from_value(model["merges"].clone()).unwrap())
    }

    fn agree(text: &str, vocab_size: usize) {
        let splitter = Splitter::of_pattern(crate::PRE_SPLIT).unwrap();
        let (mut pieces, mut given) = (Vec::new(), std::collections::BTreeMap::new());
        splitter.pieces(text, |start, end| {
            pieces.push(&text[start..end]);
            *given.entry(&text[start..end]).or_insert(0) += 1;
        });
        let given: Vec<(&str, u64)> = given.into_iter().collect();
        let learned = learn(words(&given), vocab_size, 2);
        let (tokens, merges) = reference(&pieces, vocab_size);
        assert_eq!(spelled(&learned), merges);
        let ours: Vec<String> = learned.tokens.iter().map(|token| spell(token)).collect();
        assert_eq!(ours, tokens[SPECIAL_TOKENS.len()..]);
    }

    #[test]
    fn merges_are_those_of_the_reference_trainer() {
        let text = include_str!("../../../golden/tokenizer/text.txt");
        agree(text, 900);
        agree(&[text, "to be or not"].concat(), 700);
    }

    #[test]
    fn merges_are_those_of_the_reference_trainer_where_two_pairs_spell_one_token() {
        let mut state = 7_u64;
        let mut text = String::new();
        for _ in 0..6000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let letter = ["a", "n", "-", "=", " "][(state >> 40) as usize % 5];
            text += &letter.repeat((state >> 50) as usize % 9);
            text += ["an", "na", "ana", ""][(state >> 33) as usize % 4];
        }
        for vocab_size in [300, 420, 1000] {
            agree(&text, vocab_size);
        }
    }
}
