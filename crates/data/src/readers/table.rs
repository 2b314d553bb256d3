//! Tables of separated values with a header line: each row is one document, other columns go to
//! `meta`. A column `id` names the document; without it the row is `<file name>:<line>`.

use std::io::{self, BufRead, Read};
use std::sync::Arc;

use csv::{ByteRecord, ErrorKind, ReaderBuilder};
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};

use super::encoding::{decode_as, guess};
use super::record::{Outcome, Parsed, Record};
use super::{Place, Reader, Reason, Sink, SourceFile, open, too_large, unreadable};
use crate::document::{Document, Meta};
use crate::{Error, Result};

pub(super) const COMMAS: Reader = Reader {
    name: "csv",
    extensions: &["csv"],
    about: "a table with a header line; the column `text` (or `text_field`) is the document",
    read: |file, max_record_bytes, sink| read(file, b',', max_record_bytes, sink),
};

pub(super) const TABS: Reader = Reader {
    name: "tsv",
    extensions: &["tsv", "tab"],
    about: "the same with tabs between the columns",
    read: |file, max_record_bytes, sink| read(file, b'\t', max_record_bytes, sink),
};

/// Bytes with a limit that is set anew for each row, so that a quote that is never closed cannot
/// pull the whole file into memory.
struct Limited<R> {
    inner: R,
    left: u64,
}

const TOO_LARGE: &str = "a row is larger than data.max_record_bytes; is a quote never closed?";

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        let left = self.left.checked_sub(length as u64);
        self.left = left.ok_or_else(|| io::Error::other(TOO_LARGE))?;
        Ok(length)
    }
}

/// What all rows of a table share.
struct Header {
    columns: Vec<String>,
    text: usize,
    encoding: &'static Encoding,
}

fn read(file: &SourceFile, delimiter: u8, max_bytes: u64, sink: &mut Sink<'_>) -> Result<()> {
    let mut bytes = match open(&file.path) {
        Ok(bytes) => bytes,
        Err(error) => return sink(unreadable(file, file.place(1), error)?),
    };
    let encoding = match encoding_of(&mut bytes) {
        Ok(encoding) => encoding,
        Err(error) => return sink(unreadable(file, file.place(1), error)?),
    };
    // The parser reads ahead by one buffer.
    let allowed = max_bytes.saturating_add(1 << 16);
    let limited = Limited { inner: bytes, left: allowed };
    let mut builder = ReaderBuilder::new();
    let mut rows = builder.delimiter(delimiter).buffer_capacity(1 << 15).from_reader(limited);
    let header = match rows.byte_headers() {
        Ok(names) => header(file, names, encoding),
        Err(error) => return sink(damaged(file, 1, error)?),
    };
    let header = match header {
        Ok(header) => Arc::new(header),
        Err(reason) => return sink(Record::rejected(file.place(1), reason)),
    };
    loop {
        rows.get_mut().left = allowed;
        let mut row = ByteRecord::new();
        let line = rows.position().line();
        match rows.read_byte_record(&mut row) {
            Ok(false) => return Ok(()),
            Ok(true) => {
                let place = file.place(row.position().map_or(line, csv::Position::line));
                let header = Arc::clone(&header);
                let length = row.as_slice().len();
                sink(if length as u64 > max_bytes {
                    Record::rejected(place, too_large(max_bytes))
                } else {
                    Record::new(place, length, move |place| document(place, &row, &header))
                })?;
            }
            Err(error) => {
                let goes_on = matches!(error.kind(), ErrorKind::UnequalLengths { .. });
                sink(damaged(file, line, error)?)?;
                if !goes_on {
                    return Ok(());
                }
            }
        }
    }
}

/// The encoding of a whole table, by its first bytes.
fn encoding_of(bytes: &mut impl BufRead) -> io::Result<&'static Encoding> {
    let head = bytes.fill_buf()?;
    if let Some((marked, _)) = Encoding::for_bom(head) {
        return Ok(marked);
    }
    // A character may be cut by the end of the buffer, but not a line.
    let whole = memchr::memrchr(b'\n', head).map_or(head, |end| &head[..end]);
    Ok(guess(whole))
}

fn header(
    file: &SourceFile,
    names: &ByteRecord,
    encoding: &'static Encoding,
) -> std::result::Result<Header, Reason> {
    if encoding == UTF_16LE || encoding == UTF_16BE {
        return Err(Reason::new("UTF-16 table", "save it as UTF-8"));
    }
    let names: std::result::Result<Vec<String>, Reason> =
        names.iter().map(|name| decode_as(encoding, name)).collect();
    let columns: Vec<String> = names?;
    let wanted = file.source.text_field();
    match columns.iter().position(|name| name == wanted) {
        Some(text) => Ok(Header { columns, text, encoding }),
        None => {
            let found = columns.join(", ");
            let detail = format!("no column `{wanted}` among {found}; set text_field in data.text");
            Err(Reason::new("no text column", detail))
        }
    }
}

fn damaged(file: &SourceFile, line: u64, error: csv::Error) -> Result<Record> {
    let place = file.place(error.position().map_or(line, csv::Position::line));
    if let ErrorKind::UnequalLengths { expected_len, len, .. } = error.kind() {
        let detail = format!("{len} columns where the header has {expected_len}");
        return Ok(Record::rejected(place, Reason::new("broken row", detail)));
    }
    let detail = error.to_string();
    match error.into_kind() {
        ErrorKind::Io(source) if source.to_string() == TOO_LARGE => {
            Ok(Record::rejected(place, Reason::new("too large", TOO_LARGE)))
        }
        ErrorKind::Io(source) if source.raw_os_error().is_some() => {
            Err(Error::Read { path: file.path.clone(), source })
        }
        _ => Ok(Record::rejected(place, Reason::new("damaged file", detail))),
    }
}

fn document(place: &Place, row: &ByteRecord, header: &Header) -> Outcome {
    let (mut id, mut text, mut meta) = (place.to_string(), String::new(), Meta::new());
    for (index, (name, value)) in header.columns.iter().zip(row).enumerate() {
        let value = decode_as(header.encoding, value).map_err(|reason| {
            Reason::new(reason.kind, format!("column `{name}`: {}", reason.detail))
        })?;
        if index == header.text {
            text = value;
        } else if name == "id" && !value.is_empty() {
            id = value;
        } else {
            meta.insert(name.clone(), value.into());
        }
    }
    if text.trim().is_empty() {
        return Err(Reason::new("empty", ""));
    }
    if header.encoding != UTF_8 {
        meta.insert("encoding".to_owned(), header.encoding.name().into());
    }
    Ok(Parsed::Document(Document { id, text, meta }))
}
