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
use super::record::{Outcome, Parsed};
use super::text::one_record;
use super::{Reader, Reason};
use crate::document::{Document, Meta};

pub(super) const READER: Reader = Reader {
    name: "html",
    extensions: &["html", "htm", "xhtml"],
    about: "a web page; its main text is one document",
    read: |file, max_record_bytes, sink| {
        one_record(file, max_record_bytes, sink, |place, bytes, _| {
            document(place.to_string(), &bytes, None, Meta::new())
        })
    },
};

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

/// How markup is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Markup {
    Html,
    Xhtml,
}

/// All text of a chapter or a mail.
pub(super) fn all_text(markup: &str, written: Markup) -> String {
    joined(Page::read(markup, written == Markup::Xhtml).paragraphs.iter())
}

fn joined<'a>(paragraphs: impl Iterator<Item = &'a Paragraph>) -> String {
    let texts: Vec<&str> = paragraphs.map(|paragraph| &paragraph.text[..]).collect();
    texts.join("\n")
}
