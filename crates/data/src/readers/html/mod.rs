//! Web pages: each file is one document, its main text without navigation, comments and footers.
//!
//! Paragraphs are lines of the text, one line end between them, as the filters of published recipes
//! expect. The title goes to `meta.title`. How the main text is found: `main_text`.

mod justext;
mod main_text;
mod paragraphs;
mod tags;

use self::main_text::main_paragraphs;
use self::paragraphs::{Page, Paragraph};
use super::encoding::decode_page;
use super::record::{Outcome, Parsed, Record};
use super::text::whole;
use super::{Place, Reader, Reason, Sink, SourceFile, too_large, unreadable};
use crate::Result;
use crate::document::{Document, Meta};

pub(super) const READER: Reader = Reader {
    name: "html",
    extensions: &["html", "htm", "xhtml"],
    about: "a web page; its main text is one document",
    read,
};

fn read(file: &SourceFile, max_record_bytes: u64, sink: &mut Sink<'_>) -> Result<()> {
    let place = file.place(1);
    match whole(file, max_record_bytes) {
        Ok(Some(bytes)) => {
            let length = bytes.len();
            let parse = move |place: &Place| document(place.to_string(), &bytes, None, Meta::new());
            sink(Record::new(place, length, parse))
        }
        Ok(None) => sink(Record::rejected(place, too_large(max_record_bytes))),
        Err(error) => sink(unreadable(file, place, error)?),
    }
}

/// The main text of a page as a document; `declared` is the encoding that its sender states.
pub(super) fn document(
    id: String,
    bytes: &[u8],
    declared: Option<&str>,
    mut meta: Meta,
) -> Outcome {
    let decoded = decode_page(bytes, declared)?;
    decoded.describe(&mut meta);
    let (title, text) = main_text(&decoded.text)?;
    if let Some(title) = title {
        meta.insert("title".to_owned(), title.into());
    }
    Ok(Parsed::Document(Document { id, text, meta }))
}

/// Title and main text of a page.
fn main_text(markup: &str) -> std::result::Result<(Option<String>, String), Reason> {
    let page = Page::read(markup, false);
    let good = main_paragraphs(&page);
    if good.is_empty() {
        let detail = format!("{} paragraphs, none of running text", page.paragraphs.len());
        return Err(Reason::new("no main text", detail));
    }
    let text = joined(good.into_iter());
    Ok((page.title, text))
}

/// All text of a chapter in XHTML.
pub(super) fn all_text(markup: &str) -> String {
    joined(Page::read(markup, true).paragraphs.iter())
}

fn joined<'a>(paragraphs: impl Iterator<Item = &'a Paragraph>) -> String {
    let texts: Vec<&str> = paragraphs.map(|paragraph| &paragraph.text[..]).collect();
    texts.join("\n")
}
