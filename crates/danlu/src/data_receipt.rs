//! Gathers what the receipt of a data build shows, from the files that the build left.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, Result};
use danlu_data::{
    CLEAN_FILE, DIALOGUES_FILE, DROPPED_FILE, DataReport, HELDOUT_FILE, Place, REPORT_FILE,
};
use danlu_eval::report::receipt::{Drop, Receipt};
use serde::Deserialize;

use crate::pipeline::Run;
use crate::pipeline::stage::hash_file;

/// Examples of each reason, and characters of each text.
const EXAMPLES: usize = 2;
const CHARACTERS: usize = 400;

/// What of a line of [`DROPPED_FILE`] is shown.
#[derive(Deserialize)]
struct Line {
    place: Place,
    id: Option<String>,
    step: String,
    reason: String,
    detail: String,
    document: Option<danlu_data::Document>,
}

/// The receipt of the data that lies in the folder `data`, made from files with the hashes
/// `inputs`.
///
/// # Errors
/// When a file that the build left is missing or damaged.
pub fn assemble(
    run: &Run,
    report: &DataReport,
    data: &Path,
    inputs: Vec<(String, String)>,
) -> Result<Receipt> {
    let made = [CLEAN_FILE, HELDOUT_FILE, DIALOGUES_FILE, DROPPED_FILE, REPORT_FILE];
    let outputs = made.iter().map(|name| Ok(((*name).to_owned(), hash_file(&data.join(name))?)));
    let name = &run.recipe.name;
    Ok(Receipt {
        name: name.clone(),
        command: format!(
            "danlu data build {}",
            run.recipe.folder.join(format!("{name}.toml")).display()
        ),
        settings: toml::to_string_pretty(&run.recipe.data.canonical())?,
        report: report.clone(),
        drops: examples(&data.join(DROPPED_FILE))?,
        inputs,
        outputs: outputs.collect::<Result<_>>()?,
    })
}

/// The first of each reason, those with a text before those without.
fn examples(dropped: &Path) -> Result<Vec<Drop>> {
    let file = File::open(dropped).with_context(|| dropped.display().to_string())?;
    let mut found: BTreeMap<String, Vec<Drop>> = BTreeMap::new();
    for line in BufReader::new(file).lines() {
        let line = line.with_context(|| dropped.display().to_string())?;
        let line: Line =
            serde_json::from_str(&line).with_context(|| dropped.display().to_string())?;
        let drop = Drop {
            reason: format!("{}: {}", line.step, line.reason),
            name: line.id.unwrap_or_else(|| line.place.to_string()),
            detail: line.detail,
            text: line.document.map(|document| beginning(&document.text)),
        };
        let examples = found.entry(drop.reason.clone()).or_default();
        let bare = examples.iter().position(|example| example.text.is_none());
        match bare {
            _ if examples.len() < EXAMPLES => examples.push(drop),
            Some(index) if drop.text.is_some() => examples[index] = drop,
            _ => {}
        }
    }
    Ok(found.into_values().flatten().collect())
}

fn beginning(text: &str) -> String {
    match text.char_indices().nth(CHARACTERS) {
        Some((end, _)) => format!("{} [..]", &text[..end]),
        None => text.to_owned(),
    }
}
