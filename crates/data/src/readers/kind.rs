//! What a file is by its first bytes, where its name says nothing or something else.

use std::io::Read;

use super::compression::open;
use super::mail::{is_mail, is_mailbox};
use super::{READERS, Reader, SourceFile};

/// Bytes at a fixed place that files of a kind have.
struct Signature {
    at: usize,
    bytes: &'static [u8],
    /// What such a file is.
    kind: &'static str,
    /// Name of the reader for it, if there is one.
    reader: Option<&'static str>,
}

const fn known(bytes: &'static [u8], kind: &'static str, reader: &'static str) -> Signature {
    Signature { at: 0, bytes, kind, reader: Some(reader) }
}

const fn foreign(bytes: &'static [u8], kind: &'static str) -> Signature {
    Signature { at: 0, bytes, kind, reader: None }
}

/// First part of a book, stored as it is.
const EPUB: &[u8] = b"mimetypeapplication/epub+zip";
/// First part of most Office documents.
const OFFICE: &[u8] = b"[Content_Types].xml";
/// Readers of archives, whose first bytes tell little.
const ARCHIVES: [&str; 2] = ["docx", "epub"];

/// Signatures that no text begins with.
const SIGNATURES: &[Signature] = &[
    known(b"WARC/1.", "a web crawl", "warc"),
    known(b"%PDF-", "a PDF", "pdf"),
    known(b"PAR1", "a Parquet table", "parquet"),
    known(b"PARE", "an encrypted Parquet table", "parquet"),
    Signature { at: 30, bytes: EPUB, kind: "a book", reader: Some("epub") },
    Signature { at: 30, bytes: OFFICE, kind: "an Office document", reader: Some("docx") },
    foreign(b"PK\x03\x04", "a zip archive"),
    foreign(b"PK\x05\x06", "an empty zip archive"),
    foreign(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Office document of before 2007"),
    foreign(b"{\\rtf", "an RTF document"),
    foreign(b"ARROW1\0\0", "an Arrow table"),
    foreign(b"Rar!\x1a\x07", "a RAR archive"),
    foreign(b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    foreign(b"SQLite format 3\0", "a SQLite database"),
    foreign(b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    foreign(b"\x89PNG\r\n\x1a\n", "a PNG image"),
    foreign(b"\xff\xd8\xff", "a JPEG image"),
    foreign(b"GIF8", "a GIF image"),
    foreign(b"\x7fELF", "a program"),
    foreign(b"GGUF", "a model"),
    Signature { at: 257, bytes: b"ustar", kind: "a tar archive", reader: None },
];

/// Beginnings of texts that another reader takes, where the name says nothing or plain text.
const BEGINNINGS: &[(&[u8], &str)] =
    &[(b"<!doctype html", "html"), (b"<html", "html"), (b"{\"", "jsonl")];

/// Whether a file that begins so is of a kind.
type Fits = fn(&[u8]) -> bool;

/// What is told by more than how it begins, where the name says nothing.
const SHAPES: &[(Fits, &str)] = &[(is_mail, "eml"), (is_mailbox, "mbox")];

/// So many first bytes tell.
const HEAD_BYTES: u64 = 512;

/// What is to be done with a file.
pub(super) enum Kind {
    /// It is read so.
    Known(&'static Reader),
    /// It is of a kind that no reader takes.
    Foreign(&'static str),
    /// Neither name nor bytes tell.
    Unknown,
}

impl Kind {
    /// By the first bytes, uncompressed, then by the name.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn of(file: &SourceFile) -> std::io::Result<Self> {
        let mut head = Vec::new();
        match open(&file.path)?.take(HEAD_BYTES).read_to_end(&mut head) {
            // What is damaged is for its reader to report.
            Err(error) if !super::is_damage(&error) => return Err(error),
            _ => {}
        }
        Ok(Self::of_bytes(&head, Reader::of(&file.path)))
    }

    fn of_bytes(head: &[u8], named: Option<&'static Reader>) -> Self {
        let is = |one: &&Signature| head.get(one.at..).is_some_and(|at| at.starts_with(one.bytes));
        if let Some(found) = SIGNATURES.iter().find(is) {
            let archive = named.filter(|named| ARCHIVES.contains(&named.name));
            if let Some(named) = archive.filter(|_| head.starts_with(b"PK")) {
                return Self::Known(named);
            }
            return found.reader.and_then(reader).map_or(Self::Foreign(found.kind), Self::Known);
        }
        let text = head.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(head).trim_ascii_start();
        let starts = |what: &[u8]| {
            text.get(..what.len()).is_some_and(|start| start.eq_ignore_ascii_case(what))
        };
        let found = BEGINNINGS.iter().find(|(start, _)| starts(start));
        let shape = || SHAPES.iter().find(|(fits, _)| fits(text)).map(|(_, name)| *name);
        let begun = found.map(|(_, name)| *name).or_else(shape).and_then(reader);
        match named {
            Some(named) if named.name != "text" => Self::Known(named),
            Some(text) if begun.is_none_or(|begun| begun.name != "html") => Self::Known(text),
            _ => begun.map_or(Self::Unknown, Self::Known),
        }
    }
}

fn reader(name: &str) -> Option<&'static Reader> {
    READERS.iter().find(|reader| reader.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signature_names_a_reader_that_is_there() {
        let named = SIGNATURES.iter().filter_map(|signature| signature.reader);
        let begun = BEGINNINGS.iter().map(|(_, name)| *name);
        for name in named.chain(begun).chain(SHAPES.iter().map(|(_, name)| *name)) {
            assert!(reader(name).is_some(), "{name}");
        }
        for signature in SIGNATURES {
            assert!((signature.at + signature.bytes.len()) as u64 <= HEAD_BYTES);
        }
    }
}
