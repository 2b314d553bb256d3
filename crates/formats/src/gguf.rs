//! GGUF, versions 2 and 3: typed metadata, a table of tensors, their bytes
//! (<https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>).
//!
//! A file lists a tensor's dimensions innermost first; here, as everywhere, they are outermost
//! first. All numbers are little-endian. Tensors begin at multiples of the alignment that the
//! metadata give (32 when they give none) and do not overlap.

mod header;
mod mix;
mod value;
mod write;

use std::collections::BTreeMap;
use std::path::Path;

pub use self::mix::{MIXES, Mix, MixFacts};
pub use self::value::{Array, Metadata, Value, ValueType};
pub use self::write::Writer;

use crate::bytes::Source;
use crate::{Error, Result, WeightTensor};

/// The format's name in messages.
const FORMAT: &str = "GGUF";
/// How every file begins.
pub(crate) const MAGIC: &[u8; 4] = b"GGUF";
/// The key of the alignment.
const ALIGNMENT_KEY: &str = "general.alignment";
/// The alignment of files that give none.
const ALIGNMENT_DEFAULT: usize = 32;

/// A GGUF file, open for reading: its header is read and checked, its tensors lie in the mapping.
#[derive(Debug)]
pub struct Gguf {
    source: Source,
    version: u32,
    metadata: Metadata,
    tensors: Vec<WeightTensor>,
    by_name: BTreeMap<String, usize>,
}

impl Gguf {
    /// Opens a file.
    ///
    /// # Errors
    /// When the file cannot be opened, is damaged, or holds what is not read here.
    pub fn open(path: &Path) -> Result<Self> {
        Self::read(Source::open(path)?)
    }

    /// Reads bytes in memory; `file` is their name in messages.
    ///
    /// # Errors
    /// When they are damaged or hold what is not read here.
    pub fn from_bytes(file: &str, bytes: Vec<u8>) -> Result<Self> {
        Self::read(Source::owned(file, bytes))
    }

    pub(crate) fn read(source: Source) -> Result<Self> {
        header::read(source)
    }

    /// The file's name, for messages.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.source.file
    }

    /// The version of the layout: 2 or 3.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }

    /// All metadata.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Every tensor, in the order of the file's table.
    #[must_use]
    pub fn tensors(&self) -> &[WeightTensor] {
        &self.tensors
    }

    /// The tensor with this name.
    ///
    /// # Errors
    /// When there is none.
    pub fn tensor(&self, name: &str) -> Result<&WeightTensor> {
        let index = self.by_name.get(name).ok_or_else(|| Error::NoSuchTensor {
            file: self.source.file.to_string(),
            name: name.to_owned(),
        })?;
        Ok(&self.tensors[*index])
    }

    /// A text of the metadata.
    ///
    /// # Errors
    /// When it is missing or no text; so for the other types below.
    pub fn text(&self, key: &str) -> Result<&str> {
        self.typed(key, "a text", |value| match value {
            Value::String(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// An integer of the metadata, of any width.
    ///
    /// # Errors
    /// When it is missing, negative or no integer.
    pub fn integer(&self, key: &str) -> Result<u64> {
        self.typed(key, "an integer of at least 0", Value::as_u64)
    }

    /// A number of the metadata, of any type.
    ///
    /// # Errors
    /// When it is missing or no number.
    pub fn number(&self, key: &str) -> Result<f64> {
        self.typed(key, "a number", Value::as_f64)
    }

    /// A boolean of the metadata.
    ///
    /// # Errors
    /// When it is missing or no boolean.
    pub fn boolean(&self, key: &str) -> Result<bool> {
        self.typed(key, "true or false", |value| match value {
            Value::Bool(value) => Some(*value),
            _ => None,
        })
    }

    /// An array of the metadata.
    ///
    /// # Errors
    /// When it is missing or no array.
    pub fn array(&self, key: &str) -> Result<&Array> {
        self.typed(key, "an array", |value| match value {
            Value::Array(array) => Some(array),
            _ => None,
        })
    }

    /// The strings of an array of the metadata.
    ///
    /// # Errors
    /// When it is missing or no array of strings.
    pub fn strings(&self, key: &str) -> Result<impl Iterator<Item = &str>> {
        self.typed(key, "an array of strings", |value| match value {
            Value::Array(array) => array.strings(),
            _ => None,
        })
    }

    fn typed<'a, T>(
        &'a self,
        key: &str,
        expected: &'static str,
        convert: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<T> {
        let value = self.metadata.get(key);
        value.and_then(convert).ok_or_else(|| Error::Metadata {
            file: self.source.file.to_string(),
            key: key.to_owned(),
            found: value.map_or("missing".to_owned(), |value| format!("{:?}", value.kind())),
            expected,
        })
    }
}
