//! Checkpoints that survive anything: kill -9, a full disk, a flipped bit.
//!
//! A checkpoint is a folder `step-00000123`. It is written aside, each file hashed on its way out,
//! fsynced, read back and compared; `manifest.json` with all hashes is written last; then the
//! folder is renamed and its parent fsynced. Only then may an older checkpoint go. A folder without
//! a manifest that fits is not a checkpoint: [`Checkpoints::latest`] passes it over and says so.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Error, Result};

/// Written last; names every file with its hash.
const MANIFEST: &str = "manifest.json";
const PREFIX: &str = "step-";
const TEMPORARY: &str = ".writing-";
/// Left free on the disk beyond a checkpoint's own size.
const SPARE_BYTES: u64 = 1 << 20;

/// The checkpoints of one run.
#[derive(Debug)]
pub struct Checkpoints {
    root: PathBuf,
    keep: usize,
    free_bytes: fn(&Path) -> std::io::Result<u64>,
}

/// A verified checkpoint, and what was passed over to find it.
#[derive(Debug)]
pub struct Found {
    /// The newest good checkpoint.
    pub newest: Option<(u64, PathBuf)>,
    /// Newer folders that are damaged, with the reason.
    pub rejected: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    /// sha256 in hex, by file name.
    files: BTreeMap<String, String>,
}

/// The folder a checkpoint is being written to.
pub struct Draft {
    folder: PathBuf,
    files: BTreeMap<String, String>,
}

impl Checkpoints {
    /// The checkpoints under `root`, of which the newest `keep` (at least one) are kept.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn new(root: &Path, keep: usize) -> Result<Self> {
        fs::create_dir_all(root).map_err(Error::io(root))?;
        Ok(Self { root: root.to_owned(), keep: keep.max(1), free_bytes })
    }

    /// Writes the checkpoint of `step`: `write` puts files into the draft. `size_bytes` is what
    /// they will take.
    ///
    /// # Errors
    /// [`Error::NoRoom`] when the disk is too full, before or while writing; system errors. The
    /// earlier checkpoints stay, and nothing half-written does.
    pub fn save(
        &self,
        step: u64,
        size_bytes: u64,
        write: impl FnOnce(&mut Draft) -> Result<()>,
    ) -> Result<PathBuf> {
        self.remove_leftovers()?;
        self.check_room(size_bytes)?;
        let name = format!("{PREFIX}{step:08}");
        let folder = self.root.join(format!("{TEMPORARY}{name}"));
        fs::create_dir(&folder).map_err(Error::io(&folder))?;
        let mut draft = Draft { folder: folder.clone(), files: BTreeMap::new() };
        let written = write(&mut draft).and_then(|()| draft.seal());
        if let Err(error) = written {
            // The first error is the one to report; a leftover is removed at the next save.
            let _ = fs::remove_dir_all(&folder);
            return Err(self.explain_full_disk(error, size_bytes));
        }
        let place = self.root.join(&name);
        if place.exists() {
            fs::remove_dir_all(&place).map_err(Error::io(&place))?;
        }
        fs::rename(&folder, &place).map_err(Error::io(&place))?;
        sync_folder(&self.root)?;
        self.prune()?;
        Ok(place)
    }

    /// The newest checkpoint whose every byte fits its manifest.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub fn latest(&self) -> Result<Found> {
        let mut rejected = Vec::new();
        for (step, folder) in self.list()?.into_iter().rev() {
            match verify(&folder) {
                Ok(()) => return Ok(Found { newest: Some((step, folder)), rejected }),
                Err(error) => rejected.push(error.to_string()),
            }
        }
        Ok(Found { newest: None, rejected })
    }

    /// Clears away what a kill left: half-written checkpoints, and old ones that were to go. For
    /// when the newest is known to be good.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn tidy(&self) -> Result<()> {
        self.remove_leftovers()?;
        self.prune()
    }

    /// All checkpoint folders, oldest first.
    fn list(&self) -> Result<Vec<(u64, PathBuf)>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.root).map_err(Error::io(&self.root))? {
            let path = entry.map_err(Error::io(&self.root))?.path();
            let name = path.file_name().map(|n| n.to_string_lossy().into_owned());
            let step = name.as_deref().and_then(|n| n.strip_prefix(PREFIX)?.parse().ok());
            found.extend(step.map(|step| (step, path)));
        }
        found.sort();
        Ok(found)
    }

    fn prune(&self) -> Result<()> {
        let mut all = self.list()?;
        let surplus = all.len().saturating_sub(self.keep);
        for (_, folder) in all.drain(..surplus) {
            fs::remove_dir_all(&folder).map_err(Error::io(&folder))?;
        }
        Ok(())
    }

    fn remove_leftovers(&self) -> Result<()> {
        for entry in fs::read_dir(&self.root).map_err(Error::io(&self.root))? {
            let path = entry.map_err(Error::io(&self.root))?.path();
            if path.file_name().is_some_and(|n| n.to_string_lossy().starts_with(TEMPORARY)) {
                fs::remove_dir_all(&path).map_err(Error::io(&path))?;
            }
        }
        Ok(())
    }

    fn check_room(&self, size_bytes: u64) -> Result<()> {
        let needed = size_bytes.saturating_add(SPARE_BYTES);
        let free = (self.free_bytes)(&self.root).map_err(Error::io(&self.root))?;
        if free >= needed { Ok(()) } else { Err(self.no_room(needed, free)) }
    }

    fn no_room(&self, needed: u64, free: u64) -> Error {
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        Error::NoRoom {
            path: self.root.clone(),
            needed_mib: mib(needed),
            free_mib: free >> 20,
            missing_mib: mib(needed.saturating_sub(free)).max(1),
        }
    }

    fn explain_full_disk(&self, error: Error, size_bytes: u64) -> Error {
        let full = |source: &std::io::Error| {
            use std::io::ErrorKind::{QuotaExceeded, StorageFull};
            matches!(source.kind(), StorageFull | QuotaExceeded)
        };
        match &error {
            Error::Io { source, .. } if full(source) => {
                let free = (self.free_bytes)(&self.root).unwrap_or(0);
                self.no_room(size_bytes.saturating_add(SPARE_BYTES), free)
            }
            _ => error,
        }
    }
}

