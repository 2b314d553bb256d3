//! Model families over shared blocks, one short file each.
//!
//! Read in this order: [`shape`] (the sizes every family has), [`model`] (what a language model
//! can do), [`families`] (the registry, then one file per family: start with
//! [`families::llama`]), [`layers`] (the blocks they share), [`cache`] (keys and values of earlier
//! tokens), [`config`] and [`folder`] (model folders in and out), [`memory`] (what a training step
//! will need).
//!
//! **Invariants.** A family names no device and no number type: it adds parameters to a store and
//! calls operations. Parameters keep the names of the published checkpoints, so a folder written
//! here opens in the reference library. The cache is an argument of the one forward pass, never
//! another model.

pub mod cache;
pub mod config;
pub mod error;
pub mod families;
pub mod folder;
pub mod layers;
pub mod memory;
pub mod model;
pub mod shape;

pub use cache::KvCache;
pub use error::{Error, Result};
pub use families::{FAMILIES, Family, gpt2::Gpt2Config, llama::LlamaConfig};
pub use folder::{load_model, load_weights, save_config, save_weights};
pub use memory::{KeptActivations, MemoryPlan, TrainingSetup, memory_plan};
pub use model::{BuildOptions, CausalLm, ModelInput};
pub use shape::ModelShape;
