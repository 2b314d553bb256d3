//! The Unicode classes that split patterns name, as one table of bits a character.
//!
//! The classes are asked of the regular expressions' own tables, so they are of the same Unicode
//! version. Two stages: characters of one kind (Han, Hangul) share their blocks.

use std::collections::HashMap;
use std::sync::LazyLock;

use regex_syntax::hir::{Class, HirKind};

/// `\p{L}`
pub(super) const LETTER: u8 = 1;
/// `\p{N}`
pub(super) const NUMBER: u8 = 2;
/// `\s`
pub(super) const SPACE: u8 = 4;
/// `\p{M}`
pub(super) const MARK: u8 = 8;
/// `[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]`
pub(super) const UPPER: u8 = 16;
/// `[\p{Ll}\p{Lm}\p{Lo}\p{M}]`
pub(super) const LOWER: u8 = 32;
/// `\p{Han}`
pub(super) const HAN: u8 = 64;
/// What the library's `Digits` step cuts out.
pub(super) const NUMERIC: u8 = 128;

const NAMED: [(u8, &str); 7] = [
    (LETTER, r"\p{L}"),
    (NUMBER, r"\p{N}"),
    (SPACE, r"\s"),
    (MARK, r"\p{M}"),
    (UPPER, r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"),
    (LOWER, r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"),
    (HAN, r"\p{Han}"),
];

const BLOCK: usize = 128;

/// The classes of every character.
pub(super) struct Classes {
    /// Which block holds the character, by the character's number over `BLOCK`.
    blocks: Vec<u16>,
    bits: Vec<[u8; BLOCK]>,
    /// The first block, and zeros for bytes that begin longer characters.
    ascii: [u8; 256],
}

/// The table, made when first asked for.
pub(super) static CLASSES: LazyLock<Classes> = LazyLock::new(Classes::new);

impl Classes {
    fn new() -> Self {
        let mut flat = vec![0_u8; char::MAX as usize + 1];
        for (bit, pattern) in NAMED {
            let Ok(hir) = regex_syntax::parse(pattern) else {
                unreachable!("{pattern} is a class");
            };
            let HirKind::Class(Class::Unicode(class)) = hir.kind() else {
                unreachable!("{pattern} is a class of characters");
            };
            for range in class.iter() {
                flat[range.start() as usize..=range.end() as usize]
                    .iter_mut()
                    .for_each(|bits| *bits |= bit);
            }
        }
        for (bits, character) in flat.iter_mut().zip(0_u32..) {
            if char::from_u32(character).is_some_and(char::is_numeric) {
                *bits |= NUMERIC;
            }
        }
        let mut classes = Self { blocks: Vec::new(), bits: Vec::new(), ascii: [0; 256] };
        let mut known: HashMap<[u8; BLOCK], u16> = HashMap::new();
        for block in flat.as_chunks::<BLOCK>().0 {
            let next = classes.bits.len() as u16;
            let index = *known.entry(*block).or_insert(next);
            if index == next {
                classes.bits.push(*block);
            }
            classes.blocks.push(index);
        }
        classes.ascii[..BLOCK].copy_from_slice(&classes.bits[0]);
        classes
    }

    /// The classes of the character that begins at `at`, and its length in bytes. `text` is UTF-8
    /// and a character begins there; beyond the end there is nothing, of length 0.
    #[inline]
    pub(super) fn at(&self, text: &[u8], at: usize) -> (u8, usize) {
        match text.get(at) {
            Some(&byte) if byte < 0x80 => (self.ascii[usize::from(byte)], 1),
            Some(&byte) => self.beyond_ascii(text, at, byte),
            None => (0, 0),
        }
    }

    #[inline]
    fn beyond_ascii(&self, text: &[u8], at: usize, first: u8) -> (u8, usize) {
        let tail =
            |offset: usize| usize::from(text.get(at + offset).copied().unwrap_or_default() & 0x3F);
        let first = usize::from(first);
        let (character, length) = if first < 0xE0 {
            ((first & 0x1F) << 6 | tail(1), 2)
        } else if first < 0xF0 {
            ((first & 0x0F) << 12 | tail(1) << 6 | tail(2), 3)
        } else {
            ((first & 0x07) << 18 | tail(1) << 12 | tail(2) << 6 | tail(3), 4)
        };
        let block = self.blocks.get(character / BLOCK).copied().unwrap_or_default();
        (self.bits[usize::from(block)][character % BLOCK], length)
    }
}

/// Where the run of ASCII letters that begins at `at` ends: eight bytes at once.
#[inline]
pub(super) fn ascii_letters_end(text: &[u8], mut at: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    while let Some(eight) = text.get(at..at + 8).and_then(|slice| slice.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*eight);
        let folded = (word | (ONES * 0x20)) & !HIGH;
        // The high bit of each sum says whether the byte is at least `a`, and at most `z`.
        let at_least = folded + ONES * u64::from(0x80 - b'a');
        let at_most = (ONES * u64::from(0x80 + b'z')).wrapping_sub(folded);
        let others = !(at_least & at_most & !word) & HIGH;
        if others != 0 {
            return at + (others.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while text.get(at).is_some_and(u8::is_ascii_alphabetic) {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_those_of_the_standard_library_where_versions_cannot_differ() {
        for character in "aZ1 \n\t\u{3000}中文한éÅßſ½Ⅷ\u{301}，_〇々👍".chars() {
            let text = character.to_string();
            let (bits, length) = CLASSES.at(text.as_bytes(), 0);
            assert_eq!(length, character.len_utf8());
            assert_eq!(bits & SPACE != 0, character.is_whitespace(), "{character:?}");
            assert_eq!(bits & NUMBER != 0, character.is_numeric(), "{character:?}");
            assert_eq!(bits & NUMERIC != 0, character.is_numeric(), "{character:?}");
        }
        assert_eq!(CLASSES.at("中".as_bytes(), 0).0, LETTER | UPPER | LOWER | HAN);
        assert_eq!(CLASSES.at("é".as_bytes(), 0).0, LETTER | LOWER);
        assert_eq!(CLASSES.at("\u{301}".as_bytes(), 0).0, MARK | UPPER | LOWER);
        assert_eq!(CLASSES.at(b"", 0), (0, 0));
    }

    #[test]
    fn runs_of_letters_end_at_the_first_other_byte() {
        for byte in 0..=255_u8 {
            let mut text = *b"abcXYZmnoPQRstu";
            for at in 0..text.len() {
                let before = std::mem::replace(&mut text[at], byte);
                let expected =
                    text.iter().position(|b| !b.is_ascii_alphabetic()).unwrap_or(text.len());
                assert_eq!(ascii_letters_end(&text, 0), expected, "{byte} at {at}");
                text[at] = before;
            }
        }
    }
}
