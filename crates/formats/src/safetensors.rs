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

pub use self::write::{NewTensor, Values, Writer, write};

use self::header::{Entry, Header};
use crate::bytes::Source;
use crate::{Dtype, Error, Result, WeightTensor};

/// The format's name in messages.
const FORMAT: &str = "safetensors";

/// The header key that is no tensor.
const METADATA: &str = "__metadata__";

/// Strings that a file carries beside its tensors.
pub type Metadata = BTreeMap<String, String>;

/// A safetensors file, open for reading.
#[derive(Debug)]
pub struct SafeTensors {
    source: Source,
    header: Header,
    /// Indices into the header's tensors by name.
    by_name: BTreeMap<String, usize>,
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
        Self::read(Source::open(path)?)
    }

    /// Reads bytes in memory; `file` is their name in messages.
    ///
    /// # Errors
    /// When they are damaged.
    pub fn from_bytes(file: &str, bytes: Vec<u8>) -> Result<Self> {
        Self::read(Source::owned(file, bytes))
    }

    pub(crate) fn read(source: Source) -> Result<Self> {
        let damaged = |message| source.damaged(FORMAT, message);
        let header = header::read(source.as_slice()).map_err(damaged)?;
        let mut by_name = BTreeMap::new();
        for (index, entry) in header.tensors.iter().enumerate() {
            if by_name.insert(entry.name.clone(), index).is_some() {
                return Err(damaged(format!("two tensors are named `{}`", entry.name)));
            }
        }
        Ok(Self { source, header, by_name })
    }

    /// The file's name, for messages.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.source.file
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
        self.by_name.get(name).map(|&index| self.view(&self.header.tensors[index])).ok_or_else(
            || Error::NoSuchTensor { file: self.source.file.to_string(), name: name.to_owned() },
        )
    }

    /// Every tensor as [`Weights`](crate::Weights) has it.
    pub(crate) fn weight_tensors(&self) -> Vec<WeightTensor> {
        let start = self.header.data_start;
        let tensor = |entry: &Entry| {
            let (name, shape) = (entry.name.clone(), entry.shape.clone());
            let range = start + entry.begin..start + entry.end;
            WeightTensor::run(&self.source, name, entry.dtype.into(), shape, range)
        };
        self.header.tensors.iter().map(tensor).collect()
    }

    fn view<'a>(&'a self, entry: &'a Entry) -> TensorView<'a> {
        let data = &self.source.as_slice()[self.header.data_start..];
        TensorView {
            name: &entry.name,
            dtype: entry.dtype,
            shape: &entry.shape,
            bytes: &data[entry.begin..entry.end],
            file: &self.source.file,
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

    /// Converts floats of any width to f32.
    ///
    /// # Errors
    /// When the elements are integers, or not exactly as many as `out` has places.
    pub fn read_f32(&self, out: &mut [f32]) -> Result<()> {
        if self.len() != out.len() {
            return Err(self.mismatch(format!("{} elements", out.len())));
        }
        match self.dtype.read_f32(self.bytes, out) {
            true => Ok(()),
            false => Err(self.mismatch("floats".to_owned())),
        }
    }

    /// The elements as f32, as [`TensorView::read_f32`] converts them.
    ///
    /// # Errors
    /// When the elements are integers.
    pub fn to_f32(&self) -> Result<Vec<f32>> {
        let mut out = vec![0.0; self.len()];
        self.read_f32(&mut out)?;
        Ok(out)
    }

    /// The elements of an integer or boolean tensor.
    ///
    /// # Errors
    /// When they have another type, or do not fit 64 signed bits.
    pub fn to_i64(&self) -> Result<Vec<i64>> {
        let mut out = vec![0; self.len()];
        match self.dtype.read_i64(self.bytes, &mut out) {
            true => Ok(out),
            false => Err(self.mismatch("integers of at most 63 bits".to_owned())),
        }
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
