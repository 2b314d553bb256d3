//! Electronic books: each file is one document, its chapters in the order of the book's spine. The
//! title goes to `meta.title`. A chapter that the book names and does not have is counted by itself
//! and costs no more; a book whose chapters are encrypted is not read. Format: EPUB 2 and 3.

use std::collections::{BTreeSet, HashMap};

use super::archive::Archive;
use super::html::{Markup, all_text};
use super::record::{Outcome, Parsed, Record, guarded};
use super::text::whole;
use super::xml::{Event, each};
use super::{Place, Reader, Reason, Sink, SourceFile, too_large, unreadable};
use crate::Result;
use crate::document::{Document, Meta};

pub(super) const READER: Reader =
    Reader { name: "epub", extensions: &["epub"], about: "an electronic book", read };

/// Ways to encrypt that only make embedded fonts hard to take out.
const FONT_METHODS: [&str; 2] =
    ["http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC"];

/// What the package file of a book says.
#[derive(Default)]
struct Package {
    title: String,
    /// Addresses of the parts by their ids.
    parts: HashMap<String, String>,
    /// Ids of the chapters in reading order.
    spine: Vec<String>,
}

/// A book, opened, and the names of its chapters in the archive.
struct Book {
    archive: Archive,
    title: String,
    chapters: Vec<String>,
    /// What the spine names and is not there.
    missing: Vec<String>,
}

fn read(file: &SourceFile, max_bytes: u64, sink: &mut Sink<'_>) -> Result<()> {
    let place = file.place(1);
    let bytes = match whole(file, max_bytes) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return sink(Record::rejected(place, too_large(max_bytes))),
        Err(error) => return sink(unreadable(file, place, error)?),
    };
    let length = bytes.len();
    match guarded(|| Book::open(bytes, max_bytes)) {
        Ok(book) => {
            for part in &book.missing {
                let reason = Reason::new("missing part", format!("{part}: not in the book"));
                sink(Record::rejected(place.clone(), reason))?;
            }
            sink(Record::new(place, length, move |place| book.document(place)))
        }
        Err(reason) => sink(Record::rejected(place, reason)),
    }
}

impl Book {
    /// Finds the chapters; they are unpacked later.
    fn open(bytes: Vec<u8>, max_bytes: u64) -> std::result::Result<Self, Reason> {
        let mut archive = Archive::open(bytes, max_bytes)?;
        let mut path = None;
        each(&archive.text("META-INF/container.xml")?, |event| {
            if let Event::Start(tag) = event
                && tag.name == "rootfile"
            {
                path.get_or_insert(tag.get("full-path").to_owned());
            }
        });
        let path =
            path.ok_or_else(|| Reason::new("damaged archive", "it names no package file"))?;
        let package = package(&archive.text(&path)?);
        let folder = path.rfind('/').map_or("", |at| &path[..=at]);
        let (mut chapters, mut missing) = (Vec::new(), Vec::new());
        for id in &package.spine {
            match package.parts.get(id).map(|address| resolved(folder, address)) {
                Some(name) if archive.has(&name) => chapters.push(name),
                Some(name) => missing.push(name),
                None => missing.push(format!("`{id}` of the spine")),
            }
        }
        let encrypted = encrypted(&mut archive)?;
        if chapters.iter().any(|name| encrypted.contains(name)) {
            return Err(Reason::new(
                "encrypted",
                "its chapters are; only its shop's readers open it",
            ));
        }
        Ok(Self { archive, title: package.title, chapters, missing })
    }

    fn document(mut self, place: &Place) -> Outcome {
        let mut texts = Vec::new();
        for name in &self.chapters {
            texts.push(all_text(&self.archive.text(name)?, Markup::Xhtml));
        }
        texts.retain(|text| !text.is_empty());
        if texts.is_empty() {
            return Err(Reason::new("empty", ""));
        }
        let mut meta = Meta::new();
        if !self.title.is_empty() {
            meta.insert("title".to_owned(), self.title.into());
        }
        self.archive.describe(&mut meta);
        Ok(Parsed::Document(Document { id: place.to_string(), text: texts.join("\n"), meta }))
    }
}

/// The parts that are encrypted, embedded fonts apart.
fn encrypted(archive: &mut Archive) -> std::result::Result<BTreeSet<String>, Reason> {
    const LIST: &str = "META-INF/encryption.xml";
    let (mut found, mut method) = (BTreeSet::new(), String::new());
    if archive.has(LIST) {
        each(&archive.text(LIST)?, |event| match event {
            Event::Start(tag) if tag.name == "encryptionmethod" => {
                tag.get("algorithm").clone_into(&mut method);
            }
            Event::Start(tag)
                if tag.name == "cipherreference" && !FONT_METHODS.contains(&method.as_str()) =>
            {
                found.insert(resolved("", tag.get("uri")));
            }
            _ => {}
        });
    }
    Ok(found)
}

fn package(markup: &str) -> Package {
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
    });
    package
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
