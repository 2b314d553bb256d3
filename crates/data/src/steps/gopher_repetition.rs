//! `gopher_repetition`: drops documents that repeat themselves, by the rules of
//! [Gopher](https://arxiv.org/abs/2112.11446), table A1, as datatrove 0.10.1 applies them.
//!
//! In this order, with the reason for which a document is dropped; every share is of all characters
//! unless said otherwise:
//! - `dup_para_frac`, `dup_para_char_frac`: paragraphs that are equal to an earlier one, above 0.3
//!   of all paragraphs or 0.2 of the characters;
//! - `dup_line_frac`, `dup_line_char_frac`: the same for lines;
//! - `top_2_gram` to `top_4_gram`: the most frequent run of words, above 0.2, 0.18, 0.16;
//! - `duplicated_5_n_grams` to `duplicated_10_n_grams`: runs of words that occurred before, counted
//!   without overlap, above 0.15, 0.14, 0.13, 0.12, 0.11, 0.1.
//!
//! Settings are named like the first four; `top_n_grams` and `dup_n_grams` are lists of `[words,
//! share]`. A share of 0 for paragraphs or lines switches its rule off. `language` (`"en"`) says
//! how words are split. With `"zh"` the limits are those of
//! [FineWeb-2](https://arxiv.org/abs/2506.20920) for Chinese (`cmn_Hani`) unless given: lines
//! 0.287, no rule on paragraphs or the characters of lines; runs 0.256, 0.201, 0.171 and 0.198,
//! 0.182, 0.167, 0.154, 0.140, 0.127.

use serde::Deserialize;

use super::lines::{ratio, repeats, split_runs};
use super::words::classes::strip;
use super::words::{HashMap, Language, Span, new_map, slice};
use super::{Action, Draft, Example, Reason, Setup, Step};
use crate::Result;

pub(super) const STEP: Step = Step {
    name: "gopher_repetition",
    about: "few repeated paragraphs, lines and runs of words",
    build,
    examples: &[
        Example::drop("", "empty"),
        Example::drop("One line.\n\nOne line.\n\nAnother.", "dup_para_frac"),
        Example::drop("a line\na line\na line\nanother", "dup_line_frac"),
        Example::drop("so it goes, so it goes, so it goes", "top_2_gram"),
        Example::same(
            "Out of the night that covers me, black as the pit from pole to pole, I \
             thank whatever gods may be for my unconquerable soul.",
        ),
        Example::drop("中国中国中国", "top_2_gram").with(ZH),
        Example::same(
            "白日依山尽，黄河入海流。欲穷千里目，更上一层楼。红豆生南国，春来发几枝？愿君多采撷，\
             此物最相思。千山鸟飞绝，万径人踪灭。孤舟蓑笠翁，独钓寒江雪。",
        )
        .with(ZH),
    ],
};

const ZH: &str = r#"{"language": "zh"}"#;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    #[serde(default)]
    language: Language,
    dup_para_frac: Option<f64>,
    dup_para_char_frac: Option<f64>,
    dup_line_frac: Option<f64>,
    dup_line_char_frac: Option<f64>,
    top_n_grams: Option<Vec<(usize, f64)>>,
    dup_n_grams: Option<Vec<(usize, f64)>>,
}

struct Limits {
    language: Language,
    paragraphs: (f64, f64),
    lines: (f64, f64),
    top: Vec<(usize, f64)>,
    repeated: Vec<(usize, f64)>,
}

/// Sizes of runs whose most frequent counts, and of those whose repeats do; with most shares.
type Runs = (&'static [(usize, f64)], &'static [(usize, f64)]);
const EN_RUNS: Runs = (
    &[(2, 0.2), (3, 0.18), (4, 0.16)],
    &[(5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.10)],
);
const ZH_RUNS: Runs = (
    &[(2, 0.256), (3, 0.201), (4, 0.171)],
    &[(5, 0.198), (6, 0.182), (7, 0.167), (8, 0.154), (9, 0.140), (10, 0.127)],
);

