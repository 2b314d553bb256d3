//! Chinese words as jieba 0.42.1 splits them, which spaCy's Chinese pipeline takes over: the most
//! probable words of a [`dictionary`], and between these what a model of [`unknown`] words makes of
//! the characters. Both are jieba's; so are the sums, in the same order, so that equal ones are
//! told apart alike.

mod dictionary;
mod unknown;

use super::classes::{SPACE, is};
use super::{Span, end_of_space};
use dictionary::{DICTIONARY, Route};
use unknown::{MODEL, State};

/// The words of `text`, and runs of white space but for single blanks behind a word.
pub(super) fn tokens(text: &str) -> Vec<Span> {
    let mut splitter = Splitter::new(text);
    let mut at = 0;
    while let Some(character) = text[at..].chars().next() {
        let size = character.len_utf8();
        if code_of(character).is_some() {
            at = splitter.block(at);
        } else if is(character, SPACE) {
            let end = end_of_space(text, at);
            // One blank behind a word belongs to it.
            let from = at + usize::from(at > 0 && character == ' ');
            if from < end {
                splitter.push(from as u32, end as u32);
            }
            at = end;
        } else {
            splitter.push(at as u32, (at + size) as u32);
            at += size;
        }
    }
    splitter.tokens
}

const FIRST_HAN: u32 = 0x4E00;
const LAST_HAN: u32 = 0x9FD5;
/// Han characters are numbered behind those of ASCII.
const HAN_CODES: u16 = 128;
/// How many numbers there are.
const CODES: usize = HAN_CODES as usize + (LAST_HAN - FIRST_HAN) as usize + 1;

/// The number of a character of `[\u4E00-\u9FD5a-zA-Z0-9+#&\._%\-]`: what jieba looks up; all else
/// stands alone.
fn code_of(character: char) -> Option<u16> {
    let code = u32::from(character);
    if (FIRST_HAN..=LAST_HAN).contains(&code) {
        return Some((code - FIRST_HAN) as u16 + HAN_CODES);
    }
    let other = character.is_ascii_alphanumeric()
        || matches!(character, '+' | '#' | '&' | '.' | '_' | '%' | '-');
    other.then_some(code as u16)
}

fn is_han(code: u16) -> bool {
    code >= HAN_CODES
}

/// The ASCII character of a number; for Han characters one that is none.
fn ascii(code: u16) -> u8 {
    u8::try_from(code).unwrap_or(u8::MAX)
}

struct Splitter<'a> {
    text: &'a str,
    tokens: Vec<Span>,
    /// The characters of the block at hand, and where each begins in the text, and the last ends.
    codes: Vec<u16>,
    places: Vec<u32>,
    route: Route,
    states: Vec<State>,
}

impl<'a> Splitter<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            tokens: Vec::with_capacity(text.len() / 4),
            codes: Vec::new(),
            places: Vec::new(),
            route: Route::default(),
            states: Vec::new(),
        }
    }

    fn push(&mut self, start: u32, end: u32) {
        self.tokens.push(start..end);
    }

    /// Adds the characters `from..to` of the block as one word.
    fn push_word(&mut self, from: usize, to: usize) {
        self.push(self.places[from], self.places[to]);
    }

    /// Adds the words of the block at `start` of the text: the most probable ones of the
    /// dictionary, and what is made of the characters between. Says where the block ends.
    fn block(&mut self, start: usize) -> usize {
        self.codes.clear();
        self.places.clear();
        let mut end = start;
        for character in self.text[start..].chars() {
            let Some(code) = code_of(character) else { break };
            self.codes.push(code);
            self.places.push(end as u32);
            end += character.len_utf8();
        }
        self.places.push(end as u32);
        DICTIONARY.find_route(&self.codes, &mut self.route);
        let (mut at, mut left) = (0, None);
        while at < self.codes.len() {
            let next = self.route.next(at);
            if next - at == 1 {
                left.get_or_insert(at);
            } else {
                if let Some(from) = left.take() {
                    self.unknown(from, at);
                }
                self.push_word(at, next);
            }
            at = next;
        }
        if let Some(from) = left {
            self.unknown(from, self.codes.len());
        }
        end
    }

    /// Adds what jieba's `finalseg.cut` makes of characters that are no words together.
    fn unknown(&mut self, from: usize, to: usize) {
        if to - from == 1 {
            return self.push_word(from, to);
        }
        if DICTIONARY.has(&self.codes[from..to]) {
            // A word after all, but single characters are more probable.
            return (from..to).for_each(|at| self.push_word(at, at + 1));
        }
        let mut at = from;
        while at < to {
            let han = is_han(self.codes[at]);
            let run = self.codes[at..to].iter().take_while(|&&code| is_han(code) == han).count();
            if han {
                self.han(at, at + run);
            } else {
                self.other(at, at + run);
            }
            at += run;
        }
    }

    /// Adds the most probable words of Han characters.
    fn han(&mut self, from: usize, to: usize) {
        if to - from == 1 {
            return self.push_word(from, to);
        }
        let mut states = std::mem::take(&mut self.states);
        MODEL.find_states(&self.codes[from..to], &mut states);
        let (mut begin, mut next) = (from, from);
        for (at, state) in (from..to).zip(&states) {
            match state {
                State::Begin => begin = at,
                State::Middle => {}
                State::End | State::Single => {
                    let start = if *state == State::End { begin } else { at };
                    next = at + 1;
                    self.push_word(start, next);
                }
            }
        }
        if next < to {
            self.push_word(next, to);
        }
        self.states = states;
    }

    /// Adds what `[a-zA-Z0-9]+(?:\.\d+)?%?` finds, and what stands between.
    fn other(&mut self, from: usize, to: usize) {
        let mut at = from;
        while at < to {
            let codes = &self.codes[..to];
            let run = |from: usize, fits: fn(&u8) -> bool| {
                from + codes[from..].iter().take_while(|&&code| fits(&ascii(code))).count()
            };
            let mut next = run(at, u8::is_ascii_alphanumeric);
            if next == at {
                next = run(at, |byte| !byte.is_ascii_alphanumeric());
            } else {
                if codes.get(next) == Some(&b'.'.into()) {
                    let digits = run(next + 1, u8::is_ascii_digit);
                    next = if digits > next + 1 { digits } else { next };
                }
                next += usize::from(codes.get(next) == Some(&b'%'.into()));
            }
            self.push_word(at, next);
            at = next;
        }
    }
}

/// The text of a table.
fn unpack(table: &[u8]) -> String {
    let text = zstd::decode_all(table).map(String::from_utf8);
    assert!(matches!(text, Ok(Ok(_))), "the table is whole, it is part of the program");
    text.ok().and_then(Result::ok).unwrap_or_default()
}
