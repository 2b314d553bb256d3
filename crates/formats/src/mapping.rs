//! Files as slices: the one place outside the kernels with unsafe code.
#![allow(unsafe_code)]

use std::fs::File;
use std::ops::Range;
use std::path::Path;

use memmap2::{Mmap, UncheckedAdvice};

use crate::{Error, Result};

/// A file's bytes, paged in as they are read.
#[derive(Debug)]
pub struct Mapping(Mmap);

impl Mapping {
    /// Maps a file.
    ///
    /// # Errors
    /// When it cannot be opened or mapped.
    pub fn open(path: &Path) -> Result<Self> {
        let error = |source| Error::Open { path: path.to_owned(), source };
        let file = File::open(path).map_err(error)?;
        // SAFETY: the mapping is read-only and private. Danlu replaces finished files by renaming
        // and never writes into one, so the bytes do not change under us by our own hand. Should
        // another program shorten the file, the system ends this process (SIGBUS) before any wrong
        // byte is seen.
        let map = unsafe { Mmap::map(&file) }.map_err(error)?;
        Ok(Self(map))
    }

    /// All of it.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Gives the pages that lie wholly in `range` back to the system; they are read from the file
    /// again when they are next touched.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn release(&self, range: Range<usize>) -> std::io::Result<()> {
        let begin = range.start.next_multiple_of(PAGE_BYTES);
        let end = range.end / PAGE_BYTES * PAGE_BYTES;
        if begin >= end {
            return Ok(());
        }
        // SAFETY: the mapping is read-only and backed by a file, so dropped pages come back with
        // the same bytes; nothing that was written can be lost.
        unsafe { self.0.unchecked_advise_range(UncheckedAdvice::DontNeed, begin, end - begin) }
    }
}

/// Pages are at most this long on the systems we run on.
const PAGE_BYTES: usize = 64 * 1024;
