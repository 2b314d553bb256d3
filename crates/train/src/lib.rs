//! Training: one loop, with objectives, optimisers and schedules that it is given.
//!
//! Read in this order: [`config`] (what a recipe can say), [`trainer`] (the loop), [`optimizers`],
//! [`schedule`], [`guard`] (broken steps), [`checkpoint`] and [`state`] (what survives a kill),
//! [`metrics`] (the log).
//!
//! **Invariants.** Nothing a step depends on lies outside the checkpoint, so a resumed run gives
//! the same bits. Nothing that is not finite is ever saved. The loop knows no text: batches are
//! ids.

pub mod checkpoint;
pub mod config;
mod error;
pub mod guard;
pub mod metrics;
pub mod optimizers;
pub mod schedule;
pub mod speed;
pub mod state;
pub mod trainer;

pub use config::{Moments, OnIncident, OptimizerKind, PrecisionChoice, TrainConfig};
pub use error::{Error, Result};
pub use metrics::{Incident, StepRecord, read_metrics};
pub use schedule::{LearningRate, Schedule};
pub use state::{Companions, RunIdentity};
pub use trainer::{Observer, Outcome, Setup, Trainer};
