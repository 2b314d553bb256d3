//! Model families over shared blocks, one short file each.
//!
//! Read in this order: [`shape`] (the sizes every family has), [`model`] (what a language model can
//! do), [`families`] (the registry, then one file per family: start with [`families::llama`]),
//! [`layers`] (the blocks they share), [`cache`] (keys and values of earlier tokens), [`config`],
//! [`folder`] and [`gguf`] (models in and out), [`damage`] (weights that are no numbers),
//! [`memory`] (what a training step will need).
//!
//! **Invariants.** A family names no device and no number type: it adds parameters to a store and
//! calls operations. Parameters keep the names of the published checkpoints, so a folder written
//! here opens in the reference library. The cache is an argument of the one forward pass, never
//! another model.
//!
//! ```
//! use danlu_models::config::ConfigJson;
//! use danlu_models::families::find_family;
//! use danlu_models::{BuildOptions, ModelInput};
//! use danlu_tensor::{Device, Precision};
//!
//! let json = ConfigJson::parse(
//!     "config.json",
//!     r#"{"model_type": "llama", "vocab_size": 50, "hidden_size": 16, "intermediate_size": 32,
//!         "num_hidden_layers": 2, "num_attention_heads": 2}"#,
//! )?;
//! let options = BuildOptions::trainable(Device::cpu(2)?, Precision::F32);
//! let model = (find_family(&json)?.build)(&json, &options)?;
//! model.params().initialise(42);
//! let logits = model.logits(&ModelInput::new(&[3, 1, 4, 1, 5, 9], 2), None)?;
//! assert_eq!(logits.shape().dims(), [2 * 3, 50]);
//! # Ok::<(), danlu_models::Error>(())
//! ```

mod binding;
pub mod cache;
pub mod config;
pub mod damage;
pub mod error;
pub mod families;
pub mod folder;
pub mod gguf;
pub mod layers;
pub mod memory;
pub mod model;
pub mod published;
mod quantize;
pub mod shape;

pub use binding::Parameters;
pub use cache::{CacheOptions, KvCache};
pub use damage::find_damage;
pub use error::{Error, Result};
pub use families::{FAMILIES, Family, gpt2::Gpt2Config, llama::LlamaConfig};
pub use folder::{describe_model, load_model, load_weights, save_config, save_weights};
pub use memory::{BlockActivations, MemoryPlan, TrainingSetup, memory_plan};
pub use model::{BuildOptions, CausalLm, ModelInput, ModelParts, WeightKind};
pub use published::{published_config, save_parameters};
pub use shape::ModelShape;
