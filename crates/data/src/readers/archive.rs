//! Zip archives as the container of documents.

use std::io::{Cursor, Read};

use zip::ZipArchive;
use zip::result::ZipError;

use super::encoding::{Decoded, decode_page};
use super::xml::unwrapped;
use super::{Reason, too_large};
use crate::document::Meta;

/// An archive in memory. All parts that are read may together have so many bytes, unpacked.
pub(super) struct Archive {
    zip: ZipArchive<Cursor<Vec<u8>>>,
    max_bytes: u64,
    left: u64,
    /// Characters that were broken in the parts read so far.
    faults: usize,
}

impl Archive {
    /// # Errors
    /// The reason when `bytes` are no archive.
    pub(super) fn open(bytes: Vec<u8>, max_bytes: u64) -> Result<Self, Reason> {
        let zip = ZipArchive::new(Cursor::new(bytes));
        let zip = zip.map_err(|error| Reason::new("damaged archive", error.to_string()))?;
        Ok(Self { zip, max_bytes, left: max_bytes, faults: 0 })
    }

    /// Whether it has a part of a name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.zip.index_for_name(name).is_some()
    }

    /// Notes the broken characters of its parts.
    pub(super) fn describe(&self, meta: &mut Meta) {
        if self.faults > 0 {
            meta.insert("broken_characters".to_owned(), self.faults.into());
        }
    }

    /// The text of a part, its CDATA sections as other text is written.
    ///
    /// # Errors
    /// The reason when it is not there, damaged, too large, or no text.
    pub(super) fn text(&mut self, name: &str) -> Result<String, Reason> {
        let damaged = |what: String| Reason::new("damaged archive", format!("{name}: {what}"));
        let part = match self.zip.by_name(name) {
            Ok(part) => part,
            Err(ZipError::FileNotFound) => return Err(damaged("not in it".to_owned())),
            Err(error) => return Err(damaged(error.to_string())),
        };
        let mut bytes = Vec::new();
        part.take(self.left + 1).read_to_end(&mut bytes).map_err(|e| damaged(e.to_string()))?;
        self.left = self.left.checked_sub(bytes.len() as u64).ok_or(too_large(self.max_bytes))?;
        let decoded = decode_page(&bytes, None);
        let Decoded { text, faults, .. } = decoded
            .map_err(|reason| Reason::new(reason.kind, format!("{name}: {}", reason.detail)))?;
        self.faults += faults;
        Ok(unwrapped(text))
    }
}
