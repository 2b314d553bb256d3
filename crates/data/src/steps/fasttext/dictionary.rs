//! From a text to the rows of a model: words, hashed n-grams of characters and of words.

use super::Settings;
use crate::steps::words::HashMap;

/// Ends every text, and begins nothing after it.
pub(super) const END: &[u8] = b"</s>";
/// No word at this place of the table.
const EMPTY: u32 = u32::MAX;

/// A word or label, and how often it came in training.
pub(super) type Counted = (Vec<u8>, i64);

/// The words and labels of a model.
pub(super) struct Dictionary {
    /// Words, then labels, one after the other.
    text: Vec<u8>,
    /// Where each ends in `text`.
    ends: Vec<usize>,
    /// How often each came in training, and how many words there were.
    counts: Vec<i64>,
    tokens: i64,
    /// Numbers of words by hash, open addressing.
    table: Vec<u32>,
    words: usize,
    labels: Vec<String>,
    /// Of a model whose least useful rows were cut off: rows of the hashes that are left.
    kept: Option<HashMap<u32, u32>>,
}

/// FNV-1a, with bytes taken as signed numbers as fastText has it.
fn hash(bytes: &[u8]) -> u32 {
    bytes.iter().fold(2_166_136_261, |hash, &byte| hash_step(hash, byte))
}

fn hash_step(hash: u32, byte: u8) -> u32 {
    (hash ^ i32::from(byte as i8) as u32).wrapping_mul(16_777_619)
}

impl Dictionary {
    /// `entries` are words, then labels; `labels` the names of these.
    pub(super) fn new(
        entries: &[Counted],
        labels: Vec<String>,
        tokens: i64,
        kept: Option<HashMap<u32, u32>>,
    ) -> Self {
        let (mut text, mut ends) = (Vec::new(), Vec::new());
        for (entry, _) in entries {
            text.extend(entry);
            ends.push(text.len());
        }
        let counts = entries.iter().map(|(_, count)| *count).collect();
        let words = ends.len() - labels.len();
        let table = vec![EMPTY; ends.len() * 10 / 7 + 1];
        let mut dictionary = Self { text, ends, counts, tokens, table, words, labels, kept };
        for number in 0..dictionary.ends.len() {
            let at = dictionary.place(dictionary.entry(number), hash(dictionary.entry(number)));
            dictionary.table[at] = number as u32;
        }
        dictionary
    }

    pub(super) fn labels(&self) -> &[String] {
        &self.labels
    }

    /// How often each word and label came in training; not of models with rows cut off.
    pub(super) fn counts(&self) -> Option<&[i64]> {
        self.kept.is_none().then_some(&self.counts)
    }

    pub(super) fn tokens(&self) -> i64 {
        self.tokens
    }

    /// Rows that a model of these settings must have.
    pub(super) fn rows(&self, settings: &Settings) -> usize {
        let hashed = settings.max_chars > 0 || settings.word_ngrams > 1;
        let kept =
            |kept: &HashMap<u32, u32>| kept.values().max().map_or(0, |&row| row as usize + 1);
        let buckets = self.kept.as_ref().map_or(settings.buckets as usize, kept);
        self.words + if hashed { buckets } else { 0 }
    }

    /// The word or label with this number.
    pub(super) fn entry(&self, number: usize) -> &[u8] {
        let start = number.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[start..self.ends[number]]
    }

    /// Where in the table `word` stands or would.
    fn place(&self, word: &[u8], hash: u32) -> usize {
        let mut at = hash as usize % self.table.len();
        while self.table[at] != EMPTY && self.entry(self.table[at] as usize) != word {
            at = (at + 1) % self.table.len();
        }
        at
    }

    /// Gives the rows of `text` to `take`, in fastText's order.
    pub(super) fn features(&self, settings: &Settings, text: &str, take: &mut impl FnMut(usize)) {
        let (mut hashes, mut marked) = (Vec::new(), Vec::new());
        for word in words(text) {
            let hash = hash(word);
            let number = self.table[self.place(word, hash)];
            let known = number != EMPTY;
            let is_label = match known {
                true => number as usize >= self.words,
                false => word.starts_with(super::LABEL_PREFIX.as_bytes()),
            };
            if is_label {
                continue;
            }
            if known {
                take(number as usize);
            }
            if word != END {
                marked.clear();
                marked.push(b'<');
                marked.extend(word);
                marked.push(b'>');
                self.char_ngrams(settings, &marked, take);
            }
            hashes.push(hash);
            if word == END {
                break;
            }
        }
        self.word_ngrams(settings, &hashes, take);
    }

    /// The n-grams of characters of a word between its marks.
    fn char_ngrams(&self, settings: &Settings, word: &[u8], take: &mut impl FnMut(usize)) {
        let (least, most) = (settings.min_chars, settings.max_chars);
        let continues = |at: usize| word.get(at).is_some_and(|byte| byte & 0xc0 == 0x80);
        for start in (0..word.len()).filter(|&start| most > 0 && !continues(start)) {
            let (mut at, mut hash) = (start, hash(b""));
            let mut size = 1;
            while at < word.len() && size <= most {
                hash = hash_step(hash, word[at]);
                at += 1;
                while continues(at) {
                    hash = hash_step(hash, word[at]);
                    at += 1;
                }
                let mark = size == 1 && (start == 0 || at == word.len());
                if size >= least && !mark {
                    self.hashed(hash % settings.buckets as u32, take);
                }
                size += 1;
            }
        }
    }

    /// The n-grams of words with these hashes, of two words and more.
    fn word_ngrams(&self, settings: &Settings, hashes: &[u32], take: &mut impl FnMut(usize)) {
        let signed = |hash: u32| i64::from(hash as i32) as u64;
        let most = usize::try_from(settings.word_ngrams).unwrap_or(0);
        for (start, &first) in hashes.iter().enumerate().filter(|_| most > 1) {
            let mut hash = signed(first);
            for &next in hashes[start + 1..].iter().take(most - 1) {
                hash = hash.wrapping_mul(116_049_371).wrapping_add(signed(next));
                self.hashed((hash % settings.buckets as u64) as u32, take);
            }
        }
    }

    fn hashed(&self, bucket: u32, take: &mut impl FnMut(usize)) {
        let row = match &self.kept {
            None => Some(bucket),
            Some(kept) => kept.get(&bucket).copied(),
        };
        row.into_iter().for_each(|row| take(self.words + row as usize));
    }
}

/// The words of `text`, and the end of it.
pub(super) fn words(text: &str) -> impl Iterator<Item = &[u8]> {
    let words = text.as_bytes().split(|&byte| is_blank(byte));
    words.filter(|word| !word.is_empty()).chain([END])
}

/// What separates words, the zero byte too.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t' | 0x0b | 0x0c | 0)
}
