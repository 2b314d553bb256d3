//! Files as slices: the one place outside the kernels with unsafe code.
#![allow(unsafe_code)]

use std::fs::File;
use std::path::Path;

use memmap2::Mmap;

use crate::{Error, Result};

/// A file's bytes, paged in as they are read.
#[derive(Debug)]
pub(crate) struct Mapping(Mmap);

impl Mapping {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let error = |source| Error::Open { path: path.to_owned(), source };
        let file = File::open(path).map_err(error)?;
        // SAFETY: the mapping is read-only and private. Danlu replaces finished files by renaming
        // and never writes into one, so the bytes do not change under us by our own hand. Should
        // another program shorten the file, the system ends this process (SIGBUS) before any wrong
        // byte is seen.
        let map = unsafe { Mmap::map(&file) }.map_err(error)?;
        Ok(Self(map))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}
