//! Plain text and Markdown: each file is one document, named `<file name>:1`.

use std::io::Read;

use super::encoding::decode;
use super::record::{Outcome, Parsed, Record};
use super::{Place, Reader, Sink, SourceFile, open, too_large, unreadable};
use crate::Result;
use crate::document::{Document, Meta};

pub(super) const READER: Reader = Reader {
    name: "text",
    extensions: &["txt", "text", "md", "markdown"],
    about: "plain text or Markdown in any common encoding; each file is one document",
    read: |file, max_record_bytes, sink| one_record(file, max_record_bytes, sink, document),
};

/// Reads a file that is one record; `parse` is given its bytes and the limit.
pub(super) fn one_record(
    file: &SourceFile,
    max_bytes: u64,
    sink: &mut Sink<'_>,
    parse: fn(&Place, Vec<u8>, u64) -> Outcome,
) -> Result<()> {
    let place = file.place(1);
    match whole(file, max_bytes) {
        Ok(Some(bytes)) => {
            let length = bytes.len();
            sink(Record::new(place, length, move |place| parse(place, bytes, max_bytes)))
        }
        Ok(None) => sink(Record::rejected(place, too_large(max_bytes))),
        Err(error) => sink(unreadable(file, place, error)?),
    }
}

/// The bytes of a file that is one record; none when there are more than allowed.
pub(super) fn whole(file: &SourceFile, max_bytes: u64) -> std::io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    open(&file.path)?.take(max_bytes + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= max_bytes).then_some(bytes))
}

fn document(place: &Place, bytes: Vec<u8>, _max_bytes: u64) -> Outcome {
    let decoded = decode(bytes, None)?;
    let mut meta = Meta::new();
    decoded.describe(&mut meta);
    Ok(Parsed::Document(Document { id: place.to_string(), text: decoded.text, meta }))
}
