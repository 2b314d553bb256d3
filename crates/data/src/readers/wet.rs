//! Text of web crawls (WET): each `conversion` record of a WARC file is one document, named by its
//! `WARC-Record-ID`; address and date go to `meta`. Other records hold no plain text: pages as they
//! were sent (`response`, `resource`) are rejected as such, what is about the crawl itself
//! (`warcinfo`, `request`, `metadata`, `revisit`) is passed over.
//!
//! Places count records from 1. Format: ISO 28500.

use std::io::{self, BufRead, Read};

use super::encoding::decode;
use super::lines::{Line, read_line};
use super::record::{Outcome, Parsed, Record};
use super::{Place, Reader, Reason, Sink, SourceFile, open, too_large, unreadable};
use crate::Result;
use crate::document::{Document, Meta};

pub(super) const READER: Reader = Reader {
    name: "wet",
    extensions: &["wet", "warc"],
    about: "text of web crawls; each `conversion` record is one document",
    read,
};

const MAX_HEADER_LINES: usize = 1000;
const MAX_HEADER_LINE_BYTES: u64 = 1 << 16;

/// The named fields of a record's head.
struct Head(Vec<(String, String)>);

impl Head {
    fn get(&self, wanted: &str) -> Option<&str> {
        let found = self.0.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.map(|(_, value)| value.as_str())
    }
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
    if kind != "conversion" || length > max_bytes {
        let skipped = io::copy(&mut bytes.take(length), &mut io::sink())?;
        if skipped < length {
            return Ok(Found::Broken(format!("{skipped} of {length} bytes of the last record")));
        }
        return Ok(match kind.as_str() {
            "conversion" => Found::Record(Record::rejected(place, too_large(max_bytes))),
            "warcinfo" | "request" | "metadata" | "revisit" => Found::Passed,
            _ => {
                let detail = format!("a record of type `{kind}`; give the WET file of the crawl");
                Found::Record(Record::rejected(place, Reason::new("no plain text", detail)))
            }
        });
    }
    let mut body = Vec::new();
    bytes.take(length).read_to_end(&mut body)?;
    if (body.len() as u64) < length {
        return Ok(Found::Broken(format!("{} of {length} bytes of the last record", body.len())));
    }
    let size = body.len();
    Ok(Found::Record(Record::new(place, size, move |place| document(place, &head, body))))
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

fn document(place: &Place, head: &Head, body: Vec<u8>) -> Outcome {
    let decoded = decode(body, head.get("Content-Type").and_then(charset))?;
    let mut meta = Meta::new();
    for (name, key) in [("WARC-Target-URI", "url"), ("WARC-Date", "date")] {
        if let Some(value) = head.get(name) {
            meta.insert(key.to_owned(), value.into());
        }
    }
    decoded.describe(&mut meta);
    let id = head.get("WARC-Record-ID").map_or_else(|| place.to_string(), str::to_owned);
    Ok(Parsed::Document(Document { id, text: decoded.text, meta }))
}

/// The charset of a media type: `text/plain; charset="gbk"`.
fn charset(media_type: &str) -> Option<&str> {
    let mut parameters = media_type.split(';').skip(1).filter_map(|part| part.split_once('='));
    let found = parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"));
    found.map(|(_, value)| value.trim().trim_matches('"'))
}
