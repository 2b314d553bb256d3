//! One JSON object a line: a document (`text`) or a dialogue (`messages`).
//!
//! `{"id": "...", "text": "...", "meta": {"licence": "...", "origin": "..."}}` or
//! `{"id": "...", "messages": [{"role": "user", "content": "..."}, ...], "meta": {...}}`.
//! Without an `id` the record is named `<file name>:<line>`. Other fields are kept in `meta`.

use std::fs::File;
use std::io::BufReader;

use danlu_tokenizer::Message;
use serde::Deserialize;

use super::lines::{Line, read_line};
use super::{Item, Place, Reader, Reason, Sink, SourceFile, text_of, too_large, without_mark};
use crate::document::{Dialogue, Document, Meta};
use crate::{Error, Result};

pub(super) const READER: Reader = Reader {
    name: "jsonl",
    extensions: &["jsonl", "ndjson"],
    about: "one JSON object a line with `text`, or `messages` for a dialogue",
    read,
};

#[derive(Deserialize)]
struct RawRecord {
    id: Option<RawId>,
    text: Option<String>,
    messages: Option<Vec<Message>>,
    #[serde(default)]
    meta: Meta,
    #[serde(flatten)]
    rest: Meta,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawId {
    Text(String),
    Number(u64),
}

fn read(file: &SourceFile, max_record_bytes: u64, sink: &mut Sink<'_>) -> Result<()> {
    let unreadable = |source| Error::Read { path: file.path.clone(), source };
    let mut reader = BufReader::with_capacity(1 << 16, File::open(&file.path).map_err(unreadable)?);
    let mut buffer = Vec::new();
    for line in 1_u64.. {
        let place = Place { file: file.name.clone(), line };
        let item =
            match read_line(&mut reader, &mut buffer, max_record_bytes).map_err(unreadable)? {
                Line::End => break,
                Line::TooLong => Item::Rejected(place, too_large(max_record_bytes)),
                Line::Whole if line == 1 => record(place, without_mark(&buffer)),
                Line::Whole => record(place, &buffer),
            };
        sink(item)?;
    }
    Ok(())
}

fn record(place: Place, bytes: &[u8]) -> Item {
    match parse(&place, bytes) {
        Ok(Parsed::Document(document)) => Item::Document(place, document),
        Ok(Parsed::Dialogue(dialogue)) => Item::Dialogue(place, dialogue),
        Err(reason) => Item::Rejected(place, reason),
    }
}

enum Parsed {
    Document(Document),
    Dialogue(Dialogue),
}

fn parse(place: &Place, bytes: &[u8]) -> std::result::Result<Parsed, Reason> {
    let text = text_of(bytes)?;
    let raw: RawRecord = serde_json::from_str(text).map_err(|error| {
        let kind = if error.is_data() { "wrong fields" } else { "broken JSON" };
        Reason::new(kind, error.to_string())
    })?;
    let id = match raw.id {
        Some(RawId::Text(id)) if !id.is_empty() => id,
        Some(RawId::Number(id)) => id.to_string(),
        Some(RawId::Text(_)) | None => place.to_string(),
    };
    let mut meta = raw.meta;
    for (key, value) in raw.rest {
        meta.entry(key).or_insert(value);
    }
    match (raw.text, raw.messages) {
        (Some(text), None) if text.trim().is_empty() => Err(Reason::new("empty", "")),
        (Some(text), None) => Ok(Parsed::Document(Document { id, text, meta })),
        (None, Some(messages)) => Ok(Parsed::Dialogue(Dialogue { id, messages, meta })),
        (None, None) => Err(Reason::new("wrong fields", "neither `text` nor `messages`")),
        (Some(_), Some(_)) => Err(Reason::new("wrong fields", "both `text` and `messages`")),
    }
}
