//! `ip`: public addresses of machines, IPv4 (`8.8.8.8`) and IPv6 (`2001:4860:4860::8888`).
//!
//! Addresses that everybody's machine has say nothing: private, loopback, link-local, shared,
//! documentation, benchmark, multicast and reserved ones stay. So does what is told to be a version
//! or a section (`version 1.2.3.4`, `版本`).

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use super::Kind;
use super::scan::{Scan, is_word};

pub(super) const KIND: Kind =
    Kind { name: "ip", about: "public addresses of machines", label: "[IP]", find };

const VERSIONS: [&str; 8] =
    ["version", "ver.", "release", "section", "chapter", "版本", "章节", "firmware"];

fn find(scan: &Scan<'_>, found: &mut Vec<Range<usize>>) {
    for &start in &scan.digits {
        let of_address = |c: char| c.is_ascii_digit() || c == '.';
        let rest = &scan.text[start..];
        let size = rest.find(|c| !of_address(c)).unwrap_or(rest.len());
        let address = rest[..size].trim_end_matches('.');
        let end = start + address.len();
        let alone = scan.begins(start) && !scan.after(end).is_some_and(is_word);
        if alone
            && address.parse::<Ipv4Addr>().is_ok_and(is_public)
            && !scan.is_told(start, &VERSIONS)
        {
            found.push(start..end);
        }
    }
    let of_address = |c: char| c.is_ascii_hexdigit() || c == ':' || c == '.';
    let mut done = 0;
    for colon in scan.all(b':').filter(|&at| scan.text[at + 1..].contains(':')) {
        if colon < done {
            continue;
        }
        let before = &scan.text[done..colon];
        let start = colon - before.chars().rev().take_while(|&c| of_address(c)).count();
        let rest = &scan.text[start..];
        done = start + rest.find(|c| !of_address(c)).unwrap_or(rest.len());
        let address = scan.text[start..done].trim_end_matches([':', '.']);
        let end = start + address.len();
        let alone =
            !scan.before(start).is_some_and(is_word) && !scan.after(end).is_some_and(is_word);
        // Those that are routed begin with 2 or 3.
        if alone && address.parse::<Ipv6Addr>().is_ok_and(is_routed) {
            found.push(start..end);
        }
    }
}

fn is_public(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let shared = a == 100 && b & 0xC0 == 64;
    let benchmark = a == 198 && b & 0xFE == 18;
    let reserved = a == 0 || a >= 224 || (a, b, c) == (192, 0, 0);
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || shared
        || benchmark
        || reserved)
}

fn is_routed(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    // Of 2001::/23 little is routed, 2001:db8:: and 3fff::/20 are for documentation.
    let special = first == 0x2001 && (second < 0x200 || second == 0xdb8) || first == 0x3fff;
    first & 0xE000 == 0x2000 && !special
}
