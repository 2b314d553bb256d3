//! Sentences as spaCy's sentencizer finds them.

use std::ops::Range;

use super::classes::{Class, PUNCTUATION, SENTENCE_END};
use super::{Span, slice};

/// The number of sentences.
pub(super) fn count(text: &str, tokens: &[Span]) -> usize {
    1 + starts(text, tokens).count()
}

/// Where each sentence stands, from the end of the one before it.
pub(super) fn ranges(text: &str, tokens: &[Span]) -> Vec<Range<usize>> {
    let mut begin = 0;
    let ends = starts(text, tokens).chain((!tokens.is_empty()).then_some(tokens.len()));
    let sentence = |end: usize| {
        let end = tokens[end - 1].end as usize;
        std::mem::replace(&mut begin, end)..end
    };
    ends.map(sentence).collect()
}

/// The tokens that begin another sentence: those that follow an end mark and are no punctuation
/// themselves.
fn starts(text: &str, tokens: &[Span]) -> impl Iterator<Item = usize> {
    let mut ended = false;
    tokens.iter().enumerate().filter_map(move |(at, token)| {
        let token = slice(text, token);
        let mut characters = token.chars().map(Class::of);
        let first = characters.next();
        let ends = first.is_some_and(|c| c.is(SENTENCE_END)) && characters.clone().next().is_none();
        if ends {
            ended = true;
            return None;
        }
        let begins = ended && !first.into_iter().chain(characters).all(|c| c.is(PUNCTUATION));
        ended &= !begins;
        begins.then_some(at)
    })
}
