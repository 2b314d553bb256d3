//! Electronic books: each file is one document, its chapters in the order of the book's spine. The
//! title goes to `meta.title`. Format: EPUB 2 and 3.

use std::collections::HashMap;

use super::archive::Archive;
use super::html::{Markup, all_text};
use super::record::{Outcome, Parsed};
use super::text::one_record;
use super::xml::{Event, each};
use super::{Place, Reader, Reason};
use crate::document::{Document, Meta};

pub(super) const READER: Reader = Reader {
    name: "epub",
    extensions: &["epub"],
    about: "an electronic book",
    read: |file, max_record_bytes, sink| one_record(file, max_record_bytes, sink, document),
};

/// What the package file of a book says.
#[derive(Default)]
struct Package {
    title: String,
    /// Addresses of the parts by their ids.
    parts: HashMap<String, String>,
    /// Ids of the chapters in reading order.
    spine: Vec<String>,
}

fn document(place: &Place, bytes: Vec<u8>, max_bytes: u64) -> Outcome {
    let mut archive = Archive::open(bytes, max_bytes)?;
    let mut path = None;
    each(&archive.text("META-INF/container.xml")?, |event| {
        if let Event::Start(tag) = event
            && tag.name == "rootfile"
        {
            path.get_or_insert(tag.get("full-path").to_owned());
        }
    })?;
    let path = path.ok_or_else(|| Reason::new("damaged archive", "it names no package file"))?;
    let package = package(&archive.text(&path)?)?;
    let folder = path.rfind('/').map_or("", |at| &path[..=at]);
    let mut chapters = Vec::new();
    for id in &package.spine {
        let address = package.parts.get(id).ok_or_else(|| {
            Reason::new("damaged archive", format!("the spine names `{id}`, which is no part"))
        })?;
        chapters.push(all_text(&archive.text(&resolved(folder, address))?, Markup::Xhtml));
    }
    chapters.retain(|chapter| !chapter.is_empty());
    if chapters.is_empty() {
        return Err(Reason::new("empty", ""));
    }
    let mut meta = Meta::new();
    if !package.title.is_empty() {
        meta.insert("title".to_owned(), package.title.into());
    }
    Ok(Parsed::Document(Document { id: place.to_string(), text: chapters.join("\n"), meta }))
}

fn package(markup: &str) -> std::result::Result<Package, Reason> {
    let mut package = Package::default();
    let mut in_title = false;
    each(markup, |event| match event {
        Event::Start(tag) => match tag.name.as_str() {
            "title" => in_title = package.title.is_empty(),
            "item" => {
                package.parts.insert(tag.get("id").to_owned(), tag.get("href").to_owned());
            }
            "itemref" => package.spine.push(tag.get("idref").to_owned()),
            _ => {}
        },
        Event::End("title") => in_title = false,
        Event::Text(text) if in_title => package.title.push_str(text.trim()),
        _ => {}
    })?;
    Ok(package)
}

/// The name in the archive of what stands at an address, relative to the package file's folder.
fn resolved(folder: &str, address: &str) -> String {
    let address = unescaped(address.split('#').next().unwrap_or_default());
    let joined = format!("{folder}{address}");
    let mut names: Vec<&str> = Vec::new();
    for name in joined.split('/') {
        match name {
            "" | "." => {}
            ".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    names.join("/")
}

/// `%20` and the like as the bytes that they stand for.
fn unescaped(address: &str) -> String {
    let mut bytes = Vec::with_capacity(address.len());
    let mut rest = address.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let byte = digits.and_then(|two| u8::from_str_radix(two, 16).ok());
        match byte.filter(|_| first == b'%') {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
