//! What was read, kept and dropped, and why: `report.json`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::pipeline::Facts;
use crate::readers::Place;
use crate::steps::StepConfig;

/// Characters of a removed span that an example shows.
const SHOWN_CHARACTERS: usize = 200;
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
    /// By `meta.language`; where that says nothing, by main script: `han` where at least half of
    /// the letters are Chinese, else `latin`.
    pub by_language: BTreeMap<String, Size>,
    /// By the path that the recipe lists.
    pub by_source: BTreeMap<String, Size>,
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

/// Documents that are nearly the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// How many.
    pub size: u32,
    /// Some of their ids, in the order in which they were read.
    pub ids: Vec<String>,
}

/// Lines or sentences that were removed since they stand earlier in the corpus.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovedSpans {
    /// Spans removed, by where the kept one is; also of documents that were then dropped.
    pub spans: Counts,
    /// Their lines or sentences, each once where spans overlap.
    pub units: u64,
    /// Documents that were shortened and kept.
    pub documents: u64,
    /// Bytes that went from them.
    pub bytes: u64,
    /// Some of the spans.
    pub examples: Vec<Example>,
}

impl RemovedSpans {
    /// Counts a span of the document `number` that `first` has first.
    pub(crate) fn add<'a>(
        &mut self,
        place: &Place,
        (number, first): (u32, u32),
        text: impl Fn() -> &'a str,
    ) {
        let earlier = number != first;
        let reason = if earlier { "in an earlier document" } else { "earlier in its document" };
        count(&mut self.spans, reason);
        if self.examples.len() < MAX_EXAMPLES {
            let shown: String = text().trim().chars().take(SHOWN_CHARACTERS).collect();
            self.examples.push(Example {
                place: place.to_string(),
                reason: reason.to_owned(),
                detail: format!("document {first} of those read, from 0, has it first: {shown}"),
            });
        }
    }
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
    /// Bytes of their text when they were dropped, by the same names.
    pub dropped_bytes: Counts,
    /// Documents whose text is exactly that of an earlier one.
    pub duplicates: u64,
    /// Their text in bytes.
    pub duplicate_bytes: u64,
    /// Documents whose text is nearly that of one that is kept.
    pub near_duplicates: u64,
    /// Their text in bytes.
    pub near_duplicate_bytes: u64,
    /// Clusters of near-duplicates; of each, one document is kept.
    pub clusters: u64,
    /// The largest of them.
    pub largest_clusters: Vec<Cluster>,
    /// Spans that were removed, where `duplicate_spans` is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duplicate_spans: Option<RemovedSpans>,
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
    pub(crate) fn add(&mut self, facts: &Facts) {
        self.total.add(facts.bytes, facts.characters);
        let stated = |said: &Option<String>| said.as_deref().unwrap_or(NOT_STATED).to_owned();
        let groups = [
            (&mut self.by_language, facts.language.clone()),
            (&mut self.by_source, facts.source.clone()),
            (&mut self.by_licence, stated(&facts.licence)),
            (&mut self.by_origin, stated(&facts.origin)),
        ];
        for (group, name) in groups {
            group.entry(name).or_default().add(facts.bytes, facts.characters);
        }
    }
}

impl DataReport {
    /// Counts an unusable record.
    pub(crate) fn reject(&mut self, place: &Place, reason: &str, detail: &str) {
        count(&mut self.rejected, reason);
        if self.examples.len() < MAX_EXAMPLES {
            self.examples.push(Example {
                place: place.to_string(),
                reason: reason.to_owned(),
                detail: detail.to_owned(),
            });
        }
    }

    /// The counts of what was not used, as one sentence for error messages.
    pub(crate) fn losses(&self) -> String {
        let mut parts = Vec::new();
        for counts in [&self.rejected, &self.dropped, &self.dialogues_dropped] {
            parts.extend(counts.iter().map(|(reason, count)| format!("{count} x {reason}")));
        }
        let same = [(self.duplicates, "duplicate"), (self.near_duplicates, "near-duplicate")];
        parts.extend(
            same.iter().filter(|(count, _)| *count > 0).map(|(n, what)| format!("{n} x {what}")),
        );
        if parts.is_empty() { "no record was found".to_owned() } else { parts.join(", ") }
    }
}

/// Counts one more of `reason`.
pub(crate) fn count(counts: &mut Counts, reason: &str) {
    *counts.entry(reason.to_owned()).or_default() += 1;
}
