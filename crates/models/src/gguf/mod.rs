//! GGUF files as models: [`names`] says what a family's tensors and sizes are called there,
//! `config` reads the metadata as a published configuration.

mod config;
pub mod names;

pub use config::read_config;
pub use names::{Fix, GgufNames, GgufPlace};
