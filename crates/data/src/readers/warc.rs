//! Web crawls (WARC, WET): each record with a text is one document, named by its `WARC-Record-ID`;
//! address and date go to `meta`.
//!
//! - `conversion` is plain text (WET);
//! - `response` is an answer of a server: the main text of the page in it, if it holds one; see
//!   [`http`](super::http);
//! - `resource` is a page without the head of an answer;
//! - what is about the crawl itself (`warcinfo`, `request`, `metadata`, `revisit`) is passed over.
//!
//! Places count records from 1. Format: ISO 28500.

use std::borrow::Cow;
use std::io::{self, BufRead, Read};

use super::encoding::decode;
use super::http::{self, Fields as Head, charset};
use super::lines::{Line, read_line};
use super::record::{Outcome, Parsed, Record};
use super::{Place, Reader, Reason, Sink, SourceFile, html, open, too_large, unreadable};
use crate::Result;
use crate::document::{Document, Meta};

pub(super) const READER: Reader = Reader {
    name: "warc",
    extensions: &["warc", "wet"],
    about: "web crawls; each `conversion` or `response` record is one document",
    read,
};

const MAX_HEADER_LINES: usize = 1000;
const MAX_HEADER_LINE_BYTES: u64 = 1 << 16;

/// What the block of a record is.
#[derive(Clone, Copy)]
enum Content {
    Text,
    Answer,
    Resource,
}

enum Next {
    Head(Head),
    End,
    /// What stands where a record should begin.
    Broken(String),
}

fn read(file: &SourceFile, max_record_bytes: u64, sink: &mut Sink<'_>) -> Result<()> {
    let mut bytes = match open(&file.path) {
        Ok(bytes) => bytes,
        Err(error) => return sink(unreadable(file, file.place(1), error)?),
    };
    for number in 1_u64.. {
        let place = file.place(number);
        match next(&mut bytes, place.clone(), max_record_bytes) {
            Ok(Found::Record(record)) => sink(record)?,
            Ok(Found::Passed) => {}
            Ok(Found::End) => break,
            Ok(Found::Broken(what)) => {
                let detail = format!("{what}; the rest of the file is lost");
                return sink(Record::rejected(place, Reason::new("damaged file", detail)));
            }
            Err(error) => return sink(unreadable(file, place, error)?),
        }
    }
    Ok(())
}

enum Found {
    Record(Record),
    /// A record about the crawl.
    Passed,
    End,
    Broken(String),
}

fn next(bytes: &mut impl BufRead, place: Place, max_bytes: u64) -> io::Result<Found> {
    let head = match head(bytes)? {
        Next::Head(head) => head,
        Next::End => return Ok(Found::End),
        Next::Broken(what) => return Ok(Found::Broken(what)),
    };
    let Some(length) = head.get("Content-Length").and_then(|value| value.parse::<u64>().ok())
    else {
        return Ok(Found::Broken("a record without a Content-Length".to_owned()));
    };
    let kind = head.get("WARC-Type").unwrap_or_default().to_ascii_lowercase();
    let content = match kind.as_str() {
        "conversion" => Some(Content::Text),
        "response" => Some(Content::Answer),
        "resource" => Some(Content::Resource),
        _ => None,
    };
    let Some(content) = content.filter(|_| length <= max_bytes) else {
        let skipped = io::copy(&mut bytes.take(length), &mut io::sink())?;
        if skipped < length {
            return Ok(Found::Broken(format!("{skipped} of {length} bytes of the last record")));
        }
        return Ok(match kind.as_str() {
            "warcinfo" | "request" | "metadata" | "revisit" => Found::Passed,
            _ if content.is_some() => Found::Record(Record::rejected(place, too_large(max_bytes))),
            _ => {
                let detail = format!("a record of type `{kind}`");
                Found::Record(Record::rejected(place, Reason::new("no text", detail)))
            }
        });
    };
    let mut body = Vec::new();
    bytes.take(length).read_to_end(&mut body)?;
    if (body.len() as u64) < length {
        return Ok(Found::Broken(format!("{} of {length} bytes of the last record", body.len())));
    }
    let size = body.len();
    Ok(Found::Record(Record::new(place, size, move |place| {
        document(place, &head, content, body, max_bytes)
    })))
}

/// The next record's head, after the blank lines that end the one before.
fn head(bytes: &mut impl BufRead) -> io::Result<Next> {
    let mut line = Vec::new();
    let mut fields: Option<Vec<(String, String)>> = None;
    loop {
        match read_line(bytes, &mut line, MAX_HEADER_LINE_BYTES)? {
            Line::End if fields.is_none() => return Ok(Next::End),
            Line::End => return Ok(Next::Broken("the file ends in a record's head".to_owned())),
            Line::TooLong => return Ok(Next::Broken("an endless line in a head".to_owned())),
            Line::Whole => {}
        }
        let text = String::from_utf8_lossy(&line);
        let Some(known) = &mut fields else {
            if text.starts_with("WARC/") {
                fields = Some(Vec::new());
            } else if !text.is_empty() {
                let found: String = text.chars().take(40).collect();
                return Ok(Next::Broken(format!("{found:?} where `WARC/1.0` should stand")));
            }
            continue;
        };
        if text.is_empty() {
            return Ok(Next::Head(Head(std::mem::take(known))));
        }
        if known.len() == MAX_HEADER_LINES {
            return Ok(Next::Broken(format!("a head of more than {MAX_HEADER_LINES} lines")));
        }
        if let Some((name, value)) = text.split_once(':') {
            known.push((name.trim().to_owned(), value.trim().to_owned()));
        }
    }
}

fn document(
    place: &Place,
    head: &Head,
    content: Content,
    body: Vec<u8>,
    max_bytes: u64,
) -> Outcome {
    let mut meta = Meta::new();
    for (name, key) in [("WARC-Target-URI", "url"), ("WARC-Date", "date")] {
        if let Some(value) = head.get(name) {
            meta.insert(key.to_owned(), value.into());
        }
    }
    let id = head.get("WARC-Record-ID").map_or_else(|| place.to_string(), str::to_owned);
    let media_type = head.get("Content-Type");
    match content {
        Content::Text => text(id, body, media_type.and_then(charset), meta),
        Content::Resource => Payload { media_type, body: body.into() }.document(id, meta),
        Content::Answer => {
            let (fields, body) = http::split(&body)?;
            let body = http::body(&fields, body, max_bytes)?;
            Payload { media_type: fields.get("Content-Type"), body }.document(id, meta)
        }
    }
}

fn text(id: String, body: Vec<u8>, charset: Option<&str>, mut meta: Meta) -> Outcome {
    let decoded = decode(body, charset)?;
    decoded.describe(&mut meta);
    Ok(Parsed::Document(Document { id, text: decoded.text, meta }))
}

/// What a server sent.
struct Payload<'a> {
    media_type: Option<&'a str>,
    body: Cow<'a, [u8]>,
}

impl Payload<'_> {
    fn document(self, id: String, meta: Meta) -> Outcome {
        let stated = self.media_type.unwrap_or_default();
        let media_type = stated.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match media_type.as_str() {
            "text/html" | "application/xhtml+xml" => {
                html::document(id, &self.body, charset(stated), meta)
            }
            "text/plain" => text(id, self.body.into_owned(), charset(stated), meta),
            "" if self.body.trim_ascii_start().starts_with(b"<") => {
                html::document(id, &self.body, None, meta)
            }
            other => Err(Reason::new("not a page", format!("media type `{other}`"))),
        }
    }
}
