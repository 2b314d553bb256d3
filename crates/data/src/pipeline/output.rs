//! The output files and the report, written in the order of the input.

use std::path::Path;

use serde::Serialize;

use super::dialogues::{Quotes, Side};
use super::entry::{Entry, Facts, Fate};
use super::part::Part;
use super::reduce::{Standing, Standings};
use super::spans::{Removal, Removals};
use super::{CLEAN_FILE, DIALOGUES_FILE, DROPPED_FILE, HELDOUT_FILE, REPORT_FILE, line_of};
use crate::atomic::{AtomicFile, write_file_atomically};
use crate::dedup::Shortened;
use crate::document::{Dialogue, Document};
use crate::readers::Place;
use crate::report::{Cluster, DataReport, RemovedSpans, count};
use crate::split::is_shown;
use crate::{DataConfig, Error, Result};

/// Name of the removal of spans in counts of dropped documents.
const SPANS_STEP: &str = "duplicate_spans";
/// Ids of a cluster that the report shows.
const SHOWN_MEMBERS: usize = 5;

pub(super) struct Output<'a> {
    pub(super) config: &'a DataConfig,
    pub(super) report: DataReport,
    clean: AtomicFile,
    heldout: AtomicFile,
    dialogues: AtomicFile,
    dropped: AtomicFile,
}

/// A line of [`DROPPED_FILE`].
#[derive(Serialize)]
struct Dropped<'a> {
    place: &'a Place,
    id: Option<&'a str>,
    step: &'a str,
    reason: &'a str,
    detail: &'a str,
    /// For those that `dropped_texts_per_mille` chooses.
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<Document>,
}

impl<'a> Output<'a> {
    pub(super) fn create(config: &'a DataConfig, out: &Path) -> Result<Self> {
        let report = DataReport {
            heldout_per_mille: config.heldout_per_mille,
            steps: config.steps.clone(),
            duplicate_spans: config.duplicate_spans.as_ref().map(|_| RemovedSpans::default()),
            ..DataReport::default()
        };
        Ok(Self {
            config,
            report,
            clean: AtomicFile::create(&out.join(CLEAN_FILE))?,
            heldout: AtomicFile::create(&out.join(HELDOUT_FILE))?,
            dialogues: AtomicFile::create(&out.join(DIALOGUES_FILE))?,
            dropped: AtomicFile::create(&out.join(DROPPED_FILE))?,
        })
    }

