//! Writing a file.

use std::cmp::Reverse;
use std::io::Write;

use super::{METADATA, Metadata};
use crate::sink::{Sink, TensorEntry};
use crate::{Dtype, ElementType, Error, Result};

/// Numbers converted at once.
const CHUNK: usize = 16 * 1024;

/// A tensor to be written.
#[derive(Clone, Debug)]
pub struct NewTensor<'a> {
    /// Its name.
    pub name: String,
    /// Its dimensions, outermost first.
    pub shape: Vec<usize>,
    /// Its elements.
    pub values: Values<'a>,
}

/// The elements of a tensor to be written.
#[derive(Clone, Copy, Debug)]
pub enum Values<'a> {
    /// 32-bit floats.
    F32(&'a [f32]),
    /// Signed, 64 bits.
    I64(&'a [i64]),
}

impl Values<'_> {
    fn dtype(&self) -> Dtype {
        match self {
            Self::F32(_) => Dtype::F32,
            Self::I64(_) => Dtype::I64,
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::I64(values) => values.len(),
        }
    }
}

/// Writes a file: the header, then each tensor's bytes in the order given, but wider types first so
/// that every tensor is aligned. The same tensors always give the same bytes.
///
/// # Errors
/// When two tensors have one name, or `out` refuses the bytes.
///
/// # Panics
/// When a tensor has not exactly as many values as its shape has elements.
pub fn write(out: &mut impl Write, metadata: &Metadata, tensors: &[NewTensor<'_>]) -> Result<()> {
    let mut order: Vec<&NewTensor<'_>> = tensors.iter().collect();
    order.sort_by_key(|tensor| Reverse(tensor.values.dtype().size_bytes()));
    let entry = |tensor: &&NewTensor<'_>| {
        let NewTensor { name, shape, values } = tensor;
        assert_eq!(shape.iter().product::<usize>(), values.len(), "values of `{name}` {shape:?}");
        let element = ElementType::Plain(values.dtype());
        TensorEntry { name: name.clone(), element, shape: shape.clone() }
    };
    let mut writer = Writer::new(out, metadata, order.iter().map(entry).collect())?;
    for NewTensor { name, values, .. } in order {
        match values {
            Values::F32(values) => write_all(&mut writer, name, values, f32::to_le_bytes)?,
            Values::I64(values) => write_all(&mut writer, name, values, i64::to_le_bytes)?,
        }
    }
    writer.finish()?;
    Ok(())
}

fn write_all<W: Write, T: Copy, const N: usize>(
    writer: &mut Writer<W>,
    name: &str,
    values: &[T],
    to_bytes: impl Fn(T) -> [u8; N],
) -> Result<()> {
    let mut bytes = vec![[0; N]; CHUNK.min(values.len())];
    for chunk in values.chunks(CHUNK) {
        for (bytes, value) in bytes.iter_mut().zip(chunk) {
            *bytes = to_bytes(*value);
        }
        writer.write(name, bytes[..chunk.len()].as_flattened())?;
    }
    Ok(())
}

/// Writes a file tensor by tensor, none of which need be in memory as a whole.
#[derive(Debug)]
pub struct Writer<W>(Sink<W>);

impl<W: Write> Writer<W> {
    /// Writes the header of a file that will hold `entries` in this order. Wider types first keep
    /// every tensor aligned.
    ///
    /// # Errors
    /// When two tensors have one name, or `out` refuses the bytes.
    ///
    /// # Panics
    /// When a tensor is quantised: the format has no such types.
    pub fn new(mut out: W, metadata: &Metadata, entries: Vec<TensorEntry>) -> Result<Self> {
        let mut header = serde_json::Map::new();
        if !metadata.is_empty() {
            header.insert(METADATA.to_owned(), serde_json::json!(metadata));
        }
        let mut begin = 0;
        for entry in &entries {
            let TensorEntry { name, element, shape } = entry;
            assert!(matches!(element, ElementType::Plain(_)), "`{name}` as {element}");
            let end = begin + entry.size_bytes();
            let entry = serde_json::json!({
                "dtype": element.name(), "shape": shape, "data_offsets": [begin, end],
            });
            if name == METADATA || header.insert(name.clone(), entry).is_some() {
                return Err(Error::NameTaken(name.clone()));
            }
            begin = end;
        }
        let mut text = serde_json::Value::Object(header).to_string();
        // Spaces up to a multiple of eight keep the data aligned.
        text.extend(std::iter::repeat_n(' ', text.len().next_multiple_of(8) - text.len()));
        out.write_all(&(text.len() as u64).to_le_bytes())?;
        out.write_all(text.as_bytes())?;
        Ok(Self(Sink::new(out, entries, 1)))
    }

    /// Writes the next bytes of a tensor, little-endian; one tensor may come in many pieces.
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
