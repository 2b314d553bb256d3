//! Sentences as spaCy's sentencizer finds them.

use super::classes::{Class, PUNCTUATION, SENTENCE_END};
use super::{Span, slice};

/// The number of sentences: one more than the tokens that follow an end mark and are no
/// punctuation themselves.
pub(super) fn count(text: &str, tokens: &[Span]) -> usize {
    let mut sentences = 1;
    let mut ended = false;
    for token in tokens {
        let token = slice(text, token);
        let mut characters = token.chars().map(Class::of);
        let first = characters.next();
        let ends = first.is_some_and(|c| c.is(SENTENCE_END)) && characters.clone().next().is_none();
        if ends {
            ended = true;
        } else if ended && !first.into_iter().chain(characters).all(|c| c.is(PUNCTUATION)) {
            sentences += 1;
            ended = false;
        }
    }
    sentences
}
