//! Lines of a file, none longer in memory than allowed.

use std::io::{self, BufRead, Read};

use memchr::memchr;

/// Bytes that know how many of them were read.
pub(super) struct Counted<R> {
    inner: R,
    count: u64,
}

impl<R> Counted<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, count: 0 }
    }

    /// Bytes read so far.
    pub(super) fn count(&self) -> u64 {
        self.count
    }
}

impl<R: BufRead> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.count += length as u64;
        Ok(length)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, length: usize) {
        self.inner.consume(length);
        self.count += length as u64;
    }
}

/// What [`read_line`] found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A line; its bytes without the line end are in the buffer.
    Whole,
    /// A line longer than allowed; it was skipped.
    TooLong,
    /// The end of the file.
    End,
}

/// Reads the next line into `buffer` (cleared first), at most `max_bytes` of it.
pub(super) fn read_line(
    reader: &mut impl BufRead,
    buffer: &mut Vec<u8>,
    max_bytes: u64,
) -> io::Result<Line> {
    buffer.clear();
    let mut length = 0_u64;
    let mut ended = false;
    while !ended {
        let available = match reader.fill_buf() {
            Ok([]) if length == 0 => return Ok(Line::End),
            Ok([]) => break,
            Ok(available) => available,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let end = memchr(b'\n', available);
        let piece = &available[..end.unwrap_or(available.len())];
        let used = piece.len() + usize::from(end.is_some());
        length += used as u64;
        if buffer.len() as u64 + piece.len() as u64 <= max_bytes {
            buffer.extend_from_slice(piece);
        } else {
            // Too long whatever follows: one more byte than allowed says so to the end.
            *buffer = Vec::new();
            length = length.max(max_bytes + 2);
        }
        ended = end.is_some();
        reader.consume(used);
    }
    if length > max_bytes + 1 {
        buffer.clear();
        return Ok(Line::TooLong);
    }
    if buffer.last() == Some(&b'\r') {
        buffer.pop();
    }
    Ok(Line::Whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_or_skipped_whatever_the_buffer() {
        let text = b"ab\r\n\nabcdefgh\nabcd\nlast";
        for capacity in 1..30 {
            let mut reader = io::BufReader::with_capacity(capacity, &text[..]);
            let mut buffer = Vec::new();
            let mut found = Vec::new();
            loop {
                match read_line(&mut reader, &mut buffer, 4).unwrap() {
                    Line::End => break,
                    Line::TooLong => found.push("(too long)".to_owned()),
                    Line::Whole => found.push(String::from_utf8(buffer.clone()).unwrap()),
                }
            }
            assert_eq!(found, ["ab", "", "(too long)", "abcd", "last"], "capacity {capacity}");
        }
    }
}
