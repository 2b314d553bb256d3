//! Documents and dialogues, and their files of one JSON object a line.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use danlu_tokenizer::Message;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

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
    read_lines(path)
}

/// Reads a file of dialogues that [`crate::build`] wrote.
///
/// # Errors
/// When the file cannot be read or any line of it is not a dialogue.
pub fn read_dialogues(path: &Path) -> Result<Vec<Dialogue>> {
    read_lines(path)
}

fn read_lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    let unreadable = |source| Error::Read { path: path.to_owned(), source };
    let file = BufReader::new(File::open(path).map_err(unreadable)?);
    let mut records = Vec::new();
    for (index, line) in file.lines().enumerate() {
        let record = serde_json::from_str(&line.map_err(unreadable)?);
        records.push(record.map_err(|error| Error::Damaged {
            path: path.to_owned(),
            found: format!("line {}: {error}", index + 1),
        })?);
    }
    Ok(records)
}
