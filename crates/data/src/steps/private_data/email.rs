//! `email`: addresses such as `name@mail.example.org`, also with a full-width `＠`.
//!
//! The name is of ASCII letters, digits and `. _ % + ' -`; the last label of the host has at least
//! two letters and no digit. No addresses are: names of files (`icon@2x.png`), places of files on a
//! host (`git@example.com:name/project`) and names without a domain (`root@localhost`).

use std::ops::Range;

use super::Kind;
use super::scan::{Scan, fold};

pub(super) const KIND: Kind =
    Kind { name: "email", about: "e-mail addresses", label: "[EMAIL]", find };

/// Endings of files that stand where a domain would.
const FILES: [&str; 8] = ["png", "jpg", "jpeg", "gif", "svg", "webp", "css", "js"];

/// The longest name before the sign that is looked at.
const MOST_NAME: usize = 64;

fn find(scan: &Scan<'_>, found: &mut Vec<Range<usize>>) {
    let narrow = scan.all(b'@').map(|at| (at, at + 1));
    // The last byte of the full-width sign, EF BC A0.
    let wide = scan.all(0xA0).filter(|&at| scan.text.as_bytes()[..at].ends_with(&[0xEF, 0xBC]));
    for (sign, host) in narrow.chain(wide.map(|at| (at - 2, at + 1))) {
        let name = name_len(&scan.text[..sign]);
        let size = host_len(&scan.text[host..]);
        if name > 0 && size > 0 && !is_path(&scan.text[host + size..]) {
            found.push(sign - name..host + size);
        }
    }
}

/// Bytes at the end of `before` that are a name.
fn name_len(before: &str) -> usize {
    let of_name = |c: &char| c.is_ascii_alphanumeric() || "._%+'-".contains(*c);
    let size = before.chars().rev().take(MOST_NAME).take_while(of_name).count();
    let name = &before[before.len() - size..];
    if name.ends_with('.') || name.contains("..") {
        return 0;
    }
    name.trim_start_matches(|c: char| !c.is_ascii_alphanumeric()).len()
}

/// Bytes at the start of `after` that are a host with a domain.
fn host_len(after: &str) -> usize {
    let of_host = |&(_, c): &(usize, char)| c.is_ascii_alphanumeric() || c == '.' || c == '-';
    let size = after.char_indices().take_while(of_host).count();
    let host = after[..size].trim_end_matches(['.', '-']);
    let Some((labels, domain)) = host.rsplit_once('.') else { return 0 };
    let label = |label: &str| {
        !label.is_empty() && !label.starts_with('-') && !label.ends_with('-') && label.len() < 64
    };
    let named = domain.len() >= 2 && domain.bytes().all(|byte| byte.is_ascii_alphabetic());
    let file = FILES.iter().any(|ending| domain.eq_ignore_ascii_case(ending));
    if named && !file && labels.split('.').all(label) { host.len() } else { 0 }
}

/// Whether what follows a host makes it another thing: a place on it, or a second sign.
fn is_path(rest: &str) -> bool {
    let mut rest = rest.chars().map(fold);
    match rest.next() {
        Some(':') => rest.next().is_some_and(|c| c.is_ascii_alphanumeric() || c == '/' || c == '~'),
        Some(c) => c == '@' || c == '_',
        None => false,
    }
}
