//! `bank_card`: numbers of payment cards of 12 to 19 digits, bare or in their usual groups, that an
//! issuer's range begins (UnionPay, Visa, Mastercard, Maestro, American Express, Discover, JCB,
//! Diners Club, ICBC) and whose last digit is the check digit of Luhn.

use std::ops::Range;

use super::Kind;
use super::scan::{Scan, digits};

pub(super) const KIND: Kind = Kind {
    name: "bank_card",
    about: "numbers of payment cards with their check digit",
    label: "[BANK_CARD]",
    find,
};

/// The usual groups; a bare number has 12 to 19 digits.
const GROUPS: [&str; 5] = [
    "dddd-dddd-dddd-dddd-ddd",
    "dddd-dddd-dddd-dddd",
    "dddd-dddddd-ddddd",
    "dddd-dddddd-dddd",
    "dddddd-ddddddddddddd",
];
const BARE: &str = "ddddddddddddddddddd";
const LEAST_DIGITS: usize = 12;

/// First and last of the first four digits, and the numbers of digits, of each issuer.
const ISSUERS: [(u32, u32, &[usize]); 19] = [
    (1800, 1800, &[15]),
    (2131, 2131, &[15]),
    (2221, 2720, &[16]),
    (3000, 3059, &[14]),
    (3400, 3499, &[15]),
    (3500, 3599, &[16]),
    (3600, 3699, &[14]),
    (3700, 3799, &[15]),
    (3800, 3999, &[14]),
    (4000, 4999, &[13, 16, 19]),
    (5018, 5018, MAESTRO),
    (5020, 5020, MAESTRO),
    (5038, 5038, MAESTRO),
    (5100, 5599, &[16]),
    (5600, 5899, MAESTRO),
    (6011, 6011, &[16, 19]),
    (6200, 6299, &[16, 17, 18, 19]),
    (6300, 6999, MAESTRO),
    (9558, 9558, &[16, 19]),
];
const MAESTRO: &[usize] = &[12, 13, 14, 15, 16, 17, 18, 19];

fn find(scan: &Scan<'_>, found: &mut Vec<Range<usize>>) {
    for &start in scan.digits.iter().filter(|&&start| scan.begins(start)) {
        let bare = (LEAST_DIGITS..=BARE.len()).rev().map(|size| &BARE[..size]);
        let fitting = GROUPS.into_iter().chain(bare).find_map(|pattern| {
            let end = scan.fits(start, pattern).filter(|&end| scan.ends(end))?;
            is_card(&digits(&scan.text[start..end])).then_some(end)
        });
        found.extend(fitting.map(|end| start..end));
    }
}

fn is_card(digits: &[u32]) -> bool {
    let first = digits[..4].iter().fold(0, |number, digit| number * 10 + digit);
    let issued = ISSUERS
        .iter()
        .any(|(from, to, sizes)| (*from..=*to).contains(&first) && sizes.contains(&digits.len()));
    // Every second digit from the right counts twice, by the sum of its digits.
    let doubled = digits.iter().rev().enumerate().map(|(place, &digit)| match place % 2 {
        1 if digit > 4 => 2 * digit - 9,
        1 => 2 * digit,
        _ => digit,
    });
    issued && doubled.sum::<u32>().is_multiple_of(10)
}
