//! The objects of PDF and the tokens of page contents (ISO 32000-1, 7.2 and 7.3), under a budget:
//! whatever a file says, so many tokens are read and no more.

use std::collections::BTreeMap;

/// An object, or an operator of a page's contents.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Object {
    Null,
    Bool,
    Number(f64),
    Name(Vec<u8>),
    Text(Vec<u8>),
    Array(Vec<Object>),
    Dict(Dict),
    /// An object elsewhere in the file, by its number.
    Reference(u32),
    Operator(Vec<u8>),
}

pub(super) type Dict = BTreeMap<Vec<u8>, Object>;

impl Object {
    pub(super) fn number(&self) -> Option<f64> {
        if let Self::Number(value) = self { Some(*value) } else { None }
    }

    /// A whole number from 0 on.
    pub(super) fn count(&self) -> Option<usize> {
        let value = self.number().filter(|value| (0.0..4e9).contains(value))?;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        Some(value as usize)
    }

    pub(super) fn name(&self) -> Option<&[u8]> {
        if let Self::Name(name) = self { Some(name) } else { None }
    }

    pub(super) fn array(&self) -> Option<&[Object]> {
        if let Self::Array(items) = self { Some(items) } else { None }
    }

    pub(super) fn dict(&self) -> Option<&Dict> {
        if let Self::Dict(dict) = self { Some(dict) } else { None }
    }
}

/// Arrays and dictionaries nest so deep.
const MAX_DEPTH: usize = 48;
/// So many bytes of a token cost as much as a token.
const TOKEN_BYTES: usize = 16;

/// What a file may cost: tokens read, and bytes unpacked.
#[derive(Debug)]
pub(super) struct Budget {
    pub(super) tokens: u64,
    pub(super) unpacked: u64,
}

/// The budget is spent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Spent;

/// Reads objects from bytes.
pub(super) struct Lexer<'a> {
    bytes: &'a [u8],
    pub(super) at: usize,
}

fn is_space(byte: u8) -> bool {
    matches!(byte, 0 | 9 | 10 | 12 | 13 | 32)
}

fn is_delimiter(byte: u8) -> bool {
    matches!(byte, b'(' | b')' | b'<' | b'>' | b'[' | b']' | b'{' | b'}' | b'/' | b'%')
}

