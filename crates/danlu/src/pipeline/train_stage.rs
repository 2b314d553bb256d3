//! What both training stages do: load, train with a watcher, and leave the model as a folder.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use danlu_data::{HELDOUT_FILE, Loader, Mode, TokenShard};
use danlu_models::CausalLm;
use danlu_models::folder::{WEIGHTS_FILE, load_weights};
use danlu_tokenizer::{ChatTemplate, Tokenizer};
use danlu_train::{Companions, Observer, RunIdentity, Setup, StepRecord, TrainConfig, Trainer};

use super::stage::{hash_bytes, hash_file};
use super::{Moment, Outcome, Run, Watch, model_folder, plan};
use crate::heldout::Heldout;
use crate::model_writer::write_model;

/// Where a training stage leaves its model, below its own folder.
pub const MODEL_FOLDER: &str = "model";
/// The log of a training stage.
pub const METRICS_FILE: &str = "metrics.jsonl";
/// Weight of the newest step in the speed that is shown.
const SPEED_MEMORY: f64 = 0.1;

/// What a model starts from.
pub enum Start {
    /// Random weights of this seed.
    Seed(u64),
    /// A model folder.
    Model(PathBuf),
}

/// A training stage.
pub struct TrainStage<'a> {
    /// Its name and folder.
    pub name: &'static str,
    /// Its section of the recipe.
    pub config: &'a TrainConfig,
    /// What it trains on.
    pub shard: PathBuf,
    /// How documents become rows.
    pub mode: Mode,
    /// What it starts from.
    pub start: Start,
}

impl TrainStage<'_> {
    /// Trains, or goes on training, to the end or until the watcher stops it.
    pub(super) fn run(&self, run: &Run, watch: &mut dyn Watch) -> Result<Outcome> {
        let folder = run.paths.training(self.name);
        std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        let tokens = run.paths.tokens();
        let tokenizer = Tokenizer::load(&tokens.join(model_folder::TOKENIZER_FILE))?;
        let json = plan::config(run, &tokenizer);
        let model = plan::build(run, &json, self.config)?;
        let start = self.initialise(model.as_ref())?;
        let shard = TokenShard::read(&self.shard)?;
        shard.expect_tokenizer(tokenizer.hash())?;
        let config = self.config;
        let loader =
            Loader::new(shard, config.batch_size, config.context_len, config.seed, self.mode)?;
        if loader.too_long() > 0 {
            watch.note(&format!(
                "{}: {} dialogues are longer than {} tokens and are left out",
                self.name,
                loader.too_long(),
                config.context_len
            ));
        }
        let sampling = &run.recipe.eval;
        let companions =
            model_folder::companions(&json, &tokenizer, &ChatTemplate::chatml(), sampling)?;
        let setup = Setup {
            model: model.as_ref(),
            config,
            loader: &loader,
            folder: folder.clone(),
            companions: companions.clone(),
            identity: self.identity(run, &tokenizer, start)?,
        };
        let heldout = Heldout::read(&run.paths.data().join(HELDOUT_FILE), &tokenizer)?;
        let mut observer = StageObserver { watch, config, heldout, tokens_per_s: None };
        let mut trainer = Trainer::new(setup, &mut observer)?;
        observer.watch.stage(self.name, Some(config.steps));
        let outcome = trainer.run(&mut observer)?;
        if outcome == danlu_train::Outcome::Stopped {
            return Ok(Outcome::Stopped);
        }
        self.finish(model.as_ref(), &companions, &folder)
    }

    /// Gives the model its first weights; returns what names them.
    fn initialise(&self, model: &dyn CausalLm) -> Result<String> {
        match &self.start {
            Start::Seed(seed) => {
                model.params().initialise(*seed);
                Ok(format!("seed {seed}"))
            }
            Start::Model(folder) => {
                let weights = folder.join(WEIGHTS_FILE);
                load_weights(model, &weights)?;
                hash_file(&weights)
            }
        }
    }

    fn identity(&self, run: &Run, tokenizer: &Tokenizer, start: String) -> Result<RunIdentity> {
        let settings = serde_json::to_vec(&(&run.recipe.model, self.config))?;
        Ok(RunIdentity {
            settings: hash_bytes(&settings),
            data: hash_file(&self.shard)?,
            tokenizer: tokenizer.hash().to_owned(),
            start,
        })
    }

    fn finish(
        &self,
        model: &dyn CausalLm,
        companions: &Companions,
        folder: &Path,
    ) -> Result<Outcome> {
        let place = folder.join(MODEL_FOLDER);
        write_model(model, companions, &place)?;
        Ok(Outcome::Done(vec![place, folder.join(METRICS_FILE)]))
    }
}

/// Passes on what the trainer tells, and measures the model on held-out text.
struct StageObserver<'a> {
    watch: &'a mut dyn Watch,
    config: &'a TrainConfig,
    heldout: Heldout,
    tokens_per_s: Option<f64>,
}

impl Observer for StageObserver<'_> {
    fn step(&mut self, record: &StepRecord, seconds: f64) {
        let now = self.config.tokens_per_step() as f64 / seconds.max(1e-9);
        let before = self.tokens_per_s.unwrap_or(now);
        let tokens_per_s = before + SPEED_MEMORY * (now - before);
        self.tokens_per_s = Some(tokens_per_s);
        let steps_left = self.config.steps - record.step;
        let seconds_left =
            (steps_left as usize * self.config.tokens_per_step()) as f64 / tokens_per_s;
        self.watch.moment(&Moment {
            step: record.step,
            steps: self.config.steps,
            loss: record.loss,
            tokens_per_s,
            left: Duration::from_secs_f64(seconds_left),
        });
        if let Some(bits) = record.heldout_bits_per_byte {
            self.watch
                .note(&format!("step {}: {bits:.3} bits per byte on held-out text", record.step));
        }
    }

    fn note(&mut self, text: &str) {
        self.watch.note(text);
    }

    fn stopped(&self) -> bool {
        self.watch.stopped()
    }

    fn heldout(&mut self, model: &dyn CausalLm) -> danlu_train::Result<Option<f64>> {
        self.heldout.bits_per_byte(model).map_err(|error| danlu_train::Error::Data {
            message: format!("cannot measure on held-out text: {error:#}"),
        })
    }
}
