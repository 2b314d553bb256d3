//! Words and sentences as spaCy splits them, which is what datatrove's filters count.
//!
//! The tables beside this file are made by `golden/data/filters_tables.py` from what others own:
//! spaCy (MIT, (c) ExplosionAI GmbH), jieba (MIT, (c) 2013 Sun Junyi), datatrove (Apache-2.0,
//! (c) Hugging Face).

mod chinese;
pub(super) mod classes;
mod english;
mod hash;
mod sentences;
mod url;

use std::ops::Range;

use serde::{Deserialize, Serialize};

use classes::{SPACE, is};
pub(super) use hash::{HashMap, HashSet, new_map};

/// How text is split into words, and whose limits a filter begins with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// spaCy's blank English pipeline (3.8.18).
    #[default]
    En,
    /// spaCy's blank Chinese pipeline with jieba (0.42.1).
    Zh,
}

/// Where a word stands in a text, in bytes.
pub(super) type Span = Range<u32>;

impl Language {
    /// The words of `text`, as its filters count them.
    pub fn split(self, text: &str) -> Vec<&str> {
        self.words(text).iter().map(|word| slice(text, word)).collect()
    }

    /// The words of `text` without white space.
    pub(super) fn words(self, text: &str) -> Vec<Span> {
        let mut tokens = self.tokens(text);
        tokens.retain(|token| !is_space(text, token));
        tokens
    }

    /// The number of sentences in `text`, at least one.
    pub(crate) fn sentences(self, text: &str) -> usize {
        sentences::count(text, &self.tokens(text))
    }

    /// The sentences of `text`, each with the white space before it; a blank after the last is in
    /// none.
    pub(crate) fn sentence_ranges(self, text: &str) -> Vec<Range<usize>> {
        sentences::ranges(text, &self.tokens(text))
    }

    /// The words of `text`, and what white space is more than one blank between two words.
    fn tokens(self, text: &str) -> Vec<Span> {
        match self {
            Self::En => english::tokens(text),
            Self::Zh => chinese::tokens(text),
        }
    }
}

/// The text of a word.
pub(super) fn slice<'a>(text: &'a str, span: &Span) -> &'a str {
    &text[span.start as usize..span.end as usize]
}

fn is_space(text: &str, span: &Span) -> bool {
    slice(text, span).chars().next().is_none_or(|c| is(c, SPACE))
}

/// Where the white space at `start` ends.
fn end_of_space(text: &str, start: usize) -> usize {
    let rest = &text[start..];
    // The most frequent case first.
    match rest.as_bytes() {
        [b' ', b'!'..=b'~', ..] => start + 1,
        _ => text.len() - rest.trim_start_matches(|c| is(c, SPACE)).len(),
    }
}
