//! Files that are either whole or not there, whenever the machine stops.
//!
//! Bytes go to `.NAME.partial` next to the target, are flushed to the disk, and only then take the
//! target's name; then the folder is flushed too. A partial file left by a kill is overwritten by
//! the next attempt, so none pile up. Two processes must not write the same file at once.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// A file that could not be written. The target is as it was before.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The disk is full.
    #[error(
        "no room on the disk for {path}: at least {missing_bytes} more bytes are needed; \
         free some and run again (what was there before is untouched)"
    )]
    DiskFull {
        /// The file that was to be written.
        path: PathBuf,
        /// Bytes that did not fit any more; more may have been to come.
        missing_bytes: u64,
    },
    /// Anything else the system said.
    #[error("cannot write {path}: {source}")]
    System {
        /// The file that was to be written.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Writes `bytes` to `path` so that the file is either the old one or the whole new one.
///
/// # Errors
/// [`WriteError`]; on a full disk it says how many bytes did not fit. The partial file is removed.
pub fn write_file_atomically(path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    let mut file = AtomicFile::create(path)?;
    file.write(bytes)?;
    file.commit()
}

/// A file being written piece by piece; nothing of it shows until [`AtomicFile::commit`]. Dropped
/// without that, it is removed.
///
/// ```
/// use danlu_data::atomic::AtomicFile;
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("poems.txt");
/// let mut file = AtomicFile::create(&path)?;
/// file.write("春眠不覺曉\n".as_bytes())?;
/// assert!(!path.exists(), "not there before it is whole");
/// file.commit()?;
/// assert_eq!(std::fs::read_to_string(&path)?, "春眠不覺曉\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct AtomicFile {
    target: PathBuf,
    partial: PathBuf,
    writer: Option<BufWriter<File>>,
    bytes: u64,
}

impl AtomicFile {
    /// Starts a file that shall become `path`. Its folder must exist.
    ///
    /// # Errors
    /// When the partial file cannot be created.
    pub fn create(path: &Path) -> Result<Self, WriteError> {
        let name = path.file_name().ok_or_else(|| WriteError::System {
            path: path.to_owned(),
            source: io::Error::new(ErrorKind::InvalidInput, "the path names no file"),
        })?;
        let mut partial_name = OsString::from(".");
        partial_name.push(name);
        partial_name.push(".partial");
        let partial = path.with_file_name(partial_name);
        let file = File::create(&partial).map_err(|error| failure(path, error, 0))?;
        let writer = Some(BufWriter::with_capacity(1 << 20, file));
        Ok(Self { target: path.to_owned(), partial, writer, bytes: 0 })
    }

    /// Appends `bytes`.
    ///
    /// # Errors
    /// [`WriteError`], when the disk is full with the bytes that did not fit.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        self.bytes += bytes.len() as u64;
        write_counting(writer, bytes).map_err(|(error, rest)| failure(&self.target, error, rest))
    }

    /// Number of bytes written so far.
    pub fn len(&self) -> u64 {
        self.bytes
    }

    /// Whether nothing was written so far.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Flushes everything to the disk and gives the file its name.
    ///
    /// # Errors
    /// [`WriteError`]; the target is then as it was before.
    pub fn commit(mut self) -> Result<(), WriteError> {
        let Some(writer) = self.writer.take() else { return Ok(()) };
        let buffered = writer.buffer().len() as u64;
        let failed = |rest| move |error| (error, rest);
        let renamed = writer
            .into_inner()
            .map_err(|error| (error.into_error(), buffered))
            // A full disk may show only here; then none of the bytes are sure to have a place.
            .and_then(|file| file.sync_all().map_err(failed(self.bytes)))
            .and_then(|()| std::fs::rename(&self.partial, &self.target).map_err(failed(0)))
            .and_then(|()| sync_folder(&self.target).map_err(failed(0)));
        renamed.map_err(|(error, rest)| {
            remove(&self.partial);
            failure(&self.target, error, rest)
        })
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if self.writer.take().is_some() {
            remove(&self.partial);
        }
    }
}

/// Makes the names in the folder of `path` durable, after a file there was made or renamed.
///
/// # Errors
/// What the system says when the folder cannot be opened or flushed.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if cfg!(windows) {
        return Ok(()); // Windows opens no folders; renames are durable with the file system's log.
    }
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// Best effort on the way out of an error: what stays is overwritten by the next attempt.
fn remove(partial: &Path) {
    let _ = std::fs::remove_file(partial);
}

/// Writes all of `bytes`, or says how many were left.
fn write_counting(writer: &mut impl Write, bytes: &[u8]) -> Result<(), (io::Error, u64)> {
    let mut rest = bytes;
    while !rest.is_empty() {
        match writer.write(rest) {
            Ok(0) => return Err((io::Error::from(ErrorKind::WriteZero), rest.len() as u64)),
            Ok(count) => rest = &rest[count..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err((error, rest.len() as u64)),
        }
    }
    Ok(())
}

pub(crate) fn failure(path: &Path, source: io::Error, missing_bytes: u64) -> WriteError {
    let path = path.to_owned();
    if matches!(source.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) {
        return WriteError::DiskFull { path, missing_bytes: missing_bytes.max(1) };
    }
    WriteError::System { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk with room for so many bytes.
    struct SmallDisk(usize);

    impl Write for SmallDisk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.0 == 0 {
                return Err(ErrorKind::StorageFull.into());
            }
            let count = bytes.len().min(self.0);
            self.0 -= count;
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_is_reported_with_the_bytes_that_did_not_fit() {
        let (error, rest) = write_counting(&mut SmallDisk(30), &[7; 100]).unwrap_err();
        let message = failure(Path::new("model"), error, rest).to_string();
        assert!(message.contains("model") && message.contains("70 more bytes"), "{message}");
        assert!(write_counting(&mut SmallDisk(100), &[7; 100]).is_ok());
    }

    #[test]
    fn the_old_file_stays_until_the_new_one_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        write_file_atomically(&path, b"old").unwrap();
        let mut file = AtomicFile::create(&path).unwrap();
        file.write(b"half of the n").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        drop(file);
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(names.len(), 1, "nothing partial stays: {names:?}");
    }

    #[test]
    fn a_missing_folder_is_an_error_that_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("absent").join("file");
        let message = write_file_atomically(&path, b"x").unwrap_err().to_string();
        assert!(message.contains("absent"), "{message}");
    }
}
