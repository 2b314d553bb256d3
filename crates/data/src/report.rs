//! What was read, kept and dropped, and why: `report.json`.

use std::collections::BTreeMap;

use danlu_tokenizer::is_han;
use serde::{Deserialize, Serialize};

use crate::document::{Document, Meta};
use crate::readers::{Place, Reason};
use crate::steps::StepConfig;

/// At most so many examples of rejected records are in the report; all are in `dropped.jsonl`.
const MAX_EXAMPLES: usize = 20;
/// Name of the group of documents that do not say their licence or origin.
const NOT_STATED: &str = "(not stated)";

/// Counts by reason.
pub type Counts = BTreeMap<String, u64>;

/// Number and size of some documents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// How many.
    pub documents: u64,
    /// Their text in bytes of UTF-8.
    pub bytes: u64,
    /// Their text in characters.
    pub characters: u64,
}

impl Size {
    fn add(&mut self, bytes: u64, characters: u64) {
        self.documents += 1;
        self.bytes += bytes;
        self.characters += characters;
    }
}

/// A part of the documents: those for training, or those held out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// All of the part.
    pub total: Size,
    /// By main script: `han` where at least half of the letters are Chinese, else `latin`.
    pub by_language: BTreeMap<String, Size>,
    /// By `meta.licence`.
    pub by_licence: BTreeMap<String, Size>,
    /// By `meta.origin`.
    pub by_origin: BTreeMap<String, Size>,
}

/// A record that was not used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Example {
    /// `file:line`.
    pub place: String,
    /// Why.
    pub reason: String,
    /// What exactly.
    pub detail: String,
}

/// What [`crate::build`] did: every record that was read is in exactly one of the counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataReport {
    /// Files read.
    pub files: u64,
    /// Records found in them, the unusable included.
    pub records: u64,
    /// Records that could not be used, by reason.
    pub rejected: Counts,
    /// Documents dropped by a cleaning step, by `step: reason`.
    pub dropped: Counts,
    /// Documents whose text is exactly that of an earlier one.
    pub duplicates: u64,
    /// Documents for training.
    pub train: Part,
    /// Documents held out.
    pub heldout: Part,
    /// Dialogues kept.
    pub dialogues: u64,
    /// Their turns.
    pub turns: u64,
    /// Dialogues dropped, by reason.
    pub dialogues_dropped: Counts,
    /// Some of the unusable records.
    pub examples: Vec<Example>,
    /// Of 1000 documents, so many were to be held out.
    pub heldout_per_mille: u64,
    /// The cleaning steps.
    pub steps: Vec<StepConfig>,
}

impl Part {
    pub(crate) fn add(&mut self, document: &Document) {
        let bytes = document.text.len() as u64;
        let characters = document.text.chars().count() as u64;
        self.total.add(bytes, characters);
        let stated = |meta: &Meta, key| match meta.get(key).and_then(serde_json::Value::as_str) {
            Some(value) => value.to_owned(),
            None => NOT_STATED.to_owned(),
        };
        let groups = [
            (&mut self.by_language, language(&document.text).to_owned()),
            (&mut self.by_licence, stated(&document.meta, "licence")),
            (&mut self.by_origin, stated(&document.meta, "origin")),
        ];
        for (group, name) in groups {
            group.entry(name).or_default().add(bytes, characters);
        }
    }
}

impl DataReport {
    /// Counts an unusable record.
    pub(crate) fn reject(&mut self, place: &Place, reason: &Reason) {
        count(&mut self.rejected, reason.kind);
        if self.examples.len() < MAX_EXAMPLES {
            self.examples.push(Example {
                place: place.to_string(),
                reason: reason.kind.to_owned(),
                detail: reason.detail.clone(),
            });
        }
    }

    /// The counts of what was not used, as one sentence for error messages.
    pub(crate) fn losses(&self) -> String {
        let mut parts = Vec::new();
        for counts in [&self.rejected, &self.dropped, &self.dialogues_dropped] {
            parts.extend(counts.iter().map(|(reason, count)| format!("{count} x {reason}")));
        }
        if self.duplicates > 0 {
            parts.push(format!("{} x duplicate", self.duplicates));
        }
        if parts.is_empty() { "no record was found".to_owned() } else { parts.join(", ") }
    }
}

/// Counts one more of `reason`.
pub(crate) fn count(counts: &mut Counts, reason: &str) {
    *counts.entry(reason.to_owned()).or_default() += 1;
}

/// `han` where at least half of the letters are Chinese, else `latin`.
fn language(text: &str) -> &'static str {
    let (mut letters, mut han) = (0_u64, 0_u64);
    for character in text.chars() {
        letters += u64::from(character.is_alphabetic());
        han += u64::from(is_han(character));
    }
    if han > 0 && 2 * han >= letters { "han" } else { "latin" }
}
