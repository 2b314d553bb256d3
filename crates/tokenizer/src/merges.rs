//! Learning byte-pair merges (Sennrich et al. 2016, arXiv:1508.07909) from counted words.
//!
//! The most frequent pair is merged first; among equally frequent ones the pair with the smaller
//! ids. Nothing depends on hashing order or threads, so the same text gives the same merges.
//! Counts are 64 bits wide. A test holds the merges to the library's own trainer, which counts in
//! 32 bits and, where two pairs spell one token, counts what was merged before a second time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

use crate::SPECIAL_TOKENS;
use crate::byte_level::hash::{mix, mix2};

/// Ids of the 256 single bytes start after the control tokens.
pub(crate) const FIRST_BYTE_ID: u32 = SPECIAL_TOKENS.len() as u32;

type Pair = (u32, u32);

/// Where a pair occurs and how often.
#[derive(Default)]
struct Occurrences {
    count: i64,
    /// Indices of words that held the pair at some time; may repeat, may be out of date.
    words: Vec<u32>,
}

/// What was learned: `tokens[id]` for every id after the control tokens, in order, and the merges.
pub(crate) struct Merges {
    /// The bytes of id `FIRST_BYTE_ID + index`.
    pub(crate) tokens: Vec<Vec<u8>>,
    /// Pairs of ids in the order of their priority.
    pub(crate) pairs: Vec<Pair>,
}

/// Hashes a pair of ids, which is all that these tables are looked up by.
#[derive(Default)]
struct PairHasher(u64);

impl Hasher for PairHasher {
    fn finish(&self) -> u64 {
        mix(self.0)
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.0 = mix2(self.0, u64::from(byte)));
    }

    fn write_u32(&mut self, id: u32) {
        self.0 = self.0 << 32 | u64::from(id);
    }
}

type PairMap<V> = HashMap<Pair, V, BuildHasherDefault<PairHasher>>;

/// The words as ids, end to end; each only gets shorter and stays where it is.
struct Words {
    ids: Vec<u32>,
    /// Where a word begins, how many ids it has, how often it occurs.
    spans: Vec<(usize, usize, i64)>,
}

impl Words {
    fn new(words: &[(&[u8], u64)]) -> Self {
        let mut ids = Vec::with_capacity(words.iter().map(|(bytes, _)| bytes.len()).sum());
        let mut spans = Vec::with_capacity(words.len());
        for (bytes, count) in words {
            spans.push((ids.len(), bytes.len(), i64::try_from(*count).unwrap_or(i64::MAX)));
            ids.extend(bytes.iter().map(|&byte| u32::from(byte) + FIRST_BYTE_ID));
        }
        Self { ids, spans }
    }
}

struct Learner {
    words: Words,
    pairs: PairMap<Occurrences>,
    queue: BinaryHeap<(i64, Reverse<Pair>)>,
    id_of: HashMap<Vec<u8>, u32>,
    merged: HashSet<Pair>,
    learned: Merges,
}

/// Learns merges until there are `vocab_size` ids, control tokens included, or until no pair
/// occurs `min_frequency` times. `words` are the pieces of the text with their counts.
pub(crate) fn learn(words: &[(&[u8], u64)], vocab_size: usize, min_frequency: u64) -> Merges {
    let mut learner = Learner::new(words);
    while learner.learned.tokens.len() + SPECIAL_TOKENS.len() < vocab_size {
        let Some((count, pair)) = learner.most_frequent() else { break };
        if count < i64::try_from(min_frequency.max(1)).unwrap_or(i64::MAX) {
            break;
        }
        learner.merge(pair);
    }
    learner.learned
}

