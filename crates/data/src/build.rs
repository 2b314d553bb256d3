//! Raw files to `clean.jsonl`, `heldout.jsonl`, `dialogues.jsonl` and `report.json`.
//!
//! Records stream through: only names and hashes of documents and lines stay in memory. The order
//! of the output is that of the input. Exact duplicates go before the split. A dialogue is dropped
//! when a document that it was made from is held out, or when it quotes a line that only held-out
//! ones have, so nothing held out is trained on.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;

use danlu_tokenizer::Role;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::atomic::{AtomicFile, write_file_atomically};
use crate::document::{Dialogue, Document};
use crate::readers::{Item, Place, Reason, read_file, source_files};
use crate::report::{DataReport, count};
use crate::split::{fingerprint, is_held_out};
use crate::steps::{Cleaner, Verdict};
use crate::{DataConfig, Error, Result};

/// Documents for training, in the output folder.
pub const CLEAN_FILE: &str = "clean.jsonl";
/// Documents held out from training.
pub const HELDOUT_FILE: &str = "heldout.jsonl";
/// Dialogues for training.
pub const DIALOGUES_FILE: &str = "dialogues.jsonl";
/// Every record that was not used: its place, the step and the reason.
pub const DROPPED_FILE: &str = "dropped.jsonl";
/// What was done: a [`DataReport`].
pub const REPORT_FILE: &str = "report.json";

/// Builds the clean data in the folder `out`, which must exist, from what `config` names, relative
/// to the folder `base`.
///
/// # Errors
/// For impossible settings, files that cannot be read or written, and when nothing is left to train
/// on, to hold out or, if dialogues are asked for, to talk about.
pub fn build(config: &DataConfig, base: &Path, out: &Path) -> Result<DataReport> {
    config.validate()?;
    let mut builder = Builder::new(config, base, out)?;
    let texts = source_files(&config.text, base)?;
    let dialogues = source_files(&config.dialogues, base)?;
    builder.report.files = (texts.len() + dialogues.len()) as u64;
    for file in &texts {
        read_file(file, config, &mut |mut item| {
            if let Item::Document(_, document) = &mut item {
                file.source.describe(&mut document.meta);
            }
            builder.take(item, Wanted::Documents)
        })?;
    }
    for file in &dialogues {
        read_file(file, config, &mut |item| builder.take(item, Wanted::Dialogues))?;
    }
    builder.finish(out)
}

/// What the list that a file stands in asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Documents,
    Dialogues,
}

/// Where a document's text went.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Train,
    Heldout,
}

struct Builder<'a> {
    config: &'a DataConfig,
    cleaner: Cleaner,
    clean: AtomicFile,
    heldout: AtomicFile,
    dialogues: AtomicFile,
    dropped: AtomicFile,
    report: DataReport,
    /// Side of each text, by SHA-256.
    texts: BTreeMap<[u8; 32], Side>,
    /// Side of each document, by id; a duplicate is where its twin is.
    documents: BTreeMap<String, Side>,
    /// The long lines of documents, where there are dialogues to compare with; see [`long_lines`].
    train_lines: HashSet<u64>,
    heldout_lines: HashSet<u64>,
    dialogue_ids: BTreeSet<String>,
    dialogue_hashes: BTreeSet<[u8; 32]>,
}

/// A line of [`DROPPED_FILE`].
#[derive(Serialize)]
struct Dropped<'a> {
    place: &'a Place,
    id: Option<&'a str>,
    step: &'a str,
    reason: &'a str,
    detail: &'a str,
}

impl<'a> Builder<'a> {
    fn new(config: &'a DataConfig, base: &Path, out: &Path) -> Result<Self> {
        let report = DataReport {
            heldout_per_mille: config.heldout_per_mille,
            steps: config.steps.clone(),
            ..DataReport::default()
        };
        Ok(Self {
            config,
            cleaner: Cleaner::new(config, base)?,
            clean: AtomicFile::create(&out.join(CLEAN_FILE))?,
            heldout: AtomicFile::create(&out.join(HELDOUT_FILE))?,
            dialogues: AtomicFile::create(&out.join(DIALOGUES_FILE))?,
            dropped: AtomicFile::create(&out.join(DROPPED_FILE))?,
            report,
            texts: BTreeMap::new(),
            documents: BTreeMap::new(),
            train_lines: HashSet::new(),
            heldout_lines: HashSet::new(),
            dialogue_ids: BTreeSet::new(),
            dialogue_hashes: BTreeSet::new(),
        })
    }

    fn take(&mut self, item: Item, wanted: Wanted) -> Result<()> {
        self.report.records += 1;
        match item {
            Item::Rejected(place, reason) => self.reject(&place, None, &reason),
            Item::Document(place, document) if wanted == Wanted::Documents => {
                self.take_document(&place, document)
            }
            Item::Dialogue(place, dialogue) if wanted == Wanted::Dialogues => {
                self.take_dialogue(&place, dialogue)
            }
            Item::Document(place, document) => {
                let reason = Reason::new("a document among dialogues", "list it in data.text");
                self.reject(&place, Some(&document.id), &reason)
            }
            Item::Dialogue(place, dialogue) => {
                let reason = Reason::new("a dialogue among texts", "list it in data.dialogues");
                self.reject(&place, Some(&dialogue.id), &reason)
            }
        }
    }

