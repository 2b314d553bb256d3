//! The map: every record by itself, on all cores, into parts.

use std::collections::HashSet;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::Watch;
use super::entry::{Entry, Facts, Fate, Keys, Mapped};
use super::parallel::{Crew, Emit, Weight, map_in_order};
use super::part::{Part, PartWriter, Position};
use crate::dedup::{MinHash, NearDuplicates};
use crate::document::Document;
use crate::readers::{Item, Place, Record, SourceFile, read_records};
use crate::split::{is_held_out, is_shown, long_lines};
use crate::steps::{Cleaner, Verdict};
use crate::{DataConfig, Error, Result};

/// A batch is given to a worker when it has so many bytes or records.
const BATCH_BYTES: u64 = 1 << 18;
const BATCH_RECORDS: usize = 256;
/// What a record takes beside its bytes, about, so that many small ones count too.
const RECORD_OVERHEAD: u64 = 256;
/// Batches under way between threads for each worker: enough for all to have work while a part is
/// finished.
const UNDER_WAY_BATCHES: u64 = 32;
/// Share of the memory cap for what is under way, counted in bytes as read: while they are worked
/// on they take several times as much.
const UNDER_WAY_SHARE: u64 = 16;
/// Share of the memory cap for the keys of the part that is being made.
const KEYS_SHARE: u64 = 8;

/// The files and how their records are mapped.
pub(super) struct Map<'a> {
    pub(super) config: &'a DataConfig,
    pub(super) files: &'a [SourceFile],
    /// Hash of the settings and the files, for receipts.
    pub(super) inputs: String,
    cleaner: &'a Cleaner,
    minhash: Option<MinHash>,
    /// Long lines of dialogues.
    quoted: HashSet<u64>,
}

/// How far the map is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// Records read, those of an earlier attempt apart.
    pub records: u64,
    /// Bytes of text in them.
    pub bytes: u64,
    /// Of them, documents that passed the cleaning steps.
    pub clean: u64,
}

/// Some records, as read.
#[derive(Default)]
struct Batch {
    records: Vec<(usize, Record)>,
    bytes: u64,
    end: Position,
}

/// The same after the map.
struct Done {
    mapped: Vec<Mapped>,
    bytes: u64,
    end: Position,
}

impl Weight for Batch {
    fn weight(&self) -> u64 {
        self.bytes
    }
}

impl<'a> Map<'a> {
    pub(super) fn new(
        config: &'a DataConfig,
        cleaner: &'a Cleaner,
        files: &'a [SourceFile],
        inputs: String,
        quoted: HashSet<u64>,
    ) -> Self {
        let minhash = config.near_duplicates.as_ref().map(NearDuplicates::minhash);
        Self { config, files, inputs, cleaner, minhash, quoted }
    }

    /// Makes all parts in `folder` that are not finished; gives their number.
    ///
    /// # Errors
    /// For files that cannot be read or written, too many documents, and [`Error::Stopped`], before
    /// which the part under way is finished.
    pub(super) fn run(&self, folder: &Path, watch: &mut Watch<'_>) -> Result<Vec<Part>> {
        let mut parts = Parts::resume(self, folder)?;
        if let Some(from) = parts.next {
            let workers = self.config.worker_count();
            let useful = workers as u64 * UNDER_WAY_BATCHES * BATCH_BYTES;
            let share = (self.config.memory.bytes() / UNDER_WAY_SHARE).max(BATCH_BYTES);
            let crew = Crew { workers, max_weight: useful.min(share) };
            map_in_order(
                crew,
                |emit| self.read(from, emit),
                |batch| self.map_batch(batch),
                |done| parts.take(&done?, watch),
            )?;
            parts.finish_part(None)?;
        }
        Ok((0..parts.number).map(|number| Part::new(folder, number)).collect())
    }

    fn read(&self, from: Position, emit: &mut Emit<'_, Batch>) -> Result<()> {
        let mut batch = Batch::default();
        for (file, source) in self.files.iter().enumerate().skip(from.file) {
            let skipped = if file == from.file { from.records } else { 0 };
            let mut records = 0;
            read_records(source, self.config, &mut |record| {
                records += 1;
                if records <= skipped {
                    return Ok(());
                }
                batch.bytes += RECORD_OVERHEAD + record.bytes() as u64;
                batch.records.push((file, record));
                batch.end = Position { file, records };
                if batch.bytes >= BATCH_BYTES || batch.records.len() >= BATCH_RECORDS {
                    emit(std::mem::take(&mut batch))?;
                }
                Ok(())
            })?;
        }
        if batch.records.is_empty() { Ok(()) } else { emit(batch) }
    }

    fn map_batch(&self, batch: Batch) -> Result<Done> {
        let records = batch.records.into_iter();
        let mapped = records.map(|(file, record)| self.map_item(file, record.parse()));
        Ok(Done { mapped: mapped.collect::<Result<_>>()?, bytes: batch.bytes, end: batch.end })
    }

    fn map_item(&self, file: usize, item: Item) -> Result<Mapped> {
        let rejected = |place, id, kind: &str, detail: String| {
            let fate = Fate::Rejected { kind: kind.to_owned(), detail };
            Ok(Mapped { entry: Entry { place, id, fate }, line: Vec::new(), keys: None })
        };
        match item {
            Item::Rejected(place, reason) => rejected(place, None, reason.kind, reason.detail),
            Item::Dialogue(place, dialogue) => {
                let hint = "list it in data.dialogues".to_owned();
                rejected(place, Some(dialogue.id), "a dialogue among texts", hint)
            }
            Item::Document(place, mut document) => {
                self.files[file].source.describe(&mut document.meta);
                self.map_document(&self.files[file].source.path, place, document)
            }
        }
    }

