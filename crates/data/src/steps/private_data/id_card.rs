//! `id_card`: numbers of identity.
//!
//! - Chinese resident identity cards (GB 11643): 18 characters whose region and date of birth exist
//!   and whose last is the check character of ISO 7064 MOD 11-2, also as `110105 19491231 002X`;
//!   the old ones of 15 digits, which have no check, where the text says what they are.
//! - Social security numbers of the United States: `123-45-6789`, but for those never given out
//!   (000, 666 and 900 to 999 first, 00 or 0000 later).

use std::ops::Range;

use super::Kind;
use super::scan::{Scan, digits};

pub(super) const KIND: Kind = Kind {
    name: "id_card",
    about: "identity numbers: China's with its check character, the United States'",
    label: "[ID_CARD]",
    find,
};

/// First two digits of regions.
const REGIONS: [u32; 35] = [
    11, 12, 13, 14, 15, 21, 22, 23, 31, 32, 33, 34, 35, 36, 37, 41, 42, 43, 44, 45, 46, 50, 51, 52,
    53, 54, 61, 62, 63, 64, 65, 71, 81, 82, 83,
];
const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
const TOLD: [&str; 6] = ["身份证", "证件号", "身份號", "身份号", "identity card", "id card"];

/// A pattern and whether digits of its form are a number of identity.
type Form = (&'static str, fn(&Scan<'_>, Range<usize>, &[u32]) -> bool);
const FORMS: [Form; 3] = [
    ("dddddd~dddddddd~dddx", |_, _, digits| is_resident(digits)),
    ("ddddddddddddddd", |scan, range, digits| {
        is_born(digits, 1900 + number(&digits[6..8]), 8) && scan.is_told(range.start, &TOLD)
    }),
    ("ddd-dd-dddd", |scan, range, digits| {
        scan.text[range].matches('-').count() == 2 && is_social(digits)
    }),
];

fn find(scan: &Scan<'_>, found: &mut Vec<Range<usize>>) {
    for &start in scan.digits.iter().filter(|&&start| scan.begins(start)) {
        let fitting = FORMS.iter().find_map(|(pattern, is_one)| {
            let end = scan.fits(start, pattern).filter(|&end| scan.ends(end))?;
            is_one(scan, start..end, &digits(&scan.text[start..end])).then_some(end)
        });
        found.extend(fitting.map(|end| start..end));
    }
}

fn number(digits: &[u32]) -> u32 {
    digits.iter().fold(0, |number, digit| number * 10 + digit)
}

fn is_resident(digits: &[u32]) -> bool {
    let sum: u32 = digits.iter().zip(WEIGHTS).map(|(digit, weight)| digit * weight).sum();
    let year = number(&digits[6..10]);
    (1880..=2099).contains(&year) && is_born(digits, year, 10) && (12 - sum % 11) % 11 == digits[17]
}

/// Whether the region exists, and the month and day that stand at `at`.
fn is_born(digits: &[u32], year: u32, at: usize) -> bool {
    let (month, day) = (number(&digits[at..at + 2]), number(&digits[at + 2..at + 4]));
    let whole = |years| year.is_multiple_of(years);
    let leap = whole(4) && (!whole(100) || whole(400));
    let days = match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    REGIONS.contains(&number(&digits[..2])) && (1..=days).contains(&day)
}

fn is_social(digits: &[u32]) -> bool {
    let (area, group, serial) = (number(&digits[..3]), number(&digits[3..5]), number(&digits[5..]));
    (1..900).contains(&area) && area != 666 && group > 0 && serial > 0
}
