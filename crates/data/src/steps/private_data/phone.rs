//! `phone`: telephone numbers.
//!
//! - China: mobile (`138 1234 5678`), fixed with its area code (`010-12345678`, `(0755)1234567`),
//!   service (`400-123-4567`), with or without `+86`;
//! - North America: `(212) 555-0147`, `212.555.0147`, `+1 212 555 0147`;
//! - Britain: `(01632) 960391`, `020 7946 0958`;
//! - ten bare digits, or eleven from 0, where the text says what they are;
//! - elsewhere: `+` and 8 to 15 digits in whatever groups.
//!
//! An extension (`x12`, `ext. 12`, `转12`) belongs to its number.

use std::ops::Range;

use super::Kind;
use super::scan::{Scan, fold};

pub(super) const KIND: Kind =
    Kind { name: "phone", about: "telephone numbers", label: "[PHONE]", find };

/// What may stand before a Chinese mobile number, and such a number.
const CHINA: [&str; 6] = ["", "+86~", "(+86)~", "0086~", "86~", "(86)~"];
const MOBILE: &str = "1md~dddd~dddd";

/// All other forms but those that begin with `+`.
const FORMS: [&str; 23] = [
    "010-dddddddd",
    "010-dddd-dddd",
    "02d-dddddddd",
    "02d-dddd-dddd",
    "(010)~dddd~dddd",
    "(02d)~dddd~dddd",
    "0ddd-ddddddd",
    "0ddd-dddddddd",
    "(0ddd)~ddddddd",
    "(0ddd)~dddddddd",
    "(0ddd)~ddd~dddd",
    "(0dddd)~dddddd",
    "0dddd-dddddd",
    "0dddd-ddd-ddd",
    "0ddd-ddd-dddd",
    "400-ddd-dddd",
    "400-dddd-ddd",
    "800-ddd-dddd",
    "ndd-ndd-dddd",
    "(ndd)~ndd-dddd",
    "1-ndd-ndd-dddd",
    "1~(ndd)~ndd-dddd",
    "001-ndd-ndd-dddd",
];

/// Bare digits, and the words that tell what they are.
const BARE: [&str; 2] = ["nddndddddd", "0dddddddddd"];
const TOLD: [&str; 12] = [
    "phone", "tel", "call", "mobile", "cell", "fax", "reach", "ring", "电话", "電話", "手机",
    "致电",
];

/// What stands between a number and its extension, behind blanks.
const EXTENSIONS: [&str; 7] = ["x", "ext.", "ext", "extension", "转", "轉", "分机"];
const MOST_EXTENSION_DIGITS: usize = 6;

fn find(scan: &Scan<'_>, found: &mut Vec<Range<usize>>) {
    let mut done = 0;
    for &digit in &scan.digits {
        if digit < done {
            continue;
        }
        let led = lead(scan, digit);
        let starts = [led, digit].into_iter().filter(|&start| start >= done && scan.begins(start));
        let range = starts.filter_map(|start| Some(start..longest(scan, start)?)).next();
        if let Some(range) = range {
            done = range.end;
            found.push(range);
        }
    }
}

/// Where a number begins whose first digit stands at `digit`: a sign and a bracket lead it.
fn lead(scan: &Scan<'_>, digit: usize) -> usize {
    let before = |at: usize, sign: char| {
        let last = scan.text[..at].chars().next_back().filter(|&c| fold(c) == sign);
        at - last.map_or(0, char::len_utf8)
    };
    before(before(digit, '+'), '(')
}

/// The end of the longest number that begins at `start`.
fn longest(scan: &Scan<'_>, start: usize) -> Option<usize> {
    let mobile = CHINA.iter().filter_map(|prefix| scan.fits(scan.fits(start, prefix)?, MOBILE));
    let other = FORMS.iter().filter_map(|form| scan.fits(start, form));
    let bare = BARE.iter().filter_map(|form| scan.fits(start, form));
    let bare = bare.filter(|_| scan.is_told(start, &TOLD));
    let ends = mobile.chain(other).chain(bare).chain(international(scan, start));
    let fixed = scan.after(start).is_some_and(|c| matches!(c, '0' | '('));
    ends.map(|end| extension(scan, end, fixed)).filter(|&end| scan.ends(end)).max()
}

/// The end of `+` and 8 to 15 digits in groups that at most two signs part.
fn international(scan: &Scan<'_>, start: usize) -> Option<usize> {
    let (mut digits, mut signs, mut end) = (0, 0, None);
    let mut at = start;
    for character in scan.text[start..].chars() {
        let next = at + character.len_utf8();
        match fold(character) {
            '+' if at == start => {}
            '0'..='9' if end.is_some() || at == start + 1 => {
                (digits, signs, end) = (digits + 1, 0, Some(next));
            }
            ' ' | '-' | '.' | '(' | ')' | '/' if end.is_some() && signs < 2 => signs += 1,
            _ => break,
        }
        at = next;
    }
    let plus = scan.after(start) == Some('+');
    end.filter(|_| plus && (8..=15).contains(&digits))
}

/// The end of the extension behind a number, or of the number; only behind one of a fixed line may
/// it follow a hyphen.
fn extension(scan: &Scan<'_>, end: usize, fixed: bool) -> usize {
    let rest = &scan.text[end..];
    let word = rest.trim_start_matches(' ');
    let told = EXTENSIONS.iter().filter_map(|sign| word.strip_prefix(sign));
    let hyphen = rest.strip_prefix('-').filter(|_| fixed);
    told.chain(hyphen)
        .filter_map(|after| {
            let after = after.trim_start_matches(' ');
            let digits = after.chars().take_while(char::is_ascii_digit).count();
            let size = rest.len() - after.len() + digits;
            (1..=MOST_EXTENSION_DIGITS).contains(&digits).then_some(end + size)
        })
        .max()
        .unwrap_or(end)
}
