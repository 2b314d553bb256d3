//! Finding the spellings of tokens in a text, in one pass and without building an automaton.

use std::collections::HashMap;

use crate::token_table::AddedToken;

/// The tokens to look for.
#[derive(Debug, Default)]
pub(crate) struct Spellings {
    tokens: HashMap<String, AddedToken>,
    /// The lengths that occur, in bytes, longest first.
    lengths: Vec<usize>,
    /// Whether some token begins with this byte.
    begins: Vec<bool>,
}

/// An occurrence: the token, and the bytes of the text that it takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spelled<'a> {
    pub(crate) token: &'a AddedToken,
    pub(crate) start: usize,
}

impl Spelled<'_> {
    pub(crate) fn end(&self) -> usize {
        self.start + self.token.content.len()
    }
}

impl Spellings {
    pub(crate) fn new(tokens: impl IntoIterator<Item = AddedToken>) -> Self {
        let tokens: HashMap<String, AddedToken> = tokens
            .into_iter()
            .filter(|token| !token.content.is_empty())
            .map(|token| (token.content.clone(), token))
            .collect();
        let mut lengths: Vec<usize> = tokens.keys().map(String::len).collect();
        lengths.sort_unstable_by(|left, right| right.cmp(left));
        lengths.dedup();
        let mut begins = vec![false; 256];
        let first_bytes = tokens.keys().filter_map(|token| token.bytes().next());
        first_bytes.for_each(|byte| begins[usize::from(byte)] = true);
        Self { tokens, lengths, begins }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// The first occurrence that starts at byte `from` or after it, the longest where several do.
    pub(crate) fn find(&self, text: &str, from: usize) -> Option<Spelled<'_>> {
        if self.is_empty() {
            return None;
        }
        for (start, byte) in text.bytes().enumerate().skip(from) {
            if !self.begins[usize::from(byte)] {
                continue;
            }
            for &length in &self.lengths {
                let Some(spelling) = text.get(start..start + length) else { continue };
                if let Some(token) = self.tokens.get(spelling) {
                    return Some(Spelled { token, start });
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_found_and_of_those_the_longest() {
        let token = |content: &str| AddedToken {
            content: content.to_owned(),
            id: 0,
            special: true,
            lstrip: false,
            rstrip: false,
            single_word: false,
            normalized: false,
        };
        let spellings = Spellings::new(["<a>", "<a><b>", "中", ""].map(token));
        let find = |text, from| {
            spellings.find(text, from).map(|found| (found.start, found.token.content.as_str()))
        };
        assert_eq!(find("x<a><b>", 0), Some((1, "<a><b>")));
        assert_eq!(find("<a<a>", 0), Some((2, "<a>")));
        assert_eq!(find("<a>国中", 1), Some((6, "中")));
        assert_eq!(find("<a> ü", 1), None);
    }
}