impl<'a> Lexer<'a> {
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at: at.min(bytes.len()) }
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    pub(super) fn skip_space(&mut self) {
        while let Some(byte) = self.peek() {
            if byte == b'%' {
                let rest = self.rest();
                let end = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
                self.at += end.unwrap_or(rest.len());
            } else if is_space(byte) {
                self.at += 1;
            } else {
                return;
            }
        }
    }

    /// The next object or operator; none at the end.
    pub(super) fn next(&mut self, budget: &mut Budget) -> Result<Option<Object>, Spent> {
        self.object(budget, 0)
    }

    fn object(&mut self, budget: &mut Budget, depth: usize) -> Result<Option<Object>, Spent> {
        self.skip_space();
        let start = self.at;
        let Some(first) = self.peek() else { return Ok(None) };
        let found = match first {
            b'/' => Object::Name(self.name()),
            b'(' => Object::Text(self.text()),
            b'<' if self.bytes.get(self.at + 1) == Some(&b'<') => {
                self.at += 2;
                self.dict(budget, depth)?
            }
            b'<' => Object::Text(self.hex()),
            b'[' => {
                self.at += 1;
                let items = self.until(budget, depth, b"]")?;
                Object::Array(items)
            }
            b'0'..=b'9' | b'+' | b'-' | b'.' => self.number(),
            _ => self.word(),
        };
        // What an array or dictionary holds was counted on the way.
        let whole = matches!(found, Object::Array(_) | Object::Dict(_));
        let cost = 1 + if whole { 0 } else { (self.at - start) / TOKEN_BYTES };
        budget.tokens = budget.tokens.checked_sub(cost as u64).ok_or(Spent)?;
        Ok(Some(found))
    }

    /// Objects up to a closing bracket, or the end.
    fn until(
        &mut self,
        budget: &mut Budget,
        depth: usize,
        end: &[u8],
    ) -> Result<Vec<Object>, Spent> {
        let mut items = Vec::new();
        loop {
            self.skip_space();
            if self.rest().starts_with(end) {
                self.at += end.len();
                return Ok(items);
            }
            if depth == MAX_DEPTH {
                self.at = self.bytes.len();
                return Ok(items);
            }
            match self.object(budget, depth + 1)? {
                // `12 0 R`.
                Some(Object::Operator(word)) if word == b"R" && items.len() >= 2 => {
                    items.pop();
                    let number = items.pop().and_then(|number| number.count());
                    let number = number.and_then(|number| u32::try_from(number).ok());
                    items.push(number.map_or(Object::Null, Object::Reference));
                }
                // The end of what holds this is the end of this.
                Some(Object::Operator(word)) if word == b"endobj" || word == b"stream" => {
                    self.at -= word.len();
                    return Ok(items);
                }
                Some(object) => items.push(object),
                None => return Ok(items),
            }
        }
    }

    fn dict(&mut self, budget: &mut Budget, depth: usize) -> Result<Object, Spent> {
        let mut dict = Dict::new();
        let mut items = self.until(budget, depth, b">>")?.into_iter();
        while let Some(key) = items.next() {
            if let Object::Name(key) = key {
                dict.insert(key, items.next().unwrap_or(Object::Null));
            }
        }
        Ok(Object::Dict(dict))
    }

    fn name(&mut self) -> Vec<u8> {
        self.at += 1;
        let mut name = Vec::new();
        while let Some(byte) = self.peek().filter(|&byte| !is_space(byte) && !is_delimiter(byte)) {
            self.at += 1;
            let code = self.bytes.get(self.at..self.at + 2).filter(|_| byte == b'#');
            let code = code.and_then(|code| std::str::from_utf8(code).ok());
            if let Some(code) = code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
                name.push(code);
                self.at += 2;
            } else {
                name.push(byte);
            }
        }
        name
    }

    fn hex(&mut self) -> Vec<u8> {
        self.at += 1;
        let mut digits = Vec::new();
        while let Some(byte) = self.peek() {
            self.at += 1;
            if byte == b'>' {
                break;
            }
            digits.extend(char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok()));
        }
        if digits.len() % 2 == 1 {
            digits.push(0);
        }
        digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }

    fn text(&mut self) -> Vec<u8> {
        self.at += 1;
        let (mut text, mut open) = (Vec::new(), 1);
        while let Some(byte) = self.peek() {
            self.at += 1;
            match byte {
                b'\\' => self.escape(&mut text),
                b'(' => {
                    open += 1;
                    text.push(byte);
                }
                b')' => {
                    open -= 1;
                    if open == 0 {
                        break;
                    }
                    text.push(byte);
                }
                _ => text.push(byte),
            }
        }
        text
    }

    fn escape(&mut self, text: &mut Vec<u8>) {
        let Some(byte) = self.peek() else { return };
        self.at += 1;
        match byte {
            b'n' => text.push(b'\n'),
            b'r' => text.push(b'\r'),
            b't' => text.push(b'\t'),
            b'b' => text.push(8),
            b'f' => text.push(12),
            b'\r' => self.at += usize::from(self.peek() == Some(b'\n')),
            b'\n' => {}
            b'0'..=b'7' => {
                let mut code = u32::from(byte - b'0');
                for _ in 0..2 {
                    let Some(digit) = self.peek().filter(u8::is_ascii_digit) else { break };
                    code = code * 8 + u32::from(digit - b'0');
                    self.at += 1;
                }
                text.push(u8::try_from(code & 0xff).unwrap_or(0));
            }
            other => text.push(other),
        }
    }

    fn number(&mut self) -> Object {
        let start = self.at;
        while self.peek().is_some_and(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.')) {
            self.at += 1;
        }
        let digits = std::str::from_utf8(&self.bytes[start..self.at]).unwrap_or_default();
        // Broken writers put two signs, or one within: the number up to it counts.
        let plain = digits.trim_start_matches(['+', '-']);
        let plain = plain.split(['+', '-']).next().unwrap_or_default();
        let value: f64 = plain.parse().unwrap_or(0.0);
        Object::Number(if digits.starts_with('-') { -value } else { value })
    }

    fn word(&mut self) -> Object {
        let start = self.at;
        self.at += 1;
        while self.peek().is_some_and(|byte| !is_space(byte) && !is_delimiter(byte)) {
            self.at += 1;
        }
        match &self.bytes[start..self.at] {
            b"true" | b"false" => Object::Bool,
            b"null" => Object::Null,
            word => Object::Operator(word.to_vec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Vec<Object> {
        let mut budget = Budget { tokens: 1000, unpacked: 0 };
        let mut lexer = Lexer::new(bytes, 0);
        std::iter::from_fn(|| lexer.next(&mut budget).unwrap()).collect()
    }

    #[test]
    fn objects_are_read_and_broken_ones_end_somewhere() {
        let dict = read(b"<</A#20b [1 -.5 12 0 R (x\\)\\101(y))] /C <4a4> /D true>>");
        let dict = dict[0].dict().unwrap();
        let items = [
            Object::Number(1.0),
            Object::Number(-0.5),
            Object::Reference(12),
            Object::Text(b"x)A(y)".to_vec()),
        ];
        assert_eq!(dict[&b"A b"[..]].array().unwrap(), items);
        assert_eq!(dict[&b"C"[..]], Object::Text(b"J@".to_vec()));
        for broken in ["<<", "[[[(", "/", "<</A", "(\\", "<4", ")", "]", "1 0 R"] {
            read(broken.as_bytes());
        }
        assert_eq!(read(&b"[".repeat(900)).len(), 1);
        let mut budget = Budget { tokens: 10, unpacked: 0 };
        assert!(Lexer::new(b"1", 0).next(&mut budget).is_ok());
        let many = b"1 ".repeat(11);
        let array = [&b"["[..], &many].concat();
        assert_eq!(Lexer::new(&array, 0).next(&mut budget), Err(Spent));
    }
}