    fn take_document(&mut self, place: &Place, document: Document) -> Result<()> {
        if self.documents.contains_key(&document.id) {
            let reason = Reason::new("id is taken", "an earlier document has the same id");
            return self.reject(place, Some(&document.id), &reason);
        }
        let document = match self.cleaner.clean(document) {
            Verdict::Keep(document) => document,
            Verdict::Drop { step, reason, document } => {
                count(&mut self.report.dropped, &format!("{step}: {reason}"));
                let (id, detail) = (Some(document.id.as_str()), "");
                return self.drop(&Dropped { place, id, step, reason: &reason, detail });
            }
        };
        let hash: [u8; 32] = Sha256::digest(document.text.as_bytes()).into();
        if let Some(&side) = self.texts.get(&hash) {
            self.report.duplicates += 1;
            let id = Some(document.id.as_str());
            let (step, reason) = ("deduplicate", "the same text as an earlier document");
            self.drop(&Dropped { place, id, step, reason, detail: "" })?;
            self.documents.insert(document.id, side);
            return Ok(());
        }
        let (side, part, file, lines) = if is_held_out(&document.id, self.config.heldout_per_mille)
        {
            let part = &mut self.report.heldout;
            (Side::Heldout, part, &mut self.heldout, &mut self.heldout_lines)
        } else {
            (Side::Train, &mut self.report.train, &mut self.clean, &mut self.train_lines)
        };
        if !self.config.dialogues.is_empty() {
            lines.extend(long_lines(&document.text));
        }
        part.add(&document);
        file.write(&line_of(&document)?)?;
        self.texts.insert(hash, side);
        self.documents.insert(document.id, side);
        Ok(())
    }

    fn take_dialogue(&mut self, place: &Place, mut dialogue: Dialogue) -> Result<()> {
        for message in &mut dialogue.messages {
            message.content = self.cleaner.clean_text(&message.content);
        }
        let turns = dialogue.messages.len() as u64;
        let hash: [u8; 32] = Sha256::digest(line_of(&dialogue.messages)?).into();
        if let Some(reason) = self.fault_of(&dialogue, &hash) {
            count(&mut self.report.dialogues_dropped, reason);
            let detail = dialogue.source_ids().join(", ");
            let (id, step) = (Some(dialogue.id.as_str()), "dialogues");
            return self.drop(&Dropped { place, id, step, reason, detail: &detail });
        }
        self.dialogues.write(&line_of(&dialogue)?)?;
        self.report.dialogues += 1;
        self.report.turns += turns;
        self.dialogue_hashes.insert(hash);
        self.dialogue_ids.insert(dialogue.id);
        Ok(())
    }

    /// Why a dialogue may not be trained on.
    fn fault_of(&self, dialogue: &Dialogue, hash: &[u8; 32]) -> Option<&'static str> {
        let answers = dialogue.messages.iter().any(|message| message.role == Role::Assistant);
        if !answers {
            return Some("the assistant says nothing");
        }
        if dialogue.messages.iter().any(|message| message.content.is_empty()) {
            return Some("an empty turn");
        }
        let sources = dialogue.source_ids();
        if sources.is_empty() && self.config.dialogues_need_source {
            return Some("it names no source document (meta.source_id)");
        }
        for source in sources {
            match self.documents.get(source) {
                Some(Side::Heldout) => return Some("a source document is held out"),
                None => return Some("a source document is not among the texts"),
                Some(Side::Train) => {}
            }
        }
        if dialogue.messages.iter().any(|message| self.quotes_held_out(&message.content)) {
            return Some("it quotes a held-out document");
        }
        if self.dialogue_ids.contains(&dialogue.id) {
            return Some("id is taken");
        }
        self.dialogue_hashes.contains(hash).then_some("the same turns as an earlier dialogue")
    }

    /// Whether a long line of `text` stands in held-out documents only, whatever the dialogue says
    /// of its sources.
    fn quotes_held_out(&self, text: &str) -> bool {
        let only_held_out =
            |line| self.heldout_lines.contains(&line) && !self.train_lines.contains(&line);
        long_lines(text).any(only_held_out)
    }

    fn reject(&mut self, place: &Place, id: Option<&str>, reason: &Reason) -> Result<()> {
        self.report.reject(place, reason);
        let (step, detail) = ("read", reason.detail.as_str());
        self.drop(&Dropped { place, id, step, reason: reason.kind, detail })
    }

    fn drop(&mut self, dropped: &Dropped<'_>) -> Result<()> {
        Ok(self.dropped.write(&line_of(dropped)?)?)
    }

    fn finish(self, out: &Path) -> Result<DataReport> {
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

/// A fingerprint of each line of `text` that is long enough to be recognised: 12 characters are a
/// Chinese couplet of five-character verses. Shorter lines recur in unrelated texts.
fn long_lines(text: &str) -> impl Iterator<Item = u64> {
    let long = |line: &&str| line.chars().count() >= 12;
    text.lines().map(str::trim).filter(long).map(fingerprint)
}

/// `record` as a line of JSON.
fn line_of(record: &impl Serialize) -> Result<Vec<u8>> {
    let mut line = serde_json::to_vec(record)?;
    line.push(b'\n');
    Ok(line)
}
