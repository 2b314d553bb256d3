//! English words by the rules of spaCy's blank pipeline: exceptions first, then what is cut off the
//! ends of a word, then what is cut out of its middle, then exceptions again over the pieces.

use std::sync::LazyLock;

use super::classes::{
    AFTER_INNER_STOP, ALPHA, BEFORE_INNER_STOP, BEFORE_STOP, Class, ICON, PREFIX, SPACE, SUFFIX,
    UPPER, is,
};
use super::url::is_url;
use super::{HashMap, HashSet, Span, end_of_space, new_map, slice};

/// The words of `text`, and runs of white space but for single blanks behind a word.
pub(super) fn tokens(text: &str) -> Vec<Span> {
    let mut splitter = Splitter { text, tokens: Vec::with_capacity(text.len() / 4), cut: false };
    let mut start = 0;
    while start < text.len() {
        let end = end_of_word(text, start);
        if end > start {
            splitter.word(start, end);
        }
        let space = end_of_space(text, end);
        // One blank behind a word belongs to it.
        let blank = end > 0 && text.as_bytes().get(end) == Some(&b' ');
        let from = end + usize::from(blank);
        if from < space {
            splitter.push(from, space);
        }
        start = space;
    }
    if splitter.cut { rejoin(text, splitter.tokens) } else { splitter.tokens }
}

fn end_of_word(text: &str, start: usize) -> usize {
    let bytes = text.as_bytes();
    let mut at = start;
    while at < bytes.len() {
        match bytes[at] {
            b'!'..=b'~' => at += 1,
            byte if byte < 0x80 => {
                if is(char::from(byte), SPACE) {
                    return at;
                }
                at += 1;
            }
            _ => {
                let Some(character) = text[at..].chars().next() else { return at };
                if is(character, SPACE) {
                    return at;
                }
                at += character.len_utf8();
            }
        }
    }
    at
}

struct Splitter<'a> {
    text: &'a str,
    tokens: Vec<Span>,
    /// Whether any word was cut, so that exceptions may be found over its pieces.
    cut: bool,
}

impl Splitter<'_> {
    fn push(&mut self, start: usize, end: usize) {
        self.tokens.push(start as u32..end as u32);
    }

    /// Adds the tokens of what stands between white space.
    fn word(&mut self, start: usize, end: usize) {
        if self.exception(start, end) {
            return;
        }
        let word = &self.text[start..end];
        if word.bytes().all(|byte| byte.is_ascii_alphabetic()) {
            return self.push(start, end);
        }
        self.cut = true;
        let mut suffixes = Vec::new();
        let (start, end) = self.cut_ends(start, end, &mut suffixes);
        if start < end && !self.exception(start, end) {
            if is_url(&self.text[start..end]) {
                self.push(start, end);
            } else {
                self.cut_middle(start, end);
            }
        }
        self.tokens.extend(suffixes.into_iter().rev());
    }

    /// Adds the tokens of an exception, if it is one.
    fn exception(&mut self, start: usize, end: usize) -> bool {
        let Some(sizes) = RULES.exception(&self.text[start..end]) else { return false };
        let mut at = start;
        for &size in sizes {
            self.push(at, at + usize::from(size));
            at += usize::from(size);
        }
        true
    }

    /// Adds the prefixes, collects the suffixes, outermost first, and gives what is left.
    fn cut_ends(
        &mut self,
        mut start: usize,
        mut end: usize,
        suffixes: &mut Vec<Span>,
    ) -> (usize, usize) {
        while start < end {
            let word = &self.text[start..end];
            if RULES.exception(word).is_some() {
                break;
            }
            let prefix = prefix_len(word);
            let without = &word[prefix..];
            if prefix > 0 && !without.is_empty() && RULES.exception(without).is_some() {
                self.push(start, start + prefix);
                start += prefix;
                break;
            }
            let suffix = suffix_len(without);
            let without = &word[..word.len() - suffix];
            if suffix > 0 && !without.is_empty() && RULES.exception(without).is_some() {
                end -= suffix;
                suffixes.push(end as u32..(end + suffix) as u32);
                break;
            }
            if prefix + suffix == 0 {
                break;
            }
            if prefix > 0 {
                self.push(start, start + prefix);
                start += prefix;
            }
            if suffix > 0 {
                end -= suffix;
                suffixes.push(end as u32..(end + suffix) as u32);
            }
        }
        (start, end)
    }

    /// Adds the pieces between infixes, and these.
    fn cut_middle(&mut self, start: usize, end: usize) {
        let word = &self.text[start..end];
        let (mut from, mut at) = (0, 0);
        let mut before = None;
        while let Some(character) = word[at..].chars().next() {
            let size = infix_len(before, &word[at..], character);
            if size == 0 || at == 0 {
                // An infix at the front is passed over whole, but stays with what follows.
                let step = size.max(character.len_utf8());
                before = word[..at + step].chars().next_back();
                at += step;
                continue;
            }
            if from < at {
                self.push(start + from, start + at);
            }
            self.push(start + at, start + at + size);
            at += size;
            from = at;
            before = word[..at].chars().next_back();
        }
        if from < word.len() {
            self.push(start + from, end);
        }
    }
}

