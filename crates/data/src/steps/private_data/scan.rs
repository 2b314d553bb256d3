//! What several kinds need: where numbers begin, and patterns of numbers.

use memchr::memchr_iter;

/// A text and where its runs of digits begin.
pub(super) struct Scan<'a> {
    pub(super) text: &'a str,
    /// First bytes of all runs of digits.
    pub(super) digits: Vec<usize>,
}

impl<'a> Scan<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let bytes = text.as_bytes();
        let mut digits = Vec::new();
        let mut inside = false;
        for (at, &byte) in bytes.iter().enumerate() {
            // The full-width digits are EF BC 90 to 99.
            let wide = byte == 0xEF && matches!(bytes[at..], [_, 0xBC, 0x90..=0x99, ..]);
            if byte.is_ascii_digit() || wide {
                if !inside {
                    digits.push(at);
                }
                inside = true;
            } else if byte & 0xC0 != 0x80 {
                inside = false;
            }
        }
        Self { text, digits }
    }

    /// Where the byte `needle` stands.
    pub(super) fn all(&self, needle: u8) -> impl Iterator<Item = usize> + '_ {
        memchr_iter(needle, self.text.as_bytes())
    }

    /// The character before `at`, folded.
    pub(super) fn before(&self, at: usize) -> Option<char> {
        self.text[..at].chars().next_back().map(fold)
    }

    /// The character at `at`, folded.
    pub(super) fn after(&self, at: usize) -> Option<char> {
        self.text[at..].chars().next().map(fold)
    }

    /// Whether a number may begin at `at`: it continues no word and no other number.
    pub(super) fn begins(&self, at: usize) -> bool {
        let mut backwards = self.text[..at].chars().rev().map(fold);
        match backwards.next() {
            Some(c) if joins(c) => !backwards.next().is_some_and(|c| c.is_ascii_digit()),
            Some(c) => !is_word(c),
            None => true,
        }
    }

    /// Whether a number may end at `at`.
    pub(super) fn ends(&self, at: usize) -> bool {
        let mut forwards = self.text[at..].chars().map(fold);
        match forwards.next() {
            Some(c) if joins(c) => !forwards.next().is_some_and(|c| c.is_ascii_digit()),
            Some(c) => !is_word(c),
            None => true,
        }
    }

    /// The end of `pattern` at `at`: `d` is a digit, `n` one of 2 to 9, `m` one of 3 to 9, `x` a
    /// digit or X, `-` a blank, hyphen or full stop, `~` the same or nothing; all else is itself.
    pub(super) fn fits(&self, mut at: usize, pattern: &str) -> Option<usize> {
        for wanted in pattern.chars() {
            let next = self.text[at..].chars().next();
            let size = next.map_or(0, char::len_utf8);
            let next = next.map(fold);
            let fits = next.is_some_and(|c| match wanted {
                'd' => c.is_ascii_digit(),
                'n' => matches!(c, '2'..='9'),
                'm' => matches!(c, '3'..='9'),
                'x' => c.is_ascii_digit() || matches!(c, 'x' | 'X'),
                '-' | '~' => matches!(c, ' ' | '-' | '.'),
                _ => c == wanted,
            });
            match fits {
                true => at += size,
                false if wanted == '~' => {}
                false => return None,
            }
        }
        Some(at)
    }

    /// Whether one of `words` stands shortly before `at`, in whatever case, and neither the end of
    /// a sentence nor another number, found or masked already, between.
    pub(super) fn is_told(&self, at: usize, words: &[&str]) -> bool {
        const FAR: usize = 24;
        let start = self.text.floor_char_boundary(at.saturating_sub(FAR));
        let ends =
            |c: char| c.is_ascii_digit() || matches!(c, '\n' | '。' | '；' | ';' | ']' | '*');
        let before = self.text[start..at].rsplit(ends).next().unwrap_or_default();
        let before = before.to_ascii_lowercase();
        words.iter().any(|word| before.contains(word))
    }
}

/// ASCII for a full-width form, a blank for those that do not break; all else as it is.
pub(super) fn fold(character: char) -> char {
    match character {
        '\u{ff01}'..='\u{ff5e}' => {
            char::from_u32(u32::from(character) - 0xFEE0).unwrap_or(character)
        }
        '\u{a0}' | '\u{202f}' | '\u{3000}' => ' ',
        '\u{2010}'..='\u{2013}' => '-',
        _ => character,
    }
}

/// The digits of `text`, folded; X counts 10.
pub(super) fn digits(text: &str) -> Vec<u32> {
    let value = |c| match fold(c) {
        'x' | 'X' => Some(10),
        c => c.to_digit(10),
    };
    text.chars().filter_map(value).collect()
}

/// What joins digits to one number that is not one of ours: a date, a version, an amount.
fn joins(character: char) -> bool {
    matches!(character, '.' | '-' | '/' | ':' | ',' | '+')
}

pub(super) fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}
