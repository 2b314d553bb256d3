//! `api_key`: keys to services, and private keys.
//!
//! - Keys with the beginning that their issuer gives them: Amazon, GitHub, GitLab, OpenAI,
//!   Anthropic, Google, Slack, Stripe, Hugging Face, npm, PyPI, SendGrid, Aliyun, Tencent Cloud;
//! - signed JSON Web Tokens (`eyJ..`), and PEM blocks of private keys as a whole;
//! - whatever of at least 16 letters and digits, both, is assigned to a name that ends in `key`,
//!   `secret` or `token` (`API_KEY = ".."`, `密钥：..`).

use std::ops::Range;

use memchr::memmem;

use super::Kind;
use super::scan::{Scan, fold, is_word};

pub(super) const KIND: Kind =
    Kind { name: "api_key", about: "keys to services, private keys", label: "[API_KEY]", find };

/// How a key begins, and the fewest and most characters that follow.
const ISSUED: [(&str, usize, usize); 34] = [
    ("AKIA", 16, 16),
    ("ASIA", 16, 16),
    ("ghp_", 36, 36),
    ("gho_", 36, 36),
    ("ghu_", 36, 36),
    ("ghs_", 36, 36),
    ("ghr_", 36, 76),
    ("github_pat_", 82, 82),
    ("glpat-", 20, 40),
    ("sk-proj-", 40, 200),
    ("sk-ant-", 40, 200),
    ("sk-", 20, 64),
    ("AIza", 35, 35),
    ("GOCSPX-", 28, 28),
    ("ya29.", 40, 400),
    ("xoxb-", 20, 100),
    ("xoxp-", 20, 100),
    ("xoxa-", 20, 100),
    ("xoxr-", 20, 100),
    ("xoxs-", 20, 100),
    ("sk_live_", 24, 100),
    ("sk_test_", 24, 100),
    ("rk_live_", 24, 100),
    ("rk_test_", 24, 100),
    ("pk_live_", 24, 100),
    ("pk_test_", 24, 100),
    ("hf_", 34, 40),
    ("npm_", 36, 36),
    ("pypi-", 85, 250),
    ("SG.", 66, 66),
    ("LTAI", 12, 26),
    ("AKID", 32, 32),
    ("dop_v1_", 64, 64),
    ("shpat_", 32, 32),
];

const PEM: (&str, &str, &str) = ("-----BEGIN ", "PRIVATE KEY-----", "-----END ");

/// What the name ends in to which a key is assigned.
const NAMES: [&str; 9] =
    ["key", "secret", "token", "密钥", "密鑰", "令牌", "key_id", "access_key_id", "credential"];

/// The shortest key that counts, whoever issued it, and the shortest that is assigned.
const LEAST: usize = 16;
const MOST_NAME: usize = 24;

fn find(scan: &Scan<'_>, found: &mut Vec<Range<usize>>) {
    private_keys(scan.text, found);
    let bytes = scan.text.as_bytes();
    let of_key = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.+/=".contains(&byte);
    let mut start = 0;
    while start < bytes.len() {
        let size = bytes[start..].iter().take_while(|&&byte| of_key(byte)).count();
        if size >= LEAST && !(start > 0 && bytes[start - 1] == b'@') {
            found.extend(key(scan, start, start + size));
        }
        start += size.max(1);
    }
}

/// Adds PEM blocks of private keys.
fn private_keys(text: &str, found: &mut Vec<Range<usize>>) {
    let (begin, private, end) = PEM;
    let mut done = 0;
    for start in memmem::find_iter(text.as_bytes(), begin) {
        let line = text[start..].lines().next().unwrap_or_default();
        if start < done || !line.contains(private) {
            continue;
        }
        let block = &text[start..];
        let close = block.find(end).and_then(|at| Some(at + block[at..].find(private)?));
        let size = close.map_or(line.len(), |at| at + private.len());
        done = start + size;
        found.push(start..done);
    }
}

/// The key in a stretch of characters that keys are made of.
fn key(scan: &Scan<'_>, start: usize, end: usize) -> Option<Range<usize>> {
    // What is assigned in the stretch itself, as in `TOKEN=value`.
    let stretch = &scan.text[start..end];
    let from = stretch.trim_end_matches('=').find('=').map_or(start, |at| start + at + 1);
    let word = scan.text[from..end].trim_end_matches('.');
    let range = from..from + word.len();
    let whole = !scan.before(from).is_some_and(is_word);
    let issued = ISSUED.iter().any(|&(begin, least, most)| {
        word.strip_prefix(begin).is_some_and(|rest| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
            (least..=most).contains(&rest.len()) && rest.bytes().all(plain) && is_mixed(rest)
        })
    });
    (whole && (issued || is_web_token(word) || is_assigned(scan, from, word))).then_some(range)
}

/// Whether no word of a language could be it.
fn is_mixed(text: &str) -> bool {
    let any = |fits: fn(&u8) -> bool| text.as_bytes().iter().any(fits);
    any(u8::is_ascii_digit) && any(u8::is_ascii_alphabetic)
        || any(u8::is_ascii_uppercase) && any(u8::is_ascii_lowercase)
}

fn is_web_token(word: &str) -> bool {
    let mut parts = word.split('.');
    let json = |part: Option<&str>| part.is_some_and(|part| part.starts_with("eyJ"));
    json(parts.next())
        && json(parts.next())
        && parts.next().is_some_and(|signature| signature.len() >= LEAST)
        && parts.next().is_none()
}

/// Whether `word` at `start` is a key that a telling name is given.
fn is_assigned(scan: &Scan<'_>, start: usize, word: &str) -> bool {
    let any = |fits: fn(&u8) -> bool| word.as_bytes().iter().any(fits);
    let random = any(u8::is_ascii_digit) && any(u8::is_ascii_alphabetic);
    if word.len() < LEAST || !random || word.contains('.') || word.starts_with('/') {
        return false;
    }
    let quote = |c: char| matches!(c, '"' | '\'' | '`' | ' ');
    let before = scan.text[..start].trim_end_matches(quote);
    let Some(sign) = before.chars().next_back().filter(|&c| matches!(fold(c), ':' | '=')) else {
        return false;
    };
    let name = before[..before.len() - sign.len_utf8()].trim_end_matches(quote);
    let from = name.floor_char_boundary(name.len().saturating_sub(MOST_NAME));
    let name = name[from..].to_ascii_lowercase();
    NAMES.iter().any(|known| name.ends_with(known))
}
