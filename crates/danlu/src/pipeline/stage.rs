//! A stage's receipt: what went in and what came out, as hashes.
//!
//! A stage whose receipt fits the recipe and the files on disk has nothing to do. The receipt is
//! written last and atomically, so a stage that was interrupted simply has none.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use danlu_data::atomic::write_file_atomically;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What a stage depends on: settings and files, as `name -> hash`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inputs(BTreeMap<String, String>);

/// The record of a finished stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The stage.
    pub stage: String,
    /// What it depended on.
    pub inputs: Inputs,
    /// sha256 of every file it made, by path relative to the run's folder.
    pub outputs: BTreeMap<String, String>,
}

impl Inputs {
    /// Adds a setting: anything that can be written as JSON.
    ///
    /// # Errors
    /// When the value has no JSON form.
    pub fn setting(mut self, name: &str, value: &impl Serialize) -> Result<Self> {
        self.0.insert(name.to_owned(), hash_bytes(&serde_json::to_vec(value)?));
        Ok(self)
    }

    /// Adds a file, or every file below a folder, under its name and number: a run that is moved
    /// elsewhere is still the same run.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn file(mut self, path: &Path) -> Result<Self> {
        for file in files_below(path)? {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            self.0.insert(format!("{name} ({})", self.0.len()), hash_file(&file)?);
        }
        Ok(self)
    }
}

/// Whether `stage` was finished with exactly these inputs and its files are still as it left them.
#[must_use]
pub fn is_done(run: &Path, stage: &str, inputs: &Inputs) -> bool {
    let Ok(bytes) = fs::read(receipt_path(run, stage)) else { return false };
    let Ok(receipt) = serde_json::from_slice::<Receipt>(&bytes) else { return false };
    let fits = |(path, hash): (&String, &String)| {
        hash_file(&run.join(path)).is_ok_and(|found| found == *hash)
    };
    receipt.inputs == *inputs && receipt.outputs.iter().all(fits)
}

/// Records that `stage` is finished and made `outputs` (files, or folders with all they hold).
///
/// # Errors
/// When an output is missing or the receipt cannot be written.
pub fn record(run: &Path, stage: &str, inputs: &Inputs, outputs: &[PathBuf]) -> Result<()> {
    let mut hashes = BTreeMap::new();
    for file in outputs.iter().map(|path| files_below(path)).collect::<Result<Vec<_>>>()?.concat() {
        let name = file.strip_prefix(run).unwrap_or(&file).display().to_string();
        hashes.insert(name, hash_file(&file)?);
    }
    let receipt = Receipt { stage: stage.to_owned(), inputs: inputs.clone(), outputs: hashes };
    let path = receipt_path(run, stage);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    Ok(write_file_atomically(&path, &serde_json::to_vec_pretty(&receipt)?)?)
}

fn receipt_path(run: &Path, stage: &str) -> PathBuf {
    run.join("stages").join(format!("{stage}.json"))
}

/// The file itself, or all files below a folder, sorted.
fn files_below(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).with_context(|| path.display().to_string())? {
        files.extend(files_below(&entry?.path())?);
    }
    files.sort();
    Ok(files)
}

/// sha256 of bytes, in hex.
#[must_use]
pub fn hash_bytes(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// sha256 of a file, in hex.
///
/// # Errors
/// When it cannot be read.
pub fn hash_file(path: &Path) -> Result<String> {
    let mut file = File::open(path).with_context(|| path.display().to_string())?;
    let mut hash = Sha256::new();
    let mut chunk = vec![0; 1 << 20];
    loop {
        let count = file.read(&mut chunk).with_context(|| path.display().to_string())?;
        if count == 0 {
            return Ok(hex(&hash.finalize()));
        }
        hash.update(&chunk[..count]);
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_is_done_only_while_its_inputs_and_outputs_are_unchanged() {
        let run = tempfile::tempdir().unwrap();
        let (source, made) = (run.path().join("in.txt"), run.path().join("made/out.txt"));
        fs::create_dir(run.path().join("made")).unwrap();
        fs::write(&source, "text").unwrap();
        fs::write(&made, "result").unwrap();
        let inputs =
            |steps: u32| Inputs::default().setting("steps", &steps).unwrap().file(&source).unwrap();
        assert!(!is_done(run.path(), "data", &inputs(1)));
        record(run.path(), "data", &inputs(1), &[run.path().join("made")]).unwrap();
        assert!(is_done(run.path(), "data", &inputs(1)));
        assert!(!is_done(run.path(), "data", &inputs(2)), "another setting");
        fs::write(&made, "tampered").unwrap();
        assert!(!is_done(run.path(), "data", &inputs(1)), "another output");
        fs::write(&made, "result").unwrap();
        fs::write(&source, "other text").unwrap();
        assert!(!is_done(run.path(), "data", &inputs(1)), "another input");
    }
}