/// Bytes to cut off the front of `word`.
fn prefix_len(word: &str) -> usize {
    let Some(first) = word.chars().next() else { return 0 };
    match first {
        '.' => dots(word.bytes()),
        '+' => usize::from(!word[1..].starts_with(|c: char| c.is_ascii_digit())),
        'U' => 3 * usize::from(word.starts_with("US$")),
        'A' | 'C' => 2 * usize::from(word[1..].starts_with('$')),
        _ if is(first, PREFIX) => first.len_utf8(),
        _ => 0,
    }
}

/// Length of a run of at least two full stops.
fn dots(bytes: impl Iterator<Item = u8>) -> usize {
    match bytes.take_while(|&byte| byte == b'.').count() {
        1 => 0,
        count => count,
    }
}

/// Bytes to cut off the end of `word`: of all that fit, the longest.
fn suffix_len(word: &str) -> usize {
    let mut backwards = word.chars().rev();
    let Some(last) = backwards.next() else { return 0 };
    let before = backwards.next();
    let simple = match last {
        '.' => match dots(word.bytes().rev()) {
            0 => usize::from(stop_stands_alone(before, backwards.next())),
            count => return count,
        },
        '+' => usize::from(before.is_some_and(|c| c.is_ascii_digit())),
        's' | 'S' if before == Some('\'') => 2,
        's' | 'S' if before == Some('\u{2019}') => 4,
        '\u{2026}' if before == Some('\u{2026}') => 6,
        _ if is(last, SUFFIX) => last.len_utf8(),
        _ => 0,
    };
    // What is cut off behind a digit has none itself, so it begins behind the last digit.
    match word.bytes().rposition(|byte| byte.is_ascii_digit()) {
        Some(digit) if word.len() - digit - 1 > simple => {
            let unit = &word[digit + 1..];
            if RULES.units.contains(unit) { unit.len() } else { simple }
        }
        _ => simple,
    }
}

/// Whether a full stop at the end of a word, behind `before`, itself behind `earlier`, is cut off.
fn stop_stands_alone(before: Option<char>, earlier: Option<char>) -> bool {
    let Some(before) = before else { return false };
    let class = Class::of(before);
    class.is(BEFORE_STOP)
        || class.is(UPPER) && earlier.is_some_and(|c| is(c, UPPER))
        || matches!(before, 'F' | 'f' | 'C' | 'c' | 'K' | 'k') && earlier == Some('\u{b0}')
}

/// Bytes of the infix that begins at `rest`, whose first character is `first`, behind `before`.
fn infix_len(before: Option<char>, rest: &str, first: char) -> usize {
    if first.is_ascii_alphanumeric() {
        return 0;
    }
    let behind = Class::of(before.unwrap_or('\u{1}'));
    let behind_digit = before.is_some_and(|c| c.is_ascii_digit());
    let after = |size: usize, class| rest[size..].starts_with(|c| is(c, class));
    let operator = || {
        usize::from(behind_digit && rest[1..].starts_with(|c: char| c.is_ascii_digit() || c == '-'))
    };
    let hyphen = || {
        const HYPHENS: [&str; 7] =
            ["-", "\u{2013}", "\u{2014}", "--", "---", "\u{2014}\u{2014}", "~"];
        let fits = |mark: &&&str| rest.starts_with(**mark) && after(mark.len(), ALPHA);
        let allowed = behind.is(ALPHA) || behind_digit;
        let found = HYPHENS.iter().filter(|_| allowed).find(fits);
        found.map_or(0, |mark| mark.len())
    };
    match first {
        '.' => match dots(rest.bytes()) {
            0 => usize::from(behind.is(BEFORE_INNER_STOP) && after(1, AFTER_INNER_STOP)),
            count => count,
        },
        '+' | '*' | '^' => operator(),
        '-' => match operator() {
            0 => hyphen(),
            one => one,
        },
        '\u{2013}' | '\u{2014}' | '~' => hyphen(),
        ',' => usize::from(behind.is(ALPHA) && after(1, ALPHA)),
        ':' | '<' | '>' | '=' | '/' => {
            usize::from((behind.is(ALPHA) || behind_digit) && after(1, ALPHA))
        }
        _ if is(first, ICON) => first.len_utf8(),
        _ => 0,
    }
}

