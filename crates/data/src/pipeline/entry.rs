//! What the map makes of a record: an entry in a part's file, and the keys that global steps need.

use danlu_tokenizer::is_han;
use serde::{Deserialize, Serialize};

use crate::document::{Document, Meta};
use crate::readers::Place;

/// A record after the map.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) place: Place,
    pub(super) id: Option<String>,
    pub(super) fate: Fate,
}

/// What the steps that look at one record alone made of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Fate {
    /// It could not be read.
    Rejected { kind: String, detail: String },
    /// A step dropped it.
    Dropped { step: String, reason: String, detail: String, bytes: u64 },
    /// It is clean; its line follows.
    Clean(Facts),
}

/// What the report and the choice of dialogues need to know of a document.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Facts {
    pub(crate) bytes: u64,
    pub(crate) characters: u64,
    pub(crate) language: String,
    /// As the recipe lists it.
    pub(crate) source: String,
    pub(crate) licence: Option<String>,
    pub(crate) origin: Option<String>,
    /// Its long lines that a dialogue has too.
    pub(super) quoted: Vec<u64>,
}

/// An entry with what goes with it.
pub(super) struct Mapped {
    pub(super) entry: Entry,
    /// The document as a line of JSON, where it is clean, or dropped and to be shown.
    pub(super) line: Vec<u8>,
    /// Keys, where it is a document.
    pub(super) keys: Option<Keys>,
}

/// By what documents are compared.
pub(super) struct Keys {
    pub(super) id: [u8; 16],
    pub(super) text: Option<[u8; 16]>,
    /// One for each bucket, where near-duplicates are looked for and there are words enough.
    pub(super) buckets: Vec<Vec<u8>>,
    /// Number of the first unit and hash of each span, where spans that recur are looked for.
    pub(super) spans: Vec<(u32, [u8; 16])>,
    pub(super) heldout: bool,
}

impl Facts {
    pub(super) fn of(document: &Document, source: &str, quoted: Vec<u64>) -> Self {
        let stated =
            |meta: &Meta, key| meta.get(key).and_then(serde_json::Value::as_str).map(str::to_owned);
        Self {
            bytes: document.text.len() as u64,
            characters: document.text.chars().count() as u64,
            language: stated(&document.meta, "language")
                .unwrap_or_else(|| script(&document.text).to_owned()),
            source: source.to_owned(),
            licence: stated(&document.meta, "licence"),
            origin: stated(&document.meta, "origin"),
            quoted,
        }
    }
}

/// `han` where at least half of the letters are Chinese, else `latin`.
fn script(text: &str) -> &'static str {
    let (mut letters, mut han) = (0_u64, 0_u64);
    for character in text.chars() {
        letters += u64::from(character.is_alphabetic());
        han += u64::from(is_han(character));
    }
    if han > 0 && 2 * han >= letters { "han" } else { "latin" }
}