impl Learner {
    fn new(words: &[(&[u8], u64)]) -> Self {
        let tokens: Vec<Vec<u8>> = (0..=255_u8).map(|byte| vec![byte]).collect();
        let id_of = tokens.iter().cloned().zip(FIRST_BYTE_ID..).collect();
        let words = Words::new(words);
        let mut pairs: PairMap<Occurrences> = PairMap::default();
        for (index, &(start, length, count)) in words.spans.iter().enumerate() {
            for window in words.ids[start..start + length].windows(2) {
                let occurrences = pairs.entry((window[0], window[1])).or_default();
                occurrences.count += count;
                if occurrences.words.last() != Some(&(index as u32)) {
                    occurrences.words.push(index as u32);
                }
            }
        }
        // A total order on entries: the heap gives them out the same whatever order they came in.
        let queue = pairs.iter().map(|(&pair, found)| (found.count, Reverse(pair))).collect();
        let learned = Merges { tokens, pairs: Vec::new() };
        Self { words, pairs, queue, id_of, merged: HashSet::new(), learned }
    }

    /// The most frequent pair that may be merged. Entries of the queue that are out of date are
    /// corrected when they surface.
    fn most_frequent(&mut self) -> Option<(i64, Pair)> {
        loop {
            let (count, Reverse(pair)) = self.queue.pop()?;
            let now = self.pairs.get(&pair).map_or(0, |occurrences| occurrences.count);
            if now == count && !self.spells_control_token(pair) {
                return Some((count, pair));
            }
            if 0 < now && now < count {
                self.queue.push((now, Reverse(pair)));
            }
        }
    }

    fn bytes(&self, id: u32) -> &[u8] {
        &self.learned.tokens[(id - FIRST_BYTE_ID) as usize]
    }

    fn joined(&self, pair: Pair) -> Vec<u8> {
        [self.bytes(pair.0), self.bytes(pair.1)].concat()
    }

    fn spells_control_token(&self, pair: Pair) -> bool {
        let joined = self.joined(pair);
        SPECIAL_TOKENS.iter().any(|token| token.as_bytes() == joined)
    }

    /// Gives `pair` an id and replaces it everywhere. Two pairs may spell the same bytes; they
    /// then share the id. A pair that comes back after its merge is replaced again.
    fn merge(&mut self, pair: Pair) {
        let bytes = self.joined(pair);
        let next_id = FIRST_BYTE_ID + self.learned.tokens.len() as u32;
        let merged = *self.id_of.entry(bytes.clone()).or_insert(next_id);
        if merged == next_id {
            self.learned.tokens.push(bytes);
        }
        if self.merged.insert(pair) {
            self.learned.pairs.push(pair);
        }
        let mut holders = self.pairs.remove(&pair).map(|found| found.words).unwrap_or_default();
        holders.sort_unstable();
        holders.dedup();
        let mut grown = Vec::new();
        for index in holders {
            let (start, length, count) = &mut self.words.spans[index as usize];
            let (ids, count) = (&mut self.words.ids[*start..*start + *length], *count);
            *length = replace(ids, pair, merged, |changed, sign| {
                let occurrences = self.pairs.entry(changed).or_default();
                occurrences.count += sign * count;
                if sign > 0 {
                    occurrences.words.push(index);
                    grown.push(changed);
                }
            });
        }
        // The pair's own count was dropped with its entry; what the replacement subtracted is void.
        self.pairs.remove(&pair);
        grown.sort_unstable();
        grown.dedup();
        for pair in grown {
            if let Some(occurrences) = self.pairs.get(&pair) {
                self.queue.push((occurrences.count, Reverse(pair)));
            }
        }
    }
}

