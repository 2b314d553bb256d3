//! Answers of web servers as crawls keep them: status, fields, and a body that may be sent in
//! chunks and compressed.

use std::borrow::Cow;
use std::io::Read;

use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

use super::{Reason, too_large};

/// Named fields, as in the head of an answer, a mail or a record of a crawl.
pub(super) struct Fields(pub(super) Vec<(String, String)>);

impl Fields {
    /// The value of the first field of a name.
    pub(super) fn get(&self, wanted: &str) -> Option<&str> {
        let found = self.0.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.map(|(_, value)| value.as_str())
    }
}

/// The charset of a media type: `text/plain; charset="gbk"`.
pub(super) fn charset(media_type: &str) -> Option<&str> {
    let mut parameters = media_type.split(';').skip(1).filter_map(|part| part.split_once('='));
    let found = parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"));
    found.map(|(_, value)| value.trim().trim_matches(['"', '\'']))
}

/// The fields of an answer and its body as it was sent.
///
/// # Errors
/// The reason when it is no answer, or one without a page.
pub(super) fn split(answer: &[u8]) -> Result<(Fields, &[u8]), Reason> {
    let mut rest = answer;
    let mut line = || {
        let (line, after) = rest.split_at(memchr::memchr(b'\n', rest)?);
        rest = &after[1..];
        Some(String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)))
    };
    let broken = |what: &str| Reason::new("broken answer", what.to_owned());
    let first = line().ok_or_else(|| broken("no status line"))?;
    let mut words = first.split_ascii_whitespace();
    match (words.next(), words.next()) {
        (Some(version), Some("200")) if version.starts_with("HTTP/") => {}
        (Some(version), Some(status)) if version.starts_with("HTTP/") => {
            return Err(Reason::new("not a page", format!("status {status}")));
        }
        _ => return Err(broken("no status line")),
    }
    let mut fields = Vec::new();
    loop {
        let line = line().ok_or_else(|| broken("it ends in its head"))?;
        if line.is_empty() {
            return Ok((Fields(fields), rest));
        }
        if let Some((name, value)) = line.split_once(':') {
            fields.push((name.trim().to_owned(), value.trim().to_owned()));
        }
    }
}

/// The body as the server meant it, at most `max_bytes` of it. What is stated but not so is passed
/// over, since many crawlers keep the fields and store the body unpacked.
///
/// # Errors
/// The reason when it is damaged, too large, or compressed in a way that is not read here.
pub(super) fn body<'a>(
    fields: &Fields,
    sent: &'a [u8],
    max_bytes: u64,
) -> Result<Cow<'a, [u8]>, Reason> {
    let chunked = fields.get("Transfer-Encoding").is_some_and(|how| {
        how.rsplit(',').next().is_some_and(|last| last.trim().eq_ignore_ascii_case("chunked"))
    });
    let whole = if chunked { unchunked(sent)? } else { Cow::Borrowed(sent) };
    let how = fields.get("Content-Encoding").unwrap_or_default().trim().to_ascii_lowercase();
    let unpacked = match how.as_str() {
        "gzip" | "x-gzip" if whole.starts_with(b"\x1f\x8b") => {
            limited(MultiGzDecoder::new(&whole[..]), max_bytes)?
        }
        // Servers send both what the name says and what the standard means by it.
        "deflate" if whole.first().is_some_and(|byte| byte & 0xf == 8) => {
            limited(ZlibDecoder::new(&whole[..]), max_bytes)?
        }
        "deflate" => limited(DeflateDecoder::new(&whole[..]), max_bytes)?,
        "" | "identity" | "gzip" | "x-gzip" | "utf-8" => return Ok(whole),
        _ if std::str::from_utf8(&whole).is_ok() => return Ok(whole),
        other => return Err(Reason::new("unknown compression", format!("`{other}`"))),
    };
    Ok(Cow::Owned(unpacked))
}

/// All that a decoder gives, up to a limit.
pub(super) fn limited(decoder: impl Read, max_bytes: u64) -> Result<Vec<u8>, Reason> {
    let mut unpacked = Vec::new();
    match decoder.take(max_bytes + 1).read_to_end(&mut unpacked) {
        Ok(length) if length as u64 > max_bytes => Err(too_large(max_bytes)),
        Ok(_) => Ok(unpacked),
        Err(error) => Err(Reason::new("damaged compression", error.to_string())),
    }
}

/// A body without the lengths between its chunks.
fn unchunked(sent: &[u8]) -> Result<Cow<'_, [u8]>, Reason> {
    let mut body = Vec::new();
    let mut rest = sent;
    loop {
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let digits = rest[..end].split(|&byte| byte == b';').next().unwrap_or_default();
        let digits = std::str::from_utf8(digits.trim_ascii()).unwrap_or_default();
        let Ok(length) = usize::from_str_radix(digits, 16) else {
            // The first line tells whether there are chunks at all.
            return if body.is_empty() { Ok(Cow::Borrowed(sent)) } else { Err(broken(sent, rest)) };
        };
        if length == 0 {
            return Ok(Cow::Owned(body));
        }
        let start = (end + 1).min(rest.len());
        let Some(chunk) = rest[start..].get(..length) else { return Err(broken(sent, rest)) };
        body.extend_from_slice(chunk);
        rest = rest[start + length..].trim_ascii_start();
    }
}

fn broken(sent: &[u8], rest: &[u8]) -> Reason {
    let at = sent.len() - rest.len();
    Reason::new("broken answer", format!("no whole chunk at byte {at} of the body"))
}
