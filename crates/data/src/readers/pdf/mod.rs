//! PDF: each file is one document, a paragraph a line, in the order in which its pages show it. The
//! title goes to `meta.title`, the number of pages to `meta.pages`. Format: ISO 32000-1.
//!
//! Read here, because what a file may cost must be limited before it is spent, and the crates that
//! read PDF unpack what they are given: `max_record_bytes` limits the file and each of its streams,
//! [`WORK`] times as much all that is unpacked and parsed. A file that needs a password, or was
//! scanned and has no text, is counted as such. Of what a font does not say the meaning of, the
//! number stands in `meta.broken_characters`; where that is much of it, the file is not used.

mod contents;
mod file;
mod filters;
mod font;
mod layout;
mod syntax;

use encoding_rs::{UTF_16BE, WINDOWS_1252};

use self::contents::Viewer;
use self::file::Pdf;
use self::syntax::{Budget, Object, Spent};
use super::record::{Outcome, Parsed};
use super::text::one_record;
use super::{Place, Reader, Reason, too_large};
use crate::document::{Document, Meta};

pub(super) const READER: Reader = Reader {
    name: "pdf",
    extensions: &["pdf"],
    about: "a PDF with a text layer; each file is one document",
    read: |file, max_record_bytes, sink| {
        one_record(file, max_record_bytes, sink, |place, bytes, max_bytes| {
            document(place, &bytes, max_bytes)
        })
    },
};

/// All streams together may unpack to so many times the largest record, and as many tokens as a
/// record has bytes are parsed.
const WORK: u64 = 4;
/// Of so many characters one may be of unknown meaning.
const CHARS_PER_FAULT: usize = 10;

fn document(place: &Place, bytes: &[u8], max_bytes: u64) -> Outcome {
    let budget = Budget { tokens: max_bytes, unpacked: max_bytes.saturating_mul(WORK) };
    let spent = |Spent| {
        let detail = format!("it unpacks to more than {WORK} times data.max_record_bytes");
        Reason::new("too large", detail)
    };
    let pdf = Pdf::new(bytes, budget, max_bytes).map_err(spent)?;
    if pdf.is_encrypted() {
        return Err(Reason::new("encrypted", "a PDF with a password or with restrictions"));
    }
    let pages = pdf.pages().map_err(spent)?;
    if pages.is_empty() {
        return Err(Reason::new("damaged file", "it has no pages"));
    }
    let mut viewer = Viewer::new(&pdf);
    let (mut texts, mut length, mut glyphs, mut unknown) = (Vec::new(), 0, 0, 0);
    for page in &pages {
        let shown = viewer.show(page).map_err(spent)?;
        glyphs += shown.glyphs.len();
        unknown += shown.unknown;
        let text = layout::text(&shown.glyphs);
        length += text.len() as u64 + 1;
        if length > max_bytes {
            return Err(too_large(max_bytes));
        }
        texts.extend(Some(text).filter(|text| !text.is_empty()));
    }
    if texts.is_empty() {
        let detail = format!("{} pages, none with text", pages.len());
        return Err(Reason::new("no text layer (scanned?)", detail));
    }
    if unknown * CHARS_PER_FAULT > glyphs {
        let detail = format!("its fonts do not say what {unknown} of {glyphs} characters are");
        return Err(Reason::new("undecodable", detail));
    }
    let mut meta = Meta::new();
    if let Some(title) = title(&pdf).map_err(spent)? {
        meta.insert("title".to_owned(), title.into());
    }
    meta.insert("pages".to_owned(), pages.len().into());
    if unknown > 0 {
        meta.insert("broken_characters".to_owned(), unknown.into());
    }
    let text = texts.join("\n");
    Ok(Parsed::Document(Document { id: place.to_string(), text, meta }))
}

fn title(pdf: &Pdf<'_>) -> Result<Option<String>, Spent> {
    let info = pdf.info()?;
    let Object::Text(bytes) = pdf.get(&info, b"Title")? else { return Ok(None) };
    let title = match bytes.strip_prefix(b"\xfe\xff") {
        Some(bytes) => UTF_16BE.decode_without_bom_handling(bytes).0,
        // Nearly the encoding that the standard has for it.
        None => match bytes.strip_prefix(b"\xef\xbb\xbf") {
            Some(bytes) => String::from_utf8_lossy(bytes),
            None => WINDOWS_1252.decode_without_bom_handling(&bytes).0,
        },
    };
    let words: Vec<&str> = title.split_whitespace().collect();
    Ok((!words.is_empty()).then(|| words.join(" ")))
}