    fn map_document(&self, source: &str, place: Place, document: Document) -> Result<Mapped> {
        let heldout = is_held_out(&document.id, self.config.heldout_per_mille);
        let (id, buckets, spans) = (hash(&document.id), Vec::new(), Vec::new());
        let mut keys = Keys { id, text: None, buckets, spans, heldout };
        let (document, fate, line) = match self.cleaner.clean(document) {
            Verdict::Drop { step, reason, detail, document } => {
                let (step, reason) = (step.to_owned(), reason.into_owned());
                let shown = is_shown(&document.id, self.config.dropped_texts_per_mille);
                let line = if shown { super::line_of(&document)? } else { Vec::new() };
                let bytes = document.text.len() as u64;
                (document, Fate::Dropped { step, reason, detail, bytes }, line)
            }
            Verdict::Keep(document) => {
                keys.text = Some(hash(&document.text));
                if let (Some(near), Some(minhash)) = (&self.config.near_duplicates, &self.minhash) {
                    let signature = near.signature(minhash, &document.text);
                    keys.buckets = signature.map(|values| near.keys(&values)).unwrap_or_default();
                }
                if let Some(spans) = &self.config.duplicate_spans {
                    keys.spans = spans.keys(&document.text);
                }
                let line = super::line_of(&document)?;
                let facts = Facts::of(&document, source, self.quoted_in(&document.text));
                (document, Fate::Clean(facts), line)
            }
        };
        Ok(Mapped { entry: Entry { place, id: Some(document.id), fate }, line, keys: Some(keys) })
    }

    fn quoted_in(&self, text: &str) -> Vec<u64> {
        if self.quoted.is_empty() {
            return Vec::new();
        }
        long_lines(text).filter(|line| self.quoted.contains(line)).collect()
    }
}

/// Half of the SHA-256 of `text`: two of a billion texts are equal by chance once in 10^20 times.
fn hash(text: &str) -> [u8; 16] {
    let digest = Sha256::digest(text.as_bytes());
    std::array::from_fn(|at| digest[at])
}

/// Parts being made one after the other.
struct Parts<'a> {
    map: &'a Map<'a>,
    folder: &'a Path,
    /// Number of the part that is made now, or would be next.
    number: usize,
    documents: u32,
    /// Where the first part to be made begins; `None` when all are finished.
    next: Option<Position>,
    writer: Option<PartWriter>,
    progress: Progress,
}

impl<'a> Parts<'a> {
    /// After the last part in `folder` that is finished and fits.
    fn resume(map: &'a Map<'a>, folder: &'a Path) -> Result<Self> {
        let (writer, progress) = (None, Progress::default());
        let next = Some(Position::default());
        let mut parts = Self { map, folder, number: 0, documents: 0, next, writer, progress };
        while parts.next.is_some() {
            let part = Part::new(folder, parts.number);
            let Some(receipt) = part.receipt(&map.inputs) else { break };
            (parts.next, parts.documents) = (receipt.next, receipt.documents);
            parts.number += 1;
        }
        Ok(parts)
    }

    fn take(&mut self, done: &Done, watch: &mut Watch<'_>) -> Result<()> {
        for mapped in &done.mapped {
            self.progress.clean += u64::from(matches!(mapped.entry.fate, Fate::Clean(_)));
            self.writer()?.add(mapped)?;
        }
        self.progress.records += done.mapped.len() as u64;
        self.progress.bytes += done.bytes;
        let go_on = watch(&self.progress);
        let (bytes, documents) = (self.map.config.shard_bytes, self.max_documents());
        let spans_room = self.map.config.memory.bytes() / KEYS_SHARE;
        let writer = self.writer()?;
        let spans_full = writer.span_bytes() >= spans_room;
        if !go_on || writer.bytes() >= bytes || writer.count() >= documents || spans_full {
            self.finish_part(Some(done.end))?;
        }
        if go_on { Ok(()) } else { Err(Error::Stopped) }
    }

    /// Documents of a part whose keys take their share of the memory cap.
    fn max_documents(&self) -> u32 {
        let near = self.map.config.near_duplicates.as_ref();
        let keys = near.map_or(0, |near| near.buckets * (near.key_bytes() + 4)) + 64;
        let limit = self.map.config.memory.bytes() / KEYS_SHARE / keys as u64;
        u32::try_from(limit).unwrap_or(u32::MAX).max(1)
    }

    fn writer(&mut self) -> Result<&mut PartWriter> {
        if self.writer.is_none() {
            let part = Part::new(self.folder, self.number);
            let near = self.map.config.near_duplicates.as_ref();
            let (buckets, bytes) = near.map_or((0, 16), |near| (near.buckets, near.key_bytes()));
            self.writer = Some(PartWriter::new(part, self.documents, buckets, bytes)?);
        }
        match &mut self.writer {
            Some(writer) => Ok(writer),
            None => Err(Error::Stopped),
        }
    }

    fn finish_part(&mut self, next: Option<Position>) -> Result<()> {
        self.writer()?;
        let Some(writer) = self.writer.take() else { return Ok(()) };
        self.documents += writer.count();
        writer.finish(&self.map.inputs, next)?;
        self.number += 1;
        Ok(())
    }
}