impl Draft {
    /// Writes one file of the checkpoint: `write` streams its bytes.
    ///
    /// # Errors
    /// When writing fails, or what is read back differs from what was written.
    pub fn file(
        &mut self,
        name: &str,
        write: impl FnOnce(&mut dyn Write) -> Result<()>,
    ) -> Result<()> {
        let path = self.folder.join(name);
        let file = File::create(&path).map_err(Error::io(&path))?;
        let mut out = Hashing { inner: BufWriter::new(file), hash: Sha256::new() };
        write(&mut out)?;
        out.flush().map_err(Error::io(&path))?;
        let hash = hex(&out.hash.finalize());
        out.inner.get_ref().sync_all().map_err(Error::io(&path))?;
        if hash_file(&path)? != hash {
            let message = "differs from what was written; is the disk failing?".to_owned();
            return Err(Error::Corrupt { path, message });
        }
        self.files.insert(name.to_owned(), hash);
        Ok(())
    }

    /// Writes a small file.
    ///
    /// # Errors
    /// As [`Draft::file`].
    pub fn bytes(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.folder.join(name);
        self.file(name, |out| out.write_all(bytes).map_err(Error::io(&path)))
    }

    fn seal(self) -> Result<()> {
        let path = self.folder.join(MANIFEST);
        let json = serde_json::to_vec_pretty(&Manifest { files: self.files });
        let json = json.map_err(|error| Error::Io { path: path.clone(), source: error.into() })?;
        let mut file = File::create(&path).map_err(Error::io(&path))?;
        file.write_all(&json).map_err(Error::io(&path))?;
        file.sync_all().map_err(Error::io(&path))?;
        sync_folder(&self.folder)
    }
}

