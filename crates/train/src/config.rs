//! The `[pretrain]` and `[sft]` sections of a recipe: one set of words for both.

use danlu_kernels::{Precision, Simd};
use serde::{Deserialize, Serialize};

use crate::schedule::{LearningRate, Schedule};
use crate::{Error, Result};

/// Which optimiser moves the weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OptimizerKind {
    /// Adam with decoupled weight decay (Loshchilov & Hutter 2017, arXiv:1711.05101).
    Adamw,
    /// Muon for the matrices inside the blocks, AdamW for embeddings, head and vectors.
    Muon,
}

/// How precisely AdamW keeps its two moments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Moments {
    /// Eight bytes a weight.
    F32,
    /// Four bytes a weight, with stochastic rounding so that small changes are not lost.
    Bf16,
}

/// How matrix products are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PrecisionChoice {
    /// bf16 where the CPU multiplies it in hardware, else f32. What was chosen is reported.
    Auto,
    /// f32 throughout.
    F32,
    /// bf16 products added in f32; weights and optimiser stay f32.
    Bf16,
}

impl PrecisionChoice {
    /// The precision on a CPU with these instructions.
    #[must_use]
    pub fn resolve(self, simd: Simd) -> Precision {
        match self {
            Self::F32 => Precision::F32,
            Self::Bf16 => Precision::Bf16,
            Self::Auto if simd >= Simd::Avx512Bf16 => Precision::Bf16,
            Self::Auto => Precision::F32,
        }
    }
}

/// What to do with a step whose loss or gradient is broken. The update is never applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnIncident {
    /// Leave the batch out, report it, go on; stop after several in a row.
    Skip,
    /// Stop at once.
    Stop,
}

/// How a model is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// Optimiser steps of the whole run.
    pub steps: u64,
    /// Only for `[sft]`: the share of its tokens that are running text of the kind the model was
    /// pretrained on, so that it does not forget what it knows while it learns to answer.
    pub rehearsal: f64,
    /// Sequences a step.
    pub batch_size: usize,
    /// Tokens a sequence.
    pub context_len: usize,
    /// Sequences computed at once; the step adds up `batch_size / micro_batch_size` of them. The
    /// result is the same for any value; a smaller one needs less memory.
    pub micro_batch_size: usize,
    /// Precision of matrix products.
    pub precision: PrecisionChoice,
    /// The optimiser.
    pub optimizer: OptimizerKind,
    /// Highest learning rate of AdamW.
    pub learning_rate: f64,
    /// Highest learning rate of Muon's matrices (used with `optimizer = "muon"`).
    pub muon_learning_rate: f64,
    /// Shape of the learning rate over the run.
    pub schedule: Schedule,
    /// Steps that rise linearly to the highest rate.
    pub warmup_steps: u64,
    /// The last rate as a share of the highest.
    pub floor_ratio: f64,
    /// Share of the steps that the `wsd` schedule spends going down.
    pub decay_ratio: f64,
    /// Decoupled weight decay, on matrices only.
    pub weight_decay: f64,
    /// Decay of AdamW's running mean of gradients.
    pub beta1: f64,
    /// Decay of AdamW's running mean of squared gradients.
    pub beta2: f64,
    /// Added to AdamW's denominator.
    pub epsilon: f64,
    /// Gradients longer than this are shortened to it; 0 switches clipping off.
    pub clip_norm: f64,
    /// Precision of AdamW's moments.
    pub moments: Moments,
    /// Compute activations again in the backward pass instead of keeping them.
    pub recompute: bool,
    /// Seed of the data order and of rounding.
    pub seed: u64,
    /// Steps between checkpoints.
    pub checkpoint_every: u64,
    /// Steps between looks at the held-out text; 0 looks only at the end.
    pub eval_every: u64,
    /// A loss this many standard deviations above its running mean counts as broken; 0 = never.
    pub spike_sigmas: f64,
    /// What to do with a broken step.
    pub on_incident: OnIncident,
}

