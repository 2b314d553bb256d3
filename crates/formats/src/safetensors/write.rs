//! Writing a file.

use std::cmp::Reverse;
use std::io::Write;

use super::{METADATA, Metadata};
use crate::{Dtype, Error, Result};

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

    fn write(&self, out: &mut impl Write) -> std::io::Result<()> {
        match self {
            Self::F32(values) => write_all(values, out, f32::to_le_bytes),
            Self::I64(values) => write_all(values, out, i64::to_le_bytes),
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
    let mut header = serde_json::Map::new();
    if !metadata.is_empty() {
        header.insert(METADATA.to_owned(), serde_json::json!(metadata));
    }
    let mut begin = 0;
    for tensor in &order {
        let NewTensor { name, shape, values } = tensor;
        assert_eq!(shape.iter().product::<usize>(), values.len(), "values of `{name}` {shape:?}");
        let end = begin + values.len() * values.dtype().size_bytes();
        let entry = serde_json::json!({
            "dtype": values.dtype().name(), "shape": shape, "data_offsets": [begin, end],
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
    for tensor in order {
        tensor.values.write(out)?;
    }
    Ok(())
}

fn write_all<T: Copy, const N: usize>(
    values: &[T],
    out: &mut impl Write,
    to_bytes: impl Fn(T) -> [u8; N],
) -> std::io::Result<()> {
    let mut bytes = vec![[0; N]; CHUNK.min(values.len())];
    for chunk in values.chunks(CHUNK) {
        for (bytes, value) in bytes.iter_mut().zip(chunk) {
            *bytes = to_bytes(*value);
        }
        out.write_all(bytes[..chunk.len()].as_flattened())?;
    }
    Ok(())
}
