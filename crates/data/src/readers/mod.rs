//! Files to records. A reader is one file here and one line in [`READERS`].
//!
//! Records come one at a time, so memory is bounded by the largest record allowed, compressed or
//! not. A reader only finds where records end; a [`Record`] is parsed by whoever has a core to
//! spare. What cannot be used (a broken line, bytes that are no text, a damaged archive, a file of
//! unknown kind) becomes an [`Item::Rejected`] with its place and reason; only a file that the
//! system cannot read is an error.

mod archive;
mod compression;
mod docx;
mod encoding;
mod epub;
mod files;
mod html;
mod http;
mod jsonl;
mod kind;
mod lines;
mod mail;
mod parquet;
mod pdf;
mod record;
mod table;
mod text;
mod warc;
mod xml;

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use self::compression::{is_damage, open};
use self::kind::Kind;
use crate::{DataConfig, Dialogue, Document, Error, Result, Source};

pub use self::compression::{COMPRESSIONS, Compression};
pub use self::files::source_files;
pub use self::record::Record;

/// A kind of file that can be read.
pub struct Reader {
    /// Its name.
    pub name: &'static str,
    /// File name endings, lower case, without the dot.
    pub extensions: &'static [&'static str],
    /// One sentence for help texts.
    pub about: &'static str,
    /// Gives each record of a file to the sink, in order.
    pub read: fn(&SourceFile, max_record_bytes: u64, sink: &mut Sink<'_>) -> Result<()>,
}

/// All readers.
pub const READERS: &[Reader] = &[
    text::READER,
    jsonl::READER,
    table::COMMAS,
    table::TABS,
    parquet::READER,
    html::READER,
    docx::READER,
    epub::READER,
    pdf::READER,
    mail::EML,
    mail::MBOX,
    warc::READER,
];

/// Takes what a reader finds.
pub type Sink<'a> = dyn FnMut(Record) -> Result<()> + 'a;

/// A file to be read.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceFile {
    /// Where it lies.
    pub path: PathBuf,
    /// Its name in ids and reports: relative to the folder that the recipe names.
    pub name: String,
    /// What the recipe says of it.
    pub source: Source,
}

/// Where a record stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// [`SourceFile::name`].
    pub file: String,
    /// Line number from 1; 1 for records that are a whole file.
    pub line: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}", self.file, self.line)
    }
}

/// What a reader finds at one place.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// Running text.
    Document(Place, Document),
    /// A dialogue.
    Dialogue(Place, Dialogue),
    /// Something that cannot be used.
    Rejected(Place, Reason),
}

/// Why something cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The kind of fault, counted in the report.
    pub kind: &'static str,
    /// What exactly was found; may be empty.
    pub detail: String,
}

impl Reason {
    pub(crate) fn new(kind: &'static str, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }
}

impl Reader {
    /// The reader for a file, by the ending of its name before that of its compression.
    pub fn of(path: &Path) -> Option<&'static Self> {
        let inner = path.with_extension("");
        let path = if Compression::of(path).is_some() { &inner } else { path };
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        READERS.iter().find(|reader| reader.extensions.contains(&extension.as_str()))
    }
}

impl SourceFile {
    fn place(&self, line: u64) -> Place {
        Place { file: self.name.clone(), line }
    }
}

/// Reads one file with the reader for its kind, parsing each record at once.
///
/// # Errors
/// When the system cannot read the file, or the sink fails.
pub fn read_file(
    file: &SourceFile,
    config: &DataConfig,
    sink: &mut dyn FnMut(Item) -> Result<()>,
) -> Result<()> {
    read_records(file, config, &mut |record| sink(record.parse()))
}

/// Reads one file with the reader for its kind and leaves the parsing ([`Record::parse`]) to the
/// sink, which may hand it to other threads. Each record is one item, in the order of the file.
///
/// # Errors
/// When the system cannot read the file, or the sink fails.
pub fn read_records(file: &SourceFile, config: &DataConfig, sink: &mut Sink<'_>) -> Result<()> {
    let reject = |kind, detail: String| Record::rejected(file.place(1), Reason::new(kind, detail));
    if file.path.is_dir() {
        let detail = "folders are not entered through links".to_owned();
        return sink(reject("link to a folder", detail));
    }
    match Kind::of(file) {
        Ok(Kind::Known(reader)) => (reader.read)(file, config.max_record_bytes, sink),
        Ok(Kind::Foreign(kind)) => {
            let detail = format!("it is {kind} by its first bytes; {}", readable());
            sink(reject("unknown kind of file", detail))
        }
        Ok(Kind::Unknown) => sink(reject("unknown kind of file", readable())),
        Err(error) => sink(unreadable(file, file.place(1), error)?),
    }
}

/// What the names of files may end with.
fn readable() -> String {
    let known: Vec<&str> = READERS.iter().flat_map(|r| r.extensions).copied().collect();
    let packed: Vec<&str> = COMPRESSIONS.iter().map(|c| c.extension).collect();
    format!("readable endings: {}; each also with {}", known.join(", "), packed.join(", "))
}

/// What follows from a failed read: damaged bytes are a record that cannot be used, the last one of
/// the file; anything else is the system's.
fn unreadable(file: &SourceFile, place: Place, error: std::io::Error) -> Result<Record> {
    if !is_damage(&error) {
        return Err(Error::Read { path: file.path.clone(), source: error });
    }
    let detail = format!("{error}; the rest of the file is lost");
    Ok(Record::rejected(place, Reason::new("damaged file", detail)))
}

/// `bytes` as text.
///
/// # Errors
/// The reason when they are binary, not UTF-8, or empty.
pub(crate) fn text_of(bytes: &[u8]) -> std::result::Result<&str, Reason> {
    if let Some(at) = bytes.iter().position(|&byte| byte == 0) {
        return Err(Reason::new("binary", format!("a NUL byte at byte {at}")));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        Reason::new("not UTF-8", format!("broken at byte {}", error.valid_up_to()))
    })?;
    if text.trim().is_empty() {
        return Err(Reason::new("empty", ""));
    }
    Ok(text)
}

/// `bytes` without the byte order mark that some editors put at the start of a file.
pub(crate) fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes)
}

/// The reason for a record that is larger than allowed.
pub(crate) fn too_large(max_record_bytes: u64) -> Reason {
    Reason::new("too large", format!("more than data.max_record_bytes = {max_record_bytes}"))
}
