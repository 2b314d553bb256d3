//! Raw files to `clean.jsonl`, `heldout.jsonl`, `dialogues.jsonl` and `report.json`.
//!
//! 1. [`map`]: each record by itself, on all cores, into parts on disk with sorted keys;
//! 2. [`reduce`]: the keys of all parts merged, so that ids, texts and near-duplicates are found
//!    over the whole corpus with a few bytes of memory a document;
//! 3. [`spans`]: spans that recur, found in the same way and sorted by document;
//! 4. the parts once more, in order, to the output, without those spans.
//!
//! The order of the output is that of the input, and its bytes are the same for any number of
//! workers, any memory cap, and however often the build was killed and begun again. Duplicates go
//! before the split. A dialogue is dropped when a document that it was made from is held out, or
//! when it quotes a line that only held-out ones have, so nothing held out is trained on.

mod dialogues;
mod entry;
mod map;
mod output;
mod parallel;
mod part;
mod reduce;
mod sorted;
mod spans;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::readers::{Item, SourceFile, read_file, source_files};
use crate::report::DataReport;
use crate::steps::Cleaner;
use crate::{DataConfig, Error, Result};
use dialogues::Quotes;
use map::Map;
use output::Output;
use reduce::Standings;
use spans::Removals;

pub(crate) use entry::Facts;
pub use map::Progress;

/// Documents for training, in the output folder.
pub const CLEAN_FILE: &str = "clean.jsonl";
/// Documents held out from training.
pub const HELDOUT_FILE: &str = "heldout.jsonl";
/// Dialogues for training.
pub const DIALOGUES_FILE: &str = "dialogues.jsonl";
/// Every record that was not used: its place, the step and the reason.
pub const DROPPED_FILE: &str = "dropped.jsonl";
/// What was done: a [`DataReport`].
pub const REPORT_FILE: &str = "report.json";
/// Folder of the files between map and reduce, in the output folder; removed at the end.
const WORK_FOLDER: &str = "work";

/// Is told how far a build is, and says whether to go on.
pub type Watch<'a> = dyn FnMut(&Progress) -> bool + 'a;

/// Builds the clean data in the folder `out`, which must exist, from what `config` names, relative
/// to the folder `base`. `watch` is called often, between records.
///
/// # Errors
/// For impossible settings, files that cannot be read or written, and when nothing is left to train
/// on, to hold out or, if dialogues are asked for, to talk about. [`Error::Stopped`] when `watch`
/// says so; the same call goes on from there.
pub fn build(
    config: &DataConfig,
    base: &Path,
    out: &Path,
    watch: &mut Watch<'_>,
) -> Result<DataReport> {
    config.validate()?;
    let cleaner = Cleaner::new(config, base)?;
    let texts = source_files(&config.text, base)?;
    let talks = source_files(&config.dialogues, base)?;
    let work = out.join(WORK_FOLDER);
    fs::create_dir_all(&work).map_err(|source| Error::Read { path: work.clone(), source })?;
    let built = build_in(&work, out, (config, &cleaner), (&texts, &talks), watch);
    if matches!(built, Ok(_) | Err(Error::NothingLeft { .. })) {
        fs::remove_dir_all(&work).map_err(|source| Error::Read { path: work, source })?;
    }
    built
}

fn build_in(
    work: &Path,
    out: &Path,
    (config, cleaner): (&DataConfig, &Cleaner),
    (texts, talks): (&[SourceFile], &[SourceFile]),
    watch: &mut Watch<'_>,
) -> Result<DataReport> {
    let mut quotes = Quotes::read(talks, cleaner, config)?;
    let files = [texts, talks].concat().into_iter().map(|file| (file.path, file.name));
    let lists = cleaner.files().iter().map(|path| (path.clone(), "a step's".to_owned()));
    let inputs = inputs_hash(config, files.chain(lists))?;
    let parts = Map::new(config, cleaner, texts, inputs, quotes.lines()).run(work, watch)?;
    let standings = Standings::find(config, &parts, work)?;
    let mut removals = Removals::find(config, &parts, &standings, work)?;
    let mut output = Output::create(config, out)?;
    output.report.files = (texts.len() + talks.len()) as u64;
    output.write_documents(&parts, (&standings, &mut removals), &mut quotes)?;
    for file in talks {
        read_file(file, config, &mut |item| match item {
            Item::Dialogue(place, mut dialogue) => {
                file.source.describe(&mut dialogue.meta);
                quotes.take(&place, dialogue, cleaner, &mut output)
            }
            Item::Document(place, document) => {
                let kind = "a document among dialogues";
                output.reject(&place, Some(&document.id), kind, "list it in data.text")
            }
            Item::Rejected(place, reason) => {
                output.reject(&place, None, reason.kind, &reason.detail)
            }
        })?;
    }
    output.finish(out)
}

/// A hash of everything that decides what the parts hold: the settings, except those that only say
/// how fast, and name, size and time of every file.
fn inputs_hash(
    config: &DataConfig,
    files: impl Iterator<Item = (PathBuf, String)>,
) -> Result<String> {
    // Where parts end depends on their size.
    let same_parts = DataConfig { shard_bytes: config.shard_bytes, ..config.canonical() };
    let mut hash = Sha256::new_with_prefix(env!("CARGO_PKG_VERSION"));
    hash.update(serde_json::to_vec(&same_parts)?);
    for (path, name) in files {
        let unreadable = |source| Error::Read { path: path.clone(), source };
        let metadata = fs::metadata(&path).map_err(unreadable)?;
        let modified = metadata.modified().map_err(unreadable)?;
        let time = modified.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        hash.update(format!("\n{name}\n{}\n{time}", metadata.len()));
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// `record` as a line of JSON.
fn line_of(record: &impl Serialize) -> Result<Vec<u8>> {
    let mut line = serde_json::to_vec(record)?;
    line.push(b'\n');
    Ok(line)
}
