//! One mail to its text: of a choice of forms the plain one, else HTML; everything else is counted
//! as an attachment.
//!
//! Fields are parsed by mail-parser; the parts of a body are found here, because a mail may nest
//! them as deep as it is long, and a limit must come before that.

use mail_parser::{ContentType, GetHeader, HeaderName, Message, MessageParser, MimeHeaders};

use super::super::encoding::{Decoded, decode_mail, decode_page, guess};
use super::super::html::{Markup, all_text};
use super::super::record::{Outcome, Parsed};
use super::super::{Place, Reason};
use super::transfer::{base64, quoted_printable};
use crate::document::{Document, Meta};

/// Parts within parts.
const MAX_DEPTH: usize = 16;
/// Parts of a mail.
const MAX_PARTS: usize = 10_000;

/// The text that a part has.
#[derive(Default)]
struct Body {
    texts: Vec<String>,
    /// Whether any of it was written as plain text.
    plain: bool,
    /// The first encoding that is not UTF-8, and characters that were broken.
    notes: Meta,
}

/// What is learned of a mail on the way.
#[derive(Default)]
struct Survey {
    parts: usize,
    attachments: usize,
}

/// A mail as a document.
pub(super) fn document(place: &Place, mail: &[u8]) -> Outcome {
    let parsed = fields(mail).filter(|message| {
        [HeaderName::From, HeaderName::Date, HeaderName::Subject, HeaderName::MessageId]
            .iter()
            .chain(&[HeaderName::Received, HeaderName::To, HeaderName::ContentType])
            .any(|name| message.parts[0].headers.header_value(name).is_some())
    });
    let message = parsed.ok_or_else(|| Reason::new("broken mail", "no fields of a mail"))?;
    let mut survey = Survey::default();
    let body = body(&message, mail, 0, &mut survey)?;
    if body.texts.is_empty() {
        let detail = match survey.attachments {
            0 => String::new(),
            count => format!("no text beside {count} attachments"),
        };
        return Err(Reason::new("empty", detail));
    }
    let mut meta = described(&message, mail);
    if survey.attachments > 0 {
        meta.insert("attachments".to_owned(), survey.attachments.into());
    }
    meta.extend(body.notes);
    Ok(Parsed::Document(Document { id: place.to_string(), text: body.texts.join("\n"), meta }))
}

/// The head of a mail or a part; none when it has none.
fn fields(part: &[u8]) -> Option<Message<'_>> {
    MessageParser::new()
        .with_mime_headers()
        .header_text(HeaderName::Subject)
        .header_date(HeaderName::Date)
        .header_id(HeaderName::MessageId)
        .default_header_ignore()
        .parse_headers(part)
        .filter(|message| !message.parts.is_empty())
}

/// Subject, date and id.
fn described(message: &Message<'_>, mail: &[u8]) -> Meta {
    let mut meta = Meta::new();
    if let Some(subject) = subject(message, mail) {
        meta.insert("subject".to_owned(), subject.into());
    }
    if let Some(date) = message.date().filter(|date| date.is_valid()) {
        meta.insert("date".to_owned(), date.to_rfc3339().into());
    }
    if let Some(id) = message.message_id() {
        meta.insert("message_id".to_owned(), id.into());
    }
    meta
}

/// The subject; one that was sent in bytes as they are, is in the likeliest encoding.
fn subject(message: &Message<'_>, mail: &[u8]) -> Option<String> {
    let field = message.parts[0].headers.header(HeaderName::Subject)?;
    let raw = mail.get(field.offset_start as usize..field.offset_end as usize)?;
    let subject = if std::str::from_utf8(raw).is_ok() {
        field.value.as_text()?.to_owned()
    } else {
        guess(raw).decode(raw).0.into_owned()
    };
    let words: Vec<&str> = subject.split_whitespace().collect();
    (!words.is_empty()).then(|| words.join(" "))
}

