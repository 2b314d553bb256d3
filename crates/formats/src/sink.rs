//! What the writers share: tensors are announced in a header, then their bytes stream through.

use std::io::Write;

use crate::{ElementType, Error, Result};

/// A tensor as a header announces it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorEntry {
    /// Its name.
    pub name: String,
    /// What its elements are.
    pub element: ElementType,
    /// Its dimensions, outermost first.
    pub shape: Vec<usize>,
}

impl TensorEntry {
    /// Bytes of all its elements.
    ///
    /// # Panics
    /// When its rows are no whole blocks.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let Self { name, element, shape } = self;
        let size = element.size_bytes(shape);
        assert!(size.is_some(), "`{name}` cannot be {element} {shape:?}");
        size.unwrap_or(0)
    }
}

/// Takes the bytes of announced tensors in their order, in pieces of any length.
#[derive(Debug)]
pub(crate) struct Sink<W> {
    out: W,
    entries: Vec<TensorEntry>,
    /// The tensor being written, and how many of its bytes are.
    current: usize,
    written: usize,
    /// Zeros follow each tensor up to a multiple of this.
    alignment: usize,
}

impl<W: Write> Sink<W> {
    pub(crate) fn new(out: W, entries: Vec<TensorEntry>, alignment: usize) -> Self {
        Self { out, entries, current: 0, written: 0, alignment }
    }

    /// Writes the next bytes of a tensor.
    pub(crate) fn write(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.pass_finished()?;
        let Some(entry) = self.entries.get(self.current).filter(|entry| entry.name == name) else {
            let next = self.entries.get(self.current).map_or("nothing", |entry| &entry.name);
            return Err(unannounced(name, format!("{} bytes", bytes.len()), next.to_owned()));
        };
        let total = self.written + bytes.len();
        if total > entry.size_bytes() {
            let expected = format!("{} bytes", entry.size_bytes());
            return Err(unannounced(name, format!("{total} bytes"), expected));
        }
        self.out.write_all(bytes)?;
        self.written = total;
        Ok(())
    }

    /// Steps over tensors whose every byte is written.
    fn pass_finished(&mut self) -> Result<()> {
        while let Some(entry) = self.entries.get(self.current)
            && entry.size_bytes() == self.written
        {
            let padding = self.written.next_multiple_of(self.alignment) - self.written;
            std::io::copy(
                &mut std::io::Read::take(std::io::repeat(0), padding as u64),
                &mut self.out,
            )?;
            self.current += 1;
            self.written = 0;
        }
        Ok(())
    }

    /// Checks that every tensor is written and hands the output back.
    pub(crate) fn finish(mut self) -> Result<W> {
        self.pass_finished()?;
        if let Some(entry) = self.entries.get(self.current) {
            let found = format!("{} bytes", self.written);
            return Err(unannounced(&entry.name, found, format!("{} bytes", entry.size_bytes())));
        }
        self.out.flush()?;
        Ok(self.out)
    }
}

fn unannounced(name: &str, found: String, expected: String) -> Error {
    Error::Unannounced { name: name.to_owned(), found, expected }
}
