//! Stage `data`: raw files to clean documents, the held-out part put aside.

use std::fs;

use anyhow::{Context, Result};
use danlu_data::{DROPPED_FILE, REPORT_FILE, source_files};

use super::stage::Inputs;
use super::{Outcome, Run, Stage, Watch};

pub(super) const STAGE: Stage = Stage {
    name: "data",
    about: "read, clean, remove exact duplicates, put the held-out part aside",
    inputs,
    run,
};

fn inputs(run: &Run) -> Result<Inputs> {
    let config = &run.recipe.data;
    let mut inputs = Inputs::default().setting("data", config)?;
    for list in [&config.text, &config.dialogues] {
        for file in source_files(list, &run.recipe.folder)? {
            inputs = inputs.file(&file.path)?;
        }
    }
    Ok(inputs)
}

fn run(run: &Run, watch: &mut dyn Watch) -> Result<Outcome> {
    let out = run.paths.data();
    fs::create_dir_all(&out).with_context(|| out.display().to_string())?;
    let report = danlu_data::build(&run.recipe.data, &run.recipe.folder, &out)?;
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
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
    if report.duplicates > 0 {
        watch.note(&format!("data: {} left out: exact duplicates", report.duplicates));
    }
    watch.note(&format!(
        "data: what was left out is listed in {}, counted in {}",
        out.join(DROPPED_FILE).display(),
        out.join(REPORT_FILE).display()
    ));
    Ok(Outcome::Done(vec![out]))
}