/// Exceptions that are found over neighbouring tokens: the longest first, then the leftmost. One
/// that reaches over a blank joins nothing, but keeps shorter ones from its place.
fn rejoin(text: &str, tokens: Vec<Span>) -> Vec<Span> {
    let found = matches(text, &tokens);
    if found.is_empty() {
        return tokens;
    }
    let mut rejoined = Vec::with_capacity(tokens.len());
    let mut at = 0;
    for (start, end) in found {
        let whole = tokens[start].start as usize..tokens[end - 1].end as usize;
        let Some(sizes) = RULES.exception(&text[whole.clone()]) else { continue };
        rejoined.extend_from_slice(&tokens[at..start]);
        let mut from = whole.start;
        for &size in sizes {
            rejoined.push(from as u32..(from + usize::from(size)) as u32);
            from += usize::from(size);
        }
        at = end;
    }
    rejoined.extend_from_slice(&tokens[at..]);
    rejoined
}

/// The places of exceptions over several tokens, none over another, in their order.
fn matches(text: &str, tokens: &[Span]) -> Vec<(usize, usize)> {
    let mut all = Vec::new();
    for (index, pair) in tokens.windows(2).enumerate() {
        let second = slice(text, &pair[1]);
        if second.len() > RULES.longest_second || !RULES.seconds[usize::from(second.as_bytes()[0])]
        {
            continue;
        }
        for pieces in RULES.pieces.get(slice(text, &pair[0])).into_iter().flatten() {
            let Some(candidate) = tokens.get(index..index + pieces.len()) else { continue };
            if candidate.iter().zip(pieces).all(|(token, piece)| slice(text, token) == *piece) {
                all.push((index, index + pieces.len()));
            }
        }
    }
    if all.is_empty() {
        return all;
    }
    all.sort_by_key(|&(start, end)| (std::cmp::Reverse(end - start), start));
    let mut taken = vec![false; tokens.len()];
    all.retain(|&(start, end)| {
        let free = !taken[start] && !taken[end - 1];
        taken[start..end].fill(true);
        free
    });
    all.sort_unstable();
    all
}

struct Rules {
    /// Sizes of the tokens of each exception, in bytes.
    exceptions: HashMap<String, Vec<u8>>,
    longest_exception: usize,
    /// What several tokens an exception is found over, by the first of them.
    pieces: HashMap<&'static str, Vec<Vec<&'static str>>>,
    /// First bytes of all second ones, and the length of the longest.
    seconds: [bool; 256],
    longest_second: usize,
    /// Units and currencies that are cut off behind a digit.
    units: HashSet<&'static str>,
}

impl Rules {
    fn exception(&self, word: &str) -> Option<&[u8]> {
        if word.len() > self.longest_exception {
            return None;
        }
        self.exceptions.get(word).map(Vec::as_slice)
    }
}

static RULES: LazyLock<Rules> = LazyLock::new(|| {
    let mut rules = Rules {
        exceptions: new_map(2048),
        longest_exception: 0,
        pieces: new_map(256),
        seconds: [false; 256],
        longest_second: 0,
        units: include_str!("units.txt").lines().collect(),
    };
    for line in include_str!("english.txt").lines() {
        let (tokens, found) = line.split_once('\t').unwrap_or((line, ""));
        let sizes: Vec<u8> = tokens.split(' ').map(|token| token.len() as u8).collect();
        let pieces: Vec<&str> = found.split(' ').collect();
        if let [first, second, ..] = pieces[..] {
            rules.seconds[usize::from(second.as_bytes()[0])] = true;
            rules.longest_second = rules.longest_second.max(second.len());
            rules.pieces.entry(first).or_default().push(pieces);
        }
        let word = tokens.replace(' ', "");
        rules.longest_exception = rules.longest_exception.max(word.len());
        rules.exceptions.insert(word, sizes);
    }
    rules
});
