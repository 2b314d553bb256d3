//! Bytes to text: the byte order mark, then what the file declares, then UTF-8, then a guess.
//!
//! Nothing is replaced: bytes that are not text in the encoding found are a rejection with their
//! place. What was found stands in `meta.encoding` unless it is UTF-8.

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, UTF_8};

use super::Reason;
use crate::document::Meta;

/// A text and its encoding.
#[derive(Debug, PartialEq)]
pub(super) struct Decoded {
    pub(super) text: String,
    pub(super) encoding: &'static Encoding,
}

impl Decoded {
    /// Notes the encoding in `meta`, UTF-8 being understood.
    pub(super) fn describe(&self, meta: &mut Meta) {
        if self.encoding != UTF_8 {
            meta.insert("encoding".to_owned(), self.encoding.name().into());
        }
    }
}

/// `bytes` as text; `declared` is the label that the file gives itself, if it does.
///
/// # Errors
/// The reason when they are no text, or empty.
pub(super) fn decode(
    bytes: Vec<u8>,
    declared: Option<&str>,
) -> std::result::Result<Decoded, Reason> {
    let marked = Encoding::for_bom(&bytes);
    if marked.is_none()
        && let Some(at) = bytes.iter().position(|&byte| byte == 0)
    {
        return Err(Reason::new("binary", format!("a NUL byte at byte {at}")));
    }
    let labelled = declared.and_then(|label| Encoding::for_label(label.as_bytes()));
    let (encoding, mark) = marked.unwrap_or_else(|| (labelled.unwrap_or_else(|| guess(&bytes)), 0));
    let text = if encoding == UTF_8 && mark == 0 {
        String::from_utf8(bytes).map_err(|error| {
            Reason::new("not UTF-8", format!("broken at byte {}", error.utf8_error().valid_up_to()))
        })?
    } else {
        decode_as(encoding, &bytes[mark..])?
    };
    if text.trim().is_empty() {
        return Err(Reason::new("empty", ""));
    }
    Ok(Decoded { text, encoding })
}

/// `bytes` in a known encoding, strictly.
///
/// # Errors
/// The reason when they are not text in it.
pub(super) fn decode_as(
    encoding: &'static Encoding,
    bytes: &[u8],
) -> std::result::Result<String, Reason> {
    let name = encoding.name();
    let text = encoding
        .decode_without_bom_handling_and_without_replacement(bytes)
        .ok_or_else(|| Reason::new("undecodable", format!("not text in {name}")))?;
    // Single-byte encodings give every byte a meaning, so controls tell data from text.
    match text.chars().position(|found| found.is_control() && !is_layout(found)) {
        Some(at) if encoding != UTF_8 => {
            Err(Reason::new("binary", format!("a control character at character {at} as {name}")))
        }
        _ => Ok(text.into_owned()),
    }
}

fn is_layout(found: char) -> bool {
    matches!(found, '\t' | '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1a}' | '\u{85}')
}

/// The most likely encoding of `bytes`.
pub(super) fn guess(bytes: &[u8]) -> &'static Encoding {
    if std::str::from_utf8(bytes).is_ok() {
        return UTF_8;
    }
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Allow);
    detector.feed(bytes, true);
    detector.guess(None, Utf8Detection::Deny)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_text_is_refused_with_its_place() {
        for (bytes, kind) in [
            (&b"MZ\0"[..], "binary"),
            (b"\xff\xfea", "undecodable"),
            (b"\xEF\xBB\xBFcaf\xe9", "undecodable"),
            (b"\x01\x02\x8d\x9d\xff", "binary"),
            (b" \n", "empty"),
            (b"\xEF\xBB\xBF", "empty"),
        ] {
            assert_eq!(decode(bytes.to_vec(), None).unwrap_err().kind, kind, "{bytes:?}");
        }
        let declared = decode(b"caf\xe9".to_vec(), Some("utf-8")).unwrap_err();
        assert_eq!(declared, Reason::new("not UTF-8", "broken at byte 3"));
    }

    #[test]
    fn a_mark_wins_over_a_label_and_a_label_over_a_guess() {
        let marked = decode(b"\xff\xfea\0".to_vec(), Some("gbk")).unwrap();
        assert_eq!((marked.text.as_str(), marked.encoding.name()), ("a", "UTF-16LE"));
        let labelled = decode(b"\xa4\xa4".to_vec(), Some("big5")).unwrap();
        assert_eq!((labelled.text.as_str(), labelled.encoding.name()), ("\u{4e2d}", "Big5"));
    }
}
