//! Lines, repeats and marks as Python and datatrove count them.

use std::ops::Range;

use super::words::HashSet;
use super::words::classes::{SPACE, is};

/// Python's `str.splitlines`: more characters than the line feed end a line.
pub(super) fn split_lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let Some(at) = rest.find(is_line_end) else { return Some(std::mem::take(&mut rest)) };
        let line = &rest[..at];
        let end = rest[at..].chars().next().map_or(0, char::len_utf8);
        let pair = rest[at..].starts_with("\r\n");
        rest = &rest[at + end + usize::from(pair)..];
        Some(line)
    })
}

/// Where the lines of [`split_lines`] stand in `text`.
pub(crate) fn line_ranges(text: &str) -> Vec<Range<usize>> {
    let start = |line: &str| line.as_ptr() as usize - text.as_ptr() as usize;
    split_lines(text).map(|line| start(line)..start(line) + line.len()).collect()
}

fn is_line_end(character: char) -> bool {
    matches!(
        character,
        '\n'..='\r' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}'
    )
}

/// Python's `re.split` by runs of at least `count` line feeds: empty pieces at both ends count.
pub(super) fn split_runs(text: &str, count: usize) -> Vec<&str> {
    let bytes = text.as_bytes();
    let mut pieces = Vec::new();
    let (mut start, mut at) = (0, 0);
    while at < bytes.len() {
        let end = at + bytes[at..].iter().take_while(|&&byte| byte == b'\n').count();
        if end - at >= count {
            pieces.push(&text[start..at]);
            start = end;
        }
        at = end.max(at + 1);
    }
    pieces.push(&text[start..]);
    pieces
}

/// Number of `pieces` that are equal to an earlier one, and their length in characters.
pub(super) fn repeats(pieces: &[&str]) -> (usize, usize) {
    let mut seen = HashSet::default();
    let again = pieces.iter().filter(|piece| !seen.insert(**piece));
    again.fold((0, 0), |(count, size), piece| (count + 1, size + piece.chars().count()))
}

/// Whether `text` has only white space.
pub(super) fn is_blank(text: &str) -> bool {
    text.chars().all(|c| is(c, SPACE))
}

/// `part / whole`, which is nought where there is nothing.
pub(super) fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}
