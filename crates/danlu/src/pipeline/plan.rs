//! Stage `model`: the sizes, what training will need, and whether this machine has it.

use anyhow::{Result, ensure};
use danlu_data::atomic::write_file_atomically;
use danlu_data::{Loader, Mode, TokenShard};
use danlu_models::config::ConfigJson;
use danlu_models::families::find_family;
use danlu_models::{BuildOptions, CausalLm, MemoryPlan, TrainingSetup, memory_plan};
use danlu_tensor::Device;
use danlu_tokenizer::Tokenizer;
use danlu_train::TrainConfig;
use danlu_train::optimizers::state_bytes_per_weight;
use serde::{Deserialize, Serialize};

use super::stage::Inputs;
use super::tokens::{PRETRAIN_SHARD, SFT_SHARD};
use super::{Outcome, Run, Stage, Watch, model_folder};
use crate::machine;

pub(super) const STAGE: Stage = Stage {
    name: "model",
    about: "lay out the model, work out what training will need",
    inputs,
    run,
};

/// `plan.json`: what will be trained and what it takes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// The model's published configuration.
    pub config: serde_json::Value,
    /// Number of weights.
    pub weights: u64,
    /// Each training stage.
    pub stages: Vec<StagePlan>,
}

/// What a training stage will take.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StagePlan {
    /// The stage.
    pub stage: String,
    /// Optimiser steps.
    pub steps: u64,
    /// Tokens in all steps, padding included.
    pub tokens: u64,
    /// Times the texts are read.
    pub epochs: f64,
    /// Bytes of memory while training.
    pub memory_bytes: u64,
}

fn inputs(run: &Run) -> Result<Inputs> {
    let tokens = run.paths.tokens();
    let mut inputs = Inputs::default()
        .setting("model", &run.recipe.model)?
        .setting("pretrain", &run.recipe.pretrain)?
        .setting("sft", &run.recipe.sft)?
        .file(&tokens.join(model_folder::TOKENIZER_FILE))?
        .file(&tokens.join(PRETRAIN_SHARD))?;
    if run.recipe.sft.is_some() {
        inputs = inputs.file(&tokens.join(SFT_SHARD))?;
    }
    Ok(inputs)
}

fn run(run: &Run, watch: &mut dyn Watch) -> Result<Outcome> {
    let tokens = run.paths.tokens();
    let tokenizer = Tokenizer::load(&tokens.join(model_folder::TOKENIZER_FILE))?;
    let config = config(run, &tokenizer);
    let model = build(run, &config, &run.recipe.pretrain)?;
    let weights = model.params().weight_count();
    watch.note(&format!("model: {}", describe(model.as_ref())));
    let mut plan = Plan { config, weights: weights as u64, stages: Vec::new() };
    let pretrain = (&run.recipe.pretrain, PRETRAIN_SHARD, Mode::Pretrain);
    let sft = run.recipe.sft.as_ref().map(|sft| (sft, SFT_SHARD, Mode::Sft));
    for (name, stage) in [("pretrain", Some(pretrain)), ("sft", sft)] {
        let Some((train, shard, mode)) = stage else { continue };
        let shard = TokenShard::read(&tokens.join(shard))?;
        let loader = Loader::new(shard, train.batch_size, train.context_len, train.seed, mode)?;
        let stage = plan_stage(name, train, model.as_ref(), &loader)?;
        watch.note(&format!(
            "model: {name} takes {} steps, {:.2} million tokens, {:.1} readings of the texts, \
             about {} MiB of memory",
            stage.steps,
            stage.tokens as f64 / 1e6,
            stage.epochs,
            stage.memory_bytes >> 20
        ));
        check_memory(name, stage.memory_bytes)?;
        plan.stages.push(stage);
    }
    write_file_atomically(&run.paths.plan(), &serde_json::to_vec_pretty(&plan)?)?;
    Ok(Outcome::Done(vec![run.paths.plan()]))
}

/// The model's published configuration.
pub(super) fn config(run: &Run, tokenizer: &Tokenizer) -> serde_json::Value {
    let special_ids = model_folder::special_ids(tokenizer);
    run.recipe.model.config(tokenizer.vocab_size(), special_ids)
}

/// A model of that configuration without values, as a training stage wants it.
pub(super) fn build(
    run: &Run,
    config: &serde_json::Value,
    train: &TrainConfig,
) -> Result<Box<dyn CausalLm>> {
    let Device::Cpu(cpu) = &run.device;
    let precision = train.precision.resolve(cpu.simd);
    let options = BuildOptions {
        recompute: train.recompute,
        ..BuildOptions::trainable(run.device.clone(), precision)
    };
    let json = ConfigJson::new("the recipe's [model]", config.clone());
    Ok((find_family(&json)?.build)(&json, &options)?)
}

/// The model in one line.
#[must_use]
pub fn describe(model: &dyn CausalLm) -> String {
    let shape = model.shape();
    format!(
        "{}, {:.2} million weights: {} layers, width {}, {} heads, {} tokens of vocabulary, \
         context {}",
        model.family().model_type,
        model.params().weight_count() as f64 / 1e6,
        shape.num_layers,
        shape.hidden_size,
        shape.num_heads,
        shape.vocab_size,
        shape.context_len
    )
}

fn plan_stage(
    name: &str,
    train: &TrainConfig,
    model: &dyn CausalLm,
    loader: &Loader,
) -> Result<StagePlan> {
    let setup = TrainingSetup {
        batch: train.micro_batch_size.min(train.batch_size),
        tokens: train.context_len,
        optimizer_bytes_per_weight: state_bytes_per_weight(train.moments),
    };
    let plan: MemoryPlan = memory_plan(model, &setup);
    let estimate = loader.estimate()?;
    Ok(StagePlan {
        stage: name.to_owned(),
        steps: train.steps,
        tokens: train.steps * train.tokens_per_step() as u64,
        epochs: train.steps as f64 / estimate.batches_per_epoch.max(1) as f64,
        memory_bytes: plan.total() as u64,
    })
}

fn check_memory(stage: &str, needed: u64) -> Result<()> {
    let Some((_, available)) = machine::memory_bytes() else { return Ok(()) };
    ensure!(
        needed <= available,
        "{stage} needs about {} MiB of memory and {} MiB are free; lower {stage}.micro_batch_size, \
         set {stage}.recompute = true, or make the model smaller",
        needed >> 20,
        available >> 20
    );
    Ok(())
}
