//! Stage `pretrain`: from random weights to a model that knows the language.

use anyhow::Result;
use danlu_data::{HELDOUT_FILE, Mode};

use super::stage::Inputs;
use super::tokens::PRETRAIN_SHARD;
use super::train_stage::{Start, TrainStage};
use super::{Outcome, Run, Stage, Watch, model_folder};

/// The stage's name, its section and its folder.
pub const NAME: &str = "pretrain";

pub(super) const STAGE: Stage =
    Stage { name: NAME, about: "train the model on running text", inputs, run };

fn inputs(run: &Run) -> Result<Inputs> {
    let tokens = run.paths.tokens();
    Inputs::default()
        .setting("model", &run.recipe.model)?
        .setting("pretrain", &run.recipe.pretrain)?
        .file(&tokens.join(model_folder::TOKENIZER_FILE))?
        .file(&tokens.join(PRETRAIN_SHARD))?
        .file(&run.paths.data().join(HELDOUT_FILE))
}

fn run(run: &Run, watch: &mut dyn Watch) -> Result<Outcome> {
    let stage = TrainStage {
        name: NAME,
        config: &run.recipe.pretrain,
        shard: run.paths.tokens().join(PRETRAIN_SHARD),
        mode: Mode::Pretrain,
        start: Start::Seed(run.recipe.model.seed),
    };
    stage.run(run, watch)
}
