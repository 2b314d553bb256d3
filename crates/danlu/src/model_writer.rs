//! Writes a finished model folder, whole or not at all.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};
use danlu_data::atomic::sync_folder;
use danlu_models::folder::WEIGHTS_FILE;
use danlu_models::{CausalLm, save_weights};
use danlu_train::Companions;

/// Writes the model aside, makes it durable, and puts it in the place of an earlier one.
///
/// # Errors
/// When a file cannot be written; an earlier model at `place` then stays as it was.
pub fn write_model(model: &dyn CausalLm, companions: &Companions, place: &Path) -> Result<()> {
    let aside = place.with_extension("writing");
    remove(&aside)?;
    fs::create_dir_all(&aside).with_context(|| aside.display().to_string())?;
    for (name, bytes) in companions {
        let path = aside.join(name);
        write(&path, |out| Ok(out.write_all(bytes)?))
            .with_context(|| path.display().to_string())?;
    }
    let path = aside.join(WEIGHTS_FILE);
    write(&path, |out| Ok(save_weights(model, out)?))
        .with_context(|| path.display().to_string())?;
    // `sync_folder` makes the names beside a path durable: here those inside the folder.
    sync_folder(&path).with_context(|| aside.display().to_string())?;
    remove(place)?;
    fs::rename(&aside, place).with_context(|| place.display().to_string())?;
    sync_folder(place).with_context(|| place.display().to_string())
}

fn write(path: &Path, fill: impl FnOnce(&mut BufWriter<File>) -> Result<()>) -> Result<()> {
    let mut out = BufWriter::new(File::create(path)?);
    fill(&mut out)?;
    out.flush()?;
    Ok(out.get_ref().sync_all()?)
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| folder.display().to_string())
        }
        _ => Ok(()),
    }
}