/// Replaces `pair` by `merged` from left to right in `ids`, and reports each neighbouring pair that
/// this ends (-1) or makes (+1). Returns how many ids there are then.
fn replace(ids: &mut [u32], pair: Pair, merged: u32, mut change: impl FnMut(Pair, i64)) -> usize {
    let mut written = 0;
    let mut read = 0;
    while read < ids.len() {
        if read + 1 < ids.len() && (ids[read], ids[read + 1]) == pair {
            if written > 0 {
                change((ids[written - 1], pair.0), -1);
                change((ids[written - 1], merged), 1);
            }
            if let Some(&next) = ids.get(read + 2) {
                change((pair.1, next), -1);
                change((merged, next), 1);
            }
            ids[written] = merged;
            read += 2;
        } else {
            ids[written] = ids[read];
            read += 1;
        }
        written += 1;
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same rule by brute force: count all pairs anew for each merge.
    fn learn_slowly(words: &[(&[u8], u64)], merges: usize) -> Vec<Pair> {
        let mut words: Vec<(Vec<u32>, u64)> = words
            .iter()
            .map(|(w, n)| (w.iter().map(|&b| u32::from(b) + FIRST_BYTE_ID).collect(), *n))
            .collect();
        let mut learned = Vec::new();
        for next in (FIRST_BYTE_ID + 256..).take(merges) {
            let mut counts = std::collections::BTreeMap::new();
            for (ids, count) in &words {
                for window in ids.windows(2) {
                    *counts.entry((window[0], window[1])).or_insert(0) += count;
                }
            }
            let best = counts.iter().max_by_key(|&(&pair, &count)| (count, Reverse(pair)));
            let Some((&pair, _)) = best else { break };
            for (ids, _) in &mut words {
                let left = replace(ids, pair, next, |_, _| {});
                ids.truncate(left);
            }
            learned.push(pair);
        }
        learned
    }

    #[test]
    fn merges_equal_recounting_everything() {
        let words: Vec<(&[u8], u64)> =
            vec![(b"abababc", 5), (b"aaaaaaa", 3), (b"bcbcab", 4), (b"cabcab", 2), (b"aab", 7)];
        let fast = learn(&words, FIRST_BYTE_ID as usize + 256 + 7, 1);
        assert_eq!(fast.pairs, learn_slowly(&words, 7));
    }

    #[test]
    fn equal_counts_are_decided_by_the_smaller_ids() {
        let fast = learn(&[(b"xy", 2), (b"ab", 2)], FIRST_BYTE_ID as usize + 257, 1);
        assert_eq!(fast.tokens[256], b"ab");
    }

    #[test]
    fn no_merge_spells_a_control_token() {
        let word = SPECIAL_TOKENS[0].as_bytes();
        let learned = learn(&[(word, 1000)], 600, 1);
        assert!(learned.tokens.iter().all(|token| token != word));
    }

    /// Bytes spelled so that the library, which numbers letters in the order of their code points,
    /// numbers them as we do.
    fn spell(bytes: &[u8]) -> String {
        bytes.iter().filter_map(|&byte| char::from_u32(0x100 + u32::from(byte))).collect()
    }

    #[test]
    fn merges_are_those_of_the_reference_trainer() {
        use tokenizers::Trainer;
        use tokenizers::models::bpe::{BPE, BpeTrainer};

        let text = include_str!("../../../golden/tokenizer/text.txt");
        let splitter = crate::byte_level::split::Splitter::of_pattern(crate::PRE_SPLIT).unwrap();
        let pieces = |text: &str| {
            let mut pieces = Vec::new();
            splitter.pieces(text, |start, end| pieces.push(spell(&text.as_bytes()[start..end])));
            pieces
        };
        for (text, vocab_size) in [(text, 900), (&[text, "to be or not"].concat(), 700)] {
            let special = SPECIAL_TOKENS.map(|token| tokenizers::AddedToken::from(token, true));
            let mut trainer = BpeTrainer::builder()
                .show_progress(false)
                .vocab_size(vocab_size)
                .min_frequency(2)
                .special_tokens(special.to_vec())
                .initial_alphabet(
                    (0..=255_u8).flat_map(|byte| char::from_u32(0x100 + u32::from(byte))).collect(),
                )
                .build();
            trainer.feed([text].iter(), |text| Ok(pieces(text))).unwrap();
            let mut model = BPE::default();
            trainer.train(&mut model).unwrap();
            let model = serde_json::to_value(&model).unwrap();
            let expected: Vec<(String, String)> =
                serde_json::from_value(model["merges"].clone()).unwrap();

            let counts = crate::counts::count(splitter, [text]);
            let learned = learn(&counts.sorted(), vocab_size, 2);
            let token = |id: u32| spell(&learned.tokens[(id - FIRST_BYTE_ID) as usize]);
            let merges: Vec<(String, String)> =
                learned.pairs.iter().map(|&(left, right)| (token(left), token(right))).collect();
            assert!(merges.len() > 300);
            assert_eq!(merges, expected);
        }
    }
}
