//! The byte alphabet of byte-level vocabularies: each byte as one printable character.
//!
//! Source: GPT-2's `encoder.py` (`bytes_to_unicode`). Printable Latin-1 bytes stand for themselves,
//! the other 68 are shifted, in order, to U+0100 and up.

use std::sync::LazyLock;

/// Characters of the alphabet lie below this code point.
const CODE_POINTS: usize = 0x100 + 68;

struct Alphabet {
    char_of: [char; 256],
    byte_of: [Option<u8>; CODE_POINTS],
}

static ALPHABET: LazyLock<Alphabet> = LazyLock::new(|| {
    let mut alphabet = Alphabet { char_of: ['\0'; 256], byte_of: [None; CODE_POINTS] };
    let mut shifted = (0x100_u32..).filter_map(char::from_u32);
    for byte in 0..=255_u8 {
        let printable = matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
        let next = if printable { Some(char::from(byte)) } else { shifted.next() };
        let character = next.unwrap_or_default();
        alphabet.char_of[usize::from(byte)] = character;
        alphabet.byte_of[character as usize] = Some(byte);
    }
    alphabet
});

/// `bytes` spelled in the alphabet, one character a byte.
pub(crate) fn spell(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| ALPHABET.char_of[usize::from(byte)]).collect()
}

/// The bytes that `text` spells, or `None` when a character is outside the alphabet.
pub(crate) fn unspell(text: &str) -> Option<Vec<u8>> {
    text.chars().map(|character| ALPHABET.byte_of.get(character as usize).copied()?).collect()
}

/// All bytes in the order of their characters, which is how vocabularies number them.
pub(crate) fn in_order() -> [u8; 256] {
    let mut bytes = std::array::from_fn(|byte| byte as u8);
    bytes.sort_unstable_by_key(|&byte| ALPHABET.char_of[usize::from(byte)]);
    bytes
}

/// The characters of the alphabet.
#[cfg(test)]
pub(crate) fn spelled_alphabet() -> impl Iterator<Item = char> {
    ALPHABET.char_of.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_its_own_visible_character() {
        let bytes: Vec<u8> = (0..=255).collect();
        let spelled = spell(&bytes);
        assert!(spelled.chars().all(|c| !c.is_whitespace() && !c.is_control()));
        assert_eq!(unspell(&spelled), Some(bytes));
        assert_eq!(spell(b" "), "\u{120}", "the space is the well-known G with a dot");
        assert_eq!(unspell("\u{4e2d}"), None);
    }
}
