//! Parts of the map on disk: a stretch of the input, mapped, with sorted runs of its keys.
//!
//! A part is finished when its receipt is there, which is written last. A build that was killed
//! goes on after the last part whose receipt fits the settings and the input files.

use std::fs::{self, File};
use std::io::{BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::entry::{Entry, Fate, Mapped};
use super::sorted::{NUMBER_BYTES, record, write_run};
use super::spans::{SPAN_RECORD, span_record};
use crate::atomic::{AtomicFile, write_file_atomically};
use crate::{Error, Result};

/// Bytes of a record of an id or a text: half of a SHA-256 and the number of the document.
pub(super) const HASH_RECORD: usize = 16 + NUMBER_BYTES;
/// Bytes of an entry of a documents file: status and length.
const DOCUMENT_BYTES: usize = 5;

/// The document passed the steps that look at it alone.
pub(super) const CLEAN: u8 = 1;
/// Its id says that it is held out.
pub(super) const HELDOUT: u8 = 2;

/// A place between two records of the input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    /// Number of the file in the list of files.
    pub(super) file: usize,
    /// Records of it that lie before.
    pub(super) records: u64,
}

/// That a part is finished.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Receipt {
    /// Hash of the settings and of names, sizes and times of the files.
    pub(super) inputs: String,
    /// Where the next part begins; `None` after the last.
    pub(super) next: Option<Position>,
    /// Documents in this part and those before it.
    pub(super) documents: u32,
}

/// The files of a part.
#[derive(Clone, Debug)]
pub(super) struct Part {
    folder: PathBuf,
    number: usize,
}

impl Part {
    pub(super) fn new(folder: &Path, number: usize) -> Self {
        Self { folder: folder.to_owned(), number }
    }

    pub(super) fn file(&self, kind: &str) -> PathBuf {
        self.folder.join(format!("part-{:05}.{kind}", self.number))
    }

    /// The sorted run of the keys of a bucket.
    pub(super) fn bucket(&self, bucket: usize) -> PathBuf {
        self.file(&format!("bucket-{bucket:03}"))
    }

    /// The receipt, if the part is finished and was made from `inputs`.
    pub(super) fn receipt(&self, inputs: &str) -> Option<Receipt> {
        let bytes = fs::read(self.file("receipt.json")).ok()?;
        let receipt: Receipt = serde_json::from_slice(&bytes).ok()?;
        (receipt.inputs == inputs).then_some(receipt)
    }

    /// Status and length of each document.
    pub(super) fn documents(&self) -> Result<Vec<(u8, u32)>> {
        let path = self.file("documents");
        let bytes = fs::read(&path).map_err(|source| Error::Read { path, source })?;
        let entry = |bytes: &[u8]| {
            (bytes[0], bytes[1..].iter().fold(0, |sum, &byte| sum << 8 | u32::from(byte)))
        };
        Ok(bytes.chunks_exact(DOCUMENT_BYTES).map(entry).collect())
    }

    /// Gives each entry with its line to `take`, in order.
    pub(super) fn read(&self, take: &mut dyn FnMut(Entry, &[u8]) -> Result<()>) -> Result<()> {
        let path = self.file("entries");
        let unreadable = |source| Error::Read { path: path.clone(), source };
        let mut file = BufReader::with_capacity(1 << 18, File::open(&path).map_err(unreadable)?);
        let (mut lengths, mut bytes) = ([0; 8], Vec::new());
        loop {
            match file.read_exact(&mut lengths) {
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
                other => other.map_err(unreadable)?,
            }
            let length = |bytes: &[u8]| {
                bytes.iter().fold(0_usize, |sum, &byte| sum << 8 | usize::from(byte))
            };
            let (head, line) = (length(&lengths[..4]), length(&lengths[4..]));
            bytes.resize(head + line, 0);
            file.read_exact(&mut bytes).map_err(unreadable)?;
            take(serde_json::from_slice(&bytes[..head])?, &bytes[head..])?;
        }
    }
}

