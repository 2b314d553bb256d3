//! The training loop: one for pretraining and instruction tuning alike.
//!
//! A step takes the next batch, adds up the gradients of its micro-batches, looks whether loss and
//! gradient are sound, clips, lets the optimiser move the weights, and writes one line to the log.
//! Every few steps all of it is saved. A run that is killed at any moment goes on from its last
//! checkpoint to the bit-identical result: nothing a step depends on lies outside the checkpoint.

use std::path::PathBuf;
use std::time::Instant;

use danlu_data::{Batch, Loader};
use danlu_kernels::cpu::reduce::sum_of_squares;
use danlu_models::{CausalLm, ModelInput};
use danlu_tensor::Device;
use danlu_tensor::autograd::backward;

use crate::checkpoint::Checkpoints;
use crate::config::{OnIncident, TrainConfig};
use crate::metrics::{Incident, MetricsLog, StepRecord};
use crate::optimizers::{Optimizer, StepSettings};
use crate::state::{self, Companions, RunIdentity, TrainState};
use crate::{Error, Result};

/// Checkpoints kept: the newest and one to fall back on.
const CHECKPOINTS_KEPT: usize = 2;

/// Who watches a run, measures it on held-out text, and may stop it.
pub trait Observer {
    /// A step is done. `seconds` is the time it took.
    fn step(&mut self, record: &StepRecord, seconds: f64);
    /// Something the user should know: an incident, a damaged checkpoint passed over.
    fn note(&mut self, text: &str);
    /// Whether to save and stop after this step.
    fn stopped(&self) -> bool;
    /// Bits per byte on held-out text, asked for every `eval_every` steps and at the end; `None`
    /// when there is nothing to measure on. Must not change the model.
    ///
    /// # Errors
    /// When it cannot be computed.
    fn heldout(&mut self, model: &dyn CausalLm) -> Result<Option<f64>>;
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All steps are done.
    Finished,
    /// The observer stopped it; the same call goes on from here.
    Stopped,
}

/// What a run is made of.
pub struct Setup<'a> {
    /// The model; its store's precision is the run's.
    pub model: &'a dyn CausalLm,
    /// The settings.
    pub config: &'a TrainConfig,
    /// Where batches come from.
    pub loader: &'a Loader,
    /// The folder for checkpoints and the log.
    pub folder: PathBuf,
    /// Files that make a checkpoint a complete model folder: tokenizer, template, configuration.
    pub companions: Companions,
    /// Hashes that a checkpoint must share to belong to this run.
    pub identity: RunIdentity,
}

/// A run in progress.
pub struct Trainer<'a> {
    setup: Setup<'a>,
    optimizer: Optimizer,
    state: TrainState,
    checkpoints: Checkpoints,
    log: MetricsLog,
}

impl<'a> Trainer<'a> {
    /// Starts a run, or goes on from its newest good checkpoint.
    ///
    /// # Errors
    /// When a checkpoint belongs to another run, or files cannot be read or written.
    pub fn new(setup: Setup<'a>, observer: &mut dyn Observer) -> Result<Self> {
        let checkpoints = Checkpoints::new(&setup.folder.join("checkpoints"), CHECKPOINTS_KEPT)?;
        let store = setup.model.params();
        store.enable_gradients();
        let mut optimizer = Optimizer::new(setup.config, store);
        let found = checkpoints.latest()?;
        for damaged in &found.rejected {
            observer.note(&format!("a damaged checkpoint is passed over: {damaged}"));
        }
        let state = match found.newest {
            Some((step, folder)) => {
                observer.note(&format!("going on from step {step}"));
                let state = state::load(&folder, &setup, &mut optimizer)?;
                if found.rejected.is_empty() {
                    checkpoints.tidy()?;
                }
                state
            }
            None => TrainState::default(),
        };
        let log = MetricsLog::resume(&setup.folder.join("metrics.jsonl"), state.step)?;
        Ok(Self { setup, optimizer, state, checkpoints, log })
    }

    /// Steps done so far.
    #[must_use]
    pub fn steps_done(&self) -> u64 {
        self.state.step
    }

    /// Trains until all steps are done or the observer stops the run, which is then saved.
    ///
    /// # Errors
    /// When training diverges or a checkpoint cannot be written. The last good checkpoint stays.
    pub fn run(&mut self, observer: &mut dyn Observer) -> Result<Outcome> {
        let config = self.setup.config;
        while self.state.step < config.steps {
            let started = Instant::now();
            let mut record = self.step(observer)?;
            let (step, last) = (self.state.step, self.state.step == config.steps);
            let look = config.eval_every > 0 && step.is_multiple_of(config.eval_every);
            let seconds = started.elapsed().as_secs_f64();
            if last || look {
                record.heldout_bits_per_byte = observer.heldout(self.setup.model)?;
            }
            self.log.append(&record)?;
            observer.step(&record, seconds);
            let stopped = observer.stopped();
            if last || stopped || step.is_multiple_of(config.checkpoint_every) {
                self.save()?;
            }
            if stopped && !last {
                return Ok(Outcome::Stopped);
            }
        }
        Ok(Outcome::Finished)
    }

