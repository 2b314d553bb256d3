//! The main job: a recipe's stages one after the other, each skipped when nothing it depends on has
//! changed.
//!
//! A stage reads and writes files under the run's folder and nothing else. Its receipt (see
//! [`stage`]) is written when it is finished; a stage that was killed is run again, and the
//! training stages then go on from their last checkpoint.

pub mod build;
mod evaluate;
pub mod pretrain;
pub mod sft;
pub mod tokens;
pub mod train_stage;

pub mod model_folder;
pub mod paths;
pub mod plan;
pub mod stage;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use danlu_data::atomic::write_file_atomically;
use danlu_tensor::Device;

use crate::recipe::Recipe;
use paths::Paths;
use stage::{Inputs, is_done, record};

/// Progress of a training stage at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Steps done.
    pub step: u64,
    /// Steps of the stage.
    pub steps: u64,
    /// Loss of the last step, nats per token.
    pub loss: f64,
    /// Speed lately.
    pub tokens_per_s: f64,
    /// Time that is left at this speed.
    pub left: Duration,
}

/// Someone who watches a run and may ask it to stop.
pub trait Watch {
    /// A stage begins; `steps` if it has countable ones.
    fn stage(&mut self, name: &str, steps: Option<u64>);
    /// A training step was done.
    fn moment(&mut self, moment: &Moment);
    /// Something worth saying.
    fn note(&mut self, text: &str);
    /// Whether to stop at the next safe point.
    fn stopped(&self) -> bool;
}

/// How a run or a stage ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done; for a stage, with the files or folders it made.
    Done(Vec<PathBuf>),
    /// Stopped on request; the same command goes on from here.
    Stopped,
}

/// A recipe being run in a folder on a device.
pub struct Run {
    /// What to do.
    pub recipe: Recipe,
    /// Where everything lies.
    pub paths: Paths,
    /// What computes.
    pub device: Device,
}

/// One stage.
pub struct Stage {
    /// Its name: the section of the recipe it carries out.
    pub name: &'static str,
    /// What it does, for help.
    pub about: &'static str,
    inputs: fn(&Run) -> Result<Inputs>,
    run: fn(&Run, &mut dyn Watch) -> Result<Outcome>,
}

/// All stages in order.
pub const STAGES: &[Stage] =
    &[build::STAGE, tokens::STAGE, plan::STAGE, pretrain::STAGE, sft::STAGE, evaluate::STAGE];

/// Carries out the stages of a recipe in `out` up to and including `until` (all when `None`).
///
/// # Errors
/// When another process works in the same folder, or a stage fails; what earlier stages made stays.
pub fn run(
    recipe: Recipe,
    out: &Path,
    until: Option<&str>,
    watch: &mut dyn Watch,
) -> Result<Outcome> {
    if let Some(name) = until
        && !STAGES.iter().any(|stage| stage.name == name)
    {
        let names: Vec<&str> = STAGES.iter().map(|stage| stage.name).collect();
        bail!("there is no stage `{name}`; the stages are {}", names.join(", "));
    }
    ensure!(
        until != Some(sft::NAME) || recipe.sft.is_some(),
        "the recipe has no [sft] section, so there is no stage `sft` to go to"
    );
    ensure!(
        until == Some(build::NAME) || recipe.tokenizer.is_some(),
        "the recipe has no [tokenizer] section with a `vocab_size`; without it, only the data can \
         be built: `danlu data build`"
    );
    fs::create_dir_all(out).with_context(|| format!("cannot make the folder {}", out.display()))?;
    let _lock = lock(out)?;
    let device = Device::cpu(crate::machine::threads()?)?;
    let run = Run { recipe, paths: Paths::new(out), device };
    save_recipe(&run)?;
    for stage in STAGES {
        if stage.name == sft::NAME && run.recipe.sft.is_none() {
            continue;
        }
        let inputs = (stage.inputs)(&run).with_context(|| format!("stage {}", stage.name))?;
        if is_done(out, stage.name, &inputs) {
            watch.note(&format!("{}: nothing to do, made from the same inputs before", stage.name));
        } else {
            watch.stage(stage.name, None);
            let outcome =
                (stage.run)(&run, watch).with_context(|| format!("stage {}", stage.name))?;
            match outcome {
                Outcome::Stopped => return Ok(Outcome::Stopped),
                Outcome::Done(outputs) => record(out, stage.name, &inputs, &outputs)?,
            }
        }
        if until == Some(stage.name) {
            break;
        }
        if watch.stopped() {
            return Ok(Outcome::Stopped);
        }
    }
    Ok(Outcome::Done(vec![out.to_owned()]))
}

/// Keeps the effective recipe with the run; one that is there already is left alone.
fn save_recipe(run: &Run) -> Result<()> {
    let (path, effective) = (run.paths.recipe(), run.recipe.to_toml()?.into_bytes());
    if fs::read(&path).is_ok_and(|saved| saved == effective) {
        return Ok(());
    }
    Ok(write_file_atomically(&path, &effective)?)
}

/// Forgets what a training stage has done in `out`, so that it begins again.
///
/// # Errors
/// When another process works there, or files cannot be removed.
pub fn forget(out: &Path, stage: &str) -> Result<()> {
    if !out.exists() {
        return Ok(());
    }
    let _lock = lock(out)?;
    let folder = Paths::new(out).training(stage);
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
    }
    Ok(())
}

/// Keeps a second process out of the same folder; released when the file is closed, also by a kill.
fn lock(out: &Path) -> Result<File> {
    let path = out.join(".lock");
    let file = File::create(&path).with_context(|| path.display().to_string())?;
    if file.try_lock().is_err() {
        bail!(
            "another danlu is working in {}; wait for it, or choose another folder with --out",
            out.display()
        );
    }
    Ok(file)
}