/// A part being made.
pub(super) struct PartWriter {
    part: Part,
    entries: AtomicFile,
    documents: Vec<u8>,
    first: u32,
    count: u32,
    ids: Vec<[u8; HASH_RECORD]>,
    texts: Vec<[u8; HASH_RECORD]>,
    spans: Vec<[u8; SPAN_RECORD]>,
    buckets: Box<dyn Buckets + Send>,
}

impl PartWriter {
    /// Starts a part whose first document has the number `first`. Keys of buckets have
    /// `key_bytes` bytes, which must be 16 or 64.
    pub(super) fn new(part: Part, first: u32, buckets: usize, key_bytes: usize) -> Result<Self> {
        let buckets: Box<dyn Buckets + Send> = if key_bytes == 16 {
            Box::new(vec![Vec::<[u8; 16 + NUMBER_BYTES]>::new(); buckets])
        } else {
            Box::new(vec![Vec::<[u8; 64 + NUMBER_BYTES]>::new(); buckets])
        };
        let entries = AtomicFile::create(&part.file("entries"))?;
        let (documents, ids, texts, spans) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Ok(Self { part, entries, documents, first, count: 0, ids, texts, spans, buckets })
    }

    /// Bytes of entries so far.
    pub(super) fn bytes(&self) -> u64 {
        self.entries.len()
    }

    /// Documents so far.
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// Bytes of spans so far, which are in memory.
    pub(super) fn span_bytes(&self) -> u64 {
        (self.spans.len() * SPAN_RECORD) as u64
    }

    /// Adds what the map made of a record.
    pub(super) fn add(&mut self, mapped: &Mapped) -> Result<()> {
        let head = serde_json::to_vec(&mapped.entry)?;
        self.entries.write(&(head.len() as u32).to_be_bytes())?;
        self.entries.write(&(mapped.line.len() as u32).to_be_bytes())?;
        self.entries.write(&head)?;
        self.entries.write(&mapped.line)?;
        let Some(keys) = &mapped.keys else { return Ok(()) };
        let number = self.first + self.count;
        self.ids.push(record(&keys.id, number));
        self.texts.extend(keys.text.map(|text| record(&text, number)));
        let spans = keys.spans.iter();
        self.spans.extend(spans.map(|&(start, hash)| span_record(hash, number, start)));
        for (bucket, key) in keys.buckets.iter().enumerate() {
            self.buckets.push(bucket, key, number);
        }
        let length = match &mapped.entry.fate {
            Fate::Clean(facts) => u32::try_from(facts.bytes).unwrap_or(u32::MAX),
            Fate::Rejected { .. } | Fate::Dropped { .. } => 0,
        };
        let clean = if keys.text.is_some() { CLEAN } else { 0 };
        self.documents.push(clean | if keys.heldout { HELDOUT } else { 0 });
        self.documents.extend(length.to_be_bytes());
        self.count += 1;
        Ok(())
    }

    /// Writes everything, the receipt last.
    pub(super) fn finish(mut self, inputs: &str, next: Option<Position>) -> Result<()> {
        self.entries.commit()?;
        write_file_atomically(&self.part.file("documents"), &self.documents)?;
        write_run(&self.part.file("ids"), &mut self.ids)?;
        write_run(&self.part.file("texts"), &mut self.texts)?;
        write_run(&self.part.file("spans"), &mut self.spans)?;
        self.buckets.write(&self.part)?;
        let documents = self.first + self.count;
        let receipt = Receipt { inputs: inputs.to_owned(), next, documents };
        let json = serde_json::to_vec(&receipt)?;
        Ok(write_file_atomically(&self.part.file("receipt.json"), &json)?)
    }
}

/// Keys of buckets, of either width.
trait Buckets {
    fn push(&mut self, bucket: usize, key: &[u8], document: u32);
    fn write(&mut self, part: &Part) -> Result<()>;
}

impl<const N: usize> Buckets for Vec<Vec<[u8; N]>> {
    fn push(&mut self, bucket: usize, key: &[u8], document: u32) {
        self[bucket].push(record(key, document));
    }

    fn write(&mut self, part: &Part) -> Result<()> {
        for (bucket, records) in self.iter_mut().enumerate() {
            write_run(&part.bucket(bucket), records)?;
        }
        Ok(())
    }
}
