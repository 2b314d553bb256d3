//! Conversion between simplified and traditional characters as OpenCC 1.4.2 does it with `t2s` and
//! `s2t`: at each place the longest phrase of a table is replaced, else the character.
//!
//! The tables beside this file are made by `golden/data/opencc_tables.py` from OpenCC's
//! dictionaries (Apache-2.0, (c) 2010-2026 Carbo Kuo and contributors).

use std::borrow::Cow;
use std::io::Read;

use liblzma::read::XzDecoder;

use super::words::HashMap;

/// A direction of conversion.
pub(super) struct Converter {
    /// (node, next character) to node; 0 is the root.
    children: HashMap<(u32, char), u32>,
    /// Where in `text` the replacement of each node stands, if it ends a key.
    values: Vec<Option<(u32, u32)>>,
    text: String,
    /// Characters that are others by history of encodings only; these come first.
    compatible: HashMap<char, char>,
}

impl Converter {
    /// From a compressed table: lines of key and value, an empty line, lines of two characters.
    pub(super) fn new(table: &[u8]) -> Self {
        let mut text = String::new();
        let read = XzDecoder::new(table).read_to_string(&mut text);
        assert!(read.is_ok(), "the table is whole, it is part of the program");
        let mut converter = Self {
            children: HashMap::default(),
            values: vec![None],
            text: String::new(),
            compatible: HashMap::default(),
        };
        let (phrases, compatible) = text.split_once("\n\n").unwrap_or((&text, ""));
        for (key, value) in phrases.lines().filter_map(|line| line.split_once(' ')) {
            converter.add(key, value);
        }
        for (key, value) in compatible.lines().filter_map(|line| line.split_once(' ')) {
            converter.compatible.extend(key.chars().zip(value.chars()));
        }
        converter
    }

    fn add(&mut self, key: &str, value: &str) {
        let mut node = 0;
        for character in key.chars() {
            let next = self.values.len() as u32;
            node = *self.children.entry((node, character)).or_insert(next);
            if node == next {
                self.values.push(None);
            }
        }
        let start = self.text.len() as u32;
        self.text.push_str(value);
        self.values[node as usize] = Some((start, self.text.len() as u32));
    }

    /// `text` in the other characters.
    pub(super) fn convert<'a>(&self, text: &'a str) -> Cow<'a, str> {
        // Most of what is not Chinese has no character that any key begins with.
        if text.is_ascii() {
            return Cow::Borrowed(text);
        }
        let text = self.unify(text);
        let mut converted = String::with_capacity(text.len());
        let mut rest = &text[..];
        while let Some(first) = rest.chars().next() {
            let taken = match self.longest(rest) {
                Some((size, value)) => {
                    converted.push_str(value);
                    size
                }
                None => {
                    let size = described(rest).unwrap_or(first.len_utf8());
                    converted.push_str(&rest[..size]);
                    size
                }
            };
            rest = &rest[taken..];
        }
        match text {
            Cow::Borrowed(text) if text == converted => Cow::Borrowed(text),
            _ => Cow::Owned(converted),
        }
    }

    fn unify<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let old = |c: char| matches!(c, '\u{f900}'..='\u{faff}' | '\u{2f800}'..='\u{2fa1f}');
        if !text.contains(old) {
            return Cow::Borrowed(text);
        }
        Cow::Owned(text.chars().map(|c| self.compatible.get(&c).copied().unwrap_or(c)).collect())
    }

    /// The longest key that `text` begins with: its bytes, and what replaces it.
    fn longest(&self, text: &str) -> Option<(usize, &str)> {
        let (mut node, mut best) = (0, None);
        for (at, character) in text.char_indices() {
            let Some(&next) = self.children.get(&(node, character)) else { break };
            node = next;
            if let Some((start, end)) = self.values[node as usize] {
                let value = &self.text[start as usize..end as usize];
                best = Some((at + character.len_utf8(), value));
            }
        }
        best
    }
}

/// Bytes of the description of a character by its parts (as `⿰木目`) that `text` begins with;
/// such parts are not converted.
fn described(text: &str) -> Option<usize> {
    // OpenCC reads no longer ones.
    let (mut characters, mut read) = (text.char_indices(), 0);
    let mut missing = 1;
    while missing > 0 && read < 64 {
        let (_, character) = characters.next()?;
        read += 1;
        missing = missing - 1
            + match character {
                '⿲' | '⿳' => 3,
                '⿾' | '⿿' => 1,
                '⿰'..='⿿' => 2,
                _ => 0,
            };
    }
    (missing == 0).then(|| characters.next().map_or(text.len(), |(at, _)| at))
}
