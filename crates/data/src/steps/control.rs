//! `control`: removes characters that print nothing and mean nothing in running text.
//!
//! Removed are control characters but line feed and tab (a carriage return before a line feed goes,
//! a lone one becomes a line feed), byte order marks, zero-width spaces, soft hyphens and code
//! points that are no characters. Joiners that shape words (U+200C, U+200D) and the replacement
//! character (it tells of earlier damage) stay.

use std::borrow::Cow;

use super::{Action, Example, Step};

pub(super) const STEP: Step = Step {
    name: "control",
    about: "no control characters, byte order marks, zero-width spaces or soft hyphens",
    build: |setup| setup.no_settings().map(|()| Action::map(remove)),
    examples: &[
        Example::keep("\u{feff}one\r\ntwo\rthree\tfour", "one\ntwo\nthree\tfour"),
        Example::keep("bell\u{7} soft\u{ad}hyphen\u{200b}", "bell softhyphen"),
        Example::same("床前明月光"),
    ],
};

fn remove(text: &str) -> Cow<'_, str> {
    if !text.chars().any(|c| c == '\r' || is_removed(c)) {
        return Cow::Borrowed(text);
    }
    let mut kept = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\r' if characters.peek() == Some(&'\n') => {}
            '\r' => kept.push('\n'),
            _ if is_removed(character) => {}
            _ => kept.push(character),
        }
    }
    Cow::Owned(kept)
}

fn is_removed(character: char) -> bool {
    let code = u32::from(character);
    let no_character = code & 0xFFFE == 0xFFFE || matches!(code, 0xFDD0..=0xFDEF);
    let control = character.is_control() && !matches!(character, '\n' | '\t' | '\r');
    control || no_character || matches!(character, '\u{feff}' | '\u{200b}' | '\u{ad}' | '\u{2060}')
}