/// The text of a mail or part whose head is `message`.
fn body(
    message: &Message<'_>,
    part: &[u8],
    depth: usize,
    survey: &mut Survey,
) -> Result<Body, Reason> {
    survey.parts += 1;
    if depth > MAX_DEPTH || survey.parts > MAX_PARTS {
        let detail = format!("parts deeper than {MAX_DEPTH} or more than {MAX_PARTS}");
        return Err(Reason::new("broken mail", detail));
    }
    let head = &message.parts[0];
    let content = after_head(part);
    let declared = head.content_type();
    let kind = declared.map_or("text", ContentType::ctype).to_ascii_lowercase();
    let form = declared.map_or(Some("plain"), ContentType::subtype).unwrap_or("plain");
    let form = form.to_ascii_lowercase();
    if kind == "multipart" {
        let boundary = declared.and_then(|declared| declared.attribute("boundary"));
        return multipart(content, boundary.unwrap_or_default(), &form, depth, survey);
    }
    let attached = head.content_disposition().is_some_and(ContentType::is_attachment);
    if kind != "text" || attached || !matches!(form.as_str(), "plain" | "html") {
        survey.attachments += 1;
        return Ok(Body::default());
    }
    let how = head.content_transfer_encoding().unwrap_or_default().trim().to_ascii_lowercase();
    let bytes = match how.as_str() {
        "quoted-printable" => quoted_printable(content),
        "base64" => {
            base64(content).ok_or_else(|| Reason::new("undecodable", "a part is broken base64"))?
        }
        _ => content.to_vec(),
    };
    let charset = declared.and_then(|declared| declared.attribute("charset"));
    text(&bytes, charset, form == "plain")
}

/// What follows the empty line that ends a head.
fn after_head(part: &[u8]) -> &[u8] {
    let mut rest = part;
    while let Some(end) = memchr::memchr(b'\n', rest) {
        let (line, after) = rest.split_at(end + 1);
        rest = after;
        if line.trim_ascii().is_empty() {
            return rest;
        }
    }
    &[]
}

fn text(bytes: &[u8], charset: Option<&str>, plain: bool) -> Result<Body, Reason> {
    if bytes.trim_ascii().is_empty() {
        return Ok(Body::default());
    }
    let decoded =
        match if plain { decode_mail(bytes, charset) } else { decode_page(bytes, charset) } {
            Ok(decoded) => decoded,
            Err(reason) if reason.kind == "empty" => return Ok(Body::default()),
            Err(reason) => return Err(reason),
        };
    let mut notes = Meta::new();
    decoded.describe(&mut notes);
    let Decoded { text, .. } = decoded;
    let text = if plain { text.replace("\r\n", "\n") } else { all_text(&text, Markup::Html) };
    let text = text.trim_matches('\n').trim_end().to_owned();
    if text.is_empty() {
        return Ok(Body::default());
    }
    Ok(Body { texts: vec![text], plain, notes })
}

/// The parts between boundary lines: one after the other, or the best of several forms.
fn multipart(
    content: &[u8],
    boundary: &str,
    form: &str,
    depth: usize,
    survey: &mut Survey,
) -> Result<Body, Reason> {
    let parts = split(content, boundary);
    if parts.is_empty() {
        return Err(Reason::new("broken mail", format!("no part between lines `--{boundary}`")));
    }
    let mut whole = Body::default();
    for part in parts {
        // A part without a head is plain text after an empty line.
        let found = match fields(part) {
            Some(head) => body(&head, part, depth + 1, survey)?,
            None => text(part, None, true)?,
        };
        if form != "alternative" {
            whole.texts.extend(found.texts);
            whole.plain |= found.plain;
            whole.notes.extend(found.notes);
        } else if whole.texts.is_empty() || found.plain && !whole.plain {
            whole = found;
        }
    }
    Ok(whole)
}

/// What stands between the lines that are `--boundary`, up to `--boundary--` or the end.
fn split<'a>(content: &'a [u8], boundary: &str) -> Vec<&'a [u8]> {
    let (mut parts, mut start, mut at) = (Vec::new(), None, 0);
    for line in content.split_inclusive(|&byte| byte == b'\n') {
        let (line_start, visible) = (at, line.trim_ascii_end());
        at += line.len();
        let rest = visible.strip_prefix(b"--").and_then(|rest| {
            rest.strip_prefix(boundary.as_bytes()).filter(|_| !boundary.is_empty())
        });
        let last = match rest {
            Some(b"") => false,
            Some(b"--") => true,
            _ => continue,
        };
        if let Some(start) = start.take() {
            // The line end before a boundary belongs to it.
            let part = &content[start..line_start.max(start)];
            let part = part.strip_suffix(b"\n").unwrap_or(part);
            parts.push(part.strip_suffix(b"\r").unwrap_or(part));
        }
        if last {
            return parts;
        }
        start = Some(at);
    }
    parts.extend(start.map(|start| &content[start..]));
    parts
}
