//! Bytes to text: the byte order mark, then what the file declares, then UTF-8, then a guess.
//!
//! Nothing is replaced: bytes that are not text in the encoding found are a rejection with their
//! place. What was found stands in `meta.encoding` unless it is UTF-8.

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, ISO_2022_JP, UTF_8, UTF_16BE, UTF_16LE};

use super::Reason;
use crate::document::Meta;

/// A text and its encoding.
#[derive(Debug, PartialEq)]
pub(super) struct Decoded {
    pub(super) text: String,
    pub(super) encoding: &'static Encoding,
    /// Characters that were broken and stand as U+FFFD.
    pub(super) faults: usize,
}

impl Decoded {
    /// Notes the encoding in `meta`, UTF-8 being understood.
    pub(super) fn describe(&self, meta: &mut Meta) {
        if self.encoding != UTF_8 {
            meta.insert("encoding".to_owned(), self.encoding.name().into());
        }
        if self.faults > 0 {
            meta.insert("broken_characters".to_owned(), self.faults.into());
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
    Ok(Decoded { text, encoding, faults: 0 })
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

/// Of so many characters of a web page one may be broken.
const PAGE_CHARS_PER_FAULT: usize = 200;

/// A web page as text; `declared` is the encoding that its sender states, before what the page says
/// itself. Browsers show pages with broken bytes, so writers leave them in: a few become U+FFFD,
/// their number stands in `faults`.
///
/// # Errors
/// The reason when they are no text, broken in many places, or empty.
pub(super) fn decode_page(
    bytes: &[u8],
    declared: Option<&str>,
) -> std::result::Result<Decoded, Reason> {
    let label = declared.and_then(|label| Encoding::for_label(label.trim().as_bytes()));
    let stated = Encoding::for_bom(bytes).map(|(encoding, _)| encoding).or(label);
    decode_lenient(bytes, stated.or_else(|| stated_in_page(bytes)))
}

/// The text of a mail, to which the same applies; `declared` is what its head says.
///
/// # Errors
/// The reason when it is no text, broken in many places, or empty.
pub(super) fn decode_mail(
    bytes: &[u8],
    declared: Option<&str>,
) -> std::result::Result<Decoded, Reason> {
    // Old programs say ASCII of whatever they send.
    let declared = declared.filter(|label| !label.trim().eq_ignore_ascii_case("us-ascii"));
    let label = declared.and_then(|label| Encoding::for_label(label.trim().as_bytes()));
    decode_lenient(bytes, Encoding::for_bom(bytes).map(|(encoding, _)| encoding).or(label))
}

fn decode_lenient(
    bytes: &[u8],
    stated: Option<&'static Encoding>,
) -> std::result::Result<Decoded, Reason> {
    let utf_16 = stated.is_some_and(|found| found == UTF_16LE || found == UTF_16BE);
    if !utf_16 && let Some(at) = memchr::memchr(0, bytes) {
        return Err(Reason::new("binary", format!("a NUL byte at byte {at}")));
    }
    // Most pages are UTF-8, and hardly anything else can be read as it.
    let is_utf_8 = !utf_16 && std::str::from_utf8(bytes).is_ok() && stated != Some(ISO_2022_JP);
    let encoding = if is_utf_8 { UTF_8 } else { stated.unwrap_or_else(|| guess(bytes)) };
    let (text, _, broken) = encoding.decode(bytes);
    let faults = if broken { text.matches('\u{fffd}').count() } else { 0 };
    if faults * PAGE_CHARS_PER_FAULT > text.len() {
        let detail = format!("{faults} places are not text in {}", encoding.name());
        return Err(Reason::new("undecodable", detail));
    }
    if text.trim().is_empty() {
        return Err(Reason::new("empty", ""));
    }
    Ok(Decoded { text: text.into_owned(), encoding, faults })
}

/// The encoding that a page names in its first bytes: `<meta charset=...>`, `<?xml encoding=...?>`.
fn stated_in_page(bytes: &[u8]) -> Option<&'static Encoding> {
    let head = &bytes[..bytes.len().min(PAGE_HEAD_BYTES)];
    let head: String = head.iter().map(|&byte| char::from(byte.to_ascii_lowercase())).collect();
    let named = |key: &str| {
        let rest = head[head.find(key)? + key.len()..].trim_start().strip_prefix('=')?;
        let rest = rest.trim_start().trim_start_matches(['"', '\'']);
        let end = rest.find(|c: char| c.is_whitespace() || "\"'/;>?".contains(c));
        Encoding::for_label(&rest.as_bytes()[..end.unwrap_or(rest.len())])
    };
    let found = named("charset").or_else(|| named("encoding"))?;
    // A page that can say so in ASCII is not UTF-16.
    Some(if found.is_ascii_compatible() || found == ISO_2022_JP { found } else { UTF_8 })
}

/// A page states its encoding in so many bytes, if it does; browsers look at 1024.
const PAGE_HEAD_BYTES: usize = 4096;

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
