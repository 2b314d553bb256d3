//! Parquet tables: each row is one document or dialogue, by the rules of `jsonl`: the column `text`
//! (or `text_field`), or `messages`; `id`; all other columns go to `meta`, nested ones as JSON. See
//! [`json`] for dates, decimals and bytes.
//!
//! Read here and not by the `parquet` crate, because a file may be hostile: that crate's records
//! come with assertions, its schema with recursion as deep as the file says, and a page gets what
//! memory it asks for. Here a page at a time of each column is in memory, all of them together
//! within four times `data.max_record_bytes`, and a row within that once.
//!
//! Places count rows from 1. Damage costs the rest of its row group. Format: parquet-format 2.11.

mod bits;
mod codec;
mod column;
mod json;
mod rows;
mod schema;
mod thrift;
mod values;

use std::fs::File;
use std::io::{Cursor, Read, SeekFrom};

use self::column::{Bytes, Pages};
use self::rows::{Fault, Rows};
use self::schema::{Leaf, Logical, Physical, Shape, Table};
use super::compression::{Compression, open};
use super::jsonl::row;
use super::record::Record;
use super::{Reader, Reason, Sink, SourceFile, too_large, unreadable};
use crate::Result;

pub(super) const READER: Reader = Reader {
    name: "parquet",
    extensions: &["parquet"],
    about: "a Parquet table; each row is one document or dialogue, as in jsonl",
    read,
};

/// What such a file begins and ends with.
const MAGIC: &[u8] = b"PAR1";
/// The description of the columns and row groups; 64 bytes in it may become some hundred in memory.
const MAX_FOOTER_BYTES: u64 = 64 << 20;
/// Pages of all columns together may take so many times the largest record.
const PAGES_SHARE: u64 = 4;

fn read(file: &SourceFile, max_bytes: u64, sink: &mut Sink<'_>) -> Result<()> {
    match opened(file, max_bytes) {
        Ok(Ok(mut bytes)) => table(file, &mut bytes, max_bytes, sink),
        Ok(Err(reason)) => sink(Record::rejected(file.place(1), reason)),
        Err(error) => sink(unreadable(file, file.place(1), error)?),
    }
}

/// The file, or its bytes in memory when it is compressed as a whole: what it holds is found from
/// its end.
fn opened(
    file: &SourceFile,
    max_bytes: u64,
) -> std::io::Result<std::result::Result<Box<dyn Bytes>, Reason>> {
    let mut plain = File::open(&file.path)?;
    if Compression::of_file(&mut plain, &file.path)?.is_none() {
        return Ok(Ok(Box::new(plain)));
    }
    let mut bytes = Vec::new();
    open(&file.path)?.take(max_bytes + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max_bytes {
        let detail = "a packed table larger than data.max_record_bytes; unpack it";
        return Ok(Err(Reason::new("too large", detail)));
    }
    Ok(Ok(Box::new(Cursor::new(bytes))))
}

fn damaged(what: impl Into<String>) -> Reason {
    Reason::new("damaged file", what)
}

fn table(
    file: &SourceFile,
    bytes: &mut dyn Bytes,
    max_bytes: u64,
    sink: &mut Sink<'_>,
) -> Result<()> {
    let footer = match footer(bytes) {
        Ok(footer) => footer.and_then(|footer| Table::read(&footer).map_err(damaged)),
        Err(error) => return sink(unreadable(file, file.place(1), error)?),
    };
    let table = footer.and_then(|table| {
        let fields: Vec<&str> = table.fields.iter().map(|field| &field.name[..]).collect();
        let wanted = file.source.text_field();
        let text = table.fields.iter().find(|field| field.name == wanted);
        match text {
            Some(field) if !is_text(&table.leaves[field.leaves.start], &field.shape) => {
                Err(Reason::new("no text column", format!("column `{wanted}` holds no text")))
            }
            None if !fields.contains(&"messages") => {
                let found = fields.join(", ");
                let detail =
                    format!("no column `{wanted}` among {found}; set text_field in data.text");
                Err(Reason::new("no text column", detail))
            }
            _ => Ok(table),
        }
    });
    match table {
        Ok(table) => groups(file, &table, bytes, max_bytes, sink),
        Err(reason) => sink(Record::rejected(file.place(1), reason)),
    }
}

fn is_text(leaf: &Leaf, shape: &Shape) -> bool {
    let plain = matches!(leaf.logical, Logical::Text | Logical::Plain);
    matches!(shape, Shape::Leaf) && leaf.physical == Physical::Bytes && plain
}

/// The bytes that describe the table.
fn footer(bytes: &mut dyn Bytes) -> std::io::Result<std::result::Result<Vec<u8>, Reason>> {
    let length = bytes.seek(SeekFrom::End(0))?;
    let Some(end) = length.checked_sub(8) else {
        return Ok(Err(damaged("it is shorter than any table")));
    };
    bytes.seek(SeekFrom::Start(end))?;
    let mut tail = Vec::new();
    (&mut *bytes).take(8).read_to_end(&mut tail)?;
    let (size, magic) = tail.split_at(tail.len().min(4));
    if magic == b"PARE" {
        return Ok(Err(Reason::new("encrypted", "a Parquet table with an encrypted footer")));
    }
    let size = size.first_chunk().map_or(0, |size| u64::from(u32::from_le_bytes(*size)));
    if magic != MAGIC || size > end || size > MAX_FOOTER_BYTES {
        return Ok(Err(damaged("its end is no description of a table; is it cut?")));
    }
    bytes.seek(SeekFrom::Start(end - size))?;
    let mut footer = Vec::new();
    (&mut *bytes).take(size).read_to_end(&mut footer)?;
    Ok(Ok(footer))
}

fn groups(
    file: &SourceFile,
    table: &Table,
    bytes: &mut dyn Bytes,
    max_bytes: u64,
    sink: &mut Sink<'_>,
) -> Result<()> {
    let mut first = 1_u64;
    for (index, group) in table.groups.iter().enumerate() {
        let allowed = max_bytes.saturating_mul(PAGES_SHARE);
        let mut pages = Pages { bytes: &mut *bytes, left: allowed, allowed };
        let mut rows = Rows::new(&table.leaves, group);
        for number in 0..group.rows {
            let place = file.place(first.saturating_add(number));
            match rows.next(&table.fields, &mut pages, max_bytes) {
                Ok(found) => {
                    let size =
                        found.values().map(|value| value.as_str().map_or(16, str::len)).sum();
                    let field = file.source.text_field().to_owned();
                    sink(Record::new(place, size, move |place| row(place, found, &field)))?;
                }
                Err(Fault::TooLarge) => sink(Record::rejected(place, too_large(max_bytes)))?,
                Err(Fault::Damaged(what)) => {
                    let lost = group.rows - number;
                    let detail = format!("row group {}: {what}; {lost} rows are lost", index + 1);
                    sink(Record::rejected(place, damaged(detail)))?;
                    break;
                }
            }
        }
        first = first.saturating_add(group.rows);
    }
    Ok(())
}
