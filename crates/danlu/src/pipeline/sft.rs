//! Stage `sft`: teaches the pretrained model to answer, on dialogues rendered by its own template.

use anyhow::{Result, bail};
use danlu_data::{HELDOUT_FILE, Mode};

use super::stage::Inputs;
use super::tokens::SFT_SHARD;
use super::train_stage::{MODEL_FOLDER, Start, TrainStage};
use super::{Outcome, Run, Stage, Watch, pretrain};

/// The stage's name, its section and its folder.
pub const NAME: &str = "sft";

pub(super) const STAGE: Stage =
    Stage { name: NAME, about: "teach the model to answer, on dialogues", inputs, run };

fn inputs(run: &Run) -> Result<Inputs> {
    Inputs::default()
        .setting("sft", &run.recipe.sft)?
        .file(&run.paths.tokens().join(SFT_SHARD))?
        .file(&run.paths.training(pretrain::NAME).join(MODEL_FOLDER))?
        .file(&run.paths.data().join(HELDOUT_FILE))
}

fn run(run: &Run, watch: &mut dyn Watch) -> Result<Outcome> {
    let Some(config) = &run.recipe.sft else { bail!("the recipe has no [sft] section") };
    let stage = TrainStage {
        name: NAME,
        config,
        shard: run.paths.tokens().join(SFT_SHARD),
        mode: Mode::Sft,
        start: Start::Model(run.paths.training(pretrain::NAME).join(MODEL_FOLDER)),
    };
    stage.run(run, watch)
}