impl Default for TrainConfig {
    /// Settings that train small models well; every one of them is saved with the run.
    fn default() -> Self {
        Self {
            steps: 1000,
            rehearsal: 0.0,
            batch_size: 16,
            context_len: 256,
            micro_batch_size: 16,
            precision: PrecisionChoice::Auto,
            optimizer: OptimizerKind::Adamw,
            learning_rate: 1e-3,
            muon_learning_rate: 0.02,
            schedule: Schedule::Cosine,
            warmup_steps: 50,
            floor_ratio: 0.1,
            decay_ratio: 0.2,
            weight_decay: 0.1,
            beta1: 0.9,
            beta2: 0.95,
            epsilon: 1e-8,
            clip_norm: 1.0,
            moments: Moments::F32,
            recompute: false,
            seed: 1,
            checkpoint_every: 100,
            eval_every: 0,
            spike_sigmas: 12.0,
            on_incident: OnIncident::Skip,
        }
    }
}

impl TrainConfig {
    /// Refuses values that cannot work, naming the key and what would.
    ///
    /// # Errors
    /// On the first such value.
    pub fn validate(&self, section: &str) -> Result<()> {
        let positive = |key: &str, value: f64| {
            (value.is_finite() && value > 0.0).then_some(()).ok_or_else(|| Error::Config {
                key: format!("{section}.{key}"),
                message: format!("is {value}, must be greater than 0"),
            })
        };
        let share = |key: &str, value: f64, below_one: bool| {
            let fine = (0.0..=1.0).contains(&value) && !(below_one && value >= 1.0);
            fine.then_some(()).ok_or_else(|| Error::Config {
                key: format!("{section}.{key}"),
                message: format!("is {value}, must be between 0 and 1"),
            })
        };
        positive("steps", self.steps as f64)?;
        positive("batch_size", self.batch_size as f64)?;
        positive("micro_batch_size", self.micro_batch_size as f64)?;
        positive("context_len", self.context_len as f64)?;
        positive("learning_rate", self.learning_rate)?;
        positive("muon_learning_rate", self.muon_learning_rate)?;
        positive("epsilon", self.epsilon)?;
        positive("checkpoint_every", self.checkpoint_every as f64)?;
        share("floor_ratio", self.floor_ratio, false)?;
        share("decay_ratio", self.decay_ratio, false)?;
        share("rehearsal", self.rehearsal, true)?;
        share("beta1", self.beta1, true)?;
        share("beta2", self.beta2, true)?;
        for (key, value) in [
            ("weight_decay", self.weight_decay),
            ("clip_norm", self.clip_norm),
            ("spike_sigmas", self.spike_sigmas),
        ] {
            if !(value.is_finite() && value >= 0.0) {
                return Err(Error::Config {
                    key: format!("{section}.{key}"),
                    message: format!("is {value}, must not be negative"),
                });
            }
        }
        if self.optimizer == OptimizerKind::Muon && self.moments == Moments::Bf16 {
            return Err(Error::Config {
                key: format!("{section}.moments"),
                message: "is `bf16`, which only `optimizer = \"adamw\"` has".to_owned(),
            });
        }
        if section == "pretrain" && self.rehearsal != 0.0 {
            return Err(Error::Config {
                key: format!("{section}.rehearsal"),
                message: "belongs to [sft]: pretraining is running text anyway".to_owned(),
            });
        }
        if self.warmup_steps > self.steps {
            return Err(Error::Config {
                key: format!("{section}.warmup_steps"),
                message: format!(
                    "is {}, more than the {} steps of the run",
                    self.warmup_steps, self.steps
                ),
            });
        }
        Ok(())
    }

    /// The learning rate of a run with the highest rate `peak`.
    #[must_use]
    pub fn rate(&self, peak: f64) -> LearningRate {
        LearningRate {
            schedule: self.schedule,
            peak,
            floor_ratio: self.floor_ratio,
            warmup_steps: self.warmup_steps,
            decay_ratio: self.decay_ratio,
            total_steps: self.steps,
        }
    }

    /// Tokens a step.
    #[must_use]
    pub fn tokens_per_step(&self) -> usize {
        self.batch_size * self.context_len
    }
}
