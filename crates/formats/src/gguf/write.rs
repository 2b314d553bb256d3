//! Writing a file: the header at once, then tensor after tensor.

use std::collections::BTreeSet;
use std::io::Write;

use super::value::{Metadata, Value, write_str};
use super::{ALIGNMENT_DEFAULT, ALIGNMENT_KEY, MAGIC, header};
use crate::sink::{Sink, TensorEntry};
use crate::{Error, Result};

/// The version that is written.
const VERSION: u32 = 3;

/// Writes a file tensor by tensor, none of which need be in memory as a whole. The same metadata
/// and tensors always give the same bytes.
#[derive(Debug)]
pub struct Writer<W>(Sink<W>);

impl<W: Write> Writer<W> {
    /// Writes the header of a file that will hold `entries` in this order. The alignment is that of
    /// the metadata, or 32.
    ///
    /// # Errors
    /// When two tensors have one name, a type or an alignment does not exist in GGUF, or `out`
    /// refuses the bytes.
    pub fn new(mut out: W, metadata: &Metadata, entries: Vec<TensorEntry>) -> Result<Self> {
        let alignment = match metadata.get(ALIGNMENT_KEY) {
            Some(Value::U32(alignment)) if alignment.is_power_of_two() => *alignment as usize,
            None => ALIGNMENT_DEFAULT,
            Some(other) => return Err(unwritable(&format!("`{ALIGNMENT_KEY}` = {other:?}"))),
        };
        let mut header = MAGIC.to_vec();
        header.extend(VERSION.to_le_bytes());
        header.extend((entries.len() as u64).to_le_bytes());
        header.extend((metadata.iter().len() as u64).to_le_bytes());
        for (key, value) in metadata.iter() {
            write_str(key, &mut header);
            header.extend((value.kind() as u32).to_le_bytes());
            value.write(&mut header);
        }
        let (mut offset, mut names) = (0, BTreeSet::new());
        for entry in &entries {
            if !names.insert(&entry.name) {
                return Err(Error::NameTaken(entry.name.clone()));
            }
            write_line(entry, offset, &mut header)?;
            offset += (entry.size_bytes() as u64).next_multiple_of(alignment as u64);
        }
        header.resize(header.len().next_multiple_of(alignment), 0);
        out.write_all(&header)?;
        Ok(Self(Sink::new(out, entries, alignment)))
    }

    /// Writes the next bytes of a tensor; one tensor may come in many pieces.
    ///
    /// # Errors
    /// When the tensor is not the next one or gets too many bytes, or `out` refuses them.
    pub fn write(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        self.0.write(name, bytes)
    }

    /// Ends the file and hands the output back.
    ///
    /// # Errors
    /// When a tensor's bytes are missing, or `out` refuses what it buffered.
    pub fn finish(self) -> Result<W> {
        self.0.finish()
    }
}

/// A line of the table of tensors.
fn write_line(entry: &TensorEntry, offset: u64, out: &mut Vec<u8>) -> Result<()> {
    let TensorEntry { name, element, shape } = entry;
    let Some(ggml_type) = header::ggml_type(*element) else {
        return Err(unwritable(&format!("tensor `{name}` of type {element}")));
    };
    if shape.len() > header::DIMENSIONS_MAX {
        return Err(unwritable(&format!("tensor `{name}` of shape {shape:?}")));
    }
    write_str(name, out);
    out.extend((shape.len() as u32).to_le_bytes());
    out.extend(shape.iter().rev().flat_map(|dim| (*dim as u64).to_le_bytes()));
    out.extend(ggml_type.to_le_bytes());
    out.extend(offset.to_le_bytes());
    Ok(())
}

fn unwritable(found: &str) -> Error {
    Error::Unsupported {
        file: "the GGUF to be written".to_owned(),
        found: format!("{found} does not exist in this format"),
        remedy: "leave it out or convert it first",
    }
}
