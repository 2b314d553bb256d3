//! Tokens to begin with: what occurs often in the words, from one character to a few.
//!
//! A string of k characters is known by two of k - 1 that overlap, so each length is counted by
//! pairs of the length before, and only where both occur twice. As with a suffix array, a string
//! that is always followed by the same character is left out for the longer one.

use super::Words;
use crate::pair_table::PairTable;

/// Characters of the longest token.
pub(super) const LONGEST: usize = 16;

/// A string that occurs: how much text it covers, its place in all words' bytes, its length.
type Seed = (u64, usize, usize);

/// At most `limit` strings of whole characters, longer than a byte, that cover the most text.
pub(super) fn seeds(words: &Words, limit: usize) -> Vec<Vec<u8>> {
    let bytes = &words.bytes;
    let starts: Vec<usize> =
        (0..bytes.len()).filter(|&at| bytes[at] & 0xC0 != 0x80).chain([bytes.len()]).collect();
    let ends = word_ends(words, &starts);
    let mut found: Vec<Seed> = Vec::new();
    // Level 1: the character itself; its number in Unicode and one more.
    let mut level: Vec<u32> = starts.windows(2).map(|ends| character(bytes, ends)).collect();
    let mut counted = count(words, &ends, &level, None);
    for characters in 1..=LONGEST {
        let next = (characters < LONGEST).then(|| number_pairs(words, &ends, &level, characters));
        for (id, (count, first)) in counted.iter().enumerate() {
            let length = first.map_or(0, |first| starts[first + characters] - starts[first]);
            let followed = next.as_ref().is_some_and(|next| next.follower[id] == *count);
            if let Some(first) = *first
                && *count > 1
                && length > 1
                && !followed
            {
                found.push((count * characters as u64, starts[first], length));
            }
        }
        keep(&mut found, bytes, limit);
        let Some(next) = next else { break };
        if next.counted.is_empty() {
            break;
        }
        (level, counted) = (next.level, next.counted);
    }
    found.sort_unstable_by(|a, b| order(bytes, a).cmp(&order(bytes, b)));
    found.into_iter().map(|(_, at, length)| bytes[at..at + length].to_vec()).collect()
}

fn order<'a>(bytes: &'a [u8], &(score, at, length): &Seed) -> (std::cmp::Reverse<u64>, &'a [u8]) {
    (std::cmp::Reverse(score), &bytes[at..at + length])
}

fn keep(found: &mut Vec<Seed>, bytes: &[u8], limit: usize) {
    if found.len() > limit {
        found.select_nth_unstable_by(limit, |a, b| order(bytes, a).cmp(&order(bytes, b)));
        found.truncate(limit);
    }
}

/// For each word, the number of characters of it and of all words before it.
fn word_ends(words: &Words, starts: &[usize]) -> Vec<usize> {
    let ends = words.spans.iter().map(|&(end, _)| end);
    ends.map(|end| starts.partition_point(|&start| start < end)).collect()
}

fn character(bytes: &[u8], ends: &[usize]) -> u32 {
    let text = str::from_utf8(&bytes[ends[0]..ends[1]]).unwrap_or_default();
    text.chars().next().map_or(0, |character| character as u32 + 1)
}

/// How often each string of a level occurs, and at which character it does first.
type Counted = Vec<(u64, Option<usize>)>;

fn count(words: &Words, ends: &[usize], level: &[u32], size: Option<usize>) -> Counted {
    let size = size.unwrap_or(level.iter().max().map_or(0, |&id| id as usize + 1));
    let mut counted = vec![(0, None); size];
    let mut at = 0;
    for (&end, &(_, count)) in ends.iter().zip(&words.spans) {
        for (place, &id) in level[at..end].iter().enumerate().filter(|(_, id)| **id != 0) {
            let (total, first) = &mut counted[id as usize];
            *total += count;
            first.get_or_insert(at + place);
        }
        at = end;
    }
    counted
}

/// One length more.
struct Next {
    level: Vec<u32>,
    counted: Counted,
    /// How often the commonest string that a string of the level before begins occurs.
    follower: Vec<u64>,
}

/// Strings of one character more than those of `level`, which have `characters` of them.
fn number_pairs(words: &Words, ends: &[usize], level: &[u32], characters: usize) -> Next {
    let mut table = PairTable::new();
    let each = |take: &mut dyn FnMut(usize, (u32, u32), u64)| {
        let mut at = 0;
        for (&end, &(_, count)) in ends.iter().zip(&words.spans) {
            for place in at..end.saturating_sub(characters).max(at) {
                let pair = (level[place], level[place + 1]);
                if pair.0 != 0 && pair.1 != 0 {
                    take(place, pair, count);
                }
            }
            at = end;
        }
    };
    let size = level.iter().max().map_or(0, |&id| id as usize + 1);
    let mut follower = vec![0; size];
    each(&mut |_, pair, count| {
        let count = table.add(pair, i64::try_from(count).unwrap_or(i64::MAX)) as u64;
        let most = &mut follower[pair.0 as usize];
        *most = count.max(*most);
    });
    let mut numbers = PairTable::new();
    let mut ids = 0;
    let mut next = vec![0; level.len()];
    each(&mut |place, pair, _| {
        if table.get(pair) > 1 {
            let mut id = numbers.get(pair);
            if id == 0 {
                ids += 1;
                id = numbers.add(pair, ids);
            }
            next[place] = id as u32;
        }
    });
    let size = if ids > 0 { ids as usize + 1 } else { 0 };
    let counted = count(words, ends, &next, Some(size));
    Next { level: next, counted, follower }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn seeds_are_the_strings_that_cover_the_most_text() {
        let given = [("banana", 3), ("中国人", 2), ("中国的", 5), ("bandana", 1), ("é", 4)];
        let mut words = Words::default();
        given.iter().for_each(|(word, count)| words.push(word.as_bytes(), *count));
        let mut counts: BTreeMap<Vec<char>, u64> = BTreeMap::new();
        for (word, count) in given {
            let letters: Vec<char> = word.chars().collect();
            for start in 0..letters.len() {
                for end in start + 1..=letters.len() {
                    *counts.entry(letters[start..end].to_vec()).or_default() += count;
                }
            }
        }
        let mut expected = Vec::new();
        for (letters, count) in &counts {
            let text: String = letters.iter().collect();
            let followed = counts.iter().any(|(longer, more)| {
                longer.len() == letters.len() + 1 && longer.starts_with(letters) && more == count
            });
            if *count > 1 && text.len() > 1 && !followed {
                expected.push((std::cmp::Reverse(count * letters.len() as u64), text));
            }
        }
        expected.sort();
        let expected: Vec<String> = expected.into_iter().map(|(_, text)| text).collect();
        for limit in [expected.len() + 5, 6] {
            let found: Vec<String> = seeds(&words, limit)
                .into_iter()
                .map(|bytes| String::from_utf8(bytes).unwrap())
                .collect();
            assert_eq!(found, expected[..expected.len().min(limit)]);
        }
    }
}
