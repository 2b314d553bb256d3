//! The bytes of a weight file, shared by all its tensors.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use crate::mapping::Mapping;
use crate::{Error, Result};

/// A file, mapped, or bytes in memory.
#[derive(Debug)]
pub(crate) enum Bytes {
    Mapped(Mapping),
    Owned(Vec<u8>),
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Mapped(mapping) => mapping.bytes(),
            Self::Owned(bytes) => bytes,
        }
    }
}

impl Bytes {
    /// Gives memory back where that is possible: pages of a mapped file.
    pub(crate) fn release(&self, range: Range<usize>) -> Result<()> {
        match self {
            Self::Mapped(mapping) => Ok(mapping.release(range)?),
            Self::Owned(_) => Ok(()),
        }
    }
}

/// Bytes and the name they have in messages.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) file: Arc<str>,
    pub(crate) bytes: Arc<Bytes>,
}

impl Source {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        Ok(Self {
            file: path.display().to_string().into(),
            bytes: Arc::new(Bytes::Mapped(Mapping::open(path)?)),
        })
    }

    pub(crate) fn owned(file: &str, bytes: Vec<u8>) -> Self {
        Self { file: file.into(), bytes: Arc::new(Bytes::Owned(bytes)) }
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        (*self.bytes).as_ref()
    }

    pub(crate) fn damaged(&self, format: &'static str, message: String) -> Error {
        Error::Damaged { file: self.file.to_string(), format, message }
    }
}