    /// Writes the documents of `parts` that are kept, and why others are not.
    pub(super) fn write_documents(
        &mut self,
        parts: &[Part],
        (standings, removals): (&Standings, &mut Removals),
        quotes: &mut Quotes,
    ) -> Result<()> {
        let shown = standings.largest.iter().map(|&(_, size)| Cluster { size, ids: Vec::new() });
        self.report.clusters = standings.clusters;
        self.report.largest_clusters = shown.collect();
        let mut number = 0;
        for part in parts {
            part.read(&mut |entry, line| {
                match &entry.fate {
                    Fate::Rejected { kind, detail } => {
                        return self.reject(&entry.place, entry.id.as_deref(), kind, detail);
                    }
                    Fate::Dropped { step, reason, detail, bytes } => match standings.of(number) {
                        Standing::IdTaken => self.reject_id(&entry)?,
                        _ => {
                            let name = format!("{step}: {reason}");
                            count(&mut self.report.dropped, &name);
                            *self.report.dropped_bytes.entry(name).or_default() += bytes;
                            self.drop(&entry, line, step, (reason, detail))?;
                        }
                    },
                    Fate::Clean(facts) => {
                        let side = match standings.is_held_out(number) {
                            true => Side::Heldout,
                            false => Side::Train,
                        };
                        let standing = standings.of(number);
                        self.show_cluster(number, standing, &entry, standings);
                        let removed = removals.of(number)?;
                        let found = (standing, side);
                        if removed.is_empty() {
                            self.write_noted(&entry, facts, found, line, quotes)?;
                        } else if let Some((facts, line)) =
                            self.shorten((number, &entry), facts, line, &removed, quotes)?
                        {
                            self.write_noted(&entry, &facts, found, &line, quotes)?;
                        }
                    }
                }
                number += 1;
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Writes a document that is clean, and notes what dialogues need to know of it.
    fn write_noted(
        &mut self,
        entry: &Entry,
        facts: &Facts,
        (standing, side): (Standing, Side),
        line: &[u8],
        quotes: &mut Quotes,
    ) -> Result<()> {
        if standing != Standing::IdTaken {
            quotes.found(entry, side);
        }
        if standing == Standing::Unique {
            quotes.quoted(facts, side);
        }
        self.write_clean(entry, facts, (standing, side), line)
    }

    /// A document without spans that recur; `None` where so little is left that it is dropped.
    fn shorten(
        &mut self,
        (number, entry): (u32, &Entry),
        facts: &Facts,
        line: &[u8],
        removed: &[Removal],
        quotes: &Quotes,
    ) -> Result<Option<(Facts, Vec<u8>)>> {
        let mut document: Document = serde_json::from_slice(line)?;
        let spans = self.config.duplicate_spans.clone().unwrap_or_default();
        let starts = removed.iter().map(|removal| removal.start);
        let Shortened { text, units } = spans.shorten(&document.text, starts);
        let counts = self.report.duplicate_spans.get_or_insert_default();
        counts.units += units;
        for removal in removed {
            let text = || spans.span(&document.text, removal.start);
            counts.add(&entry.place, (number, removal.first), text);
        }
        if let Some(reason) = spans.fault_of(&text) {
            let name = format!("{SPANS_STEP}: {reason}");
            count(&mut self.report.dropped, &name);
            *self.report.dropped_bytes.entry(name).or_default() += facts.bytes;
            let detail = format!("{} of {} bytes", text.len(), facts.bytes);
            self.drop(entry, line, SPANS_STEP, (reason, &detail))?;
            return Ok(None);
        }
        counts.documents += 1;
        counts.bytes += (document.text.len() - text.len()) as u64;
        document.text = text;
        let quoted = quotes.quoted_in(&document.text);
        let facts = Facts::of(&document, &facts.source, quoted);
        Ok(Some((facts, line_of(&document)?)))
    }

    fn write_clean(
        &mut self,
        entry: &Entry,
        facts: &Facts,
        (standing, side): (Standing, Side),
        line: &[u8],
    ) -> Result<()> {
        match (standing, side) {
            (Standing::IdTaken, _) => self.reject_id(entry),
            (Standing::Duplicate, _) => {
                self.report.duplicates += 1;
                self.report.duplicate_bytes += facts.bytes;
                self.drop(entry, line, "deduplicate", ("the same text as an earlier document", ""))
            }
            (Standing::NearDuplicate(kept), _) => {
                self.report.near_duplicates += 1;
                self.report.near_duplicate_bytes += facts.bytes;
                let detail = format!("document {kept} of those read, from 0, is kept");
                let reason = ("nearly the text of another document", detail.as_str());
                self.drop(entry, line, "deduplicate", reason)
            }
            (Standing::Unique, Side::Train) => {
                self.report.records += 1;
                self.report.train.add(facts);
                Ok(self.clean.write(line)?)
            }
            (Standing::Unique, Side::Heldout) => {
                self.report.records += 1;
                self.report.heldout.add(facts);
                Ok(self.heldout.write(line)?)
            }
        }
    }

    /// Adds a member to a cluster that the report shows.
    fn show_cluster(&mut self, number: u32, standing: Standing, entry: &Entry, found: &Standings) {
        let kept = match standing {
            Standing::NearDuplicate(kept) => kept,
            Standing::Unique => number,
            Standing::IdTaken | Standing::Duplicate => return,
        };
        let shown = found.largest.iter().position(|&(document, _)| document == kept);
        let cluster = shown.and_then(|index| self.report.largest_clusters.get_mut(index));
        if let (Some(cluster), Some(id)) = (cluster, &entry.id)
            && cluster.ids.len() < SHOWN_MEMBERS
        {
            cluster.ids.push(id.clone());
        }
    }

    fn reject_id(&mut self, entry: &Entry) -> Result<()> {
        let (id, detail) = (entry.id.as_deref(), "an earlier document has the same id");
        self.reject(&entry.place, id, "id is taken", detail)
    }

    /// Counts a record that cannot be used.
    pub(super) fn reject(
        &mut self,
        place: &Place,
        id: Option<&str>,
        kind: &str,
        detail: &str,
    ) -> Result<()> {
        self.report.reject(place, kind, detail);
        let document = None;
        self.write_dropped(&Dropped { place, id, step: "read", reason: kind, detail, document })
    }

    /// Lists a document that is not used, and shows it where it is one of those.
    fn drop(
        &mut self,
        entry: &Entry,
        line: &[u8],
        step: &str,
        (reason, detail): (&str, &str),
    ) -> Result<()> {
        let (place, id) = (&entry.place, entry.id.as_deref());
        let shown = is_shown(id.unwrap_or_default(), self.config.dropped_texts_per_mille);
        let document = if shown { Some(serde_json::from_slice(line)?) } else { None };
        self.write_dropped(&Dropped { place, id, step, reason, detail, document })
    }

    pub(super) fn drop_dialogue(
        &mut self,
        place: &Place,
        dialogue: &Dialogue,
        reason: &str,
    ) -> Result<()> {
        count(&mut self.report.dialogues_dropped, reason);
        let detail = dialogue.source_ids().join(", ");
        let (id, step) = (Some(dialogue.id.as_str()), "dialogues");
        let document = None;
        self.write_dropped(&Dropped { place, id, step, reason, detail: &detail, document })
    }

    pub(super) fn keep_dialogue(&mut self, dialogue: &Dialogue) -> Result<()> {
        self.report.records += 1;
        self.report.dialogues += 1;
        self.report.turns += dialogue.messages.len() as u64;
        Ok(self.dialogues.write(&line_of(dialogue)?)?)
    }

    fn write_dropped(&mut self, dropped: &Dropped<'_>) -> Result<()> {
        self.report.records += 1;
        Ok(self.dropped.write(&line_of(dropped)?)?)
    }

    /// Writes the report, after checking that something is left.
    pub(super) fn finish(self, out: &Path) -> Result<DataReport> {
        let report = self.report;
        let nothing = |after, hint: &str| {
            let hint = format!("{hint} ({})", report.losses());
            Err(Error::NothingLeft { after, hint })
        };
        if report.train.total.documents == 0 {
            return nothing("to train on after cleaning", "check data.text");
        }
        if report.heldout.total.documents == 0 && report.heldout_per_mille > 0 {
            let hint = format!(
                "{} documents are too few for data.heldout_per_mille = {}; give more and smaller \
                 documents, or raise it",
                report.train.total.documents, report.heldout_per_mille
            );
            return nothing("to hold out", &hint);
        }
        if !self.config.dialogues.is_empty() && report.dialogues == 0 {
            return nothing("of the dialogues", "check data.dialogues");
        }
        for file in [self.clean, self.heldout, self.dialogues, self.dropped] {
            file.commit()?;
        }
        let mut json = serde_json::to_vec_pretty(&report)?;
        json.push(b'\n');
        write_file_atomically(&out.join(REPORT_FILE), &json)?;
        Ok(report)
    }
}
