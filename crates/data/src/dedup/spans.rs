//! The setting `data.duplicate_spans`.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use twox_hash::XxHash64;

use super::simplify;
use crate::steps::{Language, line_ranges};
use crate::{Error, Result};

/// `duplicate_spans = { .. }`: of lines or runs of sentences that recur anywhere in the corpus the
/// first in the order of documents is kept, as in [C4](https://arxiv.org/abs/1910.10683) and
/// datatrove 0.10.1's SentenceDedup, whose results these are.
///
/// Spans are compared as [`simplify`] has them, overlap, and go after documents that are the same
/// or nearly. A document that was shortened and has too little left is dropped; what it had first
/// stays removed elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DuplicateSpans {
    /// What a span is made of.
    pub unit: Unit,
    /// Units of a span.
    pub units_per_span: usize,
    /// A document that was shortened needs so many words; 0 for any number.
    pub min_words: usize,
    /// A document that was shortened needs so many sentences; 0 for any number.
    pub min_sentences: usize,
    /// How words and sentences are found.
    pub language: Language,
}

/// What spans are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Python's `splitlines`. A text that was shortened has its lines joined by line feeds.
    Line,
    /// As spaCy's sentencizer finds them, each with the white space before it.
    Sentence,
}

/// A text without some of its spans.
pub(crate) struct Shortened {
    pub(crate) text: String,
    /// Units that went.
    pub(crate) units: u64,
}

impl Default for DuplicateSpans {
    fn default() -> Self {
        let (unit, language) = (Unit::Sentence, Language::default());
        Self { unit, units_per_span: 3, min_words: 50, min_sentences: 3, language }
    }
}

impl DuplicateSpans {
    /// Refuses values that cannot work.
    ///
    /// # Errors
    /// [`Error::Config`] with the value and what would be accepted.
    pub(crate) fn validate(&self) -> Result<()> {
        if (1..=100).contains(&self.units_per_span) {
            return Ok(());
        }
        let (key, found) = ("duplicate_spans.units_per_span", self.units_per_span.to_string());
        Err(Error::Config { key, found, expected: "expected 1 to 100".to_owned() })
    }

    fn units(&self, text: &str) -> Vec<Range<usize>> {
        match self.unit {
            Unit::Line => line_ranges(text),
            Unit::Sentence => self.language.sentence_ranges(text),
        }
    }

    /// Number of its first unit and hash of each span of `text` in which anything is left to
    /// compare.
    pub(crate) fn keys(&self, text: &str) -> Vec<(u32, [u8; 16])> {
        let units = self.units(text);
        let simple: Vec<String> = units.into_iter().map(|unit| simplify(&text[unit])).collect();
        let spans = (0..).zip(simple.windows(self.units_per_span));
        let told = spans.filter(|(_, span)| span.iter().any(|unit| !unit.is_empty()));
        told.map(|(at, span)| (at, hash(span.join(" ").as_bytes()))).collect()
    }

    /// The span of `text` that begins with the unit `start`.
    pub(crate) fn span<'a>(&self, text: &'a str, start: u32) -> &'a str {
        let units = self.units(text);
        let span = units.get(start as usize..).unwrap_or_default();
        let span = &span[..span.len().min(self.units_per_span)];
        match (span.first(), span.last()) {
            (Some(first), Some(last)) => &text[first.start..last.end],
            _ => "",
        }
    }

    /// `text` without the spans that begin with the units `starts`, which ascend.
    pub(crate) fn shorten(&self, text: &str, starts: impl Iterator<Item = u32>) -> Shortened {
        let mut starts = starts.peekable();
        let (mut kept, mut gone, mut until) = (Vec::new(), 0, 0);
        for (at, unit) in self.units(text).into_iter().enumerate() {
            if starts.next_if(|&start| start as usize == at).is_some() {
                until = at + self.units_per_span;
            }
            if at < until {
                gone += 1;
            } else {
                kept.push(&text[unit]);
            }
        }
        let joined = kept.join(if self.unit == Unit::Line { "\n" } else { "" });
        Shortened { text: crate::steps::strip_start(&joined).to_owned(), units: gone }
    }

    /// Why a text that was shortened is not kept.
    pub(crate) fn fault_of(&self, text: &str) -> Option<&'static str> {
        if text.is_empty() {
            return Some("nothing is left");
        }
        if self.min_words > 0 && self.language.split(text).len() < self.min_words {
            return Some("fewer words than duplicate_spans.min_words are left");
        }
        let few = self.min_sentences > 0 && self.language.sentences(text) < self.min_sentences;
        few.then_some("fewer sentences than duplicate_spans.min_sentences are left")
    }
}

fn hash(bytes: &[u8]) -> [u8; 16] {
    let halves = [0, 1].map(|seed| XxHash64::oneshot(seed, bytes));
    (u128::from(halves[0]) << 64 | u128::from(halves[1])).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shorten(spans: &DuplicateSpans, text: &str, starts: &[u32]) -> (String, u64) {
        let shortened = spans.shorten(text, starts.iter().copied());
        (shortened.text, shortened.units)
    }

    #[test]
    fn overlapping_spans_go_once() {
        let spans = DuplicateSpans { units_per_span: 2, ..DuplicateSpans::default() };
        let text = "One is. Two is! Three is? Four is.  Five is.";
        assert_eq!(shorten(&spans, text, &[1, 2]), ("One is.  Five is.".to_owned(), 3));
        assert_eq!(shorten(&spans, text, &[0]), ("Three is? Four is.  Five is.".to_owned(), 2));
        assert_eq!(spans.span(text, 1), " Two is! Three is?");
        assert_eq!(spans.keys(text).len(), 4);
    }

    #[test]
    fn blank_lines_are_no_spans_and_numbers_do_not_count() {
        let unit = Unit::Line;
        let spans = DuplicateSpans { unit, units_per_span: 1, ..DuplicateSpans::default() };
        let keys = spans.keys("Page 1 of 20\r\n\n---\npage 7 of 300");
        assert_eq!(keys.iter().map(|key| key.0).collect::<Vec<_>>(), [0, 3]);
        assert_eq!(keys[0].1, keys[1].1);
        assert_eq!(shorten(&spans, "a\r\nb\n\nc\n", &[0, 3]), ("b\n".to_owned(), 2));
    }
}
