//! Documents and dialogues, and their files of one JSON object a line.

use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use danlu_tokenizer::Message;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::split::fingerprint;
use crate::{Error, Result};

/// What is known about a text: `licence`, `origin`, and whatever its file said.
pub type Meta = serde_json::Map<String, Value>;

/// A piece of running text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// Unique name; decides whether the document is held out.
    pub id: String,
    /// The text.
    pub text: String,
    /// What is known about it.
    #[serde(default)]
    pub meta: Meta,
}

/// A dialogue to learn from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dialogue {
    /// Unique name.
    pub id: String,
    /// The turns.
    pub messages: Vec<Message>,
    /// What is known about it; `source_id` (or a list, `source_ids`) names the documents that it
    /// was made from.
    #[serde(default)]
    pub meta: Meta,
}

impl Dialogue {
    /// The documents that this dialogue was made from; empty when it names none.
    pub fn source_ids(&self) -> Vec<&str> {
        let one = self.meta.get("source_id").and_then(Value::as_str);
        let many = self.meta.get("source_ids").and_then(Value::as_array);
        one.into_iter().chain(many.into_iter().flatten().filter_map(Value::as_str)).collect()
    }
}

/// Reads a file of documents that [`crate::build`] wrote.
///
/// # Errors
/// When the file cannot be read or any line of it is not a document.
pub fn read_documents(path: &Path) -> Result<Vec<Document>> {
    DocumentFile::open(path)?.collect()
}

/// Reads a file of dialogues that [`crate::build`] wrote.
///
/// # Errors
/// When the file cannot be read or any line of it is not a dialogue.
pub fn read_dialogues(path: &Path) -> Result<Vec<Dialogue>> {
    Lines::open(path)?.map(|line| Ok(line?.1)).collect()
}

/// The documents of a file that [`crate::build`] wrote, one at a time: the file may be larger than
/// memory.
#[derive(Debug)]
pub struct DocumentFile(Lines<Document>);

impl DocumentFile {
    /// From the first on.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(path: &Path) -> Result<Self> {
        Ok(Self(Lines::open(path)?))
    }

    /// Those left in the order of a hash of their ids; some 16 bytes of memory each.
    ///
    /// # Errors
    /// When the file cannot be read or any line of it is not a document.
    pub(crate) fn shuffled(mut self) -> Result<impl Iterator<Item = Result<Document>>> {
        let mut places = Vec::new();
        for line in self.0.by_ref() {
            let (offset, document) = line?;
            places.push((fingerprint(&document.id), offset));
        }
        places.sort_unstable();
        Ok(places.into_iter().map(move |(_, offset)| self.0.at(offset)))
    }
}

impl Iterator for DocumentFile {
    type Item = Result<Document>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.0.next()?.map(|(_, document)| document))
    }
}

/// A file of one JSON object a line, each with where its line begins.
#[derive(Debug)]
struct Lines<T> {
    path: PathBuf,
    reader: BufReader<File>,
    offset: u64,
    line: Vec<u8>,
    record: PhantomData<T>,
}

impl<T: DeserializeOwned> Lines<T> {
    fn open(path: &Path) -> Result<Self> {
        let file =
            File::open(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        let (path, reader) = (path.to_owned(), BufReader::with_capacity(1 << 18, file));
        Ok(Self { path, reader, offset: 0, line: Vec::new(), record: PhantomData })
    }

    /// The record whose line begins at `offset`.
    fn at(&mut self, offset: u64) -> Result<T> {
        let unreadable = |source| Error::Read { path: self.path.clone(), source };
        self.reader.seek(SeekFrom::Start(offset)).map_err(unreadable)?;
        self.offset = offset;
        match self.read_line()? {
            Some((_, record)) => Ok(record),
            None => Err(Error::Damaged {
                path: self.path.clone(),
                found: format!("it ends before byte {offset}"),
            }),
        }
    }

    fn read_line(&mut self) -> Result<Option<(u64, T)>> {
        self.line.clear();
        let read = self.reader.read_until(b'\n', &mut self.line);
        let count = read.map_err(|source| Error::Read { path: self.path.clone(), source })?;
        if count == 0 {
            return Ok(None);
        }
        let offset = self.offset;
        self.offset += count as u64;
        let record = serde_json::from_slice(&self.line).map_err(|error| Error::Damaged {
            path: self.path.clone(),
            found: format!("the line at byte {offset}: {error}"),
        })?;
        Ok(Some((offset, record)))
    }
}

impl<T: DeserializeOwned> Iterator for Lines<T> {
    type Item = Result<(u64, T)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read_line().transpose()
    }
}
