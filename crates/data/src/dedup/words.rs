//! Words for comparing texts: case, digits, punctuation, spacing and accents do not count.

use danlu_tokenizer::is_han;
use twox_hash::XxHash64;
use unicode_normalization::UnicodeNormalization;

use super::spacing_marks::SPACING;

/// What datatrove 0.10 replaces by spaces, control characters apart.
const PUNCTUATION: &str = "!/\u{2014}\u{201d}:\u{ff05}\u{ff11}\u{3008}&(\u{3001}\u{2501}\\\
    \u{3010}#%\u{300c}\u{300d}\u{ff0c}\u{3011}\u{ff1b}+^]~\u{201c}\u{300a}\u{201e}';\u{2019}{|\
    \u{2236}\u{b4}[=-`*\u{ff0e}\u{ff08}\u{2013}\u{ff1f}\u{ff01}\u{ff1a}$\u{ff5e}\u{ab}\u{3009},>\
    <\u{300b})?\u{ff09}\u{3002}\u{2026}@_.\"}\u{25ba}\u{bb}";

/// The zeros of Unicode's decimal digits; the nine after each are the others.
const ZEROS: &[u32] = &[
    0x30, 0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66,
    0xde6, 0xe50, 0xed0, 0xf20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90,
    0x1b50, 0x1bb0, 0x1c40, 0x1c50, 0xa620, 0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0xff10,
    0x104a0, 0x10d30, 0x11066, 0x110f0, 0x11136, 0x111d0, 0x112f0, 0x11450, 0x114d0, 0x11650,
    0x116c0, 0x11730, 0x118e0, 0x11950, 0x11c50, 0x11d50, 0x11da0, 0x16a60, 0x16ac0, 0x16b50,
    0x1d7ce, 0x1d7d8, 0x1d7e2, 0x1d7ec, 0x1d7f6, 0x1e140, 0x1e2f0, 0x1e950, 0x1fbf0,
];

/// What may stand between the digits of one number.
const SEPARATORS: [char; 7] = ['.', ',', '\u{60c}', '\u{66b}', '\u{2396}', '\u{2397}', '\u{2398}'];

/// `text` in lower case, numbers as 0, punctuation and spacing as one space, accents removed.
///
/// ```
/// assert_eq!(danlu_data::simplify("Caf\u{e9},  No. 12.5!"), "cafe no 0");
/// ```
pub fn simplify(text: &str) -> String {
    let lower = text.to_lowercase();
    let mut spaced = String::with_capacity(lower.len());
    let mut characters = lower.chars().peekable();
    let mut pending = false;
    while let Some(character) = characters.next() {
        let blank = character.is_whitespace() || is_punctuation(character);
        if blank {
            pending = !spaced.is_empty();
            continue;
        }
        if std::mem::take(&mut pending) {
            spaced.push(' ');
        }
        if !is_digit(character) {
            spaced.push(character);
            continue;
        }
        spaced.push('0');
        skip_number(&mut characters);
    }
    if spaced.is_ascii() {
        return spaced;
    }
    spaced.nfd().filter(|&character| !is_mark(character)).collect::<String>().trim().to_owned()
}

/// Goes past the rest of a number, of which one digit was taken: more digits, and once a separator
/// with digits after it.
fn skip_number(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    while characters.next_if(|&next| is_digit(next)).is_some() {}
    let mut ahead = characters.clone();
    let separated = ahead.next().is_some_and(|next| SEPARATORS.contains(&next));
    if separated && ahead.next().is_some_and(is_digit) {
        characters.next();
        while characters.next_if(|&next| is_digit(next)).is_some() {}
    }
}

fn is_punctuation(character: char) -> bool {
    match character {
        '\t' | '\n' => false,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' => true,
        _ if character.is_ascii_alphanumeric() => false,
        _ => PUNCTUATION.contains(character),
    }
}

fn is_digit(character: char) -> bool {
    if character.is_ascii() {
        return character.is_ascii_digit();
    }
    if !character.is_numeric() {
        return false;
    }
    let code = u32::from(character);
    let after = ZEROS.partition_point(|&zero| zero <= code);
    after > 0 && code - ZEROS[after - 1] < 10
}

/// Whether a character only changes the one before it, without a width of its own.
fn is_mark(character: char) -> bool {
    unicode_normalization::char::is_combining_mark(character) && !is_spacing_mark(character)
}

/// Marks of the category Mc or Me that is_combining_mark counts too: nearly all are vowel signs of
/// the scripts of India and South-East Asia.
fn is_spacing_mark(character: char) -> bool {
    let code = u32::from(character);
    SPACING.iter().any(|&(first, last)| (first..=last).contains(&code))
}

/// Words of a simplified text: what stands between spaces, and each Chinese character.
pub fn words_of(simple: &str) -> Vec<&str> {
    let mut words = Vec::new();
    for word in simple.split(' ').filter(|word| !word.is_empty()) {
        let mut start = 0;
        for (at, character) in word.char_indices().filter(|&(_, character)| is_han(character)) {
            let end = at + character.len_utf8();
            words.extend([&word[start..at], &word[at..end]].into_iter().filter(|w| !w.is_empty()));
            start = end;
        }
        if start < word.len() {
            words.push(&word[start..]);
        }
    }
    words
}

/// XXH64 of each n-gram of `words`, in order, its words joined by blanks.
pub(crate) fn ngram_hashes(words: &[&str], ngram: usize) -> Vec<u64> {
    let joined = words.join(" ");
    let mut starts = Vec::with_capacity(words.len() + 1);
    let mut at = 0;
    for word in words {
        starts.push(at);
        at += word.len() + 1;
    }
    starts.push(at);
    let hash =
        |window: &[usize]| XxHash64::oneshot(0, &joined.as_bytes()[window[0]..window[ngram] - 1]);
    starts.windows(ngram + 1).map(hash).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chinese_words_are_characters() {
        assert_eq!(words_of("gpt模型 is 好x"), ["gpt", "模", "型", "is", "好", "x"]);
        assert_eq!(words_of(""), [""; 0]);
    }
}
