//! Danlu as a library: recipes, the pipeline that carries them out, and the crates it is made of.
//!
//! A run in three lines:
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! # struct Silent;
//! # impl danlu::pipeline::Watch for Silent {
//! #     fn stage(&mut self, _: &str, _: Option<u64>) {}
//! #     fn moment(&mut self, _: &danlu::pipeline::Moment) {}
//! #     fn note(&mut self, _: &str) {}
//! #     fn stopped(&self) -> bool { false }
//! # }
//! let recipe = danlu::recipe::Recipe::load("recipes/quickstart.toml".as_ref(), &[])?;
//! danlu::pipeline::run(recipe, "runs/quickstart".as_ref(), None, &mut Silent)?;
//! # Ok(())
//! # }
//! ```
//!
//! **Deliberately absent:** arithmetic. What computes lies in the crates re-exported here.

pub mod data_receipt;
pub mod export;
pub mod generation_config;
mod gguf_vocabulary;
pub mod heldout;
pub mod machine;
pub mod model_section;
pub mod model_writer;
pub mod opened;
pub mod pipeline;
pub mod pretrained;
pub mod recipe;
pub mod run_report;
pub mod verify;

pub use danlu_data as data;
pub use danlu_eval as eval;
pub use danlu_infer as infer;
pub use danlu_models as models;
pub use danlu_tensor as tensor;
pub use danlu_tokenizer as tokenizer;
pub use danlu_train as train;

pub use pretrained::{
    AutoModelForCausalLM, AutoTokenizer, GenerateOptions, LoadOptions, PretrainedModel,
};
