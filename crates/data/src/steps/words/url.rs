//! Whether a word is a web or mail address, by spaCy's `URL_PATTERN`, which has to match all of it:
//! `[scheme://][user[:password]@](IPv4 | host.tld)[:port][/path]`.

use super::classes::{DIGIT, LOWER, WORD, is};

/// Whether all of `word`, which has no spaces, is an address.
pub(super) fn is_url(word: &str) -> bool {
    if !word.contains('.') {
        return false;
    }
    let after_scheme = scheme_len(word);
    [Some(0), after_scheme].into_iter().flatten().any(|start| {
        let rest = &word[start..];
        // Whatever precedes an at sign may be a user, as long as there is something.
        let users = rest.match_indices('@').filter(|(at, _)| *at > 0).map(|(at, _)| at + 1);
        std::iter::once(0).chain(users).any(|host| is_host_and_path(&rest[host..]))
    })
}

/// Length of `scheme://` at the start of `word`.
fn scheme_len(word: &str) -> Option<usize> {
    let colon = word.find(':')?;
    let scheme = &word[..colon];
    let fits = |c| matches!(c, '+' | '-' | '.') || is(c, WORD);
    let whole = word[colon..].starts_with("://") && scheme.chars().all(fits);
    (whole && scheme.chars().nth(1).is_some()).then_some(colon + 3)
}

fn is_host_and_path(text: &str) -> bool {
    let end = text.find([':', '/', '?', '#']).unwrap_or(text.len());
    (is_host(&text[..end]) || is_address(&text[..end])) && is_port_and_path(&text[end..])
}

fn is_port_and_path(text: &str) -> bool {
    let Some(port) = text.strip_prefix(':') else { return true };
    let digits = port.chars().take_while(|&c| is(c, DIGIT)).count();
    let rest = port.trim_start_matches(|c| is(c, DIGIT));
    (2..=5).contains(&digits) && (rest.is_empty() || rest.starts_with(['/', '?', '#']))
}

/// Labels and a top-level domain in lower-case letters.
fn is_host(host: &str) -> bool {
    let Some((labels, domain)) = host.rsplit_once('.') else { return false };
    let size = domain.chars().count();
    (2..=63).contains(&size)
        && domain.chars().all(|c| is(c, LOWER))
        && labels.split('.').all(is_label)
}

fn is_label(label: &str) -> bool {
    let outer = |c: char| c.is_ascii_alphanumeric() || ('\u{a1}'..='\u{ffff}').contains(&c);
    let inner = |c: char| outer(c) || c == '_' || c == '-';
    label.starts_with(outer)
        && label.ends_with(outer)
        && label.chars().all(inner)
        && label.chars().count() <= 64
}

/// A public IPv4 address.
fn is_address(host: &str) -> bool {
    let mut octets = [0_u32; 4];
    let mut count = 0;
    for part in host.split('.') {
        let size = part.chars().count();
        let digits = part.chars().all(|c| is(c, DIGIT));
        let Some(octet) = octets.get_mut(count) else { return false };
        if !digits || !(1..=3).contains(&size) {
            return false;
        }
        // Digits of other scripts fit where the pattern asks for any digit; none of those places
        // decides on a range, so they count as nought.
        *octet = part.chars().fold(0, |n, c| n * 10 + c.to_digit(10).unwrap_or(0));
        let leading_nought = part.starts_with('0');
        let outer = count == 0 || count == 3;
        if outer && leading_nought || *octet > 255 || size == 3 && leading_nought {
            return false;
        }
        count += 1;
    }
    let [a, b, _, d] = octets;
    let private = matches!((a, b), (10 | 127, _) | (169, 254) | (192, 168) | (172, 16..=31));
    count == 4 && (1..=223).contains(&a) && (1..=254).contains(&d) && !private
}