struct Hashing {
    inner: BufWriter<File>,
    hash: Sha256,
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.hash.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

/// Checks every file of a checkpoint against its manifest.
///
/// # Errors
/// When the manifest is missing or broken, or a file is missing or differs.
pub fn verify(folder: &Path) -> Result<()> {
    let path = folder.join(MANIFEST);
    let text = fs::read(&path).map_err(Error::io(&path))?;
    let manifest: Manifest = serde_json::from_slice(&text)
        .map_err(|error| Error::Corrupt { path: path.clone(), message: error.to_string() })?;
    for (name, expected) in &manifest.files {
        let path = folder.join(name);
        if hash_file(&path)? != *expected {
            return Err(Error::Corrupt { path, message: "does not fit its hash".to_owned() });
        }
    }
    Ok(())
}

fn hash_file(path: &Path) -> Result<String> {
    let mut file = File::open(path).map_err(Error::io(path))?;
    let mut hash = Sha256::new();
    let mut chunk = vec![0; 1 << 20];
    loop {
        let count = file.read(&mut chunk).map_err(Error::io(path))?;
        if count == 0 {
            return Ok(hex(&hash.finalize()));
        }
        hash.update(&chunk[..count]);
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|f| f.sync_all()).map_err(Error::io(folder))
}

/// Bytes that an ordinary user may still write where `path` lies.
fn free_bytes(path: &Path) -> std::io::Result<u64> {
    let stat = rustix::fs::statvfs(path)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn save(checkpoints: &Checkpoints, step: u64, content: &[u8]) -> Result<PathBuf> {
        checkpoints.save(step, content.len() as u64, |draft| {
            draft.bytes("model.safetensors", content)?;
            draft.bytes("train_state.json", b"{}")
        })
    }

    #[test]
    fn the_newest_is_found_and_only_the_kept_ones_stay() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::new(folder.path(), 2).unwrap();
        for step in [5, 10, 15] {
            save(&checkpoints, step, &[step as u8; 100]).unwrap();
        }
        assert_eq!(checkpoints.list().unwrap().len(), 2);
        assert_eq!(checkpoints.latest().unwrap().newest.unwrap().0, 15);
    }

    #[test]
    fn every_flipped_bit_is_noticed_and_the_one_before_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::new(folder.path(), 2).unwrap();
        save(&checkpoints, 1, b"good").unwrap();
        let newest = save(&checkpoints, 2, b"later").unwrap();
        for name in ["model.safetensors", "train_state.json", MANIFEST] {
            let path = newest.join(name);
            let bytes = fs::read(&path).unwrap();
            for bit in 0..bytes.len() * 8 {
                let mut flipped = bytes.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                fs::write(&path, &flipped).unwrap();
                let found = checkpoints.latest().unwrap();
                assert_eq!(found.newest.unwrap().0, 1, "bit {bit} of {name}");
                assert_eq!(found.rejected.len(), 1);
            }
            fs::write(&path, &bytes).unwrap();
        }
        assert_eq!(checkpoints.latest().unwrap().newest.unwrap().0, 2);
    }

    #[test]
    fn a_full_disk_leaves_the_last_good_checkpoint_and_says_what_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let mut checkpoints = Checkpoints::new(folder.path(), 1).unwrap();
        save(&checkpoints, 1, b"good").unwrap();
        checkpoints.free_bytes = |_| Ok(3 << 20);
        let error = checkpoints.save(2, 10 << 20, |_| Ok(())).unwrap_err().to_string();
        assert!(error.contains("make room for 8 MiB more"), "{error}");
        // The disk fills up while writing.
        let error = checkpoints.save(2, 1 << 20, |draft| {
            draft.bytes("model.safetensors", b"half of it")?;
            let source = std::io::ErrorKind::StorageFull.into();
            Err(Error::Io { path: "model.safetensors".into(), source })
        });
        assert!(matches!(error, Err(Error::NoRoom { .. })), "{error:?}");
        assert_eq!(checkpoints.latest().unwrap().newest.unwrap().0, 1);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing half-written stays");
    }

    #[test]
    fn a_write_that_was_killed_is_passed_over_and_cleared_away() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::new(folder.path(), 2).unwrap();
        save(&checkpoints, 1, b"good").unwrap();
        let half = folder.path().join(format!("{TEMPORARY}step-00000002"));
        fs::create_dir(&half).unwrap();
        fs::write(half.join("model.safetensors"), b"ha").unwrap();
        assert_eq!(checkpoints.latest().unwrap().newest.unwrap().0, 1);
        save(&checkpoints, 2, b"again").unwrap();
        assert!(!half.exists());
    }

    #[test]
    fn a_kill_between_a_new_checkpoint_and_the_removal_of_the_oldest_leaves_no_trace() {
        let folder = tempfile::tempdir().unwrap();
        let many = Checkpoints::new(folder.path(), 9).unwrap();
        for step in [1, 2, 3] {
            save(&many, step, b"good").unwrap();
        }
        let checkpoints = Checkpoints::new(folder.path(), 2).unwrap();
        checkpoints.tidy().unwrap();
        let left: Vec<u64> = checkpoints.list().unwrap().into_iter().map(|(s, _)| s).collect();
        assert_eq!(left, [2, 3]);
    }
}