    /// One optimiser step.
    fn step(&mut self, observer: &mut dyn Observer) -> Result<StepRecord> {
        let config = self.setup.config;
        let batch = self.setup.loader.next_batch(&mut self.state.cursor)?;
        let (loss, targets) = self.accumulate(&batch)?;
        let store = self.setup.model.params();
        let Device::Cpu(cpu) = store.device();
        let norm = store.with_gradients(|gradients| sum_of_squares(cpu, gradients)).sqrt();
        let (rate, muon_rate) = (config.learning_rate, config.muon_learning_rate);
        let learning_rate = config.rate(rate).at(self.state.step);
        let broken = self.state.guard.check(loss, norm, config.spike_sigmas);
        self.state.step += 1;
        let incident = match broken {
            Some(reason) => Some(self.leave_out(reason, &batch, observer)?),
            None => {
                self.state.updates += 1;
                self.optimizer.step(&StepSettings {
                    config,
                    step: self.state.updates,
                    gradient_scale: clip_factor(norm, config.clip_norm),
                    learning_rate,
                    muon_learning_rate: config.rate(muon_rate).at(self.state.step - 1),
                    precision: store.precision(),
                });
                self.state.guard.accept(loss);
                self.state.tokens += targets;
                None
            }
        };
        Ok(StepRecord {
            step: self.state.step,
            loss,
            gradient_norm: norm,
            learning_rate,
            tokens: self.state.tokens,
            heldout_bits_per_byte: None,
            incident,
        })
    }

    /// Adds up the gradients of a batch; returns its mean loss and its number of targets. Each
    /// micro-batch is weighted by its share of the batch's targets, so the split changes nothing.
    fn accumulate(&self, batch: &Batch) -> Result<(f64, u64)> {
        let model = self.setup.model;
        model.params().clear_gradients();
        let targets = batch.targets.iter().filter(|&&target| target >= 0).count() as u64;
        let scale = 1.0 / targets.max(1) as f32;
        let mut loss = 0.0;
        for rows in batch.micro_batches(self.setup.config.micro_batch_size) {
            let input = ModelInput {
                ids: rows.inputs,
                batch: rows.rows,
                positions: rows.positions.into(),
                segments: Some(rows.segments.into()),
            };
            let part = model.loss(&input, rows.targets, scale)?;
            loss += part.row_losses.iter().map(|&row| f64::from(row)).sum::<f64>();
            let one = part.loss.device().tensor(part.loss.dtype(), [], &[1.0]);
            backward(&part.loss, one)?;
        }
        Ok((loss / targets.max(1) as f64, targets))
    }

    /// Reports a broken step, which is not applied; gives up when there are too many in a row.
    fn leave_out(
        &mut self,
        reason: String,
        batch: &Batch,
        observer: &mut dyn Observer,
    ) -> Result<Incident> {
        let step = self.state.step;
        let documents = self.setup.loader.document_names(batch)?;
        let give_up = self.state.guard.reject();
        if give_up || self.setup.config.on_incident == OnIncident::Stop {
            let documents = documents.join(", ");
            return Err(Error::Diverged { step, reason, documents });
        }
        observer.note(&format!(
            "step {step} was left out: {reason}; its batch held {}",
            documents.join(", ")
        ));
        Ok(Incident { reason, documents })
    }

    fn save(&mut self) -> Result<()> {
        self.check_finite()?;
        self.log.sync()?;
        let (setup, state, optimizer) = (&self.setup, &self.state, &self.optimizer);
        let size = state::size_bytes(setup, optimizer);
        self.checkpoints
            .save(state.step, size, |draft| state::save(draft, setup, state, optimizer))?;
        Ok(())
    }

    /// Refuses what must never be saved: a sound gradient can still overflow in the update.
    fn check_finite(&self) -> Result<()> {
        let store = self.setup.model.params();
        let Device::Cpu(cpu) = store.device();
        let parts = [
            ("weights", sum_of_squares(cpu, &store.values()).is_finite()),
            ("optimiser's first moment", self.optimizer.first.is_finite(cpu)),
            ("optimiser's second moment", self.optimizer.second.is_finite(cpu)),
        ];
        match parts.into_iter().find(|(_, finite)| !finite) {
            Some((what, _)) => Err(Error::NotFinite { step: self.state.step, what }),
            None => Ok(()),
        }
    }
}

/// What gradients are multiplied with so that their length is at most `clip_norm` (0 = no limit):
/// the rule of the reference library, one norm over all parameters.
#[must_use]
pub fn clip_factor(norm: f64, clip_norm: f64) -> f64 {
    if clip_norm > 0.0 { (clip_norm / (norm + 1e-6)).min(1.0) } else { 1.0 }
}
