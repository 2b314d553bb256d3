//! Stage `data`: raw files to clean documents, the held-out part put aside.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use danlu_data::atomic::write_file_atomically;
use danlu_data::steps::Cleaner;
use danlu_data::{DROPPED_FILE, DataReport, Progress, REPORT_FILE, source_files};

use super::stage::{Inputs, hash_file};
use super::{Outcome, Run, Stage, Watch};
use crate::data_receipt;

/// Time between lines on how far it is.
const TOLD_EVERY: Duration = Duration::from_secs(10);

/// Its name.
pub const NAME: &str = "data";

pub(super) const STAGE: Stage = Stage {
    name: NAME,
    about: "read, clean, remove duplicates, put the held-out part aside",
    inputs,
    run,
};

/// The page for people, beside the report.
pub const RECEIPT_FILE: &str = "report.html";

fn inputs(run: &Run) -> Result<Inputs> {
    let mut inputs = Inputs::default().setting("data", &run.recipe.data)?;
    for (_, path) in files(run)? {
        inputs = inputs.file(&path)?;
    }
    Ok(inputs)
}

/// Every file that the result depends on, with its name.
fn files(run: &Run) -> Result<Vec<(String, PathBuf)>> {
    let (config, folder) = (&run.recipe.data, &run.recipe.folder);
    let mut files = Vec::new();
    for list in [&config.text, &config.dialogues] {
        files.extend(source_files(list, folder)?.into_iter().map(|file| (file.name, file.path)));
    }
    let cleaner = Cleaner::new(config, folder)?;
    let lists = cleaner.files().iter().map(|path| (path.display().to_string(), path.clone()));
    files.extend(lists);
    Ok(files)
}

fn run(run: &Run, watch: &mut dyn Watch) -> Result<Outcome> {
    let out = run.paths.data();
    fs::create_dir_all(&out).with_context(|| out.display().to_string())?;
    let mut told = Instant::now();
    let started = told;
    let built = danlu_data::build(&run.recipe.data, &run.recipe.folder, &out, &mut |progress| {
        if told.elapsed() >= TOLD_EVERY {
            told = Instant::now();
            watch.note(&so_far(progress, started.elapsed()));
        }
        !watch.stopped()
    });
    let report = match built {
        Err(danlu_data::Error::Stopped) => return Ok(Outcome::Stopped),
        built => built?,
    };
    let hashes = files(run)?.into_iter().map(|(name, path)| Ok((name, hash_file(&path)?)));
    let receipt = data_receipt::assemble(run, &report, &out, hashes.collect::<Result<_>>()?)?;
    write_file_atomically(&out.join(RECEIPT_FILE), receipt.to_html().as_bytes())?;
    tell(&report, &out, watch);
    Ok(Outcome::Done(vec![out]))
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

fn so_far(progress: &Progress, time: Duration) -> String {
    format!(
        "data: {} records, {:.1} MB/s, {:.1} % of them clean",
        progress.records,
        megabytes(progress.bytes) / time.as_secs_f64(),
        100.0 * progress.clean as f64 / progress.records.max(1) as f64
    )
}

fn tell(report: &DataReport, out: &Path, watch: &mut dyn Watch) {
    watch.note(&format!(
        "data: {} documents ({:.2} MB) to train on, {} ({:.2} MB) held out, {} dialogues",
        report.train.total.documents,
        megabytes(report.train.total.bytes),
        report.heldout.total.documents,
        megabytes(report.heldout.total.bytes),
        report.dialogues
    ));
    let reasons = [&report.rejected, &report.dropped, &report.dialogues_dropped];
    for (reason, count) in reasons.into_iter().flatten() {
        watch.note(&format!("data: {count} left out: {reason}"));
    }
    let same = [(report.duplicates, "exact"), (report.near_duplicates, "near")];
    for (count, kind) in same.iter().filter(|(count, _)| *count > 0) {
        watch.note(&format!("data: {count} left out: {kind} duplicates"));
    }
    if let Some(spans) = &report.duplicate_spans {
        watch.note(&format!(
            "data: {:.2} MB of duplicate spans left out of {} documents",
            megabytes(spans.bytes),
            spans.documents
        ));
    }
    watch.note(&format!(
        "data: what was left out is listed in {}, counted in {}, shown in {}",
        out.join(DROPPED_FILE).display(),
        out.join(REPORT_FILE).display(),
        out.join(RECEIPT_FILE).display()
    ));
}