fn build(setup: &Setup<'_>) -> Result<Action> {
    let given: Settings = setup.settings()?;
    let (paragraphs, lines, runs) = match given.language {
        Language::En => ((0.3, 0.2), (0.3, 0.2), EN_RUNS),
        Language::Zh => ((0.0, 0.0), (0.287, 0.0), ZH_RUNS),
    };
    let or = |given: Option<f64>, default: f64| given.unwrap_or(default);
    let limits = Limits {
        language: given.language,
        paragraphs: (
            or(given.dup_para_frac, paragraphs.0),
            or(given.dup_para_char_frac, paragraphs.1),
        ),
        lines: (or(given.dup_line_frac, lines.0), or(given.dup_line_char_frac, lines.1)),
        top: given.top_n_grams.unwrap_or_else(|| runs.0.to_vec()),
        repeated: given.dup_n_grams.unwrap_or_else(|| runs.1.to_vec()),
    };
    if limits.top.iter().chain(&limits.repeated).any(|&(size, _)| !(1..=100).contains(&size)) {
        return Err(setup.refuse("runs have 1 to 100 words"));
    }
    Ok(Action::filter(move |draft| limits.judge(draft)))
}

impl Limits {
    fn judge(&self, draft: &mut Draft) -> Option<Reason> {
        let text = draft.text();
        if text.is_empty() {
            return Some("empty".into());
        }
        let chars = text.chars().count();
        let beyond = |pieces: &[&str], (frac, char_frac): (f64, f64)| {
            if frac <= 0.0 && char_frac <= 0.0 {
                return (false, false);
            }
            let (count, size) = repeats(pieces);
            let many = frac > 0.0 && ratio(count, pieces.len()) > frac;
            (many, char_frac > 0.0 && ratio(size, chars) > char_frac)
        };
        match beyond(&split_runs(strip(text), 2), self.paragraphs) {
            (true, _) => return Some("dup_para_frac".into()),
            (_, true) => return Some("dup_para_char_frac".into()),
            _ => {}
        }
        match beyond(&split_runs(text, 1), self.lines) {
            (true, _) => return Some("dup_line_frac".into()),
            (_, true) => return Some("dup_line_char_frac".into()),
            _ => {}
        }
        let words = draft.words(self.language);
        self.judge_words(&Words::new(draft.text(), &words), chars)
    }

    fn judge_words(&self, words: &Words, chars: usize) -> Option<Reason> {
        let mut grams = Grams::new(words);
        for &(size, most) in &self.top {
            if words.ids.len() >= size && ratio(grams.top_chars(size), chars) > most {
                return Some(format!("top_{size}_gram").into());
            }
        }
        let mut repeats = Repeats::new(words);
        for &(size, most) in &self.repeated {
            if ratio(repeats.repeated_chars(size), chars) > most {
                return Some(format!("duplicated_{size}_n_grams").into());
            }
        }
        None
    }
}

/// The words of a document, one behind the other.
struct Words {
    /// The same number for the same word.
    ids: Vec<u32>,
    /// The words without anything between them.
    joined: String,
    /// Where each word begins in `joined`, and the end.
    starts: Vec<u32>,
    /// The same in characters.
    char_starts: Vec<u32>,
}

impl Words {
    fn new(text: &str, spans: &[Span]) -> Self {
        let mut known: HashMap<&str, u32> = new_map(spans.len());
        let mut joined = String::with_capacity(text.len());
        let (mut starts, mut char_starts) = (vec![0], vec![0]);
        let mut chars = 0;
        let ids = spans.iter().map(|span| {
            let word = slice(text, span);
            joined.push_str(word);
            chars += word.chars().count() as u32;
            starts.push(joined.len() as u32);
            char_starts.push(chars);
            let next = known.len() as u32;
            *known.entry(word).or_insert(next)
        });
        let ids = ids.collect();
        Self { ids, joined, starts, char_starts }
    }

    /// Characters of the run of `size` words at `at`.
    fn chars(&self, at: usize, size: usize) -> usize {
        (self.char_starts[at + size] - self.char_starts[at]) as usize
    }
}

/// Runs of words, by number: the run of n words at i is the run of n - 1 at i and one word more.
struct Grams<'a> {
    words: &'a Words,
    size: usize,
    ids: Vec<u32>,
}

impl<'a> Grams<'a> {
    fn new(words: &'a Words) -> Self {
        Self { words, size: 1, ids: words.ids.clone() }
    }

