//! Text that is in Unicode's normal form C as it stands, recognised without normalising it.
//!
//! Some scripts have only characters that never change and never move; text of these alone is in
//! the form. For any other text the library's own step is asked, so that ids cannot differ.

/// Characters that are in normal form C wherever they stand, and combine with nothing before them.
const INERT: &[(u32, u32)] = &[
    (0x0000, 0x02FF),
    (0x0400, 0x0482),
    (0x048A, 0x052F),
    (0x2010, 0x2027),
    (0x2030, 0x205E),
    (0x20A0, 0x20BF),
    (0x2190, 0x21FF),
    (0x2460, 0x27BF),
    (0x3000, 0x3029),
    (0x3030, 0x303F),
    (0x3041, 0x3096),
    (0x30A1, 0x30FF),
    (0x3105, 0x312F),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xAC00, 0xD7A3),
    (0xFE30, 0xFE4F),
    (0xFF01, 0xFFEF),
    (0x1_F300, 0x1_FAFF),
];

/// True when `text` is certainly in normal form C.
pub(super) fn is_certainly_nfc(text: &str) -> bool {
    text.is_ascii()
        || text.chars().all(|character| {
            let character = u32::from(character);
            character < 0x300
                || (0x4E00..=0x9FFF).contains(&character)
                || INERT.iter().any(|&(first, last)| (first..=last).contains(&character))
        })
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
    }
}
