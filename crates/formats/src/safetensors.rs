//! safetensors: eight bytes of header length, a JSON header, the tensors' bytes
//! (<https://github.com/huggingface/safetensors>, "Format").
//!
//! The header maps each name to `{"dtype", "shape", "data_offsets": [begin, end]}`; the key
//! `__metadata__` maps strings to strings. Numbers are little-endian. As the reference demands, the
//! tensors cover the data exactly: no byte belongs to two of them or to none.

mod header;
mod write;

use std::collections::BTreeMap;
use std::path::Path;

pub use self::write::{NewTensor, Values, write};

use self::header::{Entry, Header};
use crate::dtype::{bf16_to_f32, f16_to_f32};
use crate::mapping::Mapping;
use crate::{Dtype, Error, Result};

/// The header key that is no tensor.
const METADATA: &str = "__metadata__";

/// Strings that a file carries beside its tensors.
pub type Metadata = BTreeMap<String, String>;

/// A safetensors file, open for reading.
#[derive(Debug)]
pub struct SafeTensors {
    file: String,
    bytes: Bytes,
    header: Header,
    /// Indices into the header's tensors by name.
    by_name: BTreeMap<String, usize>,
}

#[derive(Debug)]
enum Bytes {
    Mapped(Mapping),
    Owned(Vec<u8>),
}

/// One tensor of a file: borrowed bytes and what they mean.
#[derive(Clone, Copy, Debug)]
pub struct TensorView<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its element type.
    pub dtype: Dtype,
    /// Its dimensions, outermost first.
    pub shape: &'a [usize],
    /// Its elements, little-endian.
    pub bytes: &'a [u8],
    file: &'a str,
}

impl SafeTensors {
    /// Opens a file; its header is read and checked, its tensors are read when asked for.
    ///
    /// # Errors
    /// When the file cannot be opened or is damaged.
    pub fn open(path: &Path) -> Result<Self> {
        Self::parse(path.display().to_string(), Bytes::Mapped(Mapping::open(path)?))
    }

    /// Reads bytes in memory; `file` is their name in messages.
    ///
    /// # Errors
    /// When they are damaged.
    pub fn from_bytes(file: &str, bytes: Vec<u8>) -> Result<Self> {
        Self::parse(file.to_owned(), Bytes::Owned(bytes))
    }

    fn parse(file: String, bytes: Bytes) -> Result<Self> {
        let damaged = |message| Error::Damaged { file: file.clone(), message };
        let header = header::read(bytes.as_slice()).map_err(damaged)?;
        let mut by_name = BTreeMap::new();
        for (index, entry) in header.tensors.iter().enumerate() {
            if by_name.insert(entry.name.clone(), index).is_some() {
                return Err(damaged(format!("two tensors are named `{}`", entry.name)));
            }
        }
        Ok(Self { file, bytes, header, by_name })
    }

    /// The file's name, for messages.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The strings beside the tensors.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        &self.header.metadata
    }

    /// Every tensor, in the order of the data.
    pub fn tensors(&self) -> impl ExactSizeIterator<Item = TensorView<'_>> {
        self.header.tensors.iter().map(|entry| self.view(entry))
    }

    /// The tensor with this name.
    ///
    /// # Errors
    /// When there is none.
    pub fn tensor(&self, name: &str) -> Result<TensorView<'_>> {
        self.by_name
            .get(name)
            .map(|&index| self.view(&self.header.tensors[index]))
            .ok_or_else(|| Error::NoSuchTensor { file: self.file.clone(), name: name.to_owned() })
    }

    fn view<'a>(&'a self, entry: &'a Entry) -> TensorView<'a> {
        let data = &self.bytes.as_slice()[self.header.data_start..];
        TensorView {
            name: &entry.name,
            dtype: entry.dtype,
            shape: &entry.shape,
            bytes: &data[entry.begin..entry.end],
            file: &self.file,
        }
    }
}

impl Bytes {
    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Mapped(mapping) => mapping.bytes(),
            Self::Owned(bytes) => bytes,
        }
    }
}

impl TensorView<'_> {
    /// Number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len() / self.dtype.size_bytes()
    }

    /// Whether there are no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Converts the elements (F32, BF16 or F16) to f32.
    ///
    /// # Errors
    /// When they have another type, or are not exactly as many as `out` has places.
    pub fn read_f32(&self, out: &mut [f32]) -> Result<()> {
        if self.len() != out.len() {
            return Err(self.mismatch(format!("{} elements", out.len())));
        }
        match self.dtype {
            Dtype::F32 => fill(self.bytes, out, f32::from_le_bytes),
            Dtype::Bf16 => fill(self.bytes, out, |b| bf16_to_f32(u16::from_le_bytes(b))),
            Dtype::F16 => fill(self.bytes, out, |b| f16_to_f32(u16::from_le_bytes(b))),
            _ => return Err(self.mismatch("F32, BF16 or F16".to_owned())),
        }
        Ok(())
    }

    /// The elements (F32, BF16 or F16) as f32.
    ///
    /// # Errors
    /// When they have another type.
    pub fn to_f32(&self) -> Result<Vec<f32>> {
        let mut out = vec![0.0; self.len()];
        self.read_f32(&mut out)?;
        Ok(out)
    }

    /// The elements of an I64 tensor.
    ///
    /// # Errors
    /// When they have another type.
    pub fn to_i64(&self) -> Result<Vec<i64>> {
        if self.dtype != Dtype::I64 {
            return Err(self.mismatch("I64".to_owned()));
        }
        let mut out = vec![0; self.len()];
        fill(self.bytes, &mut out, i64::from_le_bytes);
        Ok(out)
    }

    fn mismatch(&self, expected: String) -> Error {
        Error::Mismatch {
            file: self.file.to_owned(),
            name: self.name.to_owned(),
            found: format!("{} {:?}", self.dtype.name(), self.shape),
            expected,
        }
    }
}

fn fill<T, const N: usize>(bytes: &[u8], out: &mut [T], read: impl Fn([u8; N]) -> T) {
    for (out, bytes) in out.iter_mut().zip(bytes.as_chunks::<N>().0) {
        *out = read(*bytes);
    }
}
