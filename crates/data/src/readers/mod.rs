//! Files to records. A reader is one file here and one line in [`READERS`].
//!
//! Records come one at a time, so memory is bounded by the largest record allowed. What cannot be
//! used (a broken line, bytes that are not UTF-8, a file of unknown kind) becomes an
//! [`Item::Rejected`] with its place and reason; only a file that the system cannot read is an
//! error.

mod jsonl;
mod lines;
mod text;

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::{DataConfig, Dialogue, Document, Error, Result, Source};

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
pub const READERS: &[Reader] = &[text::READER, jsonl::READER];

/// Takes what a reader finds.
pub type Sink<'a> = dyn FnMut(Item) -> Result<()> + 'a;

/// A file to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// Where it lies.
    pub path: PathBuf,
    /// Its name in ids and reports: relative to the folder that the recipe names.
    pub name: String,
    /// What the recipe says of it.
    pub source: Source,
}

/// Where a record stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
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
    /// The reader for a file, by the ending of its name.
    pub fn of(path: &Path) -> Option<&'static Self> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        READERS.iter().find(|reader| reader.extensions.contains(&extension.as_str()))
    }
}

/// Reads one file with the reader for its kind.
///
/// # Errors
/// When the system cannot read the file, or the sink fails.
pub fn read_file(file: &SourceFile, config: &DataConfig, sink: &mut Sink<'_>) -> Result<()> {
    if file.path.is_dir() {
        let reason = Reason::new("link to a folder", "folders are not entered through links");
        return sink(Item::Rejected(Place { file: file.name.clone(), line: 1 }, reason));
    }
    match Reader::of(&file.path) {
        Some(reader) => (reader.read)(file, config.max_record_bytes, sink),
        None => {
            let known: Vec<&str> = READERS.iter().flat_map(|r| r.extensions).copied().collect();
            let detail = format!("readable endings: {}", known.join(", "));
            let place = Place { file: file.name.clone(), line: 1 };
            sink(Item::Rejected(place, Reason::new("unknown kind of file", detail)))
        }
    }
}

/// The files that a list of the `[data]` section stands for, folders opened, in sorted order.
/// `base` is the folder that relative paths start from.
///
/// # Errors
/// When a path does not exist, cannot be read, or is a folder without files.
pub fn source_files(sources: &[Source], base: &Path) -> Result<Vec<SourceFile>> {
    let mut files = Vec::new();
    for source in sources {
        let root = base.join(&source.path);
        let unreadable = |error| Error::Read { path: root.clone(), source: error };
        if !std::fs::metadata(&root).map_err(unreadable)?.is_dir() {
            let name = root.file_name().unwrap_or_default().to_string_lossy().into_owned();
            files.push(SourceFile { path: root, name, source: source.clone() });
            continue;
        }
        let mut inside = Vec::new();
        walk(&root, "", source, &mut inside)?;
        if inside.is_empty() {
            let hint = format!("the folder {} holds no files; is the path right?", root.display());
            return Err(Error::NothingLeft { after: "after looking for files", hint });
        }
        inside.sort_by(|left, right| left.name.cmp(&right.name));
        files.append(&mut inside);
    }
    Ok(files)
}

/// Collects the files under `folder`; `prefix` is its name relative to where the walk began. Links
/// to folders count as files, so a circle of links ends and is reported.
fn walk(folder: &Path, prefix: &str, source: &Source, files: &mut Vec<SourceFile>) -> Result<()> {
    let unreadable = |error| Error::Read { path: folder.to_owned(), source: error };
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type().map_err(unreadable)?.is_dir() {
            walk(&entry.path(), &format!("{name}/"), source, files)?;
        } else {
            files.push(SourceFile { path: entry.path(), name, source: source.clone() });
        }
    }
    Ok(())
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
