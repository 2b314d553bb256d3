//! One JSON object a line: a document (`text`) or a dialogue (`messages`).
//!
//! `{"id": "...", "text": "...", "meta": {"licence": "...", "origin": "..."}}` or
//! `{"id": "...", "messages": [{"role": "user", "content": "..."}, ...], "meta": {...}}`.
//! Without an `id` the record is named `<file name>:<line>`. Other fields are kept in `meta`.

use std::sync::Arc;

use danlu_tokenizer::Message;
use serde::Deserialize;
use serde_json::Value;

use super::lines::{Line, read_line};
use super::record::{Outcome, Parsed, Record};
use super::without_mark;
use super::{Place, Reader, Reason, Sink, SourceFile, open, text_of, too_large, unreadable};
use crate::Result;
use crate::document::{Dialogue, Document, Meta};

pub(super) const READER: Reader = Reader {
    name: "jsonl",
    extensions: &["jsonl", "ndjson"],
    about: "one JSON object a line with `text`, or `messages` for a dialogue",
    read,
};

#[derive(Deserialize)]
struct RawRecord {
    id: Option<RawId>,
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
    let mut reader = match open(&file.path) {
        Ok(reader) => reader,
        Err(error) => return sink(unreadable(file, file.place(1), error)?),
    };
    let text_field: Arc<str> = file.source.text_field().into();
    for line in 1_u64.. {
        let mut bytes = Vec::new();
        let place = file.place(line);
        match read_line(&mut reader, &mut bytes, max_record_bytes) {
            Ok(Line::End) => break,
            Ok(Line::TooLong) => sink(Record::rejected(place, too_large(max_record_bytes)))?,
            Ok(Line::Whole) => {
                let field = Arc::clone(&text_field);
                sink(Record::new(place, bytes.len(), move |place| parse(place, &bytes, &field)))?;
            }
            Err(error) => return sink(unreadable(file, place, error)?),
        }
    }
    Ok(())
}

fn parse(place: &Place, bytes: &[u8], text_field: &str) -> Outcome {
    let text = text_of(if place.line == 1 { without_mark(bytes) } else { bytes })?;
    let raw: RawRecord = serde_json::from_str(text).map_err(|error| {
        let kind = if error.is_data() { "wrong fields" } else { "broken JSON" };
        Reason::new(kind, error.to_string())
    })?;
    document(place, raw, text_field)
}

/// A row of a table as the record that it would be in JSON. Other than there, an `id` may be of any
/// type and a `meta` that is no object is a column like any other.
pub(super) fn row(place: &Place, mut row: Meta, text_field: &str) -> Outcome {
    if let Some(id) = row.get_mut("id") {
        *id = match id.take() {
            Value::Null => Value::Null,
            Value::String(id) => Value::String(id),
            other => Value::String(other.to_string()),
        };
    }
    if row.get("meta").is_some_and(|meta| !meta.is_object()) {
        let meta = row.shift_remove("meta").filter(|meta| !meta.is_null());
        let meta = meta.map(|meta| Meta::from_iter([("meta".to_owned(), meta)]));
        row.extend(meta.map(|meta| ("meta".to_owned(), Value::Object(meta))));
    }
    let raw = serde_json::from_value(Value::Object(row))
        .map_err(|error| Reason::new("wrong fields", error.to_string()))?;
    document(place, raw, text_field)
}

fn document(place: &Place, mut raw: RawRecord, text_field: &str) -> Outcome {
    let id = match raw.id {
        Some(RawId::Text(id)) if !id.is_empty() => id,
        Some(RawId::Number(id)) => id.to_string(),
        Some(RawId::Text(_)) | None => place.to_string(),
    };
    let text = match raw.rest.shift_remove(text_field) {
        Some(Value::String(text)) => Some(text),
        None | Some(Value::Null) => None,
        Some(_) => {
            return Err(Reason::new("wrong fields", format!("`{text_field}` is not a string")));
        }
    };
    let mut meta = raw.meta;
    for (key, value) in raw.rest {
        meta.entry(key).or_insert(value);
    }
    let wrong = |what| Err(Reason::new("wrong fields", format!("{what} `{text_field}`")));
    match (text, raw.messages) {
        (Some(text), None) if text.trim().is_empty() => Err(Reason::new("empty", "")),
        (Some(text), None) => Ok(Parsed::Document(Document { id, text, meta })),
        (None, Some(messages)) => Ok(Parsed::Dialogue(Dialogue { id, messages, meta })),
        (None, None) => wrong("neither `messages` nor"),
        (Some(_), Some(_)) => wrong("both `messages` and"),
    }
}
