//! `url_credentials`: the name and password of `scheme://name:password@host`, and the values of
//! `token`, `access_token`, `api_key`, `key`, `secret`, `password`, `passwd`, `pwd` and `sig`
//! behind `?` or `&` of an address, of at least six characters.

use std::ops::Range;

use memchr::memmem;

use super::Kind;
use super::scan::{Scan, is_word};

pub(super) const KIND: Kind = Kind {
    name: "url_credentials",
    about: "names with passwords, and keys, in addresses of the web",
    label: "[CREDENTIALS]",
    find,
};

const PARAMETERS: [&str; 9] =
    ["token", "access_token", "api_key", "key", "secret", "password", "passwd", "pwd", "sig"];

/// The shortest value of a parameter that counts.
const LEAST_VALUE: usize = 6;

fn find(scan: &Scan<'_>, found: &mut Vec<Range<usize>>) {
    for at in memmem::find_iter(scan.text.as_bytes(), "://") {
        if !scan.before(at).is_some_and(|c| c.is_ascii_alphanumeric()) {
            continue;
        }
        let start = at + 3;
        let address = &scan.text[start..];
        let outside = |c: char| !c.is_ascii_graphic() || "\"'<>`".contains(c);
        let address = &address[..address.find(outside).unwrap_or(address.len())];
        let host = address.find(['/', '?', '#']).unwrap_or(address.len());
        if let Some(sign) = address[..host].rfind('@')
            && let Some(colon) = address[..sign].find(':')
            && colon > 0
            && address[colon..sign].contains(|c: char| c.is_alphanumeric())
        {
            found.push(start..start + sign);
        }
        if let Some(query) = address.find('?') {
            parameters(start + query + 1, &address[query + 1..], found);
        }
    }
}

/// Adds the values of telling parameters of `query`, which begins at `start`.
fn parameters(start: usize, query: &str, found: &mut Vec<Range<usize>>) {
    let mut at = start;
    for part in query.split(['&', '#', ';']) {
        if let Some((name, value)) = part.split_once('=') {
            let size = value.trim_end_matches(|c: char| !is_word(c) && c != '=').len();
            let told = PARAMETERS.iter().any(|known| name.eq_ignore_ascii_case(known));
            if told && size >= LEAST_VALUE && !value.starts_with('[') {
                let from = at + name.len() + 1;
                found.push(from..from + size);
            }
        }
        at += part.len() + 1;
    }
}
