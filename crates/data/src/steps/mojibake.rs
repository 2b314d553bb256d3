//! `mojibake`: repairs UTF-8 that somebody read as Windows-1252 or Latin-1 (`cafÃ©`, `donâ€™t`,
//! `ä½ å¥½`), once or several times over.
//!
//! A stretch of a line is repaired only when all of it can have come about so: a text that is meant
//! as it stands would have to be UTF-8 by chance, letter by letter. Damage that lost bytes, and
//! other pairs of encodings, stay.

use std::borrow::Cow;

use super::{Action, Example, Step};

pub(super) const STEP: Step = Step {
    name: "mojibake",
    about: "UTF-8 that was read as Windows-1252 or Latin-1 is read again",
    build: |setup| setup.no_settings().map(|()| Action::map(repair)),
    examples: &[
        Example::keep("cafÃ© donâ€™t\nseÃ±or", "café don’t\nseñor"),
        Example::keep("Ã¤Â½Â\u{a0}Ã¥Â¥Â½", "你好"),
        Example::same("“Ä” und „Ã“, Àâ"),
        Example::same("été, naïve, 你好"),
    ],
};

/// What Windows-1252 has at 80 to 9F; five of these bytes stand for nothing.
const WINDOWS: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}',
    '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

/// How often one text is read again at most.
const MOST_TIMES: usize = 4;

fn repair(text: &str) -> Cow<'_, str> {
    if !text.contains(is_lead) {
        return Cow::Borrowed(text);
    }
    let mut repaired = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let single = |c: char| c != '\n' && byte(c).is_some();
        let fits = single(first);
        let size = rest.find(|c| single(c) != fits).unwrap_or(rest.len());
        let (stretch, after) = rest.split_at(size);
        repaired.push_str(&read_again(stretch));
        rest = after;
    }
    if repaired == text { Cow::Borrowed(text) } else { Cow::Owned(repaired) }
}

/// Whether the byte of `character` leads others in UTF-8.
fn is_lead(character: char) -> bool {
    matches!(character, '\u{c2}'..='\u{f4}')
}

fn byte(character: char) -> Option<u8> {
    match character {
        '\0'..='\u{ff}' => u8::try_from(u32::from(character)).ok(),
        _ => WINDOWS.iter().position(|&c| c == character).map(|at| 0x80 + at as u8),
    }
}

fn read_again(stretch: &str) -> Cow<'_, str> {
    let mut text = Cow::Borrowed(stretch);
    for _ in 0..MOST_TIMES {
        if !text.contains(is_lead) {
            break;
        }
        let bytes: Option<Vec<u8>> = text.chars().map(byte).collect();
        match bytes.map(String::from_utf8) {
            Some(Ok(read)) => text = Cow::Owned(read),
            _ => break,
        }
    }
    text
}
