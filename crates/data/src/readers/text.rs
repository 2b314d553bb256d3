//! Plain text and Markdown: each file is one document, named `<file name>:1`.

use super::{Item, Place, Reader, Reason, Sink, SourceFile, text_of, too_large, without_mark};
use crate::document::{Document, Meta};
use crate::{Error, Result};

pub(super) const READER: Reader = Reader {
    name: "text",
    extensions: &["txt", "text", "md", "markdown"],
    about: "plain text or Markdown; each file is one document",
    read,
};

fn read(file: &SourceFile, max_record_bytes: u64, sink: &mut Sink<'_>) -> Result<()> {
    let unreadable = |source| Error::Read { path: file.path.clone(), source };
    let place = Place { file: file.name.clone(), line: 1 };
    if std::fs::metadata(&file.path).map_err(unreadable)?.len() > max_record_bytes {
        return sink(Item::Rejected(place, too_large(max_record_bytes)));
    }
    let bytes = std::fs::read(&file.path).map_err(unreadable)?;
    sink(document(place, without_mark(&bytes)))
}

fn document(place: Place, bytes: &[u8]) -> Item {
    let found: std::result::Result<&str, Reason> = text_of(bytes);
    match found {
        Ok(text) => {
            let id = place.to_string();
            Item::Document(place, Document { id, text: text.to_owned(), meta: Meta::new() })
        }
        Err(reason) => Item::Rejected(place, reason),
    }
}
