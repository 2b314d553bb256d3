//! Chinese words as jieba 0.42.1 splits them, which spaCy's Chinese pipeline takes over. `jieba-rs`
//! finds the most probable words and has the model of unknown ones, but it cuts more code points
//! and joins more ASCII than jieba; so it is given no more than what both cut alike. The dictionary
//! is jieba's. What remains: the library rounds the model to six decimals, so that a tie within
//! these may fall the other way (in 2 of 21,625 documents).

use std::io::BufReader;
use std::sync::LazyLock;

use jieba_rs::Jieba;
use liblzma::read::XzDecoder;

use super::classes::{SPACE, is};
use super::{Span, end_of_space};

/// The words of `text`, and runs of white space but for single blanks behind a word.
pub(super) fn tokens(text: &str) -> Vec<Span> {
    let mut splitter = Splitter { text, tokens: Vec::with_capacity(text.len() / 4) };
    let mut at = 0;
    while let Some(character) = text[at..].chars().next() {
        let size = character.len_utf8();
        if is(character, SPACE) {
            let end = end_of_space(text, at);
            // One blank behind a word belongs to it.
            let from = at + usize::from(at > 0 && character == ' ');
            if from < end {
                splitter.push(from, end);
            }
            at = end;
        } else if in_block(character) {
            let end = text[at..].find(|c| !in_block(c)).map_or(text.len(), |size| at + size);
            splitter.block(at, end);
            at = end;
        } else {
            splitter.push(at, at + size);
            at += size;
        }
    }
    splitter.tokens
}

/// `[\u4E00-\u9FD5a-zA-Z0-9+#&\._%\-]`: what jieba looks up; all else stands alone.
fn in_block(character: char) -> bool {
    is_han(character)
        || character.is_ascii_alphanumeric()
        || matches!(character, '+' | '#' | '&' | '.' | '_' | '%' | '-')
}

fn is_han(character: char) -> bool {
    matches!(character, '\u{4E00}'..='\u{9FD5}')
}

struct Splitter<'a> {
    text: &'a str,
    tokens: Vec<Span>,
}

impl Splitter<'_> {
    fn push(&mut self, start: usize, end: usize) {
        self.tokens.push(start as u32..end as u32);
    }

    /// Adds the most probable words of the dictionary, and what is made of the characters between.
    fn block(&mut self, start: usize, end: usize) {
        let (mut at, mut left) = (start, None);
        for token in JIEBA.dictionary.cut(&self.text[start..end], false) {
            // Letters and digits that are no words come joined; no word has only these.
            let bytes = token.word.as_bytes();
            let alone = token.end - token.start == 1 || bytes.iter().all(u8::is_ascii_alphanumeric);
            let next = at + bytes.len();
            if alone {
                left.get_or_insert(at);
            } else {
                if let Some(from) = left.take() {
                    self.unknown(from, at);
                }
                self.push(at, next);
            }
            at = next;
        }
        if let Some(from) = left {
            self.unknown(from, end);
        }
    }

    /// Adds what jieba's `finalseg.cut` makes of characters that are no words together.
    fn unknown(&mut self, start: usize, end: usize) {
        let run = &self.text[start..end];
        if JIEBA.dictionary.has_word(run) {
            // A word after all, but single characters are more probable.
            return run.char_indices().for_each(|(at, character)| {
                self.push(start + at, start + at + character.len_utf8());
            });
        }
        let mut at = start;
        while at < end {
            let rest = &self.text[at..end];
            let han = rest.starts_with(is_han);
            let size = rest.find(|c| is_han(c) != han).unwrap_or(rest.len());
            if han {
                for token in JIEBA.model.cut(&rest[..size], true) {
                    self.push(at + token.byte_start, at + token.byte_end);
                }
            } else {
                self.other(at, at + size);
            }
            at += size;
        }
    }

    /// Adds what `[a-zA-Z0-9]+(?:\.\d+)?%?` finds, and what stands between.
    fn other(&mut self, start: usize, end: usize) {
        let bytes = &self.text.as_bytes()[..end];
        let mut at = start;
        while at < end {
            let run = |from: usize, fits: fn(&u8) -> bool| {
                from + bytes[from..].iter().take_while(|&byte| fits(byte)).count()
            };
            let mut next = run(at, u8::is_ascii_alphanumeric);
            if next == at {
                next = run(at, |byte| !byte.is_ascii_alphanumeric());
            } else {
                if bytes.get(next) == Some(&b'.') {
                    let digits = run(next + 1, u8::is_ascii_digit);
                    next = if digits > next + 1 { digits } else { next };
                }
                next += usize::from(bytes.get(next) == Some(&b'%'));
            }
            self.push(at, next);
            at = next;
        }
    }
}

struct Splitters {
    dictionary: Jieba,
    /// Without a dictionary there is only the model.
    model: Jieba,
}

static JIEBA: LazyLock<Splitters> = LazyLock::new(|| {
    let words = XzDecoder::new(&include_bytes!("chinese.txt.xz")[..]);
    let dictionary = Jieba::with_dict(&mut BufReader::new(words));
    assert!(dictionary.is_ok(), "chinese.txt.xz is a dictionary: {:?}", dictionary.as_ref().err());
    Splitters { dictionary: dictionary.unwrap_or_else(|_| Jieba::empty()), model: Jieba::empty() }
});
