//! Text that is in Unicode's normal form C as it stands, recognised without normalising it.
//!
//! Some scripts have only characters that never change and never move; text of these alone is in
//! the form. For any other text the library's own step is asked, so that ids cannot differ.

use std::sync::LazyLock;

/// Characters that are in normal form C wherever they stand, and combine with nothing before them.
const INERT: &[(u32, u32)] = &[
    (0x0000, 0x02FF),
    (0x0391, 0x03CE),
    (0x0400, 0x0482),
    (0x048A, 0x052F),
    (0x2002, 0x205E),
    (0x20A0, 0x20BF),
    (0x2100, 0x2125),
    (0x212C, 0x2328),
    (0x232B, 0x2ADB),
    (0x3000, 0x3029),
    (0x3030, 0x303F),
    (0x3041, 0x3096),
    (0x30A1, 0x30FF),
    (0x3105, 0x312F),
    (0x3200, 0x33FF),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xAC00, 0xD7A3),
    (0xFE00, 0xFE0F),
    (0xFE30, 0xFE4F),
    (0xFF01, 0xFFEF),
    (0x1_F000, 0x1_FAFF),
];

/// Characters from here on are not looked at.
const CHARACTERS: usize = 0x2_0000;

/// A bit for each character: whether it is inert.
static BITS: LazyLock<Vec<u64>> = LazyLock::new(|| {
    let mut bits = vec![0; CHARACTERS / 64];
    for character in INERT.iter().flat_map(|&(first, last)| first as usize..=last as usize) {
        bits[character / 64] |= 1_u64 << (character % 64);
    }
    bits
});

/// True when `text` is certainly in normal form C.
pub(super) fn is_certainly_nfc(text: &str) -> bool {
    let bits = BITS.as_slice();
    let mut rest = text;
    while !rest.is_empty() {
        // Most text is ASCII for a while, or not at all for a while.
        let ascii = rest.as_bytes().as_chunks::<16>().0;
        let ascii = ascii.iter().take_while(|sixteen| sixteen.is_ascii()).count();
        let mut characters = rest[16 * ascii..].chars();
        let mut seen = 0;
        for character in characters.by_ref() {
            let character = character as usize;
            let inert = bits.get(character / 64).is_some_and(|b| b >> (character % 64) & 1 != 0);
            if !inert {
                return false;
            }
            seen = if character < 0x80 { seen + 1 } else { 0 };
            if seen == 16 {
                break;
            }
        }
        rest = characters.as_str();
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokenizers::{NormalizedString, Normalizer, normalizers::unicode::NFC};

    fn nfc(text: &str) -> String {
        let mut normalized = NormalizedString::from(text);
        NFC.normalize(&mut normalized).unwrap_or_else(|error| unreachable!("{error}"));
        normalized.get().to_owned()
    }

    #[test]
    fn inert_characters_neither_change_nor_move_nor_join() {
        // U+0345 has the highest class: a character with a class of its own would go before it.
        let inert = INERT.iter().flat_map(|&(first, last)| first..=last).filter_map(char::from_u32);
        for character in inert {
            for before in ["", "a\u{345}", "e", "\u{AC00}", "\u{30AB}", "\u{9C7}"] {
                let text = format!("{before}{character}");
                assert_eq!(nfc(&text), text, "U+{:04X}", u32::from(character));
            }
        }
        assert!(!is_certainly_nfc("e\u{301}") && !is_certainly_nfc("\u{F900}"));
        assert!(is_certainly_nfc("été 中文，한국어 かな 👍"));
        for at in 0..100 {
            let before = "a".repeat(at);
            let after = "中b".repeat(at);
            assert!(is_certainly_nfc(&format!("{before}é{after}")), "{at}");
            assert!(!is_certainly_nfc(&format!("{before}é{after}\u{301}{after}{before}")), "{at}");
        }
    }
}