    /// Characters that the most frequent run of `size` words, the first of equals, takes in all,
    /// with blanks between its words.
    fn top_chars(&mut self, size: usize) -> usize {
        if size < self.size {
            *self = Self::new(self.words);
        }
        let mut counts = self.count(self.size);
        while self.size < size {
            counts = self.count(self.size + 1);
        }
        // The first of the most frequent.
        let best = counts.iter().rev().max_by_key(|(_, count)| *count);
        best.map_or(0, |&(at, count)| {
            (self.words.chars(at as usize, size) + size - 1) * count as usize
        })
    }

    /// Goes on to runs of `size` words: their first places and counts, in the order of these.
    fn count(&mut self, size: usize) -> Vec<(u32, u32)> {
        let mut known: HashMap<u64, u32> = new_map(self.ids.len());
        let mut counts: Vec<(u32, u32)> = Vec::with_capacity(self.ids.len());
        let runs = (self.words.ids.len() + 1).saturating_sub(size);
        for at in 0..runs {
            let key = if size == self.size {
                u64::from(self.ids[at])
            } else {
                u64::from(self.ids[at]) << 32 | u64::from(self.words.ids[at + size - 1])
            };
            let next = counts.len() as u32;
            let id = *known.entry(key).or_insert(next);
            if id == next {
                counts.push((at as u32, 0));
            }
            counts[id as usize].1 += 1;
            self.ids[at] = id;
        }
        self.size = size;
        counts
    }
}

/// Runs of words as one text: where words meet does not matter.
struct Repeats<'a> {
    words: &'a Words,
    size: usize,
    /// A hash of the run at each word.
    hashes: Vec<u64>,
    /// Hash of each word, and what the hash of a text before it is multiplied by.
    parts: Vec<(u64, u64)>,
    /// First places of runs by their hash, one more than the place; 0 is free.
    table: Vec<u32>,
}

/// Odd, so that its powers are never nought.
const BASE: u64 = 0x9E37_79B9_7F4A_7C15;

impl<'a> Repeats<'a> {
    fn new(words: &'a Words) -> Self {
        let parts: Vec<(u64, u64)> = words
            .starts
            .windows(2)
            .map(|ends| {
                let bytes = words.joined[ends[0] as usize..ends[1] as usize].bytes();
                bytes.fold((0, 1_u64), |(hash, power): (u64, u64), byte| {
                    let hash = hash.wrapping_mul(BASE).wrapping_add(u64::from(byte) + 1);
                    (hash, power.wrapping_mul(BASE))
                })
            })
            .collect();
        let slots = (parts.len() * 2).next_power_of_two();
        Self { words, size: 0, hashes: vec![0; parts.len()], parts, table: vec![0; slots] }
    }

    /// Characters of the runs of `size` words that occurred before; behind one, the next word to
    /// begin a run is the one behind it.
    fn repeated_chars(&mut self, size: usize) -> usize {
        let count = (self.parts.len() + 1).saturating_sub(size);
        self.extend(size, count);
        self.table.fill(0);
        let (mut at, mut chars) = (0, 0);
        while at < count {
            if self.is_known(at, size) {
                chars += self.words.chars(at, size);
                at += size;
            } else {
                at += 1;
            }
        }
        chars
    }

    fn extend(&mut self, size: usize, count: usize) {
        if size < self.size {
            self.size = 0;
            self.hashes.fill(0);
        }
        for word in self.size..size {
            for at in 0..count {
                let (hash, power) = self.parts[at + word];
                self.hashes[at] = self.hashes[at].wrapping_mul(power).wrapping_add(hash);
            }
        }
        self.size = size;
    }

    /// Whether the run at `at` has been seen; it has from now on.
    fn is_known(&mut self, at: usize, size: usize) -> bool {
        let mask = self.table.len() - 1;
        let hash = self.hashes[at];
        let mut slot = (hash ^ hash >> 32).wrapping_mul(BASE) as usize >> 20 & mask;
        loop {
            match self.table[slot] {
                0 => {
                    self.table[slot] = at as u32 + 1;
                    return false;
                }
                seen => {
                    let seen = seen as usize - 1;
                    if self.hashes[seen] == hash && self.run(seen, size) == self.run(at, size) {
                        return true;
                    }
                }
            }
            slot = (slot + 1) & mask;
        }
    }

    fn run(&self, at: usize, size: usize) -> &str {
        let words = self.words;
        &words.joined[words.starts[at] as usize..words.starts[at + size] as usize]
    }
}
